"""The feature cache: keys, damage, concurrency, kills and full disks."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import resource
import signal
import time
import warnings

import pytest
import torch

from lerf_wild.errors import CacheError, InputError
from lerf_wild.storage import cache as cache_module
from lerf_wild.storage.cache import (
    CacheWarning,
    FeatureCache,
    content_key,
    default_cache_root,
)
from lerf_wild.storage.hashes import file_sha256

LIKE = {"tiles": ((None, 4), torch.float16), "valid": ((None,), torch.bool)}
KEY = content_key({"image": "a"})
# The child processes below do no more than write files, so forking beside torch's threads is safe.
FORK = multiprocessing.get_context("fork")
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def entry(seed: int = 0, count: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "tiles": torch.randn(count, 4, generator=generator).half(),
        "valid": torch.arange(count) % 2 == 0,
    }


def assert_equal(have, expected):
    assert have is not None
    assert set(have) == set(expected)
    for name, tensor in expected.items():
        assert have[name].dtype == tensor.dtype
        assert torch.equal(have[name], tensor)


def test_keys_depend_on_content_alone():
    assert content_key({"a": 1, "b": [1, 2]}) == content_key({"b": (1, 2), "a": 1})
    assert content_key({"a": 1}) != content_key({"a": 2})
    assert len(KEY) == 64
    with pytest.raises(ValueError):
        content_key({"a": float("nan")})


def test_file_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a").startswith("ba7816bf8f01cfea")
    with pytest.raises(InputError, match="No such file"):
        file_sha256(tmp_path / "b")


def test_default_root_follows_the_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("LERF_WILD_CACHE", str(tmp_path))
    assert default_cache_root() == tmp_path
    monkeypatch.delenv("LERF_WILD_CACHE")
    assert default_cache_root().name == "lerf-wild"


def test_round_trip_is_exact(tmp_path):
    cache = FeatureCache(tmp_path)
    assert cache.get(KEY, LIKE) is None
    cache.put(KEY, entry(), {"encoder": "wild-clip", "levels": 7})
    assert_equal(cache.get(KEY, LIKE), entry())
    assert cache.path(KEY) == tmp_path / "features" / KEY[:2] / f"{KEY}.safetensors"
    cache.put(KEY, entry(1), {})
    assert_equal(cache.get(KEY, LIKE), entry(1))


def test_tensors_outlive_a_replaced_entry(tmp_path):
    cache = FeatureCache(tmp_path)
    cache.put(KEY, entry(), {})
    mapped = cache.get(KEY, LIKE)
    cache.put(KEY, entry(1), {})
    assert_equal(mapped, entry())


def test_non_contiguous_and_empty_tensors(tmp_path):
    cache = FeatureCache(tmp_path)
    tensors = {"tiles": torch.randn(4, 5).half().T, "valid": torch.zeros(0, dtype=torch.bool)}
    cache.put(KEY, tensors, {})
    assert_equal(cache.get(KEY, LIKE), tensors)


@pytest.mark.parametrize("key", ["", "abc", "../" * 20 + "a" * 4, "A" * 64, "g" * 64])
def test_odd_keys_are_refused(tmp_path, key):
    with pytest.raises(CacheError, match="64 hexadecimal digits"):
        FeatureCache(tmp_path).get(key, LIKE)


def test_an_entry_cut_off_at_any_byte_is_set_aside(tmp_path):
    source = FeatureCache(tmp_path / "source")
    source.put(KEY, entry(), {"encoder": "wild-clip"})
    whole = source.path(KEY).read_bytes()
    cache = FeatureCache(tmp_path / "cut")
    path = cache.path(KEY)
    path.parent.mkdir(parents=True)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert cache.get(KEY, LIKE) is None
        assert [w.category for w in caught] == ([CacheWarning] if length == 0 else [])
        assert not path.exists()
    assert len(list((tmp_path / "cut" / "quarantine").iterdir())) == len(whole)
    path.write_bytes(whole)
    assert_equal(cache.get(KEY, LIKE), entry())


@pytest.mark.parametrize(
    "tensors",
    [
        {"tiles": torch.zeros(3, 4).half()},
        {"tiles": torch.zeros(3, 4), "valid": torch.zeros(3, dtype=torch.bool)},
        {"tiles": torch.zeros(3, 5).half(), "valid": torch.zeros(3, dtype=torch.bool)},
        {"tiles": torch.zeros(12).half(), "valid": torch.zeros(3, dtype=torch.bool)},
    ],
)
def test_an_entry_of_another_shape_is_set_aside(tmp_path, tensors):
    cache = FeatureCache(tmp_path)
    cache.put(KEY, tensors, {})
    with pytest.warns(CacheWarning, match="quarantine"):
        assert cache.get(KEY, LIKE) is None
    assert not cache.path(KEY).exists()


def test_a_folder_in_place_of_an_entry_is_set_aside(tmp_path):
    cache = FeatureCache(tmp_path)
    cache.path(KEY).mkdir(parents=True)
    with pytest.warns(CacheWarning):
        assert cache.get(KEY, LIKE) is None
    cache.put(KEY, entry(), {})
    assert_equal(cache.get(KEY, LIKE), entry())


def test_full_disk_at_sync(tmp_path, monkeypatch):
    cache = FeatureCache(tmp_path)
    cache.put(KEY, entry(), {})

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CacheError, match="the disk is full"):
        cache.put(KEY, entry(1), {})
    assert [path.name for path in cache.path(KEY).parent.iterdir()] == [f"{KEY}.safetensors"]
    assert_equal(cache.get(KEY, LIKE), entry())


def _put_with_a_file_size_limit(root, pipe):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
    try:
        FeatureCache(root).put(KEY, entry(count=10_000), {})
    except CacheError as error:
        pipe.send(str(error))
    except BaseException as error:
        pipe.send(f"foreign {error!r}")


def test_a_write_that_stops_half_way_leaves_nothing(tmp_path):
    receive, send = FORK.Pipe(duplex=False)
    child = FORK.Process(target=_put_with_a_file_size_limit, args=(tmp_path, send))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    message = receive.recv()
    assert "can't be written" in message
    assert len(message.splitlines()) == 2
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_stale_temporaries_are_swept_and_fresh_ones_kept(tmp_path):
    folder = FeatureCache(tmp_path).path(KEY).parent
    folder.mkdir(parents=True)
    for name, age_s in ((".old.1.tmp", 2 * cache_module.STALE_TEMPORARY_S), (".new.1.tmp", 0)):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (time.time() - age_s,) * 2)
    FeatureCache(tmp_path).put(KEY, entry(), {})
    assert {path.name for path in folder.iterdir()} == {".new.1.tmp", f"{KEY}.safetensors"}


def _compute_once(root, results):
    cache = FeatureCache(root)
    with cache.lock(KEY):
        if cache.get(KEY, LIKE) is None:
            time.sleep(0.2)
            cache.put(KEY, entry(), {})
            results.put("computed")
        else:
            results.put("found")


def test_eight_processes_compute_a_key_once(tmp_path):
    results = FORK.Queue()
    children = [FORK.Process(target=_compute_once, args=(tmp_path, results)) for _ in range(8)]
    for child in children:
        child.start()
    outcomes = sorted(results.get(timeout=30) for _ in children)
    for child in children:
        child.join(10)
    assert [child.exitcode for child in children] == [0] * 8
    assert outcomes == ["computed"] + ["found"] * 7
    assert_equal(FeatureCache(tmp_path).get(KEY, LIKE), entry())


def test_a_file_system_without_locks_still_works(tmp_path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise NotImplementedError("no locks here")

    monkeypatch.setattr(cache_module.filelock.FileLock, "acquire", refuse)
    cache = FeatureCache(tmp_path)
    with cache.lock(KEY):
        cache.put(KEY, entry(), {})
    assert_equal(cache.get(KEY, LIKE), entry())


def test_errors_inside_the_lock_come_out(tmp_path):
    cache = FeatureCache(tmp_path)
    with pytest.raises(OSError, match="mine"), cache.lock(KEY):
        raise OSError("mine")
    with cache.lock(KEY):
        pass


def _write_until_killed(root, start, pipe):
    cache = FeatureCache(root)
    for number in range(start, start + 10_000):
        cache.put(content_key({"number": number}), entry(number, 2000), {})
        pipe.send(number)


def _kill_at_random_moments(root, rounds):
    generator, finished = random.Random(0), []
    for round_number in range(rounds):
        receive, send = FORK.Pipe(duplex=False)
        args = (root, round_number * 10_000, send)
        child = FORK.Process(target=_write_until_killed, args=args)
        child.start()
        send.close()
        # On a busy machine a child may take long to begin.
        receive.poll(30)
        time.sleep(generator.uniform(0.0, 0.1))
        child.kill()
        child.join(10)
        while receive.poll():
            try:
                finished.append(receive.recv())
            except EOFError:
                break
    return finished


@pytest.mark.parametrize("rounds", [8, pytest.param(30, marks=pytest.mark.slow)])
def test_kill_9_while_writing_loses_nothing(tmp_path, rounds):
    finished = _kill_at_random_moments(tmp_path, rounds)
    assert finished
    cache = FeatureCache(tmp_path)
    for number in finished:
        assert_equal(cache.get(content_key({"number": number}), LIKE), entry(number, 2000))
    # An entry may have been renamed into place just before its message was sent.
    for path in tmp_path.glob("features/*/*.safetensors"):
        if not path.name.startswith("."):
            assert cache.get(path.stem, LIKE) is not None
    assert not (tmp_path / "quarantine").exists()
