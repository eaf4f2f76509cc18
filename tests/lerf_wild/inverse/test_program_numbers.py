"""RAW's baseline: numbers in a random order, written and read digit by digit."""

import numpy as np
import pytest
import torch

from lerf_wild.inverse.program_decoder import DigitHead, digits_of
from lerf_wild.inverse.program_numbers import (
    YAWS,
    likeliest_numbers,
    number_order,
    permuted_ids,
    read_numbers,
)

torch.set_num_threads(1)
NAMES = ("egret", "fox", "rock")


def certain(number: int) -> DigitHead:
    """A head that writes one number, whatever it reads."""
    head = DigitHead(4)
    for place, digit in zip(head.places, digits_of(torch.tensor([number]))[0]):
        torch.nn.init.zeros_(place.weight)
        torch.nn.init.zeros_(place.bias)
        place.bias.data[digit] = 5.0
    return head


def test_with_enough_beams_the_likeliest_of_all_numbers_are_found():
    torch.manual_seed(3)
    head, state = DigitHead(6), torch.randn(2, 6)
    every = digits_of(torch.arange(100_000))
    for one, row in enumerate(state):
        logits = head(row.expand(len(every), -1), every).log_softmax(dim=-1)
        naive = logits.gather(2, every[..., None])[..., 0].sum(dim=1)
        number, score = likeliest_numbers(head, state, 10_000)
        torch.testing.assert_close(score[one, :5], naive.sort(descending=True).values[:5])
        assert number[one, :5].tolist() == naive.argsort(descending=True)[:5].tolist()
    greedy, _ = likeliest_numbers(head, state, 1)
    torch.testing.assert_close(greedy[:, 0], head.decode(state))


def test_numbers_are_read_as_the_assets_and_yaws_that_wrote_them(batch):
    written = permuted_ids(batch, 4)
    assert len(torch.unique(number_order(4))) == 4 * YAWS
    row, place = batch.there_NK.nonzero()[0].tolist()
    names = ("a", "b", "c", "d")
    said = read_numbers(certain(int(written[row, place])), torch.zeros(2, 4), names)
    assert said[0].names[0] == said[1].names[0] == names[int(batch.asset_NK[row, place])]
    error = said[0].yaw_rad - float(batch.yaw_NK[row, place])
    assert abs(np.angle(np.exp(1j * error))) <= np.pi / YAWS + 1e-6
    assert len(set(said[0].names)) == len(said[0].names) > 1 and said[0].margin > 1.0


@pytest.mark.parametrize("number", [99_999, 50_000])
def test_a_number_of_nothing_still_names_an_asset(number):
    assert read_numbers(certain(number), torch.zeros(1, 4), NAMES)[0].names[0] in NAMES
