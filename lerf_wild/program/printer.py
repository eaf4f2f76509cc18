"""Writes scene programs as text: the same program gives the same text, and it reads back exactly.

Numbers are written with as many digits as they need; `digits=3` writes them as the paper does,
which rounds.
"""

from __future__ import annotations

from collections.abc import Sequence

from lerf_wild.program.statements import GROUND, HEADER, STATEMENTS, VERSION
from lerf_wild.program.types import Body, Embedding, Program, SceneObject, Settings


def print_program(
    program: Program, digits: int | None = None, with_values: bool = True, header: bool = True
) -> str:
    """The text of a program, which ends with a line end.

    Args:
        program: What to write.
        digits: Digits after the point; None writes numbers exactly.
        with_values: Whether embeddings and rotations are written out; else they are left open as
            `[CLIP]` and `[ROT]`, as in the text that a language model writes.
        header: Whether the first line names the language's version.
    """
    lines = [f"{HEADER} {VERSION}"] if header else []
    lines += _scene_lines(program.settings, digits, with_values)
    lines += [_add(item, digits, with_values) for item in program.objects]
    return "\n".join(lines) + "\n"


def _scene_lines(settings: Settings, digits: int | None, with_values: bool) -> list[str]:
    lines = []
    for statement in STATEMENTS:
        inner = _number(getattr(settings, statement.field), digits)
        if statement.name == "set_camera":
            inner += _option("height", settings.camera_height_m, digits)
            inner += _option("fov", settings.camera_fov_deg, digits)
        lines.append(f"{statement.name}({inner})")
    name = "" if settings.ground_name is None else f', name="{settings.ground_name}"'
    lines.append(f"{GROUND}({_clip(settings.ground, with_values)}{name})")
    return lines


def _add(item: SceneObject, digits: int | None, with_values: bool) -> str:
    rotation = "[ROT]"
    if with_values and item.rotation_9 is not None:
        rotation = _list(item.rotation_9, digits)
    loc = ", ".join(_number(value, digits) for value in item.loc_m)
    text = (
        f"add(pixels={item.pixels}, loc=({loc}), height={_number(item.height_m, digits)}, "
        f"rotation={rotation}, appearance={_clip(item.appearance, with_values)}"
    )
    for key in ("kind", "species", "asset"):
        value = getattr(item, key)
        text += "" if value is None else f', {key}="{value}"'
    if item.body is not None:
        text += f", body={_body(item.body, digits)}"
    text += _option("confidence", item.confidence, digits)
    text += "" if item.identity is None else f", id={item.identity}"
    return text + ")"


def _number(value: float, digits: int | None) -> str:
    # repr gives the shortest text that reads back as the same number.
    return repr(value) if digits is None else f"{value:.{digits}f}"


def _list(values: Sequence[float], digits: int | None) -> str:
    return "[" + ", ".join(_number(value, digits) for value in values) + "]"


def _option(key: str, value: float | None, digits: int | None) -> str:
    return "" if value is None else f", {key}={_number(value, digits)}"


def _clip(embedding: Embedding | None, with_values: bool) -> str:
    return f'"{embedding.text()}"' if with_values and embedding is not None else "[CLIP]"


def _body(body: Body, digits: int | None) -> str:
    return f'("{body.model}", {_list(body.shape, digits)}, {_list(body.pose, digits)})'
