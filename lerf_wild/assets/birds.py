"""Standing birds: egret, raven, flamingo and mallard; smooth bodies with bills, legs and feathers.

Lengths are in units of the bird's height until the last step; nose along +x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lerf_wild.assets.coats import Skin, make_skin, over, ramp
from lerf_wild.assets.mesh import Asset, Colour, Piece, finish, join
from lerf_wild.assets.noise import make_lattice
from lerf_wild.assets.sdf import Bone, polygonise, surface_normals
from lerf_wild.assets.shapes import blades, blob, rotation, tints, tube
from lerf_wild.errors import AssetError


@dataclass(frozen=True)
class Plumage:
    """Colours of a bird, sRGB 0-255."""

    body: Colour
    wing: Colour
    head: Colour
    bill: Colour
    bill_tip: Colour
    leg: Colour


@dataclass(frozen=True)
class BirdBuild:
    """Shape of a bird of height 1; lines are (x, z) points."""

    height_m: float
    rear: tuple[float, float]
    breast: tuple[float, float]
    rear_radius: float
    breast_radius: float
    neck: tuple[tuple[float, float], ...]
    """From the breast up; the last point is the head."""
    neck_radii: tuple[float, float]
    head_radius: float
    bill: tuple[tuple[float, float], ...]
    """Points from the head's centre, forward and up."""
    bill_radius: float
    leg_radius: float
    tail_length: float
    plumage: Plumage


BIRDS: dict[str, tuple[str, ...]] = {
    "egret": ("white egret", "egret", "bird", "animal"),
    "raven": ("black raven", "raven", "bird", "animal"),
    "flamingo": ("pink flamingo", "flamingo", "bird", "animal"),
    "mallard": ("mallard duck", "duck", "bird", "animal"),
}

BUILDS: dict[str, BirdBuild] = {
    "egret": BirdBuild(
        0.95, (-0.2, 0.5), (0.08, 0.58), 0.06, 0.1,
        ((0.1, 0.62), (0.21, 0.7), (0.19, 0.79), (0.16, 0.87), (0.22, 0.95)), (0.06, 0.032), 0.045,
        ((0.03, 0.0), (0.11, -0.015), (0.2, -0.03)), 0.021, 0.012, 0.14,
        Plumage(
            body=(244, 243, 240), wing=(234, 234, 234), head=(244, 243, 240),
            bill=(240, 180, 40), bill_tip=(232, 164, 30), leg=(30, 28, 28),
        ),
    ),
    "raven": BirdBuild(
        0.5, (-0.3, 0.48), (0.12, 0.6), 0.14, 0.21,
        ((0.2, 0.74), (0.26, 0.84), (0.3, 0.88)), (0.16, 0.13), 0.125,
        ((0.08, -0.01), (0.2, -0.01), (0.29, -0.06)), 0.055, 0.024, 0.42,
        Plumage(
            body=(24, 25, 32), wing=(18, 19, 26), head=(26, 27, 36),
            bill=(22, 22, 24), bill_tip=(16, 16, 18), leg=(28, 26, 26),
        ),
    ),
    "flamingo": BirdBuild(
        1.3, (-0.17, 0.5), (0.05, 0.55), 0.06, 0.095,
        ((0.08, 0.57), (0.19, 0.62), (0.2, 0.72), (0.12, 0.82), (0.13, 0.92), (0.2, 0.96)),
        (0.05, 0.026), 0.038, ((0.02, -0.005), (0.065, -0.025), (0.085, -0.075)),
        0.022, 0.0095, 0.1,
        Plumage(
            body=(240, 132, 148), wing=(232, 96, 120), head=(244, 150, 160),
            bill=(240, 190, 180), bill_tip=(26, 22, 24), leg=(234, 120, 136),
        ),
    ),
    "mallard": BirdBuild(
        0.42, (-0.42, 0.4), (0.14, 0.42), 0.15, 0.225,
        ((0.26, 0.56), (0.32, 0.72), (0.36, 0.86)), (0.12, 0.085), 0.125,
        ((0.06, -0.03), (0.19, -0.06), (0.28, -0.07)), 0.055, 0.026, 0.2,
        Plumage(
            body=(176, 168, 160), wing=(128, 108, 90), head=(18, 92, 56),
            bill=(228, 190, 60), bill_tip=(214, 170, 50), leg=(232, 120, 36),
        ),
    ),
}  # fmt: skip


def grow_bird(species: str, rng: np.random.Generator) -> Asset:
    """One standing bird of a species; size, head height and tint vary with ``rng``.

    Raises:
        AssetError: for a species that is not in ``BIRDS``.
    """
    if species not in BIRDS:
        raise AssetError(f"No bird is called {species!r}; known are {', '.join(BIRDS)}.")
    build = BUILDS[species]
    tint = rng.normal(1.0, 0.012, 3) * rng.normal(1.0, 0.03)
    yaw = rng.uniform(-0.5, 0.5)
    pieces = [_body(species, build, yaw, rng), *_bill_and_eyes(build, yaw), *_legs(build, rng)]
    pieces += [_tail(species, build, rng)]
    whole = join(pieces)
    size = build.height_m * rng.uniform(0.9, 1.1)
    colours = np.clip(whole.colours_V3 * tint, 5, 248)
    metres = Piece((whole.vertices_V3 * size).astype(np.float32), whole.faces_F3, colours)
    provenance = {"source": "lerf_wild.assets.birds", "species": species}
    return finish([metres], species, "bird", BIRDS[species], provenance)


def _bones(build: BirdBuild, yaw: float) -> list[Bone]:
    rear, breast = (build.rear[0], 0.0, build.rear[1]), (build.breast[0], 0.0, build.breast[1])
    bones = [Bone("body", rear, breast, build.rear_radius, build.breast_radius, 0.85, 0.06)]
    radii = np.linspace(*build.neck_radii, len(build.neck))
    points = [breast, *[_turned(build, point, yaw, share) for point, share in _neck_shares(build)]]
    radii = np.concatenate([[0.7 * build.breast_radius], radii])
    for low, high, r_low, r_high in zip(points, points[1:], radii, radii[1:], strict=False):
        bones.append(Bone("neck", low, high, float(r_low), float(r_high), 1.0, 0.03))
    head = points[-1]
    front = _head_point(build, yaw, 0.45 * build.head_radius, 0.0)
    bones.append(Bone("head", head, front, build.head_radius, 0.8 * build.head_radius, 0.9, 0.03))
    length = build.breast[0] - build.rear[0]
    for side in (1, -1):
        shoulder = (
            build.breast[0] - 0.12 * length,
            side * 0.72 * build.breast_radius,
            build.breast[1] + 0.01,
        )
        tip = (build.rear[0] - 0.3 * length, side * 0.35 * build.rear_radius, build.rear[1] - 0.02)
        bones.append(
            Bone(
                "wing",
                shoulder,
                tip,
                0.68 * build.breast_radius,
                0.3 * build.rear_radius,
                0.35,
                0.015,
            )
        )
        hip = (
            0.5 * (build.rear[0] + build.breast[0]) + 0.03,
            side * 0.4 * build.breast_radius,
            build.rear[1] - 0.02,
        )
        knee = (hip[0] - 0.01, hip[1], hip[2] - 0.95 * build.breast_radius)
        bones.append(
            Bone("thigh", hip, knee, 0.42 * build.breast_radius, 1.6 * build.leg_radius, 1.0, 0.03)
        )
    return bones


def _neck_shares(build: BirdBuild) -> list[tuple[tuple[float, float], float]]:
    count = len(build.neck)
    return [(point, index / (count - 1)) for index, point in enumerate(build.neck)]


def _turned(
    build: BirdBuild, point: tuple[float, float], yaw: float, share: float
) -> tuple[float, float, float]:
    """A neck point, swung sideways about the root of the neck by its share of the head's yaw."""
    root = build.neck[0][0]
    out = rotation("z", yaw * share * 0.6) @ np.array([point[0] - root, 0.0, point[1]])
    return (float(out[0] + root), float(out[1]), float(out[2]))


def _head_point(
    build: BirdBuild, yaw: float, forward: float, up: float, left: float = 0.0
) -> tuple[float, float, float]:
    head = np.array(_turned(build, build.neck[-1], yaw, 1.0))
    x, y, z = head + rotation("z", yaw) @ np.array([forward, left, up])
    return (float(x), float(y), float(z))


def _body(species: str, build: BirdBuild, yaw: float, rng: np.random.Generator) -> Piece:
    bones = _bones(build, yaw)
    cell = 0.75 * min(build.neck_radii[1], 0.05)
    vertices, faces = polygonise(bones, cell)
    skin = make_skin(vertices, surface_normals(vertices, faces), make_lattice(rng), bones)
    return Piece(vertices, faces, _paint(species, build, skin))


def _paint(species: str, build: BirdBuild, skin: Skin) -> np.ndarray:
    colours = np.broadcast_to(np.float32(build.plumage.body), skin.points_V3.shape).copy()
    wing = ramp(skin.part("wing"), 0.35, 0.65)
    head = skin.part("head")
    x, z = skin.points_V3[:, 0], skin.points_V3[:, 2]
    if species == "mallard":
        colours = over(colours, (108, 62, 40), ramp(x, 0.06, 0.14))
        colours = over(colours, (24, 24, 26), ramp(-x, 0.4, 0.46))
        neck = ramp(z, 0.62, 0.64) * skin.part("neck", "head")
        colours = over(colours, (240, 238, 232), ramp(z, 0.585, 0.6) * skin.part("neck"))
        colours = over(colours, build.plumage.head, neck)
        colours = over(colours, build.plumage.wing, wing)
        return over(colours, (44, 70, 168), wing * ramp(-x, 0.14, 0.17) * ramp(x, -0.34, -0.31))
    colours = over(colours, build.plumage.head, head)
    colours = over(colours, build.plumage.wing, wing)
    if species == "flamingo":
        colours = over(colours, (40, 26, 30), wing * ramp(-x, 0.15, 0.19))
    return colours * (1.0 + 0.07 * skin.noise(14.0, 2))[:, None]


def _bill_and_eyes(build: BirdBuild, yaw: float) -> list[Piece]:
    line = np.array([_head_point(build, yaw, forward, up) for forward, up in build.bill])
    share = np.linspace(0.0, 1.0, 7)
    knots = np.linspace(0.0, 1.0, len(line))
    fine = np.stack([np.interp(share, knots, line[:, axis]) for axis in range(3)], axis=1)
    radii = build.bill_radius * (1.0 - 0.85 * share**1.3)
    tip = (share > 0.6)[:, None]
    bill = tube(
        fine,
        radii,
        np.where(tip, np.float32(build.plumage.bill_tip), np.float32(build.plumage.bill)),
        8,
    )
    size = 0.16 * build.head_radius
    white = min(build.plumage.head) < 30
    pieces = [bill]
    for side in (1, -1):
        at = _head_point(
            build,
            yaw,
            0.62 * build.head_radius,
            0.3 * build.head_radius,
            0.72 * side * build.head_radius,
        )
        pieces.append(blob(at, 1.2 * size, (150, 140, 126) if white else (16, 14, 14), 1))
        inner = _head_point(
            build,
            yaw,
            0.66 * build.head_radius,
            0.3 * build.head_radius,
            0.8 * side * build.head_radius,
        )
        pieces.append(blob(inner, 0.85 * size, (8, 8, 8), 1))
    return pieces


def _legs(build: BirdBuild, rng: np.random.Generator) -> list[Piece]:
    pieces: list[Piece] = []
    middle = 0.5 * (build.rear[0] + build.breast[0]) + 0.02
    thick = build.leg_radius
    for side in (1, -1):
        step = side * rng.uniform(0.0, 0.05)
        left = side * 0.4 * build.breast_radius
        top = np.array([middle, left, build.rear[1] - 0.8 * build.breast_radius])
        foot = np.array([middle + 0.03 + step, left, 0.8 * thick])
        knee = 0.5 * (top + foot) - [0.025, 0, 0]
        legs = np.array([top, knee, foot])
        pieces.append(tube(legs, thick * np.array([1.0, 1.15, 0.9]), build.plumage.leg, 6))
        for turn in (-0.55, 0.0, 0.55, np.pi):
            toe = foot + 5.5 * thick * np.array([np.cos(turn), np.sin(turn), 0.0]) * (
                0.5 if turn > 3 else 1.0
            )
            pieces.append(
                tube(np.array([foot, toe]), thick * np.array([0.75, 0.3]), build.plumage.leg, 5)
            )
    return pieces


def _tail(species: str, build: BirdBuild, rng: np.random.Generator) -> Piece:
    count = 14
    fan = np.linspace(-0.28, 0.28, count)
    pitch = (build.breast[1] - build.rear[1]) / (build.breast[0] - build.rear[0])
    base = np.array(
        [build.rear[0] + 0.2 * build.rear_radius, 0.0, build.rear[1] + 0.2 * build.rear_radius]
    )
    bases = base + np.stack([0 * fan, 0.35 * build.rear_radius * np.sin(6 * fan), 0 * fan], axis=1)
    lift = 0.25 if species == "mallard" else -pitch
    reach = build.tail_length + build.rear_radius
    rise = reach * np.stack([-np.cos(fan), np.sin(fan), lift + 0 * fan], axis=1)
    colour: Sequence[float] = (228, 224, 216) if species == "mallard" else build.plumage.wing
    return blades(
        bases,
        bases + rise,
        np.full(count, 0.45 * build.rear_radius),
        tints(rng, count, colour, 0.04),
        0.03,
    )
