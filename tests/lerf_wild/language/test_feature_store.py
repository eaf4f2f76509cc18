from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lerf_wild.errors import CacheError, DatasetError
from lerf_wild.language.feature_store import FeatureStore
from lerf_wild.language.pyramid import encode_pyramid
from lerf_wild.language.pyramid_layout import DEFAULT_SPEC, PyramidSpec
from lerf_wild.storage.cache import CacheWarning, FeatureCache


@pytest.fixture
def images(tmp_path) -> list[Path]:
    paths = []
    for i, shape in enumerate([(32, 48), (40, 32), (32, 48)]):
        pixels = np.random.default_rng(i).integers(0, 256, (*shape, 3), dtype=np.uint8)
        paths.append(tmp_path / f"image_{i}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


@pytest.fixture
def cache(tmp_path) -> FeatureCache:
    return FeatureCache(tmp_path / "cache")


def test_entries_hold_what_the_encoders_say(images, cache, encoder_source, patch_source):
    store = FeatureStore(cache, encoder_source, patch_source)
    done = store.prepare(images, progress=False)
    assert (done.computed, done.reused, len(store)) == (3, 0, 3)
    for index, path in enumerate(images):
        image = torch.from_numpy(np.asarray(Image.open(path)).copy()).permute(2, 0, 1) / 255
        expected = encode_pyramid(image, None, encoder_source.encoder)
        entry = store.entry(index)
        assert torch.equal(entry.tiles, expected.tiles)
        assert torch.equal(entry.valid, expected.valid)
        assert entry.layout == expected.layout
        patches = patch_source.encoder.patch_features(image[None])[0].half()
        assert torch.equal(entry.patches, patches)


def test_second_start_loads_no_encoder(images, cache, encoder_source, patch_source):
    FeatureStore(cache, encoder_source, patch_source).prepare(images, progress=False)
    assert (encoder_source.loads, patch_source.loads) == (1, 1)
    store = FeatureStore(FeatureCache(cache.root), encoder_source, patch_source)
    done = store.prepare(images, progress=False)
    assert (done.computed, done.reused) == (0, 3)
    assert (encoder_source.loads, patch_source.loads) == (1, 1)


def test_what_is_kept_is_read_without_an_encoder(images, cache, encoder_source, patch_source):
    store = FeatureStore(cache, encoder_source, patch_source)
    assert store.kept(images) == [] and encoder_source.loads == 0
    store.prepare(images[:2], progress=False)
    again = FeatureStore(FeatureCache(cache.root), encoder_source, patch_source)
    assert again.kept(images) == [] and encoder_source.loads == 1
    found = again.kept(images[1::-1])
    assert [torch.equal(one.tiles, store.entry(i).tiles) for one, i in zip(found, (1, 0))] == [
        True
    ] * 2


def test_nothing_is_kept_of_photos_that_are_gone(images, cache, encoder_source, patch_source):
    store = FeatureStore(cache, encoder_source, patch_source)
    store.prepare(images, progress=False)
    assert len(store.kept(images)) == len(images)
    images[1].unlink()
    assert store.kept(images) == []


def test_names_and_order_of_files_do_not_matter(images, cache, encoder_source, tmp_path):
    first = FeatureStore(cache, encoder_source)
    first.prepare(images, progress=False)
    renamed = tmp_path / "other"
    renamed.mkdir()
    moved = [path.rename(renamed / f"{9 - i}.png") for i, path in enumerate(images)]
    again = FeatureStore(cache, encoder_source)
    assert again.prepare(moved[::-1], progress=False).computed == 0
    assert torch.equal(again.entry(2).tiles, first.entry(0).tiles)


def test_other_pixels_under_the_same_name_are_seen(images, cache, encoder_source):
    FeatureStore(cache, encoder_source).prepare(images, progress=False)
    Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(images[1])
    assert FeatureStore(cache, encoder_source).prepare(images, progress=False).computed == 1


def test_everything_that_matters_is_in_the_key(images, cache, encoder_source, patch_source):
    def computed(source=encoder_source, patches=None, spec=DEFAULT_SPEC, **options) -> int:
        store = FeatureStore(cache, source, patches, spec)
        return store.prepare(images[:1], progress=False, **options).computed

    mask = images[0].with_name("mask.png")
    Image.fromarray(np.full((32, 48), 255, np.uint8)).save(mask)
    other = type(encoder_source)(encoder_source.encoder, "fake@2")
    assert computed() == 1
    assert computed() == 0
    assert computed(source=other) == 1
    assert computed(patches=patch_source) == 1
    assert computed(spec=PyramidSpec(levels=3)) == 1
    assert computed(mask_paths=[mask]) == 1
    scaled = np.zeros((16, 24, 3), np.uint8)
    treated = {"load_image": lambda i: scaled, "treatments": [{"scale": 0.5}]}
    assert computed(**treated) == 1
    assert computed(**treated) == 0


def test_interrupted_work_goes_on(images, cache, encoder_source, monkeypatch):
    store = FeatureStore(cache, encoder_source)
    compute, calls = store._compute, []

    def stop_at_second(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return compute(*args)

    monkeypatch.setattr(store, "_compute", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        store.prepare(images, progress=False)
    done = FeatureStore(cache, encoder_source).prepare(images, progress=False)
    assert (done.computed, done.reused) == (2, 1)


def test_damaged_entry_is_computed_again(images, cache, encoder_source):
    store = FeatureStore(cache, encoder_source)
    store.prepare(images, progress=False)
    expected = store.entry(0).tiles.clone()
    damaged = next(cache.root.glob("features/*/*.safetensors"))
    damaged.write_bytes(damaged.read_bytes()[:100])
    again = FeatureStore(FeatureCache(cache.root), encoder_source)
    with pytest.warns(CacheWarning):
        assert again.prepare(images, progress=False).computed == 1
    assert torch.equal(again.entry(0).tiles, expected)


def test_masks(images, cache, encoder_source):
    mask = np.zeros((32, 48), np.uint8)
    mask[:, :24] = 255
    path = images[0].with_name("mask.png")
    Image.fromarray(mask).save(path)
    store = FeatureStore(cache, encoder_source)
    store.prepare(images[:1], [path], progress=False)
    assert 0 < int(store.entry(0).valid.sum()) < len(store.entry(0).valid)
    with pytest.raises(DatasetError, match="Sizes must agree"):
        FeatureStore(cache, encoder_source).prepare(images[1:2], [path], progress=False)
    with pytest.raises(DatasetError, match="1 masks"):
        FeatureStore(cache, encoder_source).prepare(images, [path], progress=False)


def test_treated_images_need_a_description(images, cache, encoder_source):
    with pytest.raises(CacheError, match="treatments"):
        FeatureStore(cache, encoder_source).prepare(images, load_image=lambda i: None)


def test_unreadable_image_is_named(images, cache, encoder_source):
    images[1].write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"image_1\.png"):
        FeatureStore(cache, encoder_source).prepare(images, progress=False)


def test_warm_start_is_fifty_times_as_fast(cache, encoder_source, patch_source, tmp_path):
    paths = []
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 256, (256, 256, 3), dtype=np.uint8)
        paths.append(tmp_path / f"large_{i}.png")
        Image.fromarray(pixels).save(paths[-1])
    cold = FeatureStore(cache, encoder_source, patch_source).prepare(paths, progress=False)
    warm = min(
        FeatureStore(cache, encoder_source, patch_source).prepare(paths, progress=False).seconds
        for _ in range(3)
    )
    # The fake encoder takes no time; a real one makes the first start ten times as long.
    assert cold.seconds > 15 * warm


def _prepare(root, paths, encoder_source, results):
    # A forked process waits for ever for the threads of OpenMP, which stayed behind.
    torch.set_num_threads(1)
    store = FeatureStore(FeatureCache(root), encoder_source)
    results.put(store.prepare(paths, progress=False).computed)


def test_two_processes_share_the_work(images, cache, encoder_source):
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    workers = [
        context.Process(target=_prepare, args=(cache.root, images, encoder_source, results))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert FeatureStore(cache, encoder_source).prepare(images, progress=False).computed == 0


def test_progress_says_images_per_second(images, cache, encoder_source, capsys, monkeypatch):
    encode = encoder_source.encoder.encode_images

    def slow(tiles):
        time.sleep(0.01)
        return encode(tiles)

    monkeypatch.setattr(encoder_source.encoder, "encode_images", slow)
    FeatureStore(cache, encoder_source).prepare(images)
    assert "images/s" in capsys.readouterr().out
    FeatureStore(cache, encoder_source).prepare(images)
    assert capsys.readouterr().out.strip() == ""
