"""Measures a run and prints which phrases are found badly.

python examples/05_measure_a_run.py --load-config RUN/config.yml
"""

from pathlib import Path

import tyro

from lerf_wild.cli.measuring import measure
from lerf_wild.cli.runs import open_run

RUN = Path("outputs/examples/training/habitat/lerf-wild-tiny/run/config.yml")


def main(load_config: Path = RUN, labels: Path | None = None) -> None:
    """Prints all figures, and the phrases from the worst to the best.

    Args:
        load_config: The run's config.yml; that of example 03 by default.
        labels: Folder of label files; the scene's own by default.
    """
    result = measure(open_run(load_config), labels)
    for name, value in result.figures().items():
        print(f"{name:24} {value:.3f}")
    worst_first = sorted(
        result.labels.by_phrase().items(), key=lambda item: item[1]["localisation_accuracy"]
    )
    for phrase, figures in worst_first:
        hits, pairs = figures["localisation_accuracy"], figures["labelled_pairs"]
        print(f"{phrase:24} found in {hits:4.0%} of {pairs} views, mIoU {figures['miou']:.2f}")


if __name__ == "__main__":
    tyro.cli(main)
