"""Pictures with their programs as tensors: what the decoder is trained and measured on.

Symbols: N samples, K most objects, H, W pixels. Boxes are left, top, right, bottom in pixels; the
seen yaw is relative to the line of sight (`lerf_wild.program.frames.seen_yaw`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lerf_wild.program.frames import seen_yaw, yaw_of
from lerf_wild.program.statements import KINDS, STATEMENTS
from lerf_wild.program.types import Program, Settings
from lerf_wild.render.scene_program import focal_px
from lerf_wild.synth.grounds import GROUNDS

MOST_OBJECTS = 12
SETTING_NAMES = tuple(s.field for s in STATEMENTS if s.field != "sun_rotation_deg")
"""Scene statements that are one number; the sun's rotation is learned as sine and cosine."""
SETTING_COUNT = len(SETTING_NAMES) + 3
CAMERA_HEIGHT_RANGE_M = (1.0, 2.2)
LEAST_DEPTH_M = 0.1
"""Nearer feet are not learned from."""
_RANGES = {s.field: s.sampled for s in STATEMENTS}


class Sample(NamedTuple):
    """A picture (H, W, 3), its program, and the box of each object."""

    rgb: np.ndarray
    program: Program
    boxes_K4: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True)
class Batch:
    """N pictures and their programs; rows beyond the number of objects have ``there`` False."""

    rgb_N3HW: Tensor
    """uint8."""
    there_NK: Tensor
    boxes_NK4: Tensor
    kind_NK: Tensor
    asset_NK: Tensor
    """Number of the asset in the list of training assets, -1 for others."""
    yaw_NK: Tensor
    foot_NK2: Tensor
    """Where the foot is seen, in pixels (column, row)."""
    depth_NK: Tensor
    """Along the optical axis, metres."""
    height_NK: Tensor
    pixels_NK: Tensor
    settings_NS: Tensor
    """Scaled settings: 0 and 1 are the ends of the ranges that scenes are drawn from."""
    ground_N: Tensor
    focal_N: Tensor

    def to(self, device: torch.device | str) -> Batch:
        """The batch on a device."""
        return Batch(*(getattr(self, item.name).to(device) for item in fields(self)))

    def rows(self, index: Tensor) -> Batch:
        """Some samples of the batch."""
        return Batch(*(getattr(self, item.name)[index] for item in fields(self)))


def make_batch(samples: Sequence[Sample], assets: Sequence[str]) -> Batch:
    """Stack samples of one picture size; objects beyond ``MOST_OBJECTS`` are left out."""
    numbers = {name: i for i, name in enumerate(assets)}
    rows = [_object_rows(sample, numbers) for sample in samples]
    columns = [torch.from_numpy(np.stack(parts)) for parts in zip(*rows, strict=True)]
    pictures = torch.from_numpy(np.stack([np.moveaxis(s.rgb, 2, 0) for s in samples]))
    settings = np.stack([scaled_settings(s.program.settings) for s in samples])
    names = [s.program.settings.ground_name for s in samples]
    return Batch(
        pictures,
        *columns,
        torch.from_numpy(settings).float(),
        torch.tensor([GROUNDS.index(n) if n in GROUNDS else -1 for n in names]),
        torch.tensor([focal_px(s.program, s.rgb.shape[0]) for s in samples]),
    )


def scaled_settings(settings: Settings) -> np.ndarray:
    """Settings as numbers of about 0-1, shape (``SETTING_COUNT``,): named ones, sine and cosine of
    the sun's rotation, height of the camera."""
    scaled = [_scaled(getattr(settings, n), *_RANGES[n]) for n in SETTING_NAMES]
    turn = np.radians(settings.sun_rotation_deg)
    height = settings.camera_height_m or np.mean(CAMERA_HEIGHT_RANGE_M)
    return np.array([*scaled, np.sin(turn), np.cos(turn), _scaled(height, *CAMERA_HEIGHT_RANGE_M)])


def unscaled_settings(values_S: np.ndarray, fov_deg: float, ground_name: str | None) -> Settings:
    """The settings that ``scaled_settings`` scaled, kept within the ranges of drawn scenes."""
    known = {}
    for name, value in zip(SETTING_NAMES, values_S):
        low, high = _RANGES[name]
        known[name] = float(low + (high - low) * np.clip(value, 0.0, 1.0))
    sine, cosine, height = values_S[len(SETTING_NAMES) :]
    low, high = CAMERA_HEIGHT_RANGE_M
    return Settings(
        **known,
        sun_rotation_deg=float(np.degrees(np.arctan2(sine, cosine)) % 360.0),
        camera_height_m=float(low + (high - low) * np.clip(height, 0.0, 1.0)),
        camera_fov_deg=fov_deg,
        ground_name=ground_name,
    )


def _scaled(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low)


def _object_rows(sample: Sample, numbers: dict[str, int]) -> tuple[np.ndarray, ...]:
    program, size = sample.program, sample.rgb.shape[:2]
    focal = focal_px(program, size[0])
    there = np.zeros(MOST_OBJECTS, bool)
    boxes, foot = np.zeros((MOST_OBJECTS, 4), np.float32), np.zeros((MOST_OBJECTS, 2), np.float32)
    kind, asset = np.zeros(MOST_OBJECTS, np.int64), np.full(MOST_OBJECTS, -1, np.int64)
    yaw, depth, height, pixels = (np.ones(MOST_OBJECTS, np.float32) for _ in range(4))
    for i, item in enumerate(program.objects[:MOST_OBJECTS]):
        x, y, z = item.loc_m
        # A crown may be seen whose foot is behind the camera; such a depth has no logarithm.
        if z > -LEAST_DEPTH_M:
            continue
        there[i], boxes[i] = True, sample.boxes_K4[i]
        kind[i], asset[i] = KINDS.index(item.kind), numbers.get(item.asset, -1)
        pitch = program.settings.camera_pitch_deg
        yaw[i] = seen_yaw(yaw_of(item.rotation_33, pitch), item.loc_m, pitch)
        depth[i], height[i], pixels[i] = -z, item.height_m, item.pixels
        foot[i] = size[1] / 2 + focal * x / depth[i], size[0] / 2 - focal * y / depth[i]
    return there, boxes, kind, asset, yaw, foot, depth, height, pixels
