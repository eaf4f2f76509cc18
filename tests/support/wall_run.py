"""A tiny run of lerf-wild on a painted wall, trained once through nerfstudio's trainer.

The fixtures of the folders whose tests ask such a run: import them into a conftest.
"""

from __future__ import annotations

import copy
from contextlib import contextmanager
from pathlib import Path

import pytest
import stand_in
import torch

torch.set_num_threads(1)

STEPS = 6


@pytest.fixture(scope="session")
def stand_in_cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@contextmanager
def stand_ins(cache: Path):
    """Every run uses the colour encoder and a cache of these tests, and no longer than this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LERF_WILD_CACHE", str(cache))
        patch.delenv("LERF_WILD_PHRASES", raising=False)
        stand_in.use_stand_ins(patch)
        yield patch


@pytest.fixture(scope="module", autouse=True)
def stand_in_encoders(stand_in_cache):
    with stand_ins(stand_in_cache) as patch:
        yield patch


@pytest.fixture(scope="session")
def scene(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wall")
    stand_in.write_scene(folder)
    return folder


def tiny_config(scene: Path, output: Path, steps: int = STEPS):
    from lerf_wild.methods.lerf_wild.config import lerf_wild_tiny

    config = copy.deepcopy(lerf_wild_tiny.config)
    config.pipeline.datamanager.data = scene
    config.output_dir = output
    config.timestamp = "run"
    config.vis = "tensorboard"
    config.max_num_iterations = steps
    config.machine.device_type = "cpu"
    config.logging.local_writer.enable = False
    config.logging.profiler = "none"
    config.pipeline.datamanager.train_num_rays_per_batch = 128
    config.pipeline.datamanager.eval_num_rays_per_batch = 64
    return config


def train(config):
    """Runs nerfstudio's training script in this process and returns the trainer."""
    from nerfstudio.scripts.train import _set_random_seed

    _set_random_seed(config.machine.seed)
    config.save_config()
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()
    trainer.train()
    return trainer


@pytest.fixture(scope="session")
def trained(scene, stand_in_cache, tmp_path_factory):
    """The trainer after a few steps on the wall."""
    with stand_ins(stand_in_cache):
        return train(tiny_config(scene, tmp_path_factory.mktemp("outputs")))


@pytest.fixture(scope="session")
def settled(scene, stand_in_cache, tmp_path_factory):
    """The trainer after enough steps to tell the wall's colours apart."""
    config = tiny_config(scene, tmp_path_factory.mktemp("settled"), steps=250)
    config.pipeline.datamanager.train_num_rays_per_batch = 256
    with stand_ins(stand_in_cache):
        return train(config)


@pytest.fixture()
def make_config(tmp_path):
    return lambda scene, steps=STEPS: tiny_config(scene, tmp_path / "outputs", steps)


@pytest.fixture()
def run_training():
    return train
