"""Valid nerfstudio specifications that stand in for ones that can't be imported.

They are listed by `ns-train -h` with the reason, and raise it when they are run.
"""

from dataclasses import dataclass
from typing import Any

from nerfstudio.data.dataparsers.base_dataparser import DataParserConfig
from nerfstudio.plugins.registry_dataparser import DataParserSpecification

from lerf_wild.errors import LerfWildError


@dataclass
class BrokenDataParserConfig(DataParserConfig):
    """A dataparser that can't be imported; its own type keeps it apart in nerfstudio's union."""


def broken_dataparser(name: str, reason: str) -> DataParserSpecification:
    """Returns a specification that says why `name` can't be used, and raises that if run."""
    sentence = _sentence(name, reason)
    config = BrokenDataParserConfig(_target=_Raiser(sentence))
    return DataParserSpecification(config=config, description=sentence)


def broken_method(name: str, reason: str) -> Any:
    """Returns a MethodSpecification that says why `name` can't be used, and raises that if run."""
    # Imported here because dataparsers are discovered while this part of nerfstudio is loading.
    from nerfstudio.engine.trainer import TrainerConfig
    from nerfstudio.plugins.types import MethodSpecification

    sentence = _sentence(name, reason)
    config = TrainerConfig(_target=_Raiser(sentence), method_name=name)
    return MethodSpecification(config=config, description=sentence)


class _Raiser:
    """Stands where nerfstudio expects the class to set up, and raises the reason instead."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __call__(self, config: Any, **_: Any) -> None:
        raise LerfWildError(self.reason)


def _sentence(name: str, reason: str) -> str:
    first_line = reason.strip().splitlines()[0][:300] if reason.strip() else "unknown reason"
    return f"{name} can't be used: {first_line}. Run `lerf-wild doctor` to see what is missing."
