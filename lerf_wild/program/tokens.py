"""Cuts the text of a scene program into tokens, a line at a time, with the caps of untrusted text.

The scanner is one regular expression without nested repeats, so that no text makes it backtrack;
what it does not know is an error at once. Nothing is ever evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from lerf_wild.errors import SceneProgramError

MAX_CHARACTERS = 4 << 20
"""Most characters of a program."""
MAX_LINE_CHARACTERS = 64 << 10
MAX_LINES = 4096
MAX_STATEMENTS = 512
"""Most statements of a program: some 500 objects."""
MAX_TOKENS = 24_000
"""Most tokens of a program; an object has 27 with open slots and 45 with all of the paper's."""

_TOKEN = re.compile(
    r"""[ \t]*(?:
    (?P<number>[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,4})?)
    |(?P<slot>\[(?:CLIP|ROT)\])
    |(?P<name>[A-Za-z_][A-Za-z0-9_]{0,63})
    |(?P<string>"[^"\\\n]{0,20000}")
    |(?P<mark>[()\[\]=,])
    |(?P<comment>\#.*)
    |(?P<end>$)
    )""",
    re.VERBOSE,
)
# What a valid token may look like when the text was cut in the middle of it.
_CUT = re.compile(r'[ \t]*(?:"[^"\\\n]{0,20000}|\[[A-Z]{0,4}|[+-]?\.?)$')


class Token(NamedTuple):
    """One token; `kind` is number, slot, name, string or mark."""

    kind: str
    text: str


class CutOff(Exception):
    """The text ends within a token or a statement."""


def lines_of(text: str) -> list[str]:
    """The lines of a program.

    Raises:
        SceneProgramError: for what is not text, is too long, or has a line that is too long.
    """
    if not isinstance(text, str):
        raise SceneProgramError(f"A scene program is text, not {type(text).__name__}.")
    if len(text) > MAX_CHARACTERS:
        raise SceneProgramError(
            f"The scene program has {len(text):,} characters; {MAX_CHARACTERS:,} are read."
        )
    if text.count("\n") > MAX_LINES:
        raise SceneProgramError(f"The scene program has more than {MAX_LINES} lines.")
    lines = text.replace("\r\n", "\n").split("\n")
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_LINE_CHARACTERS:
            raise SceneProgramError(
                f"Line {number} has {len(line):,} characters; {MAX_LINE_CHARACTERS:,} are read."
            )
    return lines


def tokens_of(line: str) -> Iterator[Token]:
    """The tokens of one line, without its comment.

    Raises:
        SceneProgramError: at the first character that belongs to no token.
        CutOff: when the line ends within a token.
    """
    place = 0
    while True:
        found = _TOKEN.match(line, place)
        if found is None:
            if _CUT.match(line, place):
                raise CutOff
            shown = ascii(line[place : place + 16].strip() or line[place : place + 1])
            raise SceneProgramError(f"{shown} belongs to no statement.")
        place = found.end()
        kind = str(found.lastgroup)
        if kind in ("comment", "end"):
            return
        yield Token(kind, found[kind])
