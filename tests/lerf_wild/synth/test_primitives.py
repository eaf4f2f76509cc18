import numpy as np
import pytest
import torch

from lerf_wild.errors import LerfWildError
from lerf_wild.inverse.primitive_setups import PERSPECTIVE, REFERENCE
from lerf_wild.synth.primitives import (
    read_shards,
    reference_scenes,
    reference_test_scenes,
    write_shards,
)


def test_reference_stream_is_drawn_in_the_reference_s_order():
    """A naive copy of the order: number, then kind, three coordinates, three angles an object."""
    scenes, angles = reference_scenes(50, 7)
    rng = np.random.default_rng(7)
    for b in range(50):
        objects = []
        for _ in range(int(rng.integers(1, 4))):
            kind = int(rng.integers(0, 3))
            place = [rng.uniform(-0.9, 0.9), rng.uniform(-0.9, 0.9), rng.uniform(-0.3, 0.3)]
            objects.append((place[0], kind, place, [rng.uniform(0, np.pi) for _ in range(3)]))
        objects.sort(key=lambda thing: thing[0])
        assert scenes.counts_B[b] == len(objects)
        for k, (_, kind, place, euler) in enumerate(objects):
            assert scenes.kinds_BK[b, k] == kind
            assert np.allclose(scenes.positions_BK3[b, k], place, atol=1e-6)
            assert np.allclose(angles[b, k], euler, atol=1e-6)


def test_reference_test_scenes_are_the_last_of_the_stream():
    scenes = reference_test_scenes(0)
    everything, _ = reference_scenes(3500, 0)
    assert len(scenes) == 500
    assert torch.equal(scenes.positions_BK3, everything[3000:].positions_BK3)


@pytest.mark.parametrize("setup", [REFERENCE, PERSPECTIVE], ids=lambda s: s.name)
def test_shards_round_trip(tmp_path, setup):
    files = list(write_shards(tmp_path, 25, 3, setup, shard_size=10))
    assert [file.name for file in files] == [f"shard_0000{i}.safetensors" for i in range(3)]
    images = torch.cat([images for images, _ in read_shards(tmp_path)])
    assert images.shape == (25, 64, 64)
    first_images, first = next(iter(read_shards(tmp_path)))
    generator = torch.Generator().manual_seed(3 * 1_000_003)
    expected_images, expected = setup.draw(10, generator)
    assert torch.equal(first.positions_BK3, expected.positions_BK3)
    assert (first_images - expected_images).abs().max() < 0.003


def test_same_seed_same_files(tmp_path):
    for name in ("a", "b"):
        list(write_shards(tmp_path / name, 12, 5, REFERENCE, shard_size=5))
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_nothing_to_write(tmp_path):
    with pytest.raises(LerfWildError):
        list(write_shards(tmp_path, 0, 0, REFERENCE))


@pytest.mark.parametrize("content", ["{}", '{"shards": 3}', '{"shards": ["../x"]}', "[1"])
def test_broken_index(tmp_path, content):
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(LerfWildError):
        list(read_shards(tmp_path))


def test_broken_shard(tmp_path):
    (file,) = write_shards(tmp_path, 3, 0, REFERENCE)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(LerfWildError, match="shard_00000"):
        list(read_shards(tmp_path))
