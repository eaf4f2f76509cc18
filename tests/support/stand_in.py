"""A deterministic encoder of colours and a small scene of coloured patches, for tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

COLOURS = {"red": (0.9, 0.1, 0.1), "green": (0.1, 0.8, 0.1), "blue": (0.1, 0.2, 0.9)}
DIM = 16


class ColourEncoder:
    """Embeds an image by its mean colour, and a phrase by the colour it names."""

    identity = "colours@0"
    dim = DIM
    image_size = 8
    device = torch.device("cpu")

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self._mix = torch.linalg.qr(torch.randn(DIM, DIM, generator=generator))[0][:3]

    def encode_images(self, images_B3HW: Tensor) -> Tensor:
        return self._embed(images_B3HW.float().mean(dim=(2, 3)))

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        return self._embed(torch.tensor([_colour(text) for text in texts]))

    def _embed(self, colours_B3: Tensor) -> Tensor:
        # Subtracting the grey part leaves the hue, so that cosines tell colours apart.
        hue = colours_B3 - 0.8 * colours_B3.mean(dim=-1, keepdim=True)
        return torch.nn.functional.normalize(hue @ self._mix, dim=-1)


class BlockEncoder:
    """Patch features: the colours of 8-pixel blocks, repeated."""

    identity = "blocks@0"
    dim = 6
    device = torch.device("cpu")

    def patch_features(self, images_B3HW: Tensor) -> Tensor:
        pooled = torch.nn.functional.avg_pool2d(images_B3HW, 8)
        return torch.cat([pooled, 1 - pooled], dim=1)


@dataclass(frozen=True)
class Choice:
    """Stands where the registry returns what it has chosen."""

    name: str
    encoder: object

    @property
    def identity(self) -> str:
        return self.encoder.identity

    def load(self) -> object:
        return self.encoder

    def announce(self) -> None:
        """Says nothing."""


def use_stand_ins(monkeypatch) -> None:
    """Makes every run resolve to the stand-in encoders."""
    from lerf_wild.language import dino, registry

    monkeypatch.setattr(
        registry, "choose_encoder", lambda *_, **__: Choice("colours", ColourEncoder())
    )
    monkeypatch.setattr(
        dino, "choose_patch_encoder", lambda *_, **__: Choice("blocks", BlockEncoder())
    )


def _colour(text: str) -> tuple[float, float, float]:
    for name, colour in COLOURS.items():
        if name in text:
            return colour
    return (0.5, 0.5, 0.5)


def write_scene(
    folder: Path, num_views: int = 8, size: int = 32, **changes: object
) -> dict[str, object]:
    """Writes a wall of coloured squares seen from a row of cameras; returns transforms.json.

    The wall lies in the plane z = 0, two units wide, and the cameras look straight down on it from
    z = 2 (metres), so that distances are known.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    frames = []
    for index in range(num_views):
        x = -0.5 + index / max(num_views - 1, 1)
        y = 0.3 * (-1) ** index
        name = f"images/frame_{index:05d}.png"
        Image.fromarray(draw_wall(x, y, size)).save(folder / name)
        pose = np.eye(4)
        pose[:3, 3] = (x, y, 2.0)
        frames.append({"file_path": name, "transform_matrix": pose.tolist()})
    scene = {
        "camera_model": "OPENCV",
        "fl_x": float(size),
        "fl_y": float(size),
        "cx": size / 2,
        "cy": size / 2,
        "w": size,
        "h": size,
        "meters_per_unit": 1.0,
        "frames": frames,
        **changes,
    }
    (folder / "transforms.json").write_text(json.dumps(scene))
    return scene


def draw_wall(x: float, y: float, size: int) -> np.ndarray:
    """Returns what a camera at (x, y, 2) sees of the wall: uint8 [size, size, 3]."""
    axis = (np.arange(size) + 0.5) / size - 0.5
    wall_x = x + 2.0 * axis[None, :]
    wall_y = y - 2.0 * axis[:, None]
    column = np.floor(wall_x * 2).astype(int) + 0 * wall_y.astype(int)
    row = np.floor(wall_y * 2).astype(int) + 0 * column
    palette = (np.array(list(COLOURS.values())) * 255).astype(np.uint8)
    return palette[(column + 2 * row) % 3]
