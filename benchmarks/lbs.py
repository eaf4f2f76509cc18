"""Posing many animals at once, beside one animal and one joint at a time.

The baseline follows the published formula for each body in turn (numpy, float32): rest shape,
joints, the chain of each joint, and a sum over joints of weighted, transformed vertices. Both give
the same vertices, which is checked first against a float64 run of the baseline.

    python -m benchmarks.lbs --json lbs.json
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import roma
import torch
import tyro
from numpy.typing import NDArray

from lerf_wild.animals.body import BodyModel
from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.cli.report import JsonFile, write_report

Floats = NDArray[np.floating]


def main(bodies: int = 32, repeats: int = 7, seed: int = 0, json_file: JsonFile = None) -> None:
    """Poses the same animals with both, alternating, on one thread.

    Args:
        bodies: Animals of a repeat, each with its own shape and pose.
        repeats: Repeats; the ratio is the median of theirs.
        seed: Which shapes and poses.
        json_file: Where to write the figures as JSON.
    """
    torch.set_num_threads(1)
    model = load_quadruped().model
    generator = torch.Generator().manual_seed(seed)
    betas = torch.randn(bodies, model.beta_count, generator=generator)
    turns = roma.rotvec_to_rotmat(0.4 * torch.randn(bodies, 35, 3, generator=generator))
    fast = model.pose(betas, turns).vertices.numpy()
    exact = one_by_one(model, betas.double().numpy(), turns.double().numpy())
    fast_ms, slow_ms, ratios = [], [], []
    for _ in range(repeats):
        fast_ms.append(_cpu_ms(lambda: model.pose(betas, turns)) / bodies)
        slow_ms.append(_cpu_ms(lambda: one_by_one(model, betas.numpy(), turns.numpy())) / bodies)
        ratios.append(slow_ms[-1] / fast_ms[-1])
    figures = {
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "cpu_ms": statistics.median(fast_ms),
        "baseline_cpu_ms": statistics.median(slow_ms),
        "bodies_per_s": 1e3 / statistics.median(fast_ms),
        "largest_error": float(np.abs(fast - exact).max()),
        "identity_is_exact": float(torch.equal(model.pose().vertices, model.template_V3)),
        "bodies": bodies,
    }
    for name, value in figures.items():
        print(f"{name:20}{value:.5g}")
    write_report(json_file, figures, seed=seed)


def one_by_one(model: BodyModel, betas_BK: Floats, rotations_BJ33: Floats) -> Floats:
    """Posed vertices (B, V, 3), body by body and joint by joint, in the precision of the betas."""
    kind = betas_BK.dtype
    template, directions = (
        t.numpy().astype(kind) for t in (model.template_V3, model.shapedirs_V3K)
    )
    regressor, weights = (
        t.numpy().astype(kind) for t in (model.joint_regressor_JV, model.weights_VJ)
    )
    posed = []
    for betas, rotations in zip(betas_BK, rotations_BJ33):
        rest = template + directions @ betas
        joints = regressor @ rest
        transforms: list[Floats] = []
        for joint, parent in enumerate(model.parents):
            local = np.eye(4, dtype=kind)
            local[:3, :3] = rotations[joint]
            local[:3, 3] = joints[joint] - (joints[parent] if parent >= 0 else 0)
            transforms.append(local if parent < 0 else transforms[parent] @ local)
        total = np.zeros_like(rest)
        for joint, transform in enumerate(transforms):
            moved = (rest - joints[joint]) @ transform[:3, :3].T + transform[:3, 3]
            total += weights[:, joint, None] * moved
        posed.append(total)
    return np.stack(posed)


def _cpu_ms(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return 1e3 * (time.process_time() - start)


if __name__ == "__main__":
    tyro.cli(main)
