"""Proportions of four-legged mammals, the parameters that the bundled shape space is made from.

Lengths and radii are in trunk lengths (shoulder joint to hip joint = 1), angles in degrees upwards.
The figures were set by eye against the project's own renders; no file of another body model was
used.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np


@dataclass(frozen=True)
class Anatomy:
    """One kind of animal, or one individual, in its rest pose."""

    withers: float = 1.0
    """Height of the back above the shoulders; with the trunk it says how long the legs are."""
    rump: float = 0.0
    """How much higher the rump is than the withers."""
    chest: float = 0.25
    waist: float = 0.21
    hip: float = 0.22
    width: float = 0.78
    """Width of the trunk as a share of its depth."""
    hump: float = 0.0
    """Height of a hump or of high withers above the shoulders."""
    back_hump: float = 0.0
    """Height of a hump in the middle of the back."""
    neck: float = 0.4
    neck_pitch: float = 36.0
    neck_base: float = 0.18
    neck_top: float = 0.125
    skull: float = 0.135
    snout: float = 0.22
    snout_base: float = 0.09
    snout_tip: float = 0.06
    head_pitch: float = -22.0
    jaw: float = 0.05
    """Radius of the lower jaw."""
    ear: float = 0.16
    ear_width: float = 0.055
    """Half the width of an ear at its middle."""
    ear_tip: float = 0.35
    """Width of the tip as a share of the middle: 0 pointed, 1 round."""
    ear_tilt: float = 30.0
    """How far the ears lean outwards, 0 straight up, 90 sideways."""
    thigh: float = 0.125
    arm: float = 0.1
    knee: float = 0.06
    cannon: float = 0.042
    foot: float = 0.052
    foot_length: float = 0.07
    carpus: float = 0.25
    """Height of the wrist as a share of the withers height: low in paws, high in hooves."""
    hock: float = 0.28
    tail: float = 0.6
    tail_base: float = 0.045
    tail_middle: float = 0.045
    tail_tip: float = 0.02


SPECIES: dict[str, Anatomy] = {
    "dog": Anatomy(
        0.98, chest=0.25, waist=0.185, hip=0.2, neck=0.34, neck_pitch=42, neck_base=0.17,
        neck_top=0.125, skull=0.135, snout=0.21, snout_base=0.085, snout_tip=0.06, jaw=0.045,
        head_pitch=-14, ear=0.17, ear_width=0.062, ear_tilt=75, arm=0.095, thigh=0.12, knee=0.058,
        cannon=0.044, foot=0.056, foot_length=0.1, carpus=0.17, hock=0.24, tail=0.6,
    ),
    "shepherd dog": Anatomy(
        0.98, chest=0.25, waist=0.19, hip=0.2, neck=0.35, neck_pitch=40, neck_base=0.185,
        neck_top=0.135, skull=0.13, snout=0.24, snout_base=0.085, snout_tip=0.05, jaw=0.042,
        head_pitch=-14, ear=0.19, ear_width=0.06, ear_tip=0.1, ear_tilt=14, arm=0.1, thigh=0.125,
        knee=0.06, cannon=0.044, foot=0.056, foot_length=0.1, carpus=0.17, hock=0.24, tail=0.75,
        tail_base=0.05, tail_middle=0.075, tail_tip=0.03,
    ),
    "greyhound": Anatomy(
        1.15, chest=0.26, waist=0.13, hip=0.17, width=0.66, neck=0.44, neck_pitch=48,
        neck_base=0.13, neck_top=0.085, skull=0.1, snout=0.26, snout_base=0.065, snout_tip=0.038,
        jaw=0.03, head_pitch=-14, ear=0.11, ear_width=0.04, ear_tilt=80, arm=0.08, thigh=0.125,
        knee=0.045, cannon=0.03, foot=0.04, foot_length=0.09, carpus=0.17, hock=0.25, tail=0.8,
        tail_base=0.03, tail_middle=0.022, tail_tip=0.012,
    ),
    "dachshund": Anatomy(
        0.52, chest=0.175, waist=0.15, hip=0.155, width=0.9, neck=0.28, neck_pitch=40,
        neck_base=0.125, neck_top=0.1, skull=0.105, snout=0.2, snout_base=0.066, snout_tip=0.045,
        jaw=0.035, head_pitch=-10, ear=0.17, ear_width=0.062, ear_tip=0.7, ear_tilt=100, arm=0.07,
        thigh=0.085, knee=0.05, cannon=0.042, foot=0.052, foot_length=0.085, carpus=0.2, hock=0.26,
        tail=0.55, tail_base=0.035, tail_middle=0.028,
    ),
    "bulldog": Anatomy(
        0.82, chest=0.31, waist=0.235, hip=0.22, width=0.98, rump=0.02, neck=0.24, neck_pitch=34,
        neck_base=0.24, neck_top=0.2, skull=0.19, snout=0.07, snout_base=0.14, snout_tip=0.12,
        jaw=0.085, head_pitch=-12, ear=0.11, ear_width=0.05, ear_tip=0.3, ear_tilt=70, arm=0.12,
        thigh=0.13, knee=0.085, cannon=0.066, foot=0.075, foot_length=0.1, carpus=0.17, hock=0.24,
        tail=0.14, tail_base=0.04, tail_middle=0.03,
    ),
    "wolf": Anatomy(
        1.0, chest=0.26, waist=0.2, hip=0.2, width=0.72, neck=0.34, neck_pitch=26, neck_base=0.215,
        neck_top=0.165, skull=0.14, snout=0.24, snout_base=0.088, snout_tip=0.054, jaw=0.044,
        head_pitch=-12, ear=0.15, ear_width=0.055, ear_tip=0.15, ear_tilt=18, arm=0.1, thigh=0.12,
        knee=0.058, cannon=0.044, foot=0.058, foot_length=0.11, carpus=0.17, hock=0.25, tail=0.62,
        tail_base=0.055, tail_middle=0.085, tail_tip=0.035,
    ),
    "red fox": Anatomy(
        0.84, chest=0.2, waist=0.16, hip=0.17, width=0.8, neck=0.28, neck_pitch=34, neck_base=0.155,
        neck_top=0.13, skull=0.125, snout=0.22, snout_base=0.07, snout_tip=0.032, jaw=0.03,
        head_pitch=-12, ear=0.2, ear_width=0.075, ear_tip=0.12, ear_tilt=20, arm=0.075, thigh=0.1,
        knee=0.045, cannon=0.034, foot=0.044, foot_length=0.08, carpus=0.17, hock=0.25, tail=0.95,
        tail_base=0.055, tail_middle=0.125, tail_tip=0.04,
    ),
    "cat": Anatomy(
        0.78, chest=0.19, waist=0.185, hip=0.185, width=0.82, neck=0.22, neck_pitch=38,
        neck_base=0.135, neck_top=0.115, skull=0.155, snout=0.07, snout_base=0.085, snout_tip=0.058,
        jaw=0.045, head_pitch=-10, ear=0.14, ear_width=0.07, ear_tip=0.12, ear_tilt=24, arm=0.075,
        thigh=0.11, knee=0.052, cannon=0.042, foot=0.05, foot_length=0.08, carpus=0.16, hock=0.24,
        tail=0.95, tail_base=0.035, tail_middle=0.034, tail_tip=0.022,
    ),
    "lion": Anatomy(
        0.92, chest=0.25, waist=0.21, hip=0.2, width=0.76, neck=0.28, neck_pitch=22, neck_base=0.25,
        neck_top=0.2, skull=0.165, snout=0.2, snout_base=0.12, snout_tip=0.09, jaw=0.07,
        head_pitch=-12, ear=0.08, ear_width=0.055, ear_tip=0.9, ear_tilt=45, arm=0.11, thigh=0.13,
        knee=0.075, cannon=0.062, foot=0.075, foot_length=0.11, carpus=0.16, hock=0.23, tail=0.95,
        tail_base=0.035, tail_middle=0.025, tail_tip=0.045,
    ),
    "leopard": Anatomy(
        0.8, chest=0.21, waist=0.185, hip=0.19, width=0.8, neck=0.26, neck_pitch=18, neck_base=0.16,
        neck_top=0.14, skull=0.15, snout=0.11, snout_base=0.1, snout_tip=0.07, jaw=0.055,
        head_pitch=-8, ear=0.08, ear_width=0.05, ear_tip=0.9, ear_tilt=42, arm=0.1, thigh=0.12,
        knee=0.068, cannon=0.054, foot=0.066, foot_length=0.1, carpus=0.16, hock=0.23, tail=1.1,
        tail_base=0.04, tail_middle=0.04, tail_tip=0.03,
    ),
    "bear": Anatomy(
        0.98, rump=-0.02, chest=0.31, waist=0.315, hip=0.3, width=0.9, hump=0.05, neck=0.28,
        neck_pitch=6, neck_base=0.27, neck_top=0.2, skull=0.2, snout=0.19, snout_base=0.115,
        snout_tip=0.078, jaw=0.06, head_pitch=-14, ear=0.085, ear_width=0.065, ear_tip=1.0,
        ear_tilt=42, arm=0.15, thigh=0.18, knee=0.115, cannon=0.1, foot=0.098, foot_length=0.17,
        carpus=0.14, hock=0.16, tail=0.1, tail_base=0.05, tail_middle=0.04, tail_tip=0.03,
    ),
    "boar": Anatomy(
        0.86, rump=-0.05, chest=0.3, waist=0.25, hip=0.22, width=0.68, hump=0.06, neck=0.26,
        neck_pitch=-2, neck_base=0.25, neck_top=0.2, skull=0.17, snout=0.38, snout_base=0.125,
        snout_tip=0.062, jaw=0.05, head_pitch=-26, ear=0.15, ear_width=0.065, ear_tip=0.2,
        ear_tilt=34, arm=0.1, thigh=0.13, knee=0.055, cannon=0.038, foot=0.042, foot_length=0.06,
        carpus=0.22, hock=0.26, tail=0.34, tail_base=0.026, tail_middle=0.018, tail_tip=0.03,
    ),
    "pig": Anatomy(
        0.72, chest=0.26, waist=0.28, hip=0.25, width=0.92, neck=0.2, neck_pitch=6, neck_base=0.22,
        neck_top=0.18, skull=0.16, snout=0.22, snout_base=0.12, snout_tip=0.08, jaw=0.06,
        head_pitch=-22, ear=0.17, ear_width=0.08, ear_tip=0.3, ear_tilt=52, arm=0.1, thigh=0.13,
        knee=0.058, cannon=0.045, foot=0.048, foot_length=0.06, carpus=0.22, hock=0.26, tail=0.24,
        tail_base=0.024, tail_middle=0.018, tail_tip=0.014,
    ),
    "horse": Anatomy(
        1.26, chest=0.275, waist=0.25, hip=0.255, width=0.76, hump=0.015, neck=0.56, neck_pitch=46,
        neck_base=0.2, neck_top=0.115, skull=0.118, snout=0.33, snout_base=0.1, snout_tip=0.068,
        jaw=0.05, head_pitch=-44, ear=0.12, ear_width=0.034, ear_tip=0.2, ear_tilt=10, arm=0.11,
        thigh=0.155, knee=0.062, cannon=0.042, foot=0.062, foot_length=0.06, carpus=0.29, hock=0.34,
        tail=0.8, tail_base=0.055, tail_middle=0.07, tail_tip=0.03,
    ),
    "zebra": Anatomy(
        1.18, chest=0.28, waist=0.275, hip=0.26, width=0.78, neck=0.46, neck_pitch=42,
        neck_base=0.21, neck_top=0.135, skull=0.12, snout=0.29, snout_base=0.1, snout_tip=0.07,
        jaw=0.05, head_pitch=-40, ear=0.14, ear_width=0.045, ear_tip=0.5, ear_tilt=14, arm=0.105,
        thigh=0.15, knee=0.06, cannon=0.042, foot=0.06, foot_length=0.055, carpus=0.29, hock=0.34,
        tail=0.6, tail_base=0.03, tail_middle=0.024, tail_tip=0.045,
    ),
    "donkey": Anatomy(
        1.14, chest=0.265, waist=0.26, hip=0.245, width=0.78, neck=0.42, neck_pitch=38,
        neck_base=0.18, neck_top=0.115, skull=0.13, snout=0.29, snout_base=0.105, snout_tip=0.07,
        jaw=0.05, head_pitch=-38, ear=0.3, ear_width=0.045, ear_tip=0.4, ear_tilt=18, arm=0.1,
        thigh=0.14, knee=0.058, cannon=0.04, foot=0.055, foot_length=0.05, carpus=0.29, hock=0.34,
        tail=0.55, tail_base=0.03, tail_middle=0.022, tail_tip=0.04,
    ),
    "cow": Anatomy(
        1.02, rump=0.0, chest=0.29, waist=0.3, hip=0.26, width=0.8, neck=0.36, neck_pitch=14,
        neck_base=0.2, neck_top=0.13, skull=0.135, snout=0.27, snout_base=0.112, snout_tip=0.086,
        jaw=0.055, head_pitch=-34, ear=0.16, ear_width=0.055, ear_tip=0.6, ear_tilt=96, arm=0.11,
        thigh=0.14, knee=0.065, cannon=0.046, foot=0.058, foot_length=0.055, carpus=0.26, hock=0.32,
        tail=0.75, tail_base=0.03, tail_middle=0.018, tail_tip=0.035,
    ),
    "bison": Anatomy(
        1.14, rump=-0.16, chest=0.35, waist=0.28, hip=0.24, width=0.72, hump=0.14, neck=0.28,
        neck_pitch=-8, neck_base=0.28, neck_top=0.22, skull=0.17, snout=0.25, snout_base=0.14,
        snout_tip=0.09, jaw=0.065, head_pitch=-42, ear=0.12, ear_width=0.045, ear_tip=0.4,
        ear_tilt=85, arm=0.13, thigh=0.14, knee=0.065, cannon=0.046, foot=0.058, foot_length=0.055,
        carpus=0.25, hock=0.31, tail=0.45, tail_base=0.03, tail_middle=0.018, tail_tip=0.035,
    ),
    "sheep": Anatomy(
        0.98, chest=0.31, waist=0.32, hip=0.3, width=0.88, neck=0.34, neck_pitch=36, neck_base=0.18,
        neck_top=0.12, skull=0.118, snout=0.2, snout_base=0.086, snout_tip=0.058, jaw=0.04,
        head_pitch=-28, ear=0.14, ear_width=0.04, ear_tip=0.4, ear_tilt=98, arm=0.09, thigh=0.11,
        knee=0.052, cannon=0.04, foot=0.046, foot_length=0.05, carpus=0.26, hock=0.31, tail=0.26,
        tail_base=0.05, tail_middle=0.045, tail_tip=0.035,
    ),
    "goat": Anatomy(
        1.02, chest=0.26, waist=0.25, hip=0.22, width=0.76, neck=0.4, neck_pitch=46, neck_base=0.15,
        neck_top=0.105, skull=0.115, snout=0.21, snout_base=0.08, snout_tip=0.055, jaw=0.045,
        head_pitch=-26, ear=0.16, ear_width=0.042, ear_tip=0.5, ear_tilt=92, arm=0.09, thigh=0.11,
        knee=0.05, cannon=0.036, foot=0.044, foot_length=0.05, carpus=0.27, hock=0.31, tail=0.15,
        tail_base=0.04, tail_middle=0.03, tail_tip=0.02,
    ),
    "deer": Anatomy(
        1.16, chest=0.24, waist=0.21, hip=0.22, width=0.72, neck=0.48, neck_pitch=54,
        neck_base=0.145, neck_top=0.088, skull=0.1, snout=0.22, snout_base=0.075, snout_tip=0.046,
        jaw=0.034, head_pitch=-22, ear=0.2, ear_width=0.058, ear_tip=0.3, ear_tilt=50, arm=0.085,
        thigh=0.125, knee=0.046, cannon=0.03, foot=0.036, foot_length=0.05, carpus=0.3, hock=0.35,
        tail=0.14, tail_base=0.032, tail_middle=0.035, tail_tip=0.02,
    ),
    "moose": Anatomy(
        1.38, rump=-0.1, chest=0.29, waist=0.23, hip=0.22, width=0.68, hump=0.08, neck=0.34,
        neck_pitch=16, neck_base=0.2, neck_top=0.14, skull=0.13, snout=0.38, snout_base=0.108,
        snout_tip=0.09, jaw=0.05, head_pitch=-30, ear=0.19, ear_width=0.055, ear_tip=0.3,
        ear_tilt=45, arm=0.1, thigh=0.13, knee=0.052, cannon=0.038, foot=0.046, foot_length=0.055,
        carpus=0.31, hock=0.36, tail=0.08, tail_base=0.03, tail_middle=0.03, tail_tip=0.02,
    ),
    "gazelle": Anatomy(
        1.2, chest=0.22, waist=0.18, hip=0.2, width=0.7, neck=0.44, neck_pitch=56, neck_base=0.115,
        neck_top=0.075, skull=0.09, snout=0.18, snout_base=0.064, snout_tip=0.038, jaw=0.028,
        head_pitch=-24, ear=0.17, ear_width=0.036, ear_tip=0.2, ear_tilt=32, arm=0.075, thigh=0.12,
        knee=0.038, cannon=0.024, foot=0.03, foot_length=0.045, carpus=0.3, hock=0.36, tail=0.2,
        tail_base=0.024, tail_middle=0.02, tail_tip=0.022,
    ),
    "giraffe": Anatomy(
        1.85, rump=-0.28, chest=0.3, waist=0.25, hip=0.22, width=0.7, neck=1.5, neck_pitch=62,
        neck_base=0.19, neck_top=0.085, skull=0.115, snout=0.27, snout_base=0.085, snout_tip=0.05,
        jaw=0.036, head_pitch=-26, ear=0.17, ear_width=0.045, ear_tip=0.3, ear_tilt=76, arm=0.105,
        thigh=0.14, knee=0.06, cannon=0.042, foot=0.058, foot_length=0.06, carpus=0.3, hock=0.33,
        tail=0.65, tail_base=0.03, tail_middle=0.018, tail_tip=0.035,
    ),
    "camel": Anatomy(
        1.45, rump=-0.1, chest=0.3, waist=0.27, hip=0.21, width=0.74, back_hump=0.2,
        neck=0.85, neck_pitch=34, neck_base=0.16, neck_top=0.095, skull=0.11, snout=0.24,
        snout_base=0.085,
        snout_tip=0.056, jaw=0.042, head_pitch=-8, ear=0.08, ear_width=0.03, ear_tip=0.5,
        ear_tilt=40, arm=0.1, thigh=0.13, knee=0.06, cannon=0.044, foot=0.062, foot_length=0.07,
        carpus=0.29, hock=0.33, tail=0.4, tail_base=0.028, tail_middle=0.018, tail_tip=0.03,
    ),
    "llama": Anatomy(
        1.22, chest=0.27, waist=0.24, hip=0.24, width=0.84, neck=0.76, neck_pitch=62,
        neck_base=0.16, neck_top=0.11, skull=0.105, snout=0.15, snout_base=0.075, snout_tip=0.05,
        jaw=0.036, head_pitch=-10, ear=0.16, ear_width=0.034, ear_tip=0.3, ear_tilt=14, arm=0.1,
        thigh=0.13, knee=0.062, cannon=0.044, foot=0.05, foot_length=0.06, carpus=0.27, hock=0.31,
        tail=0.25, tail_base=0.045, tail_middle=0.05, tail_tip=0.03,
    ),
    "rhino": Anatomy(
        0.98, chest=0.33, waist=0.34, hip=0.31, width=0.86, hump=0.05, neck=0.3, neck_pitch=0,
        neck_base=0.24, neck_top=0.19, skull=0.155, snout=0.34, snout_base=0.14, snout_tip=0.1,
        jaw=0.06, head_pitch=-30, ear=0.13, ear_width=0.048, ear_tip=0.5, ear_tilt=26, arm=0.14,
        thigh=0.165, knee=0.1, cannon=0.084, foot=0.092, foot_length=0.06, carpus=0.22, hock=0.26,
        tail=0.4, tail_base=0.028, tail_middle=0.02, tail_tip=0.024,
    ),
    "hippo": Anatomy(
        0.82, chest=0.31, waist=0.35, hip=0.3, width=0.95, neck=0.2, neck_pitch=4, neck_base=0.26,
        neck_top=0.22, skull=0.18, snout=0.3, snout_base=0.15, snout_tip=0.16, jaw=0.1,
        head_pitch=-14, ear=0.07, ear_width=0.034, ear_tip=0.7, ear_tilt=30, arm=0.13, thigh=0.15,
        knee=0.1, cannon=0.088, foot=0.095, foot_length=0.06, carpus=0.2, hock=0.24, tail=0.2,
        tail_base=0.035, tail_middle=0.024, tail_tip=0.018,
    ),
}  # fmt: skip

HEIGHTS_M: dict[str, float] = {
    **{"dog": 0.58, "shepherd dog": 0.62, "greyhound": 0.72, "dachshund": 0.23, "bulldog": 0.38},
    **{"wolf": 0.78, "red fox": 0.38, "cat": 0.25, "lion": 1.1, "leopard": 0.65, "bear": 1.05},
    **{"boar": 0.8, "pig": 0.75, "horse": 1.6, "zebra": 1.35, "donkey": 1.2, "cow": 1.4},
    **{"bison": 1.75, "sheep": 0.72, "goat": 0.75, "deer": 0.9, "moose": 1.9, "gazelle": 0.62},
    **{"giraffe": 3.0, "camel": 1.85, "llama": 1.1, "rhino": 1.7, "hippo": 1.5},
}
"""Typical height at the withers, metres."""

ANGLES = ("neck_pitch", "head_pitch", "ear_tilt")
OFFSETS = ("rump", "hump", "back_hump")


def blended(first: Anatomy, second: Anatomy, share: float) -> Anatomy:
    """Anatomy between two, 0 the first and 1 the second."""
    values = {
        item.name: (1 - share) * getattr(first, item.name) + share * getattr(second, item.name)
        for item in fields(Anatomy)
    }
    return Anatomy(**values)


def varied(anatomy: Anatomy, rng: np.random.Generator, spread: float = 0.1) -> Anatomy:
    """An individual: lengths scaled by about ``spread``, angles within some degrees."""
    changes = {}
    for item in fields(Anatomy):
        value = getattr(anatomy, item.name)
        if item.name in ANGLES:
            changes[item.name] = value + 60.0 * spread * rng.normal()
        elif item.name in OFFSETS:
            changes[item.name] = value + 0.15 * spread * rng.normal()
        else:
            changes[item.name] = value * float(np.exp(spread * rng.normal()))
    return replace(anatomy, **changes)
