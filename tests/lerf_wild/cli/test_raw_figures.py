"""The table of `raw eval`."""

from rich.console import Console

from lerf_wild.cli.raw_figures import UNREFINED, figures_table, flat_figures
from lerf_wild.inverse.program_evaluation import Pair, Record
from lerf_wild.inverse.program_measuring import OURS, REFINED


def row(guessed: int, distance: float) -> Record:
    pair = Pair(True, 0.01, distance, 0.05, 10.0, 0)
    return Record(2, guessed, (pair,))


def test_refined_figures_stand_beside_those_of_the_same_pictures():
    ours = [row(3, 0.2), row(2, 0.1), row(2, 0.1)]
    results = {"seen": {OURS: ours, REFINED: [row(3, 0.1)]}}
    table = figures_table(results)
    told = {str(c.header): list(c.cells) for c in table.columns}
    rows = {str(name): i for i, name in enumerate(told["figure"])}
    at = rows["count_exact"]
    assert [told[title][at] for title in (OURS, UNREFINED, REFINED)] == [".67", ".00", ".00"]
    assert [told[t][rows["distance_error"]] for t in (UNREFINED, REFINED)] == [".20", ".10"]
    flat = flat_figures(results)
    assert flat["before_count_exact"] == flat["refined_count_exact"] == 0.0
    assert flat["refined_gain_distance_error"] == 0.5
    Console(width=150).print(table)


def test_a_refined_baseline_stands_against_the_refined_reader():
    ours, theirs = [row(2, 0.2), row(2, 0.2)], [row(2, 0.3), row(2, 0.5)]
    refined = {REFINED: [row(2, 0.1)], f"{REFINED}_theirs": [row(2, 0.4)]}
    flat = flat_figures({"seen": {OURS: ours, "theirs": theirs} | refined})
    assert abs(flat["over_theirs_distance_error"] - 0.2) < 1e-9
    assert abs(flat["over_refined_theirs_distance_error"] - 0.3) < 1e-9
    assert flat["refined_theirs_distance_error"] == 0.4
