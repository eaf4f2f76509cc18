"""Search of a whole asset library: blocked products against cosines computed query by query.

    python -m benchmarks.retrieval --json FILE

RAW's library has 6,000 assets with 72 templates each: 432,000 rows, looked through for the 25
objects of a picture. The product is `asset_scores` and `top_assets` of `lerf_wild.assets.search`;
the baseline normalises the library and takes its cosines for one query after the other, and sorts
all rows. Rows are random unit vectors: the work does not depend on what they hold.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from lerf_wild.assets.search import asset_scores, top_assets
from lerf_wild.cli.report import write_report

TEMPLATES = 72


def blocked(queries_QD: Tensor, templates_ATD: Tensor, k: int) -> Tensor:
    """The product's way: the k best assets of each query, (Q, k)."""
    scores, _ = asset_scores(queries_QD, templates_ATD)
    return top_assets(scores, k)[1]


def one_by_one(queries_QD: Tensor, templates_ATD: Tensor, k: int) -> Tensor:
    """The obvious way: cosine of every row, all rows sorted, assets in the order they turn up."""
    rows = templates_ATD.flatten(0, 1)
    found = []
    for query in queries_QD:
        cosines = rows @ query / rows.norm(dim=1)
        assets = (cosines.argsort(descending=True) // templates_ATD.shape[1]).tolist()
        found.append(list(dict.fromkeys(assets))[:k])
    return torch.tensor(found)


def library(assets: int, dim: int, seed: int) -> Tensor:
    """Random unit vectors, (A, T, D) float32."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(assets, TEMPLATES, dim, generator=generator)
    return rows.div_(rows.norm(dim=-1, keepdim=True))


def _timed(run: Callable[[], Tensor]) -> tuple[float, float, Tensor]:
    """Milliseconds by the clock and of the processor, and the result."""
    wall, processor = time.perf_counter(), time.process_time()
    result = run()
    return 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - processor), result


def main(
    rows: int = 432_000,
    queries: int = 25,
    dim: int = 1024,
    k: int = 5,
    repeats: int = 5,
    threads: int = 2,
    seed: int = 0,
    json: Path | None = None,
) -> None:
    """Time both ways in turn and print milliseconds for all queries.

    Args:
        rows: Templates of the library, in whole assets of 72.
        queries: Embeddings that are looked for.
        dim: Dimensions of an embedding; RAW's have 1,024, wild-clip's 128.
        k: Assets that are kept for each query.
        repeats: Timed rounds, after one that is not timed.
        threads: Processor threads.
        seed: Of the random vectors.
        json: Where to write the figures.
    """
    torch.set_num_threads(threads)
    templates = library(rows // TEMPLATES, dim, seed)
    picked = templates[:: max(len(templates) // queries, 1), 5][:queries]
    noise = torch.randn(picked.shape, generator=torch.Generator().manual_seed(seed + 1))
    asked = torch.nn.functional.normalize(picked + 0.5 * noise / dim**0.5, dim=-1)
    ours, theirs, busy = [], [], []
    same = True
    for round_number in range(repeats + 1):
        fast_ms, fast_cpu_ms, fast = _timed(lambda: blocked(asked, templates, k))
        slow_ms, _, slow = _timed(lambda: one_by_one(asked, templates, k))
        same &= bool(torch.equal(fast[:, 0], slow[:, 0]))
        if round_number:
            ours.append(fast_ms)
            theirs.append(slow_ms)
            busy.append(fast_cpu_ms)
    ratios = [slow / fast for slow, fast in zip(theirs, ours)]
    figures = {
        "ms": statistics.median(ours),
        "cpu_ms": statistics.median(busy),
        "ms_low": min(ours),
        "ms_high": max(ours),
        "baseline_ms": statistics.median(theirs),
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "same_answers": same,
        "rows": len(templates) * TEMPLATES,
        "queries": len(asked),
        "dim": dim,
        "threads": threads,
    }
    for name, value in figures.items():
        print(f"{name:14}{value}")
    write_report(json, figures, seed=seed)


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
