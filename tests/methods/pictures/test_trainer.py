"""What the trainers of the methods on pictures choose where there is no GPU and no viewer."""

from __future__ import annotations

import pytest
import torch
from tiny_runs import QUIET, tiny_config

from lerf_wild import registry

pytestmark = QUIET


@pytest.mark.parametrize("name", ["air", "raw", "genzoo"])
def test_the_cpu_and_tensorboard_are_taken_and_said(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = tiny_config(getattr(registry, name), tmp_path, steps=60_000)
    config.machine.device_type, config.vis = "cuda", "viewer"
    trainer = config.setup(local_rank=0, world_size=1)
    assert config.machine.device_type == "cpu" and config.vis == "tensorboard"
    minutes = 1000 * config.pipeline.datamanager.batch_size / trainer.cpu_pictures_per_second
    said = " ".join(capsys.readouterr().out.split())
    assert f"training on the CPU, about {minutes:.0f} minutes." in said
    assert f"{name} has no scene to walk through: logging to tensorboard instead." in said
