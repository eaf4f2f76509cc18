"""The panel of items in Chromium: placing by words, dragging, swapping, undoing, export, reload."""

from __future__ import annotations

import io
import re
import shutil
import socket
from threading import Lock

import numpy as np
import pytest
import trimesh
from PIL import Image
from waiting import wait_until

from lerf_wild.wildlife.population_files import read_population
from lerf_wild.wildlife.surroundings import Surroundings

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
RATIO = 10.0
"""Units of the viewer in one of the training's."""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def garden(settled, tmp_path_factory):
    """The tiny run with items: its painted wall stands at the back of a level lawn."""
    from lerf_wild.cli.wildlife import open_populated

    patch = pytest.MonkeyPatch()
    patch.setenv("LERF_WILD_ASSETS", str(tmp_path_factory.mktemp("assets")))
    run = open_populated(settled.base_dir / "config.yml")
    items = run.model.items
    # On the stage the wall's cameras look along -y at a wall that stands upright.
    draw = np.random.default_rng(0)
    lawn = np.column_stack([draw.uniform(-3, 3, (20_000, 2)), np.full(20_000, -0.6)])
    around = Surroundings(lawn, np.full((20_000, 3), 120, np.uint8))
    items.surroundings = lambda: around
    yield run
    patch.undo()


@pytest.fixture(scope="module")
def shown(garden):
    """nerfstudio's viewer of that run, as ns-viewer starts it."""
    from nerfstudio.configs.base_config import ViewerConfig
    from nerfstudio.viewer.viewer import Viewer

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pipeline = garden.pipeline
    viewer = Viewer(
        ViewerConfig(websocket_host="127.0.0.1", websocket_port=port),
        log_filename=garden.folder / "viewer_log.txt",
        datapath=pipeline.datamanager.get_datapath(),
        pipeline=pipeline,
        train_lock=Lock(),
    )
    viewer.step = 6
    viewer.control_panel._max_res.value = 64
    viewer.init_scene(pipeline.datamanager.train_dataset, "completed")
    viewer.set_camera_visibility(False)
    yield viewer
    viewer.viser_server.stop()
    pipeline.model._live = None


@pytest.fixture(scope="module")
def page(shown):
    """A window of 1000 x 700 pixels."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1000, "height": 700})
        page.set_default_timeout(120_000)
        open_page(page, shown)
        yield page
        browser.close()


def open_page(page, shown):
    page.goto(f"http://127.0.0.1:{shown.config.websocket_port}/")
    page.get_by_text("Place what").first.wait_for()


def look_from_the_front(shown, point_3):
    """Stands a browser's camera 1.6 m before a point of the stage, a little above it."""
    stage = shown.pipeline.model.items.stage
    eye, target = stage.to_nerf(np.array([point_3 + [0.0, -1.6, 0.7], point_3])) * RATIO
    for client in wait_until(lambda: list(shown.viser_server.get_clients().values())):
        client.camera.up_direction = tuple(stage.directions_to_nerf(np.eye(3)[2:])[0])
        client.camera.position = tuple(eye)
        client.camera.look_at = tuple(target)


def box(page, label):
    return page.locator(".mantine-Flex-root", has_text=label).locator("input").last


def fill(page, label, text):
    box(page, label).fill(text)
    page.wait_for_timeout(400)


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def picture(page):
    shot = page.screenshot(clip={"x": 0, "y": 60, "width": 650, "height": 600})
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), np.float32)


def on_screen(page, shown, point_3):
    """Pixel at which a point of the stage is seen."""
    (client,) = shown.viser_server.get_clients().values()
    camera, area = client.camera, page.locator("canvas").first.bounding_box()
    point = shown.pipeline.model.items.stage.to_nerf(np.array([point_3]))[0] * RATIO
    w, x, y, z = camera.wxyz
    turn = trimesh.transformations.quaternion_matrix([w, x, y, z])[:3, :3]
    right, down, away = turn.T @ (point - camera.position)
    focal = 0.5 * area["height"] / np.tan(0.5 * camera.fov)
    # The side bar lies over the canvas, and the picture is what it leaves.
    return (
        area["x"] + 0.5 * camera.aspect * area["height"] + focal * right / away,
        area["y"] + 0.5 * area["height"] + focal * down / away,
    )


def test_a_person_places_drags_swaps_undoes_exports_and_comes_back(page, shown, garden):
    path, stage = garden.model.items.path, garden.model.items.stage
    panel = garden.pipeline.wildlife_panel

    def items():
        return {item.id: item for item in read_population(path).items}

    # By words, by a thing of the scene.
    wait_until(lambda: garden.pipeline.relevancy_panel._table.is_there)
    fill(page, "Place what", "a raven 60 cm tall by the red thing")
    press(page, "Place")
    wait_until(lambda: "raven_1" in items(), 120)
    page.get_by_text("from: a raven 60 cm tall by the red thing").wait_for()
    item = items()["raven_1"]
    assert item.height_m == 0.6 and item.provenance.anchor == "red thing"
    foot = stage.from_world(np.array([item.position]))[0]
    assert foot[2] == pytest.approx(-0.6, abs=0.02)

    # It is in the picture.
    look_from_the_front(shown, foot + [0.0, 0.0, 0.2])
    page.wait_for_timeout(3000)
    with_item = picture(page)
    page.get_by_label("Shown").first.uncheck()
    wait_until(lambda: not items()["raven_1"].visible)
    wait_until(lambda: np.abs(picture(page) - with_item).mean() > 0.3)
    page.get_by_label("Shown").first.check()
    wait_until(lambda: items()["raven_1"].visible)

    # Dragged along the gizmo's arrow, it stays on the ground.
    arrow = wait_until(lambda: panel._gizmo).position / RATIO
    step = stage.from_nerf((arrow + [0.45 * 0.6 / stage.metres_per_nerf, 0, 0])[None])[0]
    far = stage.from_nerf((arrow + [1.2 * 0.6 / stage.metres_per_nerf, 0, 0])[None])[0]
    page.mouse.move(*on_screen(page, shown, step))
    page.mouse.down()
    page.mouse.move(*on_screen(page, shown, 0.5 * (step + far)), steps=4)
    page.mouse.move(*on_screen(page, shown, far), steps=4)
    page.mouse.up()
    wait_until(lambda: items()["raven_1"].position != item.position)
    page.wait_for_timeout(1500)
    moved = items()["raven_1"]
    now = stage.from_world(np.array([moved.position]))[0]
    assert 0.1 < np.linalg.norm(now[:2] - foot[:2]) < 1.5
    assert now[2] == pytest.approx(-0.6, abs=0.02)

    # Swapped by typing, turned into an animal, and taken back.
    fill(page, "Becomes", "a red fox sitting")
    press(page, "Swap")
    wait_until(lambda: items()["raven_1"].animal is not None, 120)
    assert items()["raven_1"].animal.action == "sit"
    page.get_by_text("red fox, sit").first.wait_for()
    press(page, "Undo")
    wait_until(lambda: items()["raven_1"].asset == "raven")
    assert items()["raven_1"].position == moved.position

    # Where else could it stand?
    fill(page, "Place what", "")
    press(page, "Where could it stand?")
    wait_until(lambda: re.search(r"\d+ places for raven", page.inner_text("body")), 120)

    # The export says where the file is, and it opens.
    press(page, "Export GLB")
    found = wait_until(lambda: re.search(r"(/\S+scene_\S+\.glb)", page.inner_text("body")), 120)
    assert {"raven_1", "field"} <= set(trimesh.load_scene(found.group(1)).graph.nodes)

    # After a reload the page shows the same, and so does a new opening of the run.
    page.reload()
    page.get_by_text("from: a raven 60 cm tall by the red thing").wait_for()
    assert box(page, "Item").input_value() == "raven_1"
    assert items()["raven_1"] == moved
    assert [one.item for one in garden.model.items.shown().scene.standing] == [moved]
