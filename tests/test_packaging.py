"""The package as others meet it: entry points that never break nerfstudio, and a complete wheel."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from lerf_wild import registry
from lerf_wild.errors import LerfWildError

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("lerf_wild", "methods", "dataparsers", "viewer_panels")
MAX_ADDED_MODULES = 60

START_WITHOUT_OPTIONAL_LIBRARIES = """
import sys, warnings
warnings.simplefilter("ignore")
blocked = {"open_clip", "transformers", "open3d", "tinycudann", "laspy", "pymeshlab"}


class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked or name in sys.argv[1].split(","):
            raise ImportError(f"{name} is blocked")


sys.meta_path.insert(0, Blocker())
from nerfstudio.configs.method_configs import all_descriptions, all_methods
from nerfstudio.scripts.train import entrypoint

ours = {name: text for name, text in all_descriptions.items() if name.startswith("lerf-wild")}
print(ours)
sys.argv = ["ns-train", "nerfacto", "-h"]
entrypoint()
"""


def run_python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120
    )


def test_nerfstudio_starts_with_optional_libraries_missing(tmp_path):
    result = run_python("-c", START_WITHOUT_OPTIONAL_LIBRARIES, "none", cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-2000:]
    assert "--pipeline.model" in result.stdout
    assert "can't be used" not in result.stdout


@pytest.mark.slow
def test_nerfstudio_starts_when_our_own_methods_are_broken(tmp_path):
    broken = "lerf_wild.methods.lerf_wild,lerf_wild.dataparsers.wild_nerfstudio"
    result = run_python("-c", START_WITHOUT_OPTIONAL_LIBRARIES, broken, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-2000:]
    assert "--pipeline.model" in result.stdout
    assert "lerf-wild-tiny can't be used: ImportError" in result.stdout


def test_entry_points_are_light_and_clash_with_nothing(tmp_path):
    path = tmp_path / "cost.json"
    result = run_python("-W", "ignore", "-m", "benchmarks.import_cost", "--json", path, cwd=ROOT)
    assert result.returncode == 0, result.stderr[-2000:]
    cost = json.loads(path.read_text())
    assert cost["broken"] == []
    assert cost["heavy_modules"] == []
    assert cost["own_modules"] <= MAX_ADDED_MODULES
    assert len(set(cost["method_names"])) == len(cost["method_names"]) >= 4
    assert not set(cost["method_names"]) & set(cost["nerfstudio_method_names"])


def test_registry_and_entry_points_agree():
    installed = {
        point.value.partition(":")[2]: point.name
        for group in ("nerfstudio.method_configs", "nerfstudio.dataparser_configs")
        for point in entry_points(group=group)
        if point.value.startswith("lerf_wild.")
    }
    expected = {
        attribute: name
        for attribute, (_, name) in (registry.METHODS | registry.DATAPARSERS).items()
    }
    assert installed == expected
    with pytest.raises(AttributeError):
        _ = registry.nothing


def test_stand_ins_are_valid_and_raise_their_reason_when_run(monkeypatch):
    from nerfstudio.plugins.registry_dataparser import DataParserSpecification
    from nerfstudio.plugins.types import MethodSpecification

    monkeypatch.setattr(registry, "METHODS", {"broken_one": ("no.such.module", "broken-one")})
    monkeypatch.setattr(registry, "DATAPARSERS", {"broken_data": ("no.such", "broken-data")})
    method, parser = registry.broken_one, registry.broken_data
    assert isinstance(method, MethodSpecification)
    assert method.config.method_name == "broken-one"
    assert isinstance(parser, DataParserSpecification)
    for specification in (method, parser):
        assert "lerf-wild doctor" in specification.description
        with pytest.raises(LerfWildError, match="No module named"):
            specification.config.setup()


@pytest.mark.parametrize("folder", FOLDERS[1:])
def test_folders_are_not_importable_under_their_own_name(folder, tmp_path):
    result = run_python("-c", f"import {folder}", cwd=ROOT)
    assert f"import lerf_wild.{folder} instead" in result.stderr
    assert run_python("-c", f"import lerf_wild.{folder}", cwd=tmp_path).returncode == 0


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_weight(tmp_path):
    source = tmp_path / "source"
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, ignore=ignore)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "THIRD_PARTY.md"):
        shutil.copy(ROOT / name, source / name)
    command = ["-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", ".", "."]
    result = run_python(*command, cwd=source)
    assert result.returncode == 0, result.stderr[-2000:]
    with zipfile.ZipFile(next(source.glob("*.whl"))) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    expected = set()
    for folder in FOLDERS:
        prefix = "" if folder == "lerf_wild" else "lerf_wild/"
        for path in (ROOT / folder).rglob("*"):
            is_data = path.is_relative_to(ROOT / "lerf_wild/weights") or path.is_relative_to(
                ROOT / "lerf_wild/assets"
            )
            if path.is_file() and "__pycache__" not in path.parts:
                if path.suffix == ".py" or is_data:
                    expected.add(prefix + path.relative_to(ROOT).as_posix())
    assert expected <= packed, sorted(expected - packed)
    assert all(name.startswith("lerf_wild/") for name in packed)
