"""lerf-wild-splat without a GPU: a plain rasteriser stands where gsplat's CUDA code is."""

from __future__ import annotations

import copy
from pathlib import Path

import plain_splats
import pytest
import torch
from third_parties import let_pass
from wall_run import scene, stand_in_cache, stand_in_encoders


def pytest_collection_modifyitems(items):
    let_pass(items, Path(__file__).parent)


@pytest.fixture(scope="module")
def without_cuda():
    """Everything that splatfacto does on the GPU, on the CPU."""
    from nerfstudio.models import splatfacto

    from lerf_wild.methods.lerf_wild_splat import rasterising

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splatfacto, "rasterization", plain_splats.rasterization)
        patch.setattr(rasterising, "gsplat", lambda: plain_splats.rasterization)
        patch.setattr(splatfacto, "get_viewmat", _viewmat)
        patch.setattr(torch.Tensor, "cuda", lambda self, *_, **__: self)
        yield


def _viewmat(pose_134):
    turned = pose_134[0, :3, :3] * torch.tensor([1.0, -1.0, -1.0])
    viewmat = torch.eye(4)
    viewmat[:3, :3] = turned.T
    viewmat[:3, 3] = -turned.T @ pose_134[0, :3, 3]
    return viewmat[None]


def tiny_config(scene: Path):
    from lerf_wild.methods.lerf_wild_splat.config import lerf_wild_splat

    config = copy.deepcopy(lerf_wild_splat.config)
    model, manager = config.pipeline.model, config.pipeline.datamanager
    manager.data = scene
    manager.language_rays = 256
    manager.dataparser.train_split_fraction = 0.9
    model.implementation = "torch"
    model.language_levels, model.language_log2_table = (6, 6), 12
    model.language_width, model.language_hidden_layers, model.dino_width = 24, 1, 8
    model.query_scales, model.language_start = 6, 0
    model.random_init, model.num_random, model.random_scale = True, 120, 2.0
    model.num_downscales, model.stop_split_at, model.sh_degree = 0, 0, 1
    return config


@pytest.fixture(scope="module")
def pipeline(scene, without_cuda):
    """A pipeline on the wall, its gaussians small opaque discs on the wall itself."""
    from lerf_wild.methods.lerf_wild_splat.pipeline import LerfWildSplatPipeline

    torch.manual_seed(0)
    pipeline = LerfWildSplatPipeline(tiny_config(scene).pipeline, device="cpu", test_mode="val")
    outputs = pipeline.datamanager.train_dataparser_outputs
    side = torch.linspace(-1, 1, 12)
    grid = torch.stack([*torch.meshgrid(side, side[:10], indexing="ij")], dim=-1).reshape(-1, 2)
    world = torch.cat([grid, torch.zeros(len(grid), 1)], dim=1)
    turn = outputs.dataparser_transform
    with torch.no_grad():
        model = pipeline.model
        model.means.copy_(outputs.dataparser_scale * (world @ turn[:, :3].T + turn[:, 3]))
        model.scales.fill_(float(torch.tensor(0.06 * outputs.dataparser_scale).log()))
        model.opacities.fill_(3.0)
    return pipeline
