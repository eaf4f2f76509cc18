"""RAW's own decoder, ready for measuring beside the reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lerf_wild.assets.library import Library
from lerf_wild.errors import SceneProgramError
from lerf_wild.inverse.program_baselines import place_in_picture
from lerf_wild.inverse.program_detector import SIZE, ground_embeddings
from lerf_wild.inverse.program_inference import DEFAULT_FOV_DEG, Reading
from lerf_wild.inverse.program_llama import LlamaReader, Written
from lerf_wild.inverse.program_llama_files import WRITER, load_writer
from lerf_wild.inverse.program_llama_lessons import Looks, without_numbers
from lerf_wild.inverse.program_llama_patches import Patches, open_patches
from lerf_wild.inverse.program_refine import refine
from lerf_wild.inverse.program_samples import Sample
from lerf_wild.inverse.program_templates import Templates
from lerf_wild.inverse.program_text import fill_slots
from lerf_wild.program.statements import KINDS
from lerf_wild.program.types import Program, SceneObject
from lerf_wild.render.scene_program import finder, focal_px
from lerf_wild.storage.hashes import file_sha256

MOST_NAMES = 5
MOST_TOKENS = 1200
"""A program of a dozen objects has about 900."""


@dataclass(frozen=True)
class OpenWriter:
    """A decoder, the frozen encoder before it, and what its looks stand for."""

    model: LlamaReader
    patches: Patches
    looks: Looks
    library: Library
    key: str
    """Hash of the weights."""

    @torch.no_grad()
    def readings(self, samples: Sequence[Sample], yaws: int) -> list[Reading | None]:
        """What is written of samples, looked up among some templates an asset; None where it
        doesn't parse."""
        looks = replace(self.looks, templates=self.looks.templates.fewer(yaws))
        rgb = torch.from_numpy(np.stack([np.moveaxis(sample.rgb, 2, 0) for sample in samples]))
        rows = zip(samples, self.patches(rgb), strict=True)
        return [self._reading(tokens, looks, _fov_deg(sample)) for sample, tokens in rows]

    def refined(self, reading: Reading, photo: NDArray[np.uint8]) -> Reading:
        """The reading made to agree with its picture by rendering and comparing."""
        program = refine(reading.program, photo, finder(self.library))
        return replace(reading, program=program)

    def _reading(self, patches_PV: Tensor, looks: Looks, fov_deg: float) -> Reading | None:
        written = self.model.write(patches_PV, MOST_TOKENS)
        try:
            return reading_of(self.model.tokens.decode(written.tokens), written, looks, fov_deg)
        except SceneProgramError:
            return None


def open_writer(folder: Path, library: Library, templates: Templates) -> OpenWriter:
    """The decoder of a training's folder.

    Raises:
        ModelFileError: when its weights are missing or broken.
        EncoderError: when its language model or image encoder can't be had.
    """
    model, sizes, assets = load_writer(folder / WRITER)
    looks = Looks(templates, ground_embeddings(), assets, sizes.by_number)
    patches = open_patches(sizes.encoder)
    return OpenWriter(model, patches, looks, library, file_sha256(folder / WRITER))


def reading_of(text: str, written: Written, looks: Looks, fov_deg: float) -> Reading:
    """The program of a text whose slots are filled and looked up.

    Raises:
        SceneProgramError: when the text doesn't parse.
    """
    open_text, numbers = without_numbers(text)
    if len(numbers) != text.count("add(") * looks.by_number:
        raise SceneProgramError("Objects have numbers and embeddings in turn.")
    program = fill_slots(open_text, written.clips_CA, written.rotations_R9)
    names = [(looks.named(number),) for number in numbers] or [
        looks.nearest(item.appearance, MOST_NAMES) for item in program.objects
    ]
    objects = [
        _looked_up(item, found, looks.templates) for item, found in zip(program.objects, names)
    ]
    settings = replace(program.settings, camera_fov_deg=fov_deg)
    program = Program(settings, tuple(objects))
    focal = focal_px(program, SIZE)
    boxes = [place_in_picture(item, focal) for item in objects]
    return Reading(
        program,
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        tuple(names),
        (0.0,) * len(objects),
    )


def _looked_up(item: SceneObject, names: Sequence[str], templates: Templates) -> SceneObject:
    kind = int(templates.kind_M[templates.names.index(names[0])])
    return replace(item, asset=names[0], kind=KINDS[kind])


def _fov_deg(sample: Sample) -> float:
    return sample.program.settings.camera_fov_deg or DEFAULT_FOV_DEG
