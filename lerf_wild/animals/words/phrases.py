"""Phrases that describe animals by kind and proportions, from templates.

A phrase of a `Recipe` names its kind and each changed proportion. There are several ways to say
each thing; some are kept out of training (`HELD_OUT_WAYS`), to see whether others stand in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lerf_wild.animals.species import Species, load_species
from lerf_wild.animals.words.pairs import ANY_KIND, Recipe

SIZES: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    # proportion: (word and adjective of more), (word and adjective of less)
    "leg": (("long legs", "long-legged"), ("short legs", "short-legged")),
    "neck": (("a long neck", "long-necked"), ("a short neck", "short-necked")),
    "tail": (("a long tail", "long-tailed"), ("a short tail", "short-tailed")),
    "body": (("a long body", "long-bodied"), ("a short body", "short-bodied")),
    "head": (("a big head", "big-headed"), ("a small head", "small-headed")),
    "snout": (("a long snout", "long-snouted"), ("a short snout", "short-snouted")),
    "ear": (("big ears", "big-eared"), ("small ears", "small-eared")),
}
GIRTH = {2: ("very stout", "very heavy"), 1: ("stout", "heavy"), -1: ("slender", "lean")}
GIRTH |= {-2: ("very slender", "very lean")}
OPENINGS = ("", "a photo of ", "a picture of ")
HELD_OUT_OPENINGS = ("an image of ", "here stands ", "this is ")
FORMS = ("before", "with", "having")
HELD_OUT_FORM = "whose"

COATS = ("brown", "grey", "black", "white", "spotted", "dark", "pale", "shaggy", "smooth", "dusty")
AGES = ("adult", "young", "old", "male", "female", "wild", "healthy", "large", "small")
SCENES = ("in grass", "in snow", "in a forest", "on sand", "at a river", "seen from the side")
DOING = ("standing", "walking", "resting", "running", "grazing")
APPEARANCES = 128
"""Descriptions of each species, as many as GenZoo's."""

OTHER_NAMES: dict[str, tuple[str, ...]] = {
    **{"domestic cat": ("cat",), "domestic pig": ("pig",), "wild boar": ("boar",)},
    **{"labrador retriever": ("labrador", "dog"), "shepherd dog": ("german shepherd",)},
    **{"brown bear": ("bear", "grizzly"), "cow": ("cattle",), "wolf": ("grey wolf",)},
    **{"red fox": ("fox",), "red deer": ("deer", "stag"), "dromedary": ("camel",)},
    **{"white rhinoceros": ("rhino", "rhinoceros"), "hippopotamus": ("hippo",)},
    **{"puma": ("cougar", "mountain lion"), "reindeer": ("caribou",), "horse": ("mare",)},
    **{"gazelle": ("antelope",), "spotted hyena": ("hyena",), "zebu": ("brahman cow",)},
    ANY_KIND: ("quadruped", "mammal"),
}
"""What else a kind is called."""


def kind_names(kind: str) -> tuple[str, ...]:
    """All names that a kind goes by, its own first."""
    return (kind, *OTHER_NAMES.get(kind, ()))


def kind_in(text: str) -> Species | None:
    """The species of the own table that a text names, by the longest name in it, if any."""
    padded = f" {_plain(text)} "
    best: tuple[int, Species] | None = None
    for species in load_species():
        for name in (*kind_names(species.name), species.scientific.lower()):
            if f" {_plain(name)} " in padded and (best is None or len(name) > best[0]):
                best = (len(name), species)
    return None if best is None else best[1]


def phrase_of(recipe: Recipe, rng: np.random.Generator, held_out: bool = False) -> str:
    """One way to say a recipe; ``held_out`` chooses a way that training never meets."""
    name = str(rng.choice(kind_names(recipe.kind)))
    before, after = [], []
    for factor, degree in recipe.degrees.items():
        form = HELD_OUT_FORM if held_out else str(rng.choice(FORMS))
        if factor == "girth":
            before.append(str(rng.choice(GIRTH[degree])))
        elif form == "before":
            before.append(_graded(SIZES[factor][degree < 0][1], degree))
        else:
            after.append((form, _graded(SIZES[factor][degree < 0][0], degree)))
    core = ", ".join(before) + (" " if before else "") + name
    opening = str(rng.choice(HELD_OUT_OPENINGS if held_out else OPENINGS))
    return opening + _with_article(core) + _ending(after, held_out)


def appearances(species: Species, rng: np.random.Generator, count: int = APPEARANCES) -> list[str]:
    """Descriptions of how animals of a species look, all different where there are enough."""
    found: dict[str, None] = {}
    while len(found) < count:
        name = str(rng.choice(kind_names(species.name)))
        words = [str(rng.choice(AGES)), str(rng.choice(COATS))]
        kept = [word for word in words if rng.random() < 0.6]
        tail = [str(rng.choice(DOING))] * (rng.random() < 0.5)
        tail += [str(rng.choice(SCENES))] * (rng.random() < 0.6)
        opening = str(rng.choice(OPENINGS))
        found[" ".join([opening + _with_article(" ".join([*kept, name])), *tail])] = None
    return list(found)


def _ending(after: Sequence[tuple[str, str]], held_out: bool) -> str:
    if not after:
        return ""
    things = " and ".join(thing for _, thing in after)
    if held_out:
        return f"; it has got {things}"
    return f" {after[0][0]} {things}"


def _graded(words: str, degree: int) -> str:
    if abs(degree) < 2:
        return words
    return f"a very {words[2:]}" if words.startswith("a ") else f"very {words}"


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _plain(text: str) -> str:
    return " ".join("".join(c if c.isalnum() or c == "'" else " " for c in text.lower()).split())
