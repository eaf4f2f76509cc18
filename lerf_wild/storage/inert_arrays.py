"""Arrays out of the inert records of a pickle: those of numpy, chumpy and scipy.sparse.

Neither chumpy nor scipy is needed. Sizes are checked against the bytes that are there before any
memory is taken, and budgets bound how deep and how much is followed, so that a small file can't ask
for a large answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lerf_wild.storage.inert_pickle import Name, Record, UnreadablePickle

MAX_ELEMENTS = 64_000_000
MAX_NODES = 20_000
MAX_DEPTH = 24
_DTYPE = re.compile(r"[<>|=]?(f2|f4|f8|i1|i2|i4|i8|u1|u2|u4|u8|b1)")
_BUILTINS = ("__builtin__", "builtins")
_RECONSTRUCT = (
    Name("numpy.core.multiarray", "_reconstruct"),
    Name("numpy._core.multiarray", "_reconstruct"),
)
_SCALAR = (Name("numpy.core.multiarray", "scalar"), Name("numpy._core.multiarray", "scalar"))
_REBUILD = (Name("copy_reg", "_reconstructor"), Name("copyreg", "_reconstructor"))
_NEW = (Name("copy_reg", "__newobj__"), Name("copyreg", "__newobj__"))
_DTYPE_NAME, _ARRAY_NAME = Name("numpy", "dtype"), Name("numpy", "ndarray")
_ENCODE = Name("_codecs", "encode")
_CONTAINERS = (
    *(Name(module, kind) for module in _BUILTINS for kind in ("set", "frozenset", "dict")),
    Name("collections", "OrderedDict"),
)
_PLAIN = {
    *(*_RECONSTRUCT, *_SCALAR, *_REBUILD, *_NEW, *_CONTAINERS),
    *(_DTYPE_NAME, _ARRAY_NAME, _ENCODE),
    *(Name(module, "object") for module in _BUILTINS),
}
_CHUMPY = re.compile(r"chumpy(\.(ch|ch_ops|reordering|utils))?")
_SPARSE = re.compile(r"scipy\.sparse(\.(_?csc|_?csr|_?coo))?")
_SPARSE_KINDS = re.compile(r"(csc|csr|coo)_(matrix|array)")


def allowed_name(name: Name) -> bool:
    """Whether a model file may name it: arrays, matrices of chumpy and scipy, plain types."""
    if name in _PLAIN:
        return True
    if _CHUMPY.fullmatch(name.module):
        return re.fullmatch(r"\w{1,40}", name.name) is not None
    return bool(_SPARSE.fullmatch(name.module) and _SPARSE_KINDS.fullmatch(name.name))


def rebuilt(tree: object) -> object:
    """Plain types and numpy arrays of an inert tree; matrices of scipy come back dense.

    Raises:
        UnreadablePickle: something in it is no such thing, too deep or too much.
    """
    return _Builder().build(tree, 0)


class _Builder:
    """Walks a tree within budgets; what is met twice is built once."""

    def __init__(self) -> None:
        self.nodes = 0
        self.elements = 0
        self.done: dict[int, object] = {}
        self.open: set[int] = set()

    def build(self, node: object, depth: int) -> object:
        self.nodes += 1
        if self.nodes > MAX_NODES or depth > MAX_DEPTH:
            raise UnreadablePickle("nests more deeply than a body model does.")
        if isinstance(node, str | bytes | int | float | bool | None):
            return node
        if id(node) in self.done:
            return self.done[id(node)]
        if id(node) in self.open:
            raise UnreadablePickle("holds something that contains itself.")
        self.open.add(id(node))
        self.done[id(node)] = made = self._made(node, depth + 1)
        return made

    def _made(self, node: object, depth: int) -> object:
        if isinstance(node, list | tuple):
            return type(node)(self.build(item, depth) for item in node)
        if isinstance(node, dict):
            return {key: self.build(value, depth) for key, value in node.items()}
        if isinstance(node, set | frozenset):
            return node
        if isinstance(node, Record):
            return self._record(node, depth)
        raise UnreadablePickle(f"holds a bare name, {str(node)[:60]}.")

    def _record(self, node: Record, depth: int) -> object:
        function, arguments = node.function, node.arguments
        if function in _RECONSTRUCT:
            return self._array(node)
        if function in _SCALAR:
            return self._scalar(arguments)
        if function == _ENCODE:
            return _encoded(arguments)
        if function in _CONTAINERS:
            # Sets and ordered dictionaries beside the arrays carry nothing that a model needs.
            return [self.build(item, depth) for item in (*arguments, *node.items)]
        kind = arguments[0] if function in (*_REBUILD, *_NEW) and arguments else function
        if isinstance(kind, Name) and not isinstance(node.state, type(None)):
            state = self.build(node.state, depth)
            if _CHUMPY.fullmatch(kind.module):
                return _chumpy_value(state, kind)
            if _SPARSE.fullmatch(kind.module):
                return self._dense(state, kind)
        raise UnreadablePickle(f"holds an object of {str(kind)[:60]}, which can't be rebuilt.")

    def _array(self, node: Record) -> NDArray:
        state = node.state
        if not (isinstance(state, tuple) and len(state) == 5):
            raise UnreadablePickle("holds an array without its state.")
        _, shape, dtype, fortran, raw = state
        kind = _dtype(dtype)
        if isinstance(raw, Record) and raw.function == _ENCODE:
            raw = _encoded(raw.arguments)
        data = raw.encode("latin1") if isinstance(raw, str) else raw
        sides = isinstance(shape, tuple) and all(isinstance(n, int) and n >= 0 for n in shape)
        if not sides or len(shape) > 6 or not isinstance(data, bytes):
            raise UnreadablePickle("holds an array of an impossible shape.")
        if math.prod(shape) * kind.itemsize != len(data):
            raise UnreadablePickle(f"holds an array of {shape} with {len(data)} bytes.")
        self._spend(math.prod(shape))
        order = "F" if fortran else "C"
        return np.frombuffer(data, kind).reshape(shape, order=order).astype(kind.newbyteorder("="))

    def _scalar(self, arguments: tuple[object, ...]) -> object:
        if len(arguments) != 2:
            raise UnreadablePickle("holds a number without its bytes.")
        kind, raw = _dtype(arguments[0]), arguments[1]
        if isinstance(raw, Record) and raw.function == _ENCODE:
            raw = _encoded(raw.arguments)
        data = raw.encode("latin1") if isinstance(raw, str) else raw
        if not isinstance(data, bytes) or len(data) != kind.itemsize:
            raise UnreadablePickle("holds a number with the wrong bytes.")
        return np.frombuffer(data, kind)[0].item()

    def _dense(self, state: object, kind: Name) -> NDArray:
        if not isinstance(state, Mapping):
            raise UnreadablePickle("holds a sparse matrix without its state.")
        shape = state.get("_shape", state.get("shape"))
        if not (
            isinstance(shape, tuple)
            and len(shape) == 2
            and all(isinstance(side, int) and 0 <= side <= 100_000 for side in shape)
        ):
            raise UnreadablePickle("holds a sparse matrix of an impossible shape.")
        self._spend(shape[0] * shape[1])
        rows, columns, data = _triplets(state, shape, kind.name[:3])
        dense = np.zeros(shape, data.dtype)
        np.add.at(dense, (rows, columns), data)
        return dense

    def _spend(self, count: int) -> None:
        self.elements += count
        if self.elements > MAX_ELEMENTS:
            raise UnreadablePickle(f"holds more than {MAX_ELEMENTS} numbers.")


def _dtype(node: object) -> np.dtype:
    is_dtype = isinstance(node, Record) and node.function == _DTYPE_NAME and node.arguments
    code = node.arguments[0] if is_dtype else None
    if not isinstance(code, str) or not _DTYPE.fullmatch(code):
        raise UnreadablePickle("holds an array of something other than numbers.")
    kind = np.dtype(code)
    order = node.state[1] if isinstance(node.state, tuple) and len(node.state) > 1 else "<"
    return kind.newbyteorder(">") if order == ">" else kind.newbyteorder("<")


def _encoded(arguments: tuple[object, ...]) -> bytes:
    text, codec = (*arguments, None, None)[:2]
    if not isinstance(text, str) or codec not in ("latin1", "latin-1"):
        raise UnreadablePickle("encodes bytes in an unknown way.")
    return text.encode("latin1")


def _chumpy_value(state: object, kind: Name) -> object:
    value = state.get("x") if isinstance(state, Mapping) else None
    if not isinstance(value, np.ndarray):
        raise UnreadablePickle(f"holds {kind} without a stored value; save it evaluated.")
    return value


def _triplets(
    state: Mapping, shape: tuple[int, int], form: str
) -> tuple[NDArray, NDArray, NDArray]:
    names = ("row", "col") if form == "coo" else ("indptr", "indices")
    found = [state.get(name) for name in (*names, "data")]
    if form == "coo" and found[0] is None and isinstance(state.get("coords"), tuple):
        found[:2] = state["coords"]
    if not all(isinstance(array, np.ndarray) and array.ndim == 1 for array in found):
        raise UnreadablePickle("holds a sparse matrix without its arrays.")
    first, second, data = found
    if first.dtype.kind not in "iu" or second.dtype.kind not in "iu":
        raise UnreadablePickle("holds a sparse matrix whose indices are no integers.")
    first, second = first.astype(np.int64), second.astype(np.int64)
    if form != "coo":
        first, second = _from_pointers(first, second, shape, form)
    sides = zip((first, second), shape)
    inside = all(len(a) == 0 or (a.min() >= 0 and a.max() < side) for a, side in sides)
    if len(first) != len(data) or len(second) != len(data) or not inside:
        raise UnreadablePickle("holds a sparse matrix whose indices don't fit.")
    return first, second, data


def _from_pointers(
    pointers: NDArray, indices: NDArray, shape: tuple[int, int], form: str
) -> tuple[NDArray, NDArray]:
    """Row and column of each entry of a csr or csc matrix."""
    counts = np.diff(pointers)
    lines = shape[0] if form == "csr" else shape[1]
    if len(pointers) != lines + 1 or counts.min(initial=0) < 0 or counts.sum() != len(indices):
        raise UnreadablePickle("holds a sparse matrix whose pointers don't fit.")
    line = np.repeat(np.arange(lines), counts)
    return (line, indices) if form == "csr" else (indices, line)
