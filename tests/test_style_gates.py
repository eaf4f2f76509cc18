"""House rules that a linter doesn't know, checked on the syntax tree of every source file."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
INSTALLED_FOLDERS = ("lerf_wild", "methods", "dataparsers", "viewer_panels")
CHECKED_FOLDERS = (*INSTALLED_FOLDERS, "benchmarks", "examples")
MAX_FUNCTION_LINES = 60
MAX_MODULE_LINES = 400
PICKLERS = ("pickle", "cPickle", "dill", "shelve", "marshal")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def source_files(folders: tuple[str, ...] = CHECKED_FOLDERS) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def place(path: Path, node: ast.AST | None = None) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def violations(
    find: Callable[[Path], Iterator[str]], folders: tuple[str, ...] = CHECKED_FOLDERS
) -> list[str]:
    return [problem for path in source_files(folders) for problem in find(path)]


def public_definitions(path: Path) -> Iterator[Function | ast.ClassDef]:
    """Yields public functions and classes of a module, and public methods of public classes."""
    for node in tree_of(path).body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        yield node
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, Function) and not inner.name.startswith("_"):
                    yield inner


def is_exempt(node: Function) -> bool:
    """Overloads and setters are documented by what they belong to."""
    names = {ast.unparse(decorator).split(".")[-1] for decorator in node.decorator_list}
    return bool(names & {"overload", "setter"})


def long_functions(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, Function):
            lines = node.end_lineno - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield f"{place(path, node)} {node.name} has {lines} lines"


def long_modules(path: Path) -> Iterator[str]:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    if lines > MAX_MODULE_LINES:
        yield f"{place(path)} has {lines} lines"


def missing_docstrings(path: Path) -> Iterator[str]:
    if ast.get_docstring(tree_of(path)) is None:
        yield f"{place(path)} module"
    for node in public_definitions(path):
        is_function = isinstance(node, Function)
        if ast.get_docstring(node) is None and not (is_function and is_exempt(node)):
            yield f"{place(path, node)} {node.name}"


def missing_annotations(path: Path) -> Iterator[str]:
    for node in public_definitions(path):
        if not isinstance(node, Function):
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        arguments += [argument for argument in (node.args.vararg, node.args.kwarg) if argument]
        bare = [item.arg for item in arguments if item.annotation is None]
        bare = [name for name in bare if name not in ("self", "cls")]
        if bare or node.returns is None:
            yield f"{place(path, node)} {node.name}({', '.join(bare)})"


def imported_modules(path: Path) -> Iterator[tuple[ast.AST, str, bool]]:
    """Yields each import: its node, the module's name, and whether it runs on import."""
    nested = {
        inner
        for node in ast.walk(tree_of(path))
        if isinstance(node, Function)
        or (isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"))
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((node, item.name, node not in nested) for item in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{item.name}" for item in node.names]
            yield from ((node, name, node not in nested) for name in names)


def is_under(module: str, parents: tuple[str, ...]) -> bool:
    return any(module == parent or module.startswith(parent + ".") for parent in parents)


def upward_imports(path: Path) -> Iterator[str]:
    top, *rest = path.relative_to(ROOT).parts
    upper = {
        "lerf_wild": ("lerf_wild.methods", "lerf_wild.dataparsers", "lerf_wild.viewer_panels"),
        "dataparsers": ("lerf_wild.methods", "lerf_wild.viewer_panels"),
        "methods": ("lerf_wild.viewer_panels",),
        "viewer_panels": (),
    }[top]
    if top == "lerf_wild" and not rest[0].startswith("registry"):
        upper = (*upper, "nerfstudio")
    is_command = top == "lerf_wild" and rest[0] == "cli"
    for node, module, on_import in imported_modules(path):
        # Commands bring everything together, once they are run.
        if is_under(module, upper) and (on_import or not is_command):
            yield f"{place(path, node)} imports {module}"


def bare_or_star_imports(path: Path) -> Iterator[str]:
    for node, module, _ in imported_modules(path):
        if is_under(module, ("methods", "dataparsers", "viewer_panels", "tests")):
            yield f"{place(path, node)} imports {module} by its folder's name"
        if module.endswith(".*"):
            yield f"{place(path, node)} star import"


def has_keyword(node: ast.Call, name: str, value: bool) -> bool:
    return any(
        keyword.arg == name
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value is value
        for keyword in node.keywords
    )


def banned_calls(path: Path) -> Iterator[str]:
    banned = {
        *("eval", "exec", "compile", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load"),
        *("yaml.full_load", "marshal.load", "marshal.loads", "joblib.load", "dill.load"),
    }
    needed = {
        "torch.load": ("weights_only", True),
        "np.load": ("allow_pickle", False),
        "numpy.load": ("allow_pickle", False),
    }
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            unsafe = name in needed and not has_keyword(node, *needed[name])
            if name in banned or unsafe or has_keyword(node, "shell", True):
                yield f"{place(path, node)} calls {name}"
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle":
            if node.attr != "UnpicklingError":
                yield f"{place(path, node)} uses pickle.{node.attr}"
    for node, module, _ in imported_modules(path):
        # The error's name is needed to catch it; nothing else of these modules is.
        allowed = ("pickle", "pickle.UnpicklingError")
        if is_under(module, PICKLERS) and module not in allowed:
            yield f"{place(path, node)} imports {module}"


def loose_ends(path: Path) -> Iterator[str]:
    if path.stem in ("utils", "helpers", "misc", "common"):
        yield f"{place(path)} is named after nothing"
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if re.search(r"#.*\b(TODO|FIXME|XXX|HACK)\b", line):
            yield f"{path.relative_to(ROOT)}:{number} {line.strip()}"


@pytest.mark.parametrize(
    "find",
    [
        long_functions,
        long_modules,
        missing_docstrings,
        missing_annotations,
        bare_or_star_imports,
        banned_calls,
        loose_ends,
    ],
)
def test_house_rules(find):
    found = violations(find)
    assert not found, "\n" + "\n".join(found)


def test_imports_go_down_only():
    found = violations(upward_imports, INSTALLED_FOLDERS)
    assert not found, "\n" + "\n".join(found)


def test_the_gates_close(tmp_path, monkeypatch):
    """Each rule finds a violation in a file made to break it."""
    folder = tmp_path / "lerf_wild"
    folder.mkdir()
    path = folder / "utils.py"
    body = "\n".join(f"    a = {number}" for number in range(70))
    path.write_text(
        "import pickle\nimport torch\npickle.loads\nfrom nerfstudio.cameras import *\n"
        "from lerf_wild.methods import air\nimport methods.air\n"
        f"def run(a, b: int):\n{body}\n    torch.load(a)  # TODO later\n" + "\n" * 400
    )
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    rules = [
        *(long_functions, long_modules, missing_docstrings, missing_annotations),
        *(bare_or_star_imports, banned_calls, loose_ends, upward_imports),
    ]
    for rule in rules:
        assert list(rule(path)), rule.__name__
