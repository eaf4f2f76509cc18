"""Trains the flow from words to shapes: `python -m lerf_wild.animals.words.training --help`.

With the bundled body and encoder: pairs of `lerf_wild.animals.words.pairs`. The encoder is fitted
first, by regression of betas and proportions; the flow then by likelihood, with the encoder as it
is. With another body and CLIP, as AWOL does it: a list of names and their betas (`--named-betas`).

Symbols: N pairs, K betas, C dimensions of a text embedding.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lerf_wild.animals.species import species_named
from lerf_wild.animals.words.encoder import WordEncoder, hashed
from lerf_wild.animals.words.flow import ConditionalFlow
from lerf_wild.animals.words.named import read_named_betas
from lerf_wild.animals.words.pairs import ANY_KIND, Pairs, Recipe, read_pairs
from lerf_wild.animals.words.phrases import appearances, phrase_of
from lerf_wild.animals.words.shapes import ShapeFlow, resolve_text_encoder, write_shape_flow
from lerf_wild.errors import InputError, TrainingError

WAYS = 8
"""Phrases of each recipe that training uses."""
BATCH = 96
INDIVIDUALS = 0.15
"""Spread of betas among animals that one phrase fits."""
POINT_WEIGHT = 4.0
"""Weight of AWOL's own loss, |flow(0) - betas|, beside the likelihood."""
HELD_OUT_SHARE = 0.15


def is_held_out(recipe: Recipe) -> bool:
    """Whether training leaves a recipe out; a kind as it is is never left out."""
    if not recipe.degrees:
        return False
    text = recipe.kind + "".join(f"{k}{v}" for k, v in sorted(recipe.degrees.items()))
    return zlib.crc32(text.encode()) % 1000 < 1000 * HELD_OUT_SHARE


def training_phrases(pairs: Pairs, seed: int) -> tuple[list[str], Tensor]:
    """Phrases of the recipes that training may see, and which recipe each is of."""
    rng = np.random.default_rng([seed, 1])
    texts, rows = [], []
    for number, recipe in enumerate(pairs.recipes):
        if is_held_out(recipe):
            continue
        # Kinds as they are have few ways to be said, but are asked for most.
        ways = WAYS if recipe.degrees else 2 * WAYS
        found = [phrase_of(recipe, rng) for _ in range(ways)]
        if not recipe.degrees and recipe.kind != ANY_KIND:
            # Colour, age and place say nothing about the shape.
            found += appearances(species_named(recipe.kind), rng, 2 * WAYS)
        texts += found
        rows += [number] * len(found)
    return texts, torch.tensor(rows)


def fit_encoder(
    texts: Sequence[str], targets_NT: Tensor, steps: int, generator: torch.Generator
) -> WordEncoder:
    """An encoder whose embeddings give standardised targets by one linear layer."""
    encoder = WordEncoder()
    reader = nn.Linear(encoder.dim, targets_NT.shape[1])
    scale = nn.Parameter(torch.tensor(4.0))
    phrases = hashed(texts)
    targets = (targets_NT - targets_NT.mean(0)) / targets_NT.std(0)
    parameters = [*encoder.parameters(), *reader.parameters(), scale]

    def loss(chosen: Tensor) -> Tensor:
        return (reader(scale * encoder(phrases.chosen(chosen))) - targets[chosen]).square().mean()

    _fit(parameters, loss, len(texts), steps, 3e-3, generator)
    return encoder.eval().requires_grad_(False)


def fit_flow(
    condition_NC: Tensor, betas_NK: Tensor, steps: int, generator: torch.Generator, width: int
) -> ConditionalFlow:
    """A flow by likelihood of betas spread by ``INDIVIDUALS``, and by its answer without noise."""
    flow = ConditionalFlow(betas_NK.shape[1], condition_NC.shape[1], width)
    flow.middle_K.copy_(betas_NK.mean(0))
    flow.spread_K.copy_(betas_NK.std(0).clamp_min(1e-3))
    spread = INDIVIDUALS * betas_NK.std(0).mean()

    def loss(chosen: Tensor) -> Tensor:
        condition, betas = condition_NC[chosen], betas_NK[chosen]
        noisy = betas + spread * torch.randn(betas.shape, generator=generator)
        likely = -flow.log_density(noisy, condition).mean() / flow.betas
        point = (flow.shapes(torch.zeros_like(betas), condition) - betas) / flow.spread_K
        return likely + POINT_WEIGHT * point.abs().mean()

    _fit(list(flow.parameters()), loss, len(betas_NK), steps, 2e-3, generator)
    return flow.eval().requires_grad_(False)


def _fit(
    parameters: list[nn.Parameter],
    loss_of: Callable[[Tensor], Tensor],
    count: int,
    steps: int,
    rate: float,
    generator: torch.Generator,
) -> None:
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, max(steps, 2))
    for step in range(steps):
        loss = loss_of(torch.randint(count, (min(BATCH, count),), generator=generator))
        if not torch.isfinite(loss):
            raise TrainingError(f"The loss is no longer finite at step {step}; lower the rate.")
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimiser.step()
        schedule.step()


def train(
    output_dir: Path,
    pairs: Path | None = None,
    named_betas: Path | None = None,
    encoder: str = "words",
    body: Path | None = None,
    encoder_steps: int = 1000,
    flow_steps: int = 1200,
    width: int = 128,
    seed: int = 0,
) -> None:
    """Writes shape_flow.safetensors into a folder; the same seed and machine give the same weights.

    Args:
        output_dir: Folder to write to.
        pairs: Described shapes of `lerf_wild.animals.words.pairs`, for the bundled body.
        named_betas: In place of pairs, .npz with `names` and `betas`, or JSON of name -> betas.
        encoder: words (trained here), wild-clip, or an open_clip model as `--encoder` of other
            commands takes it.
        body: The body model that the betas belong to; the bundled one when left out.
        encoder_steps: Training steps of the encoder, where it is trained here.
        flow_steps: Training steps of the flow.
        width: Width of the flow's networks.
        seed: What decides phrases, weights and order.
    """
    from lerf_wild.animals.body_files import read_body
    from lerf_wild.animals.bundled import load_quadruped

    model = load_quadruped().model if body is None else read_body(body)
    if (pairs is None) == (named_betas is None):
        raise InputError("Give either --pairs or --named-betas.")
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    if pairs is not None:
        described = read_pairs(pairs)
        texts, rows = training_phrases(described, seed)
        betas = described.betas_NK[rows]
        targets = torch.cat([betas, described.measures_NM[rows]], 1)
    else:
        texts, betas = read_named_betas(named_betas, model)
        targets = betas
    if encoder == "words":
        text_encoder = fit_encoder(texts, targets, encoder_steps, generator)
    else:
        text_encoder = resolve_text_encoder(encoder)
    condition = torch.cat(
        [text_encoder.encode_text(texts[i : i + 1024]) for i in range(0, len(texts), 1024)]
    )
    flow = fit_flow(condition.cpu(), betas, flow_steps, generator, width)
    write_shape_flow(output_dir, ShapeFlow(flow, text_encoder, model, encoder))


if __name__ == "__main__":
    import tyro

    tyro.cli(train)
