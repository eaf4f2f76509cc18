"""Encoding images tile by tile: batched over levels against one tile at a time.

Run with `python -m benchmarks.pyramid --json FILE`. Both use the bundled tower's architecture; its
weights don't matter for speed. They alternate, so that a busy machine slows both.
"""

import statistics
import time
from collections.abc import Callable

import torch
import tyro

from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.language.encoders import resize_square
from lerf_wild.language.fused_resnet import fuse_resnet
from lerf_wild.language.open_clip_encoder import OpenClipEncoder
from lerf_wild.language.pyramid import encode_pyramid
from lerf_wild.language.pyramid_layout import DEFAULT_SPEC, pyramid_layout
from lerf_wild.language.wild_clip import TEMPLATES, build_wild_clip


def main(
    height: int = 256,
    width: int = 256,
    repeats: int = 3,
    device: str = "cpu",
    seed: int = 0,
    json_file: JsonFile = None,
) -> None:
    """Times both ways of encoding a random image.

    Args:
        height: Image height in pixels.
        width: Image width in pixels.
        repeats: Pairs of runs; the median ratio is reported.
        device: Where to encode.
        seed: Seed of the image and the weights.
        json_file: Where to write the figures.
    """
    parts = build_wild_clip(seed)
    fuse_resnet(parts.model.eval().visual)
    encoder = OpenClipEncoder(
        parts.model, parts.tokenizer, parts.mean, parts.std, "benchmark", device, "fp32", TEMPLATES
    )
    image_3HW = torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))
    batched_s, single_s = [], []
    encode_pyramid(image_3HW, None, encoder)
    for _ in range(repeats):
        batched_s.append(_seconds(lambda: encode_pyramid(image_3HW, None, encoder).tiles))
        single_s.append(_seconds(lambda: _one_at_a_time(image_3HW, encoder)))
    ratios = [slow / fast for slow, fast in zip(single_s, batched_s)]
    tiles = pyramid_layout(DEFAULT_SPEC, height, width).num_tiles
    figures = {
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "images_per_s": 1 / statistics.median(batched_s),
        "tiles_per_s": tiles / statistics.median(batched_s),
        "tiles": tiles,
        "max_difference": _difference(image_3HW, encoder),
    }
    for name, value in figures.items():
        print(f"{name:15} {value:.4g}")
    write_report(json_file, figures, seed)


def _one_at_a_time(image_3HW: torch.Tensor, encoder: OpenClipEncoder) -> torch.Tensor:
    tiles = []
    for top, left, size in pyramid_layout(DEFAULT_SPEC, *image_3HW.shape[1:]).boxes().tolist():
        tile_3ss = image_3HW[:, top : top + size, left : left + size]
        tiles.append(encoder.encode_images(resize_square(tile_3ss[None], encoder.image_size)))
    return torch.cat(tiles).cpu()


def _seconds(action: Callable[[], torch.Tensor]) -> float:
    # Both results end on the processor, which waits for a GPU to finish.
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _difference(image_3HW: torch.Tensor, encoder: OpenClipEncoder) -> float:
    batched_ND = encode_pyramid(image_3HW, None, encoder).tiles.float()
    return float((batched_ND - _one_at_a_time(image_3HW, encoder)).abs().max())


if __name__ == "__main__":
    tyro.cli(main)
