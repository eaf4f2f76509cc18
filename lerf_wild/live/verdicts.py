"""What the panel says of a phrase: one line, and the same in markdown with its colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lerf_wild.live.colours import Colour, as_hex


@dataclass(frozen=True)
class Verdict:
    """What is known of one phrase."""

    text: str
    colour: Colour
    score: float
    """Relevancy at its best place, 0 to 1."""
    size: float
    """Size at which it was found, in metres or scene units."""
    is_present: bool
    milliseconds: float
    """Time that the answer took, without the text encoder's."""
    is_of_scene: bool = True
    """False while only the view in front of the camera has been looked at."""


def verdict_line(verdict: Verdict, unit: str) -> str:
    """Returns, for example, "present, 0.71, 0.4 m, 12 ms"."""
    time = time_text(verdict.milliseconds)
    if verdict.is_present:
        return f"present, {verdict.score:.2f}, {size_text(verdict.size, unit)}, {time}"
    where = "scene" if verdict.is_of_scene else "view"
    return f"not in this {where} ({verdict.score:.2f}), {time}"


def time_text(milliseconds: float) -> str:
    """Returns a time in milliseconds, or in seconds where they are many."""
    return f"{milliseconds:.0f} ms" if milliseconds < 10_000 else f"{milliseconds / 1e3:.0f} s"


def size_text(size: float, unit: str) -> str:
    """Returns a length with as many digits as are worth reading."""
    if unit == "m" and size < 0.1:
        return f"{size * 100:.1f} cm"
    digits = 2 if size < 0.1 else 1 if size < 10 else 0
    return f"{size:.{digits}f} {unit}"


def verdict_markdown(verdicts: Sequence[Verdict], unit: str) -> str:
    """Returns a list of all phrases, each with a dot in its colour."""
    if not verdicts:
        return "*Nothing is looked for yet.*"
    return "\n\n".join(
        f"{dot(one.colour)} **{plain(one.text)}**<br />{plain(verdict_line(one, unit))}"
        for one in verdicts
    )


def dot(colour: Colour) -> str:
    """Returns a dot in a colour, as the viewer's markdown takes it."""
    return f'<span style={{{{color: "{as_hex(colour)}"}}}}>●</span>'


def plain(text: str) -> str:
    """Returns text that markdown and its HTML show as it is, whatever it holds."""
    return "".join(
        letter if letter.isalnum() or letter in " ,.-" else f"&#{ord(letter)};" for letter in text
    )
