import numpy as np
import pytest
import torch
from PIL import Image

from lerf_wild.errors import DatasetError
from lerf_wild.inverse.primitive_images import find_images, load_images, to_input
from lerf_wild.render.primitive_scenes import SceneSampler
from lerf_wild.render.primitives import render_orthographic


def scene(size=64):
    drawn = SceneSampler().sample(1, torch.Generator().manual_seed(20_030))
    return render_orthographic(drawn, size)[0]


def as_uint8(image):
    return (image.numpy() * 255).round().astype(np.uint8)


@pytest.mark.parametrize("size", [96, 128, 300, 1000])
def test_larger_images_look_like_the_small_one(size):
    difference = (to_input(scene(size)) - scene(64)).abs()
    # Averaged edges differ from point samples; the insides and the place must not.
    assert difference.mean() < 0.012
    assert difference.median() < 0.005


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 500), (700, 90), (2160, 3840)])
def test_any_size(shape):
    image = to_input(torch.rand(shape))
    assert image.shape == (64, 64) and torch.isfinite(image).all()


def test_picture_kinds_agree(tmp_path):
    grey = as_uint8(scene())
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(np.dstack([grey] * 3)).save(tmp_path / "rgb.png")
    alpha = np.where(grey > 0, 255, 0).astype(np.uint8)
    Image.fromarray(np.dstack([grey, grey, grey, alpha])).save(tmp_path / "rgba.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    np.save(tmp_path / "array.npy", grey[None])
    np.savez(tmp_path / "floats.npz", images=np.dstack([grey / 255.0] * 3)[None])
    for file in find_images([tmp_path]):
        (image,) = load_images(file)
        assert (image - scene()).abs().max() < 0.012, file.name


def test_stacks_give_one_image_each(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((5, 30, 40), np.uint8))
    np.save(tmp_path / "b.npy", np.zeros((2, 8, 8, 3), np.float32))
    assert [len(list(load_images(f))) for f in find_images([tmp_path])] == [5, 2]


BAD_ARRAYS = {
    "shape": np.zeros((2, 3, 4, 5, 6), np.uint8),
    "empty": np.zeros((0, 64, 64), np.uint8),
    "type": np.zeros((1, 64, 64), np.int32),
    "range": np.full((1, 64, 64), 7.0),
    "nan": np.full((1, 64, 64), np.nan),
    "words": np.array([["a", "b"]]),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays_are_one_line(tmp_path, name):
    path = tmp_path / f"{name}.npy"
    np.save(path, BAD_ARRAYS[name])
    with pytest.raises(DatasetError, match=f"{name}.npy") as caught:
        list(load_images(path))
    assert "\n" not in str(caught.value)


def test_pickled_objects_are_not_loaded(tmp_path):
    path = tmp_path / "objects.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DatasetError):
        list(load_images(path))


@pytest.mark.parametrize("suffix", [".png", ".npy", ".npz"])
def test_text_under_another_name_is_one_line(tmp_path, suffix):
    path = tmp_path / f"text{suffix}"
    path.write_text("Dear diary, today I was renamed.")
    with pytest.raises(DatasetError, match="text") as caught:
        list(load_images(path))
    assert "\n" not in str(caught.value)


def test_npz_without_images(tmp_path):
    np.savez(tmp_path / "x.npz", pictures=np.zeros((1, 4, 4), np.uint8))
    with pytest.raises(DatasetError, match="pictures"):
        list(load_images(tmp_path / "x.npz"))


def test_missing_paths_and_empty_folders(tmp_path):
    with pytest.raises(DatasetError, match="no such file"):
        find_images([tmp_path / "nowhere.png"])
    with pytest.raises(DatasetError, match="no image"):
        find_images([tmp_path])
