"""A painted wall with a box before it, an encoder of random features, and a field trained on both.

What the benchmarks of queries need: surfaces, colours that change everywhere so that peaks are
unique, and phrases that are somewhere. Nothing is read or downloaded.
"""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from unittest import mock

import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.engine.callbacks import TrainingCallbackAttributes, TrainingCallbackLocation
from nerfstudio.engine.optimizers import Optimizers
from PIL import Image
from torch import Tensor

from lerf_wild.language import dino, registry
from lerf_wild.language.relevancy import Query
from lerf_wild.methods.lerf_wild.config import LerfWildTrainerConfig, lerf_wild, lerf_wild_tiny
from lerf_wild.methods.lerf_wild.model import LerfWildModel
from lerf_wild.methods.lerf_wild.pipeline import LerfWildPipeline

VIEWS = 12
PIXELS = 64

RADIANCE_FIELDS = (
    "num_levels",
    "features_per_level",
    "base_res",
    "max_res",
    "log2_hashmap_size",
    "hidden_dim",
    "hidden_dim_color",
    "num_proposal_iterations",
    "proposal_net_args_list",
    "use_appearance_embedding",
    "average_init_density",
)
"""What the laptop size lends the radiance field; it keeps the 48 samples a ray of the full one."""


LANGUAGE_FIELDS = (
    "num_language_samples",
    "language_levels",
    "language_min_resolutions",
    "language_max_resolutions",
    "language_features",
    "language_width",
    "language_hidden_layers",
    "dino_width",
)
"""What the laptop size lends the language field, where that is asked for."""


class RandomFeatures:
    """Embeds an image by random features of its 4 x 4 mean colours."""

    image_size = 16
    device = torch.device("cpu")

    def __init__(self, dim: int, seed: int) -> None:
        self.dim = dim
        self.identity = f"random-features-{dim}@{seed}"
        generator = torch.Generator().manual_seed(seed)
        self._mix = torch.randn(48, dim, generator=generator)

    def encode_images(self, images_B3HW: Tensor) -> Tensor:
        """Returns unit embeddings of images in 0-1."""
        pooled = torch.nn.functional.adaptive_avg_pool2d(images_B3HW.float(), 4).flatten(1)
        return torch.nn.functional.normalize(torch.sin(2.0 * pooled @ self._mix), dim=-1)

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Refuses: the benchmark's phrases are embeddings of crops."""
        raise NotImplementedError

    def patch_features(self, images_B3HW: Tensor) -> Tensor:
        """Returns a coarse grid of colours, repeated to the dimensions of DINO."""
        pooled = torch.nn.functional.avg_pool2d(images_B3HW, 8)
        return pooled.repeat(1, -(-self.dim // 3), 1, 1)[:, : self.dim]


@dataclass(frozen=True)
class _Choice:
    name: str
    encoder: RandomFeatures

    @property
    def identity(self) -> str:
        return self.encoder.identity

    def load(self) -> RandomFeatures:
        return self.encoder

    def announce(self) -> None:
        """Says nothing."""


def train_on_wall(
    folder: Path,
    steps: int,
    channels: int,
    seed: int,
    full_radiance_field: bool = False,
    language_steps: int = 150,
    laptop_language: bool = False,
    device: str = "cpu",
    implementation: Literal["torch", "tcnn"] = "torch",
) -> tuple[LerfWildModel, Cameras, RandomFeatures]:
    """Trains a full-size language field; returns the model, a training camera and the encoder."""
    _write_scene(folder / "wall", seed)
    encoder, patches = RandomFeatures(channels, seed), RandomFeatures(384, seed + 1)
    config = _config(folder, full_radiance_field, laptop_language, implementation)
    with (
        mock.patch.object(registry, "choose_encoder", lambda *_, **__: _Choice("wall", encoder)),
        mock.patch.object(dino, "choose_patch_encoder", lambda *_, **__: _Choice("wall", patches)),
    ):
        pipeline = config.pipeline.setup(device=device, test_mode="val")
    # Surfaces first, then what is on them: that gives solid surfaces in the fewest seconds.
    manager = pipeline.datamanager
    targets, manager.targets = manager.targets, None
    manager.train_pixel_sampler.set_num_rays_per_batch(512)
    _train(pipeline, config, range(steps))
    manager.targets = targets
    manager.train_pixel_sampler.set_num_rays_per_batch(256)
    _train(pipeline, config, range(steps, steps + language_steps))
    return (
        pipeline.model.eval(),
        pipeline.datamanager.train_dataset.cameras[VIEWS // 2 : VIEWS // 2 + 1],
        encoder,
    )


def crop_query(encoder: RandomFeatures, picture: torch.Tensor, count: int, seed: int) -> Query:
    """Phrases that mean what a random crop of the view shows, as a text that names it would."""
    generator = torch.Generator().manual_seed(seed)
    side = picture.shape[-1]
    crops = []
    for _ in range(count):
        size = int(torch.randint(side // 10, side // 2, (1,), generator=generator))
        top, left = torch.randint(side - size, (2,), generator=generator).tolist()
        crop = picture[None, :, top : top + size, left : left + size]
        crops.append(encoder.encode_images(crop)[0])
    canonical = torch.randn(4, encoder.dim, generator=generator)
    names = tuple(f"phrase {index}" for index in range(count))
    negatives = torch.nn.functional.normalize(canonical, dim=-1)
    return Query(names, torch.stack(crops), ("object", "things", "stuff", "texture"), negatives)


def _config(
    folder: Path, full_radiance_field: bool, laptop_language: bool, implementation: str
) -> LerfWildTrainerConfig:
    config = copy.deepcopy(lerf_wild.config)
    model = config.pipeline.model
    model.implementation = implementation
    model.camera_optimizer.mode = "off"
    # Smaller tables than a real capture's: the optimiser's pass over them would take minutes, and
    # the number of look-ups and of network evaluations, which is what is timed, is the same.
    model.language_log2_table = 15
    model.proposal_weights_anneal_max_num_iters = 50
    if not full_radiance_field:
        for name in RADIANCE_FIELDS:
            setattr(model, name, getattr(lerf_wild_tiny.config.pipeline.model, name))
        model.num_proposal_samples_per_ray = (64,)
    if laptop_language:
        for name in LANGUAGE_FIELDS:
            setattr(model, name, getattr(lerf_wild_tiny.config.pipeline.model, name))
    model.eval_num_rays_per_chunk = 4096
    datamanager = config.pipeline.datamanager
    datamanager.data = folder / "wall"
    datamanager.feature_cache = folder / "cache"
    datamanager.train_num_rays_per_batch = 256
    return config


def _train(pipeline: LerfWildPipeline, config: LerfWildTrainerConfig, steps: range) -> None:
    settings = {name: {**group, "scheduler": None} for name, group in config.optimizers.items()}
    optimizers = Optimizers(settings, pipeline.get_param_groups())
    attributes = TrainingCallbackAttributes(
        optimizers=optimizers, grad_scaler=None, pipeline=pipeline, trainer=None
    )
    callbacks = pipeline.get_training_callbacks(attributes)
    pipeline.train()
    for step in steps:
        for callback in callbacks:
            callback.run_callback_at_location(step, TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)
        optimizers.zero_grad_all()
        _, losses, _ = pipeline.get_train_loss_dict(step)
        sum(losses.values()).backward()
        optimizers.optimizer_step_all()
        for callback in callbacks:
            callback.run_callback_at_location(step, TrainingCallbackLocation.AFTER_TRAIN_ITERATION)


def _write_scene(folder: Path, seed: int) -> None:
    (folder / "images").mkdir(parents=True)
    painting = _painting(seed)
    frames = []
    for index in range(VIEWS):
        x, y = -0.6 + 1.2 * index / (VIEWS - 1), 0.3 * (-1) ** index
        name = f"images/{index:03d}.png"
        Image.fromarray(_view(painting, x, y)).save(folder / name)
        pose = np.eye(4)
        pose[:3, 3] = (x, y, 2.0)
        frames.append({"file_path": name, "transform_matrix": pose.tolist()})
    half, names = PIXELS / 2, [frame["file_path"] for frame in frames]
    scene = {
        **dict.fromkeys(("fl_x", "fl_y", "w", "h"), PIXELS),
        **{"cx": half, "cy": half, "frames": frames},
        **{"train_filenames": names, "val_filenames": names[:1]},
    }
    (folder / "transforms.json").write_text(json.dumps(scene))


def _painting(seed: int) -> np.ndarray:
    """Smooth random colours: blurred noise, stretched to 0-255."""
    noise = np.random.default_rng(seed).normal(size=(3, 96, 96)).astype(np.float32)
    blurred = torch.nn.functional.interpolate(
        torch.from_numpy(noise[:, ::6, ::6])[None], size=(512, 512), mode="bicubic"
    )[0]
    low, high = blurred.amin(), blurred.amax()
    return ((blurred - low) / (high - low) * 255).byte().permute(1, 2, 0).numpy()


def _view(painting: np.ndarray, x: float, y: float) -> np.ndarray:
    """What a camera at (x, y, 2) sees: the wall at z = 0 and a square that floats at z = 0.7."""
    axis = (np.arange(PIXELS) + 0.5) / PIXELS - 0.5
    rows, columns = np.meshgrid(y - axis * 2.0, x + axis * 2.0, indexing="ij")
    picture = _paint(painting, columns, rows)
    near_rows, near_columns = np.meshgrid(y - axis * 1.3, x + axis * 1.3, indexing="ij")
    is_near = np.maximum(abs(near_rows), abs(near_columns)) < 0.3
    turned = _paint(painting[::-1, :, ::-1], near_columns * 3, near_rows * 3)
    return np.where(is_near[..., None], turned, picture)


def _paint(painting: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    side = painting.shape[0]
    place = [
        ((value / 4.0 + 0.5) * side).astype(int).clip(0, side - 1) for value in (rows, columns)
    ]
    return painting[place[0], place[1]]
