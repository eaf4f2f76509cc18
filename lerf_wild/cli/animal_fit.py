"""`lerf-wild animal fit`: an animal made to agree with keypoints and a mask of a photo."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro
from rich.console import Console

from lerf_wild.cli.progress import counting, say
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.errors import DatasetError, InputError

if TYPE_CHECKING:
    from torch import Tensor

    from lerf_wild.animals.body import BodyModel
    from lerf_wild.inverse.animal_photos import Photo

PhotoFile = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PHOTO")]


def animal_fit(
    photo: PhotoFile,
    output_dir: Path,
    keypoints: Path | None = None,
    mask: Path | None = None,
    box: tuple[float, float, float, float] | None = None,
    fov_deg: float | None = None,
    height_m: float | None = None,
    weights: Path | None = None,
    steps: int = 200,
    json_file: JsonFile = None,
) -> None:
    """Fits an animal to a photo, from where the regressor puts it; writes as `animal infer` does.

    Without keypoints those that the network sees are taken, which its own pose need not meet.

    Args:
        photo: The picture.
        output_dir: Folder for picture, GLB and JSON.
        keypoints: JSON of names -> [x, y] or [x, y, weight] in pixels; names as in `keypoints_px`
            of `animal infer`'s JSON, which may be edited and given back.
        mask: Picture of the photo's size, white where the animal is.
        box: Left, top, right, bottom in pixels.
        fov_deg: Field of view of the photo's longer side, where it is known.
        height_m: Height at the withers, which makes the GLB metric.
        weights: Weights of `ns-train genzoo`; the bundled ones when left out.
        steps: Steps of the optimiser.
        json_file: Where to write the figures as JSON.
    """
    from lerf_wild.cli.animal_infer import Options, boxes_of, check_options, write_animal
    from lerf_wild.inverse.animal_fitting import Evidence, FitSpec, fit
    from lerf_wild.inverse.animal_inference import Recovered, load_regressor, recover
    from lerf_wild.inverse.animal_photos import read_photo

    if not 1 <= steps <= 10_000:
        raise InputError(f"--steps {steps}: give 1 to 10,000.")
    options = Options(output_dir, None, 0.2, box, fov_deg, height_m)
    check_options(options, [photo])
    shown, regressor, console = read_photo(photo), load_regressor(weights), Console()
    fov = None if fov_deg is None else float(np.radians(fov_deg))
    start = recover(regressor, shown, boxes_of(shown, photo, options)[0], fov)
    points = _keypoints(keypoints, shown, regressor.model, start)
    evidence = Evidence(points, None if mask is None else _mask(mask, shown))
    with counting(console, "fit", steps + 1) as advance:
        fitted = fit(regressor.model, start.parameters, evidence, FitSpec(steps=steps), advance)
    found = Recovered(fitted.parameters, start.presence, start.points_Q2, start.box_4)
    write_animal(regressor, shown, found, options, photo.stem)
    figures = {
        "keypoint_error_px": fitted.keypoint_error * shown.side_px,
        "mask_iou": fitted.silhouette_iou,
        "loss_before": fitted.loss_before,
        "loss_after": fitted.loss_after,
    }
    say(console, _summary(output_dir / f"{photo.stem}.json", figures))
    write_report(json_file, figures)


def _keypoints(path: Path | None, photo: "Photo", model: "BodyModel", start: Any) -> "Tensor":
    """Rows (P, 3) of x, y (-1 to 1) and weight; those that a file does not name weigh nothing."""
    import torch

    from lerf_wild.storage.json_files import read_json

    count = len(model.keypoint_names)
    rows = np.zeros((count, 3), np.float32)
    if path is None:
        rows[:, :2], rows[:, 2] = start.points_Q2[:count], 1.0
        return torch.from_numpy(rows)
    content = read_json(path)
    given = content.get("keypoints_px", content) if isinstance(content, dict) else None
    unknown = set(given) - set(model.keypoint_names) if isinstance(given, dict) else {"it"}
    if unknown:
        raise DatasetError(
            f"{path}: {min(unknown)[:40]!r} is no keypoint. Give an object of name -> [x, y] with "
            f"names such as {', '.join(model.keypoint_names[:3])}."
        )
    for name, place in given.items():
        try:
            x, y, *weight = (float(value) for value in place)
        except (TypeError, ValueError):
            raise DatasetError(f"{path}: {name} is not [x, y] or [x, y, weight].") from None
        spot = photo.from_pixels(np.array([[x, y]]))[0]
        rows[model.keypoint_names.index(name)] = *spot, weight[0] if weight else 1.0
    return torch.from_numpy(rows)


def _mask(path: Path, photo: "Photo") -> Any:
    """A mask over the photo's square, at most 256 wide."""
    import cv2

    from lerf_wild.storage.image_files import read_mask

    mask = read_mask(path, upright=True)
    height, width = photo.rgb_HW3.shape[:2]
    if mask.shape != (height, width):
        raise DatasetError(
            f"{path}: {mask.shape[1]}x{mask.shape[0]} pixels, but the photo has {width}x{height}."
        )
    side = photo.side_px
    square = np.zeros((side, side), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = mask
    small = min(side, 256)
    return cv2.resize(square, (small, small), interpolation=cv2.INTER_AREA) > 0


def _summary(path: Path, figures: dict[str, float]) -> str:
    parts = [f"keypoints within {figures['keypoint_error_px']:.1f} px"]
    if np.isfinite(figures["mask_iou"]):
        parts.append(f"silhouette IoU {figures['mask_iou']:.3f}")
    return f"{path}: {', '.join(parts)}."
