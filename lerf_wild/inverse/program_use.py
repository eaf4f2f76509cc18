"""A reader with its library, ready for photos and for measuring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lerf_wild.assets.library import Library, open_library
from lerf_wild.assets.recipes import STARTERS
from lerf_wild.inverse.detections import Detection
from lerf_wild.inverse.program_detector import ground_embeddings
from lerf_wild.inverse.program_evaluation import read_samples
from lerf_wild.inverse.program_given import read_given
from lerf_wild.inverse.program_inference import Reading, read_pictures
from lerf_wild.inverse.program_library import joined_templates
from lerf_wild.inverse.program_reader import ProgramReader
from lerf_wild.inverse.program_refine import refine
from lerf_wild.inverse.program_samples import Sample
from lerf_wild.inverse.program_scale import rescaled
from lerf_wild.inverse.program_templates import Templates, library_templates
from lerf_wild.inverse.program_weights import (
    BUNDLED,
    READER,
    TEMPLATES,
    load_reader,
    load_templates,
)
from lerf_wild.render.scene_program import finder
from lerf_wild.storage.hashes import file_sha256


@dataclass(frozen=True)
class OpenReader:
    """A reader, the templates it looks assets up in, and its threshold."""

    model: ProgramReader
    templates: Templates
    ground_GD: Tensor
    threshold: float
    library: Library
    """Whose assets the templates show."""
    key: str
    """Hash of the weights."""

    def read(
        self,
        photo: NDArray[np.uint8],
        fov_deg: float,
        threshold: float | None = None,
        camera_height_m: float | None = None,
        refined: bool = False,
    ) -> Reading:
        """Read one picture of 256 x 256 pixels; a known camera height sets the scale."""
        rgb = torch.from_numpy(np.ascontiguousarray(np.moveaxis(photo, 2, 0)))[None]
        limit = self.threshold if threshold is None else threshold
        reading = read_pictures(self.model, rgb, self.templates, self.ground_GD, fov_deg, limit)[0]
        reading = self.refined(reading, photo) if refined else reading
        if camera_height_m is not None:
            reading = replace(reading, program=rescaled(reading.program, camera_height_m))
        return reading

    def readings(self, samples: Sequence[Sample], yaws: int) -> list[Reading]:
        """Read samples of one field of view, with some templates an asset."""
        templates = self.templates.fewer(yaws)
        return read_samples(self.model, samples, templates, self.ground_GD, self.threshold)

    def read_animals(
        self,
        photo_HW3: NDArray[np.uint8],
        animals: Sequence[Detection],
        fov_deg: float,
        threshold: float | None = None,
    ) -> Reading:
        """Read a wide photo of 256 pixels of height whose animals a detector has found."""
        size = torch.tensor([photo_HW3.shape[1], photo_HW3.shape[0]] * 2, dtype=torch.float32)
        return read_given(
            self.model,
            photo_HW3,
            torch.tensor([animal.box_4 for animal in animals]) * size,
            torch.tensor([animal.confidence for animal in animals]),
            self.templates,
            self.ground_GD,
            fov_deg,
            self.threshold if threshold is None else threshold,
        )

    def refined(self, reading: Reading, photo: NDArray[np.uint8]) -> Reading:
        """The reading made to agree with its picture by rendering and comparing."""
        program = refine(reading.program, photo, finder(self.library))
        return replace(reading, program=program)


def open_reader(folder: Path | None = None, library: Library | None = None) -> OpenReader:
    """The bundled reader, or that of a run, which knows whatever was added to a library.

    Args:
        folder: A run's folder; templates are made where it has none.
        library: Whose added assets are looked up besides; the user's when None.

    Raises:
        ModelFileError: when a file is missing or broken.
        AssetError: when an added asset can't be read.
    """
    place = BUNDLED if folder is None else folder
    model, _, threshold = load_reader(place / READER)
    if (place / TEMPLATES).is_file():
        templates = load_templates(place / TEMPLATES)
    else:
        templates = library_templates(model.crops, tuple(STARTERS))
    library = open_library() if library is None else library
    key = file_sha256(place / READER)
    templates = joined_templates(templates, library, model.crops, key)
    return OpenReader(model, templates, ground_embeddings(), threshold, library, key)
