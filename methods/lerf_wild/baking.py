"""From a trained field to a table of what its surfaces look like.

Symbols: N points, V voxels, M points of a voxel that are asked, K samples of a point's ray, S tile
sizes, Q dimensions of a folded embedding (see scale_search), D dimensions of the encoder. In arrays
of embeddings K are the dimensions kept.

A voxel says what the rays that end in it say: hidden vectors are summed along them with their
rendering weights, as in a view. The field at the end of a ray alone is noisier, because training
only ever saw the sums; it serves for vertices of foreign models, which have no rays.

Voxels are cubes of the contracted space, so that they grow with the distance from the capture as
the field's own detail does. A voxel in which rays of one view alone end is a stray end of those,
behind a surface or in mid-air, and is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lerf_wild.baked.field import BakedField
from lerf_wild.frames import Placed
from lerf_wild.methods.lerf_wild.field import folded_head
from lerf_wild.methods.lerf_wild.scale_search import MIN_VISIBLE_WEIGHT, log_spaced_sizes
from lerf_wild.methods.lerf_wild.view_grid import counts_at

if TYPE_CHECKING:
    from lerf_wild.methods.lerf_wild.model import LerfWildModel

ASKED_POINTS = 8
"""Points of a voxel whose hidden vectors are averaged."""

VOXEL_CHUNK = 4096

MIN_VIEWS, MIN_CROWD = 2, 4
"""Views whose rays must end in a voxel, where voxels have so many points on average: with fewer
points a place that one view alone shows is nothing unusual."""

PROBES = 12_000
"""Voxels, over all views, among which sizes of phrases are looked for."""

MAX_DIMS = 48
"""Dimensions that are kept at the most."""

LOST_SHARE = 1e-4
"""Share of the squared length of the embeddings that the basis may leave out: cosines are then off
by about a hundredth of what tells one phrase from another."""


@dataclass(frozen=True)
class BakeSpec:
    """How fine a bake is."""

    sizes: int = 8
    max_voxels: int = 131_072
    max_dims: int = MAX_DIMS


@dataclass(frozen=True)
class Cloud:
    """Points in the nerf frame, as `SurfacePoints` of the command line has them."""

    positions_N3: Float[np.ndarray, "N 3"]
    normals_N3: Float[np.ndarray, "N 3"]
    colours_N3: np.ndarray
    samples_NK4: Float[np.ndarray, "N K 4"] | None = None
    """What the points' rays went through, contracted positions and weights, where there are any."""
    shown_by_N: Int[np.ndarray, "N"] | None = None
    """View whose ray ends in the point, where there are any."""


@torch.no_grad()
def bake(
    model: LerfWildModel,
    place: Placed,
    cloud: Cloud,
    spec: BakeSpec,
    texts: Mapping[str, np.ndarray],
    metadata: Mapping[str, object],
    on_share: Callable[[float], None] = lambda share: None,
) -> BakedField:
    """Asks the field at the points and packs its answers; `on_share` is told how much is done."""
    contracted_N3 = model._contracted(torch.from_numpy(cloud.positions_N3).float().to(model.device))
    order_N, counts_V = voxels(contracted_N3.double().cpu().numpy(), spec.max_voxels)
    if cloud.shown_by_N is not None and len(order_N) >= MIN_CROWD * len(counts_V):
        order_N, counts_V = _confirmed(order_N, counts_V, cloud.shown_by_N)
    points_N3 = torch.from_numpy(cloud.positions_N3[order_N]).float()
    sizes_S = log_spaced_sizes(model.size_range, spec.sizes)
    samples_NK4 = None if cloud.samples_NK4 is None else torch.from_numpy(cloud.samples_NK4)
    ask = _Asker(model, points_N3, samples_NK4, torch.from_numpy(order_N))
    units_SVQ = _voxel_units(ask, counts_V, sizes_S, on_share)
    basis_QK = principal_basis(units_SVQ, spec.max_dims)
    codes_SKV, steps_K = quantised(units_SVQ, basis_QK)
    head_DQ, _ = folded_head(model.language.clip_head)
    normals_N3 = place.directions_to_world(cloud.normals_N3[order_N])
    return BakedField(
        positions_N3=place.to_world(cloud.positions_N3[order_N]),
        normals_N3=np.round(normals_N3 * 127).astype(np.int8),
        colours_N3=cloud.colours_N3[order_N],
        views_N=counts_at(model.view_counts, contracted_N3[order_N]).cpu().numpy(),
        counts_V=counts_V.astype(np.uint32),
        codes_SKV=codes_SKV,
        steps_K=steps_K,
        basis_DK=(head_DQ.cpu() @ basis_QK).numpy(),
        sizes_S=sizes_S.cpu().numpy() * np.float32(place.length_per_nerf),
        transform_34=np.asarray(place.transform_34, np.float64),
        scale=place.scale,
        meters_per_unit=place.meters_per_unit,
        encoder=model.config.encoder_identity,
        texts=texts,
        metadata=metadata,
        probes_TM=_probes(
            counts_V, None if cloud.shown_by_N is None else cloud.shown_by_N[order_N]
        ),
    )


def voxels(
    positions_N3: Float[np.ndarray, "N 3"], max_voxels: int
) -> tuple[Int[np.ndarray, "N"], Int[np.ndarray, "V"]]:
    """Sorts points by voxel; returns their order and the number in each voxel.

    Each point is a voxel where there are few enough; else voxels are the smallest cubes of which no
    more than `max_voxels` are occupied.
    """
    count = len(positions_N3)
    if count <= max_voxels:
        return np.arange(count), np.ones(count, np.int64)
    low_3 = positions_N3.min(axis=0)
    # The few points far out must not decide how fine the middle is.
    spread = float(np.quantile(np.abs(positions_N3 - np.median(positions_N3, axis=0)), 0.9))
    small, large = spread * 1e-4, spread * 2
    for _ in range(14):
        side = (small * large) ** 0.5
        occupied = len(np.unique(_cell_codes(positions_N3 - low_3, side)))
        small, large = (small, side) if occupied <= max_voxels else (side, large)
    _, voxel_N, counts_V = np.unique(
        _cell_codes(positions_N3 - low_3, large), return_inverse=True, return_counts=True
    )
    return np.argsort(voxel_N.reshape(-1), kind="stable"), counts_V


def _confirmed(
    order_N: Int[np.ndarray, "N"], counts_V: Int[np.ndarray, "V"], shown_by_N: Int[np.ndarray, "N"]
) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "v"]]:
    """Leaves out voxels in which rays of too few views end, unless that would be all."""
    voxel_N = np.repeat(np.arange(len(counts_V)), counts_V)
    pairs = np.unique(voxel_N * (int(shown_by_N.max()) + 1) + shown_by_N[order_N])
    views_V = np.bincount(pairs // (int(shown_by_N.max()) + 1), minlength=len(counts_V))
    is_kept_V = views_V >= MIN_VIEWS
    if not is_kept_V.any():
        return order_N, counts_V
    return order_N[is_kept_V[voxel_N]], counts_V[is_kept_V]


def _probes(
    counts_V: Int[np.ndarray, "V"], shown_by_N: Int[np.ndarray, "N"] | None
) -> Int[np.ndarray, "T M"]:
    """Voxels of evenly chosen points of each view, as many of every view."""
    views_T = np.zeros(0, np.int64) if shown_by_N is None else np.unique(shown_by_N)
    if len(views_T) == 0:
        return np.zeros((0, 0), np.int32)
    share_M = np.linspace(0, 1, max(1, PROBES // len(views_T)), endpoint=False)
    voxel_N = np.repeat(np.arange(len(counts_V), dtype=np.int32), counts_V)
    voxels_T = [voxel_N[shown_by_N == view] for view in views_T]
    return np.stack([one[(share_M * len(one)).astype(np.int64)] for one in voxels_T])


def principal_basis(
    units_SVQ: Float[Tensor, "s v q"], max_dims: int, lost_share: float = LOST_SHARE
) -> Float[Tensor, "q k"]:
    """The directions that hold all but `lost_share` of the squared length of unit vectors."""
    dims = units_SVQ.shape[-1]
    gram_QQ = torch.zeros(dims, dims, dtype=torch.float64)
    for one_VQ in units_SVQ:
        gram_QQ += (one_VQ.float().T @ one_VQ.float()).double()
    values_Q, vectors_QQ = torch.linalg.eigh(gram_QQ)
    values_Q, vectors_QQ = values_Q.flip(0).clamp(min=0), vectors_QQ.flip(-1)
    held_Q = values_Q.cumsum(0) / values_Q.sum().clamp(min=1e-12)
    count = int((held_Q < 1 - lost_share).sum()) + 1
    return vectors_QQ[:, : min(count, max_dims, dims)].float()


def quantised(
    units_SVQ: Float[Tensor, "s v q"], basis_QK: Float[Tensor, "q k"]
) -> tuple[np.ndarray, Float[np.ndarray, "K"]]:
    """Coordinates in the basis as int8 [S, K, V], and the step of each dimension."""
    coded_SVK = torch.stack([one_VQ.float() @ basis_QK for one_VQ in units_SVQ])
    steps_K = coded_SVK.abs().amax(dim=(0, 1)).clamp(min=1e-9) / 127
    codes_SVK = (coded_SVK / steps_K).round().to(torch.int8)
    return np.ascontiguousarray(codes_SVK.transpose(1, 2).numpy()), steps_K.numpy()


@dataclass(frozen=True)
class _Asker:
    """Asks a field at points, along their rays where these are known."""

    model: LerfWildModel
    points_N3: Float[Tensor, "n 3"]
    """Voxel after voxel."""
    samples_NK4: Float[Tensor, "n k 4"] | None
    """In the order of the cloud."""
    order_N: Int[Tensor, "n"]
    """Which of the cloud's points each point is."""

    def sums(
        self, rows_VM: Int[Tensor, "v m"], sizes_S: Float[Tensor, "s"]
    ) -> tuple[Float[Tensor, "s v w"], Float[Tensor, "v 1"]]:
        """Weighted hidden vectors of voxels at all sizes, and their mean weight."""
        field = self.model.language
        positions_VMK3, weights_VMK = self._samples(rows_VM)
        position_part = field.clip_position_part(field.encode(positions_VMK3))
        scale_parts_SW = field.clip_scale_part(sizes_S, self.model.basis_range)
        share = 1 / rows_VM.shape[1]
        hidden = [
            torch.einsum("vmkw,vmk->vw", field.clip_hidden(position_part, one_W), weights_VMK)
            for one_W in scale_parts_SW
        ]
        return torch.stack(hidden).float() * share, weights_VMK.sum(dim=(1, 2))[:, None] * share

    def _samples(self, rows_VM: Tensor) -> tuple[Tensor, Tensor]:
        model = self.model
        if self.samples_NK4 is not None:
            samples_VMK4 = self.samples_NK4[self.order_N[rows_VM]].to(model.device)
            return samples_VMK4[..., :3], samples_VMK4[..., 3]
        positions_VM3 = model._contracted(self.points_N3[rows_VM].to(model.device))
        return positions_VM3[:, :, None], model.is_seen(positions_VM3).float()[..., None]


def _voxel_units(
    ask: _Asker,
    counts_V: Int[np.ndarray, "V"],
    sizes_S: Float[Tensor, "s"],
    on_share: Callable[[float], None],
) -> Float[Tensor, "s v q"]:
    """Unit embeddings of voxels, float16 on the CPU; zero where too few cameras look."""
    _, mixer_QW = folded_head(ask.model.language.clip_head)
    units_SVQ = torch.zeros(len(sizes_S), len(counts_V), len(mixer_QW), dtype=torch.float16)
    starts_V = torch.from_numpy(np.cumsum(counts_V) - counts_V)
    for start in range(0, len(counts_V), VOXEL_CHUNK):
        part = slice(start, start + VOXEL_CHUNK)
        rows_VM = _asked_rows(starts_V[part], torch.from_numpy(counts_V[part]))
        hidden_SVW, weight_V1 = ask.sums(rows_VM, sizes_S)
        weight_SV1 = weight_V1.expand(len(sizes_S), -1, -1)
        mixed_SVQ = torch.cat([hidden_SVW, weight_SV1], dim=-1) @ mixer_QW.T
        is_seen_V1 = weight_V1 >= MIN_VISIBLE_WEIGHT
        unit_SVQ = torch.nn.functional.normalize(mixed_SVQ, dim=-1) * is_seen_V1
        units_SVQ[:, part] = unit_SVQ.half().cpu()
        on_share(min(1.0, (start + VOXEL_CHUNK) / len(counts_V)))
    return units_SVQ


def _asked_rows(starts_V: Tensor, counts_V: Tensor) -> Int[Tensor, "v m"]:
    """Up to ASKED_POINTS rows of each voxel, evenly spread over its points."""
    asked = min(ASKED_POINTS, int(counts_V.max()))
    return starts_V[:, None] + torch.arange(asked) * counts_V[:, None] // asked


def _cell_codes(offsets_N3: Float[np.ndarray, "N 3"], side: float) -> Int[np.ndarray, "N"]:
    cells_N3 = np.floor(offsets_N3 / side).astype(np.int64)
    low, high = (cells_N3[:, 0], cells_N3[:, 1]), cells_N3[:, 2]
    # Two large odd factors spread the cells over 64 bits; collisions only join two voxels.
    return low[0] * 73_856_093 + low[1] * 19_349_663_000_001 + high
