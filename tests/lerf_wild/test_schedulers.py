"""The schedules have their shapes and leave plain floats."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lerf_wild.schedulers import (
    ExponentialDecayConfig,
    LinearDecayConfig,
    exponential_rate,
    linear_share,
)


def test_rate_goes_from_first_to_last_and_stays():
    rates = [exponential_rate(step, 1e-2, 1e-4, 100) for step in (0, 50, 100, 1000)]
    assert rates == pytest.approx([1e-2, 1e-3, 1e-4, 1e-4])


def test_warm_up_rises_to_the_first_rate():
    rates = [exponential_rate(step, 1e-2, 1e-4, 100, warmup_steps=10) for step in range(11)]
    assert rates == sorted(rates)
    assert rates[0] == pytest.approx(1e-8)
    assert rates[10] == pytest.approx(1e-2)


def test_state_holds_plain_floats():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([parameter], lr=1e-2)
    config = ExponentialDecayConfig(lr_final=1e-3, max_steps=10)
    schedule = config.setup().get_scheduler(optimizer, 1e-2)
    optimizer.step()
    schedule.step()
    assert type(optimizer.param_groups[0]["lr"]) is float
    assert type(schedule.get_last_lr()[0]) is float


def test_matches_nerfstudio():
    from nerfstudio.engine.schedulers import ExponentialDecaySchedulerConfig

    settings = {"lr_final": 1e-4, "max_steps": 50, "warmup_steps": 5}
    rates = []
    for config in (ExponentialDecayConfig(**settings), ExponentialDecaySchedulerConfig(**settings)):
        optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1e-2)
        schedule = config.setup().get_scheduler(optimizer, 1e-2)
        seen = []
        for _ in range(60):
            optimizer.step()
            schedule.step()
            seen.append(float(schedule.get_last_lr()[0]))
        rates.append(seen)
    assert rates[0] == pytest.approx(rates[1])


def test_the_linear_share_rises_stays_and_falls():
    shares = [linear_share(step, 20, warmup=4, decay_share=0.5) for step in range(22)]
    assert shares[:4] == [0.25, 0.5, 0.75, 1.0]
    assert shares[4:11] == [1.0] * 7
    assert shares[11:] == pytest.approx([*np.arange(0.9, 0.0, -0.1), 0.0, 0.0])


def test_schedule_is_made_of_floats():
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=0.01)
    scheduler = LinearDecayConfig(steps=10, warmup=2).setup().get_scheduler(optimiser, 0.01)
    for _ in range(12):
        optimiser.step()
        scheduler.step()
        rate = optimiser.param_groups[0]["lr"]
        assert type(rate) is float and np.isfinite(rate)
    assert rate == 0.0
