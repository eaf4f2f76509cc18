"""Whether Blender and the ray-caster see the same objects: instance masks of drawn programs.

    python -m benchmarks.program_masks --json FILE

Programs are views of scenes as `lerf-wild synth raw` draws them. Needs bpy (Python 3.11).
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import numpy as np
import tyro
from numpy.typing import NDArray

from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.inverse.program_data import drawn_samples
from lerf_wild.render.blender import render_in_blender
from lerf_wild.render.scene_program import FIRST_ID, render_program

BAR = 0.95


def main(
    programs: int = 10,
    size: int = 256,
    samples: int = 1,
    least_pixels: int = 80,
    seed: int = 40_000,
    json_file: JsonFile = None,
) -> None:
    """Draws programs with both and compares the pixels of each object.

    Args:
        programs: How many.
        size: Pixels along a side.
        samples: Rays a pixel in Cycles; masks take one whatever it is.
        least_pixels: Objects that show fewer pixels of both are left out: of a handful the border
            is most.
        seed: Which scenes.
        json_file: Where to write the figures as JSON.
    """
    ious, both, either = [], 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for sample in drawn_samples(programs, 1, seed):
            path = Path(folder) / "picture.png"
            theirs = render_in_blender(sample.program, path, size, size, samples).instances
            ours = render_program(sample.program, size, size).picture.instances
            for i in range(len(sample.program.objects)):
                common, union = _overlap(ours == FIRST_ID + i, theirs == FIRST_ID + i)
                if union >= least_pixels:
                    ious.append(common / union)
                    both, either = both + common, either + union
            print(f"{len(ious):4} objects, least {min(ious, default=1.0):.3f}", flush=True)
    figures = {
        "mask_iou": statistics.mean(ious),
        "mask_iou_low": min(ious),
        "mask_iou_pixels": both / either,
        "within_bar": statistics.mean(iou >= BAR for iou in ious),
        "bar": BAR,
        "objects": len(ious),
        "programs": programs,
        "size": size,
    }
    for name, value in figures.items():
        print(f"{name:16}{value:.4g}")
    write_report(json_file, figures, seed=seed)


def _overlap(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[int, int]:
    return int((first & second).sum()), int((first | second).sum())


if __name__ == "__main__":
    tyro.cli(main)
