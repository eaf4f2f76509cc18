"""Programs as tokens with open `[CLIP]` and `[ROT]` slots, as a language model writes them.

Symbols: T tokens, C `[CLIP]` slots, R `[ROT]` slots, A length of an embedding.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from lerf_wild.errors import SceneProgramError
from lerf_wild.program.parser import parse
from lerf_wild.program.printer import print_program
from lerf_wild.program.statements import GROUND, STATEMENTS
from lerf_wild.program.types import Embedding, Program, SceneObject

DIGITS = 3
"""Digits after the point in the text, as in the paper."""
CLIP_SLOT, ROTATION_SLOT = "[CLIP]", "[ROT]"
_PIECES = re.compile(r"\[CLIP\]|\[ROT\]|[a-z_]+|[0-9]|[^a-z0-9]")
_WORDS = ("add", "pixels", "loc", "height", "rotation", "appearance")


class Slots(NamedTuple):
    """A program as text and as the vectors of its slots, in the order of the text."""

    text: str
    clips_CA: Tensor
    rotations_R9: Tensor


class Tokens(Protocol):
    """What a language model's tokenizer must do."""

    clip: int
    rotation: int
    start: int
    end: int
    size: int

    def encode(self, text: str) -> list[int]:
        """Numbers of the tokens of a text."""

    def decode(self, numbers: Sequence[int]) -> str:
        """The text of tokens."""


@dataclass(frozen=True)
class GrammarTokens:
    """The grammar's own words, digits and marks: 35 tokens instead of a language's 32,000."""

    words: tuple[str, ...] = (
        *("<start>", "<end>", CLIP_SLOT, ROTATION_SLOT),
        *(s.name for s in STATEMENTS),
        *(GROUND, *_WORDS),
        *"0123456789.,-=() \n",
    )

    start, end, clip, rotation = 0, 1, 2, 3

    @property
    def size(self) -> int:
        """Number of tokens."""
        return len(self.words)

    def encode(self, text: str) -> list[int]:
        """Numbers of the tokens of a text.

        Raises:
            SceneProgramError: for a piece that the grammar lacks.
        """
        numbers = {word: i for i, word in enumerate(self.words)}
        pieces = _PIECES.findall(text)
        unknown = next((piece for piece in pieces if piece not in numbers), None)
        if unknown is not None:
            raise SceneProgramError(f"{unknown[:30]!r} is no token of the scene language.")
        return [numbers[piece] for piece in pieces]

    def decode(self, numbers: Sequence[int]) -> str:
        """The text of tokens; start and end are left out."""
        return "".join(self.words[n] for n in numbers if n > self.end)


def open_slots(program: Program, shuffle: np.random.Generator | None = None) -> Slots:
    """The text of a program with its vectors taken out; RAW shuffles the scene's statements.

    Raises:
        SceneProgramError: when an embedding or rotation is missing.
    """
    bare = replace(
        program,
        settings=replace(
            program.settings, ground_name=None, camera_height_m=None, camera_fov_deg=None
        ),
        objects=tuple(
            SceneObject(o.pixels, o.loc_m, o.height_m, o.rotation_9, o.appearance)
            for o in program.objects
        ),
    )
    vectors = [program.settings.ground, *(o.appearance for o in program.objects)]
    rotations = [o.rotation_9 for o in program.objects]
    if None in vectors or None in rotations:
        raise SceneProgramError("A program to learn from needs all its embeddings and rotations.")
    lines = print_program(bare, DIGITS, with_values=False, header=False).splitlines()
    scene, objects = lines[: len(STATEMENTS) + 1], lines[len(STATEMENTS) + 1 :]
    if shuffle is not None:
        scene = [scene[i] for i in shuffle.permutation(len(scene))]
    return Slots(
        "\n".join([*scene, *objects]),
        torch.tensor(np.stack([v.numpy() for v in vectors])),
        torch.tensor(np.array(rotations, np.float32)).reshape(-1, 9),
    )


def fill_slots(text: str, clips_CA: Tensor, rotations_R9: Tensor) -> Program:
    """The program of a text whose slots are filled in the order of the text.

    Raises:
        SceneProgramError: when the text doesn't parse.
    """
    program = parse(text)
    clips = [Embedding.of(row.float().cpu().numpy()) for row in clips_CA]
    rotations = [tuple(float(x) for x in row) for row in rotations_R9]
    settings = program.settings
    if GROUND in text and clips:
        settings = replace(settings, ground=clips.pop(0))
    objects = [
        replace(
            item,
            appearance=clips[i] if i < len(clips) else None,
            rotation_9=rotations[i] if i < len(rotations) else None,
        )
        for i, item in enumerate(program.objects)
    ]
    return Program(settings, tuple(objects))
