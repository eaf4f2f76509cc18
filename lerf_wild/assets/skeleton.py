"""Bones of a posed quadruped, in units of the withers height, nose along +x, feet on z = 0.

Symbols: ``build`` proportions, ``pose`` how the individual stands; left is +y.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lerf_wild.assets.builds import Build
from lerf_wild.assets.sdf import Bone
from lerf_wild.assets.shapes import rotation

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Pose:
    """Head turn and leg swing of one individual, radians."""

    head_yaw: float
    stride_4: tuple[float, float, float, float]
    """Forward swing of the front left, front right, hind left and hind right leg."""


@dataclass(frozen=True)
class HeadFrame:
    """Where the skull is and how it is turned; columns of ``axes_33`` are forward, left, up."""

    origin_3: Vector
    axes_33: Vector

    def place(self, forward: float, left: float, up: float) -> tuple[float, float, float]:
        """Body coordinates of a point given in the frame of the head."""
        x, y, z = self.origin_3 + self.axes_33 @ np.array([forward, left, up])
        return (float(x), float(y), float(z))


def draw_pose(rng: np.random.Generator) -> Pose:
    """Standing, or walking with diagonal legs in step; the head turns by up to 25 degrees."""
    walk = rng.uniform(0.05, 0.32) * rng.choice([-1.0, 1.0])
    own = rng.normal(0.0, 0.03, 4)
    swing = np.array([walk, -walk, -walk, walk]) * 0.8 + own
    return Pose(float(rng.uniform(-0.45, 0.45)), tuple(float(angle) for angle in swing))


def head_frame(build: Build, pose: Pose) -> HeadFrame:
    """Frame of the skull at the upper end of the neck."""
    pitch = np.radians(build.neck_pitch)
    neck_yaw = 0.35 * pose.head_yaw
    along = rotation("z", neck_yaw) @ np.array([np.cos(pitch), 0.0, np.sin(pitch)])
    origin = neck_root(build) + along * (build.neck_length + 0.4 * build.skull)
    axes = rotation("z", pose.head_yaw) @ rotation("y", -np.radians(build.head_pitch))
    return HeadFrame(origin, axes)


def skeleton(build: Build, pose: Pose) -> list[Bone]:
    """All bones of the body, without ears, horns and eyes."""
    frame = head_frame(build, pose)
    legs = [bone for side in (0, 1) for bone in _front_leg(build, pose, side)]
    legs += [bone for side in (0, 1) for bone in _hind_leg(build, pose, side)]
    return [*_trunk(build), *_neck_and_head(build, frame), *legs, *_tail(build)]


def neck_root(build: Build) -> Vector:
    """Where the neck leaves the chest."""
    return np.array([0.5 * build.length + 0.25 * build.chest, 0.0, 0.97 - 0.85 * build.chest])


def _trunk(build: Build) -> list[Bone]:
    half = 0.5 * build.length
    chest = (half, 0.0, 1.0 - build.chest)
    waist = (-0.12 * build.length, 0.0, 0.985 + 0.4 * build.rump - build.waist)
    hip = (-half, 0.0, 1.0 + build.rump - build.hip)
    bones = [
        Bone("body", chest, waist, build.chest, build.waist, build.width, 0.1),
        Bone("body", waist, hip, build.waist, build.hip, build.width, 0.1),
    ]
    if build.hump:
        top = (half - 0.05, 0.0, 1.04 - build.hump)
        bones.append(Bone("body", top, chest, build.hump, build.hump, 0.8, 0.15))
    return bones


def _neck_and_head(build: Build, frame: HeadFrame) -> list[Bone]:
    root = neck_root(build)
    skull, drop = build.skull, 0.28 * build.skull
    base = frame.place(0.35 * skull, 0.0, -drop)
    tip = frame.place(0.55 * skull + build.snout, 0.0, -1.5 * drop)
    back = frame.place(-0.25 * skull, 0.0, 0.0)
    front = frame.place(0.2 * skull, 0.0, -0.05 * skull)
    chin = frame.place(0.4 * skull + 0.8 * build.snout, 0.0, -1.5 * drop - 0.6 * build.snout_tip)
    jaw = frame.place(0.0, 0.0, -0.55 * skull)
    root_at = (float(root[0]), 0.0, float(root[2]))
    return [
        Bone("neck", root_at, back, build.neck_base, build.neck_top, 0.8, 0.12),
        Bone("head", back, front, 0.95 * skull, 0.92 * skull, 0.95, 0.05),
        Bone("snout", base, tip, build.snout_base, build.snout_tip, 0.95, 0.07),
        Bone(
            "jaw",
            jaw,
            chin,
            0.5 * build.snout_base + 0.2 * skull,
            0.75 * build.snout_tip,
            0.9,
            0.04,
        ),
    ]


def _front_leg(build: Build, pose: Pose, side: int) -> list[Bone]:
    left = (1 - 2 * side) * (build.chest * build.width - 0.55 * build.thigh)
    x = 0.5 * build.length + 0.02
    top = 1.0 - 1.15 * build.chest
    joints = [(x, top), (x - 0.07, 0.56 * top + 0.12), (x, 0.28), (x - 0.01, 0.07)]
    return _leg("front", build, joints, left, pose.stride_4[side], 0.85)


def _hind_leg(build: Build, pose: Pose, side: int) -> list[Bone]:
    left = (1 - 2 * side) * (build.hip * build.width - 0.55 * build.thigh)
    x = -0.5 * build.length
    top = 1.0 + build.rump - 1.1 * build.hip
    joints = [(x - 0.02, top), (x + 0.09, 0.56 * top + 0.1), (x - 0.14, 0.31), (x - 0.08, 0.07)]
    return _leg("hind", build, joints, left, pose.stride_4[2 + side], 1.15)


def _leg(
    which: str,
    build: Build,
    joints: list[tuple[float, float]],
    left: float,
    swing: float,
    bulk: float,
) -> list[Bone]:
    """Four bones down a leg; the swing shears it, so that the foot stays on the ground."""
    top = joints[0][1]
    toe_x = joints[-1][0] + 0.35 * build.foot + 0.05
    chain = [*joints, (toe_x, 0.75 * build.foot)]
    points = [
        (x + np.tan(swing) * (top - z), left * (1.0 if i else 0.9), z)
        for i, (x, z) in enumerate(chain)
    ]
    radii = [bulk * build.thigh, build.knee, build.cannon, 0.95 * build.cannon, build.foot * 0.85]
    radii[1] *= 1.2 * bulk
    regions = [f"{which}_upper", f"{which}_lower", f"{which}_cannon", "foot"]
    blends = [0.07, 0.04, 0.03, 0.03]
    widths = [0.75, 0.9, 1.0, 1.0]
    return [
        Bone(regions[i], points[i], points[i + 1], radii[i], radii[i + 1], widths[i], blends[i])
        for i in range(4)
    ]


def _tail(build: Build) -> list[Bone]:
    point = np.array(
        [-0.5 * build.length - 0.82 * build.hip, 0.0, 1.0 + build.rump - 0.55 * build.hip]
    )
    radii = [build.tail_base, build.tail_middle, build.tail_middle, build.tail_tip]
    bones = []
    for third in range(3):
        pitch = np.radians(build.tail_pitch + build.tail_curl * third)
        after = point + build.tail_length / 3 * np.array([-np.cos(pitch), 0.0, np.sin(pitch)])
        start, end = tuple(map(float, point)), tuple(map(float, after))
        bones.append(Bone(f"tail_{third}", start, end, radii[third], radii[third + 1], 1.0, 0.04))
        point = after
    return bones
