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


def test_what_is_shifted_by_a_stride_of_the_trunk_is_seen_shifted():
    """Sub-cells lie where they belong: the maps of a picture that is moved are moved alike."""
    detector = ProgramDetector().eval()
    generator = torch.Generator().manual_seed(1)
    picture = torch.zeros(1, 3, 128, 128)
    picture[..., 48:80, 48:80] = torch.rand(1, 3, 32, 32, generator=generator)
    with torch.no_grad():
        fine = detector.trunk(picture)[0]
        moved = detector.trunk(picture.roll(16, dims=3))[0]
    inner = (..., slice(8, 24), slice(8, 20))
    torch.testing.assert_close(moved.roll(-4, dims=3)[inner], fine[inner], atol=1e-4, rtol=1e-4)
