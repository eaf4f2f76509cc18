"""A tiny run of `raw` through nerfstudio's trainer: files and refusals."""

from __future__ import annotations

import copy

import pytest
import torch

from lerf_wild.cli import main
from lerf_wild.errors import DatasetError, ModelFileError, TrainingError
from lerf_wild.inverse.program_weights import READER, TEMPLATES, load_reader, load_templates
from lerf_wild.registry import raw

torch.set_num_threads(1)

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{message}")
    for message in (
        "Converting a tensor with requires_grad=True to a scalar",
        "Importing `spectral_angle_mapper`",
        "`?torch",
    )
]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "raw"
    main(["synth", "raw", "--output-dir", str(folder), "--scenes", "1", "--views", "2"])
    return folder


def tiny_config(output, data, steps=2):
    config = copy.deepcopy(raw.config)
    config.output_dir, config.timestamp, config.experiment_name = output, "run", "tiny"
    config.max_num_iterations = steps
    config.machine.device_type = "cpu"
    config.pipeline.datamanager.data = data
    config.pipeline.datamanager.batch_size = 2
    config.pipeline.datamanager.eval_scenes = 1
    config.pipeline.template_yaws = 2
    config.pipeline.model.low_precision = False
    return config


@pytest.fixture(scope="module")
def run(tmp_path_factory, shards):
    trainer = tiny_config(tmp_path_factory.mktemp("runs"), shards).setup(local_rank=0, world_size=1)
    trainer.setup()
    trainer.train()
    return trainer


@pytest.mark.slow
def test_run_leaves_weights_templates_and_checkpoint(run):
    _, assets, _ = load_reader(run.base_dir / READER)
    assert assets == run.pipeline.datamanager.assets
    assert load_templates(run.base_dir / TEMPLATES).names == assets
    assert list(run.checkpoint_dir.glob("step-*.ckpt"))
    figures = run.pipeline.get_average_eval_image_metrics()
    assert {"count_exact", "class_accuracy", "yaw_error_deg", "recall_at_1"} <= figures.keys()


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run(run):
    bias = run.pipeline.model.reader.decoder.kind[1].bias
    kept = bias.detach().clone()
    with torch.no_grad():
        bias.fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"is nan"):
        run.pipeline.get_train_loss_dict(0)
    with torch.no_grad():
        bias.copy_(kept)
    with pytest.raises(ModelFileError, match="does not fit"):
        run.pipeline.load_pipeline({"_model.other": torch.zeros(1)}, 0)


def test_a_folder_without_a_dataset_is_refused(tmp_path):
    with pytest.raises((DatasetError, ValueError)):
        tiny_config(tmp_path, tmp_path / "nothing").pipeline.datamanager.setup(device="cpu")


def test_the_method_is_known_by_name_and_light():
    assert raw.config.method_name == "raw"
    assert raw.config.pipeline.model.part == "all"
