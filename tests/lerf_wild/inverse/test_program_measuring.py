"""Figures with intervals, baselines that see nothing, and runs that go on where they stopped."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from lerf_wild.assets.library import starter_library
from lerf_wild.inverse import program_measuring
from lerf_wild.inverse.program_baselines import constant, medians, usual_of
from lerf_wild.inverse.program_evaluation import (
    Pair,
    Record,
    figures_of,
    record,
    records_of,
)
from lerf_wild.inverse.program_inference import Reading, read_pictures
from lerf_wild.inverse.program_intervals import interval, redrawn
from lerf_wild.inverse.program_likeness import Likeness
from lerf_wild.inverse.program_measuring import OURS, Contest, measure_series
from lerf_wild.inverse.program_numbers import read_numbers
from lerf_wild.inverse.program_reader import ProgramReader
from lerf_wild.inverse.program_use import OpenReader
from lerf_wild.program.frames import to_level
from lerf_wild.program.types import Program
from lerf_wild.render.scene_program import focal_px

torch.set_num_threads(1)


def records(rng, count):
    """Records of random figures; some have no pair, some facing nowhere."""
    rows = []
    for _ in range(count):
        pairs = tuple(
            Pair(bool(rng.random() < 0.7), *rng.random(3), float(rng.choice([np.nan, 9.0, 40.0])),
                 int(rng.integers(-1, 7)))
            for _ in range(rng.integers(0, 4))
        )  # fmt: skip
        rows.append(Record(3, int(rng.choice([2, 3])), pairs, {"clip_similarity": rng.random()}))
    return rows


def truths_of(samples):
    return [
        Reading(s.program, torch.tensor(s.boxes_K4), tuple((o.asset,) for o in s.program.objects),
                (1.0,) * len(s.boxes_K4))
        for s in samples
    ]  # fmt: skip


def test_an_interval_of_a_rate_is_that_of_the_binomial():
    rows = [Record(1, 1 if i % 4 else 0, ()) for i in range(200)]
    low, high = interval(redrawn(rows, draws=1000)["count_exact"])
    spread = 1.96 * np.sqrt(0.75 * 0.25 / 200)
    assert low == pytest.approx(0.75 - spread, abs=0.015)
    assert high == pytest.approx(0.75 + spread, abs=0.015)


def test_the_same_pictures_are_drawn_for_everyone():
    rng = np.random.default_rng(1)
    rows = records(rng, 30)
    first, second = redrawn(rows, 20), redrawn([replace(row) for row in rows], 20)
    assert set(first) == set(figures_of(rows))
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])
    # A naive look at one draw.
    places = np.random.default_rng(0).integers(30, size=(20, 30))[0]
    naive = [rows[i].guessed == rows[i].objects for i in places]
    assert first["count_exact"][0] == pytest.approx(np.mean(naive))


def test_nothing_matched_is_as_bad_as_can_be():
    told = figures_of([Record(2, 0, ())])
    assert told["yaw_error_deg"] == 180.0 and told["distance_error"] == 1.0
    assert figures_of([record(Program(), None)])["parse_rate"] == 0.0


def test_the_constant_program_is_the_median_of_the_scenes(samples):
    usual = usual_of([sample.program for sample in samples])
    said = constant(usual)
    counts = [len(sample.program.objects) for sample in samples]
    assert len(said.program.objects) == round(float(np.median(counts)))
    first = [sample.program.objects[0] for sample in samples]
    np.testing.assert_allclose(
        said.program.objects[0].height_m, np.median([item.height_m for item in first])
    )
    assert len(said.boxes_K4) == len(said.candidates) == len(said.program.objects)
    assert all(names[0] == item.asset for names, item in zip(said.candidates, said.program.objects))
    foot = said.boxes_K4[0, 3] - 128
    _, y, z = said.program.objects[0].loc_m
    assert float(foot) == pytest.approx(focal_px(said.program, 256) * y / z, abs=1e-3)


def test_medians_stand_where_the_boxes_are(samples):
    usual = usual_of([sample.program for sample in samples])
    truth = truths_of(samples)[0]
    said = medians(truth, usual)
    assert len(said.program.objects) == len(truth.program.objects)
    pitch = truth.program.settings.camera_pitch_deg
    for was, now in zip(truth.program.objects, said.program.objects):
        assert now.height_m == usual.item.height_m and now.kind == usual.item.kind
        assert now.loc_m[2] == usual.item.loc_m[2]
        one, two = (to_level(item.loc_m, pitch) for item in (was, now))
        gap = np.angle(np.exp(1j * (np.arctan2(one[1], one[0]) - np.arctan2(two[1], two[0]))))
        assert abs(gap) < np.radians(3)


class Looks:
    """Encodes a picture as its mean colour, and as its corner."""

    identity = "looks"

    def encode_images(self, images):
        return images.mean(dim=(2, 3))

    def patch_features(self, images):
        return images[:, :, :2, :2]


def test_a_picture_is_most_like_itself(samples):
    likeness = Likeness(Looks(), Looks(), lambda a, b: (a - b).abs().mean())
    rgb = samples[0].rgb
    same, other = likeness.between([rgb, rgb], [rgb, 255 - rgb])
    assert same == pytest.approx({"clip_similarity": 1.0, "dino_similarity": 1.0, "lpips": 0.0})
    assert other["clip_similarity"] < 1.0 and other["lpips"] > 0.1
    assert "lpips" not in Likeness(Looks(), Looks(), None).between([rgb], [rgb])[0]


@pytest.fixture
def contest(reader, templates, samples):
    from lerf_wild.inverse.program_detector import ground_embeddings

    ours = OpenReader(reader, templates, ground_embeddings(), 0.2, starter_library(), "ours")
    usual = usual_of([sample.program for sample in samples])
    return Contest(ours, {"again": replace(ours, key="again")}, usual, None)


def test_a_stopped_run_goes_on_and_gives_the_same_records(contest, samples, tmp_path, monkeypatch):
    piece = 2
    monkeypatch.setattr(program_measuring, "PIECE", piece)
    asked = []

    def draw(start, size):
        asked.append(start)
        return [samples[i % 3] for i in range(start, start + size)]

    series, count = {"name": "known", "seed": 1}, piece + 1
    whole = measure_series(contest, series, draw, count)
    assert {len(rows) for rows in whole.values()} == {count}
    assert set(whole) == {OURS, "one_template", "medians", "constant", "again"}
    assert figures_of(whole[OURS]) == figures_of(whole["again"])
    done = []
    asked.clear()
    measure_series(contest, series, draw, piece, tmp_path, done.append)
    again = measure_series(contest, series, draw, count, tmp_path)
    assert asked == [0, piece] and done == [piece]
    for name, rows in whole.items():
        assert figures_of(rows) == figures_of(again[name])
    other = replace(contest, reader=replace(contest.reader, key="other"))
    measure_series(other, series, draw, piece, tmp_path)
    (tmp_path / "known_00000.json").write_text("{}")
    measure_series(other, series, draw, piece, tmp_path)
    assert asked == [0, piece, 0, 0]
    json.loads((tmp_path / "known_00000.json").read_text())


def test_baselines_are_refined_as_the_reader_is(contest, samples, monkeypatch):
    asked = []

    def refined(self, reading, photo):
        asked.append(self.key)
        return reading

    monkeypatch.setattr(OpenReader, "refined", refined)
    records = replace(contest, refine=1).records(samples[:2], 1)
    assert asked == ["ours", "again"]
    assert len(records["refined"]) == len(records["refined_again"]) == 1
    assert figures_of(records["refined_again"]) == figures_of(records["again"][:1])


def test_a_reader_of_numbers_names_what_its_digits_say(samples, templates):
    from lerf_wild.inverse.program_decoder import DecoderSpec
    from lerf_wild.inverse.program_detector import ground_embeddings

    torch.manual_seed(0)
    model = ProgramReader(DecoderSpec(permuted_ids=True), 4).eval()
    model.names = ("a", "b", "c", "d")
    rgb = torch.from_numpy(np.moveaxis(samples[0].rgb, 2, 0))[None]
    reading = read_pictures(model, rgb, templates, ground_embeddings(), threshold=0.0)[0]
    assert len(reading.program.objects) > 0
    for item, names in zip(reading.program.objects, reading.candidates):
        assert item.asset == names[0] in model.names and len(set(names)) == len(names)
    assert len(read_numbers(model.decoder.digits, torch.zeros(0, 192), model.names)) == 0
    told = records_of(samples[:1], [reading])
    assert told[0].guessed == len(reading.program.objects)
