"""Attend, infer, repeat without labels: counting and placing spheres from pixels alone.

Eslami et al. 2016 with a known renderer. An image is explained one object at a time: from the
image and what is still unexplained, the network says whether there is a further object
(z_pres, a Bernoulli variable) and where (z_where, a Gaussian), and the renderer adds it to the
canvas. The evidence lower bound is climbed with reparameterised gradients for z_where and
REINFORCE with a learned baseline for z_pres. No label is read: `train_unsupervised` is given
images only.

Its own set-up: 32x32 orthographic images of 0 to 3 spheres that do not cover each other's
centres. When training begins, a coin decides on presence and edges are soft, so that places are
learned first; then the network decides, and each object must pay for itself.

Symbols: B images, T steps at most, S = 32 pixels.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lerf_wild.errors import TrainingError
from lerf_wild.inverse.averaging import update_average
from lerf_wild.render.primitive_scenes import ABSENT, SCALE, SPHERE, PrimitiveScenes
from lerf_wild.render.primitives import AMBIENT, pixel_centres, render_orthographic

SIZE = 32
MAX_OBJECTS = 3
STEPS = MAX_OBJECTS + 1
"""One more than there can be: a wrong count above the truth must be possible."""
LATERAL = 1.1
LEAST_DISTANCE = 0.55
SHARP = 0.04
"""Softness of edges once places are learned, world units."""
CERTAIN = 8.0
"""Largest log odds of presence of a trained network."""
NATS = 100.0
"""Scale of the bound, in which the baseline's output is measured."""


@dataclass(frozen=True)
class UnsupervisedSpec:
    """How to train."""

    steps: int = 3000
    batch_size: int = 32
    learning_rate: float = 1e-3
    pixel_std: float = 0.3
    """Standard deviation of the pixel likelihood."""
    coin_log_odds: float = 1.5
    """Log odds of a further object while a coin decides."""
    price: float = -30.0
    """Log odds of a further object under the prior."""
    doubt: float = 2.5
    """Largest log odds of presence at first, so that the network goes on trying both; they rise to
    CERTAIN in the end."""
    coin_share: float = 0.12
    """Share of the steps, from the first, in which a coin decides whether there is an object."""
    averaging: float = 0.99
    """Decay per step of the running average of the weights, which is what is returned."""
    seed: int = 0


class Attention(nn.Module):
    """Image and rest [B, 2, S, S] -> presence logit [B], place [B, 2], its spread, baseline [B]."""

    def __init__(self, channels: int = 20) -> None:
        super().__init__()
        # Presence has features of its own: REINFORCE's noise would undo what places have learned.
        self.look = nn.Sequential(
            nn.Conv2d(2, 16, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.features = nn.Sequential(
            # An even kernel: cells then lie where `places` says, between two pixels.
            nn.Conv2d(2, channels, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
        )
        self.heat = nn.Conv2d(channels, 1, 1)
        self.presence = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 1))
        self.baseline = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 1))
        self.log_spread = nn.Parameter(torch.tensor(-3.5))
        along = pixel_centres(SIZE).view(-1, 2).mean(1)
        y, x = torch.meshgrid(-along, along, indexing="ij")
        self.register_buffer("places", torch.stack([x, y], -1).reshape(-1, 2), persistent=False)

    def forward(self, pair_B2SS: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Looks for one further object in an image and in what is still unexplained of it."""
        features = self.features(pair_B2SS)
        place = self.heat(features).flatten(1).softmax(1) @ self.places
        seen = self.look(pair_B2SS)
        pooled = torch.cat([seen.amax((2, 3)), seen.mean((2, 3))], 1)
        spread = self.log_spread.clamp(-5.0, -1.0).exp()
        baseline = NATS * self.baseline(pooled.detach()).squeeze(1)
        return self.presence(pooled).squeeze(1), place, spread, baseline


def sphere_layer(place_B2: Tensor, softness: float) -> tuple[Tensor, Tensor]:
    """Coverage and intensity [B, S, S] of a soft-edged sphere at each place."""
    centres = pixel_centres(SIZE).to(place_B2)
    squared = (centres - place_B2[:, :1]).square()[:, None, :] + (
        -centres - place_B2[:, 1:]
    ).square()[:, :, None]
    facing = (1.0 - squared / SCALE**2).clamp(min=1e-4).sqrt()
    coverage = torch.sigmoid((SCALE - (squared + 1e-8).sqrt()) / softness)
    return coverage, AMBIENT + (1.0 - AMBIENT) * facing


@dataclass(frozen=True)
class Trace:
    """One run of the inference over B images."""

    canvas_BSS: Tensor
    present_TB: Tensor
    """1 where the step placed an object."""
    logits_TB: Tensor
    running_TB: Tensor
    """1 where the step was reached."""
    places_TB2: Tensor
    baselines_TB: Tensor
    spread: Tensor


def attend(
    network: Attention,
    images_BSS: Tensor,
    softness: float,
    generator: torch.Generator | None,
    coin_log_odds: float | None = None,
    certainty: float = CERTAIN,
) -> Trace:
    """Explains images object by object; samples with a generator, else takes the likelier.

    With `coin_log_odds` a coin with these odds decides on presence, and not the network, whose log
    odds are kept within plus and minus `certainty`.
    """
    canvas = torch.zeros_like(images_BSS)
    running = torch.ones(len(images_BSS))
    steps: dict[str, list[Tensor]] = {k: [] for k in ("present", "logit", "run", "place", "base")}
    for _ in range(STEPS):
        logit, place, spread, baseline = network(torch.stack([images_BSS, images_BSS - canvas], 1))
        logit = certainty * torch.tanh(logit / certainty)
        if coin_log_odds is not None:
            logit = torch.full_like(logit, coin_log_odds)
        if generator is None:
            drawn = (logit > 0).float()
        else:
            drawn = (torch.rand(logit.shape, generator=generator) < logit.sigmoid()).float()
            place = place + spread * torch.randn(place.shape, generator=generator)
        present = drawn * running
        coverage, intensity = sphere_layer(place, softness)
        # Of spheres at one depth, lit from the camera, the nearer surface is the brighter one.
        canvas = torch.maximum(canvas, coverage * intensity * present[:, None, None])
        for name, value in zip(steps, (present, logit, running, place, baseline)):
            steps[name].append(value)
        running = present
    stacked = {name: torch.stack(values) for name, values in steps.items()}
    return Trace(canvas, *stacked.values(), spread)  # type: ignore[misc]


def negative_bound(
    trace: Trace, images_BSS: Tensor, spec: UnsupervisedSpec
) -> tuple[Tensor, Tensor]:
    """A surrogate whose gradient is the bound's, and the bound itself, both means over images."""
    error = (images_BSS - trace.canvas_BSS).square().sum((1, 2))
    likelihood = -error / (2.0 * spec.pixel_std**2)
    prior = spec.price * trace.present_TB.sum(0)
    entropy = (trace.present_TB.sum(0) * 2.0) * trace.spread.log()
    log_q = -F.binary_cross_entropy_with_logits(trace.logits_TB, trace.present_TB, reduction="none")
    log_q = log_q * trace.running_TB
    bound = likelihood + prior + entropy - log_q.sum(0)
    signal = bound.detach()[None] - trace.baselines_TB.detach()
    signal = signal / signal.std().clamp(min=1.0)
    score = (signal * log_q).sum(0)
    baseline_error = (bound.detach()[None] - trace.baselines_TB).square() * trace.running_TB
    surrogate = -(likelihood + entropy) - 10.0 * score + baseline_error.sum(0) / NATS
    return surrogate.mean(), bound.detach().mean()


def train_unsupervised(
    draw_images: Callable[[int, torch.Generator], Tensor],
    spec: UnsupervisedSpec,
    on_step: Callable[[int, float], None] | None = None,
) -> Attention:
    """Trains from images alone.

    Args:
        draw_images: draws a number of images [B, 32, 32] in 0-1.
        spec: how to train.
        on_step: called with the step and the bound.

    Raises:
        TrainingError: the bound is no longer finite.
    """
    torch.manual_seed(spec.seed)
    network = Attention()
    average = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(spec.seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=spec.learning_rate)
    for step in range(spec.steps):
        progress = step / max(spec.coin_share * spec.steps, 1.0)
        coin = spec.coin_log_odds if progress < 1.0 else None
        softness = max(SHARP, 0.2 * (1.0 - progress))
        for group in optimiser.param_groups:
            group["lr"] = spec.learning_rate * min(1.0, 3.0 * (1.0 - step / spec.steps))
        images = draw_images(spec.batch_size, generator)
        certainty = spec.doubt + (CERTAIN - spec.doubt) * step / spec.steps
        trace = attend(network, images, softness, generator, coin, certainty)
        loss, bound = negative_bound(trace, images, spec)
        if not torch.isfinite(loss):
            raise TrainingError(f"The bound at step {step} isn't finite; lower the learning rate.")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 50.0)
        optimiser.step()
        update_average(average, network, step, spec.averaging)
        if on_step is not None:
            on_step(step, float(bound))
    return average


@torch.no_grad()
def count_objects(network: Attention, images_BSS: Tensor) -> Tensor:
    """Number of objects that the network finds in each image, int64 [B]."""
    return attend(network, images_BSS, SHARP, None).present_TB.sum(0).long()


def draw_spheres(count: int, generator: torch.Generator) -> tuple[Tensor, PrimitiveScenes]:
    """Images of 0 to 3 spheres whose centres keep their distance, and the scenes."""
    places = LATERAL * (2.0 * torch.rand(count, 64, 2, generator=generator) - 1.0)
    chosen = places[:, :1]
    for _ in range(MAX_OBJECTS - 1):
        gaps = torch.cdist(places, chosen).amin(2)
        # The first of the drawn places that keeps its distance; 64 draws always hold one.
        first = (gaps > LEAST_DISTANCE).float().argmax(1)
        chosen = torch.cat([chosen, places[torch.arange(count), first][:, None]], 1)
    objects = torch.randint(MAX_OBJECTS + 1, (count, 1), generator=generator)
    kinds = torch.where(torch.arange(MAX_OBJECTS) < objects, SPHERE, ABSENT)
    positions = torch.cat([chosen, torch.zeros(count, MAX_OBJECTS, 1)], 2)
    rotations = torch.eye(3).expand(count, MAX_OBJECTS, 3, 3)
    scenes = PrimitiveScenes(kinds, positions, rotations)
    return render_orthographic(scenes, SIZE), scenes
