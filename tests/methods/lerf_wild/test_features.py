"""Which pixels a tile may teach."""

from __future__ import annotations

import torch

from lerf_wild.methods.lerf_wild.features import MAX_OFF_CENTRE, is_centred


def is_centred_naive(pixel, size, ratio):
    """Moves a tile that is centred at the pixel into the image, and looks how far that was."""
    side = min(ratio * size[1], *size)
    moved = [min(max(at, side / 2), length - side / 2) - at for at, length in zip(pixel, size)]
    return max(abs(one) for one in moved) <= MAX_OFF_CENTRE * side


def test_agrees_with_moving_one_tile_at_a_time():
    draw = torch.Generator().manual_seed(2)
    sizes = torch.tensor([[320.0, 216.0], [90.0, 160.0]])[torch.randint(2, (400,), generator=draw)]
    pixels = torch.rand(400, 2, generator=draw) * sizes
    ratios = 0.05 + 0.45 * torch.rand(400, generator=draw)
    found = is_centred(pixels, sizes, ratios)
    rays = zip(pixels.tolist(), sizes.tolist(), ratios.tolist())
    assert found.tolist() == [is_centred_naive(*ray) for ray in rays]
    assert 0.1 < found.float().mean() < 0.95


def test_the_middle_of_a_picture_learns_from_every_tile():
    ratios = torch.linspace(0.05, 0.5, 20)
    middle, size = torch.tensor([[160.0, 108.0]]), torch.tensor([[320.0, 216.0]])
    assert is_centred(middle.expand(20, 2), size.expand(20, 2), ratios).all()
