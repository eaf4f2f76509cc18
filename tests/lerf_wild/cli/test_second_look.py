"""Two things that a phrase fits about as well, told apart by photos of known colours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lerf_wild.cli.answers import NO_OTHER, OTHER
from lerf_wild.cli.second_look import (
    LEAST_SIDE,
    MARGIN,
    SecondLook,
    Views,
    _Photos,
    cropped,
    nearest,
    square_around,
)
from lerf_wild.language.pyramid import encode_pyramid
from lerf_wild.language.regions import FoundRegion, UprightBox
from lerf_wild.language.relevancy import Query

SIDE, FOCAL = 80, 80.0
RED, GREEN, GREY = np.eye(3)[0], np.eye(3)[1], np.full(3, 0.5)


class MeanColour:
    """An encoder to which a picture is its mean colour."""

    device = torch.device("cpu")
    dim, image_size = 3, 16
    calls = 0
    names = {"leaf": GREEN, "blood": RED, "moss": GREEN}

    def encode_images(self, images_B3HW):
        self.calls += 1
        return torch.nn.functional.normalize(images_B3HW.mean(dim=(2, 3)), dim=1)

    def encode_text(self, phrases):
        return torch.from_numpy(np.array([self.names[one] for one in phrases])).float()


def region(x: float, support: float, depth: float = 2.0) -> FoundRegion:
    offsets = np.stack(np.meshgrid([-0.1, 0.0, 0.1], [-0.1, 0.0, 0.1], [0.0]), -1).reshape(-1, 3)
    core_M3 = np.array([x, 0.0, -depth]) + offsets
    box = UprightBox((x, 0.0, -depth), (0.2, 0.2, 0.2), 0.0)
    return FoundRegion((x, 0.0, -depth), 0.9, support, (x, 0.0, -depth), box, 9, core_M3)


@pytest.fixture()
def look() -> SecondLook:
    """Two cameras side by side that look along -z; left is green in their photos, right is red."""
    poses_C34 = torch.eye(4)[:3].repeat(2, 1, 1)
    poses_C34[1, 0, 3] = 0.1
    camera_6 = torch.tensor([FOCAL, FOCAL, SIDE / 2, SIDE / 2, SIDE, SIDE])
    photo_3HW = torch.zeros(3, SIDE, SIDE)
    photo_3HW[1, :, : SIDE // 2] = 1.0
    photo_3HW[0, :, SIDE // 2 :] = 1.0
    query = Query(
        ("red thing",),
        torch.from_numpy(RED[None]).float(),
        ("object",),
        torch.nn.functional.normalize(torch.from_numpy(GREY[None]).float(), dim=1),
    )
    points_N3 = np.concatenate([region(-0.5, 0.0).core_M3, region(0.5, 0.0).core_M3])
    return SecondLook(
        Views(poses_C34, camera_6.repeat(2, 1)),
        lambda _: photo_3HW,
        points_N3,
        np.array([0.2]),
        query,
        MeanColour(),
    )


def test_photos_decide_between_rivals(look):
    green, red = region(-0.5, 0.80), region(0.5, 0.80 - MARGIN / 2)
    first, second = look(0, [green, red])
    assert (first.peak, second.peak) == (red.peak, green.peak)
    assert first.support > look.evidence(0, red) > 0.8 > look.evidence(0, green) > second.support


def test_of_two_that_fit_the_one_that_has_no_better_name_comes_first(look):
    photo_3HW = torch.zeros(3, SIDE, SIDE)
    photo_3HW[0], photo_3HW[1, :, SIDE // 2 :] = 1.0, 0.5
    phrase_PD = torch.nn.functional.normalize(torch.tensor([[1.0, 0.2, 0.0]]), dim=1)
    warm = replace(
        look,
        photo=lambda _: photo_3HW,
        query=replace(look.query, phrases=("warm thing",), embeddings_PD=phrase_PD),
    )
    red, orange = region(-0.5, 0.80), region(0.5, 0.79)
    assert warm.evidence(0, red) > warm.evidence(0, orange)
    assert [one.peak for one in warm(0, [red, orange])] == [red.peak, orange.peak]
    named = replace(warm, rivals=lambda phrase: ("blood",))
    assert [one.peak for one in named(0, [red, orange])] == [orange.peak, red.peak]


def test_photos_say_whether_another_name_fits_better(look):
    known = replace(look, rivals=lambda phrase: ("moss",), is_name=lambda phrase: True)
    green, red, unseen = region(-0.5, 0.80), region(0.5, 0.30), region(9.0, 0.80)
    assert known.likeness(0, green) < OTHER and known.likeness(0, red) > NO_OTHER
    assert known.likeness(0, unseen) is None


def test_of_a_phrase_that_is_no_known_name_they_say_nothing(look):
    unknown = replace(look, rivals=lambda phrase: ("moss",))
    assert unknown.likeness(0, region(-0.5, 0.80)) is None and look.encoder.calls == 0


def test_names_of_other_things_are_encoded_once(tiled, monkeypatch):
    asked = []
    encode = tiled.encoder.encode_text
    monkeypatch.setattr(
        tiled.encoder, "encode_text", lambda names: asked.extend(names) or encode(names)
    )
    many = replace(tiled, rivals=lambda phrase: ("leaf", "blood"))
    many.sought(0)
    many.sought(0)
    assert asked == ["leaf", "blood"]


def test_what_is_not_looked_at_never_comes_before_what_is(look):
    green, other = region(-0.5, 0.90), region(-0.5, 0.89)
    blurred = region(0.5, 0.90 - 2 * MARGIN)
    *looked, last = look(0, [green, other, blurred])
    assert last.peak == blurred.peak and last.support <= min(r.support for r in looked) - MARGIN


def test_what_the_field_is_sure_of_is_not_asked_again(look):
    green, red = region(-0.5, 0.80), region(0.5, 0.80 - 2 * MARGIN)
    assert look(0, [green, red]) == [green, red]
    assert look(0, []) == []
    assert look.encoder.calls == 0


def test_photos_say_nothing_of_what_was_added_since(look):
    added = replace(look, is_added=lambda points_M3: points_M3[:, 0] < 0)
    green, red = region(-0.5, 0.99), region(0.5, 0.90)
    assert added.evidence(0, green) == pytest.approx(0.99)
    assert [one.peak for one in added(0, [green, red])] == [green.peak, red.peak]
    assert [one.peak for one in look(0, [green, red])] == [red.peak, green.peak]


def test_what_is_hidden_or_out_of_sight_has_only_the_field(look):
    before_N3 = np.random.default_rng(0).uniform((-0.1, -0.3, -1.0), (0.6, 0.3, -1.0), (5000, 3))
    hidden = replace(look, points_N3=np.concatenate([look.points_N3, before_N3]))
    assert hidden.evidence(0, region(0.5, 0.7)) == pytest.approx(0.7)
    assert look.evidence(0, region(9.0, 0.7)) == pytest.approx(0.7)
    assert look.evidence(0, region(0.5, 0.7, depth=-2.0)) == pytest.approx(0.7)


def test_photos_that_cannot_be_read_are_done_without_and_named_once(look, capsys):
    class Half:
        image_filenames = ["photos/0.png", "photos/1.png"]

        def get_image_float32(self, index):
            if index == 0:
                raise FileNotFoundError(2, "No such file or directory")
            return look.photo(index).permute(1, 2, 0)

    red, all_read = region(0.5, 0.7), look.evidence(0, region(0.5, 0.7))
    half = replace(look, photo=_Photos(Half()))
    assert half.evidence(0, red) == pytest.approx(all_read, abs=0.05)
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("photos/0.png: can't be read (No such file or directory)") == 1
    assert replace(look, photo=lambda _: None).evidence(0, red) == pytest.approx(0.7)


@pytest.fixture()
def tiled(look):
    """The same with four photos, whose tiles are known, of points in a row."""
    photo = look.photo(0)
    pyramid = encode_pyramid(photo, None, look.encoder)
    poses_C34, camera_C6 = look.views
    row_N3 = np.column_stack([np.linspace(-0.9, 0.9, 400), np.zeros(400), np.full(400, -2.0)])
    return replace(
        look,
        views=Views(poses_C34[:1].repeat(4, 1, 1), camera_C6[:1].repeat(4, 1)),
        points_N3=row_N3,
        tiles=lambda: [pyramid] * 4,
        sizes=(0.1, 0.3, 100.0),
    )


def test_what_the_field_knows_not_is_where_tiles_and_photos_show_it(tiled):
    sighting = tiled.sought(0)
    assert sighting.size in (0.1, 0.3)
    assert sighting.region.peak[0] > 0.05 and sighting.region.core_M3[:, 0].min() > -0.05
    assert sighting.region.score == sighting.region.support > 0.8


def test_what_is_more_like_another_thing_is_not_there(tiled):
    assert replace(tiled, rivals=lambda phrase: ("leaf",)).sought(0) is not None
    assert replace(tiled, rivals=lambda phrase: ("leaf", "blood")).sought(0) is None


def test_nothing_is_sought_without_tiles_or_among_what_was_added(tiled):
    assert replace(tiled, tiles=tuple).sought(0) is None
    assert replace(tiled, sizes=(100.0,)).sought(0) is None
    assert replace(tiled, is_added=lambda points_M3: points_M3[:, 0] > 0).sought(0) is None


def test_tiles_have_the_size_of_the_query_at_their_depth(look):
    near, far = (next(look._tiles(region(0.0, 0.8, depth), 1.0)) for depth in (2.0, 2.5))
    assert near.shape[1:] == (SIDE // 2, SIDE // 2)
    assert far.shape[1:] == (32, 32)


@given(st.integers(0, 2**32 - 1))
def test_coarse_depths_are_those_of_the_nearest_points(seed):
    rng = np.random.default_rng(seed)
    pixels_N2 = rng.uniform(-20, 100, (60, 2)).astype(np.float32)
    pixels_N2[0] = np.nan
    depth_N = rng.uniform(-1, 5, 60).astype(np.float32)
    found = nearest(torch.from_numpy(pixels_N2), torch.from_numpy(depth_N), (80, 50))
    slow = np.zeros((25, 40), np.float32)
    for (x, y), depth in zip(pixels_N2, depth_N):
        if depth > 0 and 0 <= x < 80 and 0 <= y < 50:
            row, column = int(y // 2), int(x // 2)
            slow[row, column] = min(depth, slow[row, column] or np.inf)
    np.testing.assert_array_equal(found.numpy(), slow)


def test_crops_stay_within_the_photo():
    photo_3HW = torch.rand(3, 50, 80)
    assert cropped(photo_3HW, torch.tensor([40.0, 25.0]), 30).shape == (3, 30, 30)
    assert cropped(photo_3HW, torch.tensor([0.0, 0.0]), 1.0).shape == (3, 12, LEAST_SIDE // 2)
    assert cropped(photo_3HW, torch.tensor([79.9, 49.9]), 500.0).shape == (3, 50, 80)


def test_squares_leave_strays_out():
    pixels_M2 = torch.cat(
        [torch.rand(500, 2) * torch.tensor([20.0, 10.0]), torch.tensor([[900.0, 0]])]
    )
    middle_2, side = square_around(pixels_M2)
    assert side == pytest.approx(20, abs=2)
    assert middle_2.tolist() == pytest.approx([10, 5], abs=1)
