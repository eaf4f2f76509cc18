"""The door for a run's config.yml, which names the Python objects that it is made of.

yaml's own loader for such files calls whatever they name. Here configs may be made of dataclasses
of nerfstudio, this project and installed plugins of nerfstudio, of paths, enumerations and plain
tensors, and may point to what these packages define; all else is refused.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib.metadata
import io
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any

import torch
import yaml
from yaml.constructor import ConstructorError, FullConstructor

PACKAGES = frozenset({"nerfstudio", "lerf_wild"})
"""Of which a config may name anything."""
PLUGINS = ("nerfstudio.method_configs", "nerfstudio.dataparser_configs")
"""Groups of entry points whose packages count too: a user's own dataparser, say."""
ENVIRONMENT = ("NERFSTUDIO_METHOD_CONFIGS", "NERFSTUDIO_DATAPARSER_CONFIGS")
"""Variables that name plugins in the same way: "name=package.module:attribute,..."."""
OTHERS = ("torch.optim.", "pathlib.", "collections.OrderedDict")
"""Beginnings of other names that nerfstudio writes."""


def read_config(path: Path) -> Any:
    """What a config.yml holds.

    Raises:
        yaml.YAMLError: it is no YAML, or names what a config is not made of.
    """
    loader = ConfigLoader(path.read_text(encoding="utf-8"))
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


class ConfigLoader(yaml.Loader):
    """yaml's loader of Python objects, held to those that configs are made of."""

    def find_python_module(self, name: str, mark: Any) -> Any:
        """Refuses: configs hold no modules."""
        raise _refusal(name, mark)

    def find_python_name(self, name: str, mark: Any) -> Any:
        """What a name stands for, where it is one of those that configs point to."""
        if name in REBUILT:
            return REBUILT[name]
        if name.split(".", maxsplit=1)[0] not in _packages() and not name.startswith(OTHERS):
            raise _refusal(name, mark)
        return super().find_python_name(name, mark)

    def make_python_instance(self, suffix: str, node: Any, *args: Any, **kwargs: Any) -> Any:
        """An object of a class that configs are made of."""
        kind = self.find_python_name(suffix, node.start_mark)
        if suffix not in REBUILT and not _is_part(kind):
            raise _refusal(suffix, node.start_mark)
        return super().make_python_instance(suffix, node, *args, **kwargs)

    def set_python_instance_state(self, instance: Any, state: Any) -> None:
        """Gives an object its fields, none of which may be one of Python's own."""
        FullConstructor.set_python_instance_state(self, instance, state)


def _is_part(kind: Any) -> bool:
    if not isinstance(kind, type):
        return False
    return dataclasses.is_dataclass(kind) or issubclass(kind, PurePath | enum.Enum | OrderedDict)


def _refusal(name: str, mark: Any) -> ConstructorError:
    return ConstructorError(None, None, f"it names {name[:80]}, which no config is made of", mark)


@cache
def _packages() -> frozenset[str]:
    points = [one for group in PLUGINS for one in importlib.metadata.entry_points(group=group)]
    named = [part for name in ENVIRONMENT for part in os.environ.get(name, "").split(",")]
    modules = [one.module for one in points] + [part.partition("=")[2] for part in named]
    return PACKAGES | {re.split("[.:]", one, maxsplit=1)[0] for one in modules if one}


def _storage(data: bytes) -> Any:
    # torch's own function for this unpickles whatever the bytes hold.
    return torch.load(io.BytesIO(data), weights_only=True)  # noqa: TID251


REBUILT: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "torch.storage._load_from_bytes": _storage,
        "torch._utils._rebuild_tensor_v2": torch._utils._rebuild_tensor_v2,
    }
)
"""What tensors in a config are made by."""
