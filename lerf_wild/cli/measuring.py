"""Measures a run: its pictures against the held-out ones, its answers against labels."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lerf_wild.cli.answers import scene_scores
from lerf_wild.cli.quiet import quiet_nerfstudio
from lerf_wild.cli.runs import Run, ViewAnswer
from lerf_wild.cli.sampling import sample_scene, scene_sizes
from lerf_wild.cli.scores import LabelScores, existence_figures, mean
from lerf_wild.cli.truth import (
    LabelledView,
    camera_file,
    find_labels,
    labelled_views,
    match_views,
    read_truth,
)
from lerf_wild.errors import DatasetError
from lerf_wild.language.edges import fit_to_edges
from lerf_wild.language.relevancy import MAX_PHRASES
from lerf_wild.language.thresholds import EXISTENCE_RELEVANCY

if TYPE_CHECKING:
    from nerfstudio.cameras.cameras import Cameras

    from lerf_wild.cli.baked_views import BakedViews

EXISTENCE_POINTS = 30_000
IMAGE_METRICS = ("psnr", "ssim", "lpips")


@dataclass
class Measurement:
    """Everything that was measured."""

    images: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Per metric its value in each held-out view."""
    labels: LabelScores = field(default_factory=LabelScores)
    baked: LabelScores = field(default_factory=LabelScores)
    """The same of a baked scene, where one is measured too."""
    existence: dict[str, float] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    """Score of each phrase whose existence is known."""
    truths: dict[str, bool] = field(default_factory=dict)
    seconds: float = 0.0

    def figures(self) -> dict[str, float]:
        """Returns all figures under flat names; what could not be measured is left out."""
        images = {name: mean(self.images[name]) for name in IMAGE_METRICS if self.images[name]}
        labels = self.labels.figures() if self.labels.hits else {}
        if self.baked.hits:
            labels["baked_localisation_accuracy"] = self.baked.figures()["localisation_accuracy"]
            labels["baked_miou"] = self.baked.figures()["miou"]
        counts = {"held_out_views": len(self.images["psnr"]), "eval_seconds": self.seconds}
        return images | labels | self.existence | counts


@dataclass(frozen=True)
class Job:
    """One view to render: a camera, its picture's place in the data, and its labels."""

    name: str
    cameras: Cameras
    index: int
    is_held_out: bool
    labelled: LabelledView | None


def measure(
    run: Run,
    labels: Path | None = None,
    seed: int = 0,
    on_start: Callable[[int], Callable[[], None]] = lambda total: lambda: None,
    baked: BakedViews | None = None,
) -> Measurement:
    """Measures pictures and answers; each view is rendered once, with all its phrases.

    A baked scene of the run is asked about the same views. `on_start` is given the number of pieces
    of work and returns what to call after each. Raises DatasetError or InputError for labels that
    can't be used.
    """
    start = time.perf_counter()
    jobs = list(plan(run, labels))
    truth = read_truth(run.scene)
    training_views = len(run.dataset("train"))
    advance = on_start(len(jobs) + (training_views if truth else 0))
    result = Measurement()
    sizes = _sizes_of_phrases(run, jobs, seed)
    for job in jobs:
        _measure_view(run, job, result, sizes, baked)
        advance()
    if truth is not None and truth.present:
        phrases = tuple(dict.fromkeys((*truth.present, *truth.absent)))
        result.scores = phrase_scores(run, phrases, seed, advance)
        result.truths = {phrase: phrase in truth.present for phrase in phrases}
        result.existence = existence_figures(
            result.scores, truth.present, truth.absent, EXISTENCE_RELEVANCY
        )
    result.seconds = time.perf_counter() - start
    return result


def plan(run: Run, labels: Path | None) -> Iterator[Job]:
    """Yields the views to render: all held-out ones, and those that labels need besides.

    Raises DatasetError when labels are given and no view can be found for them.
    """
    held_out = _names(run, "held-out")
    path = find_labels(run.scene, labels)
    views = labelled_views(path, run.scene) if path is not None else ()
    cameras = run.dataset("held-out").cameras
    matched = match_views(views, held_out)
    for index, name in enumerate(held_out):
        yield Job(name, cameras, index, True, matched.get(name))
    if matched or not views:
        return
    # Pictures that were trained on say less, but labels of nothing else may be there.
    training = _names(run, "train")
    matched = match_views(views, training)
    if not matched:
        yield from _free_views(path, views)
        return
    for index, name in enumerate(training):
        if name in matched:
            yield Job(name, run.dataset("train").cameras, index, False, matched[name])


def phrase_scores(
    run: Run,
    phrases: tuple[str, ...],
    seed: int = 0,
    on_view: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Returns the score in the whole scene of any number of phrases."""
    found: dict[str, float] = {}
    for start in range(0, len(phrases), MAX_PHRASES):
        part = phrases[start : start + MAX_PHRASES]
        notify = on_view if start == 0 else (lambda: None)
        scene = sample_scene(run, run.query(part), EXISTENCE_POINTS, seed, notify)
        found |= dict(zip(part, scene_scores(scene.points.relevancy_NP).tolist(), strict=True))
    return found


def _sizes_of_phrases(run: Run, jobs: list[Job], seed: int) -> dict[str, torch.Tensor]:
    """The size at which each labelled phrase is looked for, from the training views."""
    phrases = tuple({name: None for job in jobs if job.labelled for name in job.labelled.phrases})
    found: dict[str, torch.Tensor] = {}
    for start in range(0, len(phrases), MAX_PHRASES):
        part = phrases[start : start + MAX_PHRASES]
        found |= dict(zip(part, scene_sizes(run, run.query(part), seed), strict=True))
    return found


def _measure_view(
    run: Run,
    job: Job,
    result: Measurement,
    sizes: dict[str, torch.Tensor],
    baked: BakedViews | None,
) -> None:
    phrases = job.labelled.phrases if job.labelled is not None else ()
    answer = None
    for start in range(0, len(phrases), MAX_PHRASES):
        part = phrases[start : start + MAX_PHRASES]
        size_index_P = torch.stack([sizes[phrase] for phrase in part])
        answer = run.answer(job.cameras, job.index, run.query(part), size_index_P)
        fitted_HWP = fit_to_edges(answer.relevancy_HWP, answer.rgb_HW3)
        result.labels.add(job.name, job.labelled, part, answer.relevancy_HWP, fitted_HWP)
        if baked is not None:
            maps_HWP = baked.maps(run, job.cameras, job.index, answer, part)
            fitted_HWP = fit_to_edges(maps_HWP, answer.rgb_HW3)
            result.baked.add(job.name, job.labelled, part, maps_HWP, fitted_HWP)
    if job.is_held_out:
        answer = answer or run.answer(job.cameras, job.index, None)
        for name, value in _image_metrics(run, job.index, answer).items():
            result.images[name].append(value)


def _image_metrics(run: Run, index: int, answer: ViewAnswer) -> dict[str, float]:
    batch = run.dataset("held-out")[index]
    outputs = {name: value.to(run.model.device) for name, value in answer.outputs.items()}
    with torch.no_grad(), quiet_nerfstudio():
        metrics, _ = run.model.get_image_metrics_and_images(outputs, batch)
    return {name: float(metrics[name]) for name in IMAGE_METRICS if name in metrics}


def _names(run: Run, split: str) -> list[str]:
    return [Path(path).name for path in run.dataset(split).image_filenames]


def _free_views(path: Path, views: tuple[LabelledView, ...]) -> Iterator[Job]:
    """Views that are no pictures of the capture: their cameras lie beside the labels."""
    from lerf_wild.cli.camera_paths import read_camera_path

    cameras_path = camera_file(path)
    if cameras_path is None:
        raise DatasetError(
            f"{path}: none of its {len(views)} labelled views is a picture of this capture.\n"
            "Labels name pictures by imagePath or by their file name; or put keyframes.json beside."
        )
    cameras = read_camera_path(cameras_path)
    for one in views:
        index = one.labels.index
        if index is None or not 0 <= index < len(cameras):
            raise DatasetError(
                f"{path}: the labels {one.labels.name!r} have no camera in {cameras_path.name}, "
                f"which holds {len(cameras)}."
            )
        sized = cameras[index : index + 1]
        sized.rescale_output_resolution(one.labels.height / float(sized.height[0]))
        yield Job(one.labels.name, sized, 0, False, one)
