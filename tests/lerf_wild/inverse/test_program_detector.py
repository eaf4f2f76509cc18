"""The detector's own parts; what is made of its maps is tested with the candidates."""

import torch

from lerf_wild.inverse.program_detector import (
    STRIDE,
    ProgramDetector,
    Residual,
)
from lerf_wild.program.statements import KINDS

torch.set_num_threads(1)


def test_residual_blocks_change_nothing_before_they_are_trained():
    x = torch.randn(2, 16, 5, 7, generator=torch.Generator().manual_seed(0))
    block = Residual(16, 8)
    torch.testing.assert_close(block(x), x)
    torch.nn.init.normal_(block.wide.weight)
    assert (block(x) - x).abs().max() > 0.1


def test_maps_have_a_cell_for_every_four_pixels_of_pictures_of_any_size():
    detector = ProgramDetector().eval()
    for height, width in ((64, 96), (160, 32)):
        with torch.no_grad():
            heat, box = detector.centres(torch.rand(1, 3, height, width))
        assert heat.shape == (1, len(KINDS), height // STRIDE, width // STRIDE)
        assert box.shape == (1, 4, height // STRIDE, width // STRIDE)


def test_maps_of_a_moved_picture_are_moved():
    torch.manual_seed(0)
    detector = ProgramDetector().eval()
    picture = torch.zeros(1, 3, 192, 192)
    picture[..., 64:96, 64:96] = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        heat, box = detector.centres(picture)
        moved_heat, moved_box = detector.centres(picture.roll(32, dims=3))
    # Far from the borders, whose padding stays where it is.
    inner = (..., slice(12, 36), slice(12, 28))
    cells = 32 // STRIDE
    for own, moved in ((heat, moved_heat), (box, moved_box)):
        assert float(own[inner].std()) > 1e-3
        assert float((moved.roll(-cells, dims=3) - own)[inner].abs().max()) < 1e-3
