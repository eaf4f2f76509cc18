"""The items of a run, kept up to date with their file, and how they get into rendered rays.

Symbols: R rays of a bundle, C those that may meet an item, S samples, K rays through a pixel.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle, RaySamples
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from lerf_wild.assets.library import Library
from lerf_wild.errors import LerfWildError
from lerf_wild.language.encoders import ImageTextEncoder
from lerf_wild.wildlife.clearings import ClearedGround, column_of, is_cleared
from lerf_wild.wildlife.compositing import Mixed, mean_depth, median_depth, mixed
from lerf_wild.wildlife.ground import Ground
from lerf_wild.wildlife.items import Clearing
from lerf_wild.wildlife.likeness import Likeness, likeness_of
from lerf_wild.wildlife.looks import look_of
from lerf_wild.wildlife.placing import odd_place
from lerf_wild.wildlife.population import Population
from lerf_wild.wildlife.population_files import read_population
from lerf_wild.wildlife.shading import item_colours, shadow_factors, soft_shadow_factors
from lerf_wild.wildlife.stage import Stage
from lerf_wild.wildlife.surroundings import Surroundings
from lerf_wild.wildlife.tracing import ItemScene, scene_of, stand

SHARE, FOREMOST, NUMBER = "item_share", "item_foremost", "items"
"""Layers: how much of each pixel items are, the index of the one that is most of it, and the number
of the one at the middle of the pixel (1 for the first of the file's visible items, 0 for none)."""

MOSTLY = 0.5
"""An item of which the field before it lets this much through is seen at the middle of a pixel."""

BESIDE_M = 0.03
"""Surface points of an item may lie this far outside of its box: depths are not exact."""

SHADOWED_ACCUMULATION = 0.5
"""Rays that the field stops less than this show no surface on which a shadow could fall."""


@dataclass(frozen=True)
class Shown:
    """One state of the items, ready to be drawn."""

    population: Population
    scene: ItemScene
    troubles: tuple[str, ...]
    version: int


@dataclass(frozen=True)
class Cleared:
    """What follows from the clearings of one state."""

    field: ClearedGround
    ground: Ground
    """Without what stood there."""


@dataclass
class ItemField:
    """The items of one run."""

    path: Path
    stage: Stage
    library: Callable[[], Library]
    surroundings: Callable[[], Surroundings]
    on_trouble: Callable[[str], None] = lambda line: CONSOLE.print(line, markup=False)
    _shown: Shown | None = None
    _stamp: tuple[int, int] | None = None
    _likeness: tuple[int, Likeness] | None = None
    _kept_cleared: tuple[tuple[Clearing, ...], Cleared] | None = None
    _judged: int = -1
    _odd: set[str] = field(default_factory=set)
    _lock: Any = field(default_factory=threading.RLock)

    @property
    def version(self) -> int:
        """Changes whenever an item does."""
        return self.shown().version

    def shown(self) -> Shown:
        """The items as the file has them now; the last good state while it is damaged."""
        with self._lock:
            stamp = _stamp(self.path)
            if self._shown is None or stamp != self._stamp:
                try:
                    self.show(read_population(self.path))
                    # What was written while it was read is to be read next time.
                    self._stamp = stamp
                except LerfWildError as error:
                    self._stamp = stamp
                    self.on_trouble(str(error))
                    if self._shown is None:
                        self.show(Population())
            return self._shown  # type: ignore[return-value]

    def show(self, population: Population) -> Shown:
        """Shows a population at once, until the file changes; tells what can't be shown."""
        self._stamp = _stamp(self.path)
        library, standing, troubles = self.library(), [], list(population.troubles)
        for item in population.visible:
            try:
                standing.append(stand(item, look_of(item, library), self.stage))
            except LerfWildError as error:
                troubles.append(str(error))
        self._tell(troubles)
        with self._lock:
            number = 0 if self._shown is None else self._shown.version + 1
            self._shown = Shown(population, scene_of(standing), tuple(troubles), number)
        return self._shown

    def _tell(self, lines: Sequence[str]) -> None:
        """Tells each trouble once for as long as it lasts."""
        known = set() if self._shown is None else set(self._shown.troubles)
        for line in lines:
            if line not in known:
                self.on_trouble(line)

    def _tell_odd_places(self, shown: Shown) -> None:
        """Tells of items that stand where they can't be meant to; they are drawn all the same."""
        if self._judged == shown.version or self.surroundings().known_ground is None:
            return
        ground = self.ground()
        self._judged = shown.version
        found = [odd_place(one.foot_3, ground, one.item.id) for one in shown.scene.standing]
        fresh = {line for line in found if line is not None}
        for line in sorted(fresh - self._odd):
            self.on_trouble(line)
        self._odd = fresh

    def cleared_ground(self) -> ClearedGround | None:
        """How the field is asked where places are cleared; None where none is."""
        cleared = self._cleared()
        return None if cleared is None else cleared.field

    def ground(self) -> Ground:
        """The ground, without what was cleared; raises WildlifeError where there is none."""
        cleared = self._cleared()
        return self.surroundings().ground if cleared is None else cleared.ground

    def holds(self, points_N3: Float[np.ndarray, "N 3"]) -> np.ndarray:
        """Which points, in the frame of the training, lie in the box around an item."""
        staged_N3 = self.stage.from_nerf(np.asarray(points_N3))
        held_N = np.zeros(len(staged_N3), bool)
        for one in self.shown().scene.standing:
            low_3, high_3 = one.vertices_V3.min(axis=0), one.vertices_V3.max(axis=0)
            held_N |= ((staged_N3 > low_3 - BESIDE_M) & (staged_N3 < high_3 + BESIDE_M)).all(axis=1)
        return held_N

    def _cleared(self) -> Cleared | None:
        clearings = self.shown().population.clearings
        if not clearings:
            return None
        with self._lock:
            if self._kept_cleared is None or self._kept_cleared[0] != clearings:
                around = self.surroundings()
                columns = [column_of(one, self.stage) for one in clearings]
                is_left_N = ~is_cleared(around.points_N3, columns, around.field_ground)
                left = Cleared(
                    ClearedGround(columns, around.field_ground), around.ground_under(is_left_N)
                )
                self._kept_cleared = (clearings, left)
            return self._kept_cleared[1]

    def likeness(self, encoder: Callable[[], ImageTextEncoder]) -> Likeness:
        """Embeddings of the items that are shown."""
        shown = self.shown()
        if self._likeness is None or self._likeness[0] != shown.version:
            looks = [one.look for one in shown.scene.standing]
            self._likeness = (shown.version, likeness_of(looks, encoder()))
        return self._likeness[1]

    @torch.no_grad()
    def put_into(
        self,
        rays: RayBundle,
        outputs: dict[str, Any],
        samples: RaySamples,
        weights_RS1: Tensor,
        colours_RS3: Tensor,
        pixel_rays: int,
        has_shadows: bool,
    ) -> Tensor:
        """Puts the items into what a field rendered; returns the weights that are left.

        Changes rgb, accumulation, depth and expected_depth, and fills the layers of items.
        """
        shown = self.shown()
        scene = shown.scene
        if len(scene) == 0:
            return weights_RS1
        self._tell_odd_places(shown)
        origins_R3, directions_R3 = self._on_stage(rays)
        factors_R3 = torch.ones_like(outputs["rgb"])
        if has_shadows:
            factors_R3 = self._shadows(
                scene, (rays, origins_R3, directions_R3), outputs, pixel_rays
            )
        outputs["rgb"] = outputs["rgb"] * factors_R3
        near = scene.near(origins_R3, directions_R3)
        rows = np.unique(np.concatenate(near))
        if len(rows) == 0:
            return weights_RS1
        places_CK3, towards_CK3 = _pixel_rays(rays, rows, origins_R3, directions_R3, pixel_rays)
        within = [np.searchsorted(rows, one) for one in near]
        found = self._traced(scene, places_CK3, towards_CK3, within)
        index = torch.from_numpy(rows).to(weights_RS1.device)
        return _composited(outputs, samples, weights_RS1, colours_RS3, factors_R3, index, found)

    def _on_stage(self, rays: RayBundle) -> tuple[np.ndarray, np.ndarray]:
        origins = self.stage.from_nerf(rays.origins.reshape(-1, 3).cpu().numpy())
        directions = self.stage.directions_from_nerf(rays.directions.reshape(-1, 3).cpu().numpy())
        return origins, directions

    def _shadows(
        self,
        scene: ItemScene,
        staged: tuple[RayBundle, np.ndarray, np.ndarray],
        outputs: dict[str, Any],
        pixel_rays: int,
    ) -> Tensor:
        """What items leave of the light of each ray's surface, as factors on sRGB colours.

        `staged` has the rays, and their origins and directions on the stage.
        """
        rgb, surroundings = outputs["rgb"], self.surroundings()
        light, ground = surroundings.light, surroundings.known_ground
        rays, origins_R3, directions_R3 = staged
        depth_R = outputs["depth"][:, 0].cpu().numpy().astype(np.float64)
        solid = np.flatnonzero(outputs["accumulation"][:, 0].cpu().numpy() > SHADOWED_ACCUMULATION)
        reach_R1 = (depth_R * self.stage.metres_per_nerf)[solid, None]
        points, is_ground = origins_R3[solid] + reach_R1 * directions_R3[solid], np.zeros(0, bool)
        if ground is not None:
            # Where the photos have the ground: a few centimetres move a low sun's shadow far.
            points, is_ground = ground.met(points, directions_R3[solid])
        towards = np.broadcast_to(light.light.sun_direction_3, points.shape)
        shaded = np.unique(np.concatenate(scene.near(points, towards)))
        rows, points = solid[shaded], points[shaded]
        normals = surroundings.ground_normals(points[:, :2])
        factors = np.ones((len(depth_R), 3), np.float32)
        factors[rows] = shadow_factors(scene, light, points, normals)
        if ground is not None and len(rows) > 0:
            _, spread = _pixel_rays(rays, rows, origins_R3, directions_R3, pixel_rays)
            own = is_ground[shaded]
            factors[rows[own]] = soft_shadow_factors(
                scene, light, points[own], normals[own], origins_R3[rows[own]], spread[own, :-1]
            )
        return torch.from_numpy(factors).to(rgb)

    def _traced(
        self,
        scene: ItemScene,
        origins_CK3: np.ndarray,
        directions_CK3: np.ndarray,
        near: Sequence[np.ndarray],
    ) -> "TracedPixels":
        """What the rays through pixels meet; `near` has the pixels that each item may be in."""
        flat_o, flat_d = origins_CK3.reshape(-1, 3), directions_CK3.reshape(-1, 3)
        each = np.arange(origins_CK3.shape[1])
        rows = [(len(each) * one[:, None] + each).ravel() for one in near]
        hits = scene.trace(flat_o, flat_d, rows)
        reach = np.where(hits.hit, hits.distance_N, 0.0).astype(np.float64)
        points = flat_o + reach[:, None] * flat_d
        colours = item_colours(scene, self.surroundings().light, points, hits)
        shape = origins_CK3.shape[:2]
        return TracedPixels(
            torch.from_numpy((hits.distance_N / self.stage.metres_per_nerf).reshape(shape)).float(),
            torch.from_numpy(colours.reshape(*shape, 3)),
            torch.from_numpy(hits.index_N.reshape(shape)).long(),
        )


@dataclass(frozen=True)
class TracedPixels:
    """What the rays through some pixels meet of items; the last ray is that of the middle."""

    distance_CK: Float[Tensor, "c k"]
    """In the training's units, infinite for a miss."""
    colours_CK3: Float[Tensor, "c k 3"]
    index_CK: Tensor
    """Number of the item, -1 for none."""

    @property
    def count(self) -> int:
        """Rays of a pixel."""
        return self.index_CK.shape[1]


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino


def _pixel_rays(
    rays: RayBundle,
    rows: np.ndarray,
    origins_R3: np.ndarray,
    directions_R3: np.ndarray,
    side: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Rays through a regular grid of each pixel and through its middle, as unit directions, for any
    kind of camera."""
    origins, middle = origins_R3[rows], directions_R3[rows]
    area = np.zeros(len(origins_R3))
    if rays.pixel_area is not None:
        area = rays.pixel_area.reshape(-1).cpu().numpy().astype(np.float64)
    width = np.sqrt(np.maximum(area[rows], 0.0))[:, None]
    level = np.cross(middle, [0.0, 0.0, 1.0])
    short = np.linalg.norm(level, axis=1, keepdims=True) < 1e-6
    across = np.where(short, [1.0, 0.0, 0.0], level)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    upwards = np.cross(across, middle)
    steps = (np.arange(side) + 0.5) / side - 0.5
    grid = [*np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2), (0.0, 0.0)]
    spread = [middle + width * (x * across + y * upwards) for x, y in grid]
    directions = np.stack(spread, axis=1)
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    return np.broadcast_to(origins[:, None], directions.shape), directions


def _composited(
    outputs: dict[str, Any],
    samples: RaySamples,
    weights_RS1: Tensor,
    colours_RS3: Tensor,
    factors_R3: Tensor,
    index_C: Tensor,
    found: TracedPixels,
) -> Tensor:
    device = weights_RS1.device
    starts_CS = samples.frustums.starts[index_C][..., 0].float()
    ends_CS = samples.frustums.ends[index_C][..., 0].float()
    rays = (weights_RS1[index_C][..., 0].float(), starts_CS, ends_CS)
    distance_CK, centre_C1 = found.distance_CK.to(device).split([found.count - 1, 1], dim=1)
    middle_CS = (starts_CS + ends_CS) / 2
    one: Mixed = mixed(*rays, distance_CK)
    colours_CS3 = colours_RS3[index_C].float()
    seen_C3 = (one.weights_RS[..., None] * colours_CS3).sum(dim=1)
    # Behind the last sample is what nerfstudio takes for the background: that sample's colour.
    seen_C3 = (seen_C3 + one.behind_R1 * colours_CS3[:, -1]) * factors_R3[index_C]
    item_C3 = (one.item_weights_RK[..., None] * found.colours_CK3[:, :-1].to(device)).sum(dim=1)
    item_C1 = one.item_weights_RK.sum(dim=1, keepdim=True)
    heaviest_C1 = one.item_weights_RK.argmax(dim=1, keepdim=True)
    depths = (middle_CS, one.weights_RS, distance_CK, one.item_weights_RK)
    items_CK, at_centre_C1 = found.index_CK.to(device).split([found.count - 1, 1], dim=1)
    is_met_C1 = (found.index_CK >= 0).any(dim=1, keepdim=True).to(device)
    is_seen_C1 = mixed(*rays, centre_C1).item_weights_RK >= MOSTLY
    fresh = {
        "rgb": (seen_C3 + item_C3).clamp(0, 1),
        "accumulation": one.weights_RS.sum(dim=1, keepdim=True) + item_C1,
        "depth": median_depth(*depths),
        "expected_depth": mean_depth(*depths),
        SHARE: item_C1,
        FOREMOST: items_CK.gather(1, heaviest_C1).clamp(min=0).float(),
        NUMBER: (at_centre_C1 + 1) * is_seen_C1,
    }
    for name, value in fresh.items():
        kept = outputs[name][index_C]
        outputs[name] = outputs[name].clone()
        outputs[name][index_C] = torch.where(is_met_C1, value.to(kept), kept)
    left = weights_RS1.clone()
    left[index_C] = one.weights_RS[..., None].to(left)
    return left
