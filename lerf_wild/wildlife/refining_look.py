"""What an item that is in the photos does, how it is built and how it is coloured.

Symbols: N rays that hit the item, K shape coefficients.

After `refining` has put it where it belongs, an animal is drawn in every posture and at moments of
every gait, then with each of its first shape coefficients a little larger or smaller, and what
agrees best with the photos stays. Colours are not searched for: with the light of the scene known,
the factor between the item's linear colours and the photos' follows from their ratios.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import msgspec
import numpy as np
from numpy.typing import NDArray

from lerf_wild.animals.poses.gaits import GAITS
from lerf_wild.animals.poses.postures import POSTURES
from lerf_wild.wildlife.footprints import footprint_of
from lerf_wild.wildlife.ground import Ground
from lerf_wild.wildlife.items import Animal, Item, checked
from lerf_wild.wildlife.looks import Look, betas_of
from lerf_wild.wildlife.placing import foot_height
from lerf_wild.wildlife.refining import BEYOND_M, Observed, Refined, disagreement
from lerf_wild.wildlife.scene_light import SceneLight
from lerf_wild.wildlife.settling import yaw_in
from lerf_wild.wildlife.shading import GAMMA, item_colours
from lerf_wild.wildlife.stage import Stage
from lerf_wild.wildlife.tracing import scene_of, stand

PHASES = (0.0, 0.25, 0.5, 0.75)
SHAPES, SHAPE_STEPS = 8, (0.8, 0.4)
"""Shape coefficients that are tried, in turn with each step to both sides."""
MIN_GAIN = 0.005
"""Less disagreement than this is noise, and changes nothing."""
LEAST_COLOUR, MIN_HITS = 0.01, 40
TINTS = (0.4, 2.5)

LookOf = Callable[[Item], Look]


def refine_look(
    item: Item,
    look_of: LookOf,
    stage: Stage,
    observed: Observed,
    ground: Ground,
    scene_light: SceneLight,
) -> Refined:
    """Changes what an item does, its shape and its colours where the photos agree better then.

    Args:
        item: The item, where it belongs.
        look_of: Gives the look of items.
        stage: The stage.
        observed: Rays through its surroundings.
        ground: What it stands on; an animal that sits keeps its feet there.
        scene_light: The light of the scene.
    """

    def cost(one: Item) -> float:
        return disagreement(stand(one, look_of(one), stage), observed, ground, scene_light)

    before = cost(item)
    best, lowest = item, before
    if item.animal is not None:
        standing = partial(_on_its_feet, was=item, look_of=look_of, stage=stage, ground=ground)
        best, lowest = _best(best, lowest, _doings(item), standing, cost)
        for step in SHAPE_STEPS:
            for index in range(SHAPES):
                best, lowest = _best(best, lowest, _shapes(best, index, step), standing, cost)
    coloured = _coloured(best, look_of(best), stage, observed, scene_light)
    best, lowest = _best(best, lowest, (coloured,), lambda one: one, cost)
    return Refined(best, before, lowest)


def _best(
    best: Item,
    lowest: float,
    guesses: Iterable[Item],
    placed: Callable[[Item], Item],
    cost: Callable[[Item], float],
) -> tuple[Item, float]:
    for guess in map(placed, guesses):
        value = cost(guess)
        if value < lowest - MIN_GAIN:
            best, lowest = guess, value
    return best, lowest


def _doings(item: Item) -> list[Item]:
    assert item.animal is not None
    moments = [(name, 0.0) for name in POSTURES]
    moments += [(name, phase) for name in GAITS for phase in PHASES]
    return [_as_animal(item, action=name, phase=phase, pose=()) for name, phase in moments]


def _shapes(item: Item, index: int, step: float) -> list[Item]:
    assert item.animal is not None
    betas = betas_of(item.animal).numpy().astype(float)
    guesses = []
    for way in (step, -step):
        # A shape may be told by its first coefficients alone; the others are zero.
        changed = np.pad(betas, (0, max(0, index + 1 - len(betas))))
        changed[index] += way
        guesses.append(_as_animal(item, betas=tuple(round(float(one), 4) for one in changed)))
    return guesses


def _as_animal(item: Item, **changes: object) -> Item:
    assert isinstance(item.animal, Animal)
    return checked(item, animal=msgspec.structs.replace(item.animal, **changes))


def _on_its_feet(changed: Item, was: Item, look_of: LookOf, stage: Stage, ground: Ground) -> Item:
    """The item with another body, as high above the ground as it was before."""
    yaw, foot_3 = yaw_in(stage, was), stage.from_world(np.array([was.position]))[0]
    old, new = (
        foot_height(footprint_of(look_of(one), one.height_m), foot_3[:2], yaw, ground)
        for one in (was, changed)
    )
    foot_3[2] += new - old
    return checked(changed, position=tuple(float(x) for x in stage.to_world(foot_3[None])[0]))


def _coloured(
    item: Item, look: Look, stage: Stage, observed: Observed, scene_light: SceneLight
) -> Item:
    """The item with the colours of the photos, as far as one factor a channel can tell."""
    scene = scene_of([stand(item, look, stage)])
    hits = scene.trace(observed.origins_R3, observed.directions_R3)
    gap_R = observed.distance_R - np.where(hits.hit, hits.distance_N, np.nan)
    rows_N = np.flatnonzero(hits.hit & (np.abs(gap_R) < BEYOND_M))
    if len(rows_N) < MIN_HITS:
        return item
    reach_R1 = np.where(hits.hit, hits.distance_N, 0.0)[:, None]
    points_R3 = observed.origins_R3 + reach_R1 * observed.directions_R3
    drawn_N3 = item_colours(scene, scene_light, points_R3, hits)[rows_N] ** (1 / GAMMA)
    seen_N3 = observed.colours_R3[rows_N] ** (1 / GAMMA)
    factors = [_ratio(drawn_N3[:, k], seen_N3[:, k]) for k in range(3)]
    tint = tuple(
        round(float(np.clip(old * factor, *TINTS)), 3) for old, factor in zip(item.tint, factors)
    )
    return checked(item, tint=tint)


def _ratio(drawn_N: NDArray, seen_N: NDArray) -> float:
    """The median ratio of colours that are not all but black."""
    is_lit_N = drawn_N > LEAST_COLOUR
    return float(np.median(seen_N[is_lit_N] / drawn_N[is_lit_N])) if is_lit_N.any() else 1.0
