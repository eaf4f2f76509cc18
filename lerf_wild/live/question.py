"""A query and how its answer is shown, published to a renderer in one piece."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lerf_wild.errors import QueryError
from lerf_wild.language.relevancy import Query
from lerf_wild.live.colours import Colour, next_colour
from lerf_wild.live.painting import Look


@dataclass(frozen=True)
class Question:
    """What a renderer answers. Raises QueryError when its parts don't belong together."""

    query: Query
    look: Look
    sizes: tuple[float, ...] | None = None
    """Size at which each phrase is looked for, in nerf units; None lets each find its own."""

    def __post_init__(self) -> None:
        counts = {
            len(self.query.phrases),
            len(self.query.embeddings_PD),
            len(self.look.colours),
            len(self.look.weights),
        }
        if self.sizes is not None:
            counts.add(len(self.sizes))
        if len(counts) != 1 or len(self.query.canonical) != len(self.query.canonical_CD):
            raise QueryError("The phrases, their embeddings and their colours differ in number.")

    def to(self, device: torch.device | str) -> Question:
        """Returns the same question with its embeddings on another device."""
        return Question(self.query.to(device), self.look, self.sizes)


def plain_question(query: Query) -> Question:
    """Returns the question that a query on its own stands for, in the usual colours."""
    colours: list[Colour] = []
    for _ in query.phrases:
        colours.append(next_colour(colours))
    return Question(query, Look(tuple(colours), (1.0,) * len(colours)))
