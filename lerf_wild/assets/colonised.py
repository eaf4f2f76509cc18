"""Trees by space colonisation: limbs grow towards points of light until the crown is filled.

Symbols: A attractors, N nodes of the wood. Lengths are metres. The method is Runions, Lane and
Prusinkiewicz, "Modeling trees with a space colonization algorithm" (2007): every attractor pulls
the nearest node, nodes that are pulled grow a step towards the mean of their pulls, attractors
that are reached are dropped. Thickness follows the pipe model: r^n of a limb is the sum over
its twigs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from lerf_wild.assets.foliage import UP, barked
from lerf_wild.assets.mesh import Piece, join
from lerf_wild.assets.noise import make_lattice
from lerf_wild.assets.shapes import leaves, tints, tube, unit

Floats = NDArray[np.float64]
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Habit:
    """How a species grows; lengths are shares of the height."""

    height_m: tuple[float, float]
    crown: Callable[[np.random.Generator, int], Floats]
    """Draws attractors (A, 3) for a height of 1, the trunk standing on the origin."""
    trunk: float
    """Height at which the first limbs leave."""
    bark: tuple[Colour, Colour]
    leaf: Colour
    leaf_size: float = 0.03
    leaves_per_twig: int = 7
    leaf_spread: float = 0.035
    """How far leaves stand from their twig."""
    droop: float = 0.0
    """How much leaves hang."""
    attractors: int = 420
    step: float = 0.035
    twig_radius: float = 0.0035
    pipe: float = 2.3
    """The exponent n of the pipe model."""
    is_shrub: bool = False
    """Several stems from the ground instead of one trunk."""


def colonise(
    attractors_A3: Floats, roots: Sequence[Sequence[float]], step: float, rounds: int = 120
) -> tuple[Floats, NDArray[np.int64]]:
    """Grow wood into the attractors.

    Args:
        attractors_A3: Points of light, metres.
        roots: Lines are started here; node 0 is the first root.
        step: Length of an internode; attractors within two steps of a node are reached.
        rounds: Most rounds of growth.

    Returns:
        Nodes (N, 3) and the index of each node's parent, -1 for roots. Parents come first.
    """
    nodes = [np.asarray(root, np.float64) for root in roots]
    parents = [-1] * len(nodes)
    left = np.asarray(attractors_A3, np.float64)
    grown: set[tuple[int, ...]] = set()
    for _ in range(rounds):
        if len(left) == 0:
            break
        points = np.array(nodes)
        _, nearest = cKDTree(points).query(left)
        added = _grow_round(points, left, nearest, step, grown, nodes, parents)
        distance, _ = cKDTree(np.array(nodes)).query(left)
        left = left[distance > 2.0 * step]
        if not added:
            break
    return np.array(nodes), np.array(parents, np.int64)


def _grow_round(
    points_N3: Floats, left_A3: Floats, nearest_A: NDArray[np.int64], step: float,
    grown: set[tuple[int, ...]], nodes: list[Floats], parents: list[int],
) -> bool:  # fmt: skip
    pulls = unit(left_A3 - points_N3[nearest_A])
    added = False
    for node in np.unique(nearest_A):
        heading = unit(pulls[nearest_A == node].mean(axis=0))
        tip = points_N3[node] + step * heading
        # Two opposite attractors pull a node back and forth for ever; a place is only taken once.
        place = tuple(np.round(tip / (0.3 * step)).astype(int))
        if place not in grown:
            grown.add(place)
            nodes.append(tip)
            parents.append(int(node))
            added = True
    return added


def radii_of(parents_N: NDArray[np.int64], twig: float, power: float) -> Floats:
    """Radius of every node by the pipe model; twigs have the radius ``twig``."""
    flow = np.zeros(len(parents_N))
    for node in range(len(parents_N) - 1, -1, -1):
        if flow[node] == 0.0:
            flow[node] = twig**power
        if parents_N[node] >= 0:
            flow[parents_N[node]] += flow[node]
    return flow ** (1.0 / power)


def limbs_of(parents_N: NDArray[np.int64], radii_N: Floats) -> list[list[int]]:
    """Split the wood into lines of nodes; a line follows the thickest child at every fork."""
    children: dict[int, list[int]] = {}
    for node, parent in enumerate(parents_N):
        children.setdefault(int(parent), []).append(node)
    lines, starts = [], [(root,) for root in children.get(-1, [])]
    while starts:
        line = list(starts.pop())
        while children.get(line[-1]):
            first, *others = sorted(children[line[-1]], key=lambda node: -radii_N[node])
            starts += [(line[-1], other) for other in others]
            line.append(first)
        lines.append(line)
    return lines


def grow_habit(habit: Habit, rng: np.random.Generator) -> list[Piece]:
    """One individual of a habit, as pieces in metres."""
    height = rng.uniform(*habit.height_m)
    lattice = make_lattice(rng)
    attractors = habit.crown(rng, habit.attractors)
    nodes, parents = colonise(attractors, _roots(habit, rng), habit.step)
    nodes, parents = _rooted(nodes, parents, habit, rng)
    nodes = _relaxed(nodes, parents)
    radii = radii_of(parents, habit.twig_radius, habit.pipe)
    lines = limbs_of(parents, radii)
    tubes = [_limb(nodes, radii, line, height) for line in lines if len(line) > 1]
    bark = barked(join(tubes), lattice, *habit.bark)
    foliage = _foliage(habit, nodes, parents, radii, height, rng)
    return [bark, *foliage]


def _roots(habit: Habit, rng: np.random.Generator) -> list[tuple[float, float, float]]:
    if not habit.is_shrub:
        return [(0.0, 0.0, 0.0)]
    turns = np.arange(6) * np.pi / 3 + rng.uniform(-0.4, 0.4, 6)
    return [(0.07 * float(np.cos(turn)), 0.07 * float(np.sin(turn)), 0.0) for turn in turns]


def _rooted(
    nodes: Floats, parents: NDArray[np.int64], habit: Habit, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.int64]]:
    """Let the foot of a trunk bend a little, so that no two stand alike."""
    if habit.is_shrub:
        return nodes, parents
    lean = rng.normal(0.0, 0.02, 2)
    share = np.clip(nodes[:, 2] / max(habit.trunk, 0.05), 0.0, 1.0)
    wave = np.sin(np.pi * share)[:, None] * lean
    bent = nodes.copy()
    bent[:, :2] += wave
    return bent, parents


def _relaxed(nodes: Floats, parents: NDArray[np.int64], rounds: int = 2) -> Floats:
    """Smooth the zigzag that steps of one length leave; roots and tips stay."""
    for _ in range(rounds):
        total, count = np.zeros_like(nodes), np.zeros(len(nodes))
        inner = np.flatnonzero(parents >= 0)
        np.add.at(total, parents[inner], nodes[inner])
        np.add.at(count, parents[inner], 1.0)
        movable = (count > 0) & (parents >= 0)
        child = total[movable] / count[movable, None]
        middle = 0.5 * (child + nodes[parents[movable]])
        nodes = nodes.copy()
        nodes[movable] += 0.5 * (middle - nodes[movable])
    return nodes


def _limb(nodes: Floats, radii: Floats, line: list[int], height: float) -> Piece:
    thick = radii[line].copy()
    if len(line) > 2:
        # A side limb starts inside its parent with its own thickness, not the parent's.
        thick[0] = min(thick[0], 1.15 * thick[1])
    sides = 9 if thick.max() > 0.02 else 6 if thick.max() > 0.007 else 4
    return tube(nodes[line] * height, np.maximum(thick, 1e-3) * height, (0, 0, 0), sides)


def _foliage(
    habit: Habit, nodes: Floats, parents: NDArray[np.int64], radii: Floats, height: float,
    rng: np.random.Generator,
) -> list[Piece]:  # fmt: skip
    if habit.leaves_per_twig == 0:
        return []
    twigs = np.flatnonzero((radii < 2.2 * habit.twig_radius) & (parents >= 0))
    twigs = twigs[nodes[twigs, 2] > 0.6 * habit.trunk]
    chosen = np.repeat(twigs, habit.leaves_per_twig)
    count = len(chosen)
    along = nodes[chosen] - nodes[parents[chosen]]
    away = unit(rng.normal(size=(count, 3)))
    bases = nodes[chosen] + rng.uniform(-1, 0, (count, 1)) * along
    bases = bases + habit.leaf_spread * rng.uniform(0, 1, (count, 1)) * away
    heading = unit(away + unit(along) - habit.droop * UP)
    length = habit.leaf_size * height * rng.uniform(0.7, 1.3, count)
    low, high = nodes[:, 2].min(), nodes[:, 2].max()
    light = 0.72 + 0.4 * (bases[:, 2:] - low) / max(high - low, 1e-6)
    colours = tints(rng, count, habit.leaf, 0.13) * light
    facing = UP + rng.normal(0, 0.5, (count, 3))
    width = (0.3 if habit.droop > 0.5 else 0.6) * length
    return [leaves(bases * height, heading, length, width, colours, facing)]


def ellipsoid(
    rng: np.random.Generator, count: int, middle_z: float, radii: tuple[float, float, float]
) -> Floats:
    """Points evenly within an ellipsoid over the origin, shape (count, 3)."""
    ball = unit(rng.normal(size=(count, 3))) * rng.uniform(0, 1, (count, 1)) ** (1 / 3)
    return ball * np.asarray(radii) + [0.0, 0.0, middle_z]
