"""Items that really are in the photos: place, heading and height by rendering and comparing.

Symbols: R rays, d the distance at which the field stops a ray, t that of the item's surface.
Frame: the stage (metres, z up).

Rays of the capture's own cameras that pass the item's surroundings are marched once. A guess of the
item is then traced along them, and each ray says how well it agrees:

    item hit, something there     depth and colour against the field's depth and the photo's colour
    item hit, field goes beyond   wrong (1)
    item hit behind the field     nothing (the item would be hidden)
    item missed, thing there      wrong (1): a surface over the ground that the item should explain

The mean is lowered without derivatives from several headings (Nelder and Mead, 1965).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.optimize import minimize

from lerf_wild.errors import WildlifeError
from lerf_wild.render.light import ambient
from lerf_wild.wildlife.footprints import Footprint, footprint_of
from lerf_wild.wildlife.ground import Ground
from lerf_wild.wildlife.items import Item, checked, quaternion_of, upright
from lerf_wild.wildlife.looks import Look
from lerf_wild.wildlife.placing import foot_height
from lerf_wild.wildlife.scene_light import SceneLight
from lerf_wild.wildlife.settling import yaw_in
from lerf_wild.wildlife.shading import GAMMA
from lerf_wild.wildlife.stage import Stage
from lerf_wild.wildlife.tracing import ItemHits, Standing, scene_of, stand

DEPTH_M = 0.12
"""Difference in depth that counts as half wrong."""
BEYOND_M = 0.3
"""A ray that goes on for this much behind the item is not stopped by it."""
COLOUR = 0.25
"""Difference in sRGB that counts as half wrong, and the weight of colours below."""
COLOUR_WEIGHT = 0.35
THING_M = 0.08
"""Surfaces higher than this above the ground are of things."""
HEADINGS_DEG = (0.0, -20.0, 20.0, -40.0, 40.0)
STEPS = (0.12, 0.12, 0.2, 0.12, 0.06)
"""First steps in x, y (metres), heading (rad), the logarithm of the height, and off the ground."""
MIN_RAYS = 60
MAX_SHIFT_M, MAX_LIFT_M = 0.8, 0.12
"""How far an item may move along the ground, and off it: where a thing stands, no photo shows the
ground below it, and what the field takes for ground there is some centimetres off."""


@dataclass(frozen=True)
class Observed:
    """What the capture's cameras and its field say around an item."""

    origins_R3: Float[np.ndarray, "R 3"]
    directions_R3: Float[np.ndarray, "R 3"]
    distance_R: Float[np.ndarray, "R"]
    """Metres; infinite where the field stops nothing."""
    colours_R3: Float[np.ndarray, "R 3"]
    """sRGB of the photos, 0-1."""


@dataclass(frozen=True)
class Refined:
    """A refined item and how well it agrees with the photos, 0 for fully and 1 for not at all."""

    item: Item
    before: float
    after: float


def refine(
    item: Item,
    look: Look,
    stage: Stage,
    observed: Observed,
    ground: Ground,
    scene_light: SceneLight,
    evaluations: int = 160,
) -> Refined:
    """Moves, turns and scales an item until it agrees best with what was observed.

    Args:
        item: The item, at about its place.
        look: Its look.
        stage: The stage.
        observed: Rays through its surroundings.
        ground: What it stands on.
        scene_light: The light of the scene.
        evaluations: Guesses that are traced from each heading.

    Raises:
        WildlifeError: when too few rays pass its surroundings.
    """
    if len(observed.origins_R3) < MIN_RAYS:
        raise WildlifeError(
            f"Item {item.id!r}: only {len(observed.origins_R3)} rays of the photos pass it; it can "
            "be refined only where photos show it."
        )
    guess = _Guess(item, look, stage, observed, ground, scene_light)
    start = np.zeros(len(STEPS))
    before = guess.cost(start)
    found = [_lowered(guess, np.radians(turn), evaluations) for turn in HEADINGS_DEG]
    best, after = min(found, key=lambda one: one[1])
    if after >= before:
        return Refined(item, before, before)
    return Refined(guess.item_at(best), before, after)


def _lowered(guess: _Guess, turn_rad: float, evaluations: int) -> tuple[NDArray, float]:
    start = np.array([0.0, 0.0, turn_rad, 0.0, 0.0])
    corners = np.vstack([start, start + np.diag(STEPS)])
    found = minimize(
        guess.cost,
        start,
        method="Nelder-Mead",
        options={"initial_simplex": corners, "maxfev": evaluations, "xatol": 1e-3, "fatol": 1e-5},
    )
    return found.x, float(found.fun)


@dataclass(frozen=True)
class _Guess:
    item: Item
    look: Look
    stage: Stage
    observed: Observed
    ground: Ground
    scene_light: SceneLight

    def item_at(self, change_5: NDArray) -> Item:
        """The item moved by x and y, turned, scaled by an exponent, and lifted off the ground."""
        height = float(np.clip(self.item.height_m * np.exp(change_5[3]), 2e-3, 9e2))
        yaw = yaw_in(self.stage, self.item) + float(change_5[2])
        foot = self.stage.from_world(np.array([self.item.position]))[0]
        foot[:2] += change_5[:2]
        box: Footprint = footprint_of(self.look, height)
        foot[2] = foot_height(box, foot[:2], yaw, self.ground) + float(change_5[4])
        world = self.stage.to_world(foot[None])[0]
        turn = quaternion_of(self.stage.turn_33.T @ upright(yaw))
        position = tuple(float(value) for value in world)
        return checked(self.item, position=position, rotation=turn, height_m=height)

    def cost(self, change_5: NDArray) -> float:
        """How badly a guess agrees, 0-1 and more where it is far off."""
        stray = max(float(np.linalg.norm(change_5[:2])) - MAX_SHIFT_M, 0.0)
        stray += max(abs(float(change_5[3])) - 0.5, 0.0)
        stray += max(abs(float(change_5[4])) - MAX_LIFT_M, 0.0)
        one = stand(self.item_at(change_5), self.look, self.stage)
        return disagreement(one, self.observed, self.ground, self.scene_light) + stray


def disagreement(
    one: Standing, observed: Observed, ground: Ground, scene_light: SceneLight
) -> float:
    """How badly an item agrees with what was observed, 0 for fully and 1 for not at all."""
    hits = scene_of([one]).trace(observed.origins_R3, observed.directions_R3)
    hit, gap = hits.hit, np.zeros(len(hits.distance_N))
    gap[hit] = observed.distance_R[hit] - hits.distance_N[hit]
    thing = _is_thing(observed, ground)
    wrong = np.zeros(len(gap))
    wrong[~hit & thing] = 1.0
    wrong[hit & (gap > BEYOND_M)] = 1.0
    near = np.flatnonzero(hit & (np.abs(gap) <= BEYOND_M))
    colours = _plain_colours(hits, near, scene_light)
    difference = np.linalg.norm(colours - observed.colours_R3[near], axis=1)
    wrong[near] = (1 - COLOUR_WEIGHT) * _half_at(np.abs(gap[near]), DEPTH_M)
    wrong[near] += COLOUR_WEIGHT * _half_at(difference, COLOUR)
    # Rays on which the item and the scene have nothing to say would only dilute the mean.
    counted = thing | (hit & (gap > -BEYOND_M))
    return float(wrong[counted].sum() / max(int(counted.sum()), 1))


def _is_thing(observed: Observed, ground: Ground) -> NDArray[np.bool_]:
    """Rays that the field stops above the ground."""
    reach = np.where(np.isfinite(observed.distance_R), observed.distance_R, 0.0)
    points = observed.origins_R3 + reach[:, None] * observed.directions_R3
    rise = points[:, 2] - ground.height(points[:, :2])
    return np.isfinite(observed.distance_R) & (rise > THING_M)


def _half_at(values: NDArray, half: float) -> NDArray:
    """A saturating penalty: 0 at 0, 0.5 at `half`, 1 far off (Geman and McClure)."""
    squared = values**2
    return squared / (squared + half**2)


def _plain_colours(hits: ItemHits, rows: NDArray, scene_light: SceneLight) -> NDArray:
    """sRGB colours of hits without shadows, which would cost a second ray."""
    light, normals = scene_light.light, hits.normals_N3[rows]
    sun = np.maximum(normals @ light.sun_direction_3, 0.0)[:, None] * light.sun_colour_3
    return np.clip(hits.albedo_N3[rows] * (ambient(light, normals) + sun), 0, 1) ** GAMMA


def near_rays(
    origins_N3: NDArray, directions_N3: NDArray, one: Standing, margin_m: float = 0.35
) -> NDArray[np.int64]:
    """Rows of the rays that pass an item's surroundings."""
    towards = one.middle_3 - origins_N3
    along = np.einsum("nc,nc->n", towards, directions_N3)
    squared = np.einsum("nc,nc->n", towards, towards) - along**2
    return np.flatnonzero((squared < (one.radius + margin_m) ** 2) & (along > 0))


def joined(parts: Sequence[Observed], one: Standing, margin_m: float = 0.35) -> Observed:
    """Observations of several views; what lies beyond the item's surroundings stops nothing."""
    origins = np.concatenate([part.origins_R3 for part in parts])
    directions = np.concatenate([part.directions_R3 for part in parts])
    distance = np.concatenate([part.distance_R for part in parts])
    colours = np.concatenate([part.colours_R3 for part in parts])
    reach = np.where(np.isfinite(distance), distance, 0.0)
    points = origins + reach[:, None] * directions
    apart = np.linalg.norm(points[:, :2] - one.middle_3[:2], axis=1)
    beyond = np.einsum("nc,nc->n", points - one.middle_3, directions) > 0
    far = (apart > one.radius + margin_m) & beyond
    return Observed(origins, directions, np.where(far, np.inf, distance), colours)
