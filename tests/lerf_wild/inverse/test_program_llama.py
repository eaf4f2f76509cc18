"""The faithful decoder, with a LLaMA of two thin layers."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lerf_wild.errors import InputError, SceneProgramError
from lerf_wild.inverse.program_heads import (
    ValueHead,
    appearance_loss,
    rotation_loss,
    rotation_yaw,
    to_rotation,
    yaw_rotation,
)
from lerf_wild.inverse.program_llama import LlamaReader, LlamaSpec, tiny_llama
from lerf_wild.inverse.program_text import GrammarTokens, fill_slots, open_slots
from lerf_wild.program.frames import upright_rotation
from lerf_wild.program.types import Embedding, Program, SceneObject, Settings

A, V = 8, 6
SPEC = LlamaSpec(patch_width=V, appearance=A, rank=4, alpha=8, dropout=0.0)


def _program(seed: int = 0, objects: int = 2) -> Program:
    rng = np.random.default_rng(seed)

    def look() -> Embedding:
        vector = rng.normal(size=A)
        return Embedding.of(vector / np.linalg.norm(vector))

    return Program(
        Settings(ground=look(), ozone=1.5),
        tuple(
            SceneObject(
                900 - i,
                tuple(np.round(rng.uniform(-3, 3, 3), 3)),
                1.25,
                rotation_9=tuple(np.ravel(upright_rotation(rng.uniform(-3, 3), 88.0))),
                appearance=look(),
                kind="tree",
            )
            for i in range(objects)
        ),
    )


def _reader(spec: LlamaSpec = SPEC) -> LlamaReader:
    torch.manual_seed(0)
    tokens = GrammarTokens()
    return LlamaReader(tiny_llama(tokens, width=32), tokens, spec)


def test_text_and_slots_make_the_program_again():
    program = _program()
    slots = open_slots(program)
    tokens = GrammarTokens()
    text = tokens.decode(tokens.encode(slots.text))
    assert text == slots.text and "kind" not in text
    again = fill_slots(text, slots.clips_CA, slots.rotations_R9)
    assert again.settings.ground == program.settings.ground
    for made, item in zip(again.objects, program.objects, strict=True):
        assert made.appearance == item.appearance and made.loc_m == item.loc_m
        np.testing.assert_allclose(made.rotation_9, item.rotation_9, atol=1e-6)


def test_shuffled_statements_are_the_same_program():
    program = _program()
    slots = open_slots(program, np.random.default_rng(1))
    assert slots.text != open_slots(program).text
    again = fill_slots(slots.text, slots.clips_CA, slots.rotations_R9)
    assert again.settings.ozone == 1.5 and len(again.objects) == 2


def test_foreign_words_and_missing_vectors_are_refused():
    with pytest.raises(SceneProgramError, match="no token"):
        GrammarTokens().encode("import os")
    with pytest.raises(SceneProgramError, match="needs all"):
        open_slots(replace(_program(), settings=Settings()))


def test_only_lora_slots_projector_and_heads_are_trained():
    reader = _reader()
    trained = {name for name, p in reader.named_parameters() if p.requires_grad}
    inside = {name for name in trained if name.startswith("language.")}
    slots = {name for name in inside if "token_adapter" in name}
    assert inside - slots and all("lora_" in name for name in inside - slots)
    # Of what goes in and comes out, the rows of [CLIP] and [ROT] alone.
    assert {p.shape[0] for n, p in reader.named_parameters() if n in slots} == {2}
    assert len(slots) == 2
    assert {"projector", "rotation", "appearance"} <= {n.split(".")[0] for n in trained}


@pytest.mark.parametrize("feedback", [True, False])
def test_a_tiny_model_learns_two_programs_by_heart(feedback):
    reader = _reader(replace(SPEC, feedback=feedback))
    # A model from a config knows nothing, so that here all of it is trained.
    reader.requires_grad_(True)
    programs = [open_slots(_program(seed, objects=1)) for seed in (0, 1)]
    patches = torch.randn(2, 3, V)
    optimiser = torch.optim.AdamW(reader.parameters(), 4e-3)
    for _ in range(240):
        optimiser.zero_grad()
        parts = reader.losses(patches, programs)
        torch.stack(list(parts.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimiser.step()
    assert set(parts) == {"text", "appearance", "rotation"} and parts["text"] < 0.05
    reader.eval()
    for patch, slots in zip(patches, programs):
        written = reader.write(patch, 400)
        assert reader.tokens.decode(written.tokens) == slots.text
        again = fill_slots(slots.text, written.clips_CA, written.rotations_R9)
        look = again.objects[0].appearance.numpy()
        assert look @ slots.clips_CA[1].numpy() / np.linalg.norm(look) > 0.9
        np.testing.assert_allclose(again.objects[0].rotation_9, slots.rotations_R9[0], atol=0.2)


def test_a_batch_gives_the_mean_of_its_programs():
    reader = _reader().eval()
    programs = [open_slots(_program(seed, objects=seed)) for seed in (1, 3)]
    patches = torch.randn(2, 3, V)
    together = reader.losses(patches, programs)
    alone = [reader.losses(patches[i : i + 1], programs[i : i + 1]) for i in range(2)]
    tokens = [len(reader.tokens.encode(p.text)) + 1 for p in programs]
    mean = sum(n * float(part["text"].detach()) for n, part in zip(tokens, alone)) / sum(tokens)
    assert float(together["text"].detach()) == pytest.approx(mean, rel=1e-4)


def test_slots_that_do_not_fit_the_text_are_refused():
    slots = open_slots(_program())
    with pytest.raises(InputError, match="more or fewer"):
        _reader().losses(torch.zeros(1, 2, V), [slots._replace(clips_CA=slots.clips_CA[:1])])


def test_the_rotation_head_gives_rotations_and_its_loss_is_zero_at_the_truth():
    values = torch.randn(20, 9)
    R = to_rotation(values)
    torch.testing.assert_close(R @ R.mT, torch.eye(3).expand(20, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(20))
    yaw = torch.linspace(-3, 3, 9)
    torch.testing.assert_close(rotation_yaw(yaw_rotation(yaw)), yaw)
    assert rotation_loss(3.0 * yaw_rotation(yaw).flatten(1), yaw_rotation(yaw)) < 1e-10


def test_to_rotation_is_the_nearest_rotation():
    """No small turn of the answer comes nearer to the nine numbers."""
    values = torch.randn(1, 9)
    R, goal = to_rotation(values)[0], values.reshape(3, 3)
    best = (R - goal).norm()
    for axis in torch.eye(3):
        for angle in (-0.05, 0.05):
            import roma

            turned = roma.rotvec_to_rotmat(angle * axis) @ R
            assert (turned - goal).norm() >= best - 1e-6


def test_appearance_loss_wants_direction_first_and_length_a_little():
    goal = torch.eye(3)
    assert appearance_loss(goal, goal) < 1e-6
    assert 0 < appearance_loss(2 * goal, goal) < 0.001 < appearance_loss(goal.roll(1, 0), goal)


def test_heads_are_raws_or_one_linear_layer():
    assert [type(layer).__name__ for layer in ValueHead(4, 2)] == [
        "Tanh", "Linear", "GELU", "Linear",
    ]  # fmt: skip
    assert [type(layer).__name__ for layer in ValueHead(4, 2, linear=True)] == ["Linear"]
