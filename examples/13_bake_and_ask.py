"""Bakes a run into one file and asks it, which needs no GPU, no torch and no nerfstudio.

python examples/13_bake_and_ask.py --load-config RUN/config.yml --phrases "pine tree" "red fox"
"""

from pathlib import Path

import tyro

from lerf_wild.baked.scene import open_baked
from lerf_wild.cli.bake import bake

RUN = Path("outputs/examples/training/habitat/lerf-wild-tiny/run/config.yml")


def main(
    load_config: Path = RUN,
    phrases: tuple[str, ...] = ("animal", "tree", "violin"),
    output_path: Path = Path("outputs/examples/scene.safetensors"),
) -> None:
    """Says of each phrase whether it is in the scene, and where.

    Args:
        load_config: The run's config.yml; that of example 03 by default.
        phrases: What to ask.
        output_path: The file to bake; one that is there is asked as it is.
    """
    if not output_path.is_file():
        bake(load_config, output_path, phrases)
    scene = open_baked(output_path)
    found = scene.ask(phrases)
    for phrase, present, score, place_3 in zip(
        phrases, found.present_P, found.score_P, scene.positions_of(found)
    ):
        where = " ".join(f"{value:.2f}" for value in place_3)
        print(f"{phrase}: {f'at {where}' if present else 'not there'} (score {score:.2f})")


if __name__ == "__main__":
    tyro.cli(main)
