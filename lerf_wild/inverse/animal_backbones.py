"""Where the features of a crop come from: a small convolutional net, or a ViTPose of transformers.

Symbols: B crops, S side in pixels, C channels, G side of the grid.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lerf_wild.errors import EncoderError

STRIDE = 8
SMALL = "small"


class Features(NamedTuple):
    """What a backbone sees in crops."""

    usual_BCGG: Tensor
    fine_BCFF: Tensor
    """Of a grid twice as fine, or the usual ones again where a backbone has none."""


class Widths(NamedTuple):
    """Channels of a backbone's features."""

    usual: int
    fine: int


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(channels, channels), nn.ReLU(), convolution(channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features in, features of the same shape out."""
        return torch.relu(x + self.body(x))


class SmallBackbone(nn.Module):
    """Features (B, C, S / 8, S / 8) of strides 8, 16 and 32 together, and those of stride 4."""

    DOUBLED = 4
    """Modules of the stem before stride 8."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.stem = nn.Sequential(
            convolution(3, channels // 4, 2),
            nn.ReLU(),
            convolution(channels // 4, half, 2),
            nn.ReLU(),
            convolution(half, channels, 2),
            nn.ReLU(),
            Residual(channels),
        )
        self.middle = nn.Sequential(
            convolution(channels, 2 * channels, 2), nn.ReLU(), Residual(2 * channels)
        )
        self.coarse = nn.Sequential(
            convolution(2 * channels, 2 * channels, 2),
            nn.ReLU(),
            Residual(2 * channels),
            Residual(2 * channels),
        )
        self.from_coarse = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.from_middle = nn.Conv2d(2 * channels, channels, 1)
        self.joined = Residual(channels)
        self.widths = Widths(channels, half)

    def forward(self, images_B3SS: Tensor) -> Features:
        """Features of images around zero."""
        finest = self.stem[: self.DOUBLED](images_B3SS)
        fine = self.stem[self.DOUBLED :](finest)
        middle = self.middle(fine)
        coarse = self.from_coarse(self.coarse(middle))
        middle = torch.relu(middle + _grown(coarse, middle))
        joined = self.joined(torch.relu(fine + _grown(self.from_middle(middle), fine)))
        return Features(joined, finest)


class VitPoseBackbone(nn.Module):
    """The transformer of a ViTPose checkpoint; all of its tokens are used.

    Its own input is 256x192; a square one gives a square grid, for which the places' embedding is
    resampled, so that noses and tails at the sides are seen too.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        from transformers import VitPoseBackbone as Tower
        from transformers import VitPoseForPoseEstimation

        try:
            whole = VitPoseForPoseEstimation.from_pretrained(name)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0][:120]
            raise EncoderError(
                f"{name}: no ViTPose that can be loaded ({reason}). Give a name such as "
                "usyd-community/vitpose-base-simple, a local folder, or `small`."
            ) from None
        config = whole.backbone.config
        self.patch = config.patch_size[0]
        state = whole.backbone.state_dict()
        config.image_size = [256, 256]
        config.out_indices = [config.num_hidden_layers]
        self.tower = Tower(config)
        key = "embeddings.position_embeddings"
        state[key] = square_places(state[key], 256 // self.patch)
        self.tower.load_state_dict(state)
        self.widths = Widths(config.hidden_size, config.hidden_size)

    def forward(self, images_B3SS: Tensor) -> Features:
        """Features of images around zero, brought to 256x256."""
        images = nn.functional.interpolate(
            images_B3SS, (256, 256), mode="bilinear", align_corners=False
        )
        index = torch.zeros(len(images), dtype=torch.long, device=images.device)
        tower = self.tower(images, dataset_index=index) if self._has_experts else self.tower(images)
        tokens = tower.feature_maps[-1]
        side = 256 // self.patch
        features = tokens.transpose(1, 2).unflatten(-1, (side, side))
        return Features(features, features)

    @property
    def _has_experts(self) -> bool:
        return self.tower.config.num_experts > 1


def make_backbone(name: str, channels: int) -> SmallBackbone | VitPoseBackbone:
    """A backbone by name; ``channels`` is the width of the small one.

    Raises:
        EncoderError: a checkpoint of that name can't be loaded.
    """
    return SmallBackbone(channels) if name == SMALL else VitPoseBackbone(name)


def square_places(places_1TC: Tensor, side: int) -> Tensor:
    """ViTPose's embedding of 16x12 places and a class token, for side x side places."""
    first, grid = places_1TC[:, :1], places_1TC[:, 1:]
    rows = round((grid.shape[1] * 4 / 3) ** 0.5)
    grid = grid.unflatten(1, (rows, -1)).permute(0, 3, 1, 2)
    grid = nn.functional.interpolate(grid, (side, side), mode="bicubic", align_corners=False)
    return torch.cat([first, grid.flatten(2).transpose(1, 2)], 1)


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution and the normalisation of its batch."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
    )


def _grown(coarse: Tensor, fine: Tensor) -> Tensor:
    return nn.functional.interpolate(coarse, fine.shape[-2:], mode="nearest")
