"""Pose files in GenZoo's, BITE's and the own form, and files that are none."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch

from lerf_wild.animals.poses.pose_files import from_six, read_poses
from lerf_wild.errors import InputError

TURNS = roma.random_rotmat(4 * 35, dtype=torch.float64).reshape(4, 35, 3, 3)


def saved(tmp_path, **arrays):
    path = tmp_path / "poses.npz"
    np.savez(path, **arrays)
    return path


def six(rotations):
    return rotations[..., :2].flatten(-2).numpy()


def test_six_numbers_are_two_interleaved_columns():
    turn = TURNS[0, 0]
    numbers = torch.tensor([turn[row, column] for row in range(3) for column in range(2)])
    torch.testing.assert_close(from_six(numbers), turn)


@pytest.mark.parametrize("flat", [False, True])
def test_genzoo_files(tmp_path, flat):
    pose = six(TURNS[:, 1:])
    path = saved(
        tmp_path, pose_6d=pose.reshape(4, -1) if flat else pose, orient_6d=six(TURNS[:, 0])
    )
    torch.testing.assert_close(read_poses(path, upright=False), TURNS)
    found = read_poses(path)
    torch.testing.assert_close(found[:, 1:], TURNS[:, 1:])
    assert (found[:, 0] == torch.eye(3)).all()


@pytest.mark.parametrize(
    "arrays",
    [
        {"rotations": TURNS.numpy()},
        {"rotations": TURNS.flatten(-2).numpy()},
        {"pose_rotmat": TURNS.numpy()},
        {"pose": roma.rotmat_to_rotvec(TURNS).numpy()},
        {"pose": roma.rotmat_to_rotvec(TURNS).reshape(4, 105).numpy()},
    ],
)
def test_matrices_and_vectors(tmp_path, arrays):
    torch.testing.assert_close(read_poses(saved(tmp_path, **arrays), upright=False), TURNS)


def test_one_pose_is_a_list_of_one(tmp_path):
    found = read_poses(saved(tmp_path, rotations=TURNS[2].numpy()), upright=False)
    torch.testing.assert_close(found, TURNS[2:3])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pose": np.zeros((4, 99))}, "without ears"),
        ({"pose_6d": six(TURNS[:, 1:33])}, "without ears"),
        ({"pose": np.zeros((4, 100))}, "not of 35 joints"),
        ({"pose": np.full((1, 105), np.nan)}, "NaN"),
        ({"pose_6d": six(TURNS[:, 1:]), "orient_6d": six(TURNS[:3, 0])}, "belong together"),
        ({"vertices": np.zeros((4, 3))}, "no poses"),
        ({"pose": np.array(["a"])}, "no numbers"),
    ],
)
def test_other_files_are_refused(tmp_path, arrays, message):
    with pytest.raises(InputError, match=message):
        read_poses(saved(tmp_path, **arrays))


def test_damage_and_pickles_are_refused(tmp_path):
    path = tmp_path / "poses.npz"
    for content in (b"", b"PK\x03\x04 broken", b"text"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"poses\.npz"):
            read_poses(path)
    np.savez(path, pose=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="readable"):
        read_poses(path)
    with pytest.raises(InputError, match="no such file"):
        read_poses(tmp_path / "none.npz")
