"""Samples of `synth raw`: a picture, its program, and what only the renderer knows.

A sample has the parts ``png`` (sRGB), ``program.txt``, ``json`` (boxes, scene, size) and, where
they are asked for, ``instances.png`` (object numbers; 10 is the program's first object) and
``depth.png`` (millimetres, 0 for sky).
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from lerf_wild.assets.scene_assets import individual_names, starter_names, varied_names
from lerf_wild.errors import DatasetError, InputError
from lerf_wild.program.parser import parse
from lerf_wild.program.printer import print_program
from lerf_wild.program.types import Program
from lerf_wild.synth.raw_programs import program_of
from lerf_wild.synth.raw_scenes import FIRST_ID, SceneSpec, Shot, draw_scene, shoot

POOLS = ("starter", "held-out", "grown", "varied", "fresh", "all")
"""Assets that scenes are made of: the starter library's but for those that are held out, the held
out ones, individuals grown from the species' seeds, those in drawn coats and proportions
("varied"), such ones that no training has seen ("fresh"), or all but the varied and fresh."""
INDIVIDUALS = 6
VARIED = 600
"""Varied individuals of each kind."""
FRESH = range(1000, 1200)
"""Numbers of the varied individuals that validation has for itself."""
VERSION = 3
"""Raised whenever the same job gives other bytes."""
MAX_SIDE = 4096


@dataclass(frozen=True)
class RawJob:
    """What decides every byte of a dataset."""

    seed: int = 0
    views: int = 8
    """Views of a scene."""
    pool: str = "starter"
    spec: SceneSpec = field(default_factory=SceneSpec)
    extras: bool = False
    """Whether instances and depth are written too."""

    def __post_init__(self) -> None:
        if self.pool not in POOLS:
            raise InputError(f"Assets {self.pool!r} are none of {', '.join(POOLS)}.")
        if self.views < 1 or self.seed < 0 or not 32 <= self.spec.size <= 2048:
            raise InputError(
                "Give a view or more a scene, a seed of 0 or more, and 32 to 2048 pixels a side."
            )

    def __call__(self, scene: int) -> list[tuple[str, dict[str, bytes]]]:
        """The samples of one scene; a `Maker` of `lerf_wild.synth.shards`."""
        return scene_samples(self, scene)

    def described(self) -> dict[str, object]:
        """Everything that the bytes depend on, as plain data."""
        # As JSON has no tuples, the settings are turned into what would be read back.
        return {"kind": "raw", "version": VERSION, **json.loads(json.dumps(asdict(self)))}


def asset_pool(pool: str) -> tuple[str, ...]:
    """Names of the assets of a pool."""
    names = {
        "starter": starter_names(),
        "held-out": starter_names(True),
        "grown": individual_names(range(INDIVIDUALS)),
    }
    if pool == "varied":
        return varied_names(range(VARIED))
    if pool == "fresh":
        return varied_names(FRESH)
    return names[pool] if pool in names else tuple(n for part in names.values() for n in part)


def scene_samples(
    job: RawJob, scene: int, names: Sequence[str] | None = None
) -> list[tuple[str, dict[str, bytes]]]:
    """Keys and samples of one scene; the same job and number give the same bytes. ``names`` are the
    assets, those of the job's pool when None."""
    rng = np.random.default_rng([job.seed, 0x4A3, scene])
    drawn = draw_scene(rng, names or asset_pool(job.pool), job.spec)
    shots = shoot(drawn, rng, job.spec, job.views)
    return [
        (f"scene{scene:07d}_view{i:03d}", encode(shot, scene, job)) for i, shot in enumerate(shots)
    ]


def encode(shot: Shot, scene: int, job: RawJob) -> dict[str, bytes]:
    """The parts of one sample."""
    about = {
        "scene": scene,
        "seed": job.seed,
        "width": job.spec.size,
        "height": job.spec.size,
        "focal_px": shot.focal_px,
        "boxes": [list(look.box_4) for look in shot.seen],
    }
    parts = {
        "png": _png(shot.picture.rgb),
        "program.txt": print_program(program_of(shot)).encode(),
        "json": json.dumps(about, sort_keys=True).encode(),
    }
    if job.extras:
        parts["instances.png"] = _png(renumbered(shot))
        depth = np.clip(shot.picture.depth_m * 1e3, 0, 65535).astype(np.uint16)
        parts["depth.png"] = _png(depth)
    return parts


def renumbered(shot: Shot) -> NDArray[np.uint8]:
    """The instance map with the program's objects numbered from 10 in the program's order; assets
    that are not part of the program become 255."""
    table = np.full(256, 255, np.uint8)
    table[:FIRST_ID] = np.arange(FIRST_ID)
    for i, look in enumerate(shot.seen):
        table[look.number] = FIRST_ID + i
    return table[shot.picture.instances]


def decode(
    key: str, parts: Mapping[str, bytes]
) -> tuple[NDArray[np.uint8], Program, tuple[tuple[float, ...], ...]]:
    """Picture (H, W, 3), program, and a box for each object.

    Raises:
        DatasetError: naming the sample and the part that is missing or wrong.
    """
    try:
        picture = np.asarray(Image.open(io.BytesIO(parts["png"])).convert("RGB"))
        program = parse(parts["program.txt"].decode())
        boxes = _boxes(json.loads(parts["json"])["boxes"])
    except KeyError as error:
        raise DatasetError(f"Sample {key}: part {error} is missing.") from None
    except (InputError, OSError, UnidentifiedImageError, ValueError, TypeError) as error:
        raise DatasetError(f"Sample {key}: {str(error)[:120]}") from None
    if len(boxes) != len(program.objects) or max(picture.shape) > MAX_SIDE:
        raise DatasetError(f"Sample {key}: {len(boxes)} boxes, {len(program.objects)} objects.")
    return picture, program, boxes


def _boxes(rows: Sequence[Sequence[Any]]) -> tuple[tuple[float, ...], ...]:
    boxes = tuple(tuple(float(side) for side in row) for row in rows)
    if any(len(box) != 4 or not np.isfinite(box).all() for box in boxes):
        raise ValueError("a box is not four finite numbers.")
    return boxes


def _png(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format="PNG", compress_level=1)
    return stream.getvalue()
