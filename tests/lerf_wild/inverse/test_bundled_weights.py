"""The weights that come with the package: there, small, and about as good as their card says."""

import pytest
import torch

from lerf_wild.inverse.primitive_inference import infer, load_air
from lerf_wild.inverse.primitive_metrics import set_metrics
from lerf_wild.inverse.primitive_refine import RefineSpec
from lerf_wild.inverse.primitive_weights import BUNDLED, BUNDLED_NAMES
from lerf_wild.inverse.unsupervised_weights import load_unsupervised, measure_unsupervised

SETUP_OF = {"reference-budget": "reference"}


def validation(setup, count):
    return setup.draw(count, torch.Generator().manual_seed(20_080))


def test_all_files_together_are_small():
    files = {path.name: path.stat().st_size for path in BUNDLED.glob("*.safetensors")}
    assert files.keys() == {f"{name}.safetensors" for name in (*BUNDLED_NAMES, "unsupervised")}
    assert sum(files.values()) < 15e6
    assert (BUNDLED / "README.md").is_file()


@pytest.mark.parametrize("name", BUNDLED_NAMES)
def test_networks_alone_see_most_objects(name):
    model = load_air(name)
    assert model.setup.name == SETUP_OF.get(name, name)
    images, truth = validation(model.setup, 60)
    figures = set_metrics(infer(model, images).scenes, truth)
    assert figures["count_exact"] > 0.6 and figures["type_accuracy"] > 0.7


def test_refinement_makes_poses_exact():
    model = load_air("reference")
    images, truth = validation(model.setup, 60)
    figures = set_metrics(infer(model, images, RefineSpec(starts=2)).scenes, truth)
    assert figures["count_exact"] > 0.9 and figures["x_mae"] < 0.02
    assert figures["cube_rotation_deg"] < 5.0 and figures["cylinder_axis_deg"] < 4.0


def test_the_unsupervised_network_counts():
    assert measure_unsupervised(load_unsupervised(), 200, 20_081)["count_exact"] > 0.9
