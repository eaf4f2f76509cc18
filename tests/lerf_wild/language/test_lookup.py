from __future__ import annotations

import pytest
import torch

from lerf_wild.language.lookup import (
    MAX_OFF_CENTRE,
    PyramidBank,
    is_centred,
    lookup,
    lookup_many,
)
from lerf_wild.language.pyramid import Pyramid
from lerf_wild.language.pyramid_layout import PyramidSpec, pyramid_layout


def random_pyramid(height, width, generator, spec=None, invalid_share=0.0, dim=5):
    layout = pyramid_layout(spec or PyramidSpec(), height, width)
    tiles = torch.randn(layout.num_tiles, dim, generator=generator).half()
    valid = torch.rand(layout.num_tiles, generator=generator) >= invalid_share
    return Pyramid(tiles, valid, layout)


def axis_weights(starts, size, position):
    """Weights of all tiles of a row for a position, by walking over the gaps."""
    centres = [float(start) + size / 2 for start in starts]
    weights = [0.0] * len(centres)
    if position <= centres[0]:
        weights[0] = 1.0
    elif position >= centres[-1]:
        weights[-1] = 1.0
    else:
        for i in range(len(centres) - 1):
            if centres[i] <= position <= centres[i + 1]:
                share = (position - centres[i]) / (centres[i + 1] - centres[i])
                weights[i], weights[i + 1] = 1 - share, share
                break
    return weights


def lookup_slowly(pyramid, position, x, y):
    """Loops over every tile of every level."""
    layout = pyramid.layout
    levels = len(layout.grids)
    total, feature = 0.0, torch.zeros(pyramid.tiles.shape[1], dtype=torch.float64)
    for level, (grid, start) in enumerate(zip(layout.grids, layout.offsets)):
        level_weight = max(0.0, 1 - abs(position * (levels - 1) - level))
        across = axis_weights(grid.lefts().tolist(), grid.size_px, x)
        down = axis_weights(grid.tops().tolist(), grid.size_px, y)
        for row in range(grid.rows):
            for col in range(grid.cols):
                index = start + row * grid.cols + col
                weight = level_weight * down[row] * across[col] * float(pyramid.valid[index])
                feature += weight * pyramid.tiles[index].double()
                total += weight
    return (feature / total if total > 1e-6 else feature * 0).float(), total > 1e-6


@pytest.mark.parametrize("invalid_share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(40, 60), (37, 23)])
def test_agrees_with_loops(generator, shape, invalid_share):
    pyramid = random_pyramid(*shape, generator, invalid_share=invalid_share)
    xy = torch.rand(40, 2, generator=generator) * torch.tensor([shape[1], shape[0]])
    position = torch.rand(40, generator=generator)
    position[:4] = torch.tensor([0.0, 1.0, 1 / 6, 0.5])
    xy[4] = torch.tensor([0.5, 0.5])
    xy[5] = torch.tensor([shape[1] - 0.5, shape[0] - 0.5])
    features, valid = lookup(pyramid.tiles, pyramid.valid, pyramid.layout, position, xy)
    assert features.dtype == torch.float32
    for ray in range(40):
        expected, is_valid = lookup_slowly(pyramid, float(position[ray]), *xy[ray].tolist())
        assert bool(valid[ray]) == is_valid
        # Half-precision tiles and weights are good for three digits.
        torch.testing.assert_close(features[ray], expected, atol=4e-3, rtol=2e-3)


def test_float32_tiles_are_exact(generator):
    pyramid = random_pyramid(40, 60, generator)
    pyramid = Pyramid(pyramid.tiles.float(), pyramid.valid, pyramid.layout)
    xy = torch.tensor([[13.2, 20.7], [59.0, 3.0]])
    position = torch.tensor([0.3, 0.77])
    features, _ = lookup(pyramid.tiles, pyramid.valid, pyramid.layout, position, xy)
    for ray in range(2):
        expected, _ = lookup_slowly(pyramid, float(position[ray]), *xy[ray].tolist())
        torch.testing.assert_close(features[ray], expected, atol=1e-5, rtol=1e-5)


def test_centre_of_a_tile_gives_the_tile(generator):
    pyramid = random_pyramid(64, 64, generator)
    for level in (0, 3, 6):
        grid, start = pyramid.layout.grids[level], pyramid.layout.offsets[level]
        xy = torch.tensor([[grid.lefts()[-1] + grid.size_px / 2, grid.size_px / 2]])
        features, _ = lookup(
            pyramid.tiles, pyramid.valid, pyramid.layout, torch.tensor([level / 6]), xy
        )
        tile = pyramid.tiles[start + grid.cols - 1].float()
        torch.testing.assert_close(features[0], tile, atol=1e-3, rtol=1e-3)


def test_several_images_in_one_call(generator):
    shapes = [(40, 60), (37, 23), (64, 64)]
    pyramids = [random_pyramid(*shape, generator, invalid_share=0.3) for shape in shapes]
    image = torch.randint(0, 3, (100,), generator=generator)
    position = torch.rand(100, generator=generator)
    sizes = torch.tensor([[width, height] for height, width in shapes])
    xy = torch.rand(100, 2, generator=generator) * sizes[image]
    many = lookup_many(pyramids, image, position, xy)
    bank = PyramidBank(pyramids).lookup(image, position, xy)
    for ray in range(100):
        p = pyramids[image[ray]]
        single = lookup(p.tiles, p.valid, p.layout, position[ray : ray + 1], xy[ray : ray + 1])
        for result in (many, bank):
            torch.testing.assert_close(result[0][ray], single[0][0])
            assert result[1][ray] == single[1][0]


def test_one_level_and_no_rays(generator):
    pyramid = random_pyramid(30, 30, generator, PyramidSpec(levels=1))
    args = (pyramid.tiles, pyramid.valid, pyramid.layout)
    features, valid = lookup(*args, torch.rand(3), torch.rand(3, 2) * 30)
    assert valid.all()
    assert features.isfinite().all()
    assert lookup(*args, torch.rand(0), torch.rand(0, 2))[0].shape == (0, 5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_bank_on_a_gpu(generator):
    pyramids = [random_pyramid(40, 60, generator, invalid_share=0.3) for _ in range(3)]
    image = torch.randint(0, 3, (500,), generator=generator)
    position = torch.rand(500, generator=generator)
    xy = torch.rand(500, 2, generator=generator) * 40
    on_cpu = PyramidBank(pyramids).lookup(image, position, xy)
    on_gpu = PyramidBank(pyramids, "cuda").lookup(image.cuda(), position.cuda(), xy.cuda())
    torch.testing.assert_close(on_gpu[0].cpu(), on_cpu[0], atol=4e-3, rtol=2e-3)
    assert torch.equal(on_gpu[1].cpu(), on_cpu[1])


def is_centred_naive(pixel, size, ratio):
    """Moves a tile that is centred at the pixel into the image, and looks how far that was."""
    side = min(ratio * size[1], *size)
    moved = [min(max(at, side / 2), length - side / 2) - at for at, length in zip(pixel, size)]
    return max(abs(one) for one in moved) <= MAX_OFF_CENTRE * side


def test_tiles_lie_around_a_pixel_as_when_moved_one_at_a_time():
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
