"""A drawn scene of four assets and an untrained reader, for the tests of the program reader."""

from __future__ import annotations

import pytest

NAMES = ("grey rock.0", "cactus.0", "mallard.1", "egret.0")


@pytest.fixture(scope="session")
def samples():
    """Three pictures of the scene with their programs."""
    import numpy as np

    from lerf_wild.inverse.program_samples import Sample
    from lerf_wild.synth.raw_programs import program_of
    from lerf_wild.synth.raw_scenes import SceneSpec, draw_scene, shoot

    rng, spec = np.random.default_rng(7), SceneSpec(objects=(3, 4))
    shots = shoot(draw_scene(rng, NAMES, spec), rng, spec, 3)
    return [
        Sample(shot.picture.rgb, program_of(shot), tuple(look.box_4 for look in shot.seen))
        for shot in shots
    ]


@pytest.fixture(scope="session")
def batch(samples):
    from lerf_wild.inverse.program_data import asset_names
    from lerf_wild.inverse.program_samples import make_batch

    return make_batch(samples, asset_names(samples))


@pytest.fixture(scope="session")
def reader(samples):
    import torch

    from lerf_wild.inverse.program_data import asset_names
    from lerf_wild.inverse.program_reader import ProgramReader

    torch.manual_seed(0)
    return ProgramReader(assets=len(asset_names(samples))).eval()


@pytest.fixture(scope="session")
def templates(reader):
    """Templates of the scene's four assets."""
    from lerf_wild.assets.scene_assets import load_individual
    from lerf_wild.inverse.program_templates import make_templates, network_embed

    return make_templates([load_individual(n) for n in NAMES], network_embed(reader.crops), 4)
