"""Makes a program agree with its picture: render, compare, move, from several starts.

The pitch is that at which the ground ends where the picture's does; the sun stands where the
objects look most like the picture. Then each object is moved, scaled and turned on the ground, at
last by smaller pixels and by those around its foot alone, which says how far away it stands.
Heights are multiples of the camera's, which is put where assets have their natural heights. Objects
that stand within each other are moved apart.

Symbols: H, W pixels; p the four parameters of an object (`program_stamp`); q the same as they are
seen, by which is searched: foot in pixels, logarithm of the seen height (pixels over focal length),
yaw. Moving the foot then leaves the seen height alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from lerf_wild.inverse.ground_registration import GroundFit, registered
from lerf_wild.inverse.program_horizon import levelled
from lerf_wild.inverse.program_sizes import Stood, camera_height
from lerf_wild.inverse.program_stamp import Lens, Stamp, make_window
from lerf_wild.program.frames import to_camera, to_level, yaw_of
from lerf_wild.program.frames import upright_rotation as turned
from lerf_wild.program.statements import ANIMAL_KINDS
from lerf_wild.program.types import Program, SceneObject
from lerf_wild.render.scene_program import (
    FIRST_ID,
    AssetFinder,
    asset_named,
    focal_px,
    render_program,
)
from lerf_wild.render.sky import light_of, sun_direction
from lerf_wild.synth.grounds import GROUNDS

Floats = NDArray[np.float64]
MARGIN, FOOT_MARGIN = 0.75, 0.25
"""Half a window's side as a multiple of the object's longer side, and that of a window around its
foot."""
COARSE, FINE = 24, 48
"""Values along a window's side when an object is looked for and when it is fitted."""
FOOT_PX = 1.5
"""Pixels of a value in a window around a foot, if there are between ``COARSE`` and ``FINE``."""
FOOT_FREE = 0.6
"""Least share of that window that the picture shows without another object in front."""
YAWS = 24
"""Starts all round; the best of them are followed."""
FOLLOWED = 5
STEPS = np.array([0.06, 0.06, 0.06, np.radians(8.0)])
"""First steps: shares of the object's size, logarithm of its seen height, yaw."""
WAYS = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]])
"""What is tried of them: across, up and down, the top alone, the foot alone, turning."""
FOOT_WAYS = [1, 3]
"""What the window around the foot has a say in."""
ROUNDS = 4
STRIDES = 3
"""Most steps one way before the next parameter's turn."""
SUNS = 16
"""Directions of the sun that are tried; how high it stands is read better than where."""
BORDER_PX = 2
"""Ground as near to an object as this may be the object."""
STAY = np.array([0.4, 0.2, 0.2])
"""How far an object may go for a loss of ``PULL``: shares of its size, logarithm of its seen
height."""
PULL = 0.01
TURN, TURN_OF_COVER = 0.05, 0.005
"""Weights of the cosine of the angle to the yaw that was read, for animals and for what faces
nowhere, whose yaw is hardly read."""


@dataclass(frozen=True)
class _Search:
    """One object whose parameters are looked for."""

    stamp: Stamp
    start: Floats
    size: float
    """Pixels along its longer side."""
    turn: float
    """Weight of the yaw at the start."""

    def score(self, q: Floats) -> float:
        off = (q[:3] - self.start[:3]) / STAY / [self.size, self.size, 1.0]
        turn = self.turn * np.cos(q[3] - self.start[3])
        return self.stamp.score(self.stamp.lens.stood(q)) + turn - PULL * float(off @ off)

    def steps(self) -> Floats:
        """First steps (5, 4), one a row."""
        return WAYS * STEPS * [self.size, self.size, 1.0, 1.0]

    def best(self) -> Floats:
        """Where it stands is settled first, or no yaw fits."""
        moved, _ = self.climbed(self.start, self.steps()[:3], 2)
        turns = moved[3] + np.arange(YAWS) * 2 * np.pi / YAWS
        tries = [np.array([*moved[:3], turn]) for turn in turns]
        scores = np.array([self.score(q) for q in tries])
        peaks = (scores >= np.roll(scores, 1)) & (scores >= np.roll(scores, -1))
        order = np.argsort(-np.where(peaks, scores, -9.0))[:FOLLOWED]
        ends = [self.climbed(tries[i], self.steps(), ROUNDS) for i in order if peaks[i]]
        return max(ends, key=lambda pair: pair[1])[0]

    def climbed(self, start: Floats, steps_W4: Floats, rounds: int) -> tuple[Floats, float]:
        """Pattern search: each way forth or back while it helps, steps halved each round."""
        best, reached = start, self.score(start)
        for _ in range(rounds):
            for step in steps_W4:
                for way in (step, -step):
                    begun = reached
                    for _ in range(STRIDES):
                        score = self.score(best + way)
                        if score <= reached:
                            break
                        best, reached = best + way, score
                    if reached > begun:
                        break
            steps_W4 = steps_W4 / 2
        return best, reached


@dataclass(frozen=True)
class _Scene:
    """What all searches of a picture share."""

    picture: NDArray[np.uint8]
    shown: NDArray[np.int32]
    """Instance map (H, W) of the program as it was read."""
    lens: Lens
    find: AssetFinder


def refine(
    program: Program,
    picture: NDArray[np.uint8],
    find: AssetFinder = asset_named,
    on_object: Callable[[int], None] = lambda index: None,
) -> Program:
    """The program with each object moved, turned and scaled until it looks like the picture.

    Objects that name neither asset nor kind stay as they are.
    """
    program = levelled(program, picture)
    height, width = picture.shape[:2]
    lens = Lens(focal_px(program, height), width, height, program.settings.camera_pitch_deg)
    shown = render_program(program, width, height, find).picture.instances
    scene = _Scene(picture, shown, lens, find)
    searches = {
        i: _search(scene, program, i, lens.seen(parameters(item, program, lens)))
        for i, item in enumerate(program.objects)
        if item.asset or item.kind
    }
    program = sunlit(program, searches, {i: search.start for i, search in searches.items()})
    found = {i: search.best() for i, search in searches.items()}
    program = sunlit(program, searches, found)
    for i in searches:
        found[i] = _fitted(scene, program, i, found[i])
        on_object(i)
    fit = _ground_fit(program, picture, shown >= FIRST_ID, lens)
    moved = placed(program, {i: lens.stood(q) for i, q in found.items()}, lens, find, fit)
    return replace(moved, objects=tuple(separated(list(moved.objects), moved, find)))


def _fitted(scene: _Scene, program: Program, index: int, q: Floats) -> Floats:
    """An object that was found, fitted by smaller pixels, and its foot by what is around it."""
    whole = _search(scene, program, index, q, FINE)
    q, _ = whole.climbed(q, whole.steps() / 4, 3)
    side = int(np.clip(2 * FOOT_MARGIN * whole.size / FOOT_PX, COARSE, FINE))
    foot = _search(scene, program, index, q, side, at_foot=True)
    if foot.stamp.window.weight_RR.mean() < FOOT_FREE:
        return q
    return foot.climbed(q, foot.steps()[FOOT_WAYS] / 4, 3)[0]


def sunlit(
    program: Program, searches: Mapping[int, _Search], found: Mapping[int, Floats]
) -> Program:
    """The program with the sun where its objects, as they are seen, look most like the picture."""
    if not searches:
        return program
    lens = next(iter(searches.values())).stamp.lens
    settings = program.settings
    turns = settings.sun_rotation_deg + np.arange(SUNS) * 360.0 / SUNS
    suns = [sun_direction(settings.sun_elevation_rad, float(turn)) for turn in turns]
    scores = []
    for sun in suns:
        for search in searches.values():
            search.stamp.lit_by(sun)
        drawn = [search.stamp.score(lens.stood(found[i])) for i, search in searches.items()]
        scores.append(sum(drawn))
    best = int(np.argmax(scores))
    for search in searches.values():
        search.stamp.lit_by(suns[best])
    return replace(program, settings=replace(settings, sun_rotation_deg=float(turns[best] % 360.0)))


def _search(
    scene: _Scene,
    program: Program,
    index: int,
    q: Floats,
    side: int = COARSE,
    at_foot: bool = False,
) -> _Search:
    """A search around q in a window of the whole object, or one around its foot."""
    item, lens = program.objects[index], scene.lens
    asset = scene.find(item)
    high = float(np.exp(q[2])) * lens.focal_px
    size = float(np.clip(max(high, 2.0 * asset.reach * high), 8.0, lens.height))
    window = make_window(
        scene.picture,
        scene.shown >= FIRST_ID,
        (scene.shown >= FIRST_ID) & (scene.shown != FIRST_ID + index),
        lens,
        q[:2] - [0.0, 0.0 if at_foot else 0.5 * high],
        (FOOT_MARGIN if at_foot else MARGIN) * size,
        side,
    )
    stamp = Stamp(asset, light_of(program.settings), lens, window)
    turn = TURN if item.kind in ANIMAL_KINDS else TURN_OF_COVER
    return _Search(stamp, q, size, turn)


def parameters(item: SceneObject, program: Program, lens: Lens) -> Floats:
    """The four parameters of an object."""
    x, y, z = item.loc_m
    depth = max(-z, 0.1)
    pitch = program.settings.camera_pitch_deg
    yaw = yaw_of(item.rotation_33, pitch) if item.rotation_9 is not None else 0.0
    column = lens.width / 2 + lens.focal_px * x / depth
    row = lens.height / 2 - lens.focal_px * y / depth
    drop = max(-to_level(item.loc_m, pitch)[2], 0.1)
    return np.array([column, row, np.log(item.height_m / drop), yaw])


def _ground_fit(
    program: Program, picture: NDArray[np.uint8], hidden_HW: NDArray[np.bool_], lens: Lens
) -> GroundFit | None:
    name = program.settings.ground_name
    hidden_HW = binary_dilation(hidden_HW, iterations=BORDER_PX)
    known = (name,) if name in GROUNDS else GROUNDS
    return registered(picture, hidden_HW, lens.focal_px, lens.pitch_deg, known)


def placed(
    program: Program,
    found: Mapping[int, Floats],
    lens: Lens,
    find: AssetFinder,
    fit: GroundFit | None = None,
) -> Program:
    """The program with objects at parameters, in metres by what their assets measure by nature and
    by the camera's height that the ground tells, where it does."""
    feet = {i: lens.foot(p) for i, p in found.items()}
    rows = [i for i in found if feet[i] is not None]
    if not rows:
        return program
    pitch = program.settings.camera_pitch_deg
    unit = torch.tensor([float(found[i][2]) for i in rows])
    natural = torch.tensor([find(program.objects[i]).height_m for i in rows])
    lift = camera_height(unit, 99.0 * torch.eye(len(rows)), natural, fit)
    level = torch.from_numpy(np.stack([feet[i] for i in rows])).float()
    level, heights = Stood(level, unit, unit.exp()).on_ground(lift, natural)
    loc = to_camera(level.double().numpy(), pitch)
    objects = list(program.objects)
    for place, i in enumerate(rows):
        objects[i] = replace(
            objects[i],
            loc_m=tuple(float(v) for v in loc[place]),
            height_m=float(heights[place]),
            rotation_9=tuple(float(v) for v in np.ravel(turned(float(found[i][3]), pitch))),
        )
    settings = replace(program.settings, camera_height_m=lift.camera_m)
    return Program(settings, tuple(objects))


def separated(objects: list[SceneObject], program: Program, find: AssetFinder) -> list[SceneObject]:
    """Objects that stand within each other, moved away along their line of sight, the nearest kept.

    Heights grow with the distance, so that the picture stays about the same.
    """
    pitch = program.settings.camera_pitch_deg
    order = np.argsort([np.linalg.norm(item.loc_m) for item in objects])
    done: list[int] = []
    result = list(objects)
    for i in order:
        for _ in range(12):
            if not any(_within(result[i], result[j], pitch, find) for j in done):
                break
            result[i] = replace(
                result[i],
                loc_m=tuple(1.04 * x for x in result[i].loc_m),
                height_m=1.04 * result[i].height_m,
            )
        done.append(int(i))
    return result


def _within(a: SceneObject, b: SceneObject, pitch: float, find: AssetFinder) -> bool:
    apart = np.linalg.norm(to_level(a.loc_m, pitch)[:2] - to_level(b.loc_m, pitch)[:2])
    return bool(apart < 0.7 * (find(a).reach * a.height_m + find(b).reach * b.height_m))
