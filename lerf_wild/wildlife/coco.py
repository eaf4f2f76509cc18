"""Views with items as COCO annotations: masks, boxes and keypoints.

Symbols: H, W rows and columns of a picture, P keypoints. Masks are run lengths over columns, as
COCO has them; boxes are x, y, width, height in pixels; a keypoint's last number is 2 where it is
seen, 1 where something hides it and 0 outside of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from lerf_wild.wildlife.items import Item
from lerf_wild.wildlife.looks import Look

SEEN_WITHIN_M = 0.12
"""A keypoint is seen when what its pixel shows is no further before it than this."""
MIN_PIXELS = 12


@dataclass
class CocoFile:
    """A growing set of annotations."""

    images: list[dict[str, object]] = field(default_factory=list)
    annotations: list[dict[str, object]] = field(default_factory=list)
    categories: dict[str, dict[str, object]] = field(default_factory=dict)

    def add_image(self, name: str, width: int, height: int) -> int:
        """Adds a picture and returns its number."""
        number = len(self.images) + 1
        self.images.append({"id": number, "file_name": name, "width": width, "height": height})
        return number

    def add_item(
        self,
        image: int,
        item: Item,
        look: Look,
        mask_HW: Bool[np.ndarray, "H W"],
        keypoints_P3: Float[np.ndarray, "P 3"],
    ) -> None:
        """Adds an item that a picture shows; one of hardly any pixels is left out.

        Args:
            image: Number of the picture.
            item: The item.
            look: Its look.
            mask_HW: Where it shows.
            keypoints_P3: Pixel positions and visibility of its keypoints.
        """
        if int(mask_HW.sum()) < MIN_PIXELS:
            return
        entry: dict[str, object] = {
            "id": len(self.annotations) + 1,
            "image_id": image,
            "category_id": self._category(item, look),
            "segmentation": run_lengths(mask_HW),
            "area": int(mask_HW.sum()),
            "bbox": box_of(mask_HW),
            "iscrowd": 0,
            "attributes": {"item": item.id, "what": item.what, "height_m": item.height_m},
        }
        if len(keypoints_P3):
            entry["keypoints"] = [round(float(value), 2) for value in keypoints_P3.ravel()]
            entry["num_keypoints"] = int((keypoints_P3[:, 2] > 0).sum())
        self.annotations.append(entry)

    def content(self) -> dict[str, object]:
        """The file's content."""
        return {
            "info": {"description": "Items placed in a captured scene by lerf-wild"},
            "images": self.images,
            "annotations": self.annotations,
            "categories": list(self.categories.values()),
        }

    def _category(self, item: Item, look: Look) -> int:
        name = item.phrases[0] if item.phrases else item.what
        if name not in self.categories:
            entry: dict[str, object] = {"id": len(self.categories) + 1, "name": name}
            if look.keypoint_names:
                entry |= {"keypoints": list(look.keypoint_names), "skeleton": []}
            self.categories[name] = entry
        return int(self.categories[name]["id"])  # type: ignore[call-overload]


def run_lengths(mask_HW: Bool[np.ndarray, "H W"]) -> dict[str, object]:
    """A mask as COCO's uncompressed run lengths: zeros first, column by column."""
    flat = np.asarray(mask_HW, bool).ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff(np.concatenate([[0], edges, [len(flat)]])).tolist()
    counts = [0, *lengths] if len(flat) and flat[0] else lengths
    return {"size": list(mask_HW.shape), "counts": counts}


def mask_of(lengths: dict[str, object]) -> Bool[np.ndarray, "H W"]:
    """The mask that run lengths write."""
    counts: Sequence[int] = lengths["counts"]  # type: ignore[assignment]
    values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return values.reshape(lengths["size"], order="F")  # type: ignore[arg-type]


def box_of(mask_HW: Bool[np.ndarray, "H W"]) -> list[int]:
    """The box around a mask that is not empty."""
    rows, columns = np.nonzero(mask_HW)
    left, top = int(columns.min()), int(rows.min())
    return [left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top]


def seen_keypoints(
    pixels_P2: Float[np.ndarray, "P 2"],
    distance_P: Float[np.ndarray, "P"],
    shown_m_HW: Float[np.ndarray, "H W"],
) -> Float[np.ndarray, "P 3"]:
    """Keypoints with their visibility.

    Args:
        pixels_P2: Columns and rows; NaN behind the camera.
        distance_P: Metres from the camera.
        shown_m_HW: Metres from the camera to what each pixel shows.
    """
    height, width = shown_m_HW.shape
    inside = np.isfinite(pixels_P2).all(axis=1)
    inside &= (np.nan_to_num(pixels_P2) >= 0).all(axis=1)
    inside &= (np.nan_to_num(pixels_P2) < [width, height]).all(axis=1)
    found = np.zeros((len(pixels_P2), 3))
    columns, rows = np.floor(pixels_P2[inside]).astype(int).T
    is_seen = shown_m_HW[rows, columns] > distance_P[inside] - SEEN_WITHIN_M
    found[inside] = np.column_stack([pixels_P2[inside], 1 + is_seen])
    return found
