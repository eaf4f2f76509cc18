"""Joints and body parts of an anatomy: tapered capsules whose smooth union is the skin.

Symbols: N points. Frame: x forward, y left, z up, trunk lengths; the hip joints are at x = 0, the
shoulder joints at x = 1, feet on z = 0. A part belongs to one joint of the tree, which it follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lerf_wild.animals import schema
from lerf_wild.animals.quadruped.anatomy import Anatomy
from lerf_wild.assets.shapes import rotation

Vector = NDArray[np.float64]
LEFT = np.array([0.0, 1.0, 0.0])
MIRROR = np.array([1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Part:
    """One tapered capsule; across ``side`` it is ``side_scale`` times as thick as its radii."""

    region: str
    joint: int
    start: Vector
    end: Vector
    radius_start: float
    radius_end: float
    side: Vector
    side_scale: float = 1.0
    blend: float = 0.05

    @property
    def axis(self) -> Vector:
        """From start to end."""
        return self.end - self.start

    def mirrored(self, joint: int) -> Part:
        """The part on the other side of the body."""
        start, end, side = self.start * MIRROR, self.end * MIRROR, self.side * MIRROR
        return replace(self, joint=joint, start=start, end=end, side=side)


def part_coordinates(part: Part, points_N3: Vector) -> tuple[Vector, Vector, Vector]:
    """Share 0-1 along the part (N,), vector from its axis (N, 3), and signed distance (N,).

    The distance is exact to first order in how far a point is from the surface.
    """
    offset = points_N3 - part.start
    share = np.clip(offset @ part.axis / max(part.axis @ part.axis, 1e-12), 0.0, 1.0)
    radial = offset - share[:, None] * part.axis
    across = radial @ part.side
    squeezed = radial + np.outer(across * (1.0 / part.side_scale - 1.0), part.side)
    slope = radial + np.outer(across * (1.0 / part.side_scale**2 - 1.0), part.side)
    reach = np.maximum(np.linalg.norm(squeezed, axis=1), 1e-9)
    steepness = np.maximum(np.linalg.norm(slope, axis=1) / reach, 1e-9)
    radius = part.radius_start + share * (part.radius_end - part.radius_start)
    return share, radial, (reach - radius) / steepness


def skin_distance(parts: Sequence[Part], points_N3: Vector) -> Vector:
    """Signed distance (N,) to the smooth union of the parts, negative inside."""
    total = np.full(len(points_N3), 1e3)
    for part in parts:
        distance = part_coordinates(part, points_N3)[2]
        overlap = np.maximum(part.blend - np.abs(total - distance), 0.0)
        total = np.minimum(total, distance) - overlap * overlap * (0.25 / part.blend)
    return total


def joint_positions(anatomy: Anatomy) -> Vector:
    """Where the 35 joints of the tree are, shape (35, 3)."""
    joints = np.zeros((schema.JOINT_COUNT, 3))
    a = anatomy
    hip_z, shoulder_z = a.withers + a.rump - 0.7 * a.hip, a.withers - 0.75 * a.chest
    share = np.linspace(0.0, 1.0, 7) ** 0.9
    joints[:7, 0] = -0.02 + 0.98 * share
    joints[:7, 2] = hip_z + share * (shoulder_z - hip_z) + 0.05 * np.sin(np.pi * share)
    joints[list(schema.FRONT_LEFT)] = _front_chain(a)[:4]
    joints[list(schema.HIND_LEFT)] = _hind_chain(a)[:4]
    origin, axes = head_frame(a)
    joints[schema.NECK], joints[schema.HEAD] = neck_root(a), origin
    joints[schema.MOUTH] = origin + axes @ np.array([0.35 * a.skull, 0.0, -0.55 * a.skull])
    joints[schema.LEFT_EAR] = origin + axes @ _ear_root(a)
    steps = np.arange(7)[:, None] / 7
    joints[list(schema.TAIL)] = tail_root(a) - steps * [[a.tail, 0.0, 0.0]]
    others = schema.joint_mirror()
    for joint in (*schema.FRONT_RIGHT, *schema.HIND_RIGHT, schema.RIGHT_EAR):
        joints[joint] = joints[others[joint]] * MIRROR
    return joints


def head_frame(anatomy: Anatomy) -> tuple[Vector, Vector]:
    """Origin of the head, and axes as columns: forward, left, up."""
    pitch = np.radians(anatomy.neck_pitch)
    along = np.array([np.cos(pitch), 0.0, np.sin(pitch)])
    origin = neck_root(anatomy) + along * anatomy.neck
    return origin, rotation("y", -np.radians(anatomy.head_pitch))


def neck_root(anatomy: Anatomy) -> Vector:
    """Where the neck leaves the chest."""
    a = anatomy
    return np.array([1.0 + 0.1 * a.chest, 0.0, a.withers - 0.1 - 0.4 * a.chest])


def tail_root(anatomy: Anatomy) -> Vector:
    """Where the tail leaves the rump."""
    a = anatomy
    return np.array([-0.62 * a.hip, 0.0, a.withers + a.rump - 0.55 * a.hip])


def body_parts(anatomy: Anatomy) -> list[Part]:
    """All parts of the body; those of the right are mirrors of those of the left."""
    sided = [*_front_leg(anatomy), *_hind_leg(anatomy), *_face_sides(anatomy)]
    others = schema.joint_mirror()
    mirrored = [part.mirrored(int(others[part.joint])) for part in sided]
    return [*_trunk(anatomy), *_neck_and_head(anatomy), *_tail(anatomy), *sided, *mirrored]


def _trunk(a: Anatomy) -> list[Part]:
    top = a.withers
    chest = np.array([0.93, 0.0, top - a.chest])
    middle = np.array([0.45, 0.0, top + 0.4 * a.rump - 0.015 - a.waist])
    hip = np.array([0.03, 0.0, top + a.rump - a.hip])
    parts = [
        Part("trunk", 5, middle, chest, a.waist, a.chest, LEFT, a.width, 0.1),
        Part("trunk", 2, hip, middle, a.hip, a.waist, LEFT, a.width, 0.1),
        Part("trunk", 0, hip - [0.03, 0, 0.02], hip, 0.9 * a.hip, a.hip, LEFT, a.width, 0.1),
    ]
    radius = 0.55 * a.chest
    crest = np.array([0.86, 0.0, top + a.hump - radius])
    back = np.array([0.58, 0.0, top - 0.02 - radius])
    parts += [Part("trunk", 6, crest, back, radius, 0.8 * radius, LEFT, 0.6, 0.12)]
    radius = 0.45 * a.waist
    rear = np.array([0.44, 0.0, top + 0.4 * a.rump - 0.03 + a.back_hump - radius])
    fore = rear + [0.08, 0.0, 0.0]
    return [*parts, Part("trunk", 3, rear, fore, radius, radius, LEFT, 0.65, 0.1)]


def _neck_and_head(a: Anatomy) -> list[Part]:
    origin, axes = head_frame(a)
    root, s = neck_root(a), a.skull

    def at(forward: float, up: float) -> Vector:
        return origin + axes @ np.array([forward, 0.0, up])

    throat, nose_x = at(0.0, -0.15 * s), 0.55 * s + a.snout
    bridge = -0.2 * s
    tip_z = min(bridge, 0.3 * s - a.snout_tip) - 0.1 * a.snout
    inside = root - [0.12, 0.0, 0.35 * a.neck_base]
    nose = 0.42 * a.snout_tip
    return [
        Part("neck", schema.NECK, inside, root, 1.05 * a.neck_base, a.neck_base, LEFT, 0.78, 0.12),
        Part("neck", schema.NECK, root, throat, a.neck_base, a.neck_top, LEFT, 0.72, 0.1),
        Part("head", schema.HEAD, at(0, 0), at(0.5 * s, -0.02 * s), s, 0.9 * s, LEFT, 0.86, 0.06),
        Part(
            *("snout", schema.HEAD, at(0.4 * s, bridge), at(nose_x - 0.6 * a.snout_tip, tip_z)),
            *(a.snout_base, a.snout_tip, LEFT, 0.82, 0.07),
        ),
        Part(
            *("nose", schema.HEAD, at(nose_x + 0.1 * a.snout_tip, tip_z + 0.4 * a.snout_tip)),
            *(at(nose_x + 0.25 * a.snout_tip, tip_z + 0.3 * a.snout_tip), nose, nose),
            *(LEFT, 1.25, 0.02),
        ),
        _jaw(a, at, nose_x, tip_z),
    ]


def _jaw(a: Anatomy, at, nose_x: float, tip_z: float) -> Part:
    hinge = at(0.1 * a.skull, -0.5 * a.skull - 0.2 * a.jaw)
    chin = at(nose_x - 1.1 * a.snout_tip, tip_z - a.snout_tip - 0.15 * a.jaw)
    return Part("jaw", schema.MOUTH, hinge, chin, 1.25 * a.jaw, 0.8 * a.jaw, LEFT, 0.95, 0.02)


def _ear_root(a: Anatomy) -> Vector:
    low = np.clip((a.ear_tilt - 30.0) / 70.0, 0.0, 1.0)
    return np.array([-0.12, 0.5 + 0.24 * low, 0.74 - 0.34 * low]) * a.skull


def _face_sides(a: Anatomy) -> list[Part]:
    origin, axes = head_frame(a)
    s = a.skull
    root = _ear_root(a)
    tilt = np.radians(a.ear_tilt)
    along = np.array([-0.18, np.sin(tilt), np.cos(tilt)])
    along /= np.linalg.norm(along)
    middle, tip = root + 0.5 * a.ear * along, root + a.ear * along
    thin = axes @ np.cross(along, np.cross([1.0, -0.55, 0.0], along))
    thin /= np.linalg.norm(thin)
    places = [origin + axes @ place for place in (root, middle, tip)]
    wide, flat = a.ear_width, 0.3
    tip_radius = max(a.ear_tip * wide, 0.012)
    eye = np.array([0.72, 0.6, 0.3]) * s
    eye_at = origin + axes @ eye
    eye_end = eye_at + axes @ np.array([0.02, 0.01, 0.0]) * s
    cheek = [origin + axes @ (np.array(p) * s) for p in ((0.15, 0.35, -0.3), (0.45, 0.3, -0.35))]
    ear = schema.LEFT_EAR
    return [
        Part("ear", ear, places[0], places[1], 0.8 * wide, wide, thin, flat, 0.025),
        Part("ear", ear, places[1], places[2], wide, tip_radius, thin, flat, 0.02),
        Part("eye", schema.HEAD, eye_at, eye_end, 0.17 * s, 0.17 * s, LEFT, 1.0, 0.012),
        Part("head", schema.HEAD, cheek[0], cheek[1], 0.5 * s, 0.42 * s, LEFT, 0.8, 0.05),
    ]


def _front_chain(a: Anatomy) -> list[Vector]:
    """Shoulder, elbow, wrist, fetlock and toe of the left front leg."""
    y = max(0.62 * a.chest * a.width, 1.15 * a.cannon)
    elbow = max(a.withers - 1.72 * a.chest, 1.6 * a.carpus * a.withers)
    wrist = a.carpus * a.withers
    ankle = min(max(1.5 * a.foot, 0.3 * wrist), 0.7 * wrist)
    toe = [0.95 + a.foot_length, y, 0.55 * a.foot]
    return [
        *(np.array([1.0, y, a.withers - 1.1 * a.chest]), np.array([0.9, y, elbow])),
        *(np.array([0.93, y, wrist]), np.array([0.925, y, ankle]), np.array(toe)),
    ]


def _hind_chain(a: Anatomy) -> list[Vector]:
    """Hip, stifle, hock, fetlock and toe of the left hind leg."""
    y = max(0.62 * a.hip * a.width, 1.15 * a.cannon)
    top = a.withers + a.rump
    hock = a.hock * a.withers
    hip = top - 0.85 * a.hip
    stifle = max(top - 2.0 * a.hip, 1.5 * hock)
    ankle = min(max(1.5 * a.foot, 0.25 * hock), 0.7 * hock)
    back = -0.14 * hip - 0.15 * hock
    toe = [back + 0.06 + a.foot_length, y, 0.55 * a.foot]
    return [
        *(np.array([0.0, y, hip]), np.array([0.15 * hip, y, stifle])),
        *(np.array([back, y, hock]), np.array([back + 0.05, y, ankle]), np.array(toe)),
    ]


def _front_leg(a: Anatomy) -> list[Part]:
    chain, joints = _front_chain(a), schema.FRONT_LEFT
    blade = np.array([0.86, 0.8 * chain[0][1], a.withers - 0.45 * a.chest])
    shoulder = Part("shoulder", 6, blade, chain[0], 0.8 * a.arm, 1.05 * a.arm, LEFT, 0.55, 0.09)
    radii = [1.0 * a.arm, 1.15 * a.knee, 0.95 * a.knee, a.cannon, 0.9 * a.foot]
    return [shoulder, *_leg_parts("front", chain, joints, radii, (0.7, 0.85), a)]


def _hind_leg(a: Anatomy) -> list[Part]:
    chain, joints = _hind_chain(a), schema.HIND_LEFT
    seat = np.array([-0.45 * a.hip, chain[0][1] * 0.9, chain[0][2] - 0.25 * a.hip])
    buttock = Part("thigh", 17, seat, chain[1], 0.75 * a.thigh, 0.8 * a.thigh, LEFT, 0.6, 0.09)
    radii = [1.05 * a.thigh, 1.3 * a.knee, 0.85 * a.knee, a.cannon, 0.9 * a.foot]
    return [buttock, *_leg_parts("hind", chain, joints, radii, (0.62, 0.85), a)]


def _leg_parts(which, chain, joints, radii, widths, a: Anatomy) -> list[Part]:
    regions = (f"{which} upper", f"{which} lower", f"{which} cannon", "foot")
    scales = (*widths, 0.9, 1.05)
    blends = (0.08, 0.05, 0.025, 0.03)
    ends = [(radii[i], radii[i + 1]) for i in range(4)]
    ends[2] = (0.95 * a.cannon, 0.9 * a.cannon)
    knob = Part(
        *(regions[1], joints[2], chain[2], chain[2] - [0.0, 0.0, 1e-3], radii[2], radii[2]),
        *(LEFT, 0.85, 0.03),
    )
    ankle = chain[3] - np.array([0.0, 0.0, 0.6 * (chain[3][2] - 0.9 * a.foot)])
    foot = Part("foot", joints[3], ankle, chain[4], a.foot, 0.62 * a.foot, LEFT, 1.1, 0.03)
    parts = [
        Part(regions[i], joints[i], chain[i], chain[i + 1], *ends[i], LEFT, scales[i], blends[i])
        for i in range(3)
    ]
    return [*parts, knob, foot]


def _tail(a: Anatomy) -> list[Part]:
    root = tail_root(a)
    places = [root - [a.tail * share, 0.0, 0.0] for share in (0.0, 0.35, 0.75, 1.0)]
    radii = (a.tail_base, 0.5 * (a.tail_base + a.tail_middle), a.tail_middle, a.tail_tip)
    joints = (25, 27, 30)
    return [
        Part("tail", joints[i], places[i], places[i + 1], radii[i], radii[i + 1], LEFT, 1.0, 0.03)
        for i in range(3)
    ]
