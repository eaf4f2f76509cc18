"""Picture quality of lerf-wild-tiny on a capture, against nerfacto with the same radiance field.

Both train in this process, one after the other, from the same seed: the same views, rays a step,
steps, grids and optimisers. The difference is the language field beside ours, which must not cost
picture quality. PSNR is that of the held-out views.

Run with `python -m benchmarks.against_nerfacto --data SCENE --json FILE --chart PNG`.
"""

import copy
import random
import tempfile
import time
from dataclasses import fields
from pathlib import Path

import matplotlib
import numpy as np
import torch
import tyro
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManagerConfig
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.models.nerfacto import NerfactoModelConfig
from nerfstudio.pipelines.base_pipeline import Pipeline, VanillaPipelineConfig

from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.methods.lerf_wild.config import LerfWildTrainerConfig, lerf_wild_tiny
from lerf_wild.methods.lerf_wild.perceptual import lazy_perceptual_metric


def main(
    data: Path,
    steps: int = 4000,
    threads: int = 2,
    seed: int = 42,
    encoder: str = "wild-clip",
    pixel_step: int = 2,
    chart: Path | None = None,
    json_file: JsonFile = None,
) -> None:
    """Trains both and compares their held-out views.

    Args:
        data: A scene in nerfstudio's format.
        steps: Training steps of each.
        threads: Threads that torch may use.
        seed: Seed of both runs.
        encoder: Image and text encoder of ours.
        pixel_step: Every so many rows and columns of the held-out views are compared.
        chart: Where to draw the PSNR of each held-out view.
        json_file: Where to write the figures.
    """
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        ours = _ours(data, steps, Path(folder), seed, encoder)
        theirs = _nerfacto_like(ours)
        product, product_s = _train(ours, seed, pixel_step)
        baseline, baseline_s = _train(theirs, seed, pixel_step)
    figures = {
        "psnr": float(np.mean(product)),
        "baseline_psnr": float(np.mean(baseline)),
        "psnr_difference": float(np.mean(product) - np.mean(baseline)),
        "seconds": product_s,
        "baseline_seconds": baseline_s,
        "ratio": product_s / baseline_s,
        "held_out_views": len(product),
        **{f"psnr_{index}": value for index, value in enumerate(product)},
        **{f"baseline_psnr_{index}": value for index, value in enumerate(baseline)},
        "steps": steps,
        "rays": ours.pipeline.datamanager.train_num_rays_per_batch,
        "threads": threads,
    }
    for name, value in figures.items():
        print(f"{name:20} {value:.4g}")
    if chart is not None:
        _draw(chart, data.name, product, baseline)
    write_report(json_file, figures, seed)


def _ours(data: Path, steps: int, folder: Path, seed: int, encoder: str) -> LerfWildTrainerConfig:
    config = copy.deepcopy(lerf_wild_tiny.config)
    config.data = config.pipeline.datamanager.data = data
    config.pipeline.encoder = encoder
    config.max_num_iterations, config.output_dir, config.vis = steps, folder, "tensorboard"
    config.steps_per_eval_all_images = config.steps_per_eval_image = steps + 1
    config.steps_per_save = steps
    config.machine.seed, config.machine.device_type = seed, "cpu"
    config.logging.local_writer.max_log_size = 0
    return config


def _nerfacto_like(ours: LerfWildTrainerConfig) -> TrainerConfig:
    """nerfacto with everything of our config but the language."""
    model = _shared(NerfactoModelConfig, ours.pipeline.model)
    datamanager = _shared(VanillaDataManagerConfig, ours.pipeline.datamanager)
    config = _shared(TrainerConfig, ours)
    config.method_name = "nerfacto"
    config.pipeline = VanillaPipelineConfig(datamanager=datamanager, model=model)
    config.optimizers = {k: v for k, v in ours.optimizers.items() if k != "language"}
    return config


def _shared(kind: type, config: object) -> object:
    names = [field.name for field in fields(kind) if field.init and field.name != "_target"]
    return kind(**{name: copy.deepcopy(getattr(config, name)) for name in names})


def _train(config: TrainerConfig, seed: int, pixel_step: int) -> tuple[list[float], float]:
    """PSNR of each held-out view after training, and the seconds that training took."""
    random.seed(seed)
    torch.manual_seed(seed)
    config.set_timestamp()
    trainer = config.setup(local_rank=0, world_size=1)
    # nerfacto fetches the weights of its perceptual metric when it is built; nothing here asks it.
    with lazy_perceptual_metric():
        trainer.setup()
    start = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - start
    return _held_out_psnr(trainer.pipeline, pixel_step), seconds


@torch.no_grad()
def _held_out_psnr(pipeline: Pipeline, pixel_step: int) -> list[float]:
    pipeline.eval()
    model, values = pipeline.model, []
    for camera, batch in pipeline.datamanager.fixed_indices_eval_dataloader:
        rays = camera.generate_rays(camera_indices=0, keep_shape=True)
        rays = rays[::pixel_step, ::pixel_step]
        truth = batch["image"][::pixel_step, ::pixel_step, :3]
        truth = truth / 255 if truth.dtype == torch.uint8 else truth
        rgb = model.get_outputs_for_camera_ray_bundle(rays)["rgb"]
        values.append(float(-10 * torch.log10(((rgb - truth) ** 2).mean())))
    return values


def _draw(path: Path, title: str, product: list[float], baseline: list[float]) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    places = np.arange(len(product))
    figure, axes = plt.subplots(figsize=(6, 2.6), layout="constrained")
    axes.bar(places - 0.2, baseline, 0.4, color="#9aa5a0", label="nerfacto")
    axes.bar(places + 0.2, product, 0.4, color="#2f6f4f", label="lerf-wild-tiny")
    axes.set(xticks=places, xlabel=f"held-out view of {title}", ylabel="PSNR (dB)")
    axes.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=160)
    plt.close(figure)


if __name__ == "__main__":
    tyro.cli(main)
