"""The panel's logic without a viewer: state, colours, verdicts, sets, painting, command lines."""

from __future__ import annotations

import json
import shlex
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lerf_wild.errors import InputError, QueryError
from lerf_wild.language.phrases import CANONICAL_PHRASES
from lerf_wild.live import phrase_sets, state
from lerf_wild.live.colours import PALETTE, as_hex, from_hex, next_colour
from lerf_wild.live.commands import export_command
from lerf_wild.live.painting import Look, heat, look_of, paint
from lerf_wild.live.question import Question, plain_question
from lerf_wild.live.state import PanelState, with_changed, with_place, with_typed, without
from lerf_wild.live.texts import TextMemory
from lerf_wild.live.verdicts import Verdict, plain, verdict_line, verdict_markdown


class LetterEncoder:
    """Embeds a text by its letters and counts what it is asked."""

    dim = 26

    def __init__(self):
        self.asked = []

    def encode_text(self, texts):
        self.asked += texts
        rows = [
            [1.0 + text.lower().count(chr(97 + index)) for index in range(26)] for text in texts
        ]
        return torch.nn.functional.normalize(torch.tensor(rows), dim=-1)


def test_typing_adds_each_phrase_once_in_its_own_colour():
    typed = with_typed(PanelState(), "red fox; fallen  log;red fox;;")
    assert typed.texts == ("red fox", "fallen log")
    assert typed.phrases[0].colour != typed.phrases[1].colour
    assert with_typed(typed, " ; ") is typed
    assert with_typed(typed, "birch").texts == ("red fox", "fallen log", "birch")


@given(st.text(max_size=400))
def test_any_text_gives_a_whole_state_or_a_query_error(text):
    try:
        typed = with_typed(PanelState(), text)
    except QueryError:
        return
    assert len(set(typed.texts)) == len(typed.phrases)
    assert all(phrase.text.strip() and len(phrase.text) <= 256 for phrase in typed.phrases)


def test_lists_are_limited():
    full = with_typed(PanelState(), ";".join(f"thing {index}" for index in range(200)))
    with pytest.raises(QueryError, match="200"):
        with_typed(full, "one more")


def test_changes_touch_one_phrase():
    typed = with_typed(PanelState(), "a fox;a log")
    changed = with_changed(typed, "a fox", weight=0.5, is_visible=False)
    assert look_of(changed).weights == (0.0, 1.0)
    assert typed.phrases[0].is_visible
    assert without(changed, "a fox").texts == ("a log",)
    assert without(changed, "nothing") == changed


def test_places_get_free_names():
    picked = with_place(with_place(PanelState(), "like this", [1.0]), "like this", [2.0])
    assert picked.texts == ("like this 1", "like this 2")


def test_canonical_phrases_come_back_when_emptied():
    changed = state.with_canonical(PanelState(), "ground; sky")
    assert changed.canonical == ("ground", "sky")
    assert state.with_canonical(changed, "").canonical == CANONICAL_PHRASES


def test_colours_differ_and_are_read_back():
    colours = []
    for _ in range(60):
        colours.append(next_colour(colours))
    assert len(set(colours)) == 60
    assert colours[: len(PALETTE)] == list(PALETTE)
    assert all(from_hex(as_hex(colour)) == colour for colour in colours)
    assert from_hex("#12") is None and from_hex("zzzzzz") is None


def test_verdict_lines():
    found = Verdict("red fox", (255, 0, 0), 0.712, 0.41, True, 12.3)
    assert verdict_line(found, "m") == "present, 0.71, 0.4 m, 12 ms"
    missing = Verdict("whale", (255, 0, 0), 0.312, 0.41, False, 3.6)
    assert verdict_line(missing, "m") == "not in this scene (0.31), 4 ms"
    glimpse = Verdict("whale", (255, 0, 0), 0.312, 0.41, False, 3.6, is_of_scene=False)
    assert "not in this view" in verdict_line(glimpse, "m")
    tiny = Verdict("ant", (255, 0, 0), 0.9, 0.004, True, 3.0)
    assert "0.4 cm" in verdict_line(tiny, "m")


@given(st.text(max_size=60))
def test_markdown_shows_text_as_it_is(text):
    import html

    shown = plain(text)
    assert html.unescape(shown).replace("\ufffd", "") == "".join(
        html.unescape(f"&#{ord(letter)};") for letter in text
    ).replace("\ufffd", "")
    assert not set("<>{}`*_[]\\\"'") & set(shown)


def test_markdown_lists_every_phrase():
    assert "Nothing" in verdict_markdown([], "m")
    lines = verdict_markdown([Verdict("fox", (255, 0, 0), 0.7, 1, True, 2)] * 3, "m")
    assert lines.count("fox") == 3 and "#ff0000" in lines


def test_command_lines_survive_a_shell(tmp_path):
    phrases = ("it's; rm -rf /", "$(reboot)", "red fox")
    line = export_command(tmp_path / "a b.yml", phrases, ("x y",), tmp_path, "ply", 1000)
    words = shlex.split(line)
    start = words.index("--phrases") + 1
    assert tuple(words[start : start + 3]) == phrases
    assert words[-2:] == ["--canonical", "x y"]
    assert "--canonical" not in export_command(
        tmp_path, phrases, CANONICAL_PHRASES, tmp_path, "ply", 1
    )


def test_sets_are_read_back(tmp_path):
    typed = with_changed(with_typed(PanelState(), "red fox;fallen log"), "red fox", weight=0.5)
    typed = with_place(typed, "like this", [1.0])
    assert phrase_sets.read_sets(tmp_path) == {}
    phrase_sets.save_set(tmp_path, "forest floor", phrase_sets.set_of(typed))
    chosen = phrase_sets.read_set(tmp_path, "forest floor")
    assert chosen.texts == ("red fox", "fallen log")
    assert chosen.phrases == typed.phrases[:2]
    assert phrase_sets.with_set(PanelState(), chosen).texts == chosen.texts
    with pytest.raises(QueryError, match="forest floor"):
        phrase_sets.read_set(tmp_path, "sea floor")
    phrase_sets.delete_set(tmp_path, "forest floor")
    assert phrase_sets.read_sets(tmp_path) == {}


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"sets": {}},
        {"format_version": 1, "sets": {"a": {"phrases": [1]}}},
        {"format_version": 1, "sets": {"a": {"phrases": []}}},
        {"format_version": 1, "sets": {"a": ["fox"]}},
        {"format_version": 1, "sets": {"a": {"phrases": [{"text": " "}]}}},
    ],
)
def test_damaged_sets_are_refused(tmp_path, content):
    (tmp_path / phrase_sets.SETS_FILE).write_text(json.dumps(content))
    with pytest.raises(InputError):
        phrase_sets.read_sets(tmp_path)


def test_odd_colours_and_weights_of_a_set_fall_back(tmp_path):
    entry = {"text": "fox", "colour": "mauve", "weight": 1e9}
    content = {"format_version": 1, "sets": {"a": {"phrases": [entry, "log"]}}}
    (tmp_path / phrase_sets.SETS_FILE).write_text(json.dumps(content))
    fox, log = phrase_sets.read_set(tmp_path, "a").phrases
    assert fox.weight == 1.0 and fox.colour != log.colour


def test_sets_need_a_name_and_a_phrase(tmp_path):
    empty = phrase_sets.set_of(PanelState())
    with pytest.raises(QueryError):
        phrase_sets.save_set(tmp_path, "empty", empty)
    with pytest.raises(QueryError):
        phrase_sets.save_set(tmp_path, " ", phrase_sets.set_of(with_typed(PanelState(), "fox")))


def test_painting_colours_winners_and_dims_the_rest():
    rgb = torch.full((2, 2, 3), 0.5)
    relevancy = torch.tensor([[[0.9, 0.1], [0.1, 0.9]], [[0.6, 0.7], [0.2, 0.3]]])
    look = Look(((255, 0, 0), (0, 255, 0)), (1.0, 1.0))
    picture = paint(rgb, relevancy, look)
    assert (
        picture[0, 0].argmax() == 0 and picture[0, 1].argmax() == 1 and picture[1, 0].argmax() == 1
    )
    assert torch.allclose(picture[1, 1], torch.full((3,), 0.25))
    hidden = paint(rgb, relevancy, Look(look.colours, (0.0, 1.0)))
    assert torch.allclose(hidden[0, 0], torch.full((3,), 0.25))
    assert paint(rgb, relevancy, Look(look.colours, (0.0, 0.0))) is rgb
    assert paint(rgb, relevancy, Look(look.colours, (1.0, 1.0), mode="picture")) is rgb
    warm = paint(rgb, relevancy, Look(look.colours, (1.0, 1.0), mode="heat map"))
    assert torch.equal(warm, heat(relevancy.amax(-1)))


def test_heat_is_finite_whatever_comes():
    assert torch.isfinite(heat(torch.tensor([float("nan"), float("inf"), -1.0]))).all()


def test_texts_are_embedded_once():
    encoder = LetterEncoder()
    memory = TextMemory(lambda: encoder)
    query = memory.query(with_typed(PanelState(), "fox;log"))
    assert query.phrases == ("fox", "log") and query.embeddings_PD.shape == (2, 26)
    assert query.canonical_CD.shape == (4, 26)
    memory.query(with_typed(PanelState(), "log;elk"))
    assert encoder.asked.count("log") == 1 and encoder.asked.count("object") == 1


def test_picked_places_keep_their_own_embedding():
    memory = TextMemory(LetterEncoder)
    panel = with_place(with_typed(PanelState(), "fox"), "like this", [0.5] * 26)
    query = memory.query(with_typed(panel, "log"))
    assert query.phrases == ("fox", "like this 1", "log")
    assert torch.equal(query.embeddings_PD[1], torch.full((26,), 0.5))


def test_text_memory_forgets_the_oldest_and_survives_threads():
    encoder = LetterEncoder()
    memory = TextMemory(lambda: encoder, capacity=3)
    threads = [
        threading.Thread(target=lambda: [memory.embed([chr(97 + i % 7)]) for i in range(200)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(memory._known) <= 3


def test_questions_are_whole():
    query = TextMemory(LetterEncoder).query(with_typed(PanelState(), "fox;log"))
    assert plain_question(query).look.weights == (1.0, 1.0)
    with pytest.raises(QueryError):
        Question(query, Look(((1, 2, 3),), (1.0,)))
