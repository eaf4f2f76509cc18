"""Proportions of animals: as words ask for them, and as a mesh has them.

Symbols: V vertices, J joints. What words ask for are `Degrees` of the `FACTORS` of
`lerf_wild.animals.species`; `scaled` applies them to an anatomy, from which the script of the
bundled quadruped makes a mesh. `measured` takes proportions off any mesh of the SMAL schema.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lerf_wild.animals import schema
from lerf_wild.animals.body import BodyModel
from lerf_wild.animals.quadruped.anatomy import SPECIES, Anatomy
from lerf_wild.animals.species import FACTORS, Species

Degrees = Mapping[str, int]
"""Names of `FACTORS` -> -2 (much less) to 2 (much more) than the kind's own."""

STEPS: dict[str, tuple[float, float]] = {
    **{"leg": (1.28, 1.6), "neck": (1.35, 1.75), "tail": (1.4, 1.8), "body": (1.15, 1.32)},
    **{"girth": (1.15, 1.3), "head": (1.15, 1.3), "snout": (1.25, 1.5), "ear": (1.4, 1.9)},
}
"""What a degree of 1 and of 2 scales by; negative degrees divide by the same."""

LENGTHS: dict[str, tuple[str, ...]] = {
    "neck": ("neck",),
    "tail": ("tail",),
    "girth": ("chest", "waist", "hip"),
    "head": ("skull", "snout", "snout_base", "snout_tip", "jaw"),
    "snout": ("snout",),
    "ear": ("ear", "ear_width"),
}
"""Fields of an anatomy that each factor scales; legs and body are treated by themselves."""
UNSCALED = ("width", "rump", "neck_pitch", "head_pitch", "ear_tip", "ear_tilt", "carpus", "hock")
"""Angles and ratios, which a longer trunk leaves alone."""

MEASURES = ("neck", "leg", "body", "tail", "head", "ear")


def scaled(anatomy: Anatomy, factors: Mapping[str, float]) -> Anatomy:
    """An anatomy with factors of `FACTORS` applied; those that aren't named are 1.

    Legs are what lies between the belly and the ground, so that girth does not shorten them. A
    longer trunk is written as everything else getting smaller, since anatomies are in trunk
    lengths.
    """
    clearance = anatomy.withers - 2.0 * anatomy.chest
    changes: dict[str, float] = {}
    for factor, names in LENGTHS.items():
        for name in names:
            now = changes.get(name, getattr(anatomy, name))
            changes[name] = now * factors.get(factor, 1.0)
    changed = replace(anatomy, **changes)
    legs = max(clearance, 0.05) * factors.get("leg", 1.0)
    changed = replace(changed, withers=2.0 * changed.chest + legs)
    body = factors.get("body", 1.0)
    shrunk = {name: v / body for name, v in vars(changed).items() if name not in UNSCALED}
    return replace(changed, **shrunk)


def anatomy_of(species: Species) -> Anatomy:
    """The anatomy of a species of the own table."""
    return scaled(SPECIES[species.base], dict(zip(FACTORS, species.factors)))


def degree_factors(degrees: Degrees) -> dict[str, float]:
    """What degrees scale by."""
    steps = {name: STEPS[name][abs(degree) - 1] for name, degree in degrees.items() if degree}
    return {name: step if degrees[name] > 0 else 1.0 / step for name, step in steps.items()}


def measured(model: BodyModel, rest: Tensor) -> Tensor:
    """Proportions (..., 6) in the order of `MEASURES`, of rest vertices (..., V, 3).

    Lengths of neck, front leg, tail, head and ear over the length of the trunk; the body's is the
    trunk's length over its depth.
    """
    joints = model.joint_regressor_JV @ rest
    points = model.keypoints(rest)

    def place(name: str) -> Tensor:
        return points[..., schema.KEYPOINT_NAMES.index(name), :]

    def between(first: int, second: int) -> Tensor:
        return (joints[..., first, :] - joints[..., second, :]).norm(dim=-1)

    trunk = between(0, schema.SPINE[-1])
    chain = schema.FRONT_LEFT
    leg = sum(between(a, b) for a, b in itertools.pairwise(chain))
    own = torch.isin(model.weights_VJ.argmax(1), torch.tensor(schema.SPINE[3:]))
    depth = rest[..., own, 2].amax(-1) - rest[..., own, 2].amin(-1)
    lengths = [
        between(schema.NECK, schema.HEAD),
        leg,
        trunk * trunk / depth,
        (place("tail tip") - place("tail base")).norm(dim=-1),
        (place("nose") - joints[..., schema.HEAD, :]).norm(dim=-1),
        (place("left ear") - joints[..., schema.LEFT_EAR, :]).norm(dim=-1),
    ]
    return torch.stack(lengths, -1) / trunk[..., None]
