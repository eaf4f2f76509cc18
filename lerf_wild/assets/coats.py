"""Coat colours of the quadrupeds: masks over body parts and patterns over space.

Symbols: V vertices, B bones. Positions are in units of the withers height.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lerf_wild.assets.noise import fractal, value_noise
from lerf_wild.assets.sdf import Bone, bone_distance

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Skin:
    """The vertices of a body and how much each belongs to each bone."""

    points_V3: Floats
    normals_V3: Floats
    lattice_LLL: Floats
    bones: Sequence[Bone]
    weights_VB: Floats
    shares_VB: Floats

    def part(self, *prefixes: str) -> Floats:
        """Weight 0-1 of the bones whose region starts with one of the prefixes."""
        chosen = [bone.region.startswith(prefixes) for bone in self.bones]
        return self.weights_VB[:, chosen].sum(axis=1)

    def along(self, prefix: str) -> Floats:
        """Share 0-1 along the bones of a part, averaged by weight."""
        chosen = [bone.region.startswith(prefix) for bone in self.bones]
        weight = self.weights_VB[:, chosen]
        return (weight * self.shares_VB[:, chosen]).sum(axis=1) / np.maximum(
            weight.sum(axis=1), 1e-6
        )

    def below(self, softness: float = 0.5) -> Floats:
        """1 where the surface looks down, 0 where it looks up."""
        return ramp(-self.normals_V3[:, 2], -0.1, softness)

    def noise(self, frequency: float, octaves: int = 3) -> Floats:
        """Fractal noise in about [-1, 1] over the body."""
        return fractal(self.lattice_LLL, self.points_V3, frequency, octaves)


def make_skin(
    points_V3: Floats, normals_V3: Floats, lattice_LLL: Floats, bones: Sequence[Bone]
) -> Skin:
    """Weigh each vertex by its distances to the bones (soft minimum of 0.02 withers heights)."""
    pairs = [bone_distance(bone, points_V3) for bone in bones]
    distance = np.stack([pair[0] for pair in pairs], axis=1)
    weight = np.exp(-(distance - distance.min(axis=1, keepdims=True)) / 0.02)
    weight /= weight.sum(axis=1, keepdims=True)
    shares = np.stack([pair[1] for pair in pairs], axis=1)
    return Skin(points_V3, normals_V3, lattice_LLL, bones, weight.astype(np.float32), shares)


def ramp(values: Floats, low: float, high: float) -> Floats:
    """Smooth step from 0 at ``low`` to 1 at ``high``."""
    share = np.clip((values - low) / (high - low), 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def over(base_V3: Floats, colour: Sequence[float], mask_V: Floats) -> Floats:
    """Blend a colour over the base where the mask is 1."""
    return base_V3 + np.clip(mask_V, 0.0, 1.0)[:, None] * (np.float32(colour) - base_V3)


def paint(species: str, skin: Skin, rng: np.random.Generator) -> Floats:
    """sRGB colours 0-255 of a species, with a tint of the individual and fine mottling."""
    colours = COATS[species](skin)
    tint = rng.normal(1.0, 0.018, 3) * rng.normal(1.0, 0.06)
    mottle = 1.0 + 0.09 * skin.noise(9.0, 2)
    return np.clip(colours * tint * mottle[:, None], 6, 245).astype(np.float32)


def _plain(skin: Skin, colour: Sequence[float]) -> Floats:
    return np.broadcast_to(np.float32(colour), skin.points_V3.shape).copy()


def _spots(skin: Skin, frequency: float, radius: float, jitter: float = 0.33) -> Floats:
    """1 inside dots, one at a random place in each cell; the radius is a share of a cell."""
    scaled = skin.points_V3 * frequency
    cell = np.floor(scaled)
    nearest = np.full(len(scaled), 9.0, np.float32)
    for step in np.ndindex(3, 3, 3):
        corner = cell + np.array(step) - 1.0
        shift = [
            value_noise(skin.lattice_LLL, np.floor(corner * [3, 5, 7]) + k * 4.0) for k in range(3)
        ]
        dot = corner + 0.5 + jitter * np.stack(shift, axis=1)
        nearest = np.minimum(nearest, np.linalg.norm(scaled - dot, axis=1))
    return 1.0 - ramp(nearest, 0.6 * radius, 1.2 * radius)


def _fox(skin: Skin) -> Floats:
    colours = _plain(skin, (214, 104, 34))
    colours = over(
        colours, (168, 70, 20), ramp(skin.normals_V3[:, 2], 0.5, 1.0) * skin.part("body")
    )
    white = (240, 234, 224)
    throat = skin.part("neck", "body") * ramp(
        skin.normals_V3[:, 0] - 0.8 * skin.normals_V3[:, 2], 0.15, 0.5
    )
    colours = over(colours, white, np.maximum(throat, skin.part("jaw")))
    cheeks = skin.part("snout") * ramp(-skin.normals_V3[:, 2], -0.35, 0.2)
    colours = over(colours, white, cheeks)
    front = skin.points_V3[:, 0] > 0
    chest = skin.part("body") * skin.below(0.6) * np.where(front, 1.0, 0.45)
    colours = over(colours, white, chest)
    stocking = np.maximum(
        skin.part("foot", "front_cannon", "hind_cannon"), 0.9 * skin.part("front_lower")
    )
    colours = over(colours, (34, 24, 22), stocking)
    return over(colours, white, skin.part("tail_2") * ramp(skin.along("tail_2"), 0.1, 0.4))


def _wolf(skin: Skin) -> Floats:
    grey = 132 + 26 * skin.noise(2.5)
    colours = np.stack([grey, 0.97 * grey, 0.92 * grey], axis=1).astype(np.float32)
    saddle = ramp(skin.normals_V3[:, 2], 0.1, 0.9) * skin.part("body", "neck", "tail_0", "tail_1")
    colours = over(colours, (62, 60, 60), 0.85 * saddle)
    pale = skin.below() * skin.part("body", "neck", "snout") + skin.part("jaw")
    colours = over(colours, (212, 206, 194), 0.9 * pale)
    colours = over(colours, (176, 164, 146), skin.part("front_", "hind_cannon", "foot"))
    return over(colours, (50, 50, 52), skin.part("tail_2") * skin.along("tail_2"))


def _bear(skin: Skin) -> Floats:
    colours = over(_plain(skin, (104, 66, 36)), (140, 96, 56), ramp(skin.noise(2.0), -0.2, 0.7))
    colours = over(
        colours, (60, 38, 24), skin.part("front_lower", "front_cannon", "hind_cannon", "foot")
    )
    return over(colours, (160, 122, 84), skin.part("snout") * ramp(skin.along("snout"), 0.2, 0.7))


def _boar(skin: Skin) -> Floats:
    colours = over(_plain(skin, (66, 56, 48)), (96, 82, 68), ramp(skin.noise(4.0), 0.0, 0.8))
    ridge = ramp(skin.normals_V3[:, 2], 0.6, 1.0) * skin.part("body", "neck")
    colours = over(colours, (36, 30, 28), ridge)
    colours = over(colours, (34, 29, 28), skin.part("front_cannon", "hind_cannon", "foot"))
    return over(
        colours, (150, 112, 100), skin.part("snout") * ramp(skin.along("snout"), 0.86, 0.97)
    )


def _deer(skin: Skin) -> Floats:
    colours = over(_plain(skin, (142, 86, 50)), (118, 70, 42), ramp(skin.noise(2.0), -0.3, 0.6))
    colours = over(colours, (112, 72, 46), skin.part("neck", "front_cannon", "hind_cannon", "foot"))
    colours = over(colours, (206, 180, 146), 0.8 * skin.below(0.7) * skin.part("body"))
    rump = ramp(-skin.normals_V3[:, 0], 0.45, 0.85) * skin.part("body", "hind_upper", "tail")
    colours = over(colours, (226, 204, 160), rump * ramp(skin.points_V3[:, 2], 0.6, 0.75))
    return over(colours, (70, 50, 40), skin.part("snout") * ramp(skin.along("snout"), 0.75, 0.95))


def _fawn(skin: Skin) -> Floats:
    colours = _plain(skin, (164, 100, 54))
    colours = over(colours, (226, 206, 178), skin.below(0.7) * skin.part("body", "jaw", "neck"))
    flank = skin.part("body", "hind_upper", "front_upper") * ramp(skin.normals_V3[:, 2], -0.35, 0.0)
    colours = over(colours, (244, 236, 220), flank * _spots(skin, 7.4, 0.36, 0.3))
    return over(colours, (60, 44, 38), skin.part("snout") * ramp(skin.along("snout"), 0.75, 0.95))


ZEBRA_WAVE = 30.0


def _zebra(skin: Skin) -> Floats:
    x, _, z = skin.points_V3.T
    pivot_x, pivot_z = -0.16, 0.5
    fan = 10.0 * np.arctan2(np.maximum(pivot_x - x, 0.0), z - pivot_z)
    body = ZEBRA_WAVE * np.maximum(x, pivot_x) + 18.0 * np.maximum(z - 1.0, 0.0) - fan
    body_stripes = ramp(np.cos(body + 1.3 * skin.noise(2.2, 2)), -0.55, 0.45)
    leg_stripes = ramp(np.cos(46.0 * z + 1.2 * skin.noise(2.0, 1)), -0.5, 0.5)
    leg = ramp(-z, -0.5, -0.4)
    stripes = (1 - leg) * body_stripes + leg * leg_stripes
    colours = over(_plain(skin, (238, 232, 220)), (26, 23, 24), stripes)
    colours = over(
        colours, (238, 232, 220), ramp(-skin.normals_V3[:, 2], 0.8, 0.95) * skin.part("body")
    )
    return over(
        colours,
        (34, 30, 30),
        skin.part("snout") * ramp(skin.along("snout"), 0.65, 0.85) + skin.part("tail_2"),
    )


def _leopard(skin: Skin) -> Floats:
    colours = over(
        _plain(skin, (212, 158, 84)), (186, 128, 62), ramp(skin.normals_V3[:, 2], 0.2, 1.0)
    )
    colours = over(
        colours, (238, 226, 200), skin.below(0.6) * skin.part("body", "neck") + skin.part("jaw")
    )
    rosettes = _spots(skin, 8.6, 0.5, 0.42) * skin.part(
        "body", "hind_upper", "front_upper", "neck", "tail"
    )
    colours = over(colours, (36, 26, 20), rosettes)
    small = _spots(skin, 11.0, 0.36) * skin.part(
        "head", "front_lower", "hind_lower", "front_cannon", "hind_cannon"
    )
    colours = over(colours, (40, 30, 24), small)
    return over(colours, (36, 28, 24), ramp(skin.along("tail_2"), 0.5, 0.7) * skin.part("tail_2"))


def _rabbit(skin: Skin) -> Floats:
    colours = over(_plain(skin, (146, 116, 84)), (112, 88, 64), ramp(skin.noise(5.0), -0.2, 0.6))
    colours = over(colours, (214, 200, 180), skin.below(0.7) * skin.part("body", "neck", "jaw"))
    return over(colours, (246, 244, 240), skin.part("tail"))


def _sheep(skin: Skin) -> Floats:
    colours = over(
        _plain(skin, (232, 226, 210)), (188, 180, 160), ramp(-skin.noise(7.0, 2), 0.05, 0.6)
    )
    dark = skin.part("snout", "jaw", "foot", "front_lower", "front_cannon", "hind_cannon")
    dark = np.maximum(
        dark, skin.part("head") * ramp(skin.points_V3[:, 0] - _centre_x(skin, "head"), -0.08, -0.02)
    )
    return over(colours, (42, 37, 36), np.maximum(dark, skin.part("hind_lower")))


def _cow(skin: Skin) -> Floats:
    colours = over(_plain(skin, (36, 31, 30)), (58, 50, 46), ramp(skin.noise(2.5), 0.0, 0.7))
    return over(colours, (150, 132, 124), skin.part("snout") * ramp(skin.along("snout"), 0.8, 0.95))


def _horse(skin: Skin) -> Floats:
    colours = over(_plain(skin, (236, 232, 224)), (206, 200, 190), ramp(skin.noise(2.0), 0.0, 0.8))
    colours = over(
        colours, (150, 136, 132), skin.part("snout") * ramp(skin.along("snout"), 0.75, 0.95)
    )
    return over(colours, (96, 88, 82), skin.part("foot") * ramp(skin.along("foot"), 0.3, 0.7))


def _centre_x(skin: Skin, region: str) -> float:
    ends = [(bone.start[0] + bone.end[0]) / 2 for bone in skin.bones if bone.region == region]
    return float(np.mean(ends))


COATS: dict[str, Callable[[Skin], Floats]] = {
    "red fox": _fox,
    "grey wolf": _wolf,
    "brown bear": _bear,
    "wild boar": _boar,
    "red deer": _deer,
    "roe deer fawn": _fawn,
    "zebra": _zebra,
    "leopard": _leopard,
    "rabbit": _rabbit,
    "sheep": _sheep,
    "cow": _cow,
    "white horse": _horse,
}
