"""`lerf-wild wildlife place`: items put into a trained scene by words, program, photo or hand."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from lerf_wild.cli.progress import counting, say
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.errors import InputError, WildlifeError

if TYPE_CHECKING:
    from lerf_wild.cli.answers import Answer
    from lerf_wild.cli.runs import Run
    from lerf_wild.wildlife.choosing import Choice
    from lerf_wild.wildlife.items import Item
    from lerf_wild.wildlife.place_costs import Aim
    from lerf_wild.wildlife.population import Population
    from lerf_wild.wildlife.sentences import Sentence
    from lerf_wild.wildlife.settling import Scene

ANCHOR_POINTS = 40_000
"""Surface points that are asked where a named thing is."""
UNSURE = (
    "The photos hardly tell how high the ground is under {0}: look whether it stands well "
    "(`wildlife move --item {0}` puts that right)."
)


def wildlife_place(
    load_config: Path,
    text: str | None = None,
    program: Path | None = None,
    photo: Path | None = None,
    asset: str | None = None,
    animal: str | None = None,
    action: str = "stand",
    at: tuple[float, ...] = (),
    yaw_deg: float | None = None,
    height_m: float | None = None,
    library_dir: Path | None = None,
    seed: int = 0,
    data: Path | None = None,
    json_file: JsonFile = None,
) -> None:
    """Puts an asset or an animal on the ground of a trained scene.

    Say what in one of four ways: a sentence, a scene program, a photo, or by hand. The item goes
    into wildlife.json beside the run, and wildlife.yml there shows the run with its items in
    every command that takes --load-config.

    Args:
        load_config: The run's config.yml.
        text: Such as "a red deer grazing by the log".
        program: A scene program; its objects keep their distances and headings.
        photo: A photo, which the program reader looks at first.
        asset: By hand: name of an asset of the library.
        animal: By hand: a species of the table.
        action: What that animal does: stand, graze, sit, lie, walk, trot or gallop.
        at: Where, in the capture's coordinates: two numbers to stand on the ground, or three.
        yaw_deg: Heading; free for a sentence, 0 by hand.
        height_m: Height in metres; the usual one when left out.
        library_dir: Folder of your assets; yours (or LERF_WILD_ASSETS) when left out.
        seed: Which individual.
        data: Where the capture is now, if it has been moved.
        json_file: Where to write what was placed as JSON.
    """
    from lerf_wild.wildlife.settling import stands_surely

    _check_given((text, program, photo, asset, animal), at)
    console = Console()
    run = open_populated(load_config, data)
    scene = scene_of_run(run, library_dir)
    yaw = None if yaw_deg is None else float(np.radians(yaw_deg))
    if text is not None:
        placed = _by_text(console, run, scene, text, at, yaw, height_m, seed)
    elif program is not None or photo is not None:
        placed = _by_program(console, run, scene, program, photo, at)
    else:
        choice = _by_name(scene, asset, animal, action, seed)
        placed = _by_hand(run, scene, choice, at, yaw, height_m)
    for item in placed:
        say(console, f"{item.id}: {_where(item)}")
        if not stands_surely(scene, item):
            say(console, UNSURE.format(item.id))
    say(console, f"See it: lerf-wild view --load-config {run.folder / 'wildlife.yml'}")
    write_report(json_file, {"placed": [item_row(item) for item in placed]}, seed=seed)


def _check_given(ways: tuple[object, ...], at: tuple[float, ...]) -> None:
    given = sum(way is not None for way in ways)
    if given != 1:
        raise InputError(
            f"Say what to place by one of --text, --program, --photo, --asset or --animal, not "
            f"{given} of them."
        )
    check_place(at)


def check_place(at: tuple[float, ...]) -> None:
    """Raises InputError for an --at that is given and is no place."""
    if at and len(at) not in (2, 3):
        raise InputError(f"--at takes two or three numbers, not {len(at)}.")
    if not np.isfinite(at).all():
        raise InputError("--at takes finite numbers: a place in the capture's coordinates.")


def open_populated(load_config: Path, data: Path | None = None) -> "Run":
    """Opens a run with its items and makes sure that its wildlife.yml is there.

    Raises what `open_run` does.
    """
    import copy

    from lerf_wild.cli.quiet import quiet_nerfstudio
    from lerf_wild.cli.runs import open_run
    from lerf_wild.storage.atomic import write_text

    with quiet_nerfstudio():
        from lerf_wild.methods.wildlife.config import CONFIG_FILE, with_items
    written: list[str] = []

    def adapt(config: Any, folder: Path) -> Any:
        import yaml

        changed = with_items(config, folder)
        written.append(yaml.dump(copy.deepcopy(changed)))
        return changed

    run = open_run(load_config, data, adapt=adapt)
    target = run.folder / CONFIG_FILE
    if not target.is_file():
        try:
            write_text(target, written[0])
        except OSError as error:
            raise WildlifeError(f"{target}: can't be written ({error.strerror}).") from None
    return run


def scene_of_run(run: "Run", library_dir: Path | None = None) -> "Scene":
    """What settling needs of an open run; looks through the scene the first time."""
    from lerf_wild.assets.library import open_library
    from lerf_wild.wildlife.settling import Scene

    items = run.model.items
    library = items.library() if library_dir is None else open_library(library_dir)
    return Scene(items.stage, items.ground(), library)


def _by_text(
    console: Console,
    run: "Run",
    scene: "Scene",
    text: str,
    at: tuple[float, ...],
    yaw: float | None,
    height_m: float | None,
    seed: int,
) -> list["Item"]:
    from dataclasses import replace

    from lerf_wild.wildlife.items import Provenance
    from lerf_wild.wildlife.population_files import edit_population
    from lerf_wild.wildlife.sentences import read_sentences
    from lerf_wild.wildlife.settling import settle_each

    sentences = read_sentences(text)
    anchor = sentences[0].anchor
    if height_m is not None:
        sentences = tuple(replace(sentence, height_m=height_m) for sentence in sentences)
    choices = chosen_by_words(run, scene, sentences, seed)
    scene, aim = aim_of(console, run, scene, anchor, at)
    source = Provenance("text", text, anchor=anchor)
    anywhere = anchor is None and not at
    placed: list[Item] = []
    refused: list[str] = []

    def change(population: "Population") -> "Population":
        population, found, left = settle_each(
            scene, population, choices, aim, source, yaw, anywhere
        )
        placed.extend(found)
        refused.extend(left)
        return population

    edit_population(run.model.items.path, change)
    say_refused(console, refused)
    return placed


def say_refused(console: Console, refused: Sequence[str]) -> None:
    """Says what could not be placed, and why."""
    for line in refused:
        say(console, f"not placed: {line}")


def chosen_by_words(
    run: "Run", scene: "Scene", sentences: Sequence["Sentence"], seed: int = 0
) -> list["Choice"]:
    """What sentences ask for, of the library or the species table, as many as they say.

    Raises:
        WildlifeError: when neither has anything like it.
    """
    from lerf_wild.wildlife.choosing import choose_each

    return choose_each(sentences, scene.library, lambda words: _searched(run, scene, words), seed)


def aim_of(
    console: Console, run: "Run", scene: "Scene", anchor: str | None, at: tuple[float, ...] = ()
) -> tuple["Scene", "Aim"]:
    """Where it should go: the place, and the aim on its stage.

    That is as typed, by a thing (what the thing takes of the ground is taken then), or in the
    middle of the place.

    Raises:
        WildlifeError: when nothing looks like the thing.
    """
    from lerf_wild.wildlife.place_costs import Aim, middle_of
    from lerf_wild.wildlife.settling import by_thing

    if at:
        point_3 = scene.stage.from_world(np.array([[*at, 0.0][:3]], np.float64))[0]
        return scene, Aim(point_3[:2])
    if anchor is None:
        return scene, Aim(middle_of(scene.ground))
    with counting(console, f"looking for {anchor}", len(run.dataset("train"))) as advance:
        found = named_things(run, [anchor], advance)[0]
    if not found.present:
        raise WildlifeError(
            f"Nothing in the scene looks like {anchor[:60]!r} (score {found.score:.2f}).\n"
            "Name another thing, or say where with --at X Y."
        )
    say_others(console, found)
    return by_thing(scene, found.position, found.core_M3)


def say_others(console: Console, found: "Answer") -> None:
    """Says where else there is what a phrase fits about as well, if there is."""
    others = found.others()
    if others is not None:
        # `where` says this too, and has no --at.
        say(
            console, f"{others}.\nThe first is meant; `place` and `clear` take another by --at X Y."
        )


def named_things(
    run: "Run", names: Sequence[str], on_view: Callable[[], None] = lambda: None
) -> list["Answer"]:
    """Where things are, in the scene or among its items; one pass over the views for all."""
    from lerf_wild.cli.answers import answers
    from lerf_wild.cli.sampling import sample_scene
    from lerf_wild.cli.second_look import second_look

    asked = run.query(names)
    found = sample_scene(run, asked, ANCHOR_POINTS, on_view=on_view)
    return answers(run, found, second_look(run, asked, found))


def _searched(run: "Run", scene: "Scene", words: str) -> Any:
    from lerf_wild.assets.template_index import build_index
    from lerf_wild.assets.words import find_by_words

    encoder = run.model.encoder()
    index = build_index(scene.library, encoder)
    return find_by_words(index, scene.library, [words], encoder)[0]


def _by_program(
    console: Console,
    run: "Run",
    scene: "Scene",
    program: Path | None,
    photo: Path | None,
    at: tuple[float, ...],
) -> list["Item"]:
    from lerf_wild.program.files import read_program
    from lerf_wild.wildlife.items import Provenance
    from lerf_wild.wildlife.population_files import edit_population
    from lerf_wild.wildlife.settling import settle_program
    from lerf_wild.wildlife.uploads import read_photo

    read = read_program(program) if program is not None else read_photo(photo)
    source = Provenance("photo", photo.name) if photo else Provenance("program", program.name)
    aim, placed, refused = aim_of(console, run, scene, None, at)[1], [], []

    def change(population: "Population") -> "Population":
        population, found, left = settle_program(scene, population, read, aim, source)
        placed.extend(found)
        refused.extend(left)
        return population

    edit_population(run.model.items.path, change)
    say_refused(console, refused)
    return placed


def _by_name(
    scene: "Scene", asset: str | None, animal: str | None, action: str, seed: int
) -> "Choice":
    from lerf_wild.wildlife.choosing import choose_animal, choose_asset

    if asset is not None:
        return choose_asset(asset, scene.library)
    return choose_animal(str(animal), action, seed)


def _by_hand(
    run: "Run",
    scene: "Scene",
    choice: "Choice",
    at: tuple[float, ...],
    yaw: float | None,
    height_m: float | None,
) -> list["Item"]:
    from dataclasses import replace

    from lerf_wild.wildlife.population_files import edit_population
    from lerf_wild.wildlife.settling import settle_by_hand

    if not at:
        raise InputError("Say where with --at X Y, in the capture's coordinates.")
    if height_m is not None:
        choice = replace(choice, height_m=height_m)
    placed: list[Item] = []

    def change(population: "Population") -> "Population":
        population, item = settle_by_hand(scene, population, choice, at, yaw or 0.0)
        placed.append(item)
        return population

    edit_population(run.model.items.path, change)
    return placed


def _where(item: "Item") -> str:
    where = ", ".join(f"{value:.2f}" for value in item.position)
    return f"{item.what}, {item.height_m:.2f} m, at {where}"


def item_row(item: "Item") -> dict[str, object]:
    """An item as plain data."""
    import msgspec

    return {**msgspec.to_builtins(item), "what": item.what}
