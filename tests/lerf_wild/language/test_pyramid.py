from __future__ import annotations

import pytest
import torch

from lerf_wild.language.encoders import resize_square
from lerf_wild.language.pyramid import (
    crop_tiles,
    encode_pyramid,
    encode_pyramids,
    fill_masked,
    valid_tiles,
)
from lerf_wild.language.pyramid_layout import DEFAULT_SPEC, PyramidSpec, pyramid_layout


def encode_one_at_a_time(image, encoder, spec):
    """Slow twin of encode_pyramid without a mask."""
    rows = []
    for top, left, size in pyramid_layout(spec, *image.shape[1:]).boxes().tolist():
        tile = image[:, top : top + size, left : left + size]
        rows.append(encoder.encode_images(resize_square(tile[None], encoder.image_size))[0])
    return torch.stack(rows).half()


@pytest.mark.parametrize("shape", [(48, 64), (64, 40), (33, 51)])
def test_agrees_with_one_tile_at_a_time(fake_encoder, generator, shape):
    image = torch.rand(3, *shape, generator=generator)
    pyramid = encode_pyramid(image, None, fake_encoder)
    expected = encode_one_at_a_time(image, fake_encoder, DEFAULT_SPEC)
    torch.testing.assert_close(pyramid.tiles, expected)
    assert pyramid.tiles.dtype == torch.float16
    assert pyramid.valid.all()


@pytest.mark.parametrize("batch_size", [1, 7, 256, 10_000])
def test_batch_size_changes_nothing(fake_encoder, generator, batch_size):
    spec = PyramidSpec(levels=3)
    images = [torch.rand(3, 32, 40 + 8 * i, generator=generator) for i in range(3)]
    got = list(encode_pyramids([(i, None) for i in images], fake_encoder, spec, batch_size))
    for image, pyramid in zip(images, got, strict=True):
        torch.testing.assert_close(pyramid.tiles, encode_one_at_a_time(image, fake_encoder, spec))


def test_batches_are_full_across_levels_and_images(fake_encoder, generator):
    images = [(torch.rand(3, 32, 32, generator=generator), None) for _ in range(3)]
    pyramids = list(encode_pyramids(images, fake_encoder, batch_size=100))
    assert fake_encoder.batches[:-1] == [100] * (len(fake_encoder.batches) - 1)
    assert sum(fake_encoder.batches) == sum(p.layout.num_tiles for p in pyramids)


def test_levels_are_grids(fake_encoder):
    pyramid = encode_pyramid(torch.rand(3, 40, 56), None, fake_encoder)
    levels = pyramid.levels()
    assert list(levels) == [f"level_{i}" for i in range(7)]
    grid = pyramid.layout.grids[2]
    assert levels["level_2"].shape == (grid.rows, grid.cols, fake_encoder.dim)
    start = pyramid.layout.offsets[2]
    assert torch.equal(levels["level_2"][1, 2], pyramid.tiles[start + grid.cols + 2])


def test_no_images_give_nothing(fake_encoder):
    assert list(encode_pyramids([], fake_encoder)) == []


def test_crops_are_plain_slices(generator):
    image = torch.rand(3, 20, 30, generator=generator)
    tiles = crop_tiles(image, torch.tensor([0, 5, 12]), torch.tensor([22, 3, 0]), 8)
    for tile, top, left in zip(tiles, (0, 5, 12), (22, 3, 0)):
        assert torch.equal(tile, image[:, top : top + 8, left : left + 8])


def test_tiles_that_are_mostly_masked_are_not_valid(generator):
    mask = torch.rand(40, 50, generator=generator) < 0.5
    mask[:, 25:] = False
    layout = pyramid_layout(DEFAULT_SPEC, 40, 50)
    expected = [
        float((~mask[t : t + s, left : left + s]).float().mean()) <= 0.5
        for t, left, s in layout.boxes().tolist()
    ]
    assert valid_tiles(layout, mask).tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_masked_pixels_have_no_influence(fake_encoder, generator):
    image = torch.rand(3, 40, 50, generator=generator)
    mask = torch.rand(40, 50, generator=generator) < 0.7
    other = torch.where(mask, image, torch.rand(3, 40, 50, generator=generator))
    one, two = (encode_pyramid(x, mask, fake_encoder) for x in (image, other))
    torch.testing.assert_close(one.tiles, two.tiles)
    assert torch.equal(one.valid, two.valid)


def test_fill_is_the_mean_of_what_is_kept():
    image = torch.zeros(3, 2, 2)
    image[:, 0] = torch.tensor([0.2, 0.4])
    mask = torch.tensor([[True, True], [False, False]])
    filled = fill_masked(image, mask)
    torch.testing.assert_close(filled[:, 1], torch.full((3, 2), 0.3))
    assert torch.equal(filled[:, 0], image[:, 0])
    assert (fill_masked(image, torch.zeros(2, 2, dtype=torch.bool)) == 0.5).all()
