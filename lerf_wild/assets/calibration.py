"""Where "unknown" begins: the thresholds of `lerf_wild.assets.thresholds`, and how well they do.

    python -m lerf_wild.assets.calibration --json FILE

Photos of library assets are drawn anew under other lights, on other grounds, from other heights and
distances. Each is looked for twice: in the whole library, where it is known, and in a library
without its species and everything grown from the same source, where it is not. The threshold is the
score that best splits the two on every other asset; the figures are of the assets in between.
Words are treated alike: a phrase is known in the whole library, and unknown once every asset that
it names has been taken out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lerf_wild.assets.library import Library, starter_library
from lerf_wild.assets.mesh import Asset
from lerf_wild.assets.search import asset_scores
from lerf_wild.assets.template_index import TemplateIndex, build_index
from lerf_wild.assets.templates import STANDARD, render_template
from lerf_wild.assets.words import named_share, word_scores
from lerf_wild.language.encoders import ImageTextEncoder

Floats = NDArray[np.float64]
GROUNDS = ((96, 138, 58), (190, 172, 110), (214, 188, 138), (112, 86, 62), (140, 138, 134))
FIRST_SEED = 77_000


@dataclass(frozen=True)
class Split:
    """How a threshold does on the other half of the assets."""

    threshold: float
    known_accepted: float
    """Share of known queries that reach it."""
    unknown_refused: float
    """Share of unknown queries that stay below it."""


def photo_of(asset: Asset, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A view as a cut-out of a photo would show it, (S, S, 3): another ground, height and frame."""
    spec = replace(
        STANDARD,
        elevation_deg=float(rng.uniform(2.0, 20.0)),
        fill=float(rng.uniform(0.6, 0.95)),
        field_of_view_deg=float(rng.uniform(18.0, 40.0)),
        ground=GROUNDS[rng.integers(len(GROUNDS))],
    )
    picture = render_template(asset, float(rng.uniform(0, 2 * np.pi)), size, spec)
    gain = rng.uniform(0.75, 1.2) * rng.normal(1.0, 0.04, 3)
    return np.clip(picture * gain, 0, 255).astype(np.uint8)


def draw_photos(
    library: Library, encoder: ImageTextEncoder, views: int, seed: int = FIRST_SEED
) -> Tensor:
    """Embeddings of views of every asset, (A, views, D)."""
    rows = []
    for number, entry in enumerate(library):
        rng = np.random.default_rng([seed, number])
        asset = library.mesh(entry.name)
        drawn = np.stack([photo_of(asset, encoder.image_size, rng) for _ in range(views)])
        images = torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255.0
        rows.append(encoder.encode_images(images.to(encoder.device)).cpu().float())
    return torch.stack(rows)


def kin_of(library: Library) -> NDArray[np.bool_]:
    """Which assets are of one species or grown from one source, (A, A)."""
    entries = list(library)
    return np.array(
        [
            [
                a.species == b.species or a.provenance["source"] == b.provenance["source"]
                for b in entries
            ]
            for a in entries
        ]
    )


def best_split(known: Floats, unknown: Floats) -> float:
    """The score with the largest shares of known queries at or above it and unknown ones below."""
    marks = np.unique(np.concatenate([known, unknown]))
    gain = [(known >= mark).mean() + (unknown < mark).mean() for mark in marks]
    return float(marks[int(np.argmax(gain))])


def split_halves(known: Floats, unknown: Floats) -> Split:
    """Find the threshold on even rows, and measure it on odd ones."""
    threshold = best_split(known[::2].ravel(), unknown[::2].ravel())
    return Split(
        threshold,
        float((known[1::2] >= threshold).mean()),
        float((unknown[1::2] < threshold).mean()),
    )


def photo_figures(index: TemplateIndex, library: Library, photos_AVD: Tensor) -> dict[str, float]:
    """Threshold, and how often photos find their asset and their kind."""
    assets, views, dim = photos_AVD.shape
    scores, _ = asset_scores(photos_AVD.reshape(-1, dim), index.templates_ATD)
    table = scores.view(assets, views, assets).double().numpy()
    kin = kin_of(library)
    unknown = np.where(kin[:, None], -2.0, table).max(axis=2)
    split = split_halves(table.max(axis=2), unknown)
    order = np.argsort(-table, axis=2, kind="stable")
    own = np.arange(assets)[:, None]
    kinds = np.array(index.kinds)
    return {
        "photo_threshold": split.threshold,
        "photo_known_accepted": split.known_accepted,
        "photo_unknown_refused": split.unknown_refused,
        "photo_recall_at_1": float((order[..., 0] == own).mean()),
        "photo_recall_at_5": float((order[..., :5] == own[..., None]).any(axis=2).mean()),
        "photo_kind_accuracy": float((kinds[order[..., 0]] == kinds[own]).mean()),
        "photo_unseen_kind_accuracy": _unseen_kinds(table, kin, kinds),
    }


def _unseen_kinds(table: Floats, kin: NDArray[np.bool_], kinds: NDArray[np.str_]) -> float:
    """How often the nearest asset of another species is of the right kind."""
    nearest = np.where(kin[:, None], -2.0, table).argmax(axis=2)
    return float((kinds[nearest] == kinds[:, None]).mean())


def word_figures(
    index: TemplateIndex, library: Library, encoder: ImageTextEncoder
) -> dict[str, float]:
    """Threshold for words, and how often a phrase finds an asset that it names."""
    entries = list(library)
    phrases = sorted({phrase for entry in entries for phrase in entry.phrases})
    scores = word_scores(index, library, phrases, encoder).double().numpy()
    named = np.array([[named_share(p, entry) for entry in entries] for p in phrases])
    holds = np.array([[p in entry.phrases for entry in entries] for p in phrases])
    unknown = np.where(named >= 0.5, -2.0, scores).max(axis=1)
    split = split_halves(scores.max(axis=1), unknown)
    first = scores.argmax(axis=1)
    return {
        "word_threshold": split.threshold,
        "word_known_accepted": split.known_accepted,
        "word_unknown_refused": split.unknown_refused,
        "word_hit_at_1": float(holds[np.arange(len(phrases)), first].mean()),
        "phrases": float(len(phrases)),
    }


def main(
    encoder: str = "wild-clip", views: int = 3, seed: int = FIRST_SEED, json: Path | None = None
) -> None:
    """Print the thresholds of an encoder and what they do."""
    from lerf_wild.cli.report import write_report
    from lerf_wild.language.registry import resolve_encoder

    seeing = resolve_encoder(encoder)
    library = starter_library()
    index = build_index(library, seeing)
    figures = photo_figures(index, library, draw_photos(library, seeing, views, seed))
    figures |= word_figures(index, library, seeing)
    for name, value in figures.items():
        print(f"{name:28}{value:.4g}")  # noqa: T201
    write_report(json, {**figures, "encoder": seeing.identity, "views": views}, seed=seed)


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
