"""Which phrases hold of an object: its own, their synonyms, and the words for its wider kind."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from lerf_wild.assets import catalogue
from lerf_wild.assets.library import starter_library
from lerf_wild.synth.terrain import STUFF

SYNONYMS: dict[str, tuple[str, ...]] = {
    "fox": ("vulpes", "vixen", "carnivore"),
    "wolf": ("wild dog", "canine", "carnivore"),
    "bear": ("grizzly", "carnivore"),
    "wild boar": ("boar", "wild pig", "hog"),
    "deer": ("cervid", "herbivore"),
    "red deer": ("stag", "animal with antlers"),
    "roe deer fawn": ("fawn", "baby deer"),
    "zebra": ("striped animal", "striped horse", "herbivore"),
    "leopard": ("spotted cat", "big cat", "carnivore", "spotted carnivore"),
    "rabbit": ("hare", "bunny", "herbivore"),
    "sheep": ("woolly animal", "lamb", "herbivore"),
    "cow": ("cattle", "bull", "herbivore"),
    "horse": ("pony", "herbivore"),
    "heron": ("wading bird",),
    "egret": ("wading bird",),
    "raven": ("crow", "black bird"),
    "flamingo": ("pink bird",),
    "duck": ("mallard", "waterfowl"),
    "rock": ("stone", "boulder"),
    "boulder": ("rock", "stone"),
    "mossy rock": ("moss",),
    "tree": ("a tree", "plant"),
    "pine tree": ("pine", "conifer", "spruce", "evergreen"),
    "birch tree": ("birch", "white trunk"),
    "oak tree": ("oak", "broadleaf tree"),
    "dead tree": ("bare tree", "leafless tree"),
    "fallen log": ("log", "fallen tree", "dead wood", "tree trunk on the ground"),
    "tree stump": ("stump", "cut tree"),
    "mushroom": ("toadstool", "fungus"),
    "flowers": ("flower", "wildflowers"),
    "shrub": ("bush",),
    "bush": ("shrub",),
    "reeds": ("tall grass", "rushes"),
    "fern": ("ferns",),
    "cactus": ("cacti",),
    "agave": ("succulent",),
    "water": ("lake", "pool", "water hole"),
    "grass": ("green grass", "lawn"),
    "sand": ("desert",),
    "sky": ("clouds", "blue sky"),
    "soil": ("earth", "bare ground"),
    "fallen leaves": ("leaf litter", "forest floor"),
    "gravel": ("pebbles",),
}
"""Words that a person may use instead; all of them are learnt by wild-clip."""

CANONICAL = ("object", "things", "stuff", "texture")


def with_synonyms(phrases: Iterable[str]) -> tuple[str, ...]:
    """The phrases and their synonyms, each once, in order."""
    found: dict[str, None] = {}
    for phrase in phrases:
        found.setdefault(phrase)
        for other in SYNONYMS.get(phrase, ()):
            found.setdefault(other)
    return tuple(found)


LOOSE_NOUNS = ("carnivore", "herbivore", "bird", "boulder", "rock", "animal")
"""Kinds whose colour words are a matter of taste: "brown carnivore" is no safe "absent" where a
bear stands."""


def surely_absent(known: Iterable[str], named: Iterable[str]) -> tuple[str, ...]:
    """Those known phrases that a person would not accept for any of the named things, sorted."""
    held = set(with_synonyms(named))
    doubtful = tuple(f" {noun}" for noun in LOOSE_NOUNS if noun in held)
    return tuple(sorted(p for p in set(known) - held if not p.endswith(doubtful or ("\0",))))


def others_than(phrase: str) -> tuple[str, ...]:
    """Names of the bundled things for which what a phrase names might be taken, sorted: not of
    those that are called so, nor its own synonyms."""
    own = {phrase, *with_synonyms([phrase])}
    return tuple(
        sorted(
            set(_bundled()) - own - {name for name, all_ in _bundled().items() if phrase in all_}
        )
    )


def is_name(phrase: str) -> bool:
    """Whether one of the bundled things goes by that name, or a kind of them does."""
    return any(phrase in all_ for all_ in _bundled().values())


@cache
def _bundled() -> dict[str, frozenset[str]]:
    """All that each thing is called, by its first name."""
    things = (*catalogue.CATALOGUE.values(), *starter_library())
    called: dict[str, frozenset[str]] = {}
    for one in things:
        name = one.phrases[0]
        called[name] = called.get(name, frozenset()) | {*with_synonyms(one.phrases)}
    return called


def vocabulary() -> tuple[str, ...]:
    """Every phrase of the catalogue, of the ground and sky, and their synonyms, sorted."""
    phrases: set[str] = set()
    for entry in catalogue.CATALOGUE.values():
        phrases.update(with_synonyms(entry.phrases))
    for names in STUFF.values():
        phrases.update(with_synonyms(names))
    return tuple(sorted(phrases))
