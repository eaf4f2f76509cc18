"""A trained field with items in it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from lerf_wild.wildlife.items import Clearing, Item, Provenance
from lerf_wild.wildlife.population import Population, with_change, with_clearing, with_item
from lerf_wild.wildlife.population_files import edit_population, write_population
from lerf_wild.wildlife.scene_light import usual_light
from lerf_wild.wildlife.surroundings import Surroundings


def cube(**changes) -> Item:
    # The wall's cameras look down on it, so that its own upright axis is the capture's y.
    usual = {"id": "cube_1", "asset": "red_cube", "position": (0.0, -0.2, 1.0), "height_m": 0.4}
    return Item(**(usual | changes))


@pytest.fixture()
def run(populated, monkeypatch):
    items = populated.model.items
    empty = Surroundings(np.zeros((0, 3)), np.zeros((0, 3), np.uint8))
    monkeypatch.setattr(items, "surroundings", lambda: empty)
    items.path.unlink(missing_ok=True)
    yield populated
    items.path.unlink(missing_ok=True)
    items.shown()


def rendered(run, index: int = 0):
    cameras = run.dataset("train").cameras.to(run.model.device)
    with torch.no_grad():
        rays = cameras.generate_rays(index, keep_shape=True)
        return run.model.get_outputs_for_camera_ray_bundle(rays), rays


def test_a_run_without_items_renders_as_lerf_wild_does(run):
    from lerf_wild.cli.runs import open_run

    outputs, rays = rendered(run)
    plain_run = open_run(run.folder / "config.yml")
    assert not hasattr(plain_run.model, "items")
    with torch.no_grad():
        plain = plain_run.model.get_outputs_for_camera_ray_bundle(rays)
    for name in ("rgb", "depth", "accumulation"):
        torch.testing.assert_close(outputs[name], plain[name])
    assert float(outputs["item_share"].max()) == 0.0


def test_a_cube_shows_where_it_stands_and_at_its_distance(run):
    bare, rays = rendered(run, 3)
    write_population(run.model.items.path, with_item(Population(), cube()))
    outputs, _ = rendered(run, 3)
    inside = outputs["items"][..., 0] == 1
    assert 10 < int(inside.sum()) < inside.numel() / 2
    stage = run.model.items.stage
    scene = run.model.items.shown().scene
    origins = stage.from_nerf(rays.origins[inside].numpy())
    directions = stage.directions_from_nerf(rays.directions[inside].numpy())
    traced = scene.trace(origins, directions).distance_N / stage.metres_per_nerf
    depth = outputs["depth"][inside][:, 0].numpy()
    behind = bare["depth"][inside][:, 0].numpy()
    np.testing.assert_allclose(
        np.minimum(depth, traced + 1e-3), np.minimum(traced, behind), rtol=0.1
    )
    red = outputs["rgb"][inside]
    assert float((red[:, 0] - red[:, 1]).mean()) > float(
        (bare["rgb"][inside][:, 0] - bare["rgb"][inside][:, 1]).mean()
    )
    outside = outputs["item_share"][..., 0] == 0
    torch.testing.assert_close(outputs["rgb"][outside], bare["rgb"][outside])
    total = outputs["accumulation"]
    assert float(total.max()) <= 1.0 + 1e-4 and bool((total >= bare["accumulation"] - 1e-4).all())


def test_phrases_find_the_cube_and_only_it(run):
    write_population(run.model.items.path, with_item(Population(), cube()))
    query = run.query(["red thing", "blue thing"])
    found = run.answer(run.dataset("train").cameras, 3, query)
    share = found.outputs["item_share"][..., 0].numpy()
    inside, outside = share > 0.9, share == 0
    assert inside.any()
    red = found.relevancy_HWP[..., 0]
    assert float(np.median(red[inside])) > 0.6
    assert float(np.median(red[inside])) > float(np.median(found.relevancy_HWP[..., 1][inside]))
    run.model.items.show(Population())
    bare = run.answer(run.dataset("train").cameras, 3, query)
    same = np.abs(bare.relevancy_HWP - found.relevancy_HWP)[outside]
    assert np.quantile(same, 0.98) < 1e-4


def test_points_of_an_item_are_known_from_those_of_the_photos(run):
    items = run.model.items
    points_N3 = run.to_nerf(np.array([[0.0, -0.1, 1.0], [0.0, -0.1, 1.6], [0.5, -0.1, 1.0]]))
    assert not items.holds(points_N3).any()
    write_population(items.path, with_item(Population(), cube()))
    assert items.holds(points_N3).tolist() == [True, False, False]


def test_a_viewer_marches_still_rays_once_and_still_sees_every_change(run, monkeypatch):
    bare, _ = rendered(run, 3)
    model, marched = run.model, []
    shader = model.field.forward
    monkeypatch.setattr(
        model.field, "forward", lambda *a, **k: marched.append(1) or shader(*a, **k)
    )
    monkeypatch.setattr(model, "_live", object())
    first, _ = rendered(run, 3)
    count = len(marched)
    write_population(model.items.path, with_item(Population(), cube()))
    second, _ = rendered(run, 3)
    assert len(marched) == count > 0
    torch.testing.assert_close(first["rgb"], bare["rgb"])
    assert float(second["item_share"].max()) > 0.5 and float(first["item_share"].max()) == 0.0
    model.items.path.unlink()
    third, _ = rendered(run, 3)
    torch.testing.assert_close(third["rgb"], bare["rgb"])


def test_changes_of_the_file_are_seen_and_a_damaged_one_is_survived(run):
    items, heard = run.model.items, []
    items.on_trouble = heard.append
    write_population(items.path, with_item(Population(), cube()))
    first = run.model.items_version
    assert run.model.items_version == first
    edit_population(items.path, lambda old: with_change(old, "cube_1", "grow", height_m=0.5))
    assert run.model.items_version > first
    assert items.shown().scene.standing[0].item.height_m == 0.5
    items.path.write_text("{")
    assert items.shown().scene.standing[0].item.height_m == 0.5
    assert len(heard) == 1 and str(items.path) in heard[0]


def test_an_item_that_cannot_be_shown_is_named_and_the_rest_stands(run):
    items, heard = run.model.items, []
    items.on_trouble = heard.append
    population = with_item(with_item(Population(), cube()), cube(id="ghost", asset="none_such"))
    write_population(items.path, population)
    assert [one.item.id for one in items.shown().scene.standing] == ["cube_1"]
    assert any("none_such" in line for line in heard)


def test_an_asset_of_another_licence_is_named_and_the_rest_is_drawn(run):
    items, heard = run.model.items, []
    items.on_trouble = heard.append
    other = cube(id="cube_2", provenance=Provenance("hand", licence="CC-BY-4.0"))
    write_population(items.path, with_item(with_item(Population(), cube()), other))
    outputs, _ = rendered(run, 3)
    assert float(outputs["items"].max()) == 1.0
    assert len(heard) == 1 and "MIT" in heard[0] and "CC-BY-4.0" in heard[0]


def test_items_below_the_ground_or_outside_are_named_and_the_rest_is_drawn(run, monkeypatch):
    items, heard = run.model.items, []
    draw = np.random.default_rng(0)
    # A lawn below the cube on the run's stage, where the capture's y is up.
    foot = items.stage.from_world(np.array([cube().position]))[0]
    lawn = draw.uniform(-2, 2, (8000, 3)) * [1, 1, 0] + [*foot[:2], foot[2]]
    around = Surroundings(lawn, np.full((8000, 3), 90, np.uint8))
    monkeypatch.setattr(items, "surroundings", lambda: around)
    monkeypatch.setattr(items, "on_trouble", heard.append)
    sunk = items.stage.to_world(foot[None] - [0, 0, 1.5])[0]
    far = items.stage.to_world(foot[None] + [90, 0, 0])[0]
    population = with_item(Population(), cube())
    population = with_item(population, cube(id="sunk", position=tuple(sunk.tolist())))
    write_population(
        items.path, with_item(population, cube(id="far", position=tuple(far.tolist())))
    )
    outputs, _ = rendered(run, 3)
    rendered(run, 3)
    assert float((outputs["items"] == 1).sum()) > 10
    assert len(heard) == 2
    assert "'sunk'" in heard[1] and "1.50 m below" in heard[1]
    assert "'far'" in heard[0] and "outside" in heard[0]
    write_population(items.path, with_item(Population(), cube()))
    rendered(run, 3)
    assert len(heard) == 2


def test_hidden_items_are_not_drawn(run):
    population = with_item(Population(), cube(visible=False))
    run.model.items.show(population)
    assert len(run.model.items.shown().scene) == 0


def test_the_written_config_opens_again_with_the_items(populated, run):
    from lerf_wild.cli.runs import open_run
    from lerf_wild.methods.wildlife.model import WildlifeModel

    write_population(run.model.items.path, with_item(Population(), cube()))
    again = open_run(run.folder / "wildlife.yml")
    assert isinstance(again.model, WildlifeModel)
    assert len(again.model.items.shown().scene) == 1
    content = json.loads(run.model.items.path.read_text())
    assert content["items"][0]["id"] == "cube_1"


def test_a_place_without_ground_has_a_usual_day():
    empty = Surroundings(np.zeros((0, 3)), np.zeros((0, 3), np.uint8))
    assert empty.light.agreement == 0.0
    np.testing.assert_allclose(empty.ground_normals(np.zeros((2, 2))), [[0, 0, 1]] * 2)
    assert usual_light().shade.lit(np.zeros((3, 3))).min() == 1.0


@pytest.fixture()
def on_a_floor(run, monkeypatch):
    """The wall's points as a floor seen from above, without anything that stands on it."""
    draw = np.random.default_rng(0)
    floor = np.column_stack([draw.uniform(-3, 3, (4000, 2)), np.full(4000, -5.0)])
    around = Surroundings(floor, np.zeros((4000, 3), np.uint8))
    monkeypatch.setattr(run.model.items, "surroundings", lambda: around)
    return run


def test_a_cleared_column_is_empty_and_the_rest_is_as_before(on_a_floor):
    run = on_a_floor
    bare, rays = rendered(run, 3)
    stage = run.model.items.stage
    surface = stage.from_nerf((rays.origins + rays.directions * bare["depth"]).double().numpy())
    foot = np.array([*surface[surface.shape[0] // 2, surface.shape[1] // 2, :2], -5.0])
    x, y, z = (float(value) for value in stage.to_world(foot[None])[0])
    gone = Clearing(id="gone", position=(x, y, z), half_lengths_m=(0.4, 0.4), height_m=20.0)
    write_population(run.model.items.path, with_clearing(Population(), gone))
    distances = bare["depth"] * torch.linspace(0.3, 1.3, 60)
    points = rays.origins[..., None, :] + rays.directions[..., None, :] * distances[..., None]
    on_stage = stage.from_nerf(points.reshape(-1, 3).double().numpy()) - foot
    is_above = (on_stage[:, 2] > 0.11) & (on_stage[:, 2] < 19.9)
    inside = torch.from_numpy((np.hypot(on_stage[:, 0], on_stage[:, 1]) < 0.399) & is_above)
    assert 10 < int(inside.sum()) < len(inside) - 10
    with torch.no_grad():
        density = run.model.field.density_fn(points.reshape(-1, 3))[:, 0]
    assert (density[inside] == 0).all() and (density[~inside] > 0).any()
    outputs, _ = rendered(run, 3)
    shown = np.hypot(*(surface[..., :2] - foot[:2]).transpose(2, 0, 1)) < 0.35
    assert (outputs["depth"] - bare["depth"])[torch.from_numpy(shown)].abs().max() > 0.05
    run.model.items.path.unlink()
    again, _ = rendered(run, 3)
    torch.testing.assert_close(again["rgb"], bare["rgb"])


def test_a_place_that_no_photo_shows_is_not_cleared(run, monkeypatch):
    from lerf_wild.cli import wildlife_clear as command
    from lerf_wild.errors import WildlifeError

    floor = np.random.default_rng(0).uniform(-2, 2, (4000, 3)) * [1, 1, 0]
    around = Surroundings(floor, np.zeros((4000, 3), np.uint8))
    monkeypatch.setattr(run.model.items, "surroundings", lambda: around)
    monkeypatch.setattr(command, "open_populated", lambda *_: run)
    config = run.folder / "config.yml"
    with pytest.raises(WildlifeError, match="show nothing within"):
        command.wildlife_clear(config, at=(99.0, 99.0), radius_m=0.5)
    assert not run.model.items.path.exists()
    command.wildlife_clear(config, at=(0.0, 0.0), radius_m=0.5)
    assert len(json.loads(run.model.items.path.read_text())["clearings"]) == 1
