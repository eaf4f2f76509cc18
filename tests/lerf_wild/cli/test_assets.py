"""The `assets` commands, with an encoder that needs no weights and a library of one's own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import trimesh
from coarse_encoder import CoarseEncoder
from PIL import Image

from lerf_wild.assets.growing import SOURCES, grow_own
from lerf_wild.assets.infinigen_grower import grow_infinigen, is_ready, make_environment
from lerf_wild.assets.library import open_library
from lerf_wild.assets.templates import TemplateSpec, render_template
from lerf_wild.cli import main
from lerf_wild.errors import AssetError, EncoderError


@pytest.fixture(autouse=True)
def own_library(tmp_path, monkeypatch):
    monkeypatch.setenv("LERF_WILD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LERF_WILD_ASSETS", str(tmp_path / "assets"))
    monkeypatch.setenv("LERF_WILD_INFINIGEN", str(tmp_path / "infinigen"))

    def resolve(name, *_):
        return CoarseEncoder()

    monkeypatch.setattr("lerf_wild.language.registry.resolve_encoder", resolve)
    for module in ("assets", "assets_grow"):
        monkeypatch.setattr(
            f"lerf_wild.cli.{module}.opened", lambda _, folder: open_library(folder, False)
        )
    monkeypatch.setattr("lerf_wild.assets.template_index.STANDARD", TemplateSpec(yaws=8, samples=1))


def mesh_file(folder: Path, name: str, colour: tuple[int, int, int]) -> Path:
    mesh = trimesh.creation.icosphere(1)
    mesh.visual.vertex_colors = np.tile([*colour, 255], (len(mesh.vertices), 1))
    path = folder / f"{name}.glb"
    path.write_bytes(mesh.export(file_type="glb"))
    return path


def run(*words: object) -> None:
    main(["assets", *map(str, words)])


def test_add_index_and_search(tmp_path, capsys):
    red, green = mesh_file(tmp_path, "Red Ball", (220, 30, 30)), tmp_path / "green.json"
    run("add", red, "--kind", "rock", "--licence", "CC0-1.0", "--height-m", "1.5")
    other = mesh_file(tmp_path, "green", (30, 200, 30))
    run("add", other, "--kind", "shrub", "--phrases", "green ball", "--json", green)
    added = json.loads(green.read_text())["assets"][0]
    assert (added["name"], added["kind"], added["licence"]) == ("green", "shrub", "unknown")
    assert added["phrases"][0] == "green ball"

    run("index", "--json", tmp_path / "index.json")
    index = json.loads((tmp_path / "index.json").read_text())
    assert (index["count"], index["rendered"]) == (2, 0)
    assert [row["name"] for row in index["assets"]] == ["green", "red_ball"]
    assert index["assets"][1]["height_m"] == pytest.approx(1.5)

    photo = tmp_path / "photo.png"
    view = render_template(open_library().mesh("red_ball"), 0.3, 64)
    Image.fromarray(view).save(photo)
    out = tmp_path / "found.json"
    run("search", "green ball", photo, "--k", 2, "--json", out)
    words, picture = json.loads(out.read_text())["answers"]
    assert words["matches"][0]["name"] == "green" and words["known"]
    assert picture["matches"][0]["name"] == "red_ball"
    assert picture["margin"] > 0 and picture["matches"][0]["licence"] == "CC0-1.0"
    run("search", photo, "--kinds", "shrub", "--threshold", 0.999, "--json", out)
    gated = json.loads(out.read_text())["answers"][0]
    assert [match["name"] for match in gated["matches"]] == ["green"] and not gated["known"]
    assert "unknown" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add", "no.glb", "--kind", "rock"], "can't be read"),
        (["add", "no.glb", "--kind", "dragon"], "dragon"),
        (["add", "a.glb", "b.glb", "--kind", "rock", "--name", "x"], "--name"),
        (["search", "--k", "1"], "look for"),
        (["search", "a", "--kinds", "fish"], "fish"),
        (["search", "fox.png"], "not found"),
        (["search", "a"], "empty"),
        (["grow", "--grower", "magic"], "--grower"),
        (["grow", "--kinds", "fish"], "fish"),
    ],
)
def test_mistakes_are_told_in_one_line(words, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(*words)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


@pytest.mark.parametrize("flags", [["--name", ""], ["--encoder", "magic"], ["--height-m", "nan"]])
def test_what_is_refused_is_not_added(flags, tmp_path, monkeypatch):
    def resolve(name, *_):
        if name == "magic":
            raise EncoderError("There is no encoder 'magic'.")
        return CoarseEncoder()

    monkeypatch.setattr("lerf_wild.language.registry.resolve_encoder", resolve)
    with pytest.raises(SystemExit) as stopped:
        run("add", mesh_file(tmp_path, "ball", (9, 9, 9)), "--kind", "rock", *flags)
    assert stopped.value.code == 2 and len(open_library(None, False)) == 0


def test_words_of_an_asset_hold_nothing_that_a_terminal_obeys(tmp_path):
    words = ["--licence", "a\x1b[31m" + "b" * 900, "--species", "red\nball", "--source", "\x07x"]
    run("add", mesh_file(tmp_path, "ball", (220, 30, 30)), "--kind", "rock", *words)
    entry = open_library(None, False).entry("ball")
    said = (entry.licence, entry.species, *entry.phrases, str(entry.provenance["source"]))
    assert all(text.isprintable() and len(text) <= 300 for text in said)
    assert entry.species == "red ball" and entry.licence.startswith("a [31mb")


def test_a_photo_that_was_stored_on_its_side_is_searched_upright(tmp_path):
    run("add", mesh_file(tmp_path, "ball", (220, 30, 30)), "--kind", "rock")
    pixels = np.zeros((60, 90, 3), np.uint8)
    pixels[:, :30] = (220, 30, 30)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(np.ascontiguousarray(np.rot90(pixels))).save(tmp_path / "b.png", exif=exif)
    scores = []
    for name in ("a", "b"):
        told = tmp_path / f"{name}.json"
        run("search", tmp_path / f"{name}.png", "--box", 0, 0, 30, 60, "--json", told)
        scores.append(json.loads(told.read_text())["answers"][0]["matches"][0]["score"])
    assert scores[0] == pytest.approx(scores[1])


def test_one_of_each_kind_is_grown_and_found_at_once(tmp_path, capsys):
    out = tmp_path / "grown.json"
    run("grow", "--seed", 3, "--json", out)
    report = json.loads(out.read_text())
    assert [row["kind"] for row in report["assets"]] == list(SOURCES)
    # Six by six pixels tell most of them apart; the bundled encoder sees more.
    assert report["found_first"] >= 0.5 and max(row["rank"] for row in report["assets"]) <= 3
    assert report["grower"] == "own"
    assert "--grower infinigen" in capsys.readouterr().out
    assert len(open_library(starters=False)) == 6


def test_the_same_seed_grows_the_same_asset():
    first, second = grow_own("rock", 5)[0], grow_own("rock", 5)[0]
    np.testing.assert_array_equal(first.vertices_V3, second.vertices_V3)
    np.testing.assert_array_equal(first.colours_V3, second.colours_V3)
    assert grow_own("rock", 6)[0].name != first.name


def test_without_a_network_the_own_growers_step_in(monkeypatch, capsys):
    def fail(command, **_):
        return subprocess.CompletedProcess(command, 1, "", "ERROR: Could not find a version\n")

    monkeypatch.setattr("lerf_wild.assets.infinigen_grower.subprocess.run", fail)
    monkeypatch.setattr("lerf_wild.assets.infinigen_grower._python_311", lambda: "python3.11")
    run("grow", "--kinds", "rock", "--grower", "infinigen")
    said = capsys.readouterr().out
    assert "Could not find a version" in said and "own growers instead" in said
    assert len(open_library(starters=False)) == 1


def test_a_folder_of_something_else_is_never_thrown_away(tmp_path, monkeypatch):
    folder = tmp_path / "environment"
    folder.mkdir()
    (folder / "thesis.txt").write_text("precious")

    def fail(command, limit_s, place):
        raise AssetError("no network")

    monkeypatch.setattr("lerf_wild.assets.infinigen_grower._python_311", lambda: "python3.11")
    with pytest.raises(AssetError, match="something else"):
        make_environment(folder, run=fail)
    assert (folder / "thesis.txt").read_text() == "precious"
    # Half of an environment of ours is.
    own = tmp_path / "own"
    for _ in range(2):
        with pytest.raises(AssetError, match="no network"):
            make_environment(own, run=fail)
        (own / "half").write_text("")
    with pytest.raises(AssetError, match="no network"):
        make_environment(own, run=fail)
    assert not (own / "half").exists()


def test_infinigen_is_run_in_its_own_environment(tmp_path, monkeypatch):
    folder, commands = tmp_path / "environment", []

    def pretend(command, limit_s, place):
        commands.append(list(command))
        if command[1:3] == ["-m", "venv"]:
            (folder / "bin").mkdir(parents=True, exist_ok=True)
            (folder / "bin" / "python").write_text("")
        if str(command[-1]).endswith("finished.glb"):
            mesh_file(place, "finished", (120, 90, 60))
        return ""

    monkeypatch.setattr("lerf_wild.assets.infinigen_grower._python_311", lambda: "python3.11")
    assert not is_ready(folder)
    make_environment(folder, run=pretend)
    assert is_ready(folder) and commands[1][-2:] == ["infinigen==1.15.5", "bpy==4.2.0"]
    made = len(commands)
    make_environment(folder, run=pretend)
    assert len(commands) == made

    asset, description = grow_infinigen("carnivore", 7, folder, run=pretend)
    assert asset.name == "infinigen_carnivore_7" and 0.7 <= asset.height_m <= 1.2
    assert description.licence == "BSD-3-Clause" and description.provenance["seed"] == 7
    assert commands[-2][:3] == [
        str(folder / "bin" / "python"), "-m", "infinigen_examples.generate_individual_assets"
    ]  # fmt: skip
    with pytest.raises(AssetError, match="tree"):
        grow_infinigen("tree", 1, folder, run=pretend)
