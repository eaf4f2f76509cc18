"""Still views answer like the slow path and like every size at every pixel; threads and weights."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch

from lerf_wild.language.relevancy import Query
from lerf_wild.live.painting import Look
from lerf_wild.live.question import Question, plain_question
from lerf_wild.methods.lerf_wild import kept_view
from lerf_wild.methods.lerf_wild.kept_view import RESIDUAL, KeptView
from lerf_wild.methods.lerf_wild.live_views import PAINTED, LiveViews, ViewLayers
from lerf_wild.methods.lerf_wild.scale_search import fold_query, relevancy_over_sizes
from lerf_wild.methods.lerf_wild.view_query import answer_view, shade_view

WORST = 10 / 4 * (2 * RESIDUAL + 2e-3)
"""Slope of the sigmoid times what the cosines may be off: the residuals and half precision."""


@pytest.fixture()
def model(settled):
    model = settled.pipeline.model.eval()
    yield model
    model.set_query(None)
    model.train()


@pytest.fixture()
def camera(settled):
    return settled.pipeline.datamanager.train_dataset.cameras[0:1]


def rays_of(camera):
    return camera.generate_rays(camera_indices=0, keep_shape=True)


def kept(model, camera, max_bytes=1 << 28):
    return KeptView(model, "view", *shade_view(model, rays_of(camera)), max_bytes)


def random_query(count, dim=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    unit = torch.nn.functional.normalize
    phrases = unit(torch.randn(count, dim, generator=generator), dim=-1)
    canonical = unit(torch.randn(4, dim, generator=generator), dim=-1)
    return Query(tuple(map(str, range(count))), phrases, ("a", "b", "c", "d"), canonical)


def exact_lerf(model, camera, query):
    """Every pixel at every size, then the size with the highest peak: the paper's order."""
    with torch.no_grad():
        _, samples = model.shade(rays_of(camera).flatten())
        folded = fold_query(query, model.language.clip_head)
        table_RSP = relevancy_over_sizes(
            model.language, samples, folded, model.query_sizes(), model.basis_range
        )
    best_P = table_RSP.amax(dim=0).argmax(dim=0)
    return table_RSP.gather(1, best_P.expand(len(table_RSP), 1, -1))[:, 0]


@pytest.mark.parametrize("filled", [False, True])
def test_a_kept_view_answers_like_the_slow_path(model, camera, filled):
    view, query = kept(model, camera), random_query(20)
    while filled and view.fill_one():
        pass
    slow = answer_view(model, rays_of(camera), query)
    relevancy_HWP, size_P = view.answer(query, slow.size_P.tolist())
    assert torch.equal(size_P, slow.size_P)
    assert (relevancy_HWP - slow.relevancy_HWP).abs().max() < WORST
    peak = [one.flatten(0, 1).argmax(dim=0) for one in (relevancy_HWP, slow.relevancy_HWP)]
    assert torch.equal(*peak)
    # The slow path tries sizes coarsely first, so its choice may be the lesser one.
    own_P = view.answer(query)[0].amax(dim=(0, 1))
    assert (own_P >= slow.relevancy_HWP.amax(dim=(0, 1)) - 1e-4).all()


def test_peaks_are_those_of_exact_lerf(model, camera):
    view, query = kept(model, camera), random_query(100, seed=1)
    exact_RP = exact_lerf(model, camera, query)
    found_RP = view.answer(query)[0].flatten(0, 1)
    same = (found_RP.argmax(dim=0) == exact_RP.argmax(dim=0)).float().mean()
    assert same >= 0.98
    assert (found_RP - exact_RP).abs().mean() < 0.01


def test_rays_that_show_nothing_have_no_say_in_the_size(model, camera):
    layers, samples = shade_view(model, rays_of(camera))
    is_blank_R1 = (torch.arange(len(samples)) % 3 > 0)[:, None]
    part = replace(samples, weights_RK=samples.weights_RK * ~is_blank_R1)
    view, query = KeptView(model, "view", layers, part, 1 << 28), random_query(60, seed=2)
    folded = fold_query(query, model.language.clip_head)
    with torch.no_grad():
        table_RSP = relevancy_over_sizes(
            model.language, part, folded, model.query_sizes(), model.basis_range
        )
    exact_P, found_P = table_RSP.amax(dim=(0, 1)), view.answer(query)[0].amax(dim=(0, 1))
    assert (exact_P < 0.5).sum() > 5
    assert (view._probe_SRQ.norm(dim=-1) > 0.9).all()
    assert ((exact_P - found_P).abs() < 1e-3).float().mean() >= 0.95


def test_the_subspace_leaves_out_less_than_it_says(model, camera):
    view = kept(model, camera)
    for size in view.sizes_S.tolist():
        features, whole = view._features(size), view._units(size)
        if not features.is_whole:
            restored = features.coordinates_RV.float() @ view._basis_QV.T
            assert (restored - whole).norm(dim=1).max() < RESIDUAL + 2**-10
    assert view.compressed_dims[0] <= view.compressed_dims[1]


def test_sizes_that_leave_the_subspace_are_kept_whole(model, camera, monkeypatch):
    monkeypatch.setattr(kept_view, "RESIDUAL", 1e-9)
    view, query = kept(model, camera), random_query(3)
    assert view._features(view.sizes_S.tolist()[0]).is_whole
    slow = answer_view(model, rays_of(camera), query)
    found_HWP, _ = view.answer(query, slow.size_P.tolist())
    assert (found_HWP - slow.relevancy_HWP).abs().max() < WORST


def test_little_memory_gives_the_same_answer(model, camera):
    query = random_query(10)
    small, large = kept(model, camera, max_bytes=1), kept(model, camera)
    assert torch.equal(small.answer(query)[0], large.answer(query)[0])
    assert len(small._kept) == 1
    assert not small.fill_one()


def test_position_parts_in_chunks_give_the_same_units(model, camera, monkeypatch):
    size = float(model.query_sizes()[3])
    whole = kept(model, camera)._units(size)
    monkeypatch.setattr(kept_view, "PART_BYTES", 0)
    assert torch.allclose(kept(model, camera)._units(size), whole, atol=1e-5)


def test_phrases_that_were_answered_are_not_computed_again(model, camera, monkeypatch):
    view, query = kept(model, camera), random_query(6)
    whole, sizes_P = view.answer(query)
    asked, relevancy = [], view._relevancy
    monkeypatch.setattr(
        view,
        "_relevancy",
        lambda folded, sizes: asked.append(len(sizes)) or relevancy(folded, sizes),
    )
    again, _ = view.answer(query)
    assert torch.equal(again, whole) and not asked
    other = random_query(7, seed=9)
    mixed = replace(
        query,
        phrases=(*query.phrases[:3], "new"),
        embeddings_PD=torch.cat([query.embeddings_PD[:3], other.embeddings_PD[6:]]),
    )
    found, found_P = view.answer(mixed)
    assert torch.equal(found[..., :3], whole[..., :3]) and torch.equal(found_P[:3], sizes_P[:3])
    assert set(asked) == {1}
    monkeypatch.setattr(kept_view, "KEPT_ANSWERS", 1)
    view.answer(random_query(1, seed=5))
    assert len(view._answers) == 1


def test_given_sizes_are_used(model, camera):
    relevancy, size_P = kept(model, camera).answer(random_query(2), sizes=(0.3, 0.3))
    assert size_P.tolist() == pytest.approx([0.3, 0.3])
    assert relevancy.shape == (32, 32, 2)


def test_new_canonical_phrases_are_not_mixed_with_the_old(model, camera):
    view = kept(model, camera)
    first, second = random_query(2, seed=3), random_query(2, seed=4)
    view.answer(first)
    assert torch.equal(view.answer(second)[0], kept(model, camera).answer(second)[0])


def test_a_still_view_shades_once_and_a_moving_one_keeps_its_sizes(model, camera, monkeypatch):
    live, question = LiveViews(model), plain_question(random_query(2))
    answers, shaded = [], []
    live.on_answer = answers.append
    shade = model.shade
    monkeypatch.setattr(model, "shade", lambda rays: shaded.append(1) or shade(rays))
    live.layers(camera, None)
    live.layers(camera, question)
    count = len(shaded)
    live.layers(camera, plain_question(random_query(3, seed=5)))
    assert len(shaded) == count
    other = camera.to("cpu")
    other.camera_to_worlds = other.camera_to_worlds.clone()
    other.camera_to_worlds[..., 0, 3] += 0.1
    live.layers(other, plain_question(random_query(3, seed=5)))
    assert [one.is_still for one in answers] == [True, True, False]
    assert answers[2].size_P == answers[1].size_P


def test_new_weights_make_a_new_view(model, camera):
    live, question = LiveViews(model), plain_question(random_query(1))
    live.layers(camera, question)
    before = live.layers(camera, question)["relevancy_0"]
    with torch.no_grad():
        model.language.clip_head.weight.mul_(-1)
        model.language.clip_head.bias.mul_(-1)
    try:
        live.layers(camera, question)
        after = live.layers(camera, question)["relevancy_0"]
        assert not torch.allclose(before, after, atol=1e-3)
        slow = answer_view(model, rays_of(camera), question.query).relevancy_HWP
        assert (after - slow).abs().max() < WORST
    finally:
        with torch.no_grad():
            model.language.clip_head.weight.mul_(-1)
            model.language.clip_head.bias.mul_(-1)


def test_layers_that_are_gone_show_the_picture():
    layers = ViewLayers({"rgb": torch.zeros(1)}, {"late": lambda: torch.ones(1)})
    assert "late" in layers and layers["late"] == 1
    assert layers["late"] == 1
    assert layers["relevancy_7"] is layers["rgb"]


def test_painted_layer_is_always_there(model, camera):
    live = LiveViews(model)
    assert PAINTED in live.layers(camera, None)
    assert PAINTED in live.layers(camera, plain_question(random_query(1)))
    assert PAINTED in live.layers(camera, None)


def test_questions_swapped_by_eight_threads_are_never_mixed(model, camera):
    """Each question's colours say which phrases it has; a layer a phrase, whatever is swapped."""
    live = model.go_live()
    camera = camera.to("cpu")
    camera.rescale_output_resolution(0.25)
    answers, failures = [], []
    live.on_answer = answers.append
    queries = [random_query(count, seed=count) for count in range(1, 9)]

    def swap(own):
        try:
            for turn in range(1000):
                query = queries[(own + turn) % 8]
                colours = ((len(query.phrases),) * 3,) * len(query.phrases)
                look = Look(colours, (1.0,) * len(colours))
                model.ask(None if turn % 17 == 0 else Question(query, look))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=swap, args=(own,)) for own in range(8)]
    for thread in threads:
        thread.start()
    rounds = 0
    while any(thread.is_alive() for thread in threads) or rounds < 50:
        layers = model.get_outputs_for_camera(camera)
        count = sum(name.startswith("relevancy_") for name in layers)
        assert count == 0 or len(answers[-1].score_P) == count
        rounds += 1
    model._live = None
    assert not failures
    for answer in answers:
        query = answer.question.query
        shared = {len(query.phrases), len(query.embeddings_PD), len(answer.score_P)}
        assert shared == {answer.question.look.colours[0][0]}
