"""Small things are drawn as often as large ones."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from lerf_wild.language.pyramid_layout import DEFAULT_SPEC, pyramid_layout
from lerf_wild.language.rare_tiles import RareTiles, chances, kinds_of

DIMENSIONS = 8


def entry(height: int, width: int, rare: dict[int, int], dead: tuple[int, ...] = ()):
    """An image whose smallest tiles point one way, but for some (index: other way)."""
    layout = pyramid_layout(DEFAULT_SPEC, height, width)
    tiles = torch.zeros(layout.num_tiles, DIMENSIONS)
    tiles[:, 0] = 1.0
    for index, way in rare.items():
        tiles[index] = torch.nn.functional.one_hot(torch.tensor(way), DIMENSIONS).float()
    tiles += 0.01 * torch.randn(tiles.shape, generator=torch.Generator().manual_seed(3))
    valid = torch.ones(layout.num_tiles, dtype=torch.bool)
    valid[list(dead)] = False
    return SimpleNamespace(tiles=tiles.half(), valid=valid, layout=layout)


@pytest.fixture
def entries():
    return [entry(120, 160, {40: 1, 41: 1}), entry(90, 90, {7: 2}, dead=(8, 9))]


def test_kinds_are_equally_likely_and_so_are_their_tiles(entries):
    tiles = torch.cat([e.tiles[: e.layout.grids[0].count] for e in entries])
    valid = torch.cat([e.valid[: e.layout.grids[0].count] for e in entries])
    kind, chance = kinds_of(tiles, valid, 3), chances(tiles, valid, 3)
    assert len(kind.unique()) == 3
    for index in range(len(tiles)):
        alike = [i for i in range(len(tiles)) if valid[i] and kind[i] == kind[index]]
        expected = 1 / len(alike) if valid[index] else 0.0
        assert chance[index].item() == pytest.approx(expected)


def test_draws_lie_in_the_middle_cells_of_tiles_and_favour_rare_ones(entries):
    rare = RareTiles(entries, kinds=3)
    image, places = rare.draw(3000, torch.Generator().manual_seed(1))
    for index, one in enumerate(entries):
        grid, (top, left, side) = one.layout.grids[0], one.layout.boxes()[:, :].T
        middles = torch.stack([left + side / 2, top + side / 2], -1)[: grid.count]
        mine = places[image == index]
        gap = (mine[:, None] - middles).abs().amax(-1).amin(1)
        assert (gap <= grid.stride_px / 2 + 1e-4).all()
    # Tile 7 of the second image is a kind of its own: a third of all draws are near it.
    top, left, side = entries[1].layout.boxes()[7].tolist()
    near = (places - torch.tensor([left + side / 2, top + side / 2])).abs().amax(-1) <= side / 2
    assert 0.28 < ((image == 1) & near).float().mean() < 0.40


def test_favour_is_how_much_oftener_a_pixel_is_drawn(entries):
    rare = RareTiles(entries, kinds=3)
    image, places = rare.draw(200_000, torch.Generator().manual_seed(2))
    pixels = sum(e.layout.height * e.layout.width for e in entries)
    for index, spot in ((0, (42.0, 33.0)), (1, entries[1].layout.boxes()[7][[1, 0]] + 1.0)):
        spot = torch.as_tensor(spot)
        near = (image == index) & (places >= spot).all(1) & (places < spot + 2).all(1)
        counted = near.float().mean() * pixels / 4
        said = rare.favour(torch.tensor([index]), (spot + 1)[None])
        assert counted.item() == pytest.approx(said.item(), rel=0.15)


def test_weighed_by_favour_draws_are_even_again(entries):
    rare, share = RareTiles(entries, kinds=3), 0.25
    grid = [
        torch.stack(
            torch.meshgrid(
                torch.arange(e.layout.height), torch.arange(e.layout.width), indexing="ij"
            ),
            -1,
        )
        .reshape(-1, 2)
        .flip(-1)
        + 0.5
        for e in entries
    ]
    places = torch.cat(grid)
    image = torch.repeat_interleave(torch.arange(2), torch.tensor([len(g) for g in grid]))
    favour = rare.favour(image, places)
    assert favour.mean().item() == pytest.approx(1.0, abs=0.05)
    assert (1 - share + share * favour).min() >= 1 - share


def test_pictures_masked_everywhere_are_drawn_evenly():
    dead = entry(90, 90, {})
    dead.valid[:] = False
    image, places = RareTiles([dead]).draw(100, torch.Generator().manual_seed(0))
    assert (image == 0).all() and len(places.unique(dim=0)) == 100


def test_fewer_tiles_than_kinds_are_no_trouble():
    chance = chances(torch.randn(5, DIMENSIONS), torch.ones(5, dtype=torch.bool), kinds=64)
    assert (chance > 0).all()


def test_pictures_of_one_colour_are_no_trouble():
    alike = torch.ones(300, DIMENSIONS)
    chance = chances(alike, torch.ones(300, dtype=torch.bool), kinds=64)
    assert torch.allclose(chance, chance[:1])
