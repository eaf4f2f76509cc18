"""How fast scenes of primitives are rendered, beside a naive renderer of the same images.

The baseline renders one scene after the other, every pixel against every object in float64, as a
straightforward numpy program does (about 1 ms a scene and object); the product is
`render_orthographic`. Both make the same images, which is checked first.

    python -m benchmarks.air_render --json air_render.json
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch
import tyro

from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.render.primitive_scenes import CUBE, SPHERE, PrimitiveScenes, SceneSampler
from lerf_wild.render.primitives import pixel_centres, render_orthographic

SCALE, TINY = 0.4, 1e-9


def main(scenes: int = 256, repeats: int = 7, seed: int = 0, json_file: JsonFile = None) -> None:
    """Renders the same scenes with both, alternating, on one thread.

    Args:
        scenes: Scenes a repeat.
        repeats: Repeats; the ratio is the median of theirs.
        seed: Which scenes.
        json_file: Where to write the figures as JSON.
    """
    torch.set_num_threads(1)
    drawn = SceneSampler().sample(scenes, torch.Generator().manual_seed(seed))
    fast, slow = render_orthographic(drawn), naive_images(drawn)
    differing = float((fast - torch.from_numpy(slow)).abs().gt(1e-3).float().mean())
    ratios, fast_ms, slow_ms = [], [], []
    for _ in range(repeats):
        fast_ms.append(_milliseconds(lambda: render_orthographic(drawn)) / scenes)
        slow_ms.append(_milliseconds(lambda: naive_images(drawn)) / scenes)
        ratios.append(slow_ms[-1] / fast_ms[-1])
    figures = {
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "ms": statistics.median(fast_ms),
        "baseline_ms": statistics.median(slow_ms),
        "images_per_s": 1e3 / statistics.median(fast_ms),
        "differing_pixels": differing,
    }
    for name, value in figures.items():
        print(f"{name:18}{value:.5g}")
    write_report(json_file, figures, seed=seed)


def naive_images(scenes: PrimitiveScenes, size: int = 64) -> np.ndarray:
    """Renders scene by scene; float32 [B, size, size]."""
    along = pixel_centres(size).double().numpy()
    x, y = np.meshgrid(along, -along)
    rays = np.stack([x.ravel(), y.ravel(), np.full(x.size, 5.0)], 1)
    images = [
        _naive_image(rays, kinds, positions, rotations).reshape(size, size)
        for kinds, positions, rotations in zip(
            scenes.kinds_BK.numpy(), scenes.positions_BK3.numpy(), scenes.rotations_BK33.numpy()
        )
    ]
    return np.stack(images).astype(np.float32)


def _naive_image(
    rays_P3: np.ndarray, kinds: np.ndarray, positions: np.ndarray, rotations: np.ndarray
) -> np.ndarray:
    nearest, intensity = np.full(len(rays_P3), np.inf), np.zeros(len(rays_P3))
    for kind, position, R in zip(kinds, positions.astype(float), rotations.astype(float)):
        if kind < 0:
            continue
        o, d = (rays_P3 - position) @ R / SCALE, np.broadcast_to(-R[2] / SCALE, rays_P3.shape)
        t, normal, hit = _hit(int(kind), o, d)
        closer = hit & (t < nearest)
        nearest = np.where(closer, t, nearest)
        shade = 0.15 + 0.85 * np.maximum(0.0, normal @ R[2])
        intensity = np.where(closer, shade, intensity)
    return intensity


def _hit(kind: int, o: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance, local normal and whether the ray hits, by the quadratic and slab formulas."""
    if kind == CUBE:
        return _slabs(o, d, range(3))
    axes = [0, 1, 2] if kind == SPHERE else [0, 2]
    a = (d[:, axes] ** 2).sum(1) + TINY
    b = (o[:, axes] * d[:, axes]).sum(1)
    inside = b * b - a * ((o[:, axes] ** 2).sum(1) - 1.0)
    root = np.sqrt(np.maximum(inside, 0.0))
    t, leave, hit = (-b - root) / a, (-b + root) / a, inside >= 0
    normal = np.zeros_like(o)
    normal[:, axes] = (o + t[:, None] * d)[:, axes]
    if kind == SPHERE:
        return t, normal, hit
    cap, cap_normal, _ = _slabs(o, d, [1])
    cap_leave = (np.sign(d[:, 1]) - o[:, 1]) / np.where(np.abs(d[:, 1]) < TINY, TINY, d[:, 1])
    on_cap = cap > t
    t = np.maximum(t, cap)
    return (
        t,
        np.where(on_cap[:, None], cap_normal, normal),
        hit & (t <= np.minimum(leave, cap_leave)),
    )


def _slabs(o: np.ndarray, d: np.ndarray, axes: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    axes = list(axes)  # type: ignore[call-overload]
    safe = np.where(np.abs(d[:, axes]) < TINY, TINY, d[:, axes])
    one, other = (-1.0 - o[:, axes]) / safe, (1.0 - o[:, axes]) / safe
    enter, leave = np.minimum(one, other), np.maximum(one, other)
    which = enter.argmax(1)
    normal = np.zeros_like(o)
    rows = np.arange(len(o))
    normal[rows, np.asarray(axes)[which]] = -np.sign(safe[rows, which])
    t = enter.max(1)
    return t, normal, t <= leave.min(1)


def _milliseconds(work: object) -> float:
    start = time.perf_counter()
    work()  # type: ignore[operator]
    return 1e3 * (time.perf_counter() - start)


if __name__ == "__main__":
    tyro.cli(main)
