"""The pickle reader: real kinds of files read bit for bit, everything else refused without harm."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import struct
import sys
import types

import numpy as np
import pytest
import scipy.sparse

from lerf_wild.animals.smal_pickle import arrays_of_pickle
from lerf_wild.errors import LerfWildError, ModelFileError
from lerf_wild.storage.inert_pickle import MAX_OPERATIONS

SMALL = 30


@contextlib.contextmanager
def calls_counted():
    """Counts calls of functions, Python's and C's: work that no busy machine changes."""
    calls = []
    sys.setprofile(lambda frame, event, argument: calls.append(None) if "call" in event else None)
    try:
        yield calls
    finally:
        sys.setprofile(None)


class OldStyle(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings, which is how the files of 2017 hold arrays."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_old_bytes(self, value):
        if self.proto == 0:
            text = "".join(
                chr(b) if 32 <= b < 127 and b not in (39, 92) else f"\\x{b:02x}" for b in value
            )
            self.write(b"S'" + text.encode("latin1") + b"'\n")
        elif len(value) < 256:
            self.write(b"U" + bytes([len(value)]) + value)
        else:
            self.write(b"T" + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch[bytes] = save_old_bytes


@pytest.fixture
def chumpy(monkeypatch):
    """A stand-in for chumpy, which is not needed to read and hard to install."""
    module = types.ModuleType("chumpy.ch")
    module.Ch = type("Ch", (), {"__module__": "chumpy.ch"})
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)
    return module


def model_arrays(seed=0):
    rng = np.random.default_rng(seed)
    sparse = np.where(rng.random((35, SMALL)) < 0.2, rng.random((35, SMALL)), 0.0)
    return {
        "v_template": rng.normal(size=(SMALL, 3)),
        "f": rng.integers(0, SMALL, (56, 3)).astype(np.uint32),
        "shapedirs": np.asfortranarray(rng.normal(size=(SMALL, 3, 4))),
        "weights": rng.random((SMALL, 35)),
        "J_regressor": sparse,
        "kintree_table": np.array([[4294967295, *range(34)], range(35)], np.uint32),
    }


def dumped(tree, protocol, old=False):
    buffer = io.BytesIO()
    (OldStyle if old else pickle._Pickler)(buffer, protocol).dump(tree)
    return buffer.getvalue()


def with_chumpy(chumpy, arrays):
    tree = dict(arrays)
    for name in ("v_template", "shapedirs"):
        tree[name] = chumpy.Ch()
        tree[name].__dict__.update(x=arrays[name], _dirty_vars={"x"}, label=None, _status="new")
    return tree


def old_scipy(monkeypatch, kind, matrix):
    """A matrix whose class has the name that scipy gave it before 1.8."""
    made = getattr(scipy.sparse, f"{kind}_matrix")(matrix)
    module = types.ModuleType(f"scipy.sparse.{kind}")
    cls = type(f"{kind}_matrix", (), {"__module__": module.__name__})
    setattr(module, cls.__name__, cls)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    fake = cls()
    fields = ("row", "col", "data") if kind == "coo" else ("indptr", "indices", "data")
    fake.__dict__.update({name: getattr(made, name) for name in fields}, _shape=matrix.shape)
    fake.__dict__.update(maxprint=50)
    return fake


KINDS = [
    *[("plain", protocol, False) for protocol in range(5)],
    *[("plain", protocol, True) for protocol in (0, 2)],
    *[("chumpy", 0, True), ("chumpy", 2, True), ("chumpy", 4, False)],
    *[("csc", 2, True), ("csr", 0, True), ("coo", 4, False), ("new csc", 4, False)],
    *[("damaged lines", 0, True), ("big endian", 2, False)],
]


@pytest.mark.parametrize(("kind", "protocol", "old"), KINDS)
def test_real_kinds_read_bit_for_bit(kind, protocol, old, chumpy, monkeypatch):
    arrays = model_arrays()
    tree = {**arrays, "bs_type": "lrotmin", "bs_style": "lbs", "vert_sym_idxs": {1, 2}}
    if kind == "chumpy":
        tree = with_chumpy(chumpy, tree)
    elif kind in ("csc", "csr", "coo"):
        tree["J_regressor"] = old_scipy(monkeypatch, kind, arrays["J_regressor"])
    elif kind == "new csc":
        tree["J_regressor"] = scipy.sparse.csc_matrix(arrays["J_regressor"])
    elif kind == "big endian":
        tree["v_template"] = arrays["v_template"].astype(">f8")
    data = dumped(tree, protocol, old)
    if kind == "damaged lines":
        data = data.replace(b"\n", b"\r\n")
    for name in ("chumpy", "chumpy.ch"):
        monkeypatch.delitem(sys.modules, name)
    found = arrays_of_pickle(data, "model.pkl")
    assert set(found) == set(arrays)
    for name, expected in arrays.items():
        assert found[name].dtype == expected.dtype, name
        assert found[name].tobytes() == expected.tobytes(), name


def reduce_to(function, *arguments):
    return type("Gadget", (), {"__reduce__": lambda self: (function, arguments)})()


def text_call(module, name, argument="touch HARM"):
    return f"c{module}\n{name}\n(S'{argument}'\ntR.".encode()


def malicious():
    """Forty ways to make a pickle do something; each would leave a file named HARM."""
    calls = [
        *[("os", "system"), ("posix", "system"), ("nt", "system"), ("subprocess", "getoutput")],
        *[("builtins", "eval"), ("builtins", "exec"), ("__builtin__", "eval")],
        *[("builtins", "open"), ("io", "open"), ("builtins", "getattr"), ("builtins", "compile")],
        *[("builtins", "__import__"), ("importlib", "import_module"), ("runpy", "run_path")],
        *[("pickle", "loads"), ("_pickle", "loads"), ("numpy", "load"), ("numpy", "fromfile")],
        *[("numpy.testing", "runstring"), ("shutil", "rmtree"), ("pathlib", "Path")],
        *[("socket", "create_connection"), ("ctypes", "CDLL"), ("code", "interact")],
        *[("operator", "methodcaller"), ("functools", "partial"), ("types", "FunctionType")],
        *[
            ("copyreg", "_extension_registry"),
            ("chumpy.ch", "Ch.__init__"),
            ("chumpy.os", "system"),
        ],
    ]
    scalar = dumped(np.array([{"a": 1}], dtype=object), 2)
    array = dumped(np.arange(4.0), 2)
    return {
        **{f"{module}.{name}": text_call(module, name) for module, name in calls},
        "instance opcode": b"(S'touch HARM'\nios\nsystem\n.",
        "object opcode": b"(cos\nsystem\nS'touch HARM'\no.",
        "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0atouch HARM\x85R.",
        "newobj ex": b"\x80\x04cos\nsystem\n)}\x92.",
        "extension": b"\x80\x02\x82\x01.",
        "persistent id": b"Pname\n.",
        "nested": dumped({"v_template": reduce_to(os.system, "touch HARM")}, 4),
        "object array": scalar,
        "long array": array.replace(struct.pack("<d", 3.0), b""),
        "contains itself": b"(lp0\ng0\na.",
    }


@pytest.mark.parametrize("name", list(malicious()))
def test_malicious_pickles_are_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelFileError, match=r"model\.pkl"):
        arrays_of_pickle(malicious()[name], "model.pkl")
    assert not list(tmp_path.iterdir())


def test_there_are_forty_of_them():
    assert len(malicious()) >= 40


def tiny_files(chumpy):
    arrays = {name: array[:3, :3] for name, array in model_arrays().items()}
    yield dumped(arrays, 4)
    yield dumped(arrays, 0, old=True)
    yield dumped(with_chumpy(chumpy, arrays), 2, old=True)
    yield dumped({"J_regressor": scipy.sparse.csc_matrix(arrays["J_regressor"])}, 3)


def mutated(data, rng):
    raw = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        place, kind = int(rng.integers(len(raw))), rng.integers(4)
        if kind == 0:
            raw[place] = int(rng.integers(256))
        elif kind == 1:
            del raw[place : place + int(rng.integers(1, 9))]
        elif kind == 2:
            raw[place:place] = raw[int(rng.integers(len(raw))) :][: int(rng.integers(1, 40))]
        else:
            raw[place] = raw[int(rng.integers(len(raw)))]
        if not raw:
            break
    return bytes(raw)


def test_ten_thousand_mutants_raise_nothing_foreign(chumpy):
    rng = np.random.default_rng(0)
    files = list(tiny_files(chumpy))
    most_calls, refused = 0, 0
    for number in range(10_000):
        data = mutated(files[number % len(files)], rng)
        with calls_counted() as calls:
            try:
                arrays_of_pickle(data, "model.pkl")
            except LerfWildError:
                refused += 1
        most_calls = max(most_calls, len(calls))
    assert refused > 1_000
    assert most_calls < 20_000


@pytest.mark.parametrize("index", range(4))
def test_every_cut_is_refused(chumpy, index):
    data = list(tiny_files(chumpy))[index]
    for end in range(0, len(data) - 1, 3):
        with pytest.raises(ModelFileError):
            arrays_of_pickle(data[:end], "model.pkl")


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x8d" + struct.pack("<Q", 1 << 60),
        b"\x8b" + struct.pack("<i", 1 << 30),
        b"L" + b"9" * 100_000 + b"\n.",
        b"S'" + b"a" * 100_000 + b"\\q'\n.",
        b"(" * 1_000_000,
        b"N0" * 1_000_000,
        b"]" + b"]a" * 100_000 + b".",
        b"]q\x00" + b"h\x00h\x00e" * 1_000,
        b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR" * 5_000,
    ],
)
def test_bombs_are_cheap(bomb):
    with calls_counted() as calls, pytest.raises(ModelFileError):
        arrays_of_pickle(bomb, "model.pkl")
    assert len(calls) < 20 * MAX_OPERATIONS
