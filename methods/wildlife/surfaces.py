"""Surface points of a trained field, made once and kept in the cache folder."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from lerf_wild.cli.sampling import sample_surface
from lerf_wild.errors import WildlifeError
from lerf_wild.frames import Placed
from lerf_wild.methods.wildlife.witnesses import ground_views
from lerf_wild.wildlife.ground import find_ground
from lerf_wild.wildlife.ground_views import GroundView
from lerf_wild.wildlife.levelling import MIN_VIEWS, agreed_sheet
from lerf_wild.wildlife.sheet import Sheet
from lerf_wild.wildlife.stage import Stage
from lerf_wild.wildlife.surroundings import POINTS, Surroundings, kept_surroundings


class RunPlace(Placed):
    """Where the frames of a pipeline's training are."""

    def __init__(self, pipeline: Any) -> None:
        outputs = pipeline.datamanager.train_dataparser_outputs
        self.transform_34 = outputs.dataparser_transform.double().cpu().numpy()[:3]
        self.scale = float(outputs.dataparser_scale)
        self.meters_per_unit = outputs.metadata.get("meters_per_unit")


def surroundings_of(pipeline: Any) -> Surroundings:
    """Points of the field's own surfaces, without any item; some seconds the first time.

    The ground is where the photos agree (see `wildlife.levelling`).

    Raises ExportError when the run shows no surface.
    """
    stage = Stage(RunPlace(pipeline))
    described = {"weights": weights_hash(pipeline.model), "metres": stage.metres}
    return kept_surroundings(described, lambda: _sampled(pipeline, stage))


def weights_hash(model: Any) -> str:
    """Hash of the parameters of a model."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _sampled(pipeline: Any, stage: Stage) -> Surroundings:
    model = pipeline.model
    cameras = pipeline.datamanager.train_dataset.cameras
    items, was_training = getattr(model, "_items", None), model.training
    # The items stand on the field's ground and have no part in what it is.
    model.eval()
    if items is not None:
        model._items = []
    try:
        found = sample_surface(model, cameras, POINTS)
        views = ground_views(pipeline, stage)
    finally:
        model.train(was_training)
        if items is not None:
            model._items = items
    points = stage.from_nerf(np.asarray(found.positions_N3))
    return Surroundings(points, np.asarray(found.colours_N3), _levelled(points, views))


def _levelled(points_N3: np.ndarray, views: list[GroundView]) -> Sheet | None:
    if len(views) < MIN_VIEWS:
        return None
    try:
        ground = find_ground(points_N3)
    except WildlifeError:
        # A place without a ground; whoever asks for one is told.
        return None
    return agreed_sheet(ground, points_N3, views) if ground.is_known_GG.any() else None
