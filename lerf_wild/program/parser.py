"""Reads scene programs: an allow-list of statements, never `eval`, errors with line numbers.

    program   = [header] { statement }            one or more statements a line, none over two lines
    header    = "# scene-program" version
    statement = scene-name "(" number ")"                                ten of them, see statements
              | "set_camera" "(" number { "," name "=" value } ")"      height, fov: optional
              | "set_ground" "(" clip { "," "name" "=" string } ")"
              | add-name "(" name "=" value { "," name "=" value } ")"
    clip      = "[CLIP]" | string of base64 float16

A last statement that the text cuts off, as language models do, is left out with a warning.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from lerf_wild.errors import SceneProgramError
from lerf_wild.program.statements import (
    BY_NAME,
    GROUND,
    GROUND_ALIASES,
    HEADER,
    QUALIFIED_ADDS,
    STATEMENTS,
    VERSION,
)
from lerf_wild.program.tokens import (
    MAX_STATEMENTS,
    MAX_TOKENS,
    CutOff,
    Token,
    lines_of,
    tokens_of,
)
from lerf_wild.program.types import Body, Embedding, Program, SceneObject, Settings

_HEADER = re.compile(rf"{HEADER}\s+([0-9]{{1,6}})\s*$")
MAX_LIST = 512


class SceneProgramWarning(UserWarning):
    """Part of a scene program was missing and has been left out or filled in."""


@dataclass(frozen=True)
class Parsed:
    """A program and what had to be put right to read it."""

    program: Program
    notes: tuple[str, ...] = ()


def parse(text: str) -> Program:
    """The program that a text writes; each thing that had to be put right is a warning.

    Raises:
        SceneProgramError: naming the line, for anything but statements of the language.
    """
    parsed = parse_with_notes(text)
    for note in parsed.notes:
        warnings.warn(note, SceneProgramWarning, stacklevel=2)
    return parsed.program


def parse_with_notes(text: str) -> Parsed:
    """Like `parse`, with the notes in the result instead of warnings."""
    lines = lines_of(text)
    last = max((number for number, line in enumerate(lines) if line.strip()), default=-1)
    state = _State()
    for number, line in enumerate(lines[: last + 1]):
        try:
            if number == 0 and line.startswith(HEADER):
                _check_version(line)
            elif line.strip():
                _read_line(state, line)
        except CutOff:
            if number != last:
                raise SceneProgramError(
                    f"Line {number + 1}: the statement does not end on its line."
                ) from None
            state.notes.append(f"Line {number + 1} is cut off; its last statement is left out.")
        except SceneProgramError as error:
            raise SceneProgramError(f"Line {number + 1}: {error}") from None
    return state.finished()


@dataclass
class _State:
    """What has been read so far."""

    values: dict[str, object] = field(default_factory=dict)
    objects: list[SceneObject] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    statements: int = 0
    tokens: int = 0

    def count(self, statements: int, tokens: int) -> None:
        """Keep the books; the caps bound the work of any text."""
        self.statements += statements
        self.tokens += tokens
        if self.statements > MAX_STATEMENTS or self.tokens > MAX_TOKENS:
            raise SceneProgramError(
                f"more than {MAX_STATEMENTS} statements or {MAX_TOKENS} tokens; cut the program."
            )

    def once(self, name: str) -> None:
        """Note a scene statement; a second one of its name is an error."""
        if name in self.seen:
            raise SceneProgramError(f"{name} is there a second time.")
        self.seen.add(name)

    def finished(self) -> Parsed:
        """The program, with a note about the statements that are missing."""
        names = [statement.name for statement in STATEMENTS] + [GROUND]
        missing = [name for name in names if name not in self.seen]
        if missing:
            self.notes.append(f"Not set, so left at their defaults: {', '.join(missing)}.")
        settings = Settings(**self.values)  # type: ignore[arg-type]
        return Parsed(Program(settings, tuple(self.objects)), tuple(self.notes))


class _Reader:
    """The tokens of one line, cut one by one as they are taken: the first that is wrong ends it."""

    def __init__(self, tokens: Iterator[Token]) -> None:
        self.tokens, self.is_whole = tokens, True
        self.ahead: Token | None = None
        self.step()

    def step(self) -> None:
        """Go on to the next token; a line that ends within one isn't whole."""
        self.ahead = None
        try:
            self.ahead = next(self.tokens, None)
        except CutOff:
            self.is_whole = False

    def peek(self) -> Token | None:
        """The next token, or None at the end of the line."""
        return self.ahead

    def take(self, kind: str, what: str) -> str:
        """The text of the next token, which must be of a kind."""
        token = self.peek()
        if token is None:
            raise CutOff
        if token.kind != kind:
            raise SceneProgramError(f"{what} is expected, not {token.text[:40]}.")
        self.step()
        return token.text

    def mark(self, text: str) -> None:
        """Take a mark such as a bracket."""
        found = self.take("mark", repr(text))
        if found != text:
            raise SceneProgramError(f"{text!r} is expected, not {found!r}.")

    def is_mark(self, text: str) -> bool:
        """Take a mark if it comes next."""
        token = self.peek()
        found = token is not None and token.kind == "mark" and token.text == text
        if found:
            self.step()
        return found


def _check_version(line: str) -> None:
    found = _HEADER.match(line)
    if found is None:
        raise SceneProgramError(f"the header reads {HEADER!r} and a version, such as {VERSION}.")
    if int(found[1]) != VERSION:
        raise SceneProgramError(
            f"the program has version {int(found[1])}; this lerf-wild reads version {VERSION}."
        )


def _read_line(state: _State, line: str) -> None:
    reader = _Reader(_counted(state, line))
    while reader.peek() is not None:
        state.count(1, 0)
        _read_statement(state, reader)
    if not reader.is_whole:
        raise CutOff


def _counted(state: _State, line: str) -> Iterator[Token]:
    for token in tokens_of(line):
        state.count(0, 1)
        yield token


def _read_statement(state: _State, reader: _Reader) -> None:
    name = reader.take("name", "the name of a statement")
    if name not in _READERS:
        if reader.peek() is None and any(known.startswith(name) for known in _READERS):
            raise CutOff
        raise SceneProgramError(f"there is no statement {name[:40]!r}.")
    reader.mark("(")
    _READERS[name](state, reader, name)


def _read_scene(state: _State, reader: _Reader, name: str) -> None:
    statement = BY_NAME[name]
    value = statement.check(_number(reader))
    options = _read_options(reader, _CAMERA_SLOTS if statement.name == "set_camera" else {})
    state.once(statement.name)
    state.values |= {statement.field: value, **options}


def _read_ground(state: _State, reader: _Reader, name: str) -> None:
    embedding = _embedding(reader)
    options = _read_options(reader, {"name": ("ground_name", _string)})
    state.once(GROUND)
    state.values |= {"ground": embedding, **options}


def _read_add(state: _State, reader: _Reader, name: str) -> None:
    values = _read_options(reader, _SLOTS, is_first=True)
    missing = [slot for slot in _PAPER_SLOTS if _SLOTS[slot][0] not in values]
    if missing:
        raise SceneProgramError(f"{name} lacks {', '.join(missing)}.")
    if name in QUALIFIED_ADDS:
        if values.setdefault("kind", QUALIFIED_ADDS[name]) != QUALIFIED_ADDS[name]:
            raise SceneProgramError(f"{name} has the kind {values['kind']!r}.")
    state.objects.append(SceneObject(**values))  # type: ignore[arg-type]


Slot = tuple[str, Callable[["_Reader"], object]]


def _read_options(
    reader: _Reader, slots: dict[str, Slot], is_first: bool = False
) -> dict[str, object]:
    """The keyword arguments up to the closing bracket."""
    values: dict[str, object] = {}
    while not reader.is_mark(")"):
        if not is_first:
            reader.mark(",")
        is_first = False
        key = reader.take("name", "the name of a slot")
        if key not in slots:
            if reader.peek() is None and any(known.startswith(key) for known in slots):
                raise CutOff
            raise SceneProgramError(f"there is no slot {key[:40]!r} here.")
        field_name, read = slots[key]
        if field_name in values:
            raise SceneProgramError(f"{key} is there a second time.")
        reader.mark("=")
        values[field_name] = read(reader)
    return values


def _number(reader: _Reader) -> float:
    return float(reader.take("number", "a number"))


def _whole(reader: _Reader) -> int:
    text = reader.take("number", "a whole number")
    if not text.lstrip("+").isdigit():
        raise SceneProgramError(f"a whole number is expected, not {text[:40]}.")
    return int(text)


def _string(reader: _Reader) -> str:
    return reader.take("string", "a text in double quotes")[1:-1]


def _sequence(reader: _Reader, opening: str, closing: str) -> tuple[float, ...]:
    reader.mark(opening)
    values: list[float] = []
    while not reader.is_mark(closing):
        if values:
            reader.mark(",")
            if reader.is_mark(closing):
                break
        values.append(_number(reader))
        if len(values) > MAX_LIST:
            raise SceneProgramError(f"a list has more than {MAX_LIST} numbers.")
    return tuple(values)


def _slot(reader: _Reader, text: str) -> bool:
    """Take an open slot such as [CLIP] if it comes next."""
    token = reader.peek()
    if token is None:
        raise CutOff
    if token.kind != "slot":
        return False
    if token.text != text:
        raise SceneProgramError(f"{text} is expected, not {token.text}.")
    reader.step()
    return True


def _embedding(reader: _Reader) -> Embedding | None:
    return None if _slot(reader, "[CLIP]") else Embedding.from_text(_string(reader))


def _rotation(reader: _Reader) -> tuple[float, ...] | None:
    return None if _slot(reader, "[ROT]") else _sequence(reader, "[", "]")


def _body(reader: _Reader) -> Body:
    reader.mark("(")
    model = _string(reader)
    reader.mark(",")
    shape = _sequence(reader, "[", "]")
    reader.mark(",")
    pose = _sequence(reader, "[", "]")
    reader.mark(")")
    return Body(model, shape, pose)


_PAPER_SLOTS = ("pixels", "loc", "height", "rotation", "appearance")
_SLOTS: dict[str, Slot] = {
    "pixels": ("pixels", _whole),
    "loc": ("loc_m", lambda reader: _sequence(reader, "(", ")")),
    "height": ("height_m", _number),
    "rotation": ("rotation_9", _rotation),
    "appearance": ("appearance", _embedding),
    "kind": ("kind", _string),
    "species": ("species", _string),
    "asset": ("asset", _string),
    "body": ("body", _body),
    "confidence": ("confidence", _number),
    "id": ("identity", _whole),
}
_CAMERA_SLOTS: dict[str, Slot] = {
    "height": ("camera_height_m", _number),
    "fov": ("camera_fov_deg", _number),
}
_READERS: dict[str, Callable[[_State, _Reader, str], None]] = {
    **dict.fromkeys(BY_NAME, _read_scene),
    **dict.fromkeys((GROUND, *GROUND_ALIASES), _read_ground),
    **dict.fromkeys(("add", *QUALIFIED_ADDS), _read_add),
}
