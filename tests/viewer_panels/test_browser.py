"""The panel in Chromium: what a person types, sees and presses."""

from __future__ import annotations

import io
import random
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from waiting import wait_until

from lerf_wild.export.ply import read_cloud
from lerf_wild.viewer_panels.widgets import SEARCH_LABEL

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]

pytestmark = [
    pytest.mark.browser,
    # Software WebGL on a fifth of a core takes minutes to show where "Go there" went.
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed"),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def page(viewer):
    """The viewer in a window of 1000 x 700 pixels."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    viewer.control_panel._max_res.value = 64
    viewer.init_scene(viewer.pipeline.datamanager.train_dataset, "completed")
    viewer.set_camera_visibility(False)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1000, "height": 700})
        page.set_default_timeout(120_000)
        page.goto(f"http://127.0.0.1:{viewer.config.websocket_port}/")
        page.get_by_text(SEARCH_LABEL).first.wait_for()
        yield page
        browser.close()


@pytest.fixture()
def desk(page, panel):
    """The page with an empty panel and a camera that looks down on the wall."""
    panel._viewer.render_statemachines and wait_until(lambda: panel._answer is None)
    for client in panel.viser_server.get_clients().values():
        client.camera.position = (0.0, 0.0, 8.0)
        client.camera.look_at = (0.0, 0.1, 0.0)
    page.wait_for_timeout(500)
    return page


def search(page, text):
    """Types a text into the box and presses Enter."""
    box = page.locator(".mantine-Flex-root", has_text=SEARCH_LABEL).locator("input")
    box.fill(text)
    box.press("Enter")


def picture(page):
    """What is left of the side bar, as numbers."""
    shot = page.screenshot(clip={"x": 0, "y": 60, "width": 650, "height": 600})
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), np.float32)


def still_picture(page, shots=6):
    """The picture once half a dozen in a row, half a second apart, are alike: what has been removed
    may be shown a little longer on a busy machine."""
    alike, last = 1, picture(page)
    while alike < shots:
        page.wait_for_timeout(500)
        new = picture(page)
        alike = alike + 1 if np.abs(new - last).mean() < 0.5 else 1
        last = new
    return last


def verdict(page, phrase):
    """The line below a phrase, or None while there is none."""
    found = re.search(rf"^\W*{re.escape(phrase)}\s*\n+([^\n]+ m?s)$", page.inner_text("body"), re.M)
    return found and found.group(1)


def test_enter_looks_for_a_phrase_and_the_picture_changes(desk, panel):
    before = still_picture(desk)
    search(desk, "red")
    line = wait_until(lambda: verdict(desk, "red"))
    assert re.fullmatch(r"(present, \d\.\d\d, .+ c?m|not in this \w+ \(\d\.\d\d\)), \d+ m?s", line)
    wait_until(lambda: np.abs(picture(desk) - before).mean() > 3)


def test_the_peak_lies_under_the_right_colour(desk, panel):
    import stand_in

    wait_until(lambda: panel._table.is_there)
    search(desk, "red")
    wait_until(lambda: panel._scene is not None)
    _, (found, points_N3) = panel._scene
    x, y, _ = panel._run.to_world(points_N3[found.peak_P])[0]
    # A single pixel that looks straight down shows the colour of the place.
    assert stand_in.draw_wall(float(x), float(y), 1)[0, 0].argmax() == 0


def test_go_there_brings_the_coloured_place_into_the_middle(desk, panel):
    wait_until(lambda: panel._table.is_there)
    search(desk, "green")
    wait_until(lambda: panel._scene is not None and verdict(desk, "green"))
    # The heading of the phrase's own box; the verdict above it says the same word.
    desk.get_by_text("green", exact=True).last.click()
    desk.get_by_role("button", name="Go there").click()
    panel._widgets.actions.change(opacity=1.0)
    colour = np.asarray(panel.state.phrases[0].colour, np.float32)

    def is_coloured():
        middle = picture(desk)[270:330, 295:355].mean(axis=(0, 1))
        return middle @ colour / np.linalg.norm(middle) / np.linalg.norm(colour) > 0.95

    wait_until(is_coloured, 240)


def test_two_hundred_random_phrases_and_the_picture_still_changes(desk, panel):
    dice = random.Random(1)
    letters = [*range(0x20, 0x7F), *range(0xA1, 0xD7FF), *range(0x1F300, 0x1F900)]
    box = desk.locator(".mantine-Flex-root", has_text=SEARCH_LABEL).locator("input")
    for turn in range(200):
        box.fill("".join(map(chr, dice.choices(letters, k=6))) + ";")
        if turn % 20 == 19:
            # As a person would: nobody looks for two hundred things at once.
            wait_until(lambda: len(panel.state.phrases) > 1)
            desk.get_by_role("button", name="Remove all").click()
            wait_until(lambda: not panel._widgets.rows)
    box.fill("")
    before = still_picture(desk)
    search(desk, "green")
    wait_until(lambda: verdict(desk, "green"))
    wait_until(lambda: np.abs(picture(desk) - before).mean() > 3)
    assert all(machine.is_alive() for machine in panel._viewer.render_statemachines.values())


def test_the_export_button_says_where_the_cloud_is(desk, panel):
    search(desk, "blue")
    wait_until(lambda: verdict(desk, "blue"))
    desk.get_by_text("Export a point cloud").click()
    panel._widgets.points.value = 2000
    desk.get_by_role("button", name="Write the cloud").click()
    wait_until(lambda: "The same from a terminal" in desk.inner_text("body"))
    text = desk.inner_text("body")
    path = re.search(r"(/\S+relevancy\.ply)", text).group(1)
    assert read_cloud(path).phrases == ("blue",)
    assert "lerf-wild export --load-config" in text
