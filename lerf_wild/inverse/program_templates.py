"""Templates of assets: each rendered at 72 yaws and embedded, so that a look can be looked up.

Symbols: M assets, Y yaws of 5 degrees, A length of an embedding, N queries. The yaw of a template
is relative to the line of sight: 0 is a nose that points to the right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lerf_wild.assets.scene_assets import SceneAsset, load_individual
from lerf_wild.inverse.program_crops import CropNetwork, cut_crops
from lerf_wild.program.statements import KINDS
from lerf_wild.program.types import Settings
from lerf_wild.render.adaptive import render_adaptive
from lerf_wild.render.raycast import Camera, RayScene, look_at
from lerf_wild.render.sky import light_of
from lerf_wild.synth.grounds import GROUNDS, ground_body

YAWS = 72
SIZE = 80
LOOK_DOWN = 0.22
"""Height of the camera over the middle of the asset as a share of its distance."""
Embed = Callable[[Tensor], Tensor]
"""Crops (N, 3, S, S) in 0-1 -> unit vectors (N, A)."""


@dataclass(frozen=True)
class Templates:
    """The embeddings of a library."""

    names: tuple[str, ...]
    kind_M: Tensor
    embedding_MYA: Tensor

    def scores(self, query_NA: Tensor, yaws: int = YAWS) -> Tensor:
        """Best cosine (N, M) over an asset's templates; ``yaws`` < 72 uses fewer of them."""
        kept = self.embedding_MYA[:, :: max(1, YAWS // yaws)][:, :yaws]
        unit = functional.normalize(query_NA.float(), dim=-1)
        return torch.einsum("na,mya->nmy", unit, kept.float()).amax(dim=-1)

    def ranked(
        self, query_NA: Tensor, kind_N: Tensor | None = None, yaws: int = YAWS
    ) -> tuple[Tensor, Tensor]:
        """Numbers (N, M) of the assets, the likeliest first, and their cosines; with ``kind_N``,
        assets of another kind come last."""
        scores = self.scores(query_NA, yaws)
        gated = scores if kind_N is None else scores - 4.0 * (kind_N[:, None] != self.kind_M)
        order = gated.argsort(dim=-1, descending=True)
        return order, scores.gather(1, order)

    def at(self, number: int, yaw_rad: float) -> Tensor:
        """The embedding (A,) of an asset as it is seen at a yaw."""
        return self.embedding_MYA[number, round(np.degrees(yaw_rad) / (360 / YAWS)) % YAWS]


def make_templates(
    assets: Sequence[SceneAsset], embed: Embed, yaws: int = YAWS, seed: int = 0
) -> Templates:
    """Render and embed assets at equally spaced yaws."""
    rows = []
    for asset in assets:
        crops = template_crops(asset, np.arange(yaws) * (2 * np.pi / yaws), seed)
        rows.append(embed(crops).float().cpu())
    kinds = torch.tensor([KINDS.index(asset.kind) for asset in assets])
    return Templates(tuple(asset.name for asset in assets), kinds, torch.stack(rows))


def library_templates(network: CropNetwork, names: Sequence[str], yaws: int = YAWS) -> Templates:
    """Templates of assets by name, embedded by a reader's crop network."""
    return make_templates([load_individual(name) for name in names], network_embed(network), yaws)


def network_embed(network: CropNetwork) -> Embed:
    """The crop network as an encoder of templates."""

    def embed(crops_N3SS: Tensor) -> Tensor:
        with torch.inference_mode():
            return torch.cat([network(part).embedding_NA for part in crops_N3SS.split(64)])

    return embed


def template_crops(asset: SceneAsset, yaws_rad: NDArray[np.float64], seed: int = 0) -> Tensor:
    """Crops (Y, 3, 64, 64) in 0-1 of an asset on bare ground, seen at yaws."""
    rng = np.random.default_rng([seed, 0x7E3])
    pictures, boxes = [], []
    for yaw in yaws_rad:
        rgb, box = _picture(asset, float(yaw), str(rng.choice(GROUNDS)), rng.uniform(0.5, 1.3))
        pictures.append(rgb)
        boxes.append(box)
    stack = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255.0
    return cut_crops(stack, torch.arange(len(stack)), torch.tensor(boxes))


def _picture(
    asset: SceneAsset, yaw: float, ground: str, sun_elevation: float
) -> tuple[NDArray[np.uint8], tuple[float, ...]]:
    cosine, sine = np.cos(yaw), np.sin(yaw)
    turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    body = asset.body(turn, np.zeros(3, np.float32), 1.0, 10)
    width = 2.0 * float(np.abs(body.vertices_V3[:, 0]).max())
    reach = max(1.0, width)
    distance = 7.0 * reach
    eye = [0.0, -distance, 0.5 + LOOK_DOWN * distance]
    focal = 0.8 * SIZE * distance / reach
    light = light_of(Settings(sun_elevation_rad=sun_elevation, sun_rotation_deg=200.0))
    scene = RayScene([ground_body(ground, 0.0, np.zeros(2, np.float32)), body], light)
    picture = render_adaptive(scene, Camera(look_at(eye, [0.0, 0.0, 0.5]), focal, SIZE, SIZE))
    rows, columns = np.nonzero(picture.instances == 10)
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    return picture.rgb, tuple(float(side) for side in box)
