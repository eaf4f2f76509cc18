"""What our entry points add to the start of every ns-* command.

Run with `python -m benchmarks.import_cost --json FILE`.
"""

import importlib.metadata
import sys
import time
from unittest import mock

import tyro

from lerf_wild.cli.report import JsonFile, write_report

HEAVY = ("open_clip", "transformers", "open3d", "pymeshlab", "tinycudann", "laspy", "trimesh")
GROUPS = ("nerfstudio.method_configs", "nerfstudio.dataparser_configs")


def main(json_file: JsonFile = None) -> None:
    """Imports nerfstudio without our entry points, then loads those, and tells what each took.

    Args:
        json_file: Where to write the figures.
    """
    others_s, names = _import_nerfstudio_alone()
    before = set(sys.modules)
    start = time.perf_counter()
    ours = [point.load() for point in _own_entry_points()]
    own_s = time.perf_counter() - start
    added = set(sys.modules) - before
    figures = {
        "nerfstudio_s": others_s,
        "own_s": own_s,
        "own_modules": len(added),
        "heavy_modules": sorted({name.split(".")[0] for name in added} & set(HEAVY)),
        "method_names": sorted(item.config.method_name for item in ours if _is_method(item)),
        "nerfstudio_method_names": sorted(names),
        "broken": [
            item.description for item in ours if "can't be used" in (item.description or "")
        ],
    }
    for name in ("nerfstudio_s", "own_s", "own_modules", "heavy_modules", "broken"):
        print(f"{name:14} {figures[name]}")
    write_report(json_file, figures)


def _import_nerfstudio_alone() -> tuple[float, list[str]]:
    every = importlib.metadata.entry_points

    def without_ours(**selection: str) -> importlib.metadata.EntryPoints:
        found = every(**selection)
        if selection.get("group") not in GROUPS:
            return found
        return importlib.metadata.EntryPoints(point for point in found if not _is_ours(point))

    start = time.perf_counter()
    with mock.patch.object(importlib.metadata, "entry_points", without_ours):
        from nerfstudio.configs.method_configs import all_methods
    return time.perf_counter() - start, list(all_methods)


def _is_ours(point: importlib.metadata.EntryPoint) -> bool:
    return point.value.startswith("lerf_wild.")


def _own_entry_points() -> list[importlib.metadata.EntryPoint]:
    return [
        point
        for group in GROUPS
        for point in importlib.metadata.entry_points(group=group)
        if _is_ours(point)
    ]


def _is_method(item: object) -> bool:
    return hasattr(item.config, "method_name")


if __name__ == "__main__":
    tyro.cli(main)
