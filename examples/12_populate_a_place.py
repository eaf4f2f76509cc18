"""Takes an animal out of a trained place, puts another one in, and writes the scene as GLB.

python examples/12_populate_a_place.py --load-config RUN/config.yml --gone "zebra"
"""

from pathlib import Path

import tyro

from lerf_wild.cli.wildlife import wildlife_place
from lerf_wild.cli.wildlife_clear import wildlife_clear
from lerf_wild.cli.wildlife_edit import wildlife_list
from lerf_wild.cli.wildlife_export import wildlife_export

RUN = Path("outputs/examples/training/habitat/lerf-wild-tiny/run/config.yml")


def main(
    load_config: Path = RUN,
    gone: str | None = None,
    text: str = "a red deer grazing by the tree",
    output_dir: Path = Path("outputs/examples/populated"),
) -> None:
    """Changes what stands in the place; the trained field stays as it is.

    Args:
        load_config: The run's config.yml; that of example 03 by default.
        gone: What to take out, in words; nothing when left out.
        text: What to put in, and by what.
        output_dir: Folder of the GLB and of the views with masks and boxes.
    """
    if gone is not None:
        wildlife_clear(load_config, gone)
    wildlife_place(load_config, text)
    wildlife_list(load_config)
    wildlife_export(load_config, output_dir)


if __name__ == "__main__":
    tyro.cli(main)
