"""Tiny runs of the methods on pictures through nerfstudio's trainer, and what they must refuse."""

from __future__ import annotations

import copy

import pytest
import torch

from lerf_wild.errors import ModelFileError, TrainingError

torch.set_num_threads(1)

QUIET = [
    pytest.mark.filterwarnings(f"ignore:{message}")
    for message in (
        "Converting a tensor with requires_grad=True to a scalar",
        "Importing `spectral_angle_mapper`",
        "`?torch",
    )
]
"""Third parties' warnings on current torch are no failures of ours."""


def tiny_config(method, output, steps):
    config = copy.deepcopy(method.config)
    config.output_dir, config.timestamp, config.experiment_name = output, "run", "tiny"
    config.max_num_iterations = steps
    config.machine.device_type = "cpu"
    return config


def trained(config):
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()
    trainer.train()
    return trainer


def check_refusals(pipeline, weights):
    """A loss of weights that aren't finite, and a checkpoint of something else, are refused."""
    kept = weights.detach().clone()
    with torch.no_grad():
        weights.fill_(float("nan"))
    with pytest.raises(TrainingError, match="is nan"):
        pipeline.get_train_loss_dict(0)
    with torch.no_grad():
        weights.copy_(kept)
    with pytest.raises(ModelFileError, match="does not fit"):
        pipeline.load_pipeline({"_model.other": torch.zeros(1)}, 0)
