"""Makes a program agree with its picture: render, compare, move, from several starts.

Each object is described by where its foot is seen (pixels), its yaw and its height; its foot is
kept on the ground, so that its distance follows from the row of the foot. The comparison is a
correlation, which does not mind other light.

Symbols: H, W pixels; p the four parameters of an object: column and row of the foot, logarithm of
the height, yaw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lerf_wild.program.frames import level_from_camera, to_camera, to_level, yaw_of
from lerf_wild.program.frames import upright_rotation as turned
from lerf_wild.program.types import Program, SceneObject
from lerf_wild.render.raycast import Camera, RayScene, jittered_sun, pixel_rays
from lerf_wild.render.scene_program import (
    AssetFinder,
    asset_named,
    camera_height_m,
    level_camera,
    program_scene,
)

Floats = NDArray[np.float64]
CROP = 44
"""Pixels along a side of the crop that is compared."""
MARGIN = 1.5
YAW_STARTS_DEG = (0.0, 180.0, 35.0, -35.0)
FIRST_STEPS = np.array([4.0, 4.0, 0.1, np.radians(16.0)])
ROUNDS = 3
FARTHEST_M = 60.0


@dataclass(frozen=True)
class _Case:
    """One object whose parameters are looked for."""

    program: Program
    item: SceneObject
    camera: Camera
    window: Camera
    goal_N3: Floats
    find: AssetFinder

    def object_at(self, p: Floats) -> SceneObject:
        return placed(self.item, p, self.program, self.camera)

    def score(self, p: Floats) -> float:
        """Correlation of the drawn crop with the picture's."""
        alone = Program(self.program.settings, (self.object_at(p),))
        if alone.objects[0].loc_m[2] > -0.5:
            return -1.0
        return correlation(_draw(program_scene(alone, self.find), self.window), self.goal_N3)


def refine(
    program: Program,
    picture: NDArray[np.uint8],
    find: AssetFinder = asset_named,
    on_object: Callable[[int], None] = lambda index: None,
) -> Program:
    """The program with each object moved, turned and scaled to where it correlates best.

    An object that no start improves stays as it was. Interpenetrating objects are then moved apart.
    """
    # The ground under the objects is fixed first, so that all stand on the same one.
    settings = replace(program.settings, camera_height_m=camera_height_m(program))
    program = replace(program, settings=settings)
    camera = level_camera(program, picture.shape[1], picture.shape[0])
    objects = list(program.objects)
    for index, item in enumerate(objects):
        if item.asset is not None or item.kind is not None:
            objects[index] = _refined(item, program, picture, camera, find)
        on_object(index)
    return replace(program, objects=tuple(separated(objects, program, find)))


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


def parameters(item: SceneObject, program: Program, camera: Camera) -> Floats:
    """The four parameters of an object."""
    x, y, z = item.loc_m
    depth = max(-z, 0.1)
    pitch = program.settings.camera_pitch_deg
    yaw = yaw_of(item.rotation_33, pitch) if item.rotation_9 is not None else 0.0
    column = camera.width / 2 + camera.focal_px * x / depth
    row = camera.height / 2 - camera.focal_px * y / depth
    return np.array([column, row, np.log(item.height_m), yaw])


def placed(item: SceneObject, p: Floats, program: Program, camera: Camera) -> SceneObject:
    """The object with parameters, its foot where the ray of the foot's pixel meets the ground."""
    pitch = program.settings.camera_pitch_deg
    ray = np.array(
        [
            (p[0] - camera.width / 2) / camera.focal_px,
            -(p[1] - camera.height / 2) / camera.focal_px,
            -1.0,
        ]
    )
    level = level_from_camera(pitch) @ ray
    reach = camera_height_m(program) / max(-level[2], 1e-6)
    foot = to_camera(level * min(reach, FARTHEST_M), pitch)
    return replace(
        item,
        loc_m=tuple(float(v) for v in foot),
        height_m=float(np.exp(p[2])),
        rotation_9=tuple(float(v) for v in np.ravel(turned(float(p[3]), pitch))),
    )


def correlation(first_N3: Floats, second_N3: Floats) -> float:
    """Mean over the colours of the correlation of two pictures, -1 to 1; 0 where one is flat."""
    a, b = (x - x.mean(axis=0) for x in (first_N3, second_N3))
    spread = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return float(np.mean((a * b).sum(axis=0) / np.maximum(spread, 1e-9)))


def _refined(
    item: SceneObject,
    program: Program,
    picture: NDArray[np.uint8],
    camera: Camera,
    find: AssetFinder,
) -> SceneObject:
    start = parameters(item, program, camera)
    window, goal = _window(item, start, picture, camera)
    case = _Case(program, item, camera, window, goal, find)
    begun = case.score(start)
    # Where it stands is settled first, or no yaw fits.
    moved, _ = _climbed(case, start, FIRST_STEPS * [2, 2, 1, 0], 2)
    tries = [moved + [0, 0, 0, np.radians(turn)] for turn in YAW_STARTS_DEG]
    ranked = sorted(tries, key=case.score, reverse=True)[:2]
    ends = [_climbed(case, p, FIRST_STEPS, ROUNDS) for p in ranked]
    best, reached = max(ends, key=lambda pair: pair[1])
    return case.object_at(best) if reached > begun + 0.01 else item


def _climbed(case: _Case, start: Floats, first_steps: Floats, rounds: int) -> tuple[Floats, float]:
    """Pattern search: each parameter up and down, steps halved each round."""
    best, reached, steps = start, case.score(start), first_steps.copy()
    for _ in range(rounds):
        for k in np.flatnonzero(steps):
            for sign in (1.0, -1.0):
                trial = best.copy()
                trial[k] += sign * steps[k]
                score = case.score(trial)
                if score > reached:
                    best, reached = trial, score
                    break
        steps = steps / 2
    return best, reached


def _window(
    item: SceneObject, p: Floats, picture: NDArray[np.uint8], camera: Camera
) -> tuple[Camera, Floats]:
    """A camera that sees only the object's surroundings, and that crop of the picture."""
    seen = camera.focal_px * item.height_m / max(-item.loc_m[2], 0.1)
    half = float(np.clip(MARGIN * seen * 0.6, 8.0, camera.height))
    centre = np.array([p[0], p[1] - 0.5 * seen])
    axis = (np.arange(CROP) + 0.5) / CROP * 2.0 * half - half
    columns = np.clip((centre[0] + axis).astype(int), 0, camera.width - 1)
    rows = np.clip((centre[1] + axis).astype(int), 0, camera.height - 1)
    goal = picture[np.ix_(rows, columns)].reshape(-1, 3) / 255.0
    scale = CROP / (2.0 * half)
    shift = np.array([centre[0] - camera.width / 2, centre[1] - camera.height / 2]) * scale
    return _sheared(camera, camera.focal_px * scale, shift), goal


def _sheared(camera: Camera, focal_px: float, shift_2: Floats) -> Camera:
    """A camera of a crop; the shift of its principal point is part of a sheared pose."""
    pose = camera.camera_to_world_34.copy()
    shear = np.eye(3)
    shear[0, 2], shear[1, 2] = -shift_2[0] / focal_px, shift_2[1] / focal_px
    pose[:, :3] = pose[:, :3] @ shear
    return Camera(pose, focal_px, CROP, CROP)


def _draw(scene: RayScene, window: Camera) -> Floats:
    origins, directions = pixel_rays(window, np.full((1, 2), 0.5, np.float32))
    sun = jittered_sun(scene.light, len(directions), 0)
    colour = np.clip(scene.shade(origins, directions, sun), 0.0, 1.0)
    return colour.astype(np.float64) ** (1 / 2.2)


def _within(a: SceneObject, b: SceneObject, pitch: float, find: AssetFinder) -> bool:
    apart = np.linalg.norm(to_level(a.loc_m, pitch)[:2] - to_level(b.loc_m, pitch)[:2])
    return bool(apart < 0.7 * (find(a).reach * a.height_m + find(b).reach * b.height_m))
