"""RAW's own decoder from lessons to readings, with language models of two thin layers."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lerf_wild.assets.library import starter_library
from lerf_wild.errors import DatasetError, EncoderError, ModelFileError, SceneProgramError
from lerf_wild.inverse import program_llama_use
from lerf_wild.inverse.program_data import asset_names, drawn_samples
from lerf_wild.inverse.program_detector import ground_embeddings
from lerf_wild.inverse.program_evaluation import figures_of, records_of
from lerf_wild.inverse.program_llama import LlamaSpec, Written
from lerf_wild.inverse.program_llama_files import (
    WRITER,
    WriterSizes,
    load_writer,
    make_writer,
    save_writer,
)
from lerf_wild.inverse.program_llama_lessons import Looks, with_numbers, without_numbers
from lerf_wild.inverse.program_llama_patches import DETECTOR, WILD_CLIP, TrunkPatches, open_patches
from lerf_wild.inverse.program_llama_training import (
    WriterTraining,
    bundled_templates,
    make_lessons,
    train_writer,
)
from lerf_wild.inverse.program_llama_use import open_writer, reading_of
from lerf_wild.inverse.program_text import GrammarTokens

SIZES = WriterSizes(width=32, layers=2)
SPEC = LlamaSpec(TrunkPatches.width, 128, rank=0)


@pytest.fixture(scope="module")
def samples():
    return drawn_samples(2, 2, 77)


@pytest.fixture(scope="module")
def looks(samples):
    return Looks(bundled_templates(), ground_embeddings(), asset_names(samples))


def _writer(sizes=SIZES, spec=SPEC):
    torch.manual_seed(0)
    return make_writer(sizes, spec)


@pytest.mark.parametrize("by_number", [True, False])
def test_what_is_taught_is_what_is_read_of_it(samples, looks, by_number):
    """A decoder that wrote its lesson word by word would be right in all but rounding."""
    looks = replace(looks, by_number=by_number)
    readings = []
    for sample in samples:
        slots = looks.lesson(sample.program)
        text = GrammarTokens().decode(GrammarTokens().encode(slots.text))
        written = Written([], slots.clips_CA, slots.rotations_R9)
        readings.append(reading_of(text, written, looks, 40.0))
    figures = figures_of(records_of(samples, readings))
    for name in ("parse_rate", "count_exact", "class_accuracy", "matched", "recall_at_1"):
        assert figures[name] == 1.0, name
    for name in ("lateral_error", "distance_error", "height_error"):
        assert figures[name] < 2e-3, name
    assert figures["yaw_error_deg"] < 0.5
    assert all(len(names) == (1 if by_number else 5) for names in readings[0].candidates)
    ground = readings[0].program.settings.ground.numpy()
    np.testing.assert_allclose(np.linalg.norm(ground), 1.0, atol=1e-3)


def test_numbers_stand_in_the_slots_and_come_out_again():
    text = "set_ground([CLIP])\nadd(pixels=3, appearance=[CLIP])\nadd(pixels=4, appearance=[CLIP])"
    numbered = with_numbers(text, [7, 41035])
    assert "set_ground([CLIP])" in numbered and "appearance=00007)" in numbered
    assert without_numbers(numbered) == (text, [7, 41035])
    with pytest.raises(ValueError):
        with_numbers(text, [1])


def test_each_number_names_one_asset_and_numbers_of_an_asset_are_far_apart(samples, looks):
    program = samples[0].program
    item = program.objects[0]
    assert looks.named(looks.number(item, program)) == item.asset
    count = 72 * len(looks.assets)
    named = [looks.named(number) for number in range(count)]
    assert {named.count(asset) for asset in looks.assets} == {72}
    # Numbers beyond the last stand for something too: those of the first.
    assert looks.named(count + 3) == named[3]


def test_assets_without_template_or_number_are_refused(samples, looks):
    program = samples[0].program
    strange = replace(program.objects[0], asset="grown_thing")
    with pytest.raises(DatasetError, match="no template"):
        looks.lesson(replace(program, objects=(strange,)))
    unknown = replace(looks, assets=("nobody",), by_number=True)
    with pytest.raises(DatasetError, match="no number"):
        unknown.lesson(program)
    with pytest.raises(DatasetError, match="ground"):
        looks.lesson(replace(program, settings=replace(program.settings, ground_name="lava")))


def test_numbers_and_embeddings_do_not_mix(samples, looks):
    slots = looks.lesson(samples[0].program)
    written = Written([], slots.clips_CA, slots.rotations_R9)
    with pytest.raises(SceneProgramError, match="in turn"):
        reading_of(slots.text, written, replace(looks, by_number=True), 40.0)


def test_training_learns_and_its_average_is_kept_in_a_file(samples, looks, tmp_path):
    lessons = make_lessons(samples, TrunkPatches(), looks)
    assert lessons.patches_NPV.shape == (len(samples), 64, TrunkPatches.width)
    heard = []
    model = train_writer(
        _writer(),
        lessons,
        WriterTraining(steps=30, batch_size=2, learning_rate=4e-3, warmup=2),
        report=lambda step, parts: heard.append(sum(parts.values())),
    )
    assert len(heard) == 30 and heard[-1] < 0.6 * heard[0]
    save_writer(tmp_path / WRITER, model, SIZES, looks.assets)
    again, sizes, assets = load_writer(tmp_path / WRITER)
    assert sizes == SIZES and assets == looks.assets
    pair = lessons.patches_NPV[:1].float(), [lessons.programs[0]]
    with torch.no_grad():
        first, second = (float(m.losses(*pair)["text"]) for m in (model, again))
    assert first == pytest.approx(second, rel=1e-3)


def test_what_does_not_parse_counts_as_such(samples, looks, tmp_path, monkeypatch):
    monkeypatch.setattr(program_llama_use, "MOST_TOKENS", 20)
    save_writer(tmp_path / WRITER, _writer(), SIZES, looks.assets)
    writer = open_writer(tmp_path, starter_library(), looks.templates)
    readings = writer.readings(samples[:1], 24)
    assert readings == [None]
    figures = figures_of(records_of(samples[:1], readings))
    assert figures["parse_rate"] == figures["count_exact"] == figures["matched"] == 0.0


def test_files_of_something_else_are_refused(tmp_path):
    path = tmp_path / WRITER
    with pytest.raises(ModelFileError, match="no such file"):
        load_writer(path)
    save_writer(path, _writer(), replace(SIZES, layers=1), ())
    with pytest.raises(ModelFileError, match="decoder that writes programs"):
        load_writer(path)


@pytest.fixture(scope="module")
def language(tmp_path_factory, samples, looks):
    """A folder with a LLaMA and a tokenizer, as transformers keeps them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([looks.lesson(s.program).text for s in samples], trainer)
    folder = tmp_path_factory.mktemp("language")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=4, initializer_range=32**-0.5,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def test_a_trained_language_model_gets_lora_and_its_file_holds_what_was_learned(
    samples, looks, language, tmp_path
):
    sizes = WriterSizes(language=str(language))
    spec = replace(SPEC, rank=4, alpha=8, dropout=0.0)
    model = _writer(sizes, spec)
    slots = looks.lesson(samples[0].program)
    numbers = model.tokens.encode(slots.text)
    assert model.tokens.decode(numbers) == slots.text
    assert numbers.count(model.tokens.clip) == len(slots.clips_CA)
    assert len(numbers) < len(GrammarTokens().encode(slots.text))
    lessons = make_lessons(samples[:2], TrunkPatches(), looks)

    @torch.no_grad()
    def loss(one):
        return float(one.eval().losses(lessons.patches_NPV[:1].float(), [slots])["text"])

    before = loss(model)
    training = WriterTraining(steps=30, batch_size=2, learning_rate=3e-2, warmup=1, averaging=0.8)
    train_writer(model.train(), lessons, training)
    path = tmp_path / WRITER
    save_writer(path, model, sizes, looks.assets)
    again, *_ = load_writer(path)
    assert loss(model) < 0.9 * before
    assert loss(again) == pytest.approx(loss(model), rel=1e-3)
    heads = sum(
        p.numel() for n, p in model.named_parameters() if p.requires_grad and "language" not in n
    )
    assert path.stat().st_size < 2 * (heads + 60_000)


@pytest.mark.parametrize("name", [WILD_CLIP, DETECTOR])
def test_patches_lie_where_the_picture_changes(samples, name):
    patches = open_patches(name)
    rgb = torch.from_numpy(np.moveaxis(samples[0].rgb, 2, 0).copy())[None]
    tokens = patches(rgb)
    assert tokens.shape == (1, 64, patches.width)
    changed = rgb.clone()
    changed[..., 64:128, 160:224] = 0
    moved = (patches(changed) - tokens)[0].norm(dim=1).reshape(8, 8)
    # Rows from above, columns from the left: pixels 64 to 128 are rows 2 and 3.
    assert moved[2:4, 5:7].min() > 2 * moved[:, :2].max()
    # The last numbers say where a token is, whatever is seen there.
    place = tokens[0, :, -16:].reshape(8, 8, 16)
    assert place[3, 5].nonzero().flatten().tolist() == [3, 8 + 5]


def test_language_models_and_encoders_that_are_not_there_are_named(tmp_path):
    with pytest.raises(EncoderError, match="nowhere: no language model"):
        make_writer(WriterSizes(language=str(tmp_path / "nowhere")), SPEC)
    with pytest.raises(EncoderError, match="nowhere: no CLIP vision model"):
        open_patches(str(tmp_path / "nowhere"))


def test_clip_gives_all_tokens_but_the_first_of_its_last_layer_but_one(tmp_path, samples):
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        image_size=64, patch_size=16,
    )  # fmt: skip
    torch.manual_seed(0)
    CLIPVisionModel(config).save_pretrained(tmp_path)
    patches = open_patches(str(tmp_path))
    rgb = torch.from_numpy(np.moveaxis(samples[0].rgb, 2, 0).copy())[None]
    tokens = patches(rgb)
    assert tokens.shape == (1, 16, patches.width) and patches.width == 32
    # The left half of the picture is most of what the left patches are about.
    changed = rgb.clone()
    changed[..., 128:] = 0
    moved = (patches(changed) - tokens)[0].norm(dim=1).reshape(4, 4)
    assert moved[:, 2:].min() > moved[:, :2].max()


def test_the_eval_command_knows_a_decoder_by_its_file(looks, tmp_path):
    from types import SimpleNamespace

    from lerf_wild.cli.raw import _baseline
    from lerf_wild.inverse.program_llama_use import OpenWriter

    save_writer(tmp_path / WRITER, _writer(), SIZES, looks.assets)
    reader = SimpleNamespace(library=starter_library(), templates=looks.templates)
    writer = _baseline(tmp_path, reader)
    assert isinstance(writer, OpenWriter) and len(writer.key) >= 16
