"""From words to what is placed: an asset of the library, or an animal of the bundled quadruped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from lerf_wild.animals.species import Species
from lerf_wild.animals.words.phrases import kind_in
from lerf_wild.assets.library import Entry, Library
from lerf_wild.assets.search import Answer
from lerf_wild.assets.words import named_share
from lerf_wild.errors import WildlifeError
from lerf_wild.program.types import SceneObject
from lerf_wild.wildlife.counting import singular
from lerf_wild.wildlife.items import Animal
from lerf_wild.wildlife.looks import ANIMAL_LICENCE, animal_phrases
from lerf_wild.wildlife.sentences import Sentence

USUAL_HEIGHT_M = 1.0


@dataclass(frozen=True)
class Choice:
    """What is placed; exactly one of asset and animal is set."""

    asset: str | None
    animal: Animal | None
    height_m: float
    phrases: tuple[str, ...]
    licence: str
    score: float | None = None


def choose(
    sentence: Sentence, library: Library, search: Callable[[str], Answer], seed: int = 0
) -> Choice:
    """What a sentence asks for.

    An asset that is called exactly so is taken where nothing is said of what it does; else an
    animal of the species table; else what the library's search finds.

    Args:
        sentence: The sentence.
        library: The assets.
        search: Looks words up in the library; called only when they name nothing.
        seed: Which of several assets of one name, and the individual's marks and posture.

    Raises:
        WildlifeError: when the library has nothing like it.
    """
    sentence = _of_one(sentence)
    species = kind_in(sentence.item)
    exact = [entry for entry in library if named_share(sentence.item, entry) == 1.0]
    moves = sentence.action not in (None, "stand")
    if species is not None and (moves or not exact):
        return _animal(sentence, species, seed)
    if exact:
        return _asset(exact[seed % len(exact)], sentence, 1.0)
    found = search(sentence.item)
    if found.best is None or not found.is_known:
        near = (
            "" if found.best is None else f" (nearest: {found.best.name}, {found.best.score:.2f})"
        )
        raise WildlifeError(
            f"Nothing in the library is like {sentence.item[:60]!r}{near}.\n"
            "Add it with `lerf-wild assets add`, or name one with --asset."
        )
    return _asset(library.entry(found.best.name), sentence, found.best.score)


def choose_each(
    sentences: Sequence[Sentence],
    library: Library,
    search: Callable[[str], Answer],
    seed: int = 0,
) -> list[Choice]:
    """As many as sentences ask for, each an individual of its own; raises what `choose` does."""
    known = cache(search)
    return [
        choose(sentence, library, known, seed + number)
        for sentence in sentences
        for number in range(sentence.count)
    ]


def _of_one(sentence: Sentence) -> Sentence:
    """The sentence about one of several: wolves are of the table's wolf."""
    if kind_in(sentence.item) is not None:
        return sentence
    name = singular(sentence.item)
    is_plural = sentence.count > 1 or kind_in(name) is not None
    return replace(sentence, item=name) if is_plural else sentence


def choose_object(item: SceneObject, library: Library) -> Choice:
    """What an object of a scene program is.

    Raises:
        WildlifeError: when it names nothing that the library has.
    """
    if item.asset is not None and item.asset in library.entries:
        entry = library.entry(item.asset)
    else:
        words = (item.asset or item.species or item.kind or "").split(".")[0]
        ranked = sorted(library, key=lambda one: -named_share(words, one))
        if not words or not ranked or named_share(words, ranked[0]) == 0.0:
            raise WildlifeError(
                f"The library has nothing for the program's object {words[:60]!r}; add it with "
                "`lerf-wild assets add`."
            )
        entry = ranked[0]
    chosen = _asset(entry, None, item.confidence)
    return replace(chosen, height_m=item.height_m)


def choose_asset(name: str, library: Library) -> Choice:
    """An asset by its name; raises AssetError when there is none."""
    return _asset(library.entry(name), None, None)


def choose_animal(words: str, action: str, seed: int = 0) -> Choice:
    """An animal by its species.

    Raises:
        WildlifeError: when the table has no such animal.
    """
    species = kind_in(words)
    if species is None:
        raise WildlifeError(
            f"The species table has no {words[:60]!r}; `lerf-wild animal show --help` tells more."
        )
    return _animal(Sentence(words, action, None, None), species, seed)


def _asset(entry: Entry, sentence: Sentence | None, score: float | None) -> Choice:
    wanted = None if sentence is None else sentence.height_m
    height = wanted or entry.height_m
    return Choice(entry.name, None, height, entry.phrases, entry.licence, score)


def _animal(sentence: Sentence, species: Species, seed: int) -> Choice:
    from lerf_wild.animals.words.shapes import load_shape_flow

    betas = load_shape_flow().betas_of(sentence.item)
    animal = Animal(
        species=species.name,
        action=sentence.action or "stand",
        phase=0.25,
        seed=seed,
        betas=tuple(round(float(value), 4) for value in betas),
    )
    usual = species.height_m or USUAL_HEIGHT_M
    height = usual if sentence.height_m is None else sentence.height_m
    return Choice(None, animal, height, animal_phrases(animal), ANIMAL_LICENCE, 1.0)
