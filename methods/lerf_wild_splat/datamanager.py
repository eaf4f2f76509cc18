"""Whole images with language targets at some of their pixels.

Symbols: R pixels, D CLIP dimensions, C DINO dimensions. Places are (x, y) as shares of an image.

splatfacto straightens images before it trains on them, whereas the features of the cache are those
of the files. A place in the straightened picture is therefore bent back by the lens first.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.data.datamanagers.full_images_datamanager import FullImageDatamanager
from nerfstudio.data.datasets.base_dataset import InputDataset
from torch import Tensor

from lerf_wild.errors import DatasetError
from lerf_wild.methods.lerf_wild.datamanager import TILE_ANGLE, image_angles

if TYPE_CHECKING:
    from lerf_wild.methods.lerf_wild.features import LanguageTargets

PLACES = "places"
"""Batch key: where the language targets of a batch are, [R, 2]."""


class LerfWildSplatDataManager(FullImageDatamanager[InputDataset]):
    """FullImageDatamanager with language targets."""

    targets: LanguageTargets | None = None

    def __init__(self, config: Any, *args: Any, test_mode: str = "val", **kwargs: Any) -> None:
        if test_mode != "val" and hasattr(config.dataparser, "check_images"):
            config.dataparser.check_images = False
        super().__init__(config, *args, test_mode=test_mode, **kwargs)
        # Images are straightened when they are first read, which changes the dataset's cameras.
        self.taken_cameras = deepcopy(self.train_dataset.cameras)
        _check_lenses(self.taken_cameras)

    def next_train(self, step: int) -> tuple[Cameras, dict[str, Tensor]]:
        """A training image; where it has language targets they all are of one tile size."""
        camera, batch = super().next_train(step)
        if self.targets is not None:
            self._add_targets(camera, batch, camera.metadata["cam_idx"])
        return camera, batch

    def _add_targets(self, camera: Cameras, batch: dict[str, Tensor], image: int) -> None:
        count = self.config.language_rays
        places_R2 = torch.rand(count, 2)
        level = self.targets.spec.level_position(torch.rand(1))
        taken = self.taken_cameras[image : image + 1]
        size_2 = torch.cat([taken.width[0], taken.height[0]]).float()
        bent_R2 = bent_places(places_R2, camera.to("cpu"), taken)
        pixels_R2 = (bent_R2 * size_2).long().clamp(min=0).minimum(size_2.long() - 1)
        image_R = torch.full((count,), image)
        indices_R3 = torch.stack([image_R, pixels_R2[:, 1], pixels_R2[:, 0]], dim=-1)
        found = self.targets.lookup(indices_R3, level.expand(count))
        batch["clip"] = found.clip_RD.to(self.device)
        batch["clip_valid"] = found.clip_valid_R.to(self.device)
        batch["dino"] = found.dino_RC.to(self.device)
        batch[PLACES] = places_R2.to(self.device)
        angle = self.targets.spec.tile_ratio(level) * image_angles(taken)
        camera.metadata[TILE_ANGLE] = float(angle)


def bent_places(
    places_R2: Float[Tensor, "r 2"], straight: Cameras, taken: Cameras
) -> Float[Tensor, "r 2"]:
    """Where places of a straightened picture are in the picture as it was taken.

    Brown's lens model with radial k1, k2, k3 and tangential p1, p2, as OpenCV writes it.
    """
    k1, k2, k3, _, p1, p2 = _lens(taken)
    x = (places_R2[:, 0] * straight.width[0] - straight.cx[0]) / straight.fx[0]
    y = (places_R2[:, 1] * straight.height[0] - straight.cy[0]) / straight.fy[0]
    square = x * x + y * y
    radial = 1 + square * (k1 + square * (k2 + square * k3))
    bent_x = x * radial + 2 * p1 * x * y + p2 * (square + 2 * x * x)
    bent_y = y * radial + p1 * (square + 2 * y * y) + 2 * p2 * x * y
    across = (bent_x * taken.fx[0] + taken.cx[0]) / taken.width[0]
    down = (bent_y * taken.fy[0] + taken.cy[0]) / taken.height[0]
    return torch.stack([across, down], dim=-1)


def _lens(camera: Cameras) -> list[float]:
    if camera.distortion_params is None:
        return [0.0] * 6
    return camera.distortion_params.flatten().tolist()


def _check_lenses(cameras: Cameras) -> None:
    if bool((cameras.camera_type != CameraType.PERSPECTIVE.value).any()):
        raise DatasetError(
            "lerf-wild-splat takes pinhole cameras with Brown's lens model only, and this capture "
            "has others.\nTrain lerf-wild on it, which takes all of nerfstudio's cameras."
        )
