"""What the user has added is drawn by programs and looked up by readers, without training."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from lerf_wild.assets.asset_files import Description
from lerf_wild.assets.library import open_library, starter_library
from lerf_wild.assets.library_assets import find_asset
from lerf_wild.assets.mesh import recoloured, scaled
from lerf_wild.assets.names import nearest_names
from lerf_wild.cli import main
from lerf_wild.errors import AssetError
from lerf_wild.inverse import program_library
from lerf_wild.inverse.program_inference import Reading
from lerf_wild.inverse.program_library import draw_added, joined_templates
from lerf_wild.inverse.program_matching import match_boxes
from lerf_wild.inverse.program_reader import ProgramReader
from lerf_wild.inverse.program_scenes import describe
from lerf_wild.inverse.program_templates import make_templates, network_embed
from lerf_wild.program.files import write_program
from lerf_wild.program.types import Program, SceneObject, Settings
from lerf_wild.render.scene_program import FIRST_ID, finder, render_program

torch.set_num_threads(1)
DESCRIPTION = Description("rock", "blue rock", ("blue rock",), "CC0-1.0", {"source": "a test"})
PROGRAM = Program(
    Settings(camera_pitch_deg=80.0, camera_height_m=1.5),
    (SceneObject(9, (0.0, -0.6, -5.0), 1.2, kind="rock", asset="blue_rock"),),
)


@pytest.fixture(autouse=True)
def own_library(tmp_path, monkeypatch):
    monkeypatch.setenv("LERF_WILD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LERF_WILD_ASSETS", str(tmp_path / "assets"))


@pytest.fixture(scope="module")
def reader():
    torch.manual_seed(0)
    return ProgramReader(assets=2).eval()


@pytest.fixture(scope="module")
def templates(reader):
    shown = [find_asset(name, starter_library()) for name in ("grey rock.0", "cactus.0")]
    return make_templates(shown, network_embed(reader.crops), 4)


@pytest.fixture
def library():
    rock = recoloured(starter_library().mesh("grey_rock"), (0.1, 0.2, 2.5))
    return open_library().add(replace(rock, name="blue_rock"), DESCRIPTION)


def test_programs_draw_what_was_added_wherever_it_lies(library, tmp_path):
    by_default = render_program(PROGRAM, 64, 64).picture
    rock = by_default.rgb[by_default.instances == FIRST_ID].mean(axis=0)
    assert rock[2] > 1.5 * rock[0]
    np.testing.assert_array_equal(
        render_program(PROGRAM, 64, 64, finder(library)).picture.rgb, by_default.rgb
    )
    elsewhere = open_library(tmp_path / "elsewhere")
    with pytest.raises(AssetError, match="blue_rock"):
        render_program(PROGRAM, 64, 64, finder(elsewhere))


def test_an_asset_that_is_replaced_is_drawn_anew(library):
    before = find_asset("blue_rock")
    red = recoloured(starter_library().mesh("grey_rock"), (2.5, 0.2, 0.1))
    library.add(replace(scaled(red, 2.0), name="blue_rock"), DESCRIPTION, overwrite=True)
    after = find_asset("blue_rock")
    assert before is not after and after.albedo_V3[:, 0].mean() > after.albedo_V3[:, 2].mean()
    assert find_asset("blue_rock") is after


def test_an_added_name_goes_before_a_grown_individual_but_not_before_a_starter(library):
    rock = replace(library.mesh("blue_rock"), name="shrub")
    assert find_asset("shrub").kind == "shrub"
    library.add(rock, DESCRIPTION)
    assert find_asset("shrub").kind == "rock" and find_asset("shrub.0").kind == "shrub"
    assert find_asset("mallard.1").name == "mallard.1" and find_asset("tiger").name == "tiger"


@pytest.mark.parametrize("name", ["tigre", "blue rok", "Snow Leopard", "../../x", "a" * 70, "x."])
def test_unknown_names_are_told_in_a_line_with_the_nearest(library, name):
    with pytest.raises(AssetError) as refused:
        find_asset(name)
    said = str(refused.value)
    assert "nearest are" in said and "\n" not in said and len(said) < 200
    with pytest.raises(AssetError, match="nearest"):
        library.entry(name)


def test_the_nearest_names_are_the_ones_that_were_meant(library):
    assert nearest_names("tigre", library.names)[0] == "tiger"
    assert nearest_names("Blue Rok", library.names)[0] == "blue_rock"
    assert nearest_names("anything", ()) == ()


def test_a_reader_knows_what_was_added_and_keeps_its_templates(
    library, reader, templates, monkeypatch
):
    joined = joined_templates(templates, library, reader.crops, "key")
    assert joined.names == (*templates.names, "blue_rock") and len(joined.kind_M) == 3
    assert joined.embedding_MYA.shape == (3, *templates.embedding_MYA.shape[1:])
    assert joined.bank.rgb_MY3SS.shape[0] == 3
    torch.testing.assert_close(joined.embedding_MYA[:2], templates.embedding_MYA)

    def fail(*_):
        raise AssertionError("drawn again")

    monkeypatch.setattr(program_library, "template_pictures", fail)
    again = joined_templates(templates, library, reader.crops, "key")
    torch.testing.assert_close(again.embedding_MYA, joined.embedding_MYA)
    # Another reader embeds the same pictures anew.
    other = joined_templates(templates, library, reader.crops, "other")
    torch.testing.assert_close(other.embedding_MYA, joined.embedding_MYA)
    assert joined_templates(templates, starter_library(), reader.crops, "key") is templates


def test_an_added_asset_is_the_likeliest_in_a_picture_of_it(library, reader, templates):
    joined = joined_templates(templates, library, reader.crops, "key")
    drawn = render_program(PROGRAM, 256, 256)
    rows, columns = np.nonzero(drawn.picture.instances == FIRST_ID)
    box = torch.tensor([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]).float()
    rgb = torch.from_numpy(drawn.picture.rgb).permute(2, 0, 1)[None].float() / 255.0
    likeness = match_boxes(joined.bank, rgb, torch.zeros(1, dtype=torch.long), box)
    assert joined.names[int(likeness[0].amax(dim=-1).argmax())] == "blue_rock"


def test_adding_draws_what_the_reader_compares_with(library, reader, templates, monkeypatch):
    seen = []
    draw_added(library, lambda entry: seen.append(entry.name))
    assert seen == ["blue_rock"]
    monkeypatch.setattr(program_library, "YAWS", None)
    many = replace(templates, embedding_MYA=templates.embedding_MYA.repeat(1, 6, 1))
    bank = replace(
        templates.bank,
        rgb_MY3SS=templates.bank.rgb_MY3SS.repeat(1, 6, 1, 1, 1),
        mask_MYSS=templates.bank.mask_MYSS.repeat(1, 6, 1, 1),
    )
    monkeypatch.setattr(program_library, "template_pictures", None)
    joined = joined_templates(replace(many, bank=bank), library, reader.crops, "key")
    assert joined.names[-1] == "blue_rock"


def test_descriptions_tell_the_licence_of_what_was_added(library):
    told = describe(Reading(PROGRAM, torch.zeros(1, 4), (("blue_rock",),), (0.1,)), library)
    assert told["objects"][0]["licence"] == "CC0-1.0"
    assert told["objects"][0]["species"] == "blue rock"


def test_the_commands_share_the_library(library, tmp_path, capsys):
    write_program(tmp_path / "scene.txt", PROGRAM)
    flags = ["raw", "render", str(tmp_path / "scene.txt"), "--size", "32", "--output-path"]
    main([*flags, str(tmp_path / "a.png")])
    assert np.asarray(Image.open(tmp_path / "a.png")).shape == (32, 32, 3)
    main([*flags, str(tmp_path / "a.glb")])
    content = (tmp_path / "a.glb").read_bytes()
    assert "object_1_blue_rock" in json.dumps(content[:20_000].decode("latin-1"))
    elsewhere = ["--library-dir", str(tmp_path / "nowhere")]
    with pytest.raises(SystemExit) as stopped:
        main([*flags, str(tmp_path / "b.png"), *elsewhere])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and "nearest are" in error and "Traceback" not in error
