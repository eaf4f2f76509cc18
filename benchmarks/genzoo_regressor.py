"""How well the regressor of animals does on generated pictures that it has never seen the like of.

    lerf-wild synth genzoo --output-dir test --num 2000 --size 128 --signals False --split test
    python -m benchmarks.genzoo_regressor --data test --json genzoo.json

Species, grounds and plants of the test split are in no training picture; coats are drawn anew. The
baseline is the mean pose and shape, seen from the side; `ratio` is the smallest of the ratios of
errors between the two. Each figure has its 95 % bootstrap interval over pictures. The last line
says how well the spread of glances tells errors.
"""

from __future__ import annotations

from pathlib import Path

import torch
import tyro
from scipy.stats import spearmanr
from torch import Tensor

from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.animals.metrics import interval
from lerf_wild.cli.animal_infer import UNSURE_SPREAD
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.inverse.animal_bodies import joint_body
from lerf_wild.inverse.animal_evaluation import PCKS, per_animal
from lerf_wild.inverse.animal_samples import load_samples
from lerf_wild.inverse.animal_views import GLANCES
from lerf_wild.inverse.animal_weights import BUNDLED, load_network

BARS = {"pck_05": 0.97, "s_mpjpe": 100.0, "pa_mpjpe": 70.0, "pa_v2v": 40.0}
"""What the bundled weights are held to: at least the first, at most the others."""
ON_ANIMAL3D = {"pck_05": 0.970, "s_mpjpe": 160.1, "pa_mpjpe": 116.6}
"""The paper's row on Animal3D, another set of pictures: printed beside, not to be compared."""
ERRORS = ("s_mpjpe", "pa_mpjpe", "s_v2v", "pa_v2v")


def main(
    data: Path,
    weights: Path = BUNDLED,
    most: int | None = None,
    narrow_crop: bool = False,
    glances: int = len(GLANCES),
    json_file: JsonFile = None,
) -> None:
    """Measures weights and the mean pose on shards.

    Args:
        data: Shards of `lerf-wild synth genzoo --split test`.
        weights: Weights of the regressor.
        most: Pictures to measure on; all when left out.
        narrow_crop: Blanks an eighth of the crop on either side, for weights trained so.
        glances: Crops of each animal whose answers are averaged; `animal infer` takes all.
        json_file: Where to write the figures as JSON.
    """
    model = load_quadruped().model
    network, _ = load_network(weights, model.sha256)
    samples = load_samples(data, joint_body(model), model.sha256, most)
    with torch.no_grad():
        rows = [
            per_animal(net, samples, narrow_crop, True, GLANCES[:glances])
            for net in (network, None)
        ]
        found, nothing = (_figures(part) for part in rows)
    figures = {"pictures": len(samples), **found, **{f"mean_{k}": v for k, v in nothing.items()}}
    figures["ratio"] = min(nothing[name] / found[name] for name in ERRORS)
    print(f"{'figure':12}{'network':>10}{'95 %':>20}{'mean pose':>12}{'bar':>8}{'on Animal3D':>14}")
    for name in (*PCKS, *ERRORS):
        low, high = found[f"{name}_low"], found[f"{name}_high"]
        print(
            f"{name:12}{found[name]:10.4g}{f'{low:.4g} - {high:.4g}':>20}{nothing[name]:12.4g}"
            f"{BARS.get(name, ''):>8}{ON_ANIMAL3D.get(name, ''):>14}"
        )
    figures |= _trust(rows[0]["spread"], rows[0]["pa_v2v"])
    print(
        "spread of glances: rank correlation {spread_correlation:.2f} with PA-V2V; {unsure:.3f} of "
        "animals are over {limit:.0f}, PA-V2V {unsure_pa_v2v:.1f}, of the others "
        "{sure_pa_v2v:.1f}".format(limit=UNSURE_SPREAD, **figures)
    )
    write_report(json_file, figures)


def _trust(spread_N: Tensor, error_N: Tensor) -> dict[str, float]:
    """How well it tells an answer's error how far single glances are apart."""
    is_unsure = spread_N > UNSURE_SPREAD
    return {
        "spread_correlation": float(spearmanr(spread_N, error_N).statistic),
        "unsure": float(is_unsure.double().mean()),
        "unsure_pa_v2v": float(error_N[is_unsure].mean()),
        "sure_pa_v2v": float(error_N[~is_unsure].mean()),
    }


def _figures(rows: dict[str, Tensor]) -> dict[str, float]:
    """Means of what `per_animal` gives, and their intervals."""
    figures, counted = {}, rows["counted_right"]
    for name in (*PCKS, *ERRORS):
        is_share = name.startswith("pck")
        values = rows[f"{name}_right"] if is_share else rows[name]
        found = interval(values, counted if is_share else None)
        figures |= {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}
    return figures


if __name__ == "__main__":
    tyro.cli(main)
