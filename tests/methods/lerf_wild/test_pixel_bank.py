"""Pixels of images of different sizes, by place and by mask."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from lerf_wild.methods.lerf_wild.pixel_bank import PixelBank

SIZES = ((4, 6), (5, 3))


@pytest.fixture
def bank() -> PixelBank:
    counts = torch.tensor([height * width for height, width in SIZES])
    pixels = torch.arange(int(counts.sum()), dtype=torch.uint8)[:, None].repeat(1, 3)
    widths = torch.tensor([width for _, width in SIZES])
    return PixelBank(pixels, counts.cumsum(0) - counts, widths, None)


def test_places_find_their_pixel(bank):
    for image, (height, width) in enumerate(SIZES):
        for row in range(height):
            for column in range(width):
                rows = bank.rows_of(
                    torch.tensor([image]), torch.tensor([[column + 0.9, row + 0.1]])
                )
                indices, colours = bank.at(rows)
                assert indices.tolist() == [[image, row, column]]
                assert colours[0, 0].item() * 255 == pytest.approx(rows.item())


def test_places_outside_go_to_the_border(bank):
    rows = bank.rows_of(torch.tensor([0, 1]), torch.tensor([[-3.0, 99.0], [99.0, -1.0]]))
    assert bank.at(rows)[0].tolist() == [[0, 3, 0], [1, 0, 2]]


def test_masked_places_go_to_the_next_allowed_pixel(bank):
    allowed = torch.tensor([2, 3, 20, 30])
    masked = dataclasses.replace(bank, allowed=allowed)
    for row in range(len(bank.pixels_PC)):
        ((image, y, x),) = masked.at(torch.tensor([row]))[0].tolist()
        found = masked.rows_of(torch.tensor([image]), torch.tensor([[x + 0.5, y + 0.5]])).item()
        assert found == min((a for a in allowed.tolist() if a >= row), default=30)
