"""From words to betas: the trained flow with its encoder, and a species' range of looks.

Symbols: B animals, K betas, C dimensions of a text embedding. A species is a Gaussian over the
embeddings of 128 descriptions of its appearance, as in GenZoo; a draw from it, brought back to
length one, goes through the flow with noise, and is drawn again while a beta is beyond ``LIMIT``.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lerf_wild.animals.body import BodyModel
from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.animals.species import Species
from lerf_wild.animals.words.encoder import encoder_from
from lerf_wild.animals.words.flow import ConditionalFlow, flow_from
from lerf_wild.animals.words.phrases import appearances
from lerf_wild.errors import InputError, ModelFileError
from lerf_wild.language.encoders import l2_normalise
from lerf_wild.storage.atomic import write_bytes

FORMAT = "lerf-wild shape flow 1"
NAME = "shape_flow.safetensors"
BUNDLED = Path(__file__).parents[2] / "weights" / "shape_flow" / NAME
LIMIT = 10.0
"""Betas beyond this are drawn again, and after ``TRIES`` clipped, as GenZoo does."""
TRIES = 10


class TextEncoder(Protocol):
    """What a flow needs of an encoder."""

    dim: int

    def encode_text(self, texts: list[str]) -> Tensor:
        """Unit embeddings (B, C)."""


@dataclass(frozen=True)
class SpeciesRange:
    """Mean (C,) and a square root (C, 128) of the covariance of a species' descriptions."""

    mean_C: Tensor
    root_CN: Tensor

    def draw(self, count: int, rng: np.random.Generator) -> Tensor:
        """Unit embeddings (count, C)."""
        noise = torch.from_numpy(rng.normal(size=(count, self.root_CN.shape[1]))).float()
        return l2_normalise(self.mean_C + noise @ self.root_CN.T)


@dataclass(frozen=True)
class ShapeFlow:
    """A flow, the encoder that it was trained with, and the body that its betas are of."""

    flow: ConditionalFlow
    encoder: TextEncoder
    model: BodyModel
    encoder_name: str = "words"

    def betas_of(
        self, words: str, rng: np.random.Generator | None = None, spread: float = 1.0
    ) -> Tensor:
        """Betas (K,) of a description; the likeliest without a generator, else an individual."""
        condition = self.encoder.encode_text([words]).cpu()
        return self._shapes(condition, rng, spread)[0]

    def likeliest(self, phrases: Sequence[str]) -> Tensor:
        """Betas (B, K) of phrases, without noise."""
        return self._shapes(self.encoder.encode_text(list(phrases)).cpu(), None, 0.0)

    def species_range(self, species: Species, seed: int = 0) -> SpeciesRange:
        """The Gaussian of a species over its descriptions' embeddings."""
        texts = appearances(species, np.random.default_rng([seed, len(species.name)]))
        found = self.encoder.encode_text(texts).cpu().double()
        mean = found.mean(0)
        root = (found - mean).T / (len(texts) - 1) ** 0.5
        return SpeciesRange(mean.float(), root.float())

    def draw(
        self, kind: SpeciesRange, count: int, rng: np.random.Generator, spread: float = 1.0
    ) -> Tensor:
        """Betas (count, K) of individuals of a species."""
        return self._shapes(kind.draw(count, rng), rng, spread)

    @torch.no_grad()
    def _shapes(self, condition: Tensor, rng: np.random.Generator | None, spread: float) -> Tensor:
        shape = (len(condition), self.flow.betas)
        if rng is None:
            return self.flow.shapes(torch.zeros(shape), condition).clamp(-LIMIT, LIMIT)
        betas = torch.full(shape, torch.inf)
        for _ in range(TRIES):
            far = betas.abs().amax(-1) > LIMIT
            noise = torch.from_numpy(spread * rng.normal(size=(int(far.sum()), shape[1]))).float()
            betas[far] = self.flow.shapes(noise, condition[far])
        return betas.clamp(-LIMIT, LIMIT)


def resolve_text_encoder(name: str) -> TextEncoder:
    """wild-clip or an open_clip model, as other commands name them."""
    from lerf_wild.language.registry import resolve_encoder

    return resolve_encoder(name, "cpu")


def write_shape_flow(folder: Path | str, shapes: ShapeFlow) -> None:
    """Writes a flow, and its encoder where it is the small one, as shape_flow.safetensors."""
    from safetensors.torch import save

    tensors = {f"flow.{name}": value for name, value in shapes.flow.state_dict().items()}
    if shapes.encoder_name == "words":
        state = shapes.encoder.state_dict()
        tensors |= {f"encoder.{name}": value for name, value in state.items()}
    tensors = {name: _small(value) for name, value in tensors.items()}
    metadata = {"format": FORMAT, "encoder": shapes.encoder_name, "body": shapes.model.sha256}
    write_bytes(Path(folder) / NAME, save(tensors, metadata))


def read_shape_flow(path: Path | str, model: BodyModel) -> ShapeFlow:
    """Reads a flow for the body that it was trained for.

    Raises:
        ModelFileError: the file is missing, damaged or something else.
        InputError: it was trained for another body.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}
    except (SafetensorError, OSError, ValueError) as error:
        reason = str(error).split("\n")[0][:100]
        raise ModelFileError(f"{path}: no readable flow of shapes ({reason}).") from None
    if metadata.get("format") != FORMAT:
        raise ModelFileError(
            f"{path}: holds no flow of shapes. Train one with "
            "`python -m lerf_wild.animals.words.training`."
        )
    if metadata.get("body") != model.sha256:
        raise InputError(
            f"{path}: was trained for another body model ({metadata.get('body', '')[:12]}, this "
            f"one is {model.sha256[:12]}); give that model, or train a flow for this one."
        )
    flow = flow_from(_under(tensors, "flow."), str(path))
    name = metadata.get("encoder", "words")
    own = name == "words"
    encoder = encoder_from(_under(tensors, "encoder.")) if own else resolve_text_encoder(name)
    return ShapeFlow(flow, encoder, model, name)


@functools.cache
def load_shape_flow() -> ShapeFlow:
    """The bundled flow of the bundled quadruped."""
    return read_shape_flow(BUNDLED, load_quadruped().model)


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}


def _small(value: Tensor) -> Tensor:
    return (value.half() if value.is_floating_point() else value).contiguous()
