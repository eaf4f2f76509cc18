"""Queries on a trained run: what views hold, scales, saved phrases, hostile text."""

from __future__ import annotations

import contextlib
import json
import random

import pytest
import torch

from lerf_wild.errors import EncoderError, QueryError
from lerf_wild.language.phrases import split_phrases
from lerf_wild.methods.lerf_wild import view_query
from lerf_wild.methods.lerf_wild.pipeline import PHRASES_FILE, saved_phrases
from lerf_wild.methods.lerf_wild.scale_search import TopSamples, fold_query, relevancy_over_sizes
from lerf_wild.methods.lerf_wild.view_query import answer_view, neighbouring_sizes, relevancy_at


@pytest.fixture()
def model(trained):
    model = trained.pipeline.model.eval()
    yield model
    model.set_query(None)
    model.train()


@pytest.fixture()
def camera(trained):
    return trained.pipeline.datamanager.train_dataset.cameras[0:1]


def rays_of(camera):
    return camera.generate_rays(camera_indices=0, keep_shape=True)


def test_without_query_there_are_nerfacto_outputs_only(model, camera):
    outputs = model.get_outputs_for_camera(camera)
    assert not [name for name in outputs if "relevancy" in name or "composited" in name]
    assert {"rgb", "depth", "accumulation", "expected_depth"} <= set(outputs)


def test_query_adds_one_map_for_each_phrase(model, camera):
    model.set_phrases(["red", "green thing"])
    outputs = model.get_outputs_for_camera(camera)
    for index in range(2):
        assert outputs[f"relevancy_{index}"].shape == (32, 32, 1)
        assert outputs[f"composited_{index}"].shape == (32, 32, 3)
        assert 0 <= outputs[f"relevancy_{index}"].min()
        assert outputs[f"relevancy_{index}"].max() <= 1
    assert "relevancy_2" not in outputs


def test_query_does_not_change_the_colours(model, camera):
    plain = model.get_outputs_for_camera(camera)["rgb"]
    model.set_phrases(["red"])
    assert torch.equal(model.get_outputs_for_camera(camera)["rgb"], plain)


def test_composite_of_a_phrase_is_masked_by_its_own_relevancy(model, camera):
    model.set_phrases(["red", "blue"])
    outputs = model.get_outputs_for_camera(camera)
    for index in range(2):
        outside = outputs[f"relevancy_{index}"][..., 0] <= 0.5
        picture = outputs[f"composited_{index}"]
        assert torch.equal(picture[outside].amax(-1), picture[outside].amin(-1))


def all_sizes(model, camera, query):
    """Every pixel at every size, as LERF does it."""
    with torch.no_grad():
        _, samples = model.shade(rays_of(camera).flatten())
        folded = fold_query(query, model.language.clip_head)
        return relevancy_over_sizes(
            model.language, samples, folded, model.query_sizes(), model.basis_range
        )


@pytest.mark.parametrize("probe_rays", [16, 64, 10_000])
def test_peaks_are_those_of_trying_every_size_at_every_pixel(settled, probe_rays, monkeypatch):
    model = settled.pipeline.model.eval()
    camera = settled.pipeline.datamanager.train_dataset.cameras[1:2]
    monkeypatch.setattr(model.config, "probe_rays", probe_rays)
    model.set_phrases(["red", "green", "blue"])
    answer = answer_view(model, rays_of(camera), model.query)
    table = all_sizes(model, camera, model.query)
    assert torch.allclose(answer.relevancy_HWP.amax(dim=(0, 1)), table.amax(dim=(0, 1)), atol=1e-3)
    model.train()


def test_the_best_of_a_size_and_its_neighbours_is_taken(settled):
    model = settled.pipeline.model.eval()
    camera = settled.pipeline.datamanager.train_dataset.cameras[1:2]
    model.set_phrases(["red", "green", "blue"])
    peaks = all_sizes(model, camera, model.query).amax(dim=0)
    folded = fold_query(model.query, model.language.clip_head)
    with torch.no_grad():
        _, samples = model.shade(rays_of(camera).flatten())
        for start in range(0, len(peaks), 5):
            index = torch.full((3,), start)
            there = relevancy_at(model, samples, folded, model.query_sizes(), index)
            found = neighbouring_sizes(model, samples, folded, there, index)
            low = max(start - 1, 0)
            assert torch.equal(found, low + peaks[low : start + 2].argmax(dim=0))
    model.train()


def test_large_views_are_answered_like_small_ones(model, camera, monkeypatch):
    model.set_phrases(["red", "green"])
    monkeypatch.setattr(model.config, "probe_rays", 10_000)
    small = answer_view(model, rays_of(camera), model.query)
    monkeypatch.setattr(view_query, "KEPT_RAYS", 100)
    large = answer_view(model, rays_of(camera), model.query)
    assert torch.equal(small.size_P, large.size_P)
    assert torch.allclose(small.relevancy_HWP, large.relevancy_HWP, atol=1e-5)
    assert torch.equal(small.outputs["rgb"], large.outputs["rgb"])


def test_identical_phrases_give_identical_maps(model, camera):
    model.set_phrases(["red", "red"])
    outputs = model.get_outputs_for_camera(camera)
    assert torch.equal(outputs["relevancy_0"], outputs["relevancy_1"])


def test_loose_rays_keep_one_size_for_a_query(model, trained):
    model.set_phrases(["red"])
    rays, _ = trained.pipeline.datamanager.next_train(0)
    with torch.no_grad():
        first, again = model(rays), model(rays)
    assert first["composited_0"].shape == (128, 3)
    assert torch.equal(first["relevancy_0"], again["relevancy_0"])
    rgba = model.get_rgba_image(first, "composited_0")
    assert rgba.shape == (128, 4)


def test_rendering_leaves_training_steps_as_they_are(trained, camera):
    sampler = trained.pipeline.model.proposal_sampler
    before = sampler._steps_since_update
    trained.pipeline.eval()
    trained.pipeline.model.get_outputs_for_camera(camera)
    trained.pipeline.train()
    assert sampler._steps_since_update == before


def test_places_that_no_view_sees_answer_nothing(model, camera):
    model.set_phrases(["red"])
    counts = model.view_counts.clone()
    try:
        model.view_counts.zero_()
        outputs = model.get_outputs_for_camera(camera)
        assert (outputs["relevancy_0"] == 0).all()
    finally:
        model.view_counts.copy_(counts)


def test_rays_that_mostly_end_in_unseen_places_answer_nothing(model, monkeypatch):
    weights_RK = torch.tensor([[0.3, 0.1], [0.1, 0.3], [0.0, 0.0]])
    monkeypatch.setattr(type(model), "is_seen", lambda *_: torch.tensor([[1.0, 0.0]]))
    seen = model._visible(TopSamples(torch.rand(3, 2, 3), weights_RK))
    assert seen.weights_RK.tolist() == [[pytest.approx(0.3), 0], [0, 0], [0, 0]]


def test_language_at_points_is_unit_length(model):
    found = model.language_at(torch.randn(10, 3), torch.full((10,), 0.2))
    assert found.shape == (10, 16)
    assert torch.allclose(found.norm(dim=-1), torch.ones(10), atol=1e-4)


def test_hostile_phrases_leave_a_whole_query_or_none(model):
    letters = random.Random(0)
    texts = ["", ";;;", "x" * 300, ";".join("a" * 300), "\x00", "🦊", "a;\n;b", "\ud800"]
    texts += ["".join(chr(letters.randrange(1, 0x2FFF)) for _ in range(20)) for _ in range(50)]
    for text in texts:
        with contextlib.suppress(QueryError):
            model.set_phrases(split_phrases(text))
        query = model.query
        assert query is None or len(query.phrases) == len(query.embeddings_PD)


def test_encoder_of_another_training_is_refused(model, monkeypatch):
    monkeypatch.setattr(model.config, "encoder_identity", "ViT-B-16@1234")
    with pytest.raises(EncoderError, match="ViT-B-16@1234"):
        model.set_phrases(["red"])


@pytest.mark.parametrize(
    ("text", "phrases"),
    [("red fox; fallen log", ("red fox", "fallen log")), ("", ()), (None, ()), (" ; ;", ())],
)
def test_split_phrases(text, phrases):
    assert split_phrases(text) == phrases


def test_saved_phrases_environment_then_file_then_config(trained, monkeypatch, tmp_path):
    config = trained.config.pipeline
    monkeypatch.setattr(config, "run_dir", tmp_path)
    monkeypatch.setattr(config.model, "prompt", "blue")
    assert saved_phrases(config) == ("blue",)
    (tmp_path / PHRASES_FILE).write_text(json.dumps({"phrases": ["green", "red"]}))
    assert saved_phrases(config) == ("green", "red")
    monkeypatch.setenv("LERF_WILD_PHRASES", "red;blue")
    assert saved_phrases(config) == ("red", "blue")


def test_broken_phrases_file_is_a_query_error(trained, monkeypatch, tmp_path):
    config = trained.config.pipeline
    monkeypatch.setattr(config, "run_dir", tmp_path)
    (tmp_path / PHRASES_FILE).write_text('{"phrases": [1]}')
    with pytest.raises(QueryError, match=PHRASES_FILE):
        saved_phrases(config)


def test_eval_setup_loads_the_run_and_its_phrases(trained, monkeypatch):
    from nerfstudio.utils.eval_utils import eval_setup

    monkeypatch.setenv("LERF_WILD_PHRASES", "red")
    _, pipeline, _, step = eval_setup(trained.base_dir / "config.yml")
    assert step == 5
    assert pipeline.model.query.phrases == ("red",)
    assert pipeline.datamanager.train_bank is None


def test_open_run_loads_the_same_without_the_configs_of_all_methods(trained, monkeypatch):
    import sys

    from lerf_wild.cli.runs import open_run

    monkeypatch.delitem(sys.modules, "nerfstudio.utils.eval_utils", raising=False)
    # Importing what is None here is an error.
    monkeypatch.setitem(sys.modules, "nerfstudio.configs.method_configs", None)
    run = open_run(trained.base_dir / "config.yml")
    assert run.step == 5
    theirs = trained.pipeline.model.field.state_dict()
    for name, value in run.pipeline.model.field.state_dict().items():
        torch.testing.assert_close(value, theirs[name].cpu())


def test_a_config_of_something_else_is_refused(tmp_path):
    from lerf_wild.cli.runs import open_run
    from lerf_wild.errors import ModelFileError

    tag = "!!python/object:lerf_wild.methods.lerf_wild.config.FusedAdamOptimizerConfig"
    (tmp_path / "config.yml").write_text(f"{tag}\nlr: 0.1\n")
    (tmp_path / "nerfstudio_models").mkdir()
    (tmp_path / "nerfstudio_models" / "step-000000001.ckpt").touch()
    with pytest.raises(ModelFileError, match="holds a FusedAdamOptimizerConfig"):
        open_run(tmp_path)


def test_phrase_is_found_where_it_is(settled):
    """The wall's colours are known from where a camera looks."""
    import stand_in

    model = settled.pipeline.model.eval()
    model.set_phrases(list(stand_in.COLOURS))
    dataset = settled.pipeline.datamanager.train_dataset
    outputs = model.get_outputs_for_camera(dataset.cameras[2:3])
    picture = dataset[2]["image"][..., :3]
    for index, colour in enumerate(stand_in.COLOURS.values()):
        is_colour = ((picture - torch.tensor(colour)).abs() < 0.05).all(dim=-1)
        peak = int(outputs[f"relevancy_{index}"].flatten().argmax())
        assert is_colour.flatten()[peak]
    model.train()


def test_tile_sizes_are_those_of_the_wall(settled):
    """Tiles of 0.05 to 0.5 of a view that spans 2 m, at a distance of 2 m, are 0.1 to 1 m."""
    pipeline = settled.pipeline
    metres = 1.0 / pipeline.datamanager.train_dataparser_outputs.dataparser_scale
    low, high = (torch.exp2(pipeline.model.size_range) * metres).tolist()
    assert 0.07 < low < 0.2
    assert 0.7 < high < 1.4
