"""The language of a scene's surfaces as a table, and its answers.

Symbols: N points, V voxels, S tile sizes, Q dimensions before compression, K dimensions kept,
D dimensions of the encoder, P phrases, C canonical phrases, T views, M voxels probed in each.

The embeddings of one scene fill few of the encoder's dimensions. With an orthonormal basis B [D, K]
of those, the cosine of a phrase t with a unit embedding e is (B^T t) . (B^T e), but for what e has
outside the basis; B^T e is stored as int8. Neighbouring points share a voxel's embeddings. A voxel
that too few cameras have seen has a row of zeros and relevancy 0.

Only numpy is imported here, so that a baked scene can be asked anywhere.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int8, Integer, UInt8

from lerf_wild.errors import ModelFileError, QueryError
from lerf_wild.frames import Placed
from lerf_wild.language.phrases import TEMPERATURE
from lerf_wild.language.thresholds import EXISTENCE_RELEVANCY

BEST_VIEWS = 0.25
"""Share of the views, those with the highest peaks, whose mean peak decides a phrase's size."""

TOP_SHARE = 2e-4
"""Share of the voxels, the most relevant ones, whose mean is the score of a phrase."""

WORKERS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True, eq=False)
class BakedField(Placed):
    """Points of a scene and their embeddings. Raises ModelFileError when its arrays disagree."""

    positions_N3: Float[np.ndarray, "N 3"]
    """float64 or float32, world frame; the points of a voxel follow each other."""
    normals_N3: Int8[np.ndarray, "N 3"]
    """127 times the unit normal."""
    colours_N3: UInt8[np.ndarray, "N 3"]
    views_N: UInt8[np.ndarray, "N"]
    """Training views that see the point."""
    counts_V: Integer[np.ndarray, "V"]
    """Points of each voxel."""
    codes_SKV: Int8[np.ndarray, "S K V"]
    """Embeddings in the basis, in steps of `steps_K`."""
    steps_K: Float[np.ndarray, "K"]
    basis_DK: Float[np.ndarray, "D K"]
    sizes_S: Float[np.ndarray, "S"]
    """Tile sizes, in metres or world units."""
    transform_34: Float[np.ndarray, "3 4"]
    scale: float
    meters_per_unit: float | None
    encoder: str
    """Identity of the encoder whose texts can be asked."""
    texts: Mapping[str, Float[np.ndarray, "D"]] = field(default_factory=dict)
    """Unit embeddings of the phrases that can be asked without the encoder."""
    metadata: Mapping[str, object] = field(default_factory=dict)
    probes_TM: Integer[np.ndarray, "T M"] = field(
        default_factory=lambda: np.zeros((0, 0), np.int32)
    )
    """Some voxels of each training view, among which phrases are looked for at every size; none
    where the points are of no view."""

    def __post_init__(self) -> None:
        points, (sizes, dims, voxels) = len(self.positions_N3), self.codes_SKV.shape
        shapes = {
            "positions_N3": (points, 3),
            "normals_N3": (points, 3),
            "colours_N3": (points, 3),
            "views_N": (points,),
            "counts_V": (voxels,),
            "steps_K": (dims,),
            "basis_DK": (len(self.basis_DK), dims),
            "sizes_S": (sizes,),
            "transform_34": (3, 4),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                found = list(getattr(self, name).shape)
                raise ModelFileError(f"A baked scene has {name} {found}, expected {list(shape)}.")
        if self.probes_TM.ndim != 2 or not np.isin(self.probes_TM, np.arange(voxels)).all():
            raise ModelFileError("A baked scene's views show voxels that it doesn't have.")
        held = int(self.counts_V.sum(dtype=np.int64))
        if held != points or points == 0 or not self.counts_V.all():
            raise ModelFileError("A baked scene's voxels don't hold its points.")

    @property
    def first_V(self) -> Integer[np.ndarray, "V"]:
        """Index of the first point of each voxel."""
        return np.cumsum(self.counts_V, dtype=np.int64) - self.counts_V

    @property
    def middles_V3(self) -> Float[np.ndarray, "V 3"]:
        """Mean of the points of each voxel."""
        total_V3 = np.add.reduceat(self.positions_N3, self.first_V, axis=0, dtype=np.float64)
        return total_V3 / self.counts_V[:, None]

    @property
    def title(self) -> str:
        """The run that was baked."""
        return str(self.metadata.get("title", "baked scene"))

    def __len__(self) -> int:
        return len(self.positions_N3)


@dataclass(frozen=True)
class BakedAnswer:
    """What a baked scene says of phrases."""

    relevancy_PN: Float[np.ndarray, "P N"]
    """float32, of every point at each phrase's own size."""
    score_P: Float[np.ndarray, "P"]
    size_P: Float[np.ndarray, "P"]
    """In metres or world units."""
    peak_P: Integer[np.ndarray, "P"]
    """Index of the most relevant point."""

    @property
    def present_P(self) -> np.ndarray:
        """Whether each phrase is in the scene."""
        return self.score_P > EXISTENCE_RELEVANCY


class Answerer:
    """A baked field unpacked for many questions."""

    def __init__(self, baked: BakedField) -> None:
        self.baked = baked
        steps_K1 = baked.steps_K.astype(np.float32)[:, None]
        self._features_SKV = [codes_KV * steps_K1 for codes_KV in baked.codes_SKV]
        probes_M = baked.probes_TM.reshape(-1)
        self._probed_SKM = [features_KV[:, probes_M] for features_KV in self._features_SKV]
        self._blank_V = ~baked.codes_SKV.any(axis=(0, 1))
        self._voxel_N = np.repeat(np.arange(len(baked.counts_V)), baked.counts_V)
        self._first_V = baked.first_V
        self._hardest: tuple[bytes, list[np.ndarray]] = (b"", [])
        self._pool = ThreadPoolExecutor(WORKERS)

    def answer(
        self,
        embeddings_PD: Float[np.ndarray, "P D"],
        canonical_CD: Float[np.ndarray, "C D"],
        size: float | None = None,
        temperature: float = TEMPERATURE,
    ) -> BakedAnswer:
        """Scores every point for unit embeddings of phrases.

        Each phrase takes the size at which it peaks in the views that show it best, as a run does,
        or the one that is nearest to `size`. Raises QueryError for embeddings of another length.
        """
        texts_PK, canonical_CK = self._coded(embeddings_PD), self._coded(canonical_CD)
        hardest_SV = self._hardest_of(canonical_CK)
        index_P = self._size_index(texts_PK, hardest_SV, size, temperature)

        def at(row: int) -> np.ndarray:
            index = index_P[row]
            margins_1V = _margins(
                texts_PK[row : row + 1], self._features_SKV[index], hardest_SV[index]
            )
            return _relevancy(margins_1V[0], temperature)

        return self._answer_of(list(self._pool.map(at, range(len(index_P)))), index_P)

    def _answer_of(self, maps_PV: list[np.ndarray], index_P: np.ndarray) -> BakedAnswer:
        relevancy_PN = np.empty((len(maps_PV), len(self.baked)), np.float32)

        def spread(row: int) -> None:
            np.take(maps_PV[row], self._voxel_N, out=relevancy_PN[row], mode="clip")

        list(self._pool.map(spread, range(len(maps_PV))))
        return BakedAnswer(
            relevancy_PN=relevancy_PN,
            score_P=np.array([top_mean(map_V) for map_V in maps_PV]),
            size_P=self.baked.sizes_S[index_P],
            peak_P=self._first_V[[int(map_V.argmax()) for map_V in maps_PV]],
        )

    def _coded(self, embeddings: np.ndarray) -> np.ndarray:
        dims = len(self.baked.basis_DK)
        if embeddings.ndim != 2 or embeddings.shape[1] != dims:
            raise QueryError(
                f"The phrases have embeddings of shape {list(embeddings.shape)}, but this scene "
                f"was baked with {dims} dimensions ({self.baked.encoder})."
            )
        return np.asarray(embeddings, np.float32) @ self.baked.basis_DK.astype(np.float32)

    def _hardest_of(self, canonical_CK: np.ndarray) -> list[np.ndarray]:
        key = canonical_CK.tobytes()
        if self._hardest[0] != key:
            hardest_SV = [(canonical_CK @ one_KV).max(axis=0) for one_KV in self._features_SKV]
            for hardest_V in hardest_SV:
                hardest_V[self._blank_V] = np.inf
            self._hardest = (key, hardest_SV)
        return self._hardest[1]

    def _size_index(
        self,
        texts_PK: np.ndarray,
        hardest_SV: list[np.ndarray],
        size: float | None,
        temperature: float,
    ) -> np.ndarray:
        if size is not None:
            nearest = int(np.abs(np.log(self.baked.sizes_S / max(size, 1e-9))).argmin())
            return np.full(len(texts_PK), nearest)
        probes_TM = self.baked.probes_TM

        def peaks(index: int) -> np.ndarray:
            if probes_TM.size == 0:
                return top(_margins(texts_PK, self._features_SKV[index], hardest_SV[index]))
            hardest_M = hardest_SV[index][probes_TM.reshape(-1)]
            margins_PM = _margins(texts_PK, self._probed_SKM[index], hardest_M)
            peaks_PT = margins_PM.reshape(-1, *probes_TM.shape).max(axis=-1)
            return best_mean(_relevancy(peaks_PT, temperature))

        return np.stack(list(self._pool.map(peaks, range(len(hardest_SV))))).argmax(axis=0)


def top_mean(values_V: Float[np.ndarray, "V"], share: float = TOP_SHARE) -> float:
    """Returns the mean of the largest values: a single stray one must not decide."""
    count = max(1, round(share * len(values_V)))
    if count == 1:
        return float(values_V.max())
    return float(np.partition(values_V, len(values_V) - count)[-count:].mean())


def best_mean(peaks_PT: Float[np.ndarray, "P T"], share: float = BEST_VIEWS) -> np.ndarray:
    """Returns the mean [P] of each phrase's highest peaks, those of the views that show it best."""
    return np.sort(peaks_PT, axis=1)[:, -math.ceil(share * peaks_PT.shape[1]) :].mean(axis=1)


def top(values_PV: Float[np.ndarray, "P V"], share: float = TOP_SHARE) -> Float[np.ndarray, "P"]:
    """Returns about `top_mean` of each row: the mean of the peaks of interleaved parts.

    Halves are laid on each other until as many columns are left as `top_mean` takes values; that is
    twenty times faster than sorting, and neighbouring voxels, of one object, stay apart to the end.
    """
    count = max(1, round(share * values_PV.shape[1]))
    while values_PV.shape[1] >= 2 * count:
        half = values_PV.shape[1] // 2
        folded_PV = np.maximum(values_PV[:, :half], values_PV[:, half : 2 * half])
        np.maximum(folded_PV[:, 0], values_PV[:, -1], out=folded_PV[:, 0])
        values_PV = folded_PV
    return values_PV.mean(axis=1)


def _margins(texts_PK: np.ndarray, features_KV: np.ndarray, hardest_V: np.ndarray) -> np.ndarray:
    margins_PV = texts_PK @ features_KV
    margins_PV -= hardest_V
    return margins_PV


def _relevancy(margin_V: np.ndarray, temperature: float) -> np.ndarray:
    # exp of -inf is 0 and that of a large margin overflows to inf, whose reciprocal is right.
    with np.errstate(over="ignore"):
        odds_V = np.exp(margin_V * np.float32(-temperature))
    odds_V += 1
    return np.reciprocal(odds_V, out=odds_V)
