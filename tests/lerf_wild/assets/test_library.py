"""The library: starters, added assets, their files, and the index that finds them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from coarse_encoder import CoarseEncoder
from safetensors.numpy import load_file, save_file

from lerf_wild.assets.asset_files import Description, checked_name, mesh_key, read_asset
from lerf_wild.assets.library import Library, open_library, starter_library
from lerf_wild.assets.mesh import Asset, recoloured, scaled
from lerf_wild.assets.recipes import STARTERS
from lerf_wild.assets.template_index import build_index
from lerf_wild.assets.templates import TemplateSpec, render_template, render_templates
from lerf_wild.errors import AssetError
from lerf_wild.render.raycast import depth_and_instances

FEW = TemplateSpec(yaws=8, samples=1)
NAMES = ("grey_rock", "red_rock", "cactus")
DESCRIPTION = Description("rock", "rock", ("odd rock",), "CC0-1.0", {"source": "a test"})


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("LERF_WILD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LERF_WILD_ASSETS", str(tmp_path / "assets"))


@pytest.fixture
def few() -> Library:
    return starter_library().only(NAMES)


def odd_rock() -> Asset:
    rock = starter_library().mesh("red_rock")
    return replace(recoloured(rock, (0.2, 0.5, 2.0)), name="odd_rock")


def test_the_starters_are_complete():
    library = starter_library()
    assert library.names == tuple(STARTERS) and len(library) >= 48
    assert len({entry.key for entry in library}) == len(library)
    for entry in library:
        assert entry.phrases and entry.licence and entry.provenance["source"]
        assert 0.1 < entry.height_m < 9.0


@pytest.mark.parametrize("name", ["arctic_fox", "agave", "maple"])
def test_the_table_knows_the_heights(name):
    grown, again = starter_library().mesh(name), starter_library().mesh(name)
    assert grown.height_m == pytest.approx(starter_library().entry(name).height_m, abs=1e-3)
    assert grown is again and grown.kind == STARTERS[name].kind


def test_a_starter_is_read_back_from_the_cache_as_it_was_grown():
    from lerf_wild.assets import library

    library._grown.cache_clear()
    grown = starter_library().mesh("pale_boulder")
    library._grown.cache_clear()
    kept = starter_library().mesh("pale_boulder")
    assert kept is not grown and mesh_key(kept) == mesh_key(grown)
    assert (kept.phrases, kept.kind) == (grown.phrases, grown.kind)


def test_added_assets_are_there_for_the_next_process(few):
    library = open_library().add(odd_rock(), DESCRIPTION)
    entry = open_library().entry("odd_rock")
    assert entry == library.entry("odd_rock")
    assert (entry.kind, entry.licence, entry.phrases) == ("rock", "CC0-1.0", ("odd rock",))
    assert mesh_key(open_library().mesh("odd_rock")) == mesh_key(odd_rock()) == entry.key
    with pytest.raises(AssetError, match="--overwrite"):
        library.add(odd_rock(), DESCRIPTION)
    taller = scaled(odd_rock(), 2.0)
    assert library.add(taller, DESCRIPTION, overwrite=True).entry("odd_rock").height_m == 2.0
    with pytest.raises(AssetError, match="already"):
        library.add(replace(odd_rock(), name="red_fox"), DESCRIPTION, overwrite=True)
    with pytest.raises(AssetError, match="folder"):
        few.add(odd_rock(), DESCRIPTION)


def test_what_another_process_added_meanwhile_is_not_written_over():
    first, second = open_library(), open_library()
    first.add(odd_rock(), DESCRIPTION)
    other = scaled(odd_rock(), 2.0)
    assert second.is_taken("odd_rock") and "odd_rock" not in second.names
    with pytest.raises(AssetError, match="already"):
        second.add(other, DESCRIPTION)
    assert open_library().mesh("odd_rock").height_m == odd_rock().height_m


@pytest.mark.parametrize("name", ["", "../a", "a/b", "A", "a..b", "a" * 65, ".a", "a\n", "a."])
def test_names_can_never_be_paths(name):
    with pytest.raises(AssetError, match="name"):
        checked_name(name)


def test_damaged_files_are_listed_and_never_loaded(tmp_path):
    library = open_library().add(odd_rock(), DESCRIPTION)
    path = library.entry("odd_rock").path
    whole = path.read_bytes()
    for end in range(0, len(whole) - 1, len(whole) // 13):
        path.write_bytes(whole[:end])
        reopened = open_library(starters=False)
        assert len(reopened) == 0 and "odd_rock" in reopened.damaged[0]
    path.write_bytes(whole)
    arrays = load_file(path)
    arrays["faces"] = arrays["faces"] + 10**6
    save_file(arrays, path, {"asset": _header(whole)})
    with pytest.raises(AssetError, match="out of range"):
        read_asset(path)
    save_file({"vertices": np.zeros((3, 2), np.float32)}, path, {"asset": _header(whole)})
    with pytest.raises(AssetError, match="odd_rock"):
        read_asset(path)


def _header(data: bytes) -> str:
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size])["__metadata__"]["asset"]


def test_parts_of_the_library_keep_its_order(few):
    assert few.names == tuple(name for name in STARTERS if name in NAMES)
    assert starter_library().of_kind("tree").only(["maple", "red_fox"]).names == ("maple",)
    with pytest.raises(AssetError, match="unicorn"):
        few.mesh("unicorn")


def test_templates_turn_the_asset(few):
    fox = starter_library().mesh("red_fox")
    pictures = render_templates(fox, 32, FEW)
    assert pictures.shape == (8, 32, 32, 3) and pictures.dtype == np.uint8
    np.testing.assert_array_equal(pictures[2], render_template(fox, np.pi / 2, 32, FEW))
    widths = [orange_columns(picture) for picture in pictures]
    assert widths[0] > 1.5 * widths[2] and widths[4] > 1.5 * widths[6]
    # At yaw 0 the nose points to the right, so the white tip of the tail is on the left.
    side = render_template(fox, 0.0, 96).astype(int)
    white = ((side.min(axis=2) > 150) & (np.ptp(side, axis=2) < 40))[40:]
    assert white[:, :24].sum() > white[:, -24:].sum()


@pytest.mark.parametrize("name", ["tiger", "red_deer", "cactus"])
@pytest.mark.parametrize("yaw", [0.0, np.pi / 2, 3.9])
def test_the_whole_asset_is_in_the_picture(name, yaw):
    from lerf_wild.assets import templates

    asset = starter_library().mesh(name)
    scene = templates._scene(asset, FEW)
    seen = depth_and_instances(scene, templates._camera(asset, yaw, 64, FEW))[1] == 10
    assert not (seen[0].any() or seen[-1].any() or seen[:, 0].any() or seen[:, -1].any())
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    assert max(np.ptp(rows), np.ptp(columns)) > 0.5 * 64


def orange_columns(picture: np.ndarray) -> int:
    red, blue = picture[:, :, 0].astype(int), picture[:, :, 2].astype(int)
    return int(((red - blue) > 60).any(axis=0).sum())


def test_an_index_renders_what_is_new_alone(few, tmp_path):
    encoder, seen = CoarseEncoder(), []

    def note(entry, is_new):
        seen.append((entry.name, is_new))

    index = build_index(few, encoder, FEW, note)
    assert index.templates_ATD.shape == (3, 8, encoder.dim)
    assert seen == [(name, True) for name in few.names] and encoder.encoded == 24
    seen.clear()
    again = build_index(few, encoder, FEW, note)
    torch.testing.assert_close(again.templates_ATD, index.templates_ATD)
    assert encoder.encoded == 24 and not any(is_new for _, is_new in seen)
    grown = open_library(starters=False).add(odd_rock(), DESCRIPTION)
    joined = replace(few, entries={**few.entries, **grown.entries})
    seen.clear()
    build_index(joined, encoder, FEW, note)
    assert [name for name, is_new in seen if is_new] == ["odd_rock"]


def test_a_new_asset_is_found_at_once(few):
    encoder = CoarseEncoder()
    grown = open_library(starters=False).add(odd_rock(), DESCRIPTION)
    joined = replace(few, entries={**few.entries, **grown.entries})
    index = build_index(joined, encoder, FEW)
    view = render_template(odd_rock(), np.pi / 2, encoder.image_size, FEW)
    query = encoder.encode_images(torch.from_numpy(view).permute(2, 0, 1)[None].float() / 255)
    answer = index.search(query, k=2)[0]
    assert (answer.best.name, answer.best.yaw_deg) == ("odd_rock", 90.0)
    assert answer.margin > 0 and answer.is_known
    gated = index.search(query, kinds=("shrub",))[0]
    assert {match.kind for match in gated.matches} == {"shrub"}
    row = index.embedding("odd_rock", np.pi / 2 + 2 * np.pi)
    torch.testing.assert_close(row, query[0], atol=2e-3, rtol=0)
    with pytest.raises(AssetError, match="unicorn"):
        index.embedding("unicorn", 0.0)


def test_an_empty_library_can_not_be_indexed():
    with pytest.raises(AssetError, match="empty"):
        build_index(open_library(starters=False), CoarseEncoder())


def test_the_bundled_templates_fit_the_recipes_and_the_bundled_encoder():
    from lerf_wild.assets import template_index
    from lerf_wild.assets.templates import STANDARD
    from lerf_wild.language.wild_clip import load_wild_clip

    encoder, library = load_wild_clip(precision="fp32"), starter_library()
    index = build_index(library, encoder, on_asset=lambda entry, is_new: _refuse(entry, is_new))
    assert index.templates_ATD.shape == (len(library), STANDARD.yaws, encoder.dim)
    assert template_index.BUNDLED.stat().st_size < 2 << 20
    for name, yaw in (("tiger", 0), ("maple", 30), ("grey_rock", 61)):
        view = render_template(library.mesh(name), np.radians(5 * yaw), encoder.image_size)
        image = torch.from_numpy(view).permute(2, 0, 1)[None].float() / 255
        kept = index.embedding(name, np.radians(5 * yaw))
        assert float(encoder.encode_images(image)[0] @ kept) > 0.99


def _refuse(entry, is_new):
    assert not is_new, f"{entry.name}: run `python -m lerf_wild.assets.make_starter`"


def test_words_find_what_the_library_calls_by_them():
    from lerf_wild.assets.words import find_by_words
    from lerf_wild.language.wild_clip import load_wild_clip

    encoder, library = load_wild_clip(), starter_library()
    index = build_index(library, encoder)
    phrases = ["striped cat", "white bear", "bare trees", "submarine", "mossy rock"]
    found = find_by_words(index, library, phrases, encoder)
    names = [answer.best.name for answer in found]
    assert names[:3] == ["tiger", "polar_bear", "dead_tree"] and names[4] == "mossy_rock"
    assert [answer.is_known for answer in found] == [True, True, True, False, True]
    gated = find_by_words(index, library, ["striped cat"], encoder, kinds=("herbivore",))[0]
    assert gated.best.name == "zebra"
