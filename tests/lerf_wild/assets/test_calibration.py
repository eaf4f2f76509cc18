"""Where "unknown" begins: the split, kinship, photos and their cut-outs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lerf_wild.assets.calibration import best_split, kin_of, photo_of, split_halves
from lerf_wild.assets.library import starter_library
from lerf_wild.assets.photos import embed_photo, square_around
from lerf_wild.assets.thresholds import NOTHING_KNOWN, PHOTO_THRESHOLDS, threshold_of
from lerf_wild.assets.words import named_share
from lerf_wild.errors import AssetError


def test_the_split_is_the_best_of_all():
    rng = np.random.default_rng(0)
    known, unknown = rng.normal(1.0, 0.5, 60), rng.normal(0.0, 0.5, 60)
    found = best_split(known, unknown)

    def gain(mark):
        return (known >= mark).mean() + (unknown < mark).mean()

    assert gain(found) == max(gain(mark) for mark in np.linspace(-3, 3, 4001))
    halves = split_halves(np.array([2.0, 2.0, 1.0, 1.0]), np.array([0.0, 0.0, 0.5, 3.0]))
    assert halves.threshold == 1.0
    assert (halves.known_accepted, halves.unknown_refused) == (1.0, 0.5)


def test_kin_share_a_species_or_a_source():
    library = starter_library().only(["leopard", "tiger", "red_fox", "arctic_fox", "zebra"])
    kin = kin_of(library)
    names = library.names
    assert kin[names.index("leopard"), names.index("tiger")]
    assert kin[names.index("red_fox"), names.index("arctic_fox")]
    assert not kin[names.index("zebra")][[n != "zebra" for n in names]].any()


def test_photos_differ_and_follow_the_seed():
    rock = starter_library().mesh("grey_rock")
    first, again, other = (photo_of(rock, 24, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_thresholds_belong_to_encoders():
    assert threshold_of(PHOTO_THRESHOLDS, "wild-clip@0123") == PHOTO_THRESHOLDS["wild-clip"] > 0
    assert threshold_of(PHOTO_THRESHOLDS, "ViT-B-16/x@0123") == NOTHING_KNOWN


def test_squares_frame_the_box_and_stay_in_the_picture():
    assert square_around((40, 40, 83, 60), 200, 200) == (36, 25, 50)
    left, top, side = square_around((0, 0, 150, 90), 100, 300)
    assert (top, side) == (0, 100) and left + side <= 300
    with pytest.raises(AssetError, match="outside"):
        square_around((300, 0, 310, 10), 100, 300)


def test_a_box_is_what_is_embedded():
    class Mean:
        device = torch.device("cpu")

        def encode_images(self, images):
            return images.mean(dim=(2, 3))

    picture = np.zeros((60, 90, 3), np.uint8)
    picture[10:30, 10:30] = (255, 0, 0)
    assert embed_photo(picture, Mean(), (13, 13, 27, 27))[0] > 0.9
    assert embed_photo(picture, Mean())[0] < 0.2


def test_the_words_of_an_asset():
    tiger = starter_library().entry("tiger")
    assert named_share("Tigers", tiger) == named_share("striped cat", tiger) == 1.0
    assert 0 < named_share("cat", tiger) < 1 and named_share("red car", tiger) == 0.0
