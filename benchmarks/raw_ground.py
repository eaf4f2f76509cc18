"""How often a picture's ground is recognised, and how well it then tells the camera's height.

    python -m benchmarks.raw_ground --scenes 60 --json FILE
    python -m benchmarks.raw_ground --scenes 0 --photos capture/images/*.jpg

Drawn scenes with their true boxes and the pitch of the edge of the ground; limits were chosen on
seed 10,000. Photos show none of the known grounds, so that none must be recognised.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import torch
import tyro

from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.inverse.ground_registration import GroundFit, registered
from lerf_wild.inverse.program_data import drawn_samples
from lerf_wild.inverse.program_detector import SIZE
from lerf_wild.inverse.program_horizon import edge_pitch_deg
from lerf_wild.inverse.program_images import load_photo
from lerf_wild.inverse.program_inference import DEFAULT_FOV_DEG, covered
from lerf_wild.inverse.program_samples import Sample
from lerf_wild.inverse.program_sizes import USUAL_M
from lerf_wild.render.scene_program import focal_px

FRESH_SEED = 40_000
"""Of scenes on which nothing was chosen."""
PITCHES_DEG = (78.0, 82.0, 86.0)
"""Photos are tried with each."""
NEAR = 0.03


def main(
    scenes: int = 60,
    seed: int = FRESH_SEED,
    photos: tuple[Path, ...] = (),
    json_file: JsonFile = None,
) -> None:
    """Looks for known grounds in drawn pictures and in photos.

    Args:
        scenes: Drawn scenes, a picture each.
        seed: Which ones.
        photos: Pictures that show no known ground.
        json_file: Where to write the figures as JSON.
    """
    figures: dict[str, float] = {}
    if scenes > 0:
        samples = drawn_samples(scenes, 1, seed)
        start = time.process_time()
        fits = [_fit(sample) for sample in samples]
        seconds = (time.process_time() - start) / len(samples)
        figures |= _figures(samples, fits) | {"seconds": seconds}
    if photos:
        figures["photos_recognised"] = float(np.mean([_is_recognised(path) for path in photos]))
    for name, value in figures.items():
        print(f"{name}: {value:.3f}")
    write_report(json_file, figures)


def _fit(sample: Sample) -> GroundFit | None:
    settings, focal = sample.program.settings, focal_px(sample.program, SIZE)
    pitch = edge_pitch_deg(sample.rgb, focal, settings.camera_pitch_deg, USUAL_M)
    hidden = covered(torch.tensor(sample.boxes_K4))
    return registered(sample.rgb, hidden, focal, pitch or settings.camera_pitch_deg)


def _figures(samples: list[Sample], fits: list[GroundFit | None]) -> dict[str, float]:
    found = [
        (fit, s.program.settings) for fit, s in zip(fits, samples, strict=True) if fit is not None
    ]
    off = [abs(math.log(fit.camera_height_m / known.camera_height_m)) for fit, known in found]
    return {
        "recognised": len(found) / len(samples),
        "right_ground": float(np.mean([fit.ground == known.ground_name for fit, known in found])),
        "height_within_3_percent": float(np.mean(np.array(off) < NEAR)),
        "height_error_median": float(np.median(off)),
    }


def _is_recognised(path: Path) -> bool:
    picture = load_photo(path)
    focal = 0.5 * SIZE / math.tan(math.radians(DEFAULT_FOV_DEG / 2))
    nothing = np.zeros((SIZE, SIZE), bool)
    return any(registered(picture, nothing, focal, pitch) is not None for pitch in PITCHES_DEG)


if __name__ == "__main__":
    tyro.cli(main)
