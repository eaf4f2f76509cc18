"""Answering phrases on splats: a few channels are rasterised, whatever the encoder.

Symbols: G gaussians, S tile sizes, W hidden width, Q length of a folded embedding, V channels that
are rasterised, P phrases, C canonical phrases, H and W rows and columns.

As in `scale_search`, the cosine of a phrase t with what a pixel shows is (Q^T t) . y / |y| with
y = S [sum_i w_i h_i; sum_i w_i], which is linear in the gaussians' S [h_i; 1]. Those vectors, of
one scene, fill few of their Q dimensions: their coordinates in a basis B [Q, V] of the scene are
rasterised, and with y = B c the cosine is (B^T Q^T t) . c / |c|. One more channel holds the weight
of what enough training views have seen. The size of a phrase is that at which it peaks among the
gaussians, so no camera changes it; a still camera keeps its maps, and a new phrase costs dot
products.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.scene_box import OrientedBox
from torch import Tensor

from lerf_wild.live.question import Question
from lerf_wild.methods.lerf_wild.field import folded_head
from lerf_wild.methods.lerf_wild.live_views import (
    LiveAnswer,
    ViewLayers,
    answered,
    view_key,
    weights_version,
)
from lerf_wild.methods.lerf_wild.scale_search import (
    MIN_VISIBLE_WEIGHT,
    FoldedQuery,
    fold_query,
)
from lerf_wild.methods.lerf_wild_splat.rasterising import eye_of, rasterise

if TYPE_CHECKING:
    from lerf_wild.methods.lerf_wild_splat.model import LerfWildSplatModel

SAMPLE = 100_000
"""Gaussians that decide the basis and the sizes, the clearest ones."""

TABLES = 6
"""Sizes at which the gaussians' coordinates are kept: 64 MB each for a million gaussians."""

MAPS = 30
"""Sizes at which a still view's maps are kept."""

CHUNK = 1 << 18
"""Gaussians that are encoded at once."""

TOP_SHARE = 2e-4
"""Share of the gaussians, the most relevant ones, whose mean decides a size: no stray one does."""


class SplatViews:
    """Answers questions on the views of one splat; the newest view's maps are kept."""

    def __init__(self, model: LerfWildSplatModel) -> None:
        self._model = model
        self.on_answer: Callable[[LiveAnswer], None] = lambda answer: None
        self.forget()

    def forget(self) -> None:
        """Lets go of everything that was kept."""
        self._version = -1
        self._basis_QV: Tensor | None = None
        self._tables: OrderedDict[float, Tensor] = OrderedDict()
        self._sizes: dict[tuple[bytes, bytes], float] = {}
        self._view: Hashable = None
        self._box: OrientedBox | None = None
        self._maps: OrderedDict[float, Tensor] = OrderedDict()

    def latest(self) -> None:
        """There is no work to do ahead: a size that is new costs one more picture."""

    def resolution_of(self, camera: Cameras) -> tuple[int, int] | None:
        """No resolution is preferred: full ones are drawn as fast as low ones."""
        return None

    @torch.no_grad()
    def layers_of(
        self,
        camera: Cameras,
        outputs: dict[str, Tensor],
        question: Question,
        box: OrientedBox | None = None,
    ) -> ViewLayers:
        """Adds what a question finds to the layers of a drawn camera, cropped as they are."""
        start = self._now()
        is_still = self._look_at(camera, box)
        folded = fold_query(question.query, self._model.language.clip_head)
        sizes_P = (
            self.sizes(folded)
            if question.sizes is None
            else folded.phrases_PQ.new_tensor(question.sizes)
        )
        relevancy_HWP = self._relevancy(camera, folded, sizes_P)
        milliseconds = (self._now() - start) * 1e3
        scores = relevancy_HWP.amax(dim=(0, 1)).tolist()
        self.on_answer(
            LiveAnswer(question, tuple(scores), tuple(sizes_P.tolist()), milliseconds, is_still)
        )
        return answered(outputs, relevancy_HWP, question)

    @torch.no_grad()
    def sizes(self, folded: FoldedQuery) -> Float[Tensor, "p"]:
        """The tile size at which each phrase peaks among the clearest gaussians (nerf units)."""
        canonical = folded.canonical_CQ.cpu().numpy().tobytes()
        keys = [(row.cpu().numpy().tobytes(), canonical) for row in folded.phrases_PQ]
        new = [index for index, key in enumerate(keys) if key not in self._sizes]
        if new:
            chosen = folded.pick(torch.tensor(new, device=folded.phrases_PQ.device))
            for index, size in zip(new, self._searched(chosen).tolist()):
                self._sizes[keys[index]] = size
        return folded.phrases_PQ.new_tensor([self._sizes[key] for key in keys])

    def _searched(self, folded: FoldedQuery) -> Float[Tensor, "p"]:
        rows_N, sizes_S = self._clearest(), self._model.query_sizes()
        count = max(1, round(TOP_SHARE * len(rows_N)))
        peaks = []
        for size in sizes_S:
            vectors_NQ, is_seen_N = self._vectors(float(size), rows_N)
            units_NQ = torch.nn.functional.normalize(vectors_NQ, dim=-1)
            hardest_N1 = (units_NQ @ folded.canonical_CQ.T).amax(dim=1, keepdim=True)
            margins_NP = units_NQ @ folded.phrases_PQ.T - hardest_N1
            margins_NP = margins_NP.masked_fill(~is_seen_N[:, None], -2.0)
            peaks.append(margins_NP.topk(count, dim=0).values.mean(dim=0))
        return sizes_S[torch.stack(peaks).argmax(dim=0)]

    def _relevancy(
        self, camera: Cameras, folded: FoldedQuery, sizes_P: Float[Tensor, "p"]
    ) -> Float[Tensor, "h w p"]:
        used, index_P = sizes_P.unique(return_inverse=True)
        found: list[Tensor] = [torch.empty(0)] * len(sizes_P)
        for row, size in enumerate(used.tolist()):
            maps_HWV = self._map(camera, size)
            phrases = (index_P == row).nonzero().flatten()
            part_HWP = self._compared(maps_HWV, folded.pick(phrases))
            for column, phrase in enumerate(phrases.tolist()):
                found[phrase] = part_HWP[..., column]
        return torch.stack(found, dim=-1)

    def _compared(self, maps_HWV: Tensor, folded: FoldedQuery) -> Float[Tensor, "h w p"]:
        coordinates_HWV, weight_HW = maps_HWV[..., :-1], maps_HWV[..., -1]
        units_HWV = torch.nn.functional.normalize(coordinates_HWV, dim=-1)
        basis_QV = self._basis()
        hardest_HW1 = (units_HWV @ (folded.canonical_CQ @ basis_QV).T).amax(dim=-1, keepdim=True)
        margins_HWP = units_HWV @ (folded.phrases_PQ @ basis_QV).T - hardest_HW1
        relevancy_HWP = torch.sigmoid(folded.temperature * margins_HWP)
        return relevancy_HWP * (weight_HW >= MIN_VISIBLE_WEIGHT)[..., None]

    def _map(self, camera: Cameras, size: float) -> Float[Tensor, "h w v"]:
        """Coordinates and weight of every pixel at a size, kept while the camera rests."""
        if size not in self._maps:
            table_GV = self._table(size)
            model = self._model
            gaussians = model.gaussians()
            if self._box is not None:
                is_in_G = self._box.within(gaussians.means_G3)
                gaussians, table_GV = gaussians.some(is_in_G), table_GV[is_in_G]
            maps_HWV, _ = rasterise(
                gaussians, table_GV.float(), eye_of(camera), model._is_antialiased
            )
            self._maps[size] = maps_HWV
            if len(self._maps) > MAPS:
                self._maps.popitem(last=False)
        return self._maps[size]

    def _table(self, size: float) -> Float[Tensor, "g v"]:
        """Coordinates of all gaussians at a size, and 1 where enough views have seen them."""
        if size in self._tables:
            self._tables.move_to_end(size)
            return self._tables[size]
        basis_QV, parts = self._basis(), []
        everything = torch.arange(self._model.num_points, device=basis_QV.device)
        for rows_N in everything.split(CHUNK):
            vectors_NQ, is_seen_N = self._vectors(size, rows_N)
            seen_N1 = is_seen_N[:, None].to(vectors_NQ)
            parts.append(torch.cat([vectors_NQ @ basis_QV * seen_N1, seen_N1], dim=1).half())
        self._tables[size] = torch.cat(parts)
        if len(self._tables) > TABLES:
            self._tables.popitem(last=False)
        return self._tables[size]

    def _vectors(
        self, size: float, rows_N: Int[Tensor, "n"]
    ) -> tuple[Float[Tensor, "n q"], Tensor]:
        """S [h; 1] of some gaussians at a size, and whether enough views have seen them."""
        model = self._model
        positions_N3 = model._contracted(model.means.detach()[rows_N])
        sizes_N = torch.full((len(rows_N),), size, device=positions_N3.device)
        hidden_NW = model.language.clip_hidden(
            model.language.clip_position_part(model.language.encode(positions_N3)),
            model.language.clip_scale_part(sizes_N, model.basis_range),
        )
        _, mixer_QW = folded_head(model.language.clip_head)
        ones_N1 = hidden_NW.new_ones(len(hidden_NW), 1)
        stacked_NW = torch.cat([hidden_NW, ones_N1], dim=1).float()
        return stacked_NW @ mixer_QW.T, model.is_seen(positions_N3)

    def _basis(self) -> Float[Tensor, "q v"]:
        """Principal directions of the clearest gaussians' vectors over all sizes."""
        if self._basis_QV is None:
            rows_N, gram_QQ = self._clearest(), 0.0
            for size in self._model.query_sizes().tolist():
                vectors_NQ, _ = self._vectors(size, rows_N)
                units_NQ = torch.nn.functional.normalize(vectors_NQ, dim=-1)
                gram_QQ = gram_QQ + units_NQ.T @ units_NQ
            _, vectors_QQ = torch.linalg.eigh(gram_QQ)
            channels = min(self._model.config.query_channels, vectors_QQ.shape[1])
            self._basis_QV = vectors_QQ.flip(-1)[:, :channels].contiguous()
        return self._basis_QV

    def _clearest(self) -> Int[Tensor, "n"]:
        opacities_G = self._model.opacities.detach().flatten()
        return opacities_G.topk(min(SAMPLE, len(opacities_G))).indices

    def _look_at(self, camera: Cameras, box: OrientedBox | None) -> bool:
        """Lets go of what is out of date; returns whether the camera is where it was."""
        version = weights_version(self._model)
        if version != self._version:
            self.forget()
            self._version = version
        sides = () if box is None else (box.R, box.T, box.S)
        key = view_key(camera), tuple(tuple(side.flatten().tolist()) for side in sides)
        self._box = box
        is_still = key == self._view
        if not is_still:
            self._view = key
            self._maps.clear()
        return is_still

    def _now(self) -> float:
        if self._model.device.type == "cuda":
            torch.cuda.synchronize(self._model.device)
        return time.perf_counter()
