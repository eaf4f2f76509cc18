"""Bushes and small plants: shrubs, fern, flowers, reeds, cactus, mushrooms. Lengths are metres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lerf_wild.assets.foliage import UP, Branching, grow_limbs, leaf_mass, wood
from lerf_wild.assets.mesh import Piece, join
from lerf_wild.assets.noise import make_lattice
from lerf_wild.assets.shapes import blades, blob, leaves, tints, tube, unit


def grow_shrub(rng: np.random.Generator) -> list[Piece]:
    """A round leafy bush of several lumps on short stems."""
    return _bush(rng, (92, 128, 52), rng.uniform(0.95, 1.35))


def grow_berry_bush(rng: np.random.Generator) -> list[Piece]:
    """A dark green bush hung with red berries."""
    height = rng.uniform(0.85, 1.15)
    bush = _bush(rng, (52, 92, 44), height)
    foliage = bush[1].vertices_V3
    outside = foliage[foliage[:, 2] > 0.25 * height]
    middle = np.array([0.0, 0.0, 0.45 * height])
    reach = np.linalg.norm(outside - middle, axis=1)
    chosen = rng.choice(len(outside), 90, replace=False, p=reach**4 / np.sum(reach**4))
    spots = middle + (outside[chosen] - middle) * 1.03
    berries = [blob(spot, rng.uniform(0.026, 0.036), (206, 24, 30), 0) for spot in spots]
    return [*bush, *berries]


def _bush(rng: np.random.Generator, colour: Sequence[float], height: float) -> list[Piece]:
    """Stems and one piece of foliage."""
    lattice = make_lattice(rng)
    plan = Branching(levels=2, children=3, wobble=0.15, angle=0.7, length_ratio=0.6)
    limbs = []
    for turn in np.arange(4) * 1.57 + rng.uniform(0, 1):
        heading = (0.6 * np.cos(turn), 0.6 * np.sin(turn), 1.0)
        limbs += grow_limbs(rng, (0, 0, 0), heading, 0.42 * height, 0.02, plan)
    lumps = []
    for lump in range(8):
        turn = lump * 2.4 + rng.uniform(-0.3, 0.3)
        out = 0.33 * height if lump else 0.0
        centre = np.array(
            [out * np.cos(turn), out * np.sin(turn), height * rng.uniform(0.34, 0.62)]
        )
        if lump == 0:
            centre[2] = 0.66 * height
        radii = height * rng.uniform(0.26, 0.34) * np.array([1.0, 1.0, 0.9])
        lumps.append(leaf_mass(rng, lattice, centre, radii, colour, 190, 0.11 * height))
    return [wood(limbs, lattice, (110, 84, 62), (66, 50, 40)), join(lumps)]


def grow_fern(rng: np.random.Generator) -> list[Piece]:
    """Arching fronds from one crown, each with two rows of leaflets that shorten outwards."""
    fronds = []
    for turn in np.arange(15) * 2.4 + rng.uniform(0, 6):
        fronds.append(_frond(rng, turn, rng.uniform(0.75, 1.05), rng.uniform(0.95, 1.4)))
    return fronds


def _frond(rng: np.random.Generator, turn_rad: float, length: float, lift_rad: float) -> Piece:
    share = np.linspace(0.0, 1.0, 9)
    slope = lift_rad * (1.0 - 1.2 * share)
    step = np.stack(
        [np.cos(slope) * np.cos(turn_rad), np.cos(slope) * np.sin(turn_rad), np.sin(slope)], axis=1
    )
    line = np.cumsum(step, axis=0) * length / len(share)
    stem = tube(line, np.linspace(0.009, 0.002, len(share)), (92, 104, 44), 4)
    along = np.repeat(np.linspace(0.14, 1.0, 20), 2)
    side = np.tile([1.0, -1.0], 20)
    bases = np.stack([np.interp(along, share, line[:, axis]) for axis in range(3)], axis=1)
    forward = np.stack([np.interp(along, share, step[:, axis]) for axis in range(3)], axis=1)
    across = np.array([-np.sin(turn_rad), np.cos(turn_rad), 0.0])
    heading = side[:, None] * across + 0.35 * forward
    size = 0.3 * length * np.sin(np.pi * np.clip(0.12 + 0.86 * along, 0, 1)) ** 0.8 + 0.01
    colours = tints(rng, len(along), (82, 140, 50), 0.1) * (0.85 + 0.3 * along)[:, None]
    upper = np.cross(heading, forward) * side[:, None]
    facing = unit(upper)
    return join([stem, leaves(bases, heading, size, 0.19 * size, colours, facing, droop=0.1)])


def grow_yellow_flowers(rng: np.random.Generator) -> list[Piece]:
    """A patch of yellow flowers in grass."""
    return _flower_patch(rng, (246, 200, 24), (150, 92, 20))


def grow_purple_flowers(rng: np.random.Generator) -> list[Piece]:
    """A patch of purple flowers in grass."""
    return _flower_patch(rng, (142, 62, 190), (244, 206, 70))


def _flower_patch(
    rng: np.random.Generator, petal: Sequence[float], centre: Sequence[float]
) -> list[Piece]:
    grass = _tuft(rng, 170, 0.42, (0.16, 0.32), 0.022, (84, 128, 50))
    heads = []
    for _ in range(34):
        out, turn = 0.42 * np.sqrt(rng.uniform()), rng.uniform(0, 2 * np.pi)
        foot = np.array([out * np.cos(turn), out * np.sin(turn), 0.0])
        top = foot + [rng.normal(0, 0.03), rng.normal(0, 0.03), rng.uniform(0.28, 0.46)]
        stem = tube(
            np.array([foot, 0.5 * (foot + top) + [0.01, 0, 0], top]),
            np.full(3, 0.006),
            (80, 120, 48),
            4,
        )
        heads += [stem, _flower_head(rng, top, petal, centre)]
    return [grass, *heads]


def _flower_head(
    rng: np.random.Generator,
    top_3: NDArray[np.floating],
    petal: Sequence[float],
    centre: Sequence[float],
) -> Piece:
    turn = np.arange(8) * np.pi / 4 + rng.uniform(0, 1)
    lean = rng.normal(0, 0.3, 3)
    out = np.stack([np.cos(turn), np.sin(turn), 0.25 + 0 * turn], axis=1)
    out = out + (out @ lean)[:, None] * UP
    size = np.full(8, rng.uniform(0.052, 0.07))
    bases = np.broadcast_to(top_3, (8, 3))
    petals = leaves(
        bases, out, size, 0.75 * size, tints(rng, 8, petal, 0.06), UP + 0 * out, droop=-0.05
    )
    return join([petals, blob(top_3 + [0, 0, 0.008], (0.018, 0.018, 0.012), centre, 1)])


def _tuft(
    rng: np.random.Generator, count: int, radius: float, heights: tuple[float, float], width: float,
    colour: Sequence[float],
) -> Piece:  # fmt: skip
    """Blades of grass on a disc that lean outwards."""
    out, turn = radius * np.sqrt(rng.uniform(size=count)), rng.uniform(0, 2 * np.pi, count)
    bases = np.stack([out * np.cos(turn), out * np.sin(turn), np.zeros(count)], axis=1)
    height = rng.uniform(*heights, count)
    lean = rng.normal(0, 0.22, (count, 2)) * height[:, None] + 0.25 * bases[:, :2]
    tips = bases + np.concatenate([lean, height[:, None]], axis=1)
    return blades(bases, tips, np.full(count, width), tints(rng, count, colour, 0.14), 0.05)


def grow_reeds(rng: np.random.Generator) -> list[Piece]:
    """A stand of tall reeds with brown cattails."""
    colour = (126, 146, 66)
    stand = _tuft(rng, 210, 0.38, (0.8, 1.6), 0.032, colour)
    stalks = []
    for _ in range(16):
        out, turn = 0.3 * np.sqrt(rng.uniform()), rng.uniform(0, 2 * np.pi)
        foot = np.array([out * np.cos(turn), out * np.sin(turn), 0.0])
        top = foot + [rng.normal(0, 0.07), rng.normal(0, 0.07), rng.uniform(1.3, 1.75)]
        stalks.append(tube(np.linspace(foot, top, 3), np.full(3, 0.008), (134, 146, 74), 4))
        low, high = foot + 0.83 * (top - foot), foot + 0.97 * (top - foot)
        head = np.linspace(low, high, 4)
        stalks.append(tube(head, np.array([0.018, 0.03, 0.03, 0.015]), (98, 58, 32), 7))
    return [stand, *stalks]


def grow_cactus(rng: np.random.Generator) -> list[Piece]:
    """A ribbed column with two or three raised arms."""
    height = rng.uniform(1.7, 2.4)
    pieces = _cactus_column(
        rng, np.array([[0, 0, 0], [0, 0, 0.55], [0, 0, 1.0]]) * height, 0.085 * height
    )
    for arm in range(int(rng.integers(2, 4))):
        turn = arm * 2.6 + rng.uniform(-0.4, 0.4)
        out = np.array([np.cos(turn), np.sin(turn), 0.0])
        level, reach = height * rng.uniform(0.35, 0.55), 0.2 * height
        top = height * rng.uniform(0.25, 0.38)
        line = [
            0 * out,
            0.7 * reach * out + 0.04 * UP,
            reach * out + 0.14 * height * UP,
            reach * out + top * UP,
        ]
        pieces += _cactus_column(rng, np.array(line) + level * UP, 0.055 * height)
    return pieces


def _cactus_column(
    rng: np.random.Generator, line_N3: NDArray[np.floating], radius: float
) -> list[Piece]:
    knots = np.linspace(0, 1, len(line_N3))
    share = np.concatenate([np.linspace(0, 0.9, 14), [0.95, 0.98, 1.0]])
    line = np.stack([np.interp(share, knots, line_N3[:, axis]) for axis in range(3)], axis=1)
    profile = radius * np.sqrt(np.clip(1.0 - np.clip((share - 0.86) / 0.145, 0, 1) ** 2, 0.0, 1.0))
    sides = 24
    column = tube(line, profile, (66, 118, 62), sides)
    ring_vertices = np.arange(len(column.vertices_V3) - 2)
    groove = (ring_vertices % 2 == 1)[:, None]
    centre = np.repeat(line, sides, axis=0)
    vertices, colours = column.vertices_V3.copy(), column.colours_V3.copy()
    vertices[:-2] = np.where(groove, centre + 0.82 * (vertices[:-2] - centre), vertices[:-2])
    colours[:-2] = np.where(groove, np.float32([40, 78, 44]), np.float32([104, 152, 84]))
    ridges = vertices[:-2][(ring_vertices % 2 == 0)]
    outward = unit(ridges - centre[ring_vertices % 2 == 0])
    some = rng.choice(len(ridges), min(90, len(ridges)), replace=False)
    size = np.full(len(some), 0.03)
    pale = tints(rng, len(some), (230, 220, 186), 0.05)
    spines = leaves(ridges[some], outward[some], size, 0.25 * size, pale, UP + 0.01 * outward[some])
    return [replace(column, vertices_V3=vertices, colours_V3=colours), spines]


def grow_mushroom(rng: np.random.Generator) -> list[Piece]:
    """Two or three toadstools: red cap with white dots on a white stem."""
    pieces = []
    for each in range(int(rng.integers(2, 4))):
        turn = each * 2.2 + rng.uniform(0, 0.6)
        foot = np.array([np.cos(turn), np.sin(turn), 0.0]) * (0.15 if each else 0.0)
        pieces += _toadstool(rng, foot, rng.uniform(0.26, 0.34) * (1.0 if each == 0 else 0.6))
    return pieces


def _toadstool(
    rng: np.random.Generator, foot_3: NDArray[np.floating], height: float
) -> list[Piece]:
    top = foot_3 + [rng.normal(0, 0.01), rng.normal(0, 0.01), 0.78 * height]
    line = np.linspace(foot_3, top, 5)
    stem = tube(line, height * np.array([0.13, 0.1, 0.085, 0.08, 0.08]), (236, 230, 214), 10)
    skirt = tube(line[2:4] + [0, 0, 0.02], height * np.array([0.15, 0.085]), (226, 218, 200), 10)
    radius = 0.36 * height
    dome = blob(top, (radius, radius, 0.3 * height), (204, 28, 22), 3)
    low = dome.vertices_V3[:, 2] < top[2]
    vertices = dome.vertices_V3.copy()
    vertices[low, 2] = top[2] - 0.12 * (top[2] - vertices[low, 2])
    under = vertices[:, 2] < top[2] - 0.004 * height
    colours = np.where(under[:, None], np.float32([238, 226, 200]), dome.colours_V3)
    cap = Piece(vertices, dome.faces_F3, colours)
    dots = []
    for index in range(26):
        level = np.sqrt((index + 0.5) / 26) * 0.97
        turn = index * 2.4 + rng.normal(0, 0.15)
        place = np.array([level * np.cos(turn), level * np.sin(turn), np.sqrt(1 - level**2)])
        size = radius * rng.uniform(0.07, 0.12)
        dots.append(blob(top + place * [radius, radius, 0.3 * height], size, (246, 242, 232), 0))
    return [stem, skirt, cap, *dots]
