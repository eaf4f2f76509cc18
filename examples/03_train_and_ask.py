"""Trains the smallest size on the scene of example 01 and asks where things are.

    python examples/03_train_and_ask.py --phrases "pine tree" "boulder"

The same from the command line: ns-train lerf-wild-tiny --data SCENE, then lerf-wild query.
"""

from pathlib import Path

import tyro
from rich.console import Console

from lerf_wild.cli.progress import counting_to
from lerf_wild.cli.query import answer_table, ask
from lerf_wild.cli.runs import open_run
from lerf_wild.cli.training import config_path, run_training, train_words
from lerf_wild.language.relevancy import CANONICAL_PHRASES


def main(
    data: Path = Path("outputs/examples/scene"),
    output_dir: Path = Path("outputs/examples/training"),
    phrases: tuple[str, ...] = ("animal", "tree", "rock"),
    steps: int = 1000,
) -> None:
    """Trains, asks, and prints a table.

    Args:
        data: The scene.
        output_dir: Folder of the run.
        phrases: What to look for.
        steps: Training steps.
    """
    console = Console()
    words = train_words(
        "lerf-wild-tiny", data, output_dir, steps, ("--pipeline.encoder", "wild-clip")
    )
    with counting_to(console, "training", steps) as go_to:
        run_training(words, output_dir / "train.log", go_to)

    config = config_path("lerf-wild-tiny", output_dir)
    run = open_run(config)
    console.print(answer_table(run, ask(console, run, phrases, CANONICAL_PHRASES, 50_000)))
    print(f"The run: {config}")


if __name__ == "__main__":
    tyro.cli(main)
