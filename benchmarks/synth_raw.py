"""How fast pictures with programs are made, beside a renderer that builds each view from nothing.

The baseline is how a habitat is drawn: the tree of triangles is built for every view, and every
pixel gets four rays. The product builds it once a scene and sends more rays only to edges.

    python -m benchmarks.synth_raw --json synth_raw.json
"""

from __future__ import annotations

import os
import statistics
import time

import numpy as np
import torch
import tyro

from lerf_wild.assets.scene_assets import load_individual
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.render.raycast import Camera, render
from lerf_wild.synth.raw_data import asset_pool
from lerf_wild.synth.raw_scenes import Scene, SceneSpec, Shot, draw_scene, shoot, tracer

MILLION = 1_000_000


def main(scenes: int = 6, views: int = 8, seed: int = 0, json_file: JsonFile = None) -> None:
    """Draws the same views with both, alternating, on one core.

    Args:
        scenes: Scenes; the ratio is the median of theirs.
        views: Views of a scene.
        seed: Which scenes.
        json_file: Where to write the figures as JSON.
    """
    torch.set_num_threads(1)
    spec, names = SceneSpec(), asset_pool("starter")
    for name in names:
        load_individual(name)
    ours, theirs, ratios = [], [], []
    for index in range(scenes):
        rng = np.random.default_rng([seed, index])
        scene = draw_scene(rng, names, spec)
        start = time.process_time()
        shots = shoot(scene, rng, spec, views)
        ours.append((time.process_time() - start) / len(shots))
        start = time.process_time()
        for shot in shots:
            _plainly(scene, shot, spec)
        theirs.append((time.process_time() - start) / len(shots))
        ratios.append(theirs[-1] / ours[-1])
    rate, cores = 1.0 / statistics.mean(ours), os.cpu_count() or 1
    figures = {
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "ms": 1e3 * statistics.mean(ours),
        "baseline_ms": 1e3 * statistics.mean(theirs),
        "images_per_s": rate,
        "core_hours_a_million": MILLION / rate / 3600,
        "hours_a_million_here": MILLION / rate / 3600 / cores,
        "cores": float(cores),
    }
    for name, value in figures.items():
        print(f"{name:24}{value:.4g}")
    write_report(json_file, figures, seed=seed)


def _plainly(scene: Scene, shot: Shot, spec: SceneSpec) -> None:
    pose = shot.view.camera_to_world()
    render(tracer(scene), Camera(pose, spec.focal_px, spec.size, spec.size), samples=2)


if __name__ == "__main__":
    tyro.cli(main)
