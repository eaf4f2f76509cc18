"""All phrases in one frame, with a legend; sets of phrases on the command line."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lerf_wild.cli.phrases import read_phrases
from lerf_wild.cli.pictures import with_legend
from lerf_wild.cli.render import _looks, compose_together
from lerf_wild.cli.runs import ViewAnswer
from lerf_wild.errors import QueryError
from lerf_wild.live.phrase_sets import save_set, set_of
from lerf_wild.live.state import PanelState, with_changed, with_typed


@pytest.fixture()
def answer():
    relevancy = np.zeros((48, 64, 2), np.float32)
    relevancy[:20, :, 0] = 0.9
    relevancy[30:, :, 1] = 0.8
    rgb = torch.full((48, 64, 3), 0.5)
    return ViewAnswer({"rgb": rgb}, relevancy, np.ones(2, np.float32))


@pytest.mark.parametrize("style", ["overlay", "heat", "side-by-side"])
def test_frames_hold_all_phrases_and_a_legend(answer, style):
    state = with_typed(PanelState(), "red fox; fallen log")
    frame = compose_together(answer, state, style)
    assert frame.dtype == np.uint8 and frame.shape[0] > 48
    assert frame.shape[1] == (128 if style == "side-by-side" else 64)
    if style == "overlay":
        first, second = frame[5, 5].astype(int), frame[40, 5].astype(int)
        assert first.argmax() == 0 and second.argmax() == 2
        assert np.ptp(frame[25, 5].astype(int)) == 0
    for phrase in state.phrases:
        is_swatch = (frame[48:] == phrase.colour).all(axis=-1)
        assert is_swatch.any()


def test_legends_go_on_in_further_rows_and_cut_long_names():
    picture = np.zeros((60, 100, 3), np.uint8)
    one = with_legend(picture, [("fox", (255, 0, 0))])
    many = with_legend(picture, [(f"thing {index}", (255, 0, 0)) for index in range(9)])
    assert many.shape[0] > one.shape[0] > 60
    assert with_legend(picture, [("x" * 500, (255, 0, 0))]).shape[1] == 100


def test_sets_are_read_by_name_with_their_colours(tmp_path):
    state = with_changed(with_typed(PanelState(), "red fox;log"), "log", colour=(1, 2, 3))
    save_set(tmp_path, "forest", set_of(state))
    config = tmp_path / "config.yml"
    config.write_text("")
    wanted = read_phrases(("elk",), None, "forest", config)
    assert wanted == ("elk", "red fox", "log")
    looks = _looks(wanted, "forest", config)
    assert looks.texts == wanted and looks.phrases[2].colour == (1, 2, 3)
    assert len({phrase.colour for phrase in looks.phrases}) == 3
    with pytest.raises(QueryError, match="sea"):
        read_phrases((), None, "sea", tmp_path)
