"""Scene programs as JSON: the names of the types' fields, embeddings as base64 of float16."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from lerf_wild.errors import SceneProgramError
from lerf_wild.program.statements import VERSION
from lerf_wild.program.tokens import MAX_STATEMENTS
from lerf_wild.program.types import (
    OBJECT_FIELDS,
    SETTING_FIELDS,
    Body,
    Embedding,
    Program,
    SceneObject,
    Settings,
)

FORMAT = "scene-program"
_BODY_FIELDS = tuple(item.name for item in fields(Body))


def to_json(program: Program) -> dict[str, object]:
    """The program as plain data that `from_json` reads back exactly; empty slots are left out."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "settings": _plain(program.settings, SETTING_FIELDS),
        "objects": [_plain(item, OBJECT_FIELDS) for item in program.objects],
    }


def from_json(content: object) -> Program:
    """The program that plain data describes.

    Raises:
        SceneProgramError: naming the place, for anything that `to_json` would not write.
    """
    top = _mapping(content, "program", ("format", "version", "settings", "objects"))
    if top.get("format") != FORMAT or top.get("version") != VERSION:
        raise SceneProgramError(f'"format": "{FORMAT}" and "version": {VERSION} are expected.')
    objects = top.get("objects", [])
    if not isinstance(objects, list) or len(objects) > MAX_STATEMENTS:
        raise SceneProgramError(f"objects: a list of at most {MAX_STATEMENTS} is expected.")
    settings = _read(top.get("settings", {}), "settings", SETTING_FIELDS, Settings)
    read = [
        _read(item, f"objects[{index}]", OBJECT_FIELDS, SceneObject)
        for index, item in enumerate(objects)
    ]
    return Program(settings, tuple(read))  # type: ignore[arg-type]


def _plain(owner: object, names: tuple[str, ...]) -> dict[str, object]:
    found = {}
    for name in names:
        value = getattr(owner, name)
        if isinstance(value, Embedding):
            value = value.text()
        elif isinstance(value, Body):
            value = _plain(value, _BODY_FIELDS)
        elif isinstance(value, tuple):
            value = list(value)
        if value is not None:
            found[name] = value
    return found


def _read(content: object, place: str, names: tuple[str, ...], make: type) -> object:
    values = dict(_mapping(content, place, names))
    try:
        for name in ("ground", "appearance"):
            if values.get(name) is not None:
                values[name] = _embedding(values[name])
        if values.get("body") is not None:
            body = _mapping(values["body"], "body", _BODY_FIELDS)
            values["body"] = Body(**body)  # type: ignore[arg-type]
        return make(**values)
    except SceneProgramError as error:
        raise SceneProgramError(f"{place}: {error}") from None
    except TypeError:
        raise SceneProgramError(f"{place}: a value is missing or of the wrong type.") from None


def _embedding(value: object) -> Embedding:
    if not isinstance(value, str):
        raise SceneProgramError("an embedding is base64 text.")
    return Embedding.from_text(value)


def _mapping(content: object, place: str, names: tuple[str, ...]) -> Mapping[str, object]:
    if not isinstance(content, Mapping):
        raise SceneProgramError(f"{place}: an object in curly brackets is expected.")
    unknown = [str(name)[:40] for name in content if name not in names]
    if unknown:
        raise SceneProgramError(f"{place}: there is no {unknown[0]!r}; known are {names}.")
    return content
