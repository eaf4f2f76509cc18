"""Reads the data of pickles without running anything that they name.

A pickle is a program for a stack machine that may call any function by name. Here every name
becomes an inert record, every call becomes a note of what was called with what, and only then are
arrays rebuilt: from a dtype, a shape and bytes whose sizes are checked. Nothing is imported, no
method of foreign code runs, and a budget bounds the work. The machine is Python's documented format
(protocols 0 to 4), written here opcode by opcode.
"""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lerf_wild.errors import ModelFileError

MAX_OPERATIONS = 30_000
_MARK = object()
# What Python 2's repr() writes; one character a step, so that no input makes it backtrack.
_ESCAPED = re.compile(rb"(?:[^\\]|\\(?:x[0-9a-fA-F]{2}|[\\'\"nrtabfv]))*", re.DOTALL)


@dataclass(frozen=True)
class Name:
    """A function or class that the pickle names; it is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Record:
    """A call that the pickle asks for, and the state that it wants to set."""

    function: object
    arguments: tuple[object, ...]
    state: object = None
    items: list[object] = field(default_factory=list)
    """What the pickle appends or sets on it."""


class UnreadablePickle(ModelFileError):
    """The bytes are not a pickle that this machine reads."""


def read_inert(data: bytes, allowed: Callable[[Name], bool]) -> object:
    """The object tree of a pickle: Python's plain types, `Name` and `Record`.

    Args:
        data: The whole file.
        allowed: Which names may appear at all.

    Raises:
        UnreadablePickle: the bytes are damaged, name something else, or pass the budgets.
    """
    try:
        return _Machine(data, allowed).run()
    except UnreadablePickle:
        raise
    except (IndexError, ValueError, TypeError, struct.error, KeyError, OverflowError) as error:
        raise UnreadablePickle(f"damaged pickle ({type(error).__name__}).") from None


class _Machine:
    """The stack machine; one method an opcode family."""

    def __init__(self, data: bytes, allowed: Callable[[Name], bool]) -> None:
        self.data, self.allowed = data, allowed
        self.place = 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> object:
        for _ in range(MAX_OPERATIONS):
            code = self.take(1)
            if code == b".":
                return self.pop()
            action = _ACTIONS.get(code)
            if action is None:
                raise UnreadablePickle(f"opcode {code!r} at byte {self.place - 1} is not allowed.")
            action(self)
        raise UnreadablePickle(f"more than {MAX_OPERATIONS} operations.")

    def take(self, count: int) -> bytes:
        if count < 0 or self.place + count > len(self.data):
            raise UnreadablePickle(f"ends in the middle, at byte {len(self.data)}.")
        self.place += count
        return self.data[self.place - count : self.place]

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.place)
        if end < 0:
            raise UnreadablePickle(f"ends in the middle, at byte {len(self.data)}.")
        found = self.data[self.place : end]
        self.place = end + 1
        # Files that went through a text-mode transfer end their lines with CR LF.
        return found.removesuffix(b"\r")

    def number(self, form: str) -> int:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def pop(self) -> Any:
        item = self.stack.pop()
        if item is _MARK:
            raise UnreadablePickle("takes a mark for a value.")
        return item

    def top(self) -> Any:
        item = self.stack[-1]
        if item is _MARK:
            raise UnreadablePickle("takes a mark for a value.")
        return item

    def push(self, item: object) -> None:
        self.stack.append(item)

    def since_mark(self) -> list[Any]:
        for index in range(len(self.stack) - 1, -1, -1):
            if self.stack[index] is _MARK:
                items = self.stack[index + 1 :]
                del self.stack[index:]
                return items
        raise UnreadablePickle("has no mark where one is needed.")

    def remember(self, key: int) -> None:
        self.memo[key] = self.top()

    def named(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise UnreadablePickle("names something with what is no text.")
        found = Name(module, name)
        if not self.allowed(found):
            raise UnreadablePickle(f"names {str(found)[:80]!r}, which no body model needs.")
        self.push(found)

    def called(self, function: object, arguments: object) -> None:
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise UnreadablePickle("calls what is no name.")
        self.push(Record(function, arguments))

    def built(self) -> None:
        state, target = self.pop(), self.top()
        if not isinstance(target, Record) or target.state is not None:
            raise UnreadablePickle("sets the state of what is no object.")
        target.state = state

    def extended(self, items: list[Any]) -> None:
        target = self.top()
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, Record):
            target.items.extend(items)
        else:
            raise UnreadablePickle("appends to what is no list.")

    def updated(self, items: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, dict | Record) or len(items) % 2:
            raise UnreadablePickle("sets items of what is no dictionary.")
        pairs = list(zip(items[::2], items[1::2]))
        if isinstance(target, Record):
            target.items.extend(pairs)
            return
        for key, value in pairs:
            target[_key(key)] = value

    def added(self, items: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, set):
            raise UnreadablePickle("adds to what is no set.")
        target.update(_key(item) for item in items)


def _key(item: object) -> object:
    if not isinstance(item, str | bytes | int | float | bool | None):
        raise UnreadablePickle("uses a compound key.")
    return item


def _integer_line(machine: _Machine) -> object:
    text = machine.line()
    if text in (b"00", b"01"):
        return text == b"01"
    return _integer(text)


def _integer(text: bytes) -> int:
    if len(text) > 40:
        raise UnreadablePickle("holds a number of more than 40 digits.")
    return int(text.removesuffix(b"L"))


def _text_line(machine: _Machine) -> str:
    """A quoted string of protocol 0: Latin-1 with Python's escapes."""
    text = machine.line()
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
        raise UnreadablePickle("holds a string without quotes.")
    return _unescaped(text[1:-1])


def _unescaped(raw: bytes) -> str:
    if _ESCAPED.fullmatch(raw) is None:
        raise UnreadablePickle("holds a string with a broken escape.")
    return codecs.escape_decode(raw)[0].decode("latin1")


def _long(machine: _Machine, count: int) -> int:
    if count > 64:
        raise UnreadablePickle("holds a number of more than 64 bytes.")
    return int.from_bytes(machine.take(count), "little", signed=True)


def _object_of_class(machine: _Machine) -> None:
    function, *arguments = machine.since_mark()
    machine.called(function, tuple(arguments))


def _instance(machine: _Machine) -> None:
    module, name = machine.line().decode("ascii"), machine.line().decode("ascii")
    arguments = tuple(machine.since_mark())
    machine.named(module, name)
    machine.called(machine.pop(), arguments)


def _global(machine: _Machine) -> None:
    machine.named(machine.line().decode("utf-8"), machine.line().decode("utf-8"))


def _stack_global(machine: _Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.named(module, name)


def _reduce(machine: _Machine) -> None:
    arguments, function = machine.pop(), machine.pop()
    machine.called(function, arguments)


def _pairs(items: list[Any]) -> dict[object, object]:
    if len(items) % 2:
        raise UnreadablePickle("makes a dictionary of an odd number of items.")
    return {_key(key): value for key, value in zip(items[::2], items[1::2])}


def _fixed_tuple(count: int) -> Callable[[_Machine], None]:
    def action(machine: _Machine) -> None:
        items = [machine.pop() for _ in range(count)][::-1]
        machine.push(tuple(items))

    return action


def _protocol(machine: _Machine) -> None:
    if machine.number("<B") > 5:
        raise UnreadablePickle("is of a protocol after 5.")


def _sized(form: str, decode: Callable[[bytes], object]) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(decode(machine.take(machine.number(form))))


def _utf8(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogatepass")


def _latin1(raw: bytes) -> str:
    return raw.decode("latin1")


def _pushing(value: Callable[[_Machine], object]) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(value(machine))


_ACTIONS: dict[bytes, Callable[[_Machine], Any]] = {
    b"\x80": _protocol,
    b"\x95": lambda m: m.number("<Q"),
    b"(": lambda m: m.push(_MARK),
    b"0": lambda m: m.stack.pop(),
    b"1": lambda m: m.since_mark(),
    b"2": lambda m: m.push(m.top()),
    b"N": _pushing(lambda m: None),
    b"\x88": _pushing(lambda m: True),
    b"\x89": _pushing(lambda m: False),
    b"I": _pushing(_integer_line),
    b"L": _pushing(lambda m: _integer(m.line())),
    b"J": _pushing(lambda m: m.number("<i")),
    b"K": _pushing(lambda m: m.number("<B")),
    b"M": _pushing(lambda m: m.number("<H")),
    b"\x8a": _pushing(lambda m: _long(m, m.number("<B"))),
    b"\x8b": _pushing(lambda m: _long(m, m.number("<i"))),
    b"F": _pushing(lambda m: float(m.line())),
    b"G": _pushing(lambda m: struct.unpack(">d", m.take(8))[0]),
    b"S": _pushing(_text_line),
    b"T": _sized("<i", _latin1),
    b"U": _sized("<B", _latin1),
    b"V": _pushing(lambda m: m.line().decode("raw-unicode-escape")),
    b"X": _sized("<I", _utf8),
    b"\x8c": _sized("<B", _utf8),
    b"\x8d": _sized("<Q", _utf8),
    b"B": _sized("<I", bytes),
    b"C": _sized("<B", bytes),
    b"\x8e": _sized("<Q", bytes),
    b"]": _pushing(lambda m: []),
    b"l": _pushing(lambda m: m.since_mark()),
    b"a": lambda m: m.extended([m.pop()]),
    b"e": lambda m: m.extended(m.since_mark()),
    b")": _pushing(lambda m: ()),
    b"t": _pushing(lambda m: tuple(m.since_mark())),
    b"\x85": _fixed_tuple(1),
    b"\x86": _fixed_tuple(2),
    b"\x87": _fixed_tuple(3),
    b"}": _pushing(lambda m: {}),
    b"d": _pushing(lambda m: _pairs(m.since_mark())),
    b"s": lambda m: m.updated([m.pop(), m.pop()][::-1]),
    b"u": lambda m: m.updated(m.since_mark()),
    b"\x8f": _pushing(lambda m: set()),
    b"\x90": lambda m: m.added(m.since_mark()),
    b"\x91": _pushing(lambda m: frozenset(_key(item) for item in m.since_mark())),
    b"p": lambda m: m.remember(_integer(m.line())),
    b"q": lambda m: m.remember(m.number("<B")),
    b"r": lambda m: m.remember(m.number("<I")),
    b"\x94": lambda m: m.remember(len(m.memo)),
    b"g": _pushing(lambda m: m.memo[_integer(m.line())]),
    b"h": _pushing(lambda m: m.memo[m.number("<B")]),
    b"j": _pushing(lambda m: m.memo[m.number("<I")]),
    b"c": _global,
    b"\x93": _stack_global,
    b"R": _reduce,
    b"\x81": _reduce,
    b"i": _instance,
    b"o": _object_of_class,
    b"b": lambda m: m.built(),
}
"""What each opcode does. Persistent ids, extension codes, out-of-band buffers, byte arrays and
NEWOBJ_EX are left out: no body model uses them."""
