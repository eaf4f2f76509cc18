"""A tiny run of `genzoo` through nerfstudio's trainer: files, figures, refusals."""

from __future__ import annotations

import pytest
import tiny_runs
from tiny_runs import QUIET, check_refusals, trained

from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.cli import main
from lerf_wild.errors import DatasetError
from lerf_wild.inverse.animal_weights import load_network
from lerf_wild.registry import genzoo

pytestmark = QUIET


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "genzoo"
    words = ["synth", "genzoo", "--output-dir", str(folder), "--num", "3", "--size", "64"]
    main([*words, "--signals", "False", "--runner", "local"])
    return folder


def tiny_config(output, data, steps=2):
    config = tiny_runs.tiny_config(genzoo, output, steps)
    config.pipeline.datamanager.data = config.pipeline.datamanager.eval_data = data
    config.pipeline.datamanager.batch_size = 2
    config.pipeline.datamanager.eval_pictures = 2
    config.pipeline.model.low_precision = False
    config.pipeline.model.input_px = 64
    return config


@pytest.fixture(scope="module")
def run(tmp_path_factory, shards):
    return trained(tiny_config(tmp_path_factory.mktemp("runs"), shards))


@pytest.mark.slow
def test_a_run_leaves_weights_and_figures(run):
    body = load_quadruped().model.sha256
    network, about = load_network(run.base_dir / "genzoo.safetensors", body)
    assert network.spec.input_px == 64 and about["pictures"] == "3"
    assert list(run.checkpoint_dir.glob("step-*.ckpt"))
    figures = run.pipeline.get_average_eval_image_metrics()
    assert {"pck_05", "s_mpjpe", "pa_mpjpe", "s_v2v", "pa_v2v"} <= figures.keys()


@pytest.mark.slow
def test_a_run_goes_on_from_its_checkpoint(run, shards, tmp_path):
    config = tiny_config(tmp_path, shards)
    config.load_dir = run.checkpoint_dir
    again = trained(config)
    assert again.step == run.step + 2
    rest = again.optimizers.optimizers["network_rest"]
    assert {int(state["step"]) for state in rest.state.values()} == {again.step + 1}


@pytest.mark.slow
def test_steps_are_those_of_the_trainer_that_made_the_bundled_weights(run):
    network, groups = run.pipeline.model.network, run.pipeline.get_param_groups()
    inner, outer = network.inner_and_outer()
    assert [len(groups["network"]), len(groups["network_rest"])] == [len(inner), len(outer)]
    for name, large in (("network", True), ("network_rest", False)):
        (group,) = run.optimizers.optimizers[name].param_groups
        assert group["large"] is large and len(group["params"]) == len(groups[name])
    trained = {id(p) for part in groups.values() for p in part}
    assert trained == {id(p) for p in network.parameters()}


@pytest.mark.slow
def test_what_cannot_go_on_says_why(run):
    check_refusals(run.pipeline, run.pipeline.model.network.rest.bias)


def test_a_folder_without_shards_is_refused(tmp_path):
    with pytest.raises((DatasetError, ValueError)):
        tiny_config(tmp_path, tmp_path / "nothing").pipeline.datamanager.setup(device="cpu")


def test_the_method_is_known_by_name_and_has_the_papers_weights():
    model = genzoo.config.pipeline.model
    assert genzoo.config.method_name == "genzoo"
    weights = model.projection_weight, model.rotation_weight, model.shape_weight
    assert weights == (0.01, 100.0, 50.0)
