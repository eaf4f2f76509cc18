"""What nerfstudio's entry points name: method and dataparser specifications.

nerfstudio loads every entry point unguarded at the start of every ns-* command, so an exception
here would break `ns-train nerfacto` too. Specifications are therefore imported on first access,
and one that can't be imported is replaced by one of the same name whose description, and whose
error when it is run, say what is broken.

Nothing of nerfstudio is imported at the top: dataparsers are discovered while nerfstudio's own
modules are half imported, and pulling in its trainer then would be a circular import.
"""

from __future__ import annotations

import warnings
from importlib import import_module

METHODS = {
    "lerf_wild": ("lerf_wild.methods.lerf_wild.config", "lerf-wild"),
    "lerf_wild_tiny": ("lerf_wild.methods.lerf_wild.config", "lerf-wild-tiny"),
    "lerf_wild_lite": ("lerf_wild.methods.lerf_wild.config", "lerf-wild-lite"),
    "lerf_wild_big": ("lerf_wild.methods.lerf_wild.config", "lerf-wild-big"),
    "lerf_wild_splat": ("lerf_wild.methods.lerf_wild_splat.config", "lerf-wild-splat"),
    "air": ("lerf_wild.methods.air.config", "air"),
    "raw": ("lerf_wild.methods.raw.config", "raw"),
    "genzoo": ("lerf_wild.methods.genzoo.config", "genzoo"),
    "wildlife": ("lerf_wild.methods.wildlife.config", "wildlife"),
}
"""Attribute of this module -> (module that defines it under the same name, method name)."""

DATAPARSERS = {
    "wild_data": ("lerf_wild.dataparsers.wild_nerfstudio", "wild-data"),
}
"""Attribute of this module -> (module that defines it under the same name, dataparser name)."""

PANELS = {
    "relevancy": "lerf_wild.viewer_panels.relevancy:RelevancyPanel",
    "wildlife": "lerf_wild.viewer_panels.wildlife:WildlifePanel",
}
"""Name of a panel -> "module:class"; methods name their panels by it and import nothing of them."""


def make_panel(name: str, pipeline: object) -> object | None:
    """Makes a viewer panel for a pipeline; None, with one line, when it can't be imported."""
    module, _, attribute = PANELS[name].partition(":")
    try:
        return getattr(import_module(module), attribute)(pipeline)
    # A viewer that has changed must not keep anybody from training.
    except Exception as error:
        warnings.warn(f"The {name} panel can't be used: {error}", stacklevel=2)
        return None


def __getattr__(attribute: str) -> object:
    """Returns the specification of that name, or its stand-in when it can't be imported."""
    known = METHODS | DATAPARSERS
    if attribute not in known:
        raise AttributeError(f"module {__name__!r} has no attribute {attribute!r}")
    module, name = known[attribute]
    try:
        specification = getattr(import_module(module), attribute)
    # Whatever a broken installation raises, from ImportError to a CUDA library's OSError.
    except Exception as error:
        return _stand_in(attribute, name, f"{type(error).__name__}: {error}")
    globals()[attribute] = specification
    return specification


def _stand_in(attribute: str, name: str, reason: str) -> object:
    from lerf_wild import registry_stand_ins

    if attribute in METHODS:
        return registry_stand_ins.broken_method(name, reason)
    return registry_stand_ins.broken_dataparser(name, reason)
