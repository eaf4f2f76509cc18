"""Programs drawn again agree with the scenes that they were written for."""

from dataclasses import replace

import numpy as np
import pytest

from lerf_wild.assets.scene_assets import first_of_kind, individual_names, kind_of, load_individual
from lerf_wild.errors import AssetError, SceneProgramError
from lerf_wild.program.statements import KINDS
from lerf_wild.program.types import Program, SceneObject, Settings
from lerf_wild.render.adaptive import edge_pixels, render_adaptive
from lerf_wild.render.raycast import Body, Camera, RayScene, look_at, render
from lerf_wild.render.scene_program import (
    FIRST_ID,
    asset_named,
    camera_height_m,
    level_camera,
    render_program,
    with_pixels,
)
from lerf_wild.render.sky import air_mass, light_of, sun_direction
from lerf_wild.synth.raw_programs import program_of
from lerf_wild.synth.raw_scenes import SceneSpec, draw_scene, outline_pixels, shoot

NAMES = ("grey rock.0", "cactus.0", "mallard.1", "dead tree.0", "red fox.0")
SPEC = SceneSpec(size=96, min_pixels=20)


@pytest.fixture(scope="module")
def scene_and_shots():
    rng = np.random.default_rng(5)
    scene = draw_scene(rng, NAMES, SPEC)
    return scene, shoot(scene, rng, SPEC, 3)


def test_a_program_of_a_view_draws_the_same_objects(scene_and_shots):
    for shot in scene_and_shots[1]:
        program = program_of(shot)
        drawn = render_program(program, 96, 96)
        for i, look in enumerate(shot.seen):
            before = shot.picture.instances == look.number
            after = drawn.picture.instances == FIRST_ID + i
            # Assets that are not part of the program may have hidden a little of it.
            assert (before & after).sum() >= 0.95 * before.sum()
            assert drawn.pixels_K[i] >= program.objects[i].pixels * 0.95


def test_the_same_seed_draws_the_same_picture(scene_and_shots):
    rng = np.random.default_rng(5)
    again = shoot(draw_scene(rng, NAMES, SPEC), rng, SPEC, 3)
    for first, second in zip(scene_and_shots[1], again, strict=True):
        np.testing.assert_array_equal(first.picture.rgb, second.picture.rgb)
        assert program_of(first) == program_of(second)


def test_objects_are_ordered_by_area_and_boxes_hold_them(scene_and_shots):
    for shot in scene_and_shots[1]:
        pixels = [look.pixels for look in shot.seen]
        assert pixels == sorted(pixels, reverse=True) and min(pixels) >= SPEC.min_pixels
        for look in shot.seen:
            rows, columns = np.nonzero(shot.picture.instances == look.number)
            left, top, right, bottom = look.box_4
            assert (columns.min(), rows.min()) == (left, top)
            assert (columns.max() + 1, rows.max() + 1) == (right, bottom)


def test_feet_stand_on_the_ground(scene_and_shots):
    for shot in scene_and_shots[1]:
        program = program_of(shot)
        bare = replace(program, settings=replace(program.settings, camera_height_m=None))
        assert camera_height_m(bare) == pytest.approx(program.settings.camera_height_m, abs=1e-6)


def test_an_outline_counts_the_pixels_of_an_asset_alone():
    scene = draw_scene(np.random.default_rng(1), ("grey rock.0",), replace(SPEC, objects=(1, 1)))
    item = scene.standing[0]
    pose = look_at([5.0, 1.0, 1.5], [*item.position_3[:2], 0.3])
    camera = Camera(pose, 250.0, 200, 200)
    body = item.asset.body(item.turn(), item.position_3, item.height_m, FIRST_ID)
    picture = render(RayScene([body], light_of(Settings())), camera, 1)
    count = (picture.instances == FIRST_ID).sum()
    assert outline_pixels(item, camera) == pytest.approx(count, rel=0.2)


def test_pixel_counts_are_written_back_and_reorder_the_objects():
    near = SceneObject(1, (0.0, -1.6, -5.0), 0.9, kind="rock")
    far = SceneObject(2, (1.5, -1.6, -12.0), 0.5, kind="rock")
    program = Program(Settings(camera_pitch_deg=90.0), (far, near))
    filled = with_pixels(program, render_program(program, 64, 64))
    assert [item.loc_m for item in filled.objects] == [near.loc_m, far.loc_m]
    assert filled.objects[0].pixels > filled.objects[1].pixels > 0


def test_adaptive_rendering_equals_plain_rays_away_from_edges(scene_and_shots):
    body = load_individual("grey rock.0").body(np.eye(3), np.zeros(3), 1.0, FIRST_ID)
    floor = Body(
        np.float32([[-9, -9, 0], [9, -9, 0], [0, 9, 0]]),
        np.int32([[0, 1, 2]]),
        np.full((3, 3), 0.3, np.float32),
        2,
    )
    scene = RayScene([floor, body], light_of(Settings(sun_size_crad=0.0)))
    camera = Camera(look_at([2.5, -3.0, 1.4], [0.0, 0.0, 0.4]), 90.0, 64, 64)
    fast, slow = render_adaptive(scene, camera), render(scene, camera, 1)
    np.testing.assert_array_equal(fast.instances, slow.instances)
    np.testing.assert_allclose(fast.depth_m, slow.depth_m)
    same = (fast.rgb == slow.rgb).all(axis=2)
    edge = edge_pixels(slow.instances, (slow.rgb / 255.0).astype(np.float32) ** 2.2)
    assert same[~edge].mean() > 0.98 and 0.02 < edge.mean() < 0.5


def test_edges_lie_on_both_sides_of_a_step():
    instances = np.zeros((4, 6), np.int32)
    instances[:, 3:] = 1
    edge = edge_pixels(instances, np.zeros((4, 6, 3), np.float32))
    np.testing.assert_array_equal(edge, np.tile([0, 0, 1, 1, 0, 0], (4, 1)).astype(bool))


def test_a_low_sun_is_redder_and_weaker_and_the_zenith_is_blue():
    low = light_of(Settings(sun_elevation_rad=0.15))
    high = light_of(Settings(sun_elevation_rad=1.4))
    red_over_blue = [x.sun_colour_3[0] / x.sun_colour_3[2] for x in (low, high)]
    assert red_over_blue[0] > 1.5 * red_over_blue[1]
    assert low.sun_colour_3.sum() < high.sun_colour_3.sum()
    assert high.zenith_colour_3[2] > 1.5 * high.zenith_colour_3[0]
    assert high.zenith_colour_3[2] / high.zenith_colour_3[0] > (
        high.horizon_colour_3[2] / high.horizon_colour_3[0]
    )


def test_air_mass_is_one_overhead_and_38_at_the_horizon():
    assert air_mass(np.pi / 2) == pytest.approx(1.0, abs=1e-3)
    assert air_mass(0.0) == pytest.approx(38.0, rel=0.02)


def test_the_sun_turns_clockwise_from_where_the_camera_looks():
    np.testing.assert_allclose(sun_direction(0.0, 0.0), [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(sun_direction(0.0, 90.0), [1, 0, 0], atol=1e-6)


def test_haze_follows_the_density():
    assert light_of(Settings(density_x180=0.9)).haze_distance_m == pytest.approx(200.0)
    assert light_of(Settings(density_x180=0.0)).haze_distance_m > 1e4


def test_every_kind_has_a_stand_in():
    for kind in KINDS:
        assert first_of_kind(kind).kind == kind
    assert {kind_of(name.split(".")[0]) for name in individual_names([0])} == set(KINDS)
    assert kind_of("fallen log") is None


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(SceneProgramError, match="neither"):
        asset_named(SceneObject(1, (0.0, 0.0, -3.0), 1.0))
    with pytest.raises(AssetError, match="no species"):
        load_individual("unicorn.3")
    with pytest.raises(SceneProgramError, match="out of range"):
        level_camera(Program(), 4, 64)
