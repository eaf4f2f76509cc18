"""`ns-train wildlife`: which run it takes, and what it says when it can't refine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lerf_wild.methods.wildlife.config import WildlifeTrainerConfig, wildlife
from lerf_wild.methods.wildlife.trainer import WildlifeTrainer
from lerf_wild.wildlife.items import Item
from lerf_wild.wildlife.population import Population, with_item
from lerf_wild.wildlife.population_files import read_population, write_population
from lerf_wild.wildlife.surroundings import Surroundings


def test_the_run_is_taken_out_of_nerfstudios_hands():
    config = WildlifeTrainerConfig(method_name="wildlife", load_config=Path("run/config.yml"))
    assert config.run == Path("run/config.yml") and config.load_config is None
    assert wildlife.config.method_name == "wildlife"


def test_without_a_run_it_ends_with_a_message(capsys):
    trainer = WildlifeTrainer(WildlifeTrainerConfig(method_name="wildlife"))
    with pytest.raises(SystemExit) as stop:
        trainer.setup()
    assert stop.value.code == 2
    assert "--load-config" in capsys.readouterr().out


def test_an_item_that_cannot_be_refined_is_told_and_left(populated, monkeypatch, capsys):
    items = populated.model.items
    empty = Surroundings(np.zeros((0, 3)), np.zeros((0, 3), np.uint8))
    monkeypatch.setattr(items, "surroundings", lambda: empty)
    cube = Item(id="cube_1", asset="red_cube", position=(0.0, -0.2, 1.0), height_m=0.4)
    write_population(items.path, with_item(Population(), cube))
    trainer = WildlifeTrainer(WildlifeTrainerConfig(method_name="wildlife", evaluations=4))
    trainer.run = populated
    trainer.train()
    assert trainer.figures == []
    assert "too few" in " ".join(capsys.readouterr().out.split())
    assert read_population(items.path).items == (cube,)
    items.path.unlink()
    items.shown()
