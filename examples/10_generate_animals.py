"""Generates pictures of animals and shows each beside its control signals and keypoints.

python examples/10_generate_animals.py --num 6 --seed 3
"""

import io
from pathlib import Path

import cv2
import numpy as np
import tyro
from PIL import Image

from lerf_wild.synth.genzoo import GenzooJob, GenzooSample, decode, make_samples
from lerf_wild.synth.genzoo_signals import SEEN


def main(
    num: int = 6,
    seed: int = 3,
    size: int = 192,
    output_path: Path = Path("outputs/examples/genzoo_samples.png"),
) -> None:
    """Writes a row for each picture: picture, keypoints, normals, depth, Canny edges, mask.

    Args:
        num: Number of pictures.
        seed: What decides them.
        size: Side of a picture in pixels.
        output_path: Where to write them.
    """
    rows = []
    for number in range(num):
        ((key, parts),) = make_samples(GenzooJob(seed=seed, size=size), number)
        sample = decode(key, parts)
        print(f"{sample.about['prompt']} (silhouette agrees to {sample.about['agreement']})")
        signals = [
            np.asarray(Image.open(io.BytesIO(parts[f"{name}.png"])).convert("RGB"))
            for name in ("normals", "depth", "canny", "mask")
        ]
        rows.append(np.concatenate([sample.rgb_HW3, with_keypoints(sample), *signals], axis=1))
    half = (len(rows) + 1) // 2
    output_path.parent.mkdir(parents=True, exist_ok=True)
    columns = [np.concatenate(part) for part in (rows[:half], rows[half:]) if part]
    if len(columns) == 2:
        missing = len(columns[0]) - len(columns[1])
        columns[1] = np.pad(columns[1], ((0, missing), (0, 0), (0, 0)))
    page = Image.fromarray(np.concatenate(columns, axis=1))
    page.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(output_path, optimize=True)
    print(f"{output_path}: picture, keypoints (hidden ones hollow), normals, depth, Canny, mask")


def with_keypoints(sample: GenzooSample) -> np.ndarray:
    """The picture with its keypoints, filled where they are seen."""
    shown = sample.rgb_HW3.copy()
    for x, y, visibility in sample.keypoints_P3:
        spot = int((x + 1) * len(shown) / 2), int((y + 1) * len(shown) / 2)
        cv2.circle(shown, spot, 3, (255, 230, 60), -1 if visibility == SEEN else 1, cv2.LINE_AA)
    return shown


if __name__ == "__main__":
    tyro.cli(main)
