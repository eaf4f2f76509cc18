"""Readers of labelled views: where in a picture a phrase is true.

Three formats: labelme rectangles and polygons as LERF (`{i}_rgb.json`) and our habitats write them,
the LERF-OVS labels of LangSplat, and the scene.json with which a habitat states its truth.

K boxes of a phrase, x0 y0 x1 y1 in pixels, x right and y down.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int
from PIL import Image, ImageDraw

from lerf_wild.errors import DatasetError
from lerf_wild.storage.json_files import read_json

MAX_SIDE_PX = 20_000
"""Largest image side that a label file may claim."""


@dataclass(frozen=True)
class Region:
    """Where one phrase is true in one view."""

    boxes_K4: Float[np.ndarray, "K 4"]
    polygons: tuple[Float[np.ndarray, "V 2"], ...]
    """Outlines; a rectangle contributes its four corners."""
    instances: tuple[int, ...] = ()
    """Ids of the objects, where the file gives them."""


@dataclass(frozen=True)
class ViewLabels:
    """All labelled phrases of one view."""

    name: str
    """File name of the labels without .json."""
    image_name: str
    """File name of the labelled picture as the file states it, without folders."""
    height: int
    width: int
    regions: Mapping[str, Region]
    """Per phrase, in the order of the file."""

    @property
    def index(self) -> int | None:
        """The number in the name: LERF's `3_rgb` labels view 3 of its keyframes.json."""
        digits = re.search(r"\d+", self.name)
        return None if digits is None else int(digits.group())

    def mask(self, phrase: str) -> Bool[np.ndarray, "H W"]:
        """Returns the pixels inside any outline of the phrase, borders included."""
        image = Image.new("L", (self.width, self.height))
        draw = ImageDraw.Draw(image)
        for polygon in self.regions[phrase].polygons:
            # Whole pixels, cut off as the LERF-OVS evaluation does.
            draw.polygon([(int(x), int(y)) for x, y in polygon], fill=1, outline=1)
        return np.asarray(image, dtype=bool)


@dataclass(frozen=True)
class SceneInstance:
    """One object of a habitat."""

    id: int
    phrases: tuple[str, ...]
    """Names that are true of it, the most specific first."""
    position_m: tuple[float, float, float]
    height_m: float


@dataclass(frozen=True)
class SceneTruth:
    """What is and what is not in a habitat."""

    instances: tuple[SceneInstance, ...]
    present: tuple[str, ...]
    absent: tuple[str, ...]

    def mask(self, ids_HW: Int[np.ndarray, "H W"], phrase: str) -> Bool[np.ndarray, "H W"]:
        """Returns the pixels of an instance picture that show something the phrase is true of."""
        ids = [instance.id for instance in self.instances if phrase in instance.phrases]
        return np.isin(ids_HW, ids)


@dataclass
class _Collected:
    boxes: list[list[float]] = field(default_factory=list)
    polygons: list[np.ndarray] = field(default_factory=list)
    instances: list[int] = field(default_factory=list)

    def region(self) -> Region:
        boxes = np.asarray(self.boxes, dtype=np.float64).reshape(-1, 4)
        return Region(boxes, tuple(self.polygons), tuple(dict.fromkeys(self.instances)))


def read_labels(path: Path | str) -> tuple[ViewLabels, ...]:
    """Reads one label file, or all of a folder in natural order, in either format.

    Raises DatasetError when there is none, and InputError or DatasetError for a wrong one.
    """
    path = Path(path)
    files = sorted(path.glob("*.json"), key=_natural) if path.is_dir() else [path]
    views = tuple(view for view in map(_read_view, files) if view is not None)
    if not views:
        raise DatasetError(
            f"{path}: no label files here. Expected labelme .json files with shapes, or LERF-OVS "
            "ones with objects."
        )
    return views


def read_labelme(path: Path | str) -> ViewLabels:
    """Reads a labelme file of rectangles and polygons; raises InputError for a wrong one."""
    return _labelme(Path(path), _object(Path(path)))


def read_lerf_ovs(path: Path | str) -> ViewLabels:
    """Reads a LERF-OVS file of segmented objects; raises InputError for a wrong one."""
    return _lerf_ovs(Path(path), _object(Path(path)))


def read_scene_truth(path: Path | str) -> SceneTruth:
    """Reads a habitat's scene.json; raises InputError for a wrong one."""
    path = Path(path)
    content = _object(path)
    try:
        instances = tuple(_instance(item) for item in content["instances"])
        present, absent = (tuple(map(str, content[key])) for key in ("present", "absent"))
    except (KeyError, TypeError, ValueError) as error:
        raise _wrong(path, "a habitat's scene.json", error) from None
    return SceneTruth(instances, present, absent)


def read_instances(path: Path | str) -> Int[np.ndarray, "H W"]:
    """Reads a 16-bit picture of instance ids, 0 where there is none, as int32.

    Raises DatasetError when it is missing or not such a picture.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("I;16", "I;16B", "I", "L"):
                raise DatasetError(f"{path}: expected one 16-bit channel, found {image.mode}.")
            return np.asarray(image).astype(np.int32)
    except DatasetError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path}: not a readable instance picture ({error}).") from None


def _read_view(path: Path) -> ViewLabels | None:
    content = _object(path)
    if "shapes" in content:
        return _labelme(path, content)
    if "objects" in content:
        return _lerf_ovs(path, content)
    # Folders of labels also hold files such as keyframes.json.
    return None


def _labelme(path: Path, content: Mapping[str, object]) -> ViewLabels:
    found: dict[str, _Collected] = {}
    try:
        height, width = _size(content["imageHeight"], content["imageWidth"])
        for shape in content["shapes"]:
            outline = _outline(shape["points"], is_rectangle=shape.get("shape_type") != "polygon")
            entry = found.setdefault(str(shape["label"]).strip(), _Collected())
            entry.polygons.append(outline)
            entry.boxes.append([*outline.min(0), *outline.max(0)])
            if shape.get("instance") is not None:
                entry.instances.append(int(shape["instance"]))
        image_name = _base_name(content.get("imagePath") or f"{path.stem}.png")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _wrong(path, "a labelme file", error) from None
    return _view(path, image_name, height, width, found)


def _lerf_ovs(path: Path, content: Mapping[str, object]) -> ViewLabels:
    found: dict[str, _Collected] = {}
    try:
        info = content["info"]
        height, width = _size(info["height"], info["width"])
        for item in content["objects"]:
            entry = found.setdefault(str(item["category"]).strip(), _Collected())
            entry.polygons.append(_outline(item["segmentation"], is_rectangle=False))
            x0, y0, x1, y1 = (float(value) for value in np.ravel(item["bbox"]))
            entry.boxes.append([min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)])
        image_name = _base_name(info["name"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _wrong(path, "a LERF-OVS label file", error) from None
    return _view(path, image_name, height, width, found)


def _view(
    path: Path, image_name: str, height: int, width: int, found: Mapping[str, _Collected]
) -> ViewLabels:
    regions = {phrase: collected.region() for phrase, collected in found.items()}
    return ViewLabels(path.stem, image_name, height, width, regions)


def _outline(points: Sequence[Sequence[float]], is_rectangle: bool) -> Float[np.ndarray, "V 2"]:
    outline = np.asarray(points, dtype=np.float64)
    if outline.ndim != 2 or outline.shape[1] != 2 or len(outline) < (2 if is_rectangle else 3):
        raise ValueError(f"an outline of shape {list(outline.shape)}")
    if not is_rectangle:
        return outline
    (x0, y0), (x1, y1) = outline.min(0), outline.max(0)
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def _size(height: object, width: object) -> tuple[int, int]:
    height, width = int(height), int(width)
    if not (1 <= height <= MAX_SIDE_PX and 1 <= width <= MAX_SIDE_PX):
        raise ValueError(f"an image of {width}x{height} pixels")
    return height, width


def _instance(item: Mapping[str, object]) -> SceneInstance:
    x, y, z = (float(value) for value in item["position_m"])
    phrases = tuple(map(str, item["phrases"]))
    return SceneInstance(int(item["id"]), phrases, (x, y, z), float(item["height_m"]))


def _object(path: Path) -> Mapping[str, object]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise DatasetError(f"{path}: expected a JSON object, found {type(content).__name__}.")
    return content


def _base_name(name: object) -> str:
    return re.split(r"[\\/]", str(name))[-1]


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    # 2_rgb comes before 10_rgb.
    parts = re.split(r"(\d+)", path.stem)
    return [(not p.isdigit(), int(p) if p.isdigit() else 0, p) for p in parts]


def _wrong(path: Path, expected: str, error: Exception) -> DatasetError:
    problem = f"{error} is missing" if isinstance(error, KeyError) else str(error)
    return DatasetError(f"{path}: not {expected} ({problem[:160]}).")
