"""What sits on a quadruped's body: ears, eyes, nose, horns, antlers, tusks, mane, bristles.

Sizes are in units of the withers height; each function returns pieces in the frame of the body.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lerf_wild.assets.builds import Build
from lerf_wild.assets.coats import ZEBRA_WAVE
from lerf_wild.assets.mesh import Piece, moved
from lerf_wild.assets.shapes import blades, blob, rotation, tints, tube, unit
from lerf_wild.assets.skeleton import HeadFrame, neck_root

EAR_PROFILES = {
    "pointed": (0.42, 0.5, 0.42, 0.24, 0.02),
    "round": (0.4, 0.5, 0.52, 0.4, 0.1),
    "long": (0.28, 0.46, 0.5, 0.36, 0.05),
}
EAR_COLOURS: dict[str, tuple[Sequence[float], Sequence[float]]] = {
    "red fox": ((32, 24, 22), (226, 196, 168)),
    "grey wolf": ((96, 90, 84), (176, 160, 146)),
    "brown bear": ((92, 58, 34), (70, 46, 30)),
    "wild boar": ((52, 44, 40), (92, 72, 64)),
    "red deer": ((122, 74, 42), (208, 184, 158)),
    "roe deer fawn": ((150, 92, 52), (226, 196, 172)),
    "zebra": ((40, 36, 36), (206, 196, 186)),
    "leopard": ((44, 34, 28), (220, 196, 156)),
    "rabbit": ((128, 100, 74), (222, 170, 156)),
    "sheep": ((40, 36, 35), (84, 68, 64)),
    "cow": ((38, 33, 32), (110, 84, 78)),
    "white horse": ((226, 222, 214), (190, 170, 164)),
}


def ornaments(
    species: str, build: Build, frame: HeadFrame, rng: np.random.Generator
) -> list[Piece]:
    """All ornaments of a species."""
    pieces = [*_eyes(build, frame), _nose(species, build, frame), *_ears(species, build, frame)]
    if species == "red deer":
        pieces += _antlers(build, frame, rng)
    if species == "cow":
        pieces += _horns(build, frame)
    if species == "wild boar":
        pieces += [*_tusks(build, frame), _bristles(build, rng)]
    if species in ("zebra", "white horse"):
        pieces += [_mane(species, build, frame, rng)]
    return pieces


def _eyes(build: Build, frame: HeadFrame) -> list[Piece]:
    size = 0.13 * build.skull
    pieces = []
    for side in (1, -1):
        at = frame.place(0.72 * build.skull, 0.6 * side * build.skull, 0.28 * build.skull)
        pieces.append(blob(at, size, (14, 11, 10), subdivisions=1))
    return pieces


def _nose(species: str, build: Build, frame: HeadFrame) -> Piece:
    colour = (196, 150, 140) if species in ("rabbit", "white horse") else (20, 17, 17)
    if species == "wild boar":
        colour = (150, 108, 98)
    tip = build.snout_tip
    at = frame.place(
        0.55 * build.skull + build.snout + 0.75 * tip, 0.0, -0.42 * build.skull + 0.35 * tip
    )
    return blob(at, (0.45 * tip, 0.55 * tip, 0.42 * tip), colour, subdivisions=1)


def _ears(species: str, build: Build, frame: HeadFrame) -> list[Piece]:
    outer, inner = EAR_COLOURS[species]
    profile = np.array(EAR_PROFILES[build.ear_shape]) * build.ear_width
    line = np.stack(
        [np.zeros(5), np.zeros(5), np.linspace(-0.12, 1.0, 5) * build.ear_length], axis=1
    )
    shape = tube(line, profile, outer, sides=8)
    points = shape.vertices_V3 * [0.32, 1.0, 1.0]
    colours = np.where(points[:, :1] > 0.02 * build.ear_width, np.float32(inner), np.float32(outer))
    flat = Piece(points.astype(np.float32), shape.faces_F3, colours)
    pieces = []
    for side in (1, -1):
        lean = rotation("x", -side * np.radians(build.ear_tilt)) @ rotation("z", side * 0.45)
        spread = 0.55 + 0.25 * min(build.ear_tilt / 60.0, 1.0)
        at = frame.place(
            -0.25 * build.skull, side * spread * build.skull, (1.3 - spread) * build.skull
        )
        pieces.append(moved(flat, frame.axes_33 @ lean, at))
    return pieces


def _antlers(build: Build, frame: HeadFrame, rng: np.random.Generator) -> list[Piece]:
    pieces = []
    length = rng.uniform(0.5, 0.62)
    share = np.linspace(0.0, 1.0, 7)
    for side in (1, -1):
        back, out, up = -0.35 * np.sin(share * 2.2), 0.42 * np.sin(share * 1.9), 1.0 * share
        local = np.stack([back, side * (0.25 + out) * 0.9, up], axis=1) * length
        local[:, 2] += 0.6 * build.skull
        beam = _in_head(frame, local)
        pieces.append(tube(beam, np.linspace(0.026, 0.009, 7), (150, 122, 88), sides=5))
        for at, reach in ((0, 0.2), (2, 0.2), (4, 0.17), (5, 0.15)):
            tine = local[at] + np.outer([0, 0.5, 1.0], [reach, side * 0.2 * reach, 0.35 * reach])
            tine[2, 2] += 0.5 * reach
            pieces.append(
                tube(_in_head(frame, tine), np.array([0.018, 0.013, 0.004]), (196, 176, 142), 5)
            )
    return pieces


def _horns(build: Build, frame: HeadFrame) -> list[Piece]:
    share = np.linspace(0.0, 1.0, 5)
    pieces = []
    for side in (1, -1):
        local = np.stack([0.1 * share, side * (0.5 + 1.5 * share), 0.75 + 1.2 * share**2], axis=1)
        line = _in_head(frame, local * build.skull)
        pieces.append(tube(line, np.linspace(0.03, 0.006, 5), (206, 196, 172), 6))
    return pieces


def _tusks(build: Build, frame: HeadFrame) -> list[Piece]:
    share = np.linspace(0.0, 1.0, 4)
    start = 0.5 * build.skull + 0.68 * build.snout
    pieces = []
    for side in (1, -1):
        local = np.stack(
            [
                start + 0.06 * share,
                side * (0.085 + 0.05 * share),
                -0.42 * build.skull - 0.04 + 0.19 * share**1.5,
            ],
            axis=1,
        )
        pieces.append(
            tube(_in_head(frame, local), np.linspace(0.028, 0.005, 4), (240, 232, 208), 5)
        )
    return pieces


def _bristles(build: Build, rng: np.random.Generator) -> Piece:
    x = rng.uniform(-0.45, 0.7, 160) * build.length
    top = np.interp(x / build.length, [-0.5, 0.5, 0.75], [1.0 + build.rump, 1.0, 0.9])
    bases = np.stack([x, rng.normal(0, 0.025, len(x)), top - 0.04], axis=1)
    rise = np.stack(
        [-0.08 + 0 * x, rng.normal(0, 0.03, len(x)), rng.uniform(0.09, 0.16, len(x))], axis=1
    )
    colours = tints(rng, len(x), (44, 37, 33), 0.2)
    return blades(bases, bases + rise, np.full(len(x), 0.03), colours, 0.0, 1)


def _mane(species: str, build: Build, frame: HeadFrame, rng: np.random.Generator) -> Piece:
    """Hair along the crest of the neck: upright and striped (zebra) or fallen to a side (horse)."""
    count = 190
    share = rng.uniform(0.0, 1.0, count)
    low = neck_root(build)
    high = np.array(frame.place(-0.25 * build.skull, 0.0, 0.0))
    crest = unit(np.cross(high - low, [0.0, 1.0, 0.0]))
    radius = np.interp(share, [0.0, 1.0], [build.neck_base, 0.9 * build.neck_top])
    bases = low + share[:, None] * (high - low) + 0.93 * radius[:, None] * crest
    bases += rng.normal(0, 0.01, (count, 3))
    if species == "zebra":
        rise = 0.12 * crest + rng.normal(0, 0.02, (count, 3))
        dark = np.cos(ZEBRA_WAVE * bases[:, 0] + 18.0 * np.maximum(bases[:, 2] - 1.0, 0.0)) > 0
        colours = np.where(dark[:, None], np.float32([30, 26, 26]), np.float32([226, 218, 204]))
        return blades(bases, bases + rise, np.full(count, 0.045), colours, 0.0, 1)
    down = rng.uniform(0.6, 1.3, count) * radius
    fall = np.stack([-0.08 - 0.3 * down, 1.05 * radius, -down], axis=1)
    colours = tints(rng, count, (158, 148, 136), 0.1)
    return blades(bases, bases + fall, np.full(count, 0.06), colours, 0.3, 4)


def _in_head(frame: HeadFrame, local_N3: NDArray[np.floating]) -> NDArray[np.floating]:
    return frame.origin_3 + local_N3 @ frame.axes_33.T
