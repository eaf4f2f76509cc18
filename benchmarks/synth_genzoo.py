"""How fast pictures of animals are generated, and their control signals beside GenZoo's way.

The baseline makes normals and depth as GenZoo's notebook does, without its OpenGL: the posed mesh
is refined twice by trimesh's Loop subdivision for every picture, and every pixel's ray is cast
through trimesh. The product refines by a matrix that is made once and casts rays at the animal's
box. Both give the same depth, which is checked first. `images_per_s` is of whole samples (picture,
parameters and all signals) by as many processes as there are cores; `images_per_cpu_s` is of one.

    python -m benchmarks.synth_genzoo --json synth_genzoo.json
"""

from __future__ import annotations

import functools
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import trimesh
import tyro

from lerf_wild.animals.body import BodyModel
from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.synth.genzoo import GenzooJob, decode, make_samples
from lerf_wild.synth.genzoo_signals import Parameters, make_signals, relative_depth
from lerf_wild.synth.shards import ShardPlan, write_dataset


def main(
    images: int = 40,
    size: int = 256,
    workers: int = 0,
    repeats: int = 5,
    seed: int = 0,
    json_file: JsonFile = None,
) -> None:
    """Generates pictures, and makes the signals of some of them both ways, alternating.

    Args:
        images: Pictures that are timed, after as many that warm up.
        size: Side of the pictures in pixels.
        workers: Processes; 0 takes one for each core.
        repeats: Signals that are made both ways.
        seed: Which pictures.
        json_file: Where to write the figures as JSON.
    """
    torch.set_num_threads(1)
    job, model = GenzooJob(seed=seed, size=size), load_quadruped().model
    make = functools.partial(make_samples, job)
    for number in range(images):
        make(number)
    cpu_ms = [_cpu_ms(lambda n=number: make(n)) for number in range(images, 2 * images)]
    found = [decode(*make(number)[0]).parameters for number in range(repeats)]
    fast, slow, ratios = [], [], []
    far = max(float(np.abs(_depths(model, one, size)).mean()) for one in found[:2])
    for one in found:
        fast.append(_cpu_ms(lambda p=one: make_signals(model, p, size, 2)))
        slow.append(_cpu_ms(lambda p=one: genzoos_way(model, p, size)))
        ratios.append(slow[-1] / fast[-1])
    cores = workers or os.cpu_count() or 1
    figures = {
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "signals_cpu_ms": statistics.median(fast),
        "baseline_cpu_ms": statistics.median(slow),
        "depth_difference": far,
        "images_per_cpu_s": 1e3 * len(cpu_ms) / sum(cpu_ms),
        "images_per_s": _by_processes(make, job, images * cores, cores),
        "workers": cores,
        "size": size,
    }
    for name, value in figures.items():
        print(f"{name:20}{value:.5g}")
    write_report(json_file, figures, seed=seed)


def genzoos_way(model: BodyModel, parameters: Parameters, size: int) -> tuple[np.ndarray, ...]:
    """Normals (H, W, 3) in -1 to 1 and depth (H, W) by Loop subdivision and a ray a pixel."""
    posed = parameters.posed(model).vertices.numpy()
    vertices, faces = trimesh.remesh.subdivide_loop(posed, model.faces_F3.numpy(), iterations=2)
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    steps = ((np.arange(size) + 0.5) * 2 / size - 1) * np.tan(0.5 * parameters.fov_rad)
    x, y = np.meshgrid(steps, steps)
    rays = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3)
    points, index, hit = mesh.ray.intersects_location(np.zeros_like(rays), rays, False)
    depth, normals = np.zeros(size * size), np.zeros((size * size, 3))
    depth[index], normals[index] = points[:, 2], mesh.face_normals[hit]
    return normals.reshape(size, size, 3), depth.reshape(size, size)


def _depths(model: BodyModel, parameters: Parameters, size: int) -> np.ndarray:
    """Difference of both ways' depth pictures where both see the animal, of 255."""
    own = make_signals(model, parameters, size, 2)
    other = genzoos_way(model, parameters, size)[1].astype(np.float32)
    both = own.mask_HW & (other > 0)
    pictures = [relative_depth(d * both).astype(int) for d in (own.distance_HW, other)]
    return (pictures[0] - pictures[1])[both]


def _by_processes(make: Callable, job: GenzooJob, count: int, workers: int) -> float:
    """Pictures a second of wall time, the start of the processes included."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        plan = ShardPlan(count, -(-count // workers))
        write_dataset(Path(folder), make, plan, job.about, "processes", workers)
        return count / (time.perf_counter() - start)


def _cpu_ms(work: Callable) -> float:
    start = time.process_time()
    work()
    return 1e3 * (time.process_time() - start)


if __name__ == "__main__":
    tyro.cli(main)
