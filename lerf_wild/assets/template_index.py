"""The library as one encoder sees it: an embedding for each of the 72 templates of each asset.

Symbols: A assets, T templates of an asset, D embedding dimensions, Q queries. Embeddings are kept
by content: the mesh, the way templates are drawn and the encoder decide the key, so that adding
an asset costs that asset alone, and nothing is ever stale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lerf_wild.assets.library import Entry, Library, load_mesh
from lerf_wild.assets.search import Answer, answers, asset_scores
from lerf_wild.assets.templates import STANDARD, TemplateSpec, render_templates
from lerf_wild.assets.thresholds import PHOTO_THRESHOLDS, threshold_of
from lerf_wild.errors import AssetError
from lerf_wild.language.encoders import ImageTextEncoder, l2_normalise
from lerf_wild.storage.cache import FeatureCache, content_key, default_cache_root

BUNDLED = Path(__file__).with_name("starter_templates.safetensors")
BATCH = 72


@dataclass(frozen=True)
class TemplateIndex:
    """Templates of a library in the space of one encoder."""

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    templates_ATD: Float[Tensor, "A T D"]
    """Unit vectors, float32 or float16."""
    encoder: str
    """Identity of the encoder."""

    @property
    def step_deg(self) -> float:
        """Degrees between two templates."""
        return 360.0 / self.templates_ATD.shape[1]

    def embedding(self, name: str, yaw_rad: float) -> Float[Tensor, " D"]:
        """The embedding of an asset at the template nearest to a yaw.

        Raises:
            AssetError: for an asset that is not in the index.
        """
        if name not in self.names:
            raise AssetError(f"The index has no asset {name[:60]!r}; index the library again.")
        count = self.templates_ATD.shape[1]
        place = round(np.degrees(yaw_rad) / self.step_deg) % count
        return self.templates_ATD[self.names.index(name), place].float()

    def search(
        self,
        queries_QD: Float[Tensor, "Q D"],
        k: int = 5,
        kinds: Sequence[str] | None = None,
        threshold: float | None = None,
    ) -> list[Answer]:
        """The k nearest assets of each embedding, such as a decoder predicts or a photo has.

        Args:
            queries_QD: Vectors of any length.
            k: How many.
            kinds: The class gate: only assets of these kinds are looked at.
            threshold: Score below which nothing is known; the encoder's own when None.
        """
        if threshold is None:
            threshold = threshold_of(PHOTO_THRESHOLDS, self.encoder)
        scores, best = asset_scores(l2_normalise(queries_QD.float()), self.templates_ATD)
        return self.ranked(scores, best, k, kinds, threshold)

    def ranked(
        self, scores_QA: Tensor, best_QA: Tensor, k: int, kinds: Sequence[str] | None,
        threshold: float,
    ) -> list[Answer]:  # fmt: skip
        """Answers for scores that were computed elsewhere; arguments as for `search`."""
        allowed = None
        if kinds is not None:
            allowed = torch.tensor([kind in kinds for kind in self.kinds], dtype=torch.bool)
        return answers(
            scores_QA, best_QA, self.names, self.kinds, self.step_deg, k, threshold, allowed
        )


def template_key(entry: Entry, encoder: str, size: int, spec: TemplateSpec) -> str:
    """The key under which an asset's template embeddings are kept."""
    return content_key({"asset": entry.key, "encoder": encoder, **spec.described(size)})


def build_index(
    library: Library,
    encoder: ImageTextEncoder,
    spec: TemplateSpec = STANDARD,
    on_asset: Callable[[Entry, bool], None] = lambda entry, is_new: None,
    cache_root: Path | None = None,
) -> TemplateIndex:
    """The index of a library; only assets that were never embedded are rendered.

    Args:
        library: What to index.
        encoder: What sees the templates.
        spec: How they are drawn.
        on_asset: Called for every asset, and told whether it had to be rendered.
        cache_root: Cache folder; the user's when None.

    Raises:
        AssetError: for an empty library, or a mesh that can't be read.
    """
    if len(library) == 0:
        raise AssetError("The library is empty; add an asset with `lerf-wild assets add`.")
    kept = FeatureCache(default_cache_root() if cache_root is None else cache_root)
    rows = []
    for entry in library:
        row, is_new = _row(entry, encoder, spec, kept)
        rows.append(row)
        on_asset(entry, is_new)
    kinds = tuple(entry.kind for entry in library)
    return TemplateIndex(library.names, kinds, torch.stack(rows), encoder.identity)


def embed_templates(
    entry: Entry, encoder: ImageTextEncoder, spec: TemplateSpec = STANDARD
) -> Float[Tensor, "T D"]:
    """Render and embed the templates of an asset; unit vectors, float16 on the CPU.

    Raises:
        AssetError: for a mesh that can't be read.
    """
    pictures = render_templates(load_mesh(entry), encoder.image_size, spec)
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(255.0)
    parts = [encoder.encode_images(part.to(encoder.device)) for part in images.split(BATCH)]
    return torch.cat(parts).cpu().half()


def _row(
    entry: Entry, encoder: ImageTextEncoder, spec: TemplateSpec, kept: FeatureCache
) -> tuple[Tensor, bool]:
    key = template_key(entry, encoder.identity, encoder.image_size, spec)
    bundled = _bundled().get(key)
    if bundled is not None:
        return bundled, False
    like = {"templates": ((spec.yaws, encoder.dim), torch.float16)}
    found = kept.get(key, like)
    if found is not None:
        return found["templates"], False
    with kept.lock(key):
        found = kept.get(key, like)
        if found is not None:
            return found["templates"], False
        row = embed_templates(entry, encoder, spec)
        kept.put(key, {"templates": row}, {"asset": entry.name, "encoder": encoder.identity})
    return row, True


@cache
def _bundled() -> Mapping[str, Tensor]:
    """Key -> templates (T, D) of the starters, for the bundled encoder."""
    if not BUNDLED.is_file():
        return {}
    try:
        with safe_open(BUNDLED, "pt") as file:
            keys = (file.metadata() or {})["keys"].split(" ")
            return dict(zip(keys, file.get_tensor("templates")))
    except (OSError, SafetensorError, KeyError) as fault:
        raise AssetError(f"{BUNDLED}: can't be read ({fault}); install lerf-wild again.") from None
