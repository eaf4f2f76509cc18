"""Pictures and moving pictures of an animal, for `lerf-wild animal show`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lerf_wild.errors import ExportError
from lerf_wild.storage.atomic import write_bytes, writing

if TYPE_CHECKING:
    from lerf_wild.cli.animal import Shown

STILL, MOVING = (".png", ".jpg", ".jpeg"), (".gif", ".webp")


def pictures_of(shown: Shown, seed: int) -> list[NDArray[np.uint8]]:
    """A picture (H, W, 3) of each pose."""
    from lerf_wild.animals.coats import make_canvas, paint
    from lerf_wild.animals.portrait import View, portrait
    from lerf_wild.animals.subdivision import loop_refinement
    from lerf_wild.cli.animal import PLAIN_COLOUR

    posed = shown.model.pose(
        shown.betas, shown.pose.rotations.float(), shown.pose.translation.float()
    )
    bodies = posed.vertices.detach().numpy().reshape(-1, *posed.vertices.shape[-2:])
    if shown.coat is not None:
        canvas = make_canvas(1)
        faces, colours = canvas.faces_F3, paint(shown.coat, canvas, seed)
        skins = [canvas.refined(body) for body in bodies]
    else:
        step = loop_refinement(shown.model.faces_F3.numpy(), bodies.shape[1])
        faces, skins = step.faces_F3, [step.matrix @ body for body in bodies]
        colours = np.tile(np.float32(PLAIN_COLOUR), (len(skins[0]), 1))
    ends = np.concatenate(skins)
    view = View(samples=2 if len(skins) == 1 else 1)
    return [portrait(skin, faces, colours, view, (ends.min(0), ends.max(0))) for skin in skins]


def save_pictures(path: Path, pictures: Sequence[NDArray[np.uint8]], seconds: float) -> None:
    """Writes a still picture of the first, or all of them as a loop, atomically.

    Raises:
        ExportError: the name's ending is of no picture, or the file can't be written.
    """
    suffix, buffer = path.suffix.lower(), io.BytesIO()
    frames = [Image.fromarray(picture) for picture in pictures]
    if suffix in MOVING:
        duration = round(1000 * seconds / len(frames))
        frames[0].save(
            buffer,
            suffix[1:],
            save_all=True,
            append_images=frames[1:],
            duration=duration,
            loop=0,
            **({"quality": 70} if suffix == ".webp" else {}),
        )
    elif suffix in STILL:
        frames[0].save(buffer, "PNG" if suffix == ".png" else "JPEG")
    else:
        known = ", ".join((*STILL, *MOVING))
        raise ExportError(f"{path}: end the picture's name in one of {known}.")
    with writing(path):
        write_bytes(path, buffer.getvalue())
