"""The flow, its encoder, phrases, proportions, and training on a handful of shapes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.animals.quadruped.anatomy import SPECIES, Anatomy
from lerf_wild.animals.species import FACTORS, load_species, species_named
from lerf_wild.animals.words import phrases, training
from lerf_wild.animals.words.encoder import BUCKETS, WordEncoder, hashed
from lerf_wild.animals.words.flow import ConditionalFlow
from lerf_wild.animals.words.named import read_named_betas
from lerf_wild.animals.words.pairs import Pairs, Recipe, draw_recipes, read_pairs, write_pairs
from lerf_wild.animals.words.proportions import (
    MEASURES,
    STEPS,
    anatomy_of,
    degree_factors,
    measured,
    scaled,
)
from lerf_wild.animals.words.shapes import LIMIT, ShapeFlow, read_shape_flow, write_shape_flow
from lerf_wild.errors import InputError

MODEL = load_quadruped().model


def random_flow(betas=7, condition=5):
    flow = ConditionalFlow(betas, condition, 16, seed=1).double()
    generator = torch.Generator().manual_seed(0)
    for parameter in flow.parameters():
        parameter.data = 0.4 * torch.randn(parameter.shape, generator=generator).double()
    flow.spread_K.copy_(torch.rand(betas, generator=generator).double() + 0.5)
    return flow


def test_the_flow_is_inverted_exactly():
    flow, generator = random_flow(), torch.Generator().manual_seed(1)
    noise, condition = (torch.randn(9, n, generator=generator).double() for n in (7, 5))
    back, _ = flow.noise(flow.shapes(noise, condition), condition)
    torch.testing.assert_close(back, noise)


def test_the_change_of_volume_is_the_jacobians():
    flow, generator = random_flow(), torch.Generator().manual_seed(2)
    betas, condition = (torch.randn(n, generator=generator).double() for n in (7, 5))

    def noise_of(row):
        return flow.noise(row[None], condition[None])[0][0]

    jacobian = torch.autograd.functional.jacobian(noise_of, betas)
    _, change = flow.noise(betas[None], condition[None])
    torch.testing.assert_close(change[0], jacobian.slogdet().logabsdet)


def test_hashing_is_stable_and_blind_to_case():
    first, second = hashed(["A Long-legged dog"]), hashed(["long legged DOG"])
    assert all(one.equal(other) for one, other in zip(first, second))
    assert not hashed(["long legs"]).runs_UG.equal(hashed(["short legs"]).runs_UG)
    assert hashed(["dog"]).runs_UG[0, :3].tolist() == [3608, 1932, 2429]
    padded = hashed(["a dog", "big grey dog"])
    assert padded.words_BW.tolist() == [[0, 3, 3], [1, 2, 0]]
    assert (padded.runs_UG[3] == BUCKETS).all()
    with pytest.raises(InputError, match="no word"):
        hashed(["..."])


def test_padding_changes_no_embedding():
    encoder = WordEncoder().eval()
    together = encoder.encode_text(["a dog", "a very long-necked horse with a short tail"])
    torch.testing.assert_close(encoder.encode_text(["a dog"])[0], together[0])
    torch.testing.assert_close(together.norm(dim=-1), torch.ones(2))


def test_factors_scale_what_they_name():
    own = SPECIES["deer"]
    assert scaled(own, {}) == own
    legs = scaled(own, {"leg": 1.5})
    assert legs.chest == own.chest
    assert legs.withers - 2 * legs.chest == pytest.approx(1.5 * (own.withers - 2 * own.chest))
    longer = scaled(own, {"body": 1.25})
    assert longer.neck == pytest.approx(own.neck / 1.25) and longer.neck_pitch == own.neck_pitch
    assert anatomy_of(species_named("red deer")) == own
    assert degree_factors({"neck": -2, "leg": 0}) == {"neck": 1 / STEPS["neck"][1]}
    assert set(STEPS) == set(FACTORS)


def test_measures_follow_the_species():
    betas = torch.stack([load_quadruped().betas_of(k) for k in ("giraffe", "hippo", "cat")])
    neck, leg, body, tail, _, _ = measured(MODEL, MODEL.rest(betas)).T
    assert neck[0] > 3 * neck[1] and leg[0] > 2 * leg[1]
    assert body[2] > body[1] and tail[2] > 2 * tail[1]
    # Measures are shares, so that size doesn't matter.
    assert torch.allclose(
        measured(MODEL, 3 * MODEL.rest(betas)), measured(MODEL, MODEL.rest(betas)), atol=1e-5
    )


def test_phrases_say_what_recipes_hold():
    rng = np.random.default_rng(0)
    recipe = Recipe("red deer", {"neck": 2, "tail": -1, "girth": 1})
    for held_out in (False, True):
        phrase = phrases.phrase_of(recipe, rng, held_out)
        assert "very long" in phrase and "neck" in phrase and "short" in phrase
        assert any(name in phrase for name in ("deer", "stag"))
        assert phrases.kind_in(phrase).name == "red deer"
    assert phrases.kind_in("A Shetland pony!").name == "shetland pony"
    assert phrases.kind_in("a teapot") is None


def test_descriptions_are_many_and_of_the_species():
    for species in load_species()[::20]:
        found = phrases.appearances(species, np.random.default_rng(1))
        assert len(set(found)) == phrases.APPEARANCES
        assert all(any(n in t for n in phrases.kind_names(species.name)) for t in found)


def test_recipes_are_held_out_by_what_they_say():
    recipes = draw_recipes(np.random.default_rng(0), 4)
    held = [recipe for recipe in recipes if training.is_held_out(recipe)]
    assert 0.1 < len(held) / len(recipes) < 0.2 and all(recipe.degrees for recipe in held)
    turned = Recipe(held[0].kind, dict(reversed(held[0].degrees.items())))
    assert training.is_held_out(turned)
    assert isinstance(recipes[0].anatomy, Anatomy)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Pairs whose first beta is the neck, the second the tail."""
    words = [(n, t) for n in (-2, -1, 1, 2) for t in (-2, -1, 1, 2)]
    recipes = [Recipe("wolf", {"neck": n, "tail": t}) for n, t in words] + [Recipe("wolf")]
    betas = torch.zeros(len(recipes), 41)
    betas[:-1, :2] = torch.tensor(words, dtype=torch.float32)
    betas[:, 2:] = 0.01 * torch.randn(len(recipes), 39, generator=torch.Generator().manual_seed(0))
    path = tmp_path_factory.mktemp("pairs") / "pairs.safetensors"
    write_pairs(path, Pairs(tuple(recipes), betas, torch.randn(len(recipes), len(MEASURES))))
    return path


def test_pairs_come_back(pairs, tmp_path):
    found = read_pairs(pairs)
    assert found.recipes[0] == Recipe("wolf", {"neck": -2, "tail": -2})
    (tmp_path / "x.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match="no described shapes"):
        read_pairs(tmp_path / "x.safetensors")


def test_training_learns_and_repeats(pairs, tmp_path):
    files = []
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        training.train(
            tmp_path / run, pairs=pairs, encoder_steps=100, flow_steps=100, width=32, seed=3
        )
        files.append(load_file(tmp_path / run / "shape_flow.safetensors"))
    assert all(torch.equal(files[0][name], tensor) for name, tensor in files[1].items())
    shapes = read_shape_flow(tmp_path / "a" / "shape_flow.safetensors", MODEL)
    long, short = (shapes.betas_of(f"a {word}-necked wolf") for word in ("long", "short"))
    assert long[0] > short[0] + 0.5
    kind = shapes.species_range(species_named("wolf"))
    drawn = shapes.draw(kind, 5, np.random.default_rng(0))
    assert drawn.shape == (5, 41) and drawn.abs().max() <= LIMIT
    assert not torch.equal(drawn[0], drawn[1])
    torch.testing.assert_close(drawn, shapes.draw(kind, 5, np.random.default_rng(0)))


def test_a_users_betas_and_encoder_train_too(tmp_path):
    betas = {"wolf": [1.0] * 41, "horse": [-1.0] * 41, "sheep": [0.0] * 41}
    (tmp_path / "named.json").write_text(json.dumps(betas))
    training.train(
        tmp_path, named_betas=tmp_path / "named.json", encoder="wild-clip", flow_steps=150, width=16
    )
    shapes = read_shape_flow(tmp_path / "shape_flow.safetensors", MODEL)
    assert shapes.betas_of("wolf").mean() > shapes.betas_of("horse").mean() + 0.5
    names, found = read_named_betas(tmp_path / "named.json", MODEL)
    assert names == list(betas) and found.shape == (3, 41)
    np.savez(tmp_path / "named.npz", names=np.array(names), betas=found.numpy()[:, :30])
    with pytest.raises(InputError, match="has 41 betas"):
        read_named_betas(tmp_path / "named.npz", MODEL)


def test_a_flow_of_another_body_is_refused(tmp_path):
    encoder = WordEncoder()
    other = MODEL.to(torch.float64)
    write_shape_flow(tmp_path, ShapeFlow(ConditionalFlow(41, encoder.dim, 8), encoder, other))
    with pytest.raises(InputError, match="another body model"):
        read_shape_flow(tmp_path / "shape_flow.safetensors", MODEL)
