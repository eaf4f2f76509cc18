from __future__ import annotations

import math

import pytest
import torch

from lerf_wild.language import visibility
from lerf_wild.language.visibility import count_views

INTRINSICS = {
    "fx_C": torch.tensor([60.0, 80.0, 50.0]),
    "fy_C": torch.tensor([60.0, 70.0, 50.0]),
    "cx_C": torch.tensor([32.0, 40.0, 20.0]),
    "cy_C": torch.tensor([24.0, 30.0, 20.0]),
    "width_C": torch.tensor([64, 80, 40]),
    "height_C": torch.tensor([48, 60, 40]),
}


def random_poses(generator, count=3):
    rotations = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator)).Q
    rotations = rotations * torch.linalg.det(rotations)[:, None, None]
    return torch.cat([rotations, torch.randn(count, 3, 1, generator=generator)], dim=-1)


def count_slowly(points, poses, near=0.0, depth_maps=None, tolerance=0.05) -> list[int]:
    counts = []
    for point in points.tolist():
        seen = 0
        for c, pose in enumerate(poses.tolist()):
            fx, fy, cx, cy, w, h = (float(values[c]) for values in INTRINSICS.values())
            offset = [point[k] - pose[k][3] for k in range(3)]
            x, y, z = (sum(pose[k][axis] * offset[k] for k in range(3)) for axis in range(3))
            depth = -z
            if not depth > near:
                continue
            u, v = fx * x / depth + cx, -fy * y / depth + cy
            if not (0 <= u < w and 0 <= v < h):
                continue
            if depth_maps is not None:
                rows, cols = depth_maps[c].shape
                surface = float(depth_maps[c][int(v / h * rows), int(u / w * cols)])
                if surface != 0 and depth > surface * (1 + tolerance):
                    continue
            seen += 1
        counts.append(seen)
    return counts


@pytest.mark.parametrize("near", [0.0, 2.0])
def test_agrees_with_loops(generator, near):
    points = torch.randn(300, 3, generator=generator) * 3
    poses = random_poses(generator)
    counts = count_views(points, poses, **INTRINSICS, near=near)
    assert counts.dtype == torch.int32
    assert counts.tolist() == count_slowly(points, poses, near)
    assert counts.max() > 0


def test_depth_maps_hide(generator):
    points = torch.randn(300, 3, generator=generator) * 3
    poses = random_poses(generator)
    depth_maps = [torch.rand(24, 30, generator=generator) * 4 for _ in range(3)]
    depth_maps[1][:12] = 0.0
    counts = count_views(points, poses, **INTRINSICS, depth_maps=depth_maps)
    assert counts.tolist() == count_slowly(points, poses, depth_maps=depth_maps)
    assert counts.sum() < count_views(points, poses, **INTRINSICS).sum()


def test_chunks_change_nothing(generator, monkeypatch):
    points, poses = torch.randn(100, 3, generator=generator) * 3, random_poses(generator)
    whole = count_views(points, poses, **INTRINSICS)
    monkeypatch.setattr(visibility, "PAIRS_PER_CHUNK", 7)
    assert torch.equal(count_views(points, poses, **INTRINSICS), whole)


def test_straight_ahead_and_behind():
    pose = torch.eye(3, 4)[None]
    points = torch.tensor([[0, 0, -5.0], [0, 0, 5.0], [0, 0, 0], [math.nan, 0, -1], [0, 0, -1e9]])
    camera = {name: values[:1] for name, values in INTRINSICS.items()}
    assert count_views(points, pose, **camera).tolist() == [1, 0, 0, 0, 1]
    assert count_views(points, pose, **camera, depth_maps=[torch.ones(4, 4)]).tolist()[0] == 0


def test_up_is_up():
    # Above the axis and within the picture only because y points down there.
    camera = {name: values[:1] for name, values in INTRINSICS.items()}
    camera["cy_C"] = torch.tensor([47.0])
    points = torch.tensor([[0.0, 0.5, -1.0], [0.0, -0.5, -1.0]])
    assert count_views(points, torch.eye(3, 4)[None], **camera).tolist() == [1, 0]


def test_nothing_gives_nothing():
    assert count_views(
        torch.zeros(0, 3), torch.eye(3, 4)[None].repeat(3, 1, 1), **INTRINSICS
    ).shape == (0,)
