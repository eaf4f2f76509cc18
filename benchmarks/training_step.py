"""What the language field adds to a training step of the laptop size.

The baseline is nerfstudio's own nerfacto at the same size; a second one has our fast hash grids but
no language. All three take turns in one process on the same random rays.

Run with `python -m benchmarks.training_step --json FILE`.
"""

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import fields

import torch
import tyro
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.models.nerfacto import NerfactoModel, NerfactoModelConfig

from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.methods.lerf_wild.config import lerf_wild_tiny
from lerf_wild.methods.lerf_wild.datamanager import TILE_ANGLE
from lerf_wild.methods.lerf_wild.hash_grid import use_fast_lookup
from lerf_wild.methods.lerf_wild.model import LerfWildModel
from lerf_wild.methods.lerf_wild.perceptual import lazy_perceptual_metric

CLIP_DIM, DINO_DIM = 128, 256
"""Dimensions of wild-clip and of its trunk."""


def main(
    rays: int = 1024, steps: int = 30, threads: int = 2, seed: int = 0, json_file: JsonFile = None
) -> None:
    """Times a step with language against steps without.

    Args:
        rays: Rays of a step.
        steps: Steps of each kind; medians are reported.
        threads: Threads that torch may use.
        seed: Seed of weights and rays.
        json_file: Where to write the figures.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    kinds = {
        "product": _stepper(_language_model(), rays),
        "baseline": _stepper(_nerfacto(fast=False), rays),
        "no_language": _stepper(_nerfacto(fast=True), rays),
    }
    wall, cpu = _alternate(kinds, steps)
    ratios = sorted(p / b for p, b in zip(wall["product"], wall["baseline"]))
    median = {kind: statistics.median(times) for kind, times in wall.items()}
    cpu_median = {kind: statistics.median(times) for kind, times in cpu.items()}
    figures = {
        "ratio": statistics.median(ratios),
        "ratio_low": ratios[len(ratios) // 10],
        "ratio_high": ratios[-1 - len(ratios) // 10],
        "ratio_to_fast_grid": median["product"] / median["no_language"],
        "cpu_ratio": cpu_median["product"] / cpu_median["baseline"],
        "cpu_ratio_to_fast_grid": cpu_median["product"] / cpu_median["no_language"],
        "ms": median["product"] * 1e3,
        "baseline_ms": median["baseline"] * 1e3,
        "cpu_ms": cpu_median["product"] * 1e3,
        "baseline_cpu_ms": cpu_median["baseline"] * 1e3,
        "rays_per_s": rays / median["product"],
        "rays": rays,
        "threads": threads,
    }
    for name, value in figures.items():
        print(f"{name:24} {value:.4g}")
    write_report(json_file, figures, seed)


def _language_model() -> LerfWildModel:
    config = copy.deepcopy(lerf_wild_tiny.config.pipeline.model)
    config.clip_dim, config.dino_dim = CLIP_DIM, DINO_DIM
    return config.setup(scene_box=_box(), num_train_data=30)


def _nerfacto(fast: bool) -> NerfactoModel:
    source = lerf_wild_tiny.config.pipeline.model
    shared = {f.name: getattr(source, f.name) for f in fields(NerfactoModelConfig)}
    shared["_target"] = NerfactoModel
    with lazy_perceptual_metric():
        model = NerfactoModelConfig(**shared).setup(scene_box=_box(), num_train_data=30)
    if fast:
        use_fast_lookup(model)
    return model


def _box() -> SceneBox:
    return SceneBox(aabb=torch.tensor([[-1.0] * 3, [1.0] * 3]))


def _stepper(model: NerfactoModel, count: int) -> Callable[[], None]:
    groups = model.get_param_groups()
    optimizers = [torch.optim.Adam(group, lr=1e-2, eps=1e-15) for group in groups.values() if group]
    model.train()

    def step() -> None:
        rays = _random_rays(count)
        batch = {
            "image": torch.rand(count, 3),
            "clip": torch.randn(count, CLIP_DIM),
            "clip_valid": torch.ones(count, dtype=torch.bool),
            "dino": torch.randn(count, DINO_DIM),
        }
        for optimizer in optimizers:
            optimizer.zero_grad()
        outputs = model(rays)
        metrics = model.get_metrics_dict(outputs, batch)
        sum(model.get_loss_dict(outputs, batch, metrics).values()).backward()
        for optimizer in optimizers:
            optimizer.step()

    return step


def _random_rays(count: int) -> RayBundle:
    directions = torch.nn.functional.normalize(torch.randn(count, 3), dim=-1)
    return RayBundle(
        origins=torch.randn(count, 3) * 0.3,
        directions=directions,
        pixel_area=torch.full((count, 1), 1e-4),
        camera_indices=torch.zeros(count, 1, dtype=torch.long),
        metadata={TILE_ANGLE: torch.rand(count, 1) * 0.4 + 0.05},
    )


def _alternate(
    kinds: dict[str, Callable[[], None]], steps: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Runs the kinds in turn, after a few steps to warm up; returns wall and processor seconds."""
    wall: dict[str, list[float]] = {kind: [] for kind in kinds}
    cpu: dict[str, list[float]] = {kind: [] for kind in kinds}
    for index in range(-3, steps):
        for kind, step in kinds.items():
            start, cpu_start = time.perf_counter(), time.process_time()
            step()
            if index >= 0:
                wall[kind].append(time.perf_counter() - start)
                cpu[kind].append(time.process_time() - cpu_start)
    return wall, cpu


if __name__ == "__main__":
    tyro.cli(main)
