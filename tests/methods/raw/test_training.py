"""A tiny run of `raw` through nerfstudio's trainer: files and refusals."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import tiny_runs
import torch
from tiny_runs import QUIET, check_refusals, trained

from lerf_wild.assets.recipes import STARTERS
from lerf_wild.cli import main
from lerf_wild.errors import DatasetError
from lerf_wild.inverse.program_weights import (
    READER,
    TEMPLATES,
    load_reader,
    load_templates,
    save_reader,
)
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
def test_the_same_step_gets_the_same_pictures(run):
    manager = run.pipeline.datamanager
    first, again = manager.train_batch(3), manager.train_batch(3)
    assert torch.equal(first.rgb_N3HW, again.rgb_N3HW)
    assert not torch.equal(first.rgb_N3HW, manager.train_batch(4).rgb_N3HW)


@pytest.mark.slow
def test_validation_is_of_other_pictures_and_always_the_same(run):
    pipeline = run.pipeline
    _, first, _ = pipeline.get_eval_loss_dict(0)
    _, again, _ = pipeline.get_eval_loss_dict(7)
    assert {n: float(v) for n, v in first.items()} == {n: float(v) for n, v in again.items()}
    assert all(math.isfinite(float(v)) for v in first.values())
    shown = pipeline.datamanager.eval_batch().rgb_N3HW
    known = pipeline.datamanager.everything.rgb_N3HW
    assert not any(torch.equal(a, b) for a in shown for b in known)


@pytest.mark.slow
def test_prototypes_are_taken_over_by_name(run, tmp_path):
    names = run.pipeline.datamanager.assets
    reader = run.pipeline.model.average
    save_reader(tmp_path / READER, reader, ("someone else", *names[1:]))
    config = replace(run.config.pipeline.model, initial=tmp_path / READER)
    begun = config.setup(assets=names).reader.prototypes
    assert torch.allclose(begun[1:], reader.prototypes[1:], atol=2e-3)
    assert not torch.allclose(begun[0], reader.prototypes[0], atol=2e-3)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run(run):
    check_refusals(run.pipeline, run.pipeline.model.reader.decoder.kind[1].bias)


def test_a_folder_without_a_dataset_is_refused(tmp_path):
    with pytest.raises((DatasetError, ValueError)):
        tiny_config(tmp_path, tmp_path / "nothing").pipeline.datamanager.setup(device="cpu")


def test_the_method_is_known_by_name_and_light():
    assert raw.config.method_name == "raw"
    assert raw.config.pipeline.model.part == "all"
