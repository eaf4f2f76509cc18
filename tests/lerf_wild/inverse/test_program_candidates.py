"""What counts as an object: centres at several sizes, each box but once."""

import pytest
import torch

from lerf_wild.inverse.program_candidates import candidates
from lerf_wild.inverse.program_counting import Counting
from lerf_wild.inverse.program_detector import (
    SIZE,
    STRIDE,
    Found,
    ProgramDetector,
    box_targets,
    boxes_from_map,
    centre_targets,
    seen_often,
    zoomed,
)

torch.set_num_threads(1)


def true_maps(batch):
    """What a detector would say that knows all boxes."""
    heat, cell = centre_targets(batch)
    box = torch.zeros(len(heat), 4, *heat.shape[-2:])
    goals = box_targets(batch, cell)
    for i, k in batch.there_NK.nonzero().tolist():
        box[i].view(4, -1)[:, cell[i, k]] = goals[i, k]
    logits = torch.logit(heat.clamp(1e-4, 1 - 1e-4))
    return Found(logits, box, torch.zeros(1), torch.zeros(1))


def test_true_maps_are_read_as_the_true_boxes(batch):
    seen = candidates(true_maps(batch), Counting(), 0.9)
    for i in range(len(batch.rgb_N3HW)):
        true = batch.boxes_NK4[i][batch.there_NK[i]]
        gaps = torch.cdist(seen.box_BK4[i][seen.there_BK[i]], true).min(dim=0).values
        # Of two objects in one cell, or of nearly equal boxes, one may be lost.
        assert (gaps < 1e-2).sum() >= len(true) - 1


def test_without_heat_there_are_no_candidates():
    found = Found(
        torch.full((1, 6, 64, 64), -9.0), torch.zeros(1, 4, 64, 64), *2 * [torch.zeros(1)]
    )
    assert not candidates(found, Counting(), 0.3).there_BK.any()


def test_a_picture_and_its_mirror_image_are_seen_alike():
    detector = ProgramDetector().eval()
    rgb = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(4))
    found, other = seen_often(detector, rgb), seen_often(detector, rgb.flip(-1))
    assert torch.allclose(found.heat_BKhw, other.heat_BKhw.flip(-1), atol=1e-3)
    left, _, right, _ = boxes_from_map(found.box_B4hw).unbind(-1)
    mirrored = boxes_from_map(other.box_B4hw).view(2, 64, 64, 4).flip(2).reshape(2, -1, 4)
    assert torch.allclose(left, 256 - mirrored[..., 2], atol=1e-2)
    assert torch.allclose(right, 256 - mirrored[..., 0], atol=1e-2)


def test_boxes_of_other_sizes_are_brought_to_one():
    """A detector that says one box of a picture says it at all sizes."""
    box = torch.tensor([70.0, 90.0, 150.0, 200.0])

    class Knowing(ProgramDetector):
        def centres(self, rgb_B3HW):
            side = rgb_B3HW.shape[-1]
            cells = side // STRIDE
            own = torch.where(is_mirrored(rgb_B3HW), 1.0, 0.0)
            left, top, right, bottom = box * side / SIZE
            left, right = (
                own * (side - right) + (1 - own) * left,
                own * (side - left) + (1 - own) * right,
            )
            axis = torch.arange(cells) + 0.5
            maps = torch.zeros(1, 4, cells, cells)
            maps[:, 0] = (left + right) / (2 * STRIDE) - axis
            maps[:, 1] = (top + bottom) / (2 * STRIDE) - axis[:, None]
            maps[:, 2:] = (torch.stack([right - left, bottom - top]) / STRIDE).log()[:, None, None]
            return torch.zeros(1, 6, cells, cells), maps

        def forward(self, rgb_B3HW):
            return Found(*self.centres(rgb_B3HW), torch.zeros(1), torch.zeros(1))

    def is_mirrored(rgb):
        return rgb[0, 0, 0, 0] > rgb[0, 0, 0, -1]

    picture = torch.linspace(0, 1, 256).expand(1, 3, 256, 256)
    found = seen_often(Knowing().eval(), picture)
    inner = boxes_from_map(found.box_B4hw).view(64, 64, 4)[4:-4, 4:-4]
    torch.testing.assert_close(inner, box.expand_as(inner), atol=0.05, rtol=0)


def test_zooming_changes_pictures_and_boxes_alike(batch):
    large = zoomed(batch, 320)
    assert large.rgb_N3HW.shape[-2:] == (320, 320) and large.rgb_N3HW.dtype == torch.uint8
    torch.testing.assert_close(large.boxes_NK4, 1.25 * batch.boxes_NK4)
    assert abs(float(large.rgb_N3HW.float().mean() - batch.rgb_N3HW.float().mean())) < 1.0
    again = zoomed(large, 256)
    assert float((again.rgb_N3HW.float() - batch.rgb_N3HW.float()).abs().mean()) < 6.0


def test_only_the_surer_of_two_nearly_equal_boxes_stays():
    heat, box = torch.full((1, 6, 32, 32), -9.0), torch.zeros(1, 4, 32, 32)
    for column, logit in ((10, 2.0), (12, 1.0), (25, 1.5)):
        heat[0, 1, 10, column] = logit
        box[0, 2:, 10, column] = torch.tensor([16.0, 6.0]).log()
    found = Found(heat, box, torch.zeros(1), torch.zeros(1))
    seen = candidates(found, Counting(), 0.3)
    assert seen.there_BK.sum() == 2
    # The second kind alone is warm.
    assert seen.kind_BK6[seen.there_BK].argmax(dim=1).tolist() == [1, 1]
    # Before a fit a score of 0.35 is a chance of one half.
    usual = torch.logit(torch.tensor(0.35))
    assert sorted(seen.score_BK[0].tolist()) == pytest.approx(
        (torch.tensor([1.5, 2.0]) - usual).sigmoid().tolist(), abs=1e-4
    )
