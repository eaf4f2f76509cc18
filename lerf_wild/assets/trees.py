"""Trees: pine, birch, oak and a dead one. Lengths are metres."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lerf_wild.assets.foliage import UP, Branching, barked, bent_limb, grow_limbs, leaf_mass, wood
from lerf_wild.assets.mesh import Floats, Piece, join
from lerf_wild.assets.noise import fractal, make_lattice
from lerf_wild.assets.shapes import leaves, tints, tube


def grow_pine(rng: np.random.Generator) -> list[Piece]:
    """A conifer: whorls of drooping boughs with needles, narrower towards the top."""
    height = rng.uniform(4.5, 6.5)
    lattice = make_lattice(rng)
    reach = height * rng.uniform(0.2, 0.26)
    trunk = tube(
        np.array([[0, 0, 0], [0, 0, 0.3 * height], [0, 0, 0.97 * height]]),
        np.array([0.028, 0.022, 0.004]) * height, (0, 0, 0), 9,
    )  # fmt: skip
    shares = np.linspace(0.14, 0.98, 17)
    whorls = [_pine_whorl(rng, height, reach, share) for share in shares]
    core_z = np.linspace(0.2, 0.96, 8)
    core_r = 0.42 * reach * (1.0 - core_z) / 0.8 + 0.01
    core_line = np.stack([0 * core_z, 0 * core_z, core_z * height], axis=1)
    core = tube(core_line, core_r, (20, 38, 24), 9)
    return [barked(trunk, lattice, (112, 78, 56), (64, 44, 34)), core, *whorls]


def _pine_whorl(rng: np.random.Generator, height: float, reach: float, share: float) -> Piece:
    boughs = round(6 + 6 * (1 - share))
    length = reach * (1.04 - share) ** 0.85 * 1.12
    turn = rng.uniform(0, 2 * np.pi) + np.arange(boughs) * 2 * np.pi / boughs
    turn = turn + rng.normal(0, 0.12, boughs)
    own = length * rng.uniform(0.82, 1.12, boughs)
    needles = 26
    along = np.tile(np.linspace(0.12, 1.0, needles), boughs)
    bough = np.repeat(np.arange(boughs), needles)
    out = np.stack([np.cos(turn), np.sin(turn), np.zeros(boughs)], axis=1)[bough]
    side = np.cross(UP, out)
    distance = along * own[bough]
    drop = -0.28 * distance - 0.18 * distance * along + 0.12 * length
    swing = np.where(np.arange(len(bough)) % 2 == 0, 1.0, -1.0) * rng.uniform(0.2, 1.0, len(bough))
    bases = out * distance[:, None] + (share * height + drop)[:, None] * UP
    heading = out + swing[:, None] * side + rng.uniform(-0.5, 0.1, (len(bough), 1)) * UP
    size = (0.34 * length + 0.07) * (1.15 - 0.7 * along)
    fresh = (0.8 + 0.4 * along)[:, None]
    colours = tints(rng, len(bough), (38, 80, 44), 0.15) * fresh
    facing = UP + rng.normal(0, 0.3, (len(bough), 3))
    return leaves(bases, heading, size, 0.42 * size, colours, facing, droop=0.2)


def grow_birch(rng: np.random.Generator) -> list[Piece]:
    """A slender white trunk with dark marks and a light, hanging crown."""
    height = rng.uniform(5.0, 6.5)
    lattice = make_lattice(rng)
    plan = Branching(
        levels=2, children=13, length_ratio=0.34, angle=0.75, wobble=0.05, rise=0.05, first=0.36
    )
    limbs = grow_limbs(rng, (0, 0, 0), (0.03, 0.02, 1), 0.93 * height, 0.021 * height, plan)
    trunk, *boughs = limbs
    share = np.linspace(0, 1, 60)
    knots = np.linspace(0, 1, len(trunk.points_N3))
    line = np.stack(
        [np.interp(share, knots, trunk.points_N3[:, axis]) for axis in range(3)], axis=1
    )
    stem = _birch_bark(tube(line, np.interp(share, knots, trunk.radii_N), (0, 0, 0), 12), lattice)
    thin = [replace(bough, radii_N=0.55 * bough.radii_N) for bough in boughs]
    crown = []
    for bough in [*boughs, trunk]:
        size = rng.uniform(0.085, 0.115) * height
        for place in (-1, -3):
            centre = bough.points_N3[place] - [0, 0, 0.3 * size]
            radii = size * np.array([0.85, 0.85, 1.0])
            crown.append(
                leaf_mass(rng, lattice, centre, radii, (136, 172, 66), 105, 0.2, core=0, hang=0.8)
            )
    return [stem, wood(thin, lattice, (150, 140, 130), (70, 60, 54)), *crown]


def _birch_bark(stem: Piece, lattice_LLL: Floats) -> Piece:
    """White bark with short level dark bands, darker at the foot."""
    points = stem.vertices_V3
    bands = fractal(lattice_LLL, points * np.float32([7.0, 7.0, 14.0]), 1.0, 2)
    dark = np.clip((bands - 0.16) / 0.1, 0.0, 1.0)
    foot = np.clip(1.0 - points[:, 2] / 0.5, 0.0, 1.0) * np.clip(0.7 + bands, 0.0, 1.0)
    share = np.maximum(dark, foot)[:, None]
    colours = (1 - share) * np.float32([232, 228, 218]) + share * np.float32([38, 34, 32])
    return replace(stem, colours_V3=colours.astype(np.float32))


def grow_oak(rng: np.random.Generator) -> list[Piece]:
    """A thick trunk that divides low, under a broad crown of leaf masses."""
    height = rng.uniform(4.5, 6.0)
    lattice = make_lattice(rng)
    plan = Branching(
        levels=3, children=5, length_ratio=0.72, angle=0.95, wobble=0.12, rise=0.12, first=0.5
    )
    limbs = grow_limbs(rng, (0, 0, 0), (0.02, 0, 1), 0.5 * height, 0.055 * height, plan)
    flare = replace(
        limbs[0], radii_N=limbs[0].radii_N * np.interp(np.arange(7), [0, 1, 6], [1.35, 1.0, 0.9])
    )
    crown = []
    for limb in limbs:
        size = height * rng.uniform(0.095, 0.13) * (0.9 if limb.level == 2 else 1.2)
        radii = size * np.array([1.15, 1.15, 0.85])
        shade = (74, 108, 44) if rng.uniform() < 0.5 else (86, 118, 46)
        crown.append(leaf_mass(rng, lattice, limb.points_N3[-1], radii, shade, 130, 0.24))
    return [wood([flare, *limbs[1:]], lattice, (118, 96, 76), (62, 50, 42)), *crown]


def grow_dead_tree(rng: np.random.Generator) -> list[Piece]:
    """A bare grey tree with forking limbs and a broken top."""
    height = rng.uniform(3.6, 5.2)
    lattice = make_lattice(rng)
    plan = Branching(
        levels=4, children=4, length_ratio=0.56, angle=0.85, wobble=0.17, rise=0.1, first=0.38
    )
    limbs = grow_limbs(rng, (0, 0, 0), (0.05, 0.03, 1), 0.75 * height, 0.045 * height, plan)
    roots = [
        bent_limb(
            rng,
            (0, 0, 0.16),
            (np.cos(a), np.sin(a), -0.45),
            0.4,
            0.028 * height,
            replace(plan, rise=0.0),
            1,
        )
        for a in np.arange(5) * 1.257 + rng.uniform(0, 1)
    ]
    return [join([wood([*limbs, *roots], lattice, (150, 140, 128), (86, 76, 68))])]
