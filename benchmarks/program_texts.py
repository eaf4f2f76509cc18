"""How long a scene program that is none takes to be refused: code, bombs, near misses, noise.

    python -m benchmarks.program_texts --json FILE

The texts are those of the tests (`tests/support/hostile.py`), and random characters. The time of a
text is the median of several goes at it.
"""

from __future__ import annotations

import random
import runpy
import statistics
import time
from pathlib import Path

import tyro

from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.errors import SceneProgramError
from lerf_wild.program.parser import parse

TEXTS = Path(__file__).parents[1] / "tests" / "support" / "hostile.py"
BAR_MS = 50.0
NOISE_CHARACTERS = 20_000


def main(repeats: int = 5, noise: int = 40, seed: int = 0, json_file: JsonFile = None) -> None:
    """Times every text.

    Args:
        repeats: Goes at each text.
        noise: Texts of random characters besides.
        seed: What decides them.
        json_file: Where to write the figures as JSON.
    """
    draw = random.Random(seed)
    texts = [*runpy.run_path(str(TEXTS))["HOSTILE"], *(_noise(draw) for _ in range(noise))]
    timed = [_timed(text, repeats) for text in texts]
    wall, processor = ([row[i] for row in timed] for i in (0, 1))
    figures = {
        "texts": len(texts),
        "refused": statistics.mean(row[2] for row in timed),
        "worst_ms": max(wall),
        "worst_cpu_ms": max(processor),
        "median_ms": statistics.median(wall),
        "within_bar": statistics.mean(ms <= BAR_MS for ms in wall),
        "bar_ms": BAR_MS,
    }
    for name, value in figures.items():
        print(f"{name:14}{value:.4g}")
    print("worst:", ascii(texts[wall.index(max(wall))][:60]))
    write_report(json_file, figures, seed=seed)


def _noise(draw: random.Random) -> str:
    """Any characters, or those of the language in any order."""
    letters = "adehlocpixs_()[]=,.0123456789-\n #\"'" if draw.random() < 0.5 else None
    count = draw.randrange(1, NOISE_CHARACTERS)
    if letters is None:
        return "".join(chr(draw.randrange(0xD800)) for _ in range(count))
    return "".join(draw.choices(letters, k=count))


def _timed(text: str, repeats: int) -> tuple[float, float, bool]:
    """Milliseconds by the clock and of the processor, and whether the text was refused."""
    wall, processor, refused = [], [], True
    for _ in range(repeats):
        start, busy = time.perf_counter(), time.process_time()
        try:
            parse(text)
            refused = False
        except SceneProgramError:
            pass
        wall.append(1e3 * (time.perf_counter() - start))
        processor.append(1e3 * (time.process_time() - busy))
    return statistics.median(wall), statistics.median(processor), refused


if __name__ == "__main__":
    tyro.cli(main)
