"""Samples of `synth genzoo`: a picture of an animal, its exact parameters and control signals.

A sample has the parts ``jpg`` (sRGB), ``npz`` and ``json``, and, where they are asked for,
``normals.png``, ``depth.png``, ``canny.png`` and ``mask.png`` (255 where the animal is seen, 128
where something is in front of it). Arrays have GenZoo's names: ``betas`` (K,), ``poses``
(35, 3, 3), the root's in camera axes (x right, y down, z forward); ``transls`` (3,), model units,
and ``fovs`` (radians, the whole field) of a perspective camera, or ``scales``, ``txs``, ``tys`` of
a weak one; ``keypoints_2d`` (26, 3: x and y from -1 to 1, visibility 0, 1 or 2), ``keypoints_3d``,
``boxes`` (left, top, right, bottom of the whole animal) and ``seen`` (what share nothing hides).
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lerf_wild.animals import schema
from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.errors import DatasetError, InputError
from lerf_wild.synth.genzoo_draws import SHAPES, SPLITS, Shot, draw_shot, turn_z
from lerf_wild.synth.genzoo_pictures import render_shot
from lerf_wild.synth.genzoo_prompts import Describer, load_describer, template_prompt
from lerf_wild.synth.genzoo_signals import (
    Parameters,
    Signals,
    camera_parameters,
    keypoint_table,
    make_signals,
    silhouette_iou,
)

ENGINES = ("render", "flux")
CAMERAS = ("perspective", "weak", "both")
MIN_AGREEMENT = 0.97
"""Least overlap of the silhouette in a rendered picture and that of its parameters."""
REFINED_FROM_PX = 160
"""Pictures of at least this size show the finer mesh."""
JPEG_QUALITY = 92
MAX_SIDE = 4096


@dataclass(frozen=True)
class GenzooJob:
    """What decides every byte of a dataset."""

    seed: int = 0
    size: int = 256
    split: str = "all"
    camera: str = "both"
    signals: bool = True
    shapes: str = "words"
    engine: str = "render"
    flux: str = "black-forest-labs/FLUX.1-dev"
    vlm: str = ""
    llm: str = ""

    def __post_init__(self) -> None:
        if self.engine not in ENGINES or self.camera not in CAMERAS or self.split not in SPLITS:
            raise InputError(
                f"Engines are {', '.join(ENGINES)}, cameras {', '.join(CAMERAS)}, splits "
                f"{', '.join(SPLITS)}; not {self.engine}, {self.camera}, {self.split}."
            )
        if self.shapes not in SHAPES:
            raise InputError(f"Shapes come from {', '.join(SHAPES)}, not {self.shapes[:40]!r}.")
        if self.seed < 0 or not 32 <= self.size <= 2048:
            raise InputError("Give a seed of 0 or more, and 32 to 2048 pixels a side.")
        if bool(self.vlm) != bool(self.llm):
            raise InputError("Give both --vlm and --llm, or neither for prompts from templates.")

    @property
    def about(self) -> dict[str, Any]:
        """The job as JSON values, with the body that its betas belong to."""
        about = {**asdict(self), "body": load_quadruped().model.sha256, "kind": "genzoo"}
        if self.shapes != "table":
            from lerf_wild.animals.words.shapes import BUNDLED
            from lerf_wild.storage.hashes import file_sha256

            about["flow"] = file_sha256(BUNDLED)
        return about


@dataclass(frozen=True)
class GenzooSample:
    """What a sample's picture, arrays and text say."""

    rgb_HW3: NDArray[np.uint8]
    parameters: Parameters
    keypoints_P3: NDArray[np.float32]
    box_4: NDArray[np.float32]
    """Left, top, right, bottom of the whole animal, -1 to 1 across the picture."""
    about: Mapping[str, Any]


def make_samples(job: GenzooJob, number: int) -> list[tuple[str, dict[str, bytes]]]:
    """Key and parts of one picture; the same job and number give the same bytes.

    Raises:
        DatasetError: the picture's silhouette does not agree with its parameters.
    """
    rng = np.random.default_rng([job.seed, 0x6E2, number])
    kind = job.camera
    if kind == "both":
        kind = "weak" if rng.random() < 0.2 else "perspective"
    shot = draw_shot(rng, job.split, job.size, kind, job.shapes)
    model, refined = load_quadruped().model, int(job.size >= REFINED_FROM_PX)
    animal = shot.animal
    parameters = camera_parameters(
        model,
        animal.betas_K,
        animal.rotations_J33,
        animal.translation_3,
        turn_z(animal.yaw_rad),
        animal.metres_per_unit,
        shot.camera,
    )
    signals = make_signals(model, parameters, job.size, refined)
    prompt = _prompt(job, shot, signals)
    if job.engine == "flux":
        rgb, visible, agreement = _generated(job, signals, prompt, number)
    else:
        picture = render_shot(shot, signals.mask_HW, refined)
        rgb, visible = picture.rgb_HW3, picture.visible_HW
        agreement = silhouette_iou(visible, signals.mask_HW & ~picture.hidden_HW)
        if agreement < MIN_AGREEMENT:
            raise DatasetError(
                f"Picture {number} of seed {job.seed}: its silhouette agrees with its parameters "
                f"to {agreement:.3f} only. Please report this."
            )
    about = _about(job, shot, number) | {"prompt": prompt, "agreement": round(agreement, 4)}
    hidden = signals.mask_HW & ~visible
    return [
        (f"{number:08d}", _parts(job, rgb, parameters, signals, hidden, about)),
    ]


def decode(key: str, parts: Mapping[str, bytes]) -> GenzooSample:
    """What `make_samples` wrote.

    Raises:
        DatasetError: naming the sample and the part that is missing or wrong.
    """
    try:
        rgb = np.asarray(Image.open(io.BytesIO(parts["jpg"])).convert("RGB"))
        about = json.loads(parts["json"])
        with np.load(io.BytesIO(parts["npz"]), allow_pickle=False) as arrays:  # noqa: TID251
            table = {name: arrays[name].astype(np.float32) for name in arrays.files}
        parameters = _parameters(table)
        keypoints, box = table["keypoints_2d"], table["boxes"]
    except KeyError as error:
        raise DatasetError(f"Sample {key}: part {error} is missing.") from None
    # numpy and zipfile raise these, and more, for data that is cut off or of another kind.
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DatasetError(f"Sample {key}: not readable ({str(error)[:100]}).") from None
    if keypoints.shape != (len(schema.KEYPOINT_NAMES), 3) or box.shape != (4,):
        raise DatasetError(f"Sample {key}: keypoints {keypoints.shape}, box {box.shape}.")
    if rgb.shape[0] != rgb.shape[1] or max(rgb.shape) > MAX_SIDE:
        raise DatasetError(f"Sample {key}: a picture of {rgb.shape}; it must be square.")
    if not all(np.isfinite(array).all() for array in table.values()):
        raise DatasetError(f"Sample {key}: holds values that aren't finite.")
    return GenzooSample(rgb, parameters, keypoints, box, about)


def _parameters(table: Mapping[str, NDArray[np.float32]]) -> Parameters:
    poses = table["poses"]
    if poses.shape != (schema.JOINT_COUNT, 3, 3) or table["transls"].shape != (3,):
        raise ValueError(f"poses {poses.shape}, transls {table['transls'].shape}")
    return Parameters(table["betas"], poses, table["transls"], float(table["fovs"]))


def _prompt(job: GenzooJob, shot: Shot, signals: Signals) -> str:
    prompt = template_prompt(shot)
    return _describer(job.vlm, job.llm)(signals.normals_HW3, prompt) if job.vlm else prompt


@lru_cache(maxsize=1)
def _describer(vlm: str, llm: str) -> Describer:
    return load_describer(vlm, llm)


def _generated(job: GenzooJob, signals: Signals, prompt: str, number: int):
    from lerf_wild.synth.flux_engine import edge_agreement, load_flux

    rgb = load_flux(job.flux)(signals, prompt, seed=job.seed * 1_000_003 + number)
    # Only what the picture's own edges say is known of a generated silhouette.
    return rgb, signals.mask_HW, edge_agreement(rgb, signals.mask_HW)


def _about(job: GenzooJob, shot: Shot, number: int) -> dict[str, Any]:
    animal = shot.animal
    return {
        "number": number,
        "seed": job.seed,
        "engine": job.engine,
        "species": animal.species.name,
        "scientific": animal.species.scientific,
        "action": animal.action,
        "height_m": round(float(animal.species.height_m or 0.0), 3),
        "metres_per_unit": round(animal.metres_per_unit, 6),
        "coat": animal.coat.pattern,
        "camera": shot.camera_kind,
        "ground": shot.ground,
    }


def _parts(
    job: GenzooJob,
    rgb: NDArray[np.uint8],
    parameters: Parameters,
    signals: Signals,
    hidden: NDArray[np.bool_],
    about: Mapping[str, Any],
) -> dict[str, bytes]:
    posed = parameters.posed(load_quadruped().model)
    points = posed.keypoints.numpy()
    arrays = {
        "betas": parameters.betas_K,
        "poses": parameters.rotations_J33,
        "transls": parameters.translation_3,
        "fovs": np.float32(parameters.fov_rad),
        "keypoints_2d": keypoint_table(points, parameters, signals, hidden),
        "keypoints_3d": points,
        "boxes": _box(parameters.project(posed.vertices.numpy())),
        "seen": np.float32(1.0 - hidden.sum() / max(int(signals.mask_HW.sum()), 1)),
    }
    if about["camera"] == "weak":
        arrays |= _weak_camera(parameters, posed.joints[0].numpy())
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    parts = {
        "jpg": _encoded(rgb, "JPEG", quality=JPEG_QUALITY),
        "npz": stream.getvalue(),
        "json": json.dumps(about, sort_keys=True).encode(),
    }
    if job.signals:
        mask = np.where(signals.mask_HW, np.where(hidden, 128, 255), 0).astype(np.uint8)
        pictures = {"normals": signals.normals_HW3, "depth": signals.depth_HW}
        pictures |= {"canny": signals.canny_HW, "mask": mask}
        parts |= {f"{n}.png": _encoded(p, "PNG", compress_level=1) for n, p in pictures.items()}
    return parts


def _box(spots_V2: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate([spots_V2.min(axis=0), spots_V2.max(axis=0)])


def _weak_camera(parameters: Parameters, root_3: NDArray[np.float32]) -> dict[str, np.float32]:
    """Scale and shift with x in the picture = scale * X + tx, for X in camera axes, model units."""
    scale = 1.0 / (np.tan(0.5 * parameters.fov_rad) * root_3[2])
    shift = scale * parameters.translation_3
    return {
        "scales": np.float32(scale),
        "txs": np.float32(shift[0]),
        "tys": np.float32(shift[1]),
    }


def _encoded(array: NDArray[np.uint8], kind: str, **options: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format=kind, **options)
    return stream.getvalue()
