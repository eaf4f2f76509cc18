"""Heat maps, overlays, captions and contact sheets."""

from __future__ import annotations

import numpy as np
import pytest

from lerf_wild.cli.pictures import SheetRow, captioned, contact_sheet, heat, overlay
from lerf_wild.cli.render import tiled


def picture(height: int = 24, width: int = 36, value: int = 200) -> np.ndarray:
    rgb = np.full((height, width, 3), value, np.uint8)
    rgb[..., 0] = 40
    return rgb


def test_heat_has_one_scale_for_all_maps():
    low, high = heat(np.full((2, 2), 0.1)), heat(np.full((2, 2), 0.95))
    assert np.array_equal(low, heat(np.full((2, 2), 0.3)))
    assert high[0, 0, 0] > high[0, 0, 2]
    assert low[0, 0, 0] < 80


def test_overlay_colours_what_is_above_the_threshold_and_greys_the_rest():
    relevancy = np.full((24, 36), 0.2)
    relevancy[:, :10] = 0.8
    relevancy[0, 20] = np.nan
    shown = overlay(picture(), relevancy)
    assert shown.dtype == np.uint8
    assert (np.ptp(shown[:, 10:].astype(int), axis=-1) <= 1).all()
    assert (np.ptp(shown[:, :10].astype(int), axis=-1) > 20).all()
    assert shown[:, 10:].max() < picture().max()


@pytest.mark.parametrize("caption", ["red fox", "a " * 200, "", "tab\tand é"])
def test_captions_add_a_band_of_the_same_width(caption):
    shown = captioned(picture(), caption)
    assert shown.shape[1:] == (36, 3)
    assert np.array_equal(shown[-24:], picture())


def test_long_captions_are_cut_and_not_their_figure():
    plain = picture(120, 160)
    low, high = (captioned(plain, "a " * 200, figure=text)[:-120] for text in ("0.25", "0.98"))
    differs = (low != high).any((0, 2)).nonzero()[0]
    assert len(differs) and differs.min() > 80
    assert captioned(picture(320, 80), "fox").shape[0] - 320 < 320 // 12


def test_sheets_hold_every_cell():
    cell = picture(32, 48)
    rows = [SheetRow(name, ("found", "score 0.9"), (cell, cell, cell)) for name in ("fox", "log")]
    sheet = np.asarray(contact_sheet("title", ("a", "b", "c"), rows, cell_px=64))
    # A row of the picture's own colours must appear three times in each of the two rows.
    matches = (sheet == cell[0, 0]).all(-1)
    assert matches.sum() == pytest.approx(2 * 3 * 64 * 96, rel=0.02)


def test_panels_fill_rows_evenly():
    panels = [picture() for _ in range(5)]
    assert tiled(panels).shape == (2 * 24, 3 * 36, 3)
    assert tiled(panels[:1]).shape == (24, 36, 3)
    assert not tiled(panels)[24:, 2 * 36 :].any()
