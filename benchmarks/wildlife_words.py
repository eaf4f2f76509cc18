"""Thirty sentences about what to place, on trained habitats whose truth is known.

Each run is given its share of the sentences, one after the other, so that items stand in each
other's way too. The named things are the habitat's own, taken in turn. Of every item is asked:

    right_kind     it is what the sentence says, does what it says and has the height it says
    near           its outline, seen from above, is within 0.5 m of that of the named thing, or of
                   another that goes by that name too (`synth.taxonomy`: a leopard is also a spotted
                   carnivore)
    grounded       the level on which it stands is within 2 cm of the true ground's mean height
                   under its soles
    free           no triangle of it goes through one of the habitat's things or of another item,
                   and none of these encloses it
    all_right      all four
    placed         sentences that were not refused

Run with `python -m benchmarks.wildlife_words --runs RUN RUN ... --json FILE`.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from benchmarks.wildlife_truth import same_habitat
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.cli.wildlife import named_things, open_populated, scene_of_run
from lerf_wild.errors import LerfWildError
from lerf_wild.synth.habitat import Habitat
from lerf_wild.synth.taxonomy import with_synonyms
from lerf_wild.wildlife.choosing import choose
from lerf_wild.wildlife.items import Item, Provenance
from lerf_wild.wildlife.population import Population
from lerf_wild.wildlife.sentences import read_sentence
from lerf_wild.wildlife.settling import Scene, by_thing, settle, standing_of

NEAR_M, GROUND_M = 0.5, 0.02
SOLE_M = 0.03
"""Vertices less than this over the lowest one are an item's soles."""
MIN_VIEWS = 60
"""Things that fewer views show are not asked for: no one would call them the scene's."""


@dataclass(frozen=True)
class Wish:
    """A sentence with a gap for the named thing, and what has to come of it."""

    text: str
    names: tuple[str, ...]
    """The item goes by one of these."""
    action: str | None = None
    height_m: float | None = None


WISHES = (
    Wish("a red deer grazing by the {}", ("red deer",), "graze"),
    Wish("put a grey wolf next to the {}", ("grey wolf",)),
    Wish("a raven near the {}", ("raven",)),
    Wish("A zebra standing beside the {}.", ("zebra",)),
    Wish("a fox sitting in front of the {}", ("fox",), "sit"),
    Wish("a brown bear walking behind the {}", ("brown bear",), "walk"),
    Wish("a fern by the {}", ("fern",)),
    Wish("a rabbit at the foot of the {}", ("rabbit",)),
    Wish("a 40 cm tall mossy rock close to the {}", ("mossy rock",), None, 0.4),
    Wish("some yellow flowers around the {}", ("yellow flowers",)),
    Wish("there is a white egret next to the {}", ("egret",)),
    Wish("a tiger lying under the {}", ("tiger",), "lie"),
    Wish("a sheep feeding alongside the {}", ("sheep",), "graze"),
    Wish("one cat running near the {}", ("domestic cat", "cat"), "gallop"),
    Wish("please add a flamingo by the {}", ("flamingo",)),
    Wish("a 1.1 m high brown cow beside the {}", ("brown cow", "cow"), None, 1.1),
    Wish("reeds near the {}", ("reeds",)),
    Wish("a badger next to the {}", ("badger",), "stand"),
    Wish("a wild boar trotting by the {}", ("wild boar",), "trot"),
    Wish("a lynx against the {}", ("lynx",), "stand"),
    Wish("a cactus not far from the {}", ("cactus",)),
    Wish("add a leopard resting by the {}", ("leopard",), "lie"),
    Wish("a white horse behind the {}", ("white horse", "horse")),
    Wish("a mallard duck near the {}", ("mallard duck", "mallard")),
    Wish("I would like a spotted fawn by the {}", ("spotted fawn", "fawn")),
    Wish("an arctic fox sleeping beside the {}", ("arctic fox",), "lie"),
    Wish("a goat walking along the {}", ("goat",), "walk"),
    Wish("a grey rock in front of the {}", ("grey rock",)),
    Wish("a wolf running past the {}", ("wolf",), "gallop"),
    Wish("purple flowers in the shade of the {}", ("purple flowers",)),
)


@dataclass(frozen=True)
class Outcome:
    """What came of a sentence."""

    text: str
    item: str | None
    why: str
    """Why it was refused."""
    right_kind: bool = False
    gap_m: float = float("nan")
    ground_m: float = float("nan")
    crossings: int = 0

    def figures(self) -> dict[str, bool]:
        """Which of the four conditions hold."""
        held = {
            "right_kind": self.right_kind,
            "near": self.gap_m <= NEAR_M,
            "grounded": abs(self.ground_m) <= GROUND_M,
            "free": self.item is not None and self.crossings == 0,
        }
        return {**held, "all_right": all(held.values()), "placed": self.item is not None}


def main(runs: tuple[Path, ...], json_file: JsonFile = None) -> None:
    """Places what the sentences say and writes the figures.

    Args:
        runs: Folders or config.yml of runs that were trained on habitats.
        json_file: Where to write the figures.
    """
    shares = np.array_split(np.arange(len(WISHES)), len(runs))
    outcomes: list[Outcome] = []
    for path, share in zip(runs, shares):
        outcomes += list(measure_run(path, [WISHES[k] for k in share]))
    figures = summary(outcomes)
    print(json.dumps(figures, indent=1))
    write_report(json_file, figures | {"runs": len(runs)})


def measure_run(path: Path, wishes: Sequence[Wish]) -> Iterator[Outcome]:
    """The outcomes of some sentences in a run; nothing is written."""
    run = open_populated(path)
    # Not the items of the run's own file: each habitat is taken as it was captured.
    run.model.items.path = Path(tempfile.gettempdir()) / "lerf-wild-words" / "wildlife.json"
    habitat, scene = same_habitat(run.scene), scene_of_run(run)
    things = known_things(run.scene)
    named = [things[k % len(things)] for k in range(len(wishes))]
    found = named_things(run, list(dict.fromkeys(named)))
    where = {one.phrase: one for one in found}
    population = Population()
    for wish, thing in zip(wishes, named):
        text = wish.text.format(thing)
        try:
            population, item = placed(scene, population, text, where)
        except LerfWildError as error:
            outcome = Outcome(text, None, " ".join(str(error).split()))
        else:
            outcome = judged(wish, text, item, thing, habitat, scene, population)
        print(outcome, flush=True)
        yield outcome


def known_things(scene: Path) -> list[str]:
    """What the habitat's well-seen things are called, each name once."""
    listed = json.loads((scene / "scene.json").read_text())["instances"]
    return list(dict.fromkeys(one["phrases"][0] for one in listed if one["views"] >= MIN_VIEWS))


def placed(
    scene: Scene, population: Population, text: str, where: dict[str, Any]
) -> tuple[Population, Item]:
    """Places what a sentence says, as the command does, by what is known of the named things."""
    sentence = read_sentence(text)
    choice = choose(sentence, scene.library, _no_search)
    found = where.get(str(sentence.anchor))
    if found is None or not found.present:
        raise LerfWildError(f"{sentence.anchor!r} was not found.")
    aimed, aim = by_thing(scene, found.position, found.core_M3)
    source = Provenance("text", text, anchor=sentence.anchor)
    return settle(aimed, population, choice, aim, source)


def judged(
    wish: Wish,
    text: str,
    item: Item,
    thing: str,
    habitat: Habitat,
    scene: Scene,
    population: Population,
) -> Outcome:
    """What is true of a placed item."""
    standing = {one.item.id: one for one in standing_of(scene, population)}
    own = standing.pop(item.id)
    vertices = scene.stage.to_world(own.vertices_V3)
    bodies = [(one.vertices(), one.asset.faces_F3) for one in habitat.items]
    bodies += [
        (scene.stage.to_world(one.vertices_V3), one.look.faces_F3) for one in standing.values()
    ]
    named = [one.vertices() for one in habitat.items if thing in with_synonyms(one.asset.phrases)]
    soles = vertices[vertices[:, 2] < vertices[:, 2].min() + SOLE_M]
    rise = item.position[2] - habitat.terrain.height(soles[:, :2].astype(np.float32))
    return Outcome(
        text,
        item.id,
        "",
        _is_right(wish, item),
        min(float(gap(vertices[:, :2], points[:, :2])) for points in named),
        float(np.mean(rise)),
        sum(crossings((vertices, own.look.faces_F3), body) for body in bodies),
    )


def _is_right(wish: Wish, item: Item) -> bool:
    called = {*item.phrases, str(item.asset).replace("_", " ")}
    does = None if item.animal is None else item.animal.action
    is_high = wish.height_m is None or abs(item.height_m - wish.height_m) < 1e-6
    return bool(called & set(wish.names)) and wish.action in (None, does) and is_high


def gap(first_N2: NDArray, second_M2: NDArray) -> float:
    """Least distance of two sets of points."""
    return float(cKDTree(second_M2).query(first_N2)[0].min())


def crossings(first: tuple[NDArray, NDArray], second: tuple[NDArray, NDArray]) -> int:
    """Edges of one mesh that go through a triangle of the other, and vertices of the first that
    the other encloses; 0 where they are apart."""
    low = np.maximum(first[0].min(axis=0), second[0].min(axis=0))
    high = np.minimum(first[0].max(axis=0), second[0].max(axis=0))
    if (low > high).any():
        return 0
    return _through(*first, *second) + _through(*second, *first) + _enclosed(first[0], second)


def _through(vertices: NDArray, faces: NDArray, others: NDArray, other_faces: NDArray) -> int:
    pairs = np.unique(np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    starts, ends = vertices[pairs[:, 0]], vertices[pairs[:, 1]]
    lengths = np.linalg.norm(ends - starts, axis=1)
    is_long = lengths > 1e-9
    towards = (ends - starts)[is_long] / lengths[is_long, None]
    scene = rtcore_scene.EmbreeScene()
    mesh = TriangleMesh(scene, np.float32(others), np.ascontiguousarray(other_faces, np.int32))
    found = scene.run(np.float32(starts[is_long]), np.float32(towards), output=True)
    del mesh
    return int(((found["primID"] >= 0) & (found["tfar"] < lengths[is_long])).sum())


def _enclosed(vertices: NDArray, body: tuple[NDArray, NDArray]) -> int:
    """Of a hundred vertices, those from which the body is met upwards and to all four sides."""
    some = np.float32(vertices[:: len(vertices) // 100 + 1])
    scene = rtcore_scene.EmbreeScene()
    mesh = TriangleMesh(scene, np.float32(body[0]), np.ascontiguousarray(body[1], np.int32))
    inside = np.ones(len(some), bool)
    for towards in ((0, 0, 1), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0)):
        rays = np.tile(np.float32(towards), (len(some), 1))
        inside &= scene.run(some, rays, query="OCCLUDED") == 0
    del mesh
    return int(inside.sum())


def _no_search(words: str) -> Any:
    raise LerfWildError(f"{words!r} is called so by nothing of the library.")


def summary(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Shares of the sentences, and the distances of those that were placed."""
    rows = [one.figures() for one in outcomes]
    found: dict[str, float] = {name: float(np.mean([r[name] for r in rows])) for name in rows[0]}
    good = [one for one in outcomes if one.item is not None]
    found["sentences"] = len(outcomes)
    for name, values in (
        ("gap_m", [one.gap_m for one in good]),
        ("ground_m", [abs(one.ground_m) for one in good]),
    ):
        found[f"{name}_median"] = float(np.median(values)) if values else float("nan")
        found[f"{name}_highest"] = float(np.max(values)) if values else float("nan")
    return found


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.FlagConversionOff,))
