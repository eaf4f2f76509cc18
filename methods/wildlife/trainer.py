"""What `ns-train wildlife` runs: no weights are trained, items are moved until they agree."""

from __future__ import annotations

from typing import Any

from nerfstudio.utils.rich_utils import CONSOLE

from lerf_wild.cli.wildlife import open_populated
from lerf_wild.cli.wildlife_edit import refine_items
from lerf_wild.errors import EXIT_CODE, LerfWildError, WildlifeError
from lerf_wild.methods.wildlife.config import WildlifeTrainerConfig


class WildlifeTrainer:
    """Stands where nerfstudio expects a trainer, and refines the items of a run."""

    def __init__(
        self, config: WildlifeTrainerConfig, local_rank: int = 0, world_size: int = 1
    ) -> None:
        self.config = config
        self.run: Any = None
        self.figures: list[dict[str, object]] = []

    def setup(self, test_mode: str = "val") -> None:
        """Opens the run.

        Ends the process with a message where there is none; nerfstudio would show a traceback.
        """
        try:
            if self.config.run is None:
                raise WildlifeError(
                    "ns-train wildlife refines the items of a run: pass --load-config config.yml."
                )
            self.run = open_populated(self.config.run, self.config.data)
        except LerfWildError as error:
            _end(error)

    def train(self) -> None:
        """Refines the items, one after the other, and writes each as it is done."""
        try:
            self.figures = refine_items(
                self.run,
                self.config.items,
                self.config.evaluations,
                lambda line: CONSOLE.print(line, markup=False),
            )
        except LerfWildError as error:
            _end(error)
        path = self.run.model.items.path
        CONSOLE.print(f"{len(self.figures)} items refined: {path}", markup=False)


def _end(error: LerfWildError) -> None:
    CONSOLE.print(str(error), markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(EXIT_CODE)
