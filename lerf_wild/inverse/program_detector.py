"""Where the objects of a picture are, and what light and camera it has.

A CenterNet-like network on the first three stages of wild-clip: a heat map of centres for each
kind, and a box at each centre, at every fourth pixel; settings from the profile of its rows, in
which the horizon is plain to see.

Symbols: B images, H, W pixels, h, w cells of 4 pixels, C channels, S settings.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lerf_wild.inverse.program_counting import Counting
from lerf_wild.inverse.program_samples import SETTING_COUNT, Batch
from lerf_wild.language.wild_clip import MEAN, STD, load_wild_clip
from lerf_wild.program.statements import KINDS
from lerf_wild.synth.grounds import GROUNDS

STRIDE = 4
"""Pixels along a cell's side; centres closer than two cells are hardly told apart."""
SPLIT = 2
"""The features are those of cells of twice the stride, each of which answers for two by two."""
CHANNELS = 96
BLOCKS = 2
"""Residual blocks at each of the strides 8 and 16."""
GROUND_DIM = 128
SIZE = 256
"""Pictures are brought to this many pixels a side before they are read."""


class Trunk(nn.Module):
    """wild-clip's first stages, with batch norms folded in, ready to be trained further."""

    def __init__(self, stages: int = 3, pretrained: bool = True) -> None:
        super().__init__()
        visual = load_wild_clip(precision="fp32").model.visual.float()
        stem = ("conv1", "act1", "conv2", "act2", "conv3", "act3", "avgpool")
        self.stem = nn.Sequential(*(getattr(visual, name) for name in stem))
        self.stages = nn.ModuleList(getattr(visual, f"layer{i + 1}") for i in range(stages))
        self.requires_grad_(True)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, rgb_B3HW: Tensor) -> list[Tensor]:
        """Feature maps of the stages, at strides 4, 8 and 16, of pictures in 0-1."""
        x = self.stem((rgb_B3HW - self.mean) / self.std)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class Residual(nn.Module):
    """Three convolutions whose result is added, nothing at first."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.narrow = nn.Sequential(nn.Conv2d(channels, inner, 1), _norm(inner), nn.ReLU())
        self.around = _block(inner)
        self.wide = nn.Conv2d(inner, channels, 1)
        nn.init.zeros_(self.wide.weight)
        nn.init.zeros_(self.wide.bias)

    def forward(self, x_BChw: Tensor) -> Tensor:
        """A map of the same shape."""
        return x_BChw + self.wide(self.around(self.narrow(x_BChw)))


class Found(NamedTuple):
    """What the detector says of each cell and picture."""

    heat_BKhw: Tensor
    """Logits of a centre, a kind each."""
    box_B4hw: Tensor
    """Offset of the centre from the cell's middle and log of width and height, in cells."""
    settings_BS: Tensor
    ground_BD: Tensor


class ProgramDetector(nn.Module):
    """Centres, boxes and settings of pictures of 256 x 256 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.deep = nn.Sequential(*(Residual(512, 128) for _ in range(BLOCKS)))
        # Of the finest map, two by two cells come side by side.
        self.lateral = nn.ModuleList(nn.Conv2d(c, CHANNELS, 1) for c in (SPLIT**2 * 128, 256, 512))
        self.mix = nn.Sequential(
            _block(CHANNELS),
            _block(CHANNELS),
            *(Residual(CHANNELS, CHANNELS) for _ in range(BLOCKS)),
        )
        self.heat = nn.Conv2d(CHANNELS, SPLIT**2 * len(KINDS), 1)
        self.box = nn.Conv2d(CHANNELS, SPLIT**2 * 4, 1)
        nn.init.constant_(self.heat.bias, -4.0)
        self.counting = Counting()
        self.rows = nn.Conv1d(512, 32, 1)
        self.settings = nn.Sequential(
            nn.Linear(32 * SIZE // 16, 256), nn.GELU(), nn.Linear(256, SETTING_COUNT + GROUND_DIM)
        )

    def forward(self, rgb_B3HW: Float[Tensor, "B 3 H W"]) -> Found:
        """Reads pictures in 0-1."""
        maps = self.trunk(rgb_B3HW)
        profile = functional.gelu(self.rows(maps[-1].mean(dim=3))).flatten(1)
        settings = self.settings(profile)
        centres = self._centres(maps)
        return Found(*centres, settings[:, :SETTING_COUNT], settings[:, SETTING_COUNT:])

    def centres(self, rgb_B3HW: Float[Tensor, "B 3 H W"]) -> tuple[Tensor, Tensor]:
        """Heat (B, kinds, h, w) and boxes (B, 4, h, w) alone, of pictures whose sides are
        any multiples of 16 pixels."""
        return self._centres(self.trunk(rgb_B3HW))

    def features(self, rgb_B3HW: Float[Tensor, "B 3 H W"]) -> tuple[Tensor, Tensor]:
        """Maps (B, 512, h/4, w/4) and (B, ``CHANNELS``, h/2, w/2) that centres are read from."""
        return self._mixed(self.trunk(rgb_B3HW))

    def _centres(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        x = self._mixed(maps)[1]
        heat, box = (functional.pixel_shuffle(head(x), SPLIT) for head in (self.heat, self.box))
        return heat, box

    def _mixed(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        fine, middle, coarse = maps
        deep = self.deep(coarse)
        up = functional.interpolate(self.lateral[2](deep), scale_factor=2.0, mode="nearest")
        down = self.lateral[0](functional.pixel_unshuffle(fine, SPLIT))
        return deep, self.mix(functional.relu(self.lateral[1](middle) + up + down))


SIDES = (SIZE, 320, 192)
"""Sizes at which a picture is looked at; the detector is trained at all of them. On validation
scenes of new assets the three together find the right number in 0.88, one of them in 0.84."""


@torch.no_grad()
def seen_often(detector: ProgramDetector, rgb_B3HW: Float[Tensor, "B 3 H W"]) -> Found:
    """What the detector says of pictures, its centres and boxes averaged with those of the mirrored
    pictures and of larger and smaller ones."""
    found = detector(rgb_B3HW)
    shape = found.heat_BKhw.shape[-2:]
    heat, box = torch.zeros_like(found.heat_BKhw), torch.zeros_like(found.box_B4hw)
    for side in SIDES:
        if side == SIZE:
            parts = _with_mirrored(found[:2], detector.centres(rgb_B3HW.flip(-1)))
        else:
            sized = _sized(rgb_B3HW, side)
            maps = _with_mirrored(detector.centres(sized), detector.centres(sized.flip(-1)))
            maps = (maps[0], _in_cells(maps[1], side))
            parts = tuple(functional.interpolate(part, shape, mode="bilinear") for part in maps)
        heat, box = heat + parts[0] / len(SIDES), box + parts[1] / len(SIDES)
    return found._replace(heat_BKhw=heat.logit(eps=1e-6), box_B4hw=box)


def _with_mirrored(
    maps: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Chances of centres and boxes, averaged with those of the mirrored pictures."""
    back = maps[1].new_tensor([-1.0, 1.0, 1.0, 1.0]).view(1, 4, 1, 1)
    chance = (maps[0].sigmoid() + other[0].flip(-1).sigmoid()) / 2
    return chance, (maps[1] + back * other[1].flip(-1)) / 2


def _in_cells(box_B4hw: Tensor, side: int) -> Tensor:
    """Boxes of pictures of another size, in cells of those of the usual size."""
    return torch.cat([box_B4hw[:, :2] * SIZE / side, box_B4hw[:, 2:] + math.log(SIZE / side)], 1)


def _sized(rgb_B3HW: Tensor, side: int) -> Tensor:
    return functional.interpolate(rgb_B3HW, (side, side), mode="bilinear", antialias=True)


def centre_targets(batch: Batch) -> tuple[Tensor, Tensor]:
    """Gaussian bumps (B, kinds, h, w) at the centres, and the cell (B, K) of each object."""
    side = batch.rgb_N3HW.shape[-1] // STRIDE
    centre, size = _centre_and_size(batch.boxes_NK4)
    cell = centre.floor().clamp(0, side - 1)
    axis = torch.arange(side, device=cell.device)
    sigma = (0.15 * size.amin(dim=-1)).clamp(min=0.5)[..., None, None]
    dx = (axis - cell[..., :1])[:, :, None, :]
    dy = (axis - cell[..., 1:])[:, :, :, None]
    bumps = torch.exp(-(dx**2 + dy**2) / (2 * sigma**2)) * batch.there_NK[..., None, None]
    own = functional.one_hot(batch.kind_NK, len(KINDS)).float()
    heat = (bumps[:, :, None] * own[..., None, None]).amax(dim=1)
    return heat, (cell[..., 1] * side + cell[..., 0]).long()


def detector_losses(found: Found, batch: Batch, ground_GD: Tensor) -> dict[str, Tensor]:
    """Focal loss of the centres, L1 of the boxes, squared error of settings, cosine of the ground.

    ``ground_GD`` (G, D) are the embeddings of the known grounds.
    """
    ground = functional.cosine_similarity(found.ground_BD.float(), ground_GD[batch.ground_N], dim=1)
    error = found.settings_BS.float() - batch.settings_NS
    weight = torch.ones(SETTING_COUNT, device=error.device)
    weight[PITCH] = 20.0
    return {
        **centre_losses(found.heat_BKhw, found.box_B4hw, batch),
        "settings": (weight * error.square()).mean(),
        "ground": 0.3 * (1.0 - ground).mean(),
    }


def centre_losses(heat_BKhw: Tensor, box_B4hw: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Focal loss of the centres, L1 of the boxes."""
    heat, cell_BK = centre_targets(batch)
    here = batch.there_NK
    at = cell_BK[:, None].expand(-1, 4, -1)
    box_BK4 = box_B4hw.float().flatten(2).gather(2, at).transpose(1, 2)
    goal = box_targets(batch, cell_BK)
    return {
        "centres": focal_loss(heat_BKhw.float(), heat, here.sum()),
        "boxes": (box_BK4 - goal)[here].abs().mean(),
    }


def zoomed(batch: Batch, side: int) -> Batch:
    """The batch with pictures of another size; only pictures and boxes are those of the new
    size."""
    rgb = batch.rgb_N3HW
    factor = side / rgb.shape[-1]
    pictures = _sized(rgb.float(), side).round().clamp(0, 255).to(torch.uint8)
    return replace(batch, rgb_N3HW=pictures, boxes_NK4=factor * batch.boxes_NK4)


def focal_loss(logits: Tensor, goal: Tensor, count: Tensor) -> Tensor:
    """CenterNet's focal loss, a sum over cells divided by the number of objects."""
    chance = logits.sigmoid()
    hit = goal > 0.999
    near = functional.logsigmoid(logits) * (1 - chance) ** 2
    far = functional.logsigmoid(-logits) * chance**2 * (1 - goal) ** 4
    return -torch.where(hit, near, far).sum() / count.clamp(min=1)


def box_targets(batch: Batch, cell_BK: Tensor) -> Tensor:
    """Offsets and log sizes (B, K, 4) in cells, as the box map holds them."""
    side = batch.rgb_N3HW.shape[-1] // STRIDE
    centre, size = _centre_and_size(batch.boxes_NK4)
    middle = torch.stack([cell_BK % side, cell_BK // side], dim=-1) + 0.5
    return torch.cat([centre - middle, size.clamp(min=0.1).log()], dim=-1)


def boxes_from_map(box_B4hw: Tensor) -> Tensor:
    """Boxes (B, h*w, 4) in pixels that the map holds for each cell."""
    side_h, side_w = box_B4hw.shape[-2:]
    rows, columns = torch.meshgrid(
        torch.arange(side_h, device=box_B4hw.device),
        torch.arange(side_w, device=box_B4hw.device),
        indexing="ij",
    )
    middle = torch.stack([columns, rows], dim=-1).reshape(-1, 2) + 0.5
    values = box_B4hw.float().flatten(2).transpose(1, 2)
    centre, half = middle + values[..., :2], values[..., 2:].clamp(-3, 5).exp() / 2
    return STRIDE * torch.cat([centre - half, centre + half], dim=-1)


PITCH = 9 - 1
"""Place of the camera's pitch among the scaled settings."""


def ground_embeddings() -> Tensor:
    """Unit embeddings (G, D) of all grounds, seen from above by wild-clip."""
    from lerf_wild.synth.grounds import ground_tiles

    encoder = load_wild_clip()
    tiles = [torch.from_numpy(ground_tiles(name)).permute(0, 3, 1, 2) for name in GROUNDS]
    means = [encoder.encode_images(t.float() / 255.0).mean(dim=0) for t in tiles]
    return functional.normalize(torch.stack(means), dim=-1)


def _centre_and_size(boxes_NK4: Tensor) -> tuple[Tensor, Tensor]:
    """Centres and sizes (..., 2) in cells."""
    low, high = boxes_NK4[..., :2] / STRIDE, boxes_NK4[..., 2:] / STRIDE
    return (low + high) / 2, high - low


def _block(channels: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), _norm(channels), nn.ReLU())


def _norm(channels: int) -> nn.Module:
    return nn.GroupNorm(8, channels)
