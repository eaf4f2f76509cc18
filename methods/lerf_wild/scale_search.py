"""Answering phrases from rendered hidden vectors, over many tile sizes at once.

Symbols: R rays, K samples a ray, W hidden width, D CLIP dimensions, Q = min(D, W + 1), P phrases,
C canonical phrases, S scales.

LERF renders D-dimensional embeddings at 30 scales for every pixel, twice. Here, with
H = sum_i w_i h_i and A = sum_i w_i, the cosine of a phrase t with the rendered embedding is

    t . (M H + b A) / |M H + b A|,    [M b] = Q S  (orthonormal Q)
    = (Q^T t) . y / |y|,              y = S [H; A],

which is exact and never forms a D-vector. The part of the network that sees the position is
evaluated once for all scales, and samples that hardly weigh anything are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lerf_wild.language.relevancy import Query, relevancy_from_cosines
from lerf_wild.methods.lerf_wild.field import LanguageField, folded_head

MIN_SAMPLE_WEIGHT = 1e-4
"""Samples that weigh less are skipped. On a trained scene most of a ray's samples do."""

MIN_VISIBLE_WEIGHT = 0.05
"""Rays of which less than this lies in well-seen places answer 0 to everything."""

MIN_VISIBLE_SHARE = 0.5
"""So do rays with less than this share of their weight there, as those that end in the sky: the
little that a haze before it holds was taught by the pictures of what stands behind."""


@dataclass(frozen=True)
class TopSamples:
    """The heaviest samples of each ray, all that the language field needs of a view."""

    positions_RK3: Float[Tensor, "r k 3"]
    """Contracted positions in [0, 1]."""
    weights_RK: Float[Tensor, "r k"]
    """Rendering weights, zero where too few training views see the place."""

    def __len__(self) -> int:
        return len(self.weights_RK)

    def take(self, rays: Int[Tensor, "n"]) -> TopSamples:
        """The samples of some of the rays."""
        return TopSamples(self.positions_RK3[rays], self.weights_RK[rays])

    def chunks(self, size: int) -> Iterable[TopSamples]:
        """Yields the rays in order, at most `size` at a time."""
        for positions, weights in zip(self.positions_RK3.split(size), self.weights_RK.split(size)):
            yield TopSamples(positions, weights)


def concatenate(parts: list[TopSamples]) -> TopSamples:
    """Joins the samples of consecutive chunks of rays."""
    return TopSamples(
        torch.cat([part.positions_RK3 for part in parts]),
        torch.cat([part.weights_RK for part in parts]),
    )


@dataclass(frozen=True)
class FoldedQuery:
    """A query with the last layer of the field folded into it."""

    mixer_QW1: Float[Tensor, "q w1"]
    phrases_PQ: Float[Tensor, "p q"]
    canonical_CQ: Float[Tensor, "c q"]
    temperature: float

    def relevancy(
        self, hidden_RW: Float[Tensor, "*batch w"], weight_R: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch p"]:
        """Relevancy of rendered hidden vectors; 0 where hardly anything visible was hit."""
        stacked = torch.cat([hidden_RW, weight_R[..., None]], dim=-1)
        mixed = nn.functional.normalize(stacked @ self.mixer_QW1.T, dim=-1, eps=1e-12)
        value = relevancy_from_cosines(
            mixed @ self.phrases_PQ.T, mixed @ self.canonical_CQ.T, self.temperature
        )
        return value * (weight_R >= MIN_VISIBLE_WEIGHT)[..., None]

    def pick(self, phrases: Int[Tensor, "n"]) -> FoldedQuery:
        """The same query with some of its phrases."""
        return replace(self, phrases_PQ=self.phrases_PQ[phrases])


def fold_query(query: Query, head: nn.Linear) -> FoldedQuery:
    """Folds a linear CLIP head into the embeddings of a query."""
    basis_DQ, mixer = folded_head(head)
    query = query.to(basis_DQ.device)
    return FoldedQuery(
        mixer_QW1=mixer,
        phrases_PQ=query.embeddings_PD.float() @ basis_DQ,
        canonical_CQ=query.canonical_CD.float() @ basis_DQ,
        temperature=query.temperature,
    )


def log_spaced_sizes(log2_range: Float[Tensor, "2"], count: int) -> Float[Tensor, "s"]:
    """Tile sizes from the smallest to the largest, even in their logarithm (nerf units)."""
    share = torch.linspace(0, 1, max(count, 1), device=log2_range.device)
    return torch.exp2(log2_range[0] + share * (log2_range[1] - log2_range[0]))


@dataclass(frozen=True)
class PackedSamples:
    """The samples that weigh anything, ray after ray in one list of N."""

    positions_N3: Float[Tensor, "n 3"]
    weights_N: Float[Tensor, "n"]
    starts_R: Int[Tensor, "r"]
    """Where each ray's samples begin."""
    weight_R: Float[Tensor, "r"]
    """Sum of each ray's weights."""

    def rendered(self, hidden_NW: Float[Tensor, "n w"]) -> Float[Tensor, "r w"]:
        """Volume-renders vectors of the samples."""
        # Rows from one start to the next are a ray's: a weighted sum without a padded tensor.
        rows_N = torch.arange(len(hidden_NW), device=hidden_NW.device)
        weights_N = self.weights_N.to(hidden_NW)
        return nn.functional.embedding_bag(
            rows_N, hidden_NW, self.starts_R, mode="sum", per_sample_weights=weights_N
        )


def pack(samples: TopSamples) -> PackedSamples:
    """Leaves out the samples that hardly weigh anything."""
    kept = samples.weights_RK >= MIN_SAMPLE_WEIGHT
    counts_R = kept.sum(dim=1)
    return PackedSamples(
        positions_N3=samples.positions_RK3[kept],
        weights_N=samples.weights_RK[kept],
        starts_R=counts_R.cumsum(0) - counts_R,
        weight_R=(samples.weights_RK * kept).sum(dim=1),
    )


def rendered_hidden(
    field: LanguageField,
    samples: TopSamples,
    sizes_S: Float[Tensor, "s"],
    log2_range: Float[Tensor, "2"],
) -> Iterator[tuple[Float[Tensor, "r w"], Float[Tensor, "r"]]]:
    """Yields, for each tile size, the rendered hidden vectors and the weight that they hold."""
    packed = pack(samples)
    position_part_NW = field.clip_position_part(field.encode(packed.positions_N3))
    for scale_part_W in field.clip_scale_part(sizes_S, log2_range):
        hidden_NW = field.clip_hidden(position_part_NW, scale_part_W)
        yield packed.rendered(hidden_NW), packed.weight_R


def relevancy_over_sizes(
    field: LanguageField,
    samples: TopSamples,
    folded: FoldedQuery,
    sizes_S: Float[Tensor, "s"],
    log2_range: Float[Tensor, "2"],
) -> Float[Tensor, "r s p"]:
    """Relevancy of every ray at every tile size."""
    rendered = rendered_hidden(field, samples, sizes_S, log2_range)
    return torch.stack([folded.relevancy(*one) for one in rendered], dim=1)


def best_indices(
    field: LanguageField,
    samples: TopSamples,
    folded: FoldedQuery,
    sizes_S: Float[Tensor, "s"],
    log2_range: Float[Tensor, "2"],
    chunk: int,
) -> Int[Tensor, "p"]:
    """Per phrase the index of the tile size with the highest relevancy over all rays."""
    peaks = []
    for part in samples.chunks(chunk):
        rendered = rendered_hidden(field, part, sizes_S, log2_range)
        peaks.append(torch.stack([folded.relevancy(*one).amax(dim=0) for one in rendered]))
    return torch.stack(peaks).amax(dim=0).argmax(dim=0)


def relevancy_at_indices(
    field: LanguageField,
    samples: TopSamples,
    folded: FoldedQuery,
    sizes_S: Float[Tensor, "s"],
    index_P: Int[Tensor, "p"],
    log2_range: Float[Tensor, "2"],
    chunk: int,
) -> Float[Tensor, "r p"]:
    """Relevancy of every ray with each phrase at its own size; a shared size is evaluated once."""
    used = index_P.unique()
    found_RP = samples.weights_RK.new_zeros(len(samples), len(index_P))
    start = 0
    for part in samples.chunks(chunk):
        rows = slice(start, start + len(part))
        start += len(part)
        rendered = rendered_hidden(field, part, sizes_S[used], log2_range)
        for index, one in zip(used, rendered):
            phrases = (index_P == index).nonzero().flatten()
            found_RP[rows, phrases] = folded.pick(phrases).relevancy(*one)
    return found_RP
