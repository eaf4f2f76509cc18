"""What phrases don't change of a still view, so that a new phrase costs dot products only.

Symbols: R rays of the view, K samples a ray, S tile sizes, P phrases, C canonical phrases,
Q length of a folded embedding, V <= Q length of a compressed one, B best pixels.

The cosine of a phrase t with what a ray shows at a size is (Q^T t) . u with u = y / |y| (see
scale_search). The unit vectors u of one view fill few of their Q dimensions, so they are kept as
coordinates c = W^T u in the view's own subspace W, in half precision:

    |t . u - (W^T t) . c|  <=  |u - W c| + rounding  <=  RESIDUAL + 2^-11.

W comes from a regular subset of the rays at all sizes. A size at which some ray leaves the subspace
by more than RESIDUAL is kept uncompressed. The best pixels, which decide the peak and the size, are
evaluated without any compression.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lerf_wild.language.relevancy import Query
from lerf_wild.methods.lerf_wild.field import folded_head
from lerf_wild.methods.lerf_wild.scale_search import (
    MIN_SAMPLE_WEIGHT,
    MIN_VISIBLE_WEIGHT,
    FoldedQuery,
    TopSamples,
    best_indices,
    pack,
    relevancy_at_indices,
    rendered_hidden,
)
from lerf_wild.methods.lerf_wild.view_query import (
    CLIMBS,
    LANGUAGE_CHUNK,
    REFINED_PIXELS,
    view_subset,
)

if TYPE_CHECKING:
    from lerf_wild.methods.lerf_wild.model import LerfWildModel

RESIDUAL = 2e-3
"""Longest part of a unit vector that the subspace may leave out; 0.01 of relevancy at the most."""

COSINE_ERROR = RESIDUAL + 2**-11
"""Most that a cosine with kept features is off."""

KEPT_ANSWERS = 32
"""Phrases whose maps are kept, so that a changed colour or a further phrase costs nothing more."""

PART_BYTES = 256 << 20
"""Position parts of a view's samples up to this size are kept between sizes."""


@dataclass(frozen=True)
class UnitFeatures:
    """Unit vectors of all rays at one size, in the subspace of the view or whole."""

    coordinates_RV: Float[Tensor, "r v"]
    """float16; a ray that shows too little has a row of zeros."""
    is_whole: bool

    @property
    def num_bytes(self) -> int:
        """Memory that the coordinates take."""
        return self.coordinates_RV.numel() * self.coordinates_RV.element_size()


class KeptView:
    """A rendered view that answers phrases, at sizes that it computes once and keeps."""

    def __init__(
        self,
        model: LerfWildModel,
        key: Hashable,
        layers: dict[str, Float[Tensor, "h w c"]],
        samples: TopSamples,
        max_bytes: int,
    ) -> None:
        self.key = key
        self.layers = layers
        self.samples = _trimmed(samples)
        self.max_bytes = max_bytes
        self.sizes_S = model.query_sizes()
        self._field = model.language
        self._range_2 = model.basis_range.clone()
        self._head_DQ, self._mixer_QW = folded_head(model.language.clip_head)
        height, width = layers["rgb"].shape[:2]
        self.shape = (height, width)
        self._packed = pack(self.samples)
        self._is_visible_R = self._packed.weight_R >= MIN_VISIBLE_WEIGHT
        subset = view_subset(height, width, model.config.probe_rays).to(self.sizes_S.device)
        # A ray that shows nothing has no vector, and would score more than what is unlike a phrase.
        shown = subset[self._is_visible_R[subset]]
        self._probe_samples = self.samples.take(shown if len(shown) else subset)
        self._position_part: Tensor | None = None
        self._kept: OrderedDict[float, UnitFeatures] = OrderedDict()
        self._hardest: dict[float, Tensor] = {}
        self._canonical_CQ: Tensor | None = None
        self._answers: OrderedDict[Hashable, tuple[Tensor, Tensor]] = OrderedDict()
        # Two threads fill a view: the one that renders and the one that works ahead.
        self._lock = threading.RLock()

    @torch.no_grad()
    def answer(
        self, query: Query, sizes: Sequence[float] | None = None
    ) -> tuple[Float[Tensor, "h w p"], Float[Tensor, "p"]]:
        """Relevancy of the view and the tile size of each phrase (nerf units).

        Without sizes each phrase takes the one at which it peaks, as `answer_view` finds it.
        """
        with self._lock:
            folded = self._folded(query)
            keys = _keys(folded, sizes)
            new = [index for index, key in enumerate(keys) if key not in self._answers]
            if new:
                chosen = folded.pick(torch.tensor(new, device=self.sizes_S.device))
                of_new = None if sizes is None else [sizes[index] for index in new]
                found_RP, sizes_P = self._answered(chosen, of_new)
                for column, index in enumerate(new):
                    self._answers[keys[index]] = (found_RP[:, column].contiguous(), sizes_P[column])
            columns = [self._answers[key] for key in keys]
            for key in keys:
                self._answers.move_to_end(key)
            while len(self._answers) > max(KEPT_ANSWERS, len(keys)):
                self._answers.popitem(last=False)
        found_RP = torch.stack([column for column, _ in columns], dim=1)
        return found_RP.view(*self.shape, -1), torch.stack([size for _, size in columns])

    def _answered(
        self, folded: FoldedQuery, sizes: Sequence[float] | None
    ) -> tuple[Float[Tensor, "r p"], Float[Tensor, "p"]]:
        if sizes is None:
            return self._at_best_sizes(folded)
        sizes_P = self._known_sizes(sizes)
        found_RP = self._relevancy(folded, sizes_P)
        self._make_exact(found_RP, folded, sizes_P)
        return found_RP, sizes_P

    @torch.no_grad()
    def fill_one(self) -> bool:
        """Computes one more of the sizes; False when all are there or memory is used up."""
        with self._lock:
            missing = [size for size in self.sizes_S.tolist() if size not in self._kept]
            taken = self.num_bytes
            room = self.max_bytes - taken
            if not missing or (self._kept and taken / len(self._kept) > room):
                return False
            self._features(missing[len(missing) // 2])
            return True

    @property
    def num_bytes(self) -> int:
        """Memory that the kept features take."""
        return sum(features.num_bytes for features in self._kept.values())

    @property
    def compressed_dims(self) -> tuple[int, int]:
        """Dimensions of the subspace, and those that it replaces."""
        return self._basis_QV.shape[1], self._basis_QV.shape[0]

    @cached_property
    def _probe_SRQ(self) -> Float[Tensor, "s r q"]:
        return self._units_of(self._probe_samples, self.sizes_S)

    @cached_property
    def _basis_QV(self) -> Float[Tensor, "q v"]:
        return _subspace(self._probe_SRQ)

    def _folded(self, query: Query) -> FoldedQuery:
        query = query.to(self._head_DQ.device)
        folded = FoldedQuery(
            mixer_QW1=self._mixer_QW,
            phrases_PQ=query.embeddings_PD.float() @ self._head_DQ,
            canonical_CQ=query.canonical_CD.float() @ self._head_DQ,
            temperature=query.temperature,
        )
        before = self._canonical_CQ
        if before is None or not torch.equal(before, folded.canonical_CQ):
            self._canonical_CQ, self._hardest = folded.canonical_CQ, {}
            self._answers.clear()
        return folded

    def _known_sizes(self, sizes: Sequence[float]) -> Float[Tensor, "p"]:
        """The same sizes, but for rounding those at which features are kept already."""
        wanted_P = self.sizes_S.new_tensor(sizes)
        nearest_P = self.sizes_S[(wanted_P[:, None] - self.sizes_S).abs().argmin(dim=1)]
        is_known_P = torch.isclose(nearest_P, wanted_P, rtol=1e-4)
        return torch.where(is_known_P, nearest_P, wanted_P)

    def _at_best_sizes(self, folded: FoldedQuery) -> tuple[Tensor, Tensor]:
        probe_SRP = _margins(self._probe_SRQ, folded)
        sizes_P = self.sizes_S[probe_SRP.amax(dim=1).argmax(dim=0)]
        found_RP = self._relevancy(folded, sizes_P)
        for _ in range(CLIMBS):
            better_P = self._best_sizes_at(_best_pixels(found_RP), folded)
            changed = (better_P != sizes_P).nonzero().flatten()
            if len(changed) == 0:
                break
            found_RP[:, changed] = self._relevancy(folded.pick(changed), better_P[changed])
            sizes_P = better_P
        self._make_exact(found_RP, folded, sizes_P)
        return found_RP, sizes_P

    def _best_sizes_at(self, pixels_B: Int[Tensor, "b"], folded: FoldedQuery) -> Tensor:
        """Sizes at which phrases peak among some pixels, uncompressed."""
        sizes_S, samples = self._likely_sizes(pixels_B, folded), self.samples.take(pixels_B)
        index_P = best_indices(self._field, samples, folded, sizes_S, self._range_2, LANGUAGE_CHUNK)
        return sizes_S[index_P]

    def _likely_sizes(self, pixels_B: Tensor, folded: FoldedQuery) -> Float[Tensor, "n"]:
        """The sizes that can be the best: all, unless the kept features rule some out."""
        if any(size not in self._kept for size in self.sizes_S.tolist()):
            return self.sizes_S
        peaks_SP = torch.stack(
            [self._margins_at(size, folded, pixels_B).amax(0) for size in self.sizes_S.tolist()]
        )
        # Either of two margins may be off by two cosines' error.
        is_likely_SP = peaks_SP >= peaks_SP.amax(dim=0) - 4 * COSINE_ERROR
        return self.sizes_S[is_likely_SP.any(dim=1)]

    def _make_exact(self, found_RP: Tensor, folded: FoldedQuery, sizes_P: Tensor) -> None:
        """Evaluates the best pixels once more, uncompressed."""
        best_B = _best_pixels(found_RP)
        used, index_P = sizes_P.unique(return_inverse=True)
        found_RP[best_B] = relevancy_at_indices(
            self._field,
            self.samples.take(best_B),
            folded,
            used,
            index_P,
            self._range_2,
            LANGUAGE_CHUNK,
        )

    def _relevancy(self, folded: FoldedQuery, sizes_P: Tensor) -> Float[Tensor, "r p"]:
        found_RP = self.samples.weights_RK.new_empty(len(self.samples), len(sizes_P))
        for size in sizes_P.unique().tolist():
            phrases = (sizes_P == size).nonzero().flatten()
            found_RP[:, phrases] = self._margins_at(size, folded.pick(phrases))
        found_RP = found_RP.mul_(folded.temperature).sigmoid_()
        return found_RP.mul_(self._is_visible_R[:, None])

    def _margins_at(
        self, size: float, folded: FoldedQuery, pixels_B: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "r p"]:
        """Cosines with the phrases less that with the hardest canonical one."""
        features = self._features(size)
        if size not in self._hardest:
            canonical_RC = self._cosines(features, folded.canonical_CQ)
            self._hardest[size] = canonical_RC.amax(dim=1, keepdim=True)
        hardest_R1 = self._hardest[size]
        if pixels_B is not None:
            features = UnitFeatures(features.coordinates_RV[pixels_B], features.is_whole)
            hardest_R1 = hardest_R1[pixels_B]
        return self._cosines(features, folded.phrases_PQ).sub_(hardest_R1)

    def _cosines(self, features: UnitFeatures, texts_PQ: Tensor) -> Tensor:
        texts_PV = texts_PQ if features.is_whole else texts_PQ @ self._basis_QV
        return features.coordinates_RV.float() @ texts_PV.T

    def _features(self, size: float) -> UnitFeatures:
        """Unit vectors of all rays at a size; the size unused for longest makes room for it."""
        if size in self._kept:
            self._kept.move_to_end(size)
            return self._kept[size]
        features = self._compressed(self._units(size))
        while self._kept and self.num_bytes + features.num_bytes > self.max_bytes:
            oldest, _ = self._kept.popitem(last=False)
            self._hardest.pop(oldest, None)
        self._kept[size] = features
        return features

    def _compressed(self, units_RQ: Float[Tensor, "r q"]) -> UnitFeatures:
        coordinates_RV = units_RQ @ self._basis_QV
        left_R = units_RQ.square().sum(dim=1) - coordinates_RV.square().sum(dim=1)
        if bool((left_R > RESIDUAL**2).any()):
            return UnitFeatures(units_RQ.half(), is_whole=True)
        return UnitFeatures(coordinates_RV.half(), is_whole=False)

    def _units(self, size: float) -> Float[Tensor, "r q"]:
        sizes_1 = self.sizes_S.new_tensor([size])
        packed, field = self._packed, self._field
        wanted = len(packed.weights_N) * self._mixer_QW.shape[1] * 4
        if wanted > PART_BYTES:
            parts = [self._units_of(one, sizes_1)[0] for one in self.samples.chunks(LANGUAGE_CHUNK)]
            return torch.cat(parts)
        if self._position_part is None:
            self._position_part = field.clip_position_part(field.encode(packed.positions_N3))
        scale_part_W = field.clip_scale_part(sizes_1, self._range_2)[0]
        hidden_RW = packed.rendered(field.clip_hidden(self._position_part, scale_part_W))
        return self._unit(hidden_RW, packed.weight_R)

    def _units_of(self, samples: TopSamples, sizes_S: Tensor) -> Float[Tensor, "s r q"]:
        rendered = rendered_hidden(self._field, samples, sizes_S, self._range_2)
        return torch.stack([self._unit(*one) for one in rendered])

    def _unit(self, hidden_RW: Tensor, weight_R: Tensor) -> Float[Tensor, "r q"]:
        mixed_RQ = torch.cat([hidden_RW, weight_R[:, None]], dim=-1).float() @ self._mixer_QW.T
        unit_RQ = mixed_RQ / mixed_RQ.norm(dim=-1, keepdim=True).clamp(min=1e-9)
        return unit_RQ * (weight_R >= MIN_VISIBLE_WEIGHT)[:, None]


def _keys(folded: FoldedQuery, sizes: Sequence[float] | None) -> list[Hashable]:
    """What tells the answer to one phrase from that to another."""
    own = sizes if sizes is not None else [None] * len(folded.phrases_PQ)
    rows = folded.phrases_PQ.cpu().numpy()
    return [(row.tobytes(), size, folded.temperature) for row, size in zip(rows, own)]


def _best_pixels(found_RP: Float[Tensor, "r p"]) -> Int[Tensor, "b"]:
    return found_RP.topk(min(REFINED_PIXELS, len(found_RP)), dim=0).indices.unique()


def _margins(units: Float[Tensor, "*batch q"], folded: FoldedQuery) -> Float[Tensor, "*batch p"]:
    hardest = (units @ folded.canonical_CQ.T).amax(dim=-1, keepdim=True)
    return units @ folded.phrases_PQ.T - hardest


def _subspace(units_SRQ: Float[Tensor, "s r q"]) -> Float[Tensor, "q v"]:
    """The smallest principal subspace that no vector leaves by more than half of RESIDUAL."""
    units_NQ = units_SRQ.flatten(0, 1)
    _, vectors_QQ = torch.linalg.eigh(units_NQ.T @ units_NQ)
    vectors_QQ = vectors_QQ.flip(-1)
    squares_NQ = (units_NQ @ vectors_QQ).square()
    # What is left when the first v dimensions are taken, for the worst vector of all.
    left_Q = (squares_NQ.sum(dim=1, keepdim=True) - squares_NQ.cumsum(dim=1)).amax(dim=0)
    enough = (left_Q <= (RESIDUAL / 2) ** 2).nonzero().flatten()
    count = int(enough[0]) + 1 if len(enough) else units_NQ.shape[1]
    return vectors_QQ[:, :count].contiguous()


def _trimmed(samples: TopSamples) -> TopSamples:
    """The same samples without the columns in which none weighs anything."""
    used = int((samples.weights_RK >= MIN_SAMPLE_WEIGHT).any(dim=0).sum())
    used = max(used, 1)
    return TopSamples(
        samples.positions_RK3[:, :used].contiguous(), samples.weights_RK[:, :used].contiguous()
    )
