"""A tiny run of `air` through nerfstudio's trainer: files, resume, refusals."""

from __future__ import annotations

import pytest
import tiny_runs
import torch
import yaml
from tiny_runs import QUIET, trained

from lerf_wild.errors import LerfWildError, ModelFileError, TrainingError
from lerf_wild.inverse.primitive_inference import load_air
from lerf_wild.inverse.primitive_setups import REFERENCE
from lerf_wild.registry import air
from lerf_wild.synth.primitives import write_shards

pytestmark = QUIET


def tiny_config(output, steps=4):
    config = tiny_runs.tiny_config(air, output, steps)
    config.steps_per_eval_image = 2
    model, data = config.pipeline.model, config.pipeline.datamanager
    model.stem = model.fine = model.coarse = 8
    model.token = 16
    data.batch_size, data.eval_scenes = 4, 8
    return config


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tiny_config(tmp_path_factory.mktemp("runs")))


def test_run_leaves_weights_pictures_and_checkpoint(run):
    names = {path.name for path in run.base_dir.iterdir()}
    assert {"air.safetensors", "gallery.png", "confusion.png", "errors.png"} <= names
    assert {"curves.png", "training.gif", "config.yml"} <= names
    assert list(run.checkpoint_dir.glob("step-*.ckpt"))
    assert load_air(str(run.base_dir / "air.safetensors")).setup is REFERENCE


def test_run_resumes_from_its_checkpoint(run, tmp_path):
    config = tiny_config(tmp_path, steps=2)
    config.load_dir = run.checkpoint_dir
    again = trained(config)
    assert again.step == run.step + 2


def test_figures_and_gallery(run):
    figures, images = run.pipeline.get_eval_image_metrics_and_images(step=9)
    assert {"count_exact", "z_mae", "num_rays"} <= figures.keys()
    assert images["gallery"].ndim == 3
    assert "count_exact" in run.pipeline.get_average_eval_image_metrics()


def test_average_follows_the_network(run):
    model = run.pipeline.model
    before = model.average.places.clone()
    with torch.no_grad():
        model.network.places += 1.0
    model.after_step(10_000)
    assert torch.allclose(model.average.places - before, torch.tensor(0.002), atol=1e-3)
    assert not model.train().average.training


def test_training_from_shards(tmp_path):
    list(write_shards(tmp_path / "data", 12, 0, REFERENCE, shard_size=6))
    config = tiny_config(tmp_path, steps=1)
    config.pipeline.datamanager.data = tmp_path / "data"
    manager = config.pipeline.datamanager.setup(device="cpu")
    first, again = manager.train_batch(3)[0], manager.train_batch(3)[0]
    assert torch.equal(first, again)
    assert not torch.equal(first, manager.train_batch(4)[0])


def test_checkpoints_of_other_sizes_are_refused(run, tmp_path):
    config = tiny_config(tmp_path)
    config.pipeline.model.token = 32
    pipeline = config.pipeline.setup(device="cpu")
    with pytest.raises(ModelFileError, match="does not fit"):
        pipeline.load_pipeline(run.pipeline.state_dict(), 0)


def test_a_loss_that_is_not_finite_stops_training(tmp_path):
    pipeline = tiny_config(tmp_path).pipeline.setup(device="cpu")
    with torch.no_grad():
        pipeline.model.network.places[:] = torch.nan
    with pytest.raises(TrainingError, match="nan"):
        pipeline.get_train_loss_dict(0)


def test_unknown_setup(tmp_path):
    config = tiny_config(tmp_path)
    config.pipeline.datamanager.setup_name = "moon"
    with pytest.raises(LerfWildError, match="moon"):
        config.pipeline.setup(device="cpu")


def test_schedules_in_configs_of_earlier_runs_are_read():
    text = "!!python/object:lerf_wild.methods.air.config.AirScheduleConfig {steps: 7, warmup: 2}"
    schedule = yaml.load(text, Loader=yaml.Loader).setup()
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=0.01)
    assert schedule.get_scheduler(optimiser, 0.01).get_last_lr() == [0.005]
