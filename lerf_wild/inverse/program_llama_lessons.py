"""What RAW's own decoder writes: programs as text.

An object's look is a vector, the embedding of its asset's template at the nearest yaw, or in RAW's
baseline a number: that of asset and yaw in a random order, written digit by digit.

Symbols: M assets, Y yaws, A length of an embedding, G grounds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lerf_wild.errors import DatasetError
from lerf_wild.inverse.program_crops import EMBEDDING
from lerf_wild.inverse.program_decoder import DIGITS
from lerf_wild.inverse.program_numbers import YAWS, number_order
from lerf_wild.inverse.program_templates import LOOK, Templates
from lerf_wild.inverse.program_text import Slots, open_slots
from lerf_wild.program.frames import seen_yaw, yaw_of
from lerf_wild.program.types import Embedding, Program, SceneObject
from lerf_wild.synth.grounds import GROUNDS

_OPEN = "appearance=[CLIP]"
_NUMBER = re.compile(r"appearance=([0-9]{1,9})(?![0-9.])")


@dataclass(frozen=True)
class Looks:
    """What stands in a program for how things look."""

    templates: Templates
    ground_GD: Tensor
    assets: tuple[str, ...] = ()
    """Assets of the training, which numbers can name."""
    by_number: bool = False

    def lesson(self, program: Program) -> Slots:
        """A drawn program as text and vectors.

        Raises:
            DatasetError: when an object's asset has no template, or no number.
        """
        name = program.settings.ground_name
        if name not in GROUNDS:
            raise DatasetError(f"The ground {name!r} is none of the painted ones.")
        ground = Embedding.of(self.ground_GD[GROUNDS.index(name)].numpy())
        objects = tuple(
            replace(item, appearance=self._embedding(item, program)) for item in program.objects
        )
        settings = replace(program.settings, ground=ground)
        slots = open_slots(Program(settings, objects))
        if not self.by_number:
            return slots
        numbers = [self.number(item, program) for item in program.objects]
        return Slots(with_numbers(slots.text, numbers), slots.clips_CA[:1], slots.rotations_R9)

    def number(self, item: SceneObject, program: Program) -> int:
        """The number of an object's asset at the nearest of 72 yaws."""
        if item.asset not in self.assets:
            raise DatasetError(f"Asset {item.asset!r} has no number; write data of starters alone.")
        step = round(_seen_yaw(item, program) / (2 * np.pi) * YAWS) % YAWS
        order = number_order(len(self.assets))
        return int(order[self.assets.index(item.asset) * YAWS + step])

    def named(self, number: int) -> str:
        """The asset of a number; of one that stands for nothing, that of its remainder."""
        places = number_order(len(self.assets)).argsort()
        return self.assets[int(places[number % len(places)]) // YAWS]

    def nearest(self, look: Embedding, most: int) -> tuple[str, ...]:
        """Assets whose likeliest template is most like an embedding, the likeliest first."""
        unit = functional.normalize(torch.from_numpy(look.numpy().copy()), dim=0)
        cosine_M = (self._template_MYA() @ unit).amax(dim=1)
        return tuple(self.templates.names[i] for i in cosine_M.argsort(descending=True)[:most])

    def _embedding(self, item: SceneObject, program: Program) -> Embedding:
        if item.asset not in self.templates.names:
            raise DatasetError(
                f"Asset {item.asset!r} has no template; write data of starters alone."
            )
        own_YA = self._template_MYA()[self.templates.names.index(item.asset)]
        step = round(_seen_yaw(item, program) / (2 * np.pi) * len(own_YA)) % len(own_YA)
        return Embedding.of(own_YA[step].numpy())

    def _template_MYA(self) -> Tensor:
        """wild-clip's vectors of all templates."""
        return self.templates.embedding_MYA[..., EMBEDDING:LOOK].float()


def with_numbers(text: str, numbers: Sequence[int]) -> str:
    """A program's text with a number in each object's `[CLIP]` slot."""
    first, *rest = text.split(_OPEN)
    pairs = zip(numbers, rest, strict=True)
    return first + "".join(f"appearance={number:0{DIGITS}d}{part}" for number, part in pairs)


def without_numbers(text: str) -> tuple[str, list[int]]:
    """The text with its slots open again, and the numbers that stood there."""
    return _NUMBER.sub(_OPEN, text), [int(digits) for digits in _NUMBER.findall(text)]


def _seen_yaw(item: SceneObject, program: Program) -> float:
    pitch = program.settings.camera_pitch_deg
    return seen_yaw(yaw_of(item.rotation_33, pitch), item.loc_m, pitch)
