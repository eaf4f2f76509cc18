"""Videos, folders of frames and camera paths."""

from __future__ import annotations

import json

import av
import numpy as np
import pytest
from PIL import Image

from lerf_wild.cli.camera_paths import read_camera_path
from lerf_wild.cli.video import check_output, open_frames
from lerf_wild.errors import ExportError, InputError

POSE = [1, 0, 0, 2, 0, 1, 0, 3, 0, 0, 1, 4, 0, 0, 0, 1]


def frame(value: int) -> np.ndarray:
    return np.full((33, 47, 3), value, np.uint8)


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.MKV"])
def test_videos_hold_their_frames(tmp_path, name):
    with open_frames(tmp_path / name, fps=10) as write:
        for value in (10, 120, 240):
            write(frame(value))
    with av.open(str(tmp_path / name)) as container:
        shown = [one.to_ndarray(format="rgb24") for one in container.decode(video=0)]
    assert [one.shape for one in shown] == [(34, 48, 3)] * 3
    means = [one.mean() for one in shown]
    np.testing.assert_allclose(means, [10, 120, 240], atol=8)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_views_of_other_sizes_take_that_of_the_first(tmp_path):
    with open_frames(tmp_path / "a.mp4", fps=10) as write:
        write(frame(10))
        write(np.zeros((60, 80, 3), np.uint8))
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert len(list(container.decode(video=0))) == 2


def test_a_video_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), open_frames(tmp_path / "a.mp4", fps=10) as write:
        write(frame(10))
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_folders_hold_pictures(tmp_path):
    with open_frames(tmp_path / "shots", fps=10) as write:
        write(frame(10))
        write(frame(20))
    names = sorted(path.name for path in (tmp_path / "shots").iterdir())
    assert names == ["frame_00000.png", "frame_00001.png"]
    assert np.asarray(Image.open(tmp_path / "shots" / names[1])).mean() == 20


def test_outputs_that_can_not_be_are_refused_before_rendering(tmp_path):
    (tmp_path / "taken").touch()
    for name in ("a.avi", "taken"):
        with pytest.raises(ExportError, match=name):
            check_output(tmp_path / name)
    check_output(tmp_path / "new")
    check_output(tmp_path / "new.mp4")


def path_file(tmp_path, **changes):
    camera = {"camera_to_world": POSE, "fov": 90, "aspect": 2}
    content = {"render_height": 10, "render_width": 20, "camera_path": [camera] * 2} | changes
    path = tmp_path / "path.json"
    path.write_text(json.dumps(content))
    return path


def test_camera_paths_are_read(tmp_path):
    cameras = read_camera_path(path_file(tmp_path))
    assert len(cameras) == 2
    assert cameras.camera_to_worlds[0, :, 3].tolist() == [2, 3, 4]
    # A field of view of 90 degrees: half the height at distance 1.
    assert float(cameras.fy[0]) == pytest.approx(5.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"camera_path": []},
        {"camera_path": "x"},
        {"camera_path": [{"camera_to_world": POSE[:12], "fov": 50}]},
        {"camera_path": [{"camera_to_world": ["1"] * 16, "fov": 50}]},
        {"camera_path": [{"camera_to_world": POSE, "fov": 180}]},
        {"render_height": 0},
        {"render_width": 1e6},
        {"render_width": None},
    ],
)
def test_camera_paths_that_can_not_be_used(tmp_path, changes):
    with pytest.raises(InputError, match=r"path\.json"):
        read_camera_path(path_file(tmp_path, **changes))
