"""What a command that asks a run imports before it looks at the run, against nerfstudio's way.

Run with `python -m benchmarks.command_start --json FILE`. nerfstudio's way is its `eval_setup` and
a plain import of open_clip, which bring the configs of all methods and wandb. Each side imports in
processes of its own; figures are of processor time.
"""

import statistics
import subprocess
import sys

import tyro

from lerf_wild.cli.report import JsonFile, write_report

QUIET = "import time, warnings; warnings.simplefilter('ignore')\n"
TOLD = "print(time.process_time())"
OURS = """
from nerfstudio.engine.trainer import TrainerConfig
from lerf_wild.language.encoders import quiet_libraries
with quiet_libraries():
    import open_clip
"""
THEIRS = """
from nerfstudio.utils.eval_utils import eval_setup
import open_clip
"""


def main(repeats: int = 3, json_file: JsonFile = None) -> None:
    """Imports both ways in turn.

    Args:
        repeats: Processes of each.
        json_file: Where to write the figures.
    """
    pairs = [(_seconds(OURS), _seconds(THEIRS)) for _ in range(repeats)]
    ratios = [ours / theirs for ours, theirs in pairs]
    figures = {
        "ours_s": statistics.median(ours for ours, _ in pairs),
        "theirs_s": statistics.median(theirs for _, theirs in pairs),
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
    }
    for name, value in figures.items():
        print(f"{name:12}{value:.2f}")
    write_report(json_file, figures)


def _seconds(imports: str) -> float:
    words = [sys.executable, "-c", QUIET + imports + TOLD]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    tyro.cli(main)
