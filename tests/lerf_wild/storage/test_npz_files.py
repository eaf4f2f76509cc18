"""Arrays come out of .npz files without pickles, and damaged ones are said to be so."""

from __future__ import annotations

import numpy as np
import pytest

from lerf_wild.errors import DatasetError, ModelFileError
from lerf_wild.storage.npz_files import read_npz


def test_all_arrays_are_read(tmp_path):
    np.savez(tmp_path / "a.npz", one=np.arange(3), two=np.eye(2))
    found = read_npz(tmp_path / "a.npz", DatasetError)
    assert found.keys() == {"one", "two"}
    np.testing.assert_array_equal(found["two"], np.eye(2))


def test_objects_damage_and_absence_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, one=np.array([{}], dtype=object))
    with pytest.raises(DatasetError, match="no readable"):
        read_npz(path, DatasetError)
    np.savez_compressed(path, one=np.arange(1000))
    whole = path.read_bytes()
    for end in range(0, len(whole), 37):
        path.write_bytes(whole[:end])
        with pytest.raises(ModelFileError, match=r"a\.npz: (no readable|a damaged) \.npz"):
            read_npz(path, ModelFileError)
    with pytest.raises(ModelFileError, match="no readable"):
        read_npz(tmp_path / "none.npz", ModelFileError)
