"""Which of several places a phrase means, asked of the photos themselves.

A field blends what many tiles of the photos say of a point, and parts of two things may come out
about as relevant: the leaves of an oak beside a green shrub. Each such place is looked at again:
a tile of the query's size around its most relevant point, and a crop of the whole thing, in the
photos that show it best, go through the encoder as they are, and are also asked whether they are
more like the phrase than like the name of any other thing: a grey rock beside a grey boulder.

What the field finds is doubted where another name fits the photos better. Only names of things that
are known can be judged so: a leaf is no less a leaf for being more like an oak.

A small thing that the field hardly knows is looked for in the tiles of all photos: it is where they
are more like its name than like that of any other thing, if crops of the photos are so too.

Symbols: C cameras, N points of the scene, M points of a region, V views of it, P phrases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from rich.console import Console
from torch import Tensor

from lerf_wild.cli.answers import NO_OTHER
from lerf_wild.cli.runs import Run
from lerf_wild.cli.scored import ScoredScene
from lerf_wild.language.encoders import ImageTextEncoder
from lerf_wild.language.lookup import PyramidEntry
from lerf_wild.language.regions import (
    FoundRegion,
    Sighting,
    find_regions,
    linked_size,
    point_gap,
)
from lerf_wild.language.relevancy import Query, relevancy
from lerf_wild.language.tile_scan import nearest_views, tile_weights, told
from lerf_wild.language.visibility import is_seen, project
from lerf_wild.synth.taxonomy import is_name, others_than

MARGIN = 0.2
"""Regions whose support is within this of the best one's are looked at again."""
VIEWS = 8
"""Photos in which each is looked at."""
LEAST_SIDE = 24.0
"""Pixels of the smallest crop: an encoder says little of fewer."""
TRIM = 0.02
"""Share of a region's points that may stick out of a crop at each side."""
CELLS = 40
"""Columns of the maps that say what hides what."""
OCCLUDERS, PARTS = 50_000, 2_000
"""Most points of the scene from which these maps are made, and of a region that are looked for."""
SIZE_STEP = 3
"""Steps from one size that is looked for in the tiles to the next, in sizes that a query tries."""
TOLD_POINTS = 10_000
"""Most points of the scene at which a thing is looked for in the tiles of the photos."""
OUTLINE = 0.75
"""Such a thing is where tiles say at least this share of what they say most of all."""
DEPTH_TOLERANCE = 0.15
"""Points further behind than this share of the depth are hidden; the maps are coarse."""


class Views(NamedTuple):
    """The cameras of the photos."""

    poses_C34: Float[Tensor, "C 3 4"]
    intrinsics_C6: Float[Tensor, "C 6"]
    """fx, fy, cx, cy, width, height."""


@dataclass(frozen=True)
class SecondLook:
    """Puts the regions of a phrase into the order that field and photos agree on."""

    views: Views
    photo: Callable[[int], Float[Tensor, "3 H W"] | None]
    """None for a photo that can't be read any more: the others speak."""
    points_N3: Float[np.ndarray, "N 3"]
    size_P: Float[np.ndarray, "P"]
    """Size at which each phrase was found, in the units of the points."""
    query: Query
    encoder: ImageTextEncoder
    is_added: Callable[[Float[np.ndarray, "M 3"]], Bool[np.ndarray, "M"]] | None = None
    """Which points are of things that no photo shows."""
    tiles: Callable[[], Sequence[PyramidEntry]] = tuple
    """The pyramids of all photos, or none."""
    sizes: Sequence[float] = ()
    """Of tiles that are looked at, in the units of the points."""
    rivals: Callable[[str], Sequence[str]] = lambda phrase: ()
    """Names of other things for which what a phrase names might be taken."""
    is_name: Callable[[str], bool] = lambda phrase: False
    """Whether it is known which other names hold of what a phrase names."""
    _seen: dict[tuple[int, tuple[float, ...]], list[Tensor]] = field(
        default_factory=dict, init=False
    )
    """What photos show of regions, by phrase and peak."""

    def __call__(self, index: int, regions: list[FoundRegion]) -> list[FoundRegion]:
        """The regions, the likeliest first, rivals with their evidence for support; those with no
        rival stay where they are."""
        rivals = [one for one in regions if one.support > regions[0].support - MARGIN]
        if len(rivals) < 2:
            return regions
        weighed = [replace(one, support=self._comparison(index, one)) for one in rivals]
        weighed.sort(key=lambda one: -one.support)
        # What the field alone speaks for is not to be compared with what the photos had a say in.
        most = weighed[-1].support - MARGIN
        rest = [replace(one, support=min(one.support, most)) for one in regions[len(rivals) :]]
        return weighed + rest

    def evidence(self, index: int, region: FoundRegion) -> float:
        """Mean of what the field, tiles and crops of the whole say of a region, 0 to 1.

        What no photo shows is judged by the rest.
        """
        return self._mean(region, self._shown(index, region), [(self.query, index)])

    def _comparison(self, index: int, region: FoundRegion) -> float:
        """The same with what they say of it among the names of other things."""
        asked = [(self.query, index), (self._among_others(index), 0)]
        return self._mean(region, self._shown(index, region), asked)

    def likeness(self, index: int, region: FoundRegion) -> float | None:
        """Relevancy of what photos show of a region, among the names of all other things; None
        where no photo shows it, and for phrases of which it isn't known which names exclude them.
        """
        shown = self._shown(index, region) if self.is_name(self.query.phrases[index]) else []
        if not shown:
            return None
        among = self._among_others(index)
        return float(np.mean([float(relevancy(rows_VD, among).mean()) for rows_VD in shown]))

    def _shown(self, index: int, region: FoundRegion) -> list[Float[Tensor, "V D"]]:
        """Embeddings of tiles and of crops of the whole, of those that there are."""
        key = (index, region.peak)
        if key not in self._seen:
            kinds = (self._tiles(region, self.size_P[index]), self._wholes(region))
            kinds = () if self._is_added(region) else kinds
            self._seen[key] = [self._encoded(crops) for crops in map(list, kinds) if crops]
        return self._seen[key]

    @staticmethod
    def _mean(
        region: FoundRegion,
        shown: Sequence[Float[Tensor, "V D"]],
        asked: Sequence[tuple[Query, int]],
    ) -> float:
        told = [
            float(relevancy(rows_VD, query)[:, column].mean())
            for query, column in asked
            for rows_VD in shown
        ]
        return float(np.mean([region.support, *told]))

    def sought(self, index: int) -> Sighting | None:
        """Where the photos show a thing that the field doesn't know, if they do."""
        if not self._weights:
            return None
        strict = self._among_others(index)
        tiles_N = told(self._tiles_of_photos, strict)[:, 0]
        told_SM = np.stack([weights @ tiles_N for weights in self._weights])
        best = int(told_SM.max(axis=1).argmax())
        size, least = self.sizes[best], OUTLINE * float(told_SM[best].max())
        link = linked_size(size, point_gap(self._some_points_M3))
        regions = find_regions(self._some_points_M3, told_SM[best], link, least, least, 1)
        if not regions or self._is_added(regions[0]):
            return None
        crops = [*self._tiles(regions[0], size), *self._wholes(regions[0])]
        if not crops or float(relevancy(self._encoded(crops), strict).mean()) <= NO_OTHER:
            return None
        shown = float(relevancy(self._encoded(crops), self.query)[:, index].mean())
        return Sighting(replace(regions[0], score=shown, support=shown), size)

    def _among_others(self, index: int) -> Query:
        """One phrase, for which a picture has to be more like it than like any other thing."""
        phrase = self.query.phrases[index]
        names = tuple(self.rivals(phrase))
        self._encode_names(names)
        others = [self._embedded[name] for name in names]
        canonical_CD = self.query.canonical_CD
        return replace(
            self.query,
            phrases=(phrase,),
            embeddings_PD=self.query.embeddings_PD[index : index + 1],
            canonical=(*self.query.canonical, *names),
            canonical_CD=torch.cat([canonical_CD, *(one.to(canonical_CD) for one in others)]),
        )

    def _encode_names(self, names: Sequence[str]) -> None:
        new = [name for name in names if name not in self._embedded]
        if new:
            self._embedded.update(zip(new, self.encoder.encode_text(new).split(1)))

    @cached_property
    def _embedded(self) -> dict[str, Float[Tensor, "1 D"]]:
        return {}

    @cached_property
    def _tiles_of_photos(self) -> Sequence[PyramidEntry]:
        return self.tiles()

    @cached_property
    def _some_points_M3(self) -> Float[np.ndarray, "M 3"]:
        return np.asarray(self.points_N3[:: -(-len(self.points_N3) // TOLD_POINTS)])

    @cached_property
    def _weights(self) -> list[Any]:
        if not self._tiles_of_photos:
            return []
        projected = self._projected(self._some_points_M3)
        views = nearest_views(*projected, self.views.intrinsics_C6)
        return [tile_weights(views, self._tiles_of_photos, size) for size in self.sizes]

    def _is_added(self, region: FoundRegion) -> bool:
        return self.is_added is not None and bool(self.is_added(region.core_M3).mean() > 0.5)

    def _encoded(self, crops: Sequence[Tensor]) -> Float[Tensor, "V D"]:
        rows = [self.encoder.encode_images(crop[None].to(self.encoder.device)) for crop in crops]
        return torch.cat(rows).to(self.query.embeddings_PD)

    def _tiles(self, region: FoundRegion, size: float) -> Iterator[Float[Tensor, "3 h w"]]:
        """Squares of a size around the peak, in the photos that show it from nearest."""
        pixels_C12, depth_C1, seen_C1 = self._projected(np.array([region.peak]))
        views = torch.where(seen_C1[:, 0], depth_C1[:, 0], torch.inf).argsort()
        for view in views[: min(VIEWS, int(seen_C1.sum()))].tolist():
            side = size * float(self.views.intrinsics_C6[view, 1] / depth_C1[view, 0])
            yield from self._cut(view, pixels_C12[view, 0], side)

    def _wholes(self, region: FoundRegion) -> Iterator[Float[Tensor, "3 h w"]]:
        """Squares around what is seen of it, in the photos that show most of it and largest."""
        some_M3 = region.core_M3[:: len(region.core_M3) // PARTS + 1]
        pixels_CM2, _, seen_CM = self._projected(some_M3)
        found = []
        for view in torch.nonzero(seen_CM.any(dim=1))[:, 0].tolist():
            middle_2, side = square_around(pixels_CM2[view, seen_CM[view]])
            found.append((float(seen_CM[view].float().mean()) * side**2, view, middle_2, side))
        for _, view, middle_2, side in sorted(found, key=lambda one: -one[0])[:VIEWS]:
            yield from self._cut(view, middle_2, side)

    def _cut(
        self, view: int, middle_2: Float[Tensor, "2"], side: float
    ) -> Iterator[Float[Tensor, "3 h w"]]:
        photo_3HW = self.photo(view)
        if photo_3HW is not None:
            yield cropped(photo_3HW, middle_2, side)

    def _projected(self, points_N3: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        poses_C34, intrinsics_C6 = self.views
        pixels, depth = project(torch.from_numpy(points_N3).float(), poses_C34, intrinsics_C6)
        maps = self._depth_maps
        return pixels, depth, is_seen(pixels, depth, intrinsics_C6[:, 4:], 0, maps, DEPTH_TOLERANCE)

    @cached_property
    def _depth_maps(self) -> list[Float[Tensor, "H W"]]:
        some_N3 = np.asarray(self.points_N3[:: len(self.points_N3) // OCCLUDERS + 1])
        points_N3 = torch.from_numpy(some_N3).float()
        return [
            nearest(*(part[0] for part in project(points_N3, pose[None], camera[None])), camera[4:])
            for pose, camera in zip(*self.views)
        ]


def second_look(run: Run, query: Query, found: ScoredScene) -> SecondLook:
    """A second look at the photos of a run, for what a query found in it."""
    dataset = run.dataset("train")
    cameras = dataset.cameras.to("cpu")
    columns = (cameras.fx, cameras.fy, cameras.cx, cameras.cy, cameras.width, cameras.height)
    views = Views(cameras.camera_to_worlds, torch.cat(columns, dim=1).float())
    items = getattr(run.model, "items", None)
    return SecondLook(
        views,
        _Photos(dataset),
        found.points.positions_N3,
        found.size_P,
        query,
        run.model.encoder(),
        None if items is None else items.holds,
        run.kept_tiles,
        run.model.query_sizes().tolist()[::SIZE_STEP],
        others_than,
        is_name,
    )


@dataclass
class _Photos:
    """The photos of a dataset; says once that one can't be read, for a field is there without."""

    dataset: Any
    was_told: bool = False

    def __call__(self, index: int) -> Float[Tensor, "3 H W"] | None:
        try:
            rgb_HW3 = self.dataset.get_image_float32(index)[..., :3]
        except OSError as error:
            self._tell(self.dataset.image_filenames[index], error)
            return None
        return rgb_HW3.permute(2, 0, 1)

    def _tell(self, path: Any, error: OSError) -> None:
        if not self.was_told:
            why = error.strerror or error
            line = f"{path}: can't be read ({why}); places are told apart without such photos."
            Console(stderr=True).print(line, style="yellow", markup=False)
        self.was_told = True


def nearest(
    pixels_N2: Float[Tensor, "N 2"], depth_N: Float[Tensor, "N"], size_2: Sequence[float] | Tensor
) -> Float[Tensor, "H W"]:
    """Depth of the nearest point in each cell of a coarse map, 0 where there is none."""
    width, height = (float(value) for value in size_2)
    rows = int(np.ceil(CELLS * height / width))
    cell_2 = torch.tensor([width / CELLS, height / rows])
    pixels_N2 = torch.nan_to_num(pixels_N2, nan=-1.0, posinf=-1.0, neginf=-1.0)
    column_N, row_N = (pixels_N2 / cell_2).floor().long().unbind(-1)
    is_in = (depth_N > 0) & (column_N >= 0) & (column_N < CELLS) & (row_N >= 0) & (row_N < rows)
    cell_n = row_N[is_in] * CELLS + column_N[is_in]
    flat = torch.full((rows * CELLS,), torch.inf).scatter_reduce(0, cell_n, depth_N[is_in], "amin")
    return torch.where(flat.isinf(), 0.0, flat).reshape(rows, CELLS)


def square_around(pixels_M2: Float[Tensor, "M 2"]) -> tuple[Float[Tensor, "2"], float]:
    """Middle and side of the square around pixels, strays left out."""
    low_2, high_2 = pixels_M2.quantile(TRIM, dim=0), pixels_M2.quantile(1 - TRIM, dim=0)
    return (low_2 + high_2) / 2, float((high_2 - low_2).max())


def cropped(
    photo_3HW: Float[Tensor, "3 H W"], middle_2: Float[Tensor, "2"], side: float
) -> Float[Tensor, "3 h w"]:
    """A square of a photo, or what of it lies in the photo."""
    height, width = photo_3HW.shape[1:]
    half = max(side, LEAST_SIDE) / 2
    (x0, y0), (x1, y1) = ((middle_2 + shift).tolist() for shift in (-half, half))
    rows = slice(max(0, int(y0)), min(height, max(1, round(y1))))
    return photo_3HW[:, rows, max(0, int(x0)) : min(width, max(1, round(x1)))]
