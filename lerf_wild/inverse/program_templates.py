"""Templates of assets: each drawn at 24 yaws and embedded, so that a look can be looked up.

An embedding is three unit vectors one after the other: the reader's own, which tells known assets
apart; wild-clip's, which nobody has tuned to a library and which carries further; and the features
that the reader's own is made of, which tell the sides of an asset apart.

Symbols: M assets, Y yaws, A length of an embedding, N queries. The yaw of a template
is relative to the line of sight: 0 is a nose that points to the right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lerf_wild.assets.scene_assets import SceneAsset, load_individual
from lerf_wild.inverse.program_crops import EMBEDDING, FEATURES, CropNetwork, cut_crops
from lerf_wild.inverse.program_matching import TemplateBank, make_bank
from lerf_wild.language.encoders import ImageTextEncoder
from lerf_wild.language.wild_clip import load_wild_clip
from lerf_wild.program.statements import KINDS
from lerf_wild.program.types import Settings
from lerf_wild.render.adaptive import render_adaptive
from lerf_wild.render.raycast import Camera, RayScene, look_at
from lerf_wild.render.sky import light_of
from lerf_wild.synth.grounds import GROUNDS, ground_body

LOOK = 2 * EMBEDDING
"""Length of the two first vectors, which tell assets apart."""
WIDTH = LOOK + FEATURES
"""Length of an embedding."""
YAWS = 24
"""Templates an asset, 15 degrees apart; yaws between them are interpolated. RAW has 72."""
SIZE = 96
ASSET_ID = 10
LOOK_WEIGHT, CLIP_WEIGHT = 1.0, 1.0
"""Weights of the cosines of both embeddings beside the correlation with the templates."""
KIND_WEIGHT = 0.02
"""Weight of the log probability of an asset's kind. All three were found on validation scenes of
varied assets that training never drew."""
LOOK_DOWN = 0.22
"""Height of the camera over the middle of the asset as a share of its distance."""
Embed = Callable[[Tensor], Tensor]
"""Crops (N, 3, S, S) in 0-1 -> embeddings (N, A)."""


@dataclass(frozen=True)
class Templates:
    """The embeddings of a library."""

    names: tuple[str, ...]
    kind_M: Tensor
    height_M: Tensor
    """Natural heights, metres."""
    embedding_MYA: Tensor
    bank: TemplateBank
    """Their small pictures."""

    def scores(self, query_NA: Tensor) -> Tensor:
        """Weighted cosines (N, M, Y) of the two embeddings of objects (N, ``LOOK``) with those of
        all templates."""
        weight_A = torch.full((LOOK,), LOOK_WEIGHT)
        weight_A[EMBEDDING:] = CLIP_WEIGHT
        weighted = weight_A * query_NA.float()
        return torch.einsum("na,mya->nmy", weighted, self.embedding_MYA[..., :LOOK].float())

    def sides(self, asset_N: Tensor, features_NF: Tensor, mirrored_NF: Tensor) -> Tensor:
        """Cosines (N, Y) of the features of crops and of their mirror images with those of the
        templates of one asset each.

        An animal that is seen in a mirror looks about like one that faces the other way.
        """
        own_NYF = self.embedding_MYA[asset_N, :, LOOK:].float()
        told_NY, other_NY = (
            torch.einsum("nf,nyf->ny", part, own_NYF) for part in (features_NF, mirrored_NF)
        )
        yaws = own_NYF.shape[1]
        # Of an odd number of yaws none is another's mirror image.
        if yaws % 2:
            return told_NY
        return (told_NY + other_NY[:, (yaws // 2 - torch.arange(yaws)) % yaws]) / 2

    def likeness(
        self, query_NA: Tensor, correlation_NMY: Tensor, kinds_N6: Tensor | None = None
    ) -> Tensor:
        """How much each object is like each asset (N, M): the correlation with the best template
        and the weighted cosines with it, plus a share of the log probability of its kind."""
        scores = (correlation_NMY + self.scores(query_NA)).amax(dim=-1)
        return scores if kinds_N6 is None else scores + KIND_WEIGHT * kinds_N6[:, self.kind_M]

    def fewer(self, yaws: int) -> Templates:
        """The same library with fewer templates an asset."""
        step = max(1, self.embedding_MYA.shape[1] // yaws)
        rows = slice(0, step * yaws, step)
        bank = TemplateBank(self.bank.rgb_MY3SS[:, rows], self.bank.mask_MYSS[:, rows])
        return replace(self, embedding_MYA=self.embedding_MYA[:, rows], bank=bank)


def make_templates(
    assets: Sequence[SceneAsset], embed: Embed, yaws: int = YAWS, seed: int = 0
) -> Templates:
    """Render and embed assets at equally spaced yaws."""
    angles = np.arange(yaws) * (2 * np.pi / yaws)
    shown = [template_pictures(asset, angles, seed) for asset in assets]
    pictures, masks = (torch.stack(part) for part in zip(*shown))
    return templates_of(assets, pictures, masks, embed)


def templates_of(
    assets: Sequence[SceneAsset], pictures_MY3SS: Tensor, masks_MYSS: Tensor, embed: Embed
) -> Templates:
    """Templates of assets whose pictures are there already."""
    return Templates(
        tuple(asset.name for asset in assets),
        torch.tensor([KINDS.index(asset.kind) for asset in assets]),
        torch.tensor([asset.height_m for asset in assets]),
        torch.stack([embed(crops).float().cpu() for crops in pictures_MY3SS]),
        make_bank(pictures_MY3SS, masks_MYSS),
    )


def library_templates(network: CropNetwork, names: Sequence[str], yaws: int = YAWS) -> Templates:
    """Templates of assets by name, embedded by a reader's crop network."""
    return make_templates([load_individual(name) for name in names], network_embed(network), yaws)


def network_embed(network: CropNetwork) -> Embed:
    """The crop network and wild-clip as an encoder of templates, (N, ``WIDTH``)."""

    def embed(crops_N3SS: Tensor) -> Tensor:
        with torch.no_grad():
            seen = [network(part) for part in crops_N3SS.split(64)]
        looks = torch.cat([part.embedding_NA for part in seen])
        features = functional.normalize(torch.cat([part.features_NF for part in seen]), dim=-1)
        return torch.cat([looks, clip_embeddings(crops_N3SS), features], dim=1)

    return embed


@torch.no_grad()
def clip_embeddings(crops_N3SS: Tensor) -> Tensor:
    """wild-clip's unit vectors (N, A/2) of crops in 0-1."""
    if len(crops_N3SS) == 0:
        return torch.zeros(0, EMBEDDING)
    parts = [_wild_clip().encode_images(part).float().cpu() for part in crops_N3SS.split(64)]
    return torch.cat(parts)


@lru_cache(maxsize=1)
def _wild_clip() -> ImageTextEncoder:
    return load_wild_clip()


def template_crops(asset: SceneAsset, yaws_rad: NDArray[np.float64], seed: int = 0) -> Tensor:
    """Crops (Y, 3, 64, 64) in 0-1 of an asset on bare ground, seen at yaws."""
    return template_pictures(asset, yaws_rad, seed)[0]


def template_pictures(
    asset: SceneAsset, yaws_rad: NDArray[np.float64], seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Crops (Y, 3, 64, 64) in 0-1 of an asset on bare ground, and which share of each pixel is the
    asset (Y, 64, 64).

    The camera goes round the asset, so that its triangles are sorted once; the sun stays.
    """
    rng = np.random.default_rng([seed, 0x7E3])
    light = light_of(
        Settings(sun_elevation_rad=rng.uniform(0.7, 1.2), sun_rotation_deg=rng.uniform(0, 360))
    )
    body = asset.body(np.eye(3), np.zeros(3, np.float32), 1.0, ASSET_ID)
    ground = ground_body(str(rng.choice(GROUNDS)), 0.0, np.zeros(2, np.float32))
    scene = RayScene([ground, body], light)
    shown = [render_adaptive(scene, _camera(body.vertices_V3, float(yaw))) for yaw in yaws_rad]
    masks = np.stack([picture.instances == ASSET_ID for picture in shown])
    stack = torch.from_numpy(np.stack([picture.rgb for picture in shown]))
    pictures = torch.cat(
        [
            stack.permute(0, 3, 1, 2).float() / 255.0,
            torch.from_numpy(masks)[:, None].float(),
        ],
        dim=1,
    )
    crops = cut_crops(pictures, torch.arange(len(stack)), _boxes(masks))
    return crops[:, :3], crops[:, 3]


def _camera(vertices_V3: NDArray[np.float32], yaw: float) -> Camera:
    reach = max(1.0, 2.0 * float(np.linalg.norm(vertices_V3[:, :2], axis=1).max()))
    distance = 7.0 * reach
    eye = [-distance * np.sin(yaw), -distance * np.cos(yaw), 0.5 + LOOK_DOWN * distance]
    return Camera(look_at(eye, [0.0, 0.0, 0.5]), 0.8 * SIZE * distance / reach, SIZE, SIZE)


def _boxes(masks_YSS: NDArray[np.bool_]) -> Tensor:
    boxes = []
    for mask in masks_YSS:
        rows, columns = np.nonzero(mask)
        if len(rows) == 0:
            # A card from its edge, or a reed thinner than a pixel: the middle, where it stands.
            rows = columns = np.array([len(mask) // 2])
        boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    return torch.tensor(boxes, dtype=torch.float32)
