"""Proportions of the quadruped species; lengths are relative to the height of the withers (1)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np


@dataclass(frozen=True)
class Build:
    """One species (or one individual); angles in degrees, upwards positive."""

    withers_m: float
    length: float = 1.0
    """Distance between shoulder and hip joints."""
    chest: float = 0.27
    waist: float = 0.22
    hip: float = 0.24
    rump: float = 0.0
    """How much higher the rump is than the withers."""
    width: float = 0.78
    neck_length: float = 0.35
    neck_pitch: float = 40.0
    neck_base: float = 0.19
    neck_top: float = 0.14
    skull: float = 0.15
    snout: float = 0.24
    snout_base: float = 0.09
    snout_tip: float = 0.05
    head_pitch: float = -15.0
    ear_shape: str = "pointed"
    ear_length: float = 0.16
    ear_width: float = 0.13
    ear_tilt: float = 18.0
    """How far the ears lean outwards."""
    thigh: float = 0.14
    knee: float = 0.075
    cannon: float = 0.055
    foot: float = 0.065
    tail_length: float = 0.5
    tail_base: float = 0.05
    tail_middle: float = 0.05
    tail_tip: float = 0.03
    tail_pitch: float = -50.0
    tail_curl: float = 25.0
    """Degrees by which each third of the tail bends upwards."""
    fur: float = 0.006
    """Height of the tousle of the coat."""
    hump: float = 0.0
    cell: float = 0.041
    """Spacing of the grid that the body is cut from."""


BUILDS: dict[str, Build] = {
    "red fox": Build(
        0.42, length=1.1, chest=0.25, waist=0.19, hip=0.22, neck_length=0.3, neck_pitch=42,
        neck_base=0.19, neck_top=0.15, skull=0.17, snout=0.3, snout_base=0.1, snout_tip=0.04,
        head_pitch=-12, ear_length=0.3, ear_width=0.22, ear_tilt=22, thigh=0.13, knee=0.07,
        cannon=0.05, foot=0.06, tail_length=1.05, tail_base=0.07, tail_middle=0.17, tail_tip=0.05,
        tail_pitch=-28, tail_curl=8, fur=0.012,
    ),
    "grey wolf": Build(
        0.8, length=1.08, chest=0.28, waist=0.21, hip=0.23, neck_length=0.34, neck_pitch=34,
        neck_base=0.23, neck_top=0.17, skull=0.155, snout=0.28, snout_base=0.1, snout_tip=0.055,
        ear_length=0.17, ear_width=0.13, tail_length=0.6, tail_base=0.06, tail_middle=0.11,
        tail_tip=0.04, tail_pitch=-58, tail_curl=5, fur=0.016,
    ),
    "brown bear": Build(
        1.05, length=1.1, chest=0.34, waist=0.35, hip=0.34, width=0.9, rump=-0.03, neck_length=0.3,
        neck_pitch=8, neck_base=0.32, neck_top=0.24, skull=0.24, snout=0.27, snout_base=0.14,
        snout_tip=0.085, head_pitch=-16, ear_shape="round", ear_length=0.15, ear_width=0.16,
        ear_tilt=40, thigh=0.21, knee=0.16, cannon=0.13, foot=0.14, tail_length=0.1, tail_base=0.06,
        fur=0.028, hump=0.24, cell=0.046,
    ),
    "wild boar": Build(
        0.8, length=0.92, chest=0.37, waist=0.33, hip=0.28, rump=-0.1, width=0.72, neck_length=0.24,
        neck_pitch=-4, neck_base=0.34, neck_top=0.25, skull=0.23, snout=0.52, snout_base=0.17,
        snout_tip=0.085, head_pitch=-22, ear_length=0.24, ear_width=0.14, ear_tilt=30, thigh=0.15,
        knee=0.075, cannon=0.05, foot=0.055, tail_length=0.32, tail_base=0.03, tail_middle=0.02,
        tail_tip=0.03, tail_pitch=-75, fur=0.026,
    ),
    "red deer": Build(
        1.2, length=0.86, chest=0.24, waist=0.22, hip=0.22, width=0.72, neck_length=0.52,
        neck_pitch=54, neck_base=0.18, neck_top=0.11, skull=0.11, snout=0.23, snout_base=0.085,
        snout_tip=0.05, head_pitch=-18, ear_shape="long", ear_length=0.2, ear_width=0.11,
        ear_tilt=68, thigh=0.125, knee=0.055, cannon=0.038, foot=0.045, tail_length=0.13,
        tail_base=0.05, tail_pitch=-60, cell=0.036,
    ),
    "roe deer fawn": Build(
        0.5, length=0.74, chest=0.2, waist=0.19, hip=0.2, rump=0.04, width=0.78, neck_length=0.4,
        neck_pitch=52, neck_base=0.14, neck_top=0.1, skull=0.125, snout=0.19, snout_base=0.09,
        snout_tip=0.05, ear_shape="long", ear_length=0.27, ear_width=0.15, ear_tilt=55, thigh=0.12,
        knee=0.055, cannon=0.04, foot=0.045, tail_length=0.08, tail_base=0.04, cell=0.035,
    ),
    "zebra": Build(
        1.35, length=0.92, chest=0.27, waist=0.27, hip=0.27, width=0.78, neck_length=0.5,
        neck_pitch=44, neck_base=0.21, neck_top=0.14, skull=0.13, snout=0.3, snout_base=0.11,
        snout_tip=0.08, head_pitch=-40, ear_shape="long", ear_length=0.15, ear_width=0.08,
        ear_tilt=18, thigh=0.15, knee=0.07, cannon=0.05, foot=0.06, tail_length=0.5,
        tail_base=0.035,
        tail_middle=0.03, tail_tip=0.05, tail_pitch=-70, tail_curl=-6, fur=0.0, cell=0.0335,
    ),
    "leopard": Build(
        0.68, length=1.2, chest=0.265, waist=0.225, hip=0.245, neck_length=0.24, neck_pitch=20,
        neck_base=0.19, neck_top=0.17, skull=0.185, snout=0.16, snout_base=0.12, snout_tip=0.085,
        ear_shape="round", ear_length=0.12, ear_width=0.14, ear_tilt=35, thigh=0.15, knee=0.095,
        cannon=0.075, foot=0.09, tail_length=1.15, tail_pitch=-55, tail_curl=34, fur=0.004,
        cell=0.036,
    ),
    "rabbit": Build(
        0.22, length=0.72, chest=0.32, waist=0.4, hip=0.46, rump=0.16, width=0.82, neck_length=0.22,
        neck_pitch=45, neck_base=0.26, neck_top=0.22, skull=0.25, snout=0.2, snout_base=0.17,
        snout_tip=0.1, ear_shape="long", ear_length=0.72, ear_width=0.24, ear_tilt=12, thigh=0.22,
        knee=0.12, cannon=0.09, foot=0.1, tail_length=0.12, tail_base=0.13, tail_middle=0.14,
        tail_tip=0.12, tail_pitch=20, fur=0.02, cell=0.05,
    ),
    "sheep": Build(
        0.75, length=0.88, chest=0.37, waist=0.41, hip=0.38, width=0.86, neck_length=0.36,
        neck_pitch=36, neck_base=0.24, neck_top=0.15, skull=0.14, snout=0.23, snout_base=0.115,
        snout_tip=0.075, head_pitch=-28, ear_shape="long", ear_length=0.2, ear_width=0.1,
        ear_tilt=95, thigh=0.12, knee=0.065, cannon=0.055, foot=0.06, tail_length=0.25,
        tail_base=0.09, tail_middle=0.08, tail_pitch=-75, fur=0.055, cell=0.043,
    ),
    "cow": Build(
        1.4, length=1.12, chest=0.31, waist=0.325, hip=0.29, rump=-0.01, width=0.76,
        neck_length=0.36, neck_pitch=18, neck_base=0.25, neck_top=0.17, skull=0.15, snout=0.3,
        snout_base=0.13, snout_tip=0.1, head_pitch=-36, ear_shape="long", ear_length=0.18,
        ear_width=0.11, ear_tilt=100, thigh=0.17, knee=0.08, cannon=0.06, foot=0.07,
        tail_length=0.7,
        tail_base=0.035, tail_middle=0.025, tail_tip=0.05, tail_pitch=-80, tail_curl=-4, fur=0.0,
        cell=0.04,
    ),
    "white horse": Build(
        1.5, length=0.92, chest=0.26, waist=0.24, hip=0.26, width=0.78, neck_length=0.52,
        neck_pitch=50, neck_base=0.21, neck_top=0.13, skull=0.125, snout=0.31, snout_base=0.11,
        snout_tip=0.075, head_pitch=-42, ear_length=0.12, ear_width=0.07, ear_tilt=12, thigh=0.15,
        knee=0.07, cannon=0.048, foot=0.06, tail_length=0.62, tail_base=0.045, tail_middle=0.06,
        tail_tip=0.025, tail_pitch=-74, tail_curl=-8, fur=0.0, cell=0.036,
    ),
}  # fmt: skip

FIXED = {
    "withers_m",
    "cell",
    "rump",
    "neck_pitch",
    "head_pitch",
    "tail_pitch",
    "tail_curl",
    "ear_tilt",
}


def vary(build: Build, rng: np.random.Generator, spread: float = 0.1) -> Build:
    """An individual: proportions within ``spread``, angles within 6 degrees, size within 10 %."""
    changes: dict[str, float] = {"withers_m": build.withers_m * rng.uniform(0.9, 1.1)}
    for item in fields(build):
        value = getattr(build, item.name)
        if isinstance(value, float | int) and item.name not in FIXED:
            changes[item.name] = float(value) * rng.uniform(1 - spread, 1 + spread)
    for angle in ("neck_pitch", "head_pitch", "tail_pitch", "ear_tilt"):
        changes[angle] = getattr(build, angle) + rng.uniform(-6, 6)
    return replace(build, **changes)
