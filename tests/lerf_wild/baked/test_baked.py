"""Baked scenes: against a slow oracle, in files, onto foreign models, without torch."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from lerf_wild.baked.field import TOP_SHARE, Answerer, BakedField, top, top_mean
from lerf_wild.baked.files import read_baked, write_baked
from lerf_wild.baked.scene import BakedScene, open_baked
from lerf_wild.errors import ExportError, ModelFileError, QueryError
from lerf_wild.export.ply_onto import lifted, read_foreign, write_onto
from lerf_wild.live.likeness import more_like

WORDS = ("fox", "log", "object", "things", "stuff", "texture")


def unit(values):
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def make_baked(voxels=40, sizes=5, dims=6, seed=0, blank=True):
    dice = np.random.default_rng(seed)
    counts = dice.integers(1, 4, voxels)
    points = int(counts.sum())
    basis = np.linalg.qr(dice.normal(size=(16, dims)))[0]
    codes = dice.integers(-127, 128, (sizes, dims, voxels)).astype(np.int8)
    if blank:
        codes[:, :, 3] = 0
    texts = unit(dice.normal(size=(len(WORDS), 16))).astype(np.float16).astype(np.float32)
    return BakedField(
        positions_N3=dice.normal(size=(points, 3)).astype(np.float32).astype(np.float64),
        normals_N3=np.zeros((points, 3), np.int8),
        colours_N3=dice.integers(0, 255, (points, 3), dtype=np.uint8),
        views_N=np.full(points, 7, np.uint8),
        counts_V=counts.astype(np.uint32),
        codes_SKV=codes,
        steps_K=np.full(dims, 1 / 300, np.float32),
        basis_DK=basis.astype(np.float32),
        sizes_S=np.geomspace(0.1, 2, sizes).astype(np.float32),
        transform_34=np.eye(3, 4),
        scale=0.5,
        meters_per_unit=1.0,
        encoder="letters@0",
        texts=dict(zip(WORDS, texts)),
        metadata={"title": "wall"},
    )


def slow_answer(baked, texts, canonical):
    """One voxel, size and phrase at a time, as the formula reads."""
    sizes, _, voxels = baked.codes_SKV.shape
    table = np.zeros((len(texts), sizes, voxels))
    for s in range(sizes):
        for v in range(voxels):
            embedding = baked.basis_DK @ (baked.codes_SKV[s, :, v] * baked.steps_K)
            if not embedding.any():
                continue
            for p, text in enumerate(texts):
                odds = [
                    np.exp(10 * embedding @ text)
                    / (np.exp(10 * embedding @ text) + np.exp(10 * embedding @ c))
                    for c in canonical
                ]
                table[p, s, v] = min(odds)
    best = table.max(axis=2).argmax(axis=1)
    maps = np.stack([table[p, best[p]] for p in range(len(texts))])
    return np.repeat(maps, baked.counts_V, axis=1), baked.sizes_S[best]


def test_answers_are_those_of_the_formula():
    baked = make_baked()
    texts = np.stack([baked.texts["fox"], baked.texts["log"]])
    canonical = np.stack([baked.texts[word] for word in WORDS[2:]])
    found = Answerer(baked).answer(texts, canonical)
    relevancy, sizes = slow_answer(baked, texts, canonical)
    np.testing.assert_allclose(found.relevancy_PN, relevancy, atol=1e-5)
    np.testing.assert_array_equal(found.size_P, sizes)
    peaks = found.relevancy_PN[[0, 1], found.peak_P]
    np.testing.assert_allclose(peaks, relevancy.max(axis=1), atol=1e-5)
    np.testing.assert_allclose(found.score_P, relevancy.max(axis=1), atol=1e-5)


def test_a_given_size_is_the_nearest_one():
    scene = BakedScene(make_baked())
    found = scene.ask(["fox", "log"], size=0.11)
    np.testing.assert_allclose(found.size_P, 0.1, rtol=1e-5)


def test_sizes_are_those_of_the_views_that_show_a_phrase_best():
    baked = make_baked(voxels=60, sizes=6)
    dice = np.random.default_rng(1)
    probes = dice.integers(0, 60, (8, 5)).astype(np.int32)
    seen = replace(baked, probes_TM=probes)
    texts = np.stack([baked.texts["fox"], baked.texts["log"]])
    canonical = np.stack([baked.texts[word] for word in WORDS[2:]])
    found = Answerer(seen).answer(texts, canonical)
    for row, text in enumerate(texts):
        peaks = np.zeros((len(baked.sizes_S), len(probes)))
        for index, size in enumerate(baked.sizes_S):
            one = Answerer(baked).answer(text[None], canonical, size=float(size))
            scores = one.relevancy_PN[0][baked.first_V]
            peaks[index] = [max(scores[voxel] for voxel in view) for view in probes]
        best = [np.mean(sorted(one)[-2:]) for one in peaks]
        assert found.size_P[row] == baked.sizes_S[int(np.argmax(best))]
    assert (found.size_P != Answerer(baked).answer(texts, canonical).size_P).any()


def test_probes_must_be_voxels_of_the_scene():
    for wrong in (np.array([[60]], np.int32), np.array([[-1]], np.int32), np.zeros(3, np.int32)):
        with pytest.raises(ModelFileError, match="views show"):
            replace(make_baked(voxels=60), probes_TM=wrong)


def test_unseen_voxels_score_nothing():
    baked = make_baked()
    found = BakedScene(baked).ask(["fox"])
    first = int(baked.counts_V[:3].sum())
    assert (found.relevancy_PN[0, first : first + int(baked.counts_V[3])] == 0).all()


def test_files_are_read_back(tmp_path):
    baked = make_baked()
    far = replace(baked, positions_N3=baked.positions_N3 + [500_000, 4_000_000, 100])
    write_baked(tmp_path / "a.safetensors", far)
    again = read_baked(tmp_path / "a.safetensors")
    np.testing.assert_allclose(again.positions_N3, far.positions_N3, atol=1e-3)
    for name in ("codes_SKV", "counts_V", "steps_K", "basis_DK", "sizes_S", "colours_N3"):
        np.testing.assert_array_equal(getattr(again, name), getattr(far, name))
    assert set(again.texts) == set(WORDS) and again.title == "wall"
    assert open_baked(tmp_path / "a.safetensors").ask(["fox"]).relevancy_PN.shape[0] == 1


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    write_baked(path, make_baked())
    whole = path.read_bytes()
    for cut in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(ModelFileError):
            read_baked(path)
    path.write_bytes(whole.replace(b"lerf_wild.baked", b"something.else!"))
    with pytest.raises(ModelFileError, match="not a baked scene"):
        read_baked(path)
    with pytest.raises(ModelFileError):
        read_baked(tmp_path / "none.safetensors")


def test_arrays_must_agree():
    baked = make_baked()
    with pytest.raises(ModelFileError, match="views_N"):
        replace(baked, views_N=baked.views_N[1:])
    with pytest.raises(ModelFileError, match="voxels"):
        replace(baked, counts_V=baked.counts_V + 1)


def test_embeddings_of_another_encoder_are_refused():
    with pytest.raises(QueryError, match="16 dimensions"):
        Answerer(make_baked()).answer(np.ones((1, 8)), np.ones((1, 8)))


def test_other_phrases_ask_the_encoder_once():
    asked = []

    def embed(texts):
        asked.extend(texts)
        return unit(np.ones((len(texts), 16)))

    scene = BakedScene(make_baked(), embed)
    scene.ask(["fox", "elk"])
    scene.ask(["elk"])
    assert asked == ["elk"]


def test_the_top_share_is_a_mean():
    values = np.arange(10_000, dtype=np.float32)
    assert top_mean(values) == pytest.approx(9998.5)
    assert top_mean(values[:10]) == 9


@pytest.mark.parametrize("count", [1, 7, 5_000, 33_333, 65_536])
def test_fast_peaks_are_close_to_the_sorted_ones(count):
    values = np.random.default_rng(count).random((6, count)).astype(np.float32) ** 8
    found, exact = top(values), [top_mean(row) for row in values]
    if count * TOP_SHARE < 1.5:
        np.testing.assert_array_equal(found, values.max(axis=1))
    else:
        np.testing.assert_allclose(found, exact, rtol=0.01)


def test_neighbours_all_count_in_fast_peaks():
    values = np.zeros((1, 65_536), np.float32)
    values[0, 40_000:40_013] = 1.0
    assert top_mean(values[0]) == 1.0
    assert top(values)[0] > 0.6
    values[0, 40_001:40_013] = 0.0
    assert top(values)[0] < 0.1


def test_asking_imports_neither_torch_nor_nerfstudio(tmp_path):
    write_baked(tmp_path / "scene.safetensors", make_baked(voxels=400, blank=False))
    script = f"""
import sys
from lerf_wild.cli import main
from lerf_wild.baked.scene import open_baked
found = open_baked({str(tmp_path / "scene.safetensors")!r}).ask(["fox", "log"])
for words in (["query"], ["export", "--output-dir", {str(tmp_path / "out")!r}]):
    main([*words, "--baked", {str(tmp_path / "scene.safetensors")!r}, "--phrases", "fox", "log"])
heavy = [name for name in ("torch", "nerfstudio", "open_clip", "viser") if name in sys.modules]
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "fox" in done.stdout
    assert (tmp_path / "out" / "relevancy.ply").is_file()


def write_mesh(
    path, vertices, order="<", faces=b"\x03\x00\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00"
):
    name = "binary_little_endian" if order == "<" else "binary_big_endian"
    header = (
        f"ply\nformat {name} 1.0\ncomment Ångström scan\nelement vertex {len(vertices)}\n"
        "property float x\nproperty float y\nproperty float z\nproperty uchar red\n"
        "property float f_dc_0\nelement face 1\n"
        "property list uchar int vertex_indices\nend_header\n"
    )
    rows = np.zeros(
        len(vertices),
        [(n, order + "f4") for n in "xyz"] + [("red", "u1"), ("f_dc_0", order + "f4")],
    )
    for index, axis in enumerate("xyz"):
        rows[axis] = vertices[:, index]
    rows["red"] = 9
    rows["f_dc_0"] = np.nan
    path.write_bytes(header.encode() + rows.tobytes() + faces)
    return faces


@pytest.mark.parametrize("order", "<>")
def test_scores_are_lifted_onto_a_mesh_that_keeps_everything_else(tmp_path, order):
    baked = make_baked(blank=False)
    found = BakedScene(baked).ask(["fox", "red log"[4:]])
    vertices = np.concatenate([baked.positions_N3, [[1e6, 0, 0], [np.nan, 0, 0]]])
    faces = write_mesh(tmp_path / "mesh.ply", vertices, order)
    count = write_onto(
        tmp_path / "mesh.ply",
        tmp_path / "out.ply",
        baked.positions_N3,
        found.relevancy_PN.T,
        ("fox", "log"),
    )
    assert count == len(vertices)
    again = read_foreign(tmp_path / "out.ply")
    scores = again.rows_M["scalar_relevancy_fox"]
    np.testing.assert_allclose(scores[:-2], found.relevancy_PN[0], atol=1e-3)
    assert (scores[-2:] == 0).all()
    assert (again.rows_M["red"] == 9).all() and np.isnan(again.rows_M["f_dc_0"]).all()
    assert again.rest == faces
    assert any("query 0 fox" in line for line in again.header_lines)
    assert "comment Ångström scan".encode().decode("latin-1") in again.header_lines
    with pytest.raises(ExportError, match="already"):
        write_onto(
            tmp_path / "out.ply",
            tmp_path / "x.ply",
            baked.positions_N3,
            found.relevancy_PN.T,
            ("fox", "log"),
        )


def test_lifting_is_between_neighbours():
    places = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])
    scores = np.array([[0.0], [1.0], [0.0]], np.float32)
    half = lifted(np.array([[0.5, 0, 0], [1.0, 0, 0], [100, 0, 0]]), places, scores)
    assert 0.3 < half[0, 0] < 0.7 and half[1, 0] > 0.99 and half[2, 0] == 0


@pytest.mark.parametrize(
    "content", [b"", b"ply\nformat ascii 1.0\n", b"solid x", b"ply\nend_header\n"]
)
def test_foreign_files_that_are_none_are_refused(tmp_path, content):
    (tmp_path / "a.ply").write_bytes(content)
    with pytest.raises(ExportError):
        read_foreign(tmp_path / "a.ply")


def test_more_like_this_finds_what_resembles():
    dice = np.random.default_rng(0)
    common = dice.normal(size=24)
    kinds = unit(common + 0.8 * dice.normal(size=(5, 24)))
    scene = unit(
        kinds[np.repeat(np.arange(5), [400, 400, 400, 400, 20])]
        + 0.03 * dice.normal(size=(1620, 24))
    )
    canonical = unit(0.3 * common + dice.normal(size=(4, 24)))
    text = more_like(scene[-1], scene, canonical)
    margin = scene @ text - (scene @ canonical.T).max(axis=1)
    relevancy = 1 / (1 + np.exp(-10 * margin))
    assert relevancy[-20:].min() > 0.5 and relevancy[-1] > 0.8
    assert (relevancy[:1600] > 0.5).mean() < 0.05
    nothing = more_like(scene[-1], np.zeros((4, 24)), canonical)
    np.testing.assert_array_equal(nothing, scene[-1])
