"""A tiny run of `raw` through nerfstudio's trainer: files and refusals."""

from __future__ import annotations

import pytest
import tiny_runs
from tiny_runs import QUIET, check_refusals, trained

from lerf_wild.assets.recipes import STARTERS
from lerf_wild.cli import main
from lerf_wild.errors import DatasetError
from lerf_wild.inverse.program_weights import READER, TEMPLATES, load_reader, load_templates
from lerf_wild.registry import raw

pytestmark = QUIET


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "raw"
    main(["synth", "raw", "--output-dir", str(folder), "--scenes", "1", "--views", "2"])
    return folder


def tiny_config(output, data, steps=2):
    config = tiny_runs.tiny_config(raw, output, steps)
    config.pipeline.datamanager.data = data
    config.pipeline.datamanager.batch_size = 2
    config.pipeline.datamanager.eval_scenes = 1
    config.pipeline.template_yaws = 2
    config.pipeline.model.low_precision = False
    return config


@pytest.fixture(scope="module")
def run(tmp_path_factory, shards):
    return trained(tiny_config(tmp_path_factory.mktemp("runs"), shards))


@pytest.mark.slow
def test_run_leaves_weights_templates_and_checkpoint(run):
    _, assets, _ = load_reader(run.base_dir / READER)
    assert assets == run.pipeline.datamanager.assets
    assert load_templates(run.base_dir / TEMPLATES).names == tuple(STARTERS)
    assert list(run.checkpoint_dir.glob("step-*.ckpt"))
    figures = run.pipeline.get_average_eval_image_metrics()
    assert {"count_exact", "class_accuracy", "yaw_error_deg", "recall_at_1"} <= figures.keys()


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run(run):
    check_refusals(run.pipeline, run.pipeline.model.reader.decoder.kind[1].bias)


def test_a_folder_without_a_dataset_is_refused(tmp_path):
    with pytest.raises((DatasetError, ValueError)):
        tiny_config(tmp_path, tmp_path / "nothing").pipeline.datamanager.setup(device="cpu")


def test_the_method_is_known_by_name_and_light():
    assert raw.config.method_name == "raw"
    assert raw.config.pipeline.model.part == "all"
