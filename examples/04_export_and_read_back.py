"""Exports a relevancy point cloud, reads it back, and keeps the points of one phrase.

python examples/04_export_and_read_back.py --load-config RUN/config.yml --phrase "pine tree"
"""

from pathlib import Path

import numpy as np
import tyro
from rich.console import Console

from lerf_wild.cli.export import write_export
from lerf_wild.cli.runs import open_run
from lerf_wild.export.ply import read_cloud

RUN = Path("outputs/examples/training/habitat/lerf-wild-tiny/run/config.yml")


def main(
    load_config: Path = RUN,
    phrase: str = "tree",
    output_dir: Path = Path("outputs/examples/cloud"),
    num_points: int = 100_000,
) -> None:
    """Writes the cloud and says where the most relevant hundredth of it is.

    Args:
        load_config: The run's config.yml; that of example 03 by default.
        phrase: What to look for.
        output_dir: Folder of the cloud.
        num_points: Number of points.
    """
    made = write_export(
        Console(), open_run(load_config), [phrase], output_dir, num_points=num_points
    )

    cloud = read_cloud(made["file"])
    scores_N = cloud.relevancy_NP[:, 0]
    chosen_N3 = cloud.positions_N3[scores_N >= np.quantile(scores_N, 0.99)]
    low, high = chosen_N3.min(axis=0).round(1), chosen_N3.max(axis=0).round(1)
    print(f"{made['file']}: {len(cloud)} points")
    print(f"{phrase}: the best hundredth lies between {low} and {high} (x y z, world)")


if __name__ == "__main__":
    tyro.cli(main)
