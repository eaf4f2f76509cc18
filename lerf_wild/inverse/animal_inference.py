"""From a photo to an animal: where it is, its shape, pose and camera.

Symbols: B crops, J joints (35), K betas, Q points. Places are -1 to 1 across the square around the
photo; camera axes are the photo's (x right, y down, z forward), model units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lerf_wild.animals.body import BodyModel
from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.errors import InputError, ModelFileError
from lerf_wild.inverse.animal_bodies import joint_body
from lerf_wild.inverse.animal_crops import Crops, box_crops, crop_turns, from_crop
from lerf_wild.inverse.animal_network import AnimalNetwork, AnimalOutputs
from lerf_wild.inverse.animal_photos import Photo
from lerf_wild.inverse.animal_samples import MARGIN
from lerf_wild.inverse.animal_views import GLANCES, Glance, answers_at, mean_answer, spread
from lerf_wild.inverse.animal_weights import BUNDLED, load_network
from lerf_wild.synth.genzoo_signals import Parameters

ROUNDS = 3
"""Looks at a photo without a box: each at where the last one saw the animal."""
LEAST_PRESENCE = 0.5


@dataclass(frozen=True)
class Regressor:
    """A network and the body that it was trained for."""

    network: AnimalNetwork
    model: BodyModel


@dataclass(frozen=True)
class Recovered:
    """One animal of a photo."""

    parameters: Parameters
    presence: float
    """Probability that there is an animal, according to the network."""
    points_Q2: NDArray[np.float32]
    """Where the network sees keypoints and joints."""
    box_4: NDArray[np.float64]
    """Left, top, right, bottom of what was looked at."""
    spread: float | None = None
    """How far the answers of single glances are from each other (`animal_views.spread`)."""


def load_regressor(weights: Path | None = None, model: BodyModel | None = None) -> Regressor:
    """The bundled network, or one of a file.

    Raises:
        ModelFileError: the file is missing or broken, or of another body.
    """
    model = model or load_quadruped().model
    if weights is None and not BUNDLED.is_file():
        raise ModelFileError(
            "No weights of the animal regressor are installed. Train some with `lerf-wild synth "
            "genzoo` and `ns-train genzoo --data SHARDS`, and give them with --weights."
        )
    network, _ = load_network(weights or BUNDLED, model.sha256)
    return Regressor(network, model)


def recover(
    regressor: Regressor,
    photo: Photo,
    box_4: NDArray[np.floating] | None = None,
    fov_rad: float | None = None,
) -> Recovered:
    """The animal of a photo, or of a box in it.

    Args:
        regressor: Network and body.
        photo: Where to look.
        box_4: Left, top, right, bottom, -1 to 1; the network finds it when left out.
        fov_rad: Field of view of the longer side, where it is known; the network guesses it.

    Raises:
        InputError: there is no animal.
        ModelFileError: the network gives values that aren't finite.
    """
    crops = _whole() if box_4 is None else _around(torch.from_numpy(np.float32(box_4)))
    for _ in range(ROUNDS - 1 if box_4 is None else 0):
        (outputs,) = look(regressor.network, photo, crops, GLANCES[:1])
        spots = from_crop(outputs.points_BQ2, crops)[0]
        crops = _around(torch.cat([spots.amin(0), spots.amax(0)]).clamp(-1.0, 1.0))
    answers = look(regressor.network, photo, crops)
    outputs = mean_answer(answers, regressor.network.spec.raw_rotations)
    presence = float(outputs.presence_B.sigmoid())
    if presence < LEAST_PRESENCE:
        raise InputError(
            f"{photo.name}: shows no animal that can be made out (probability {presence:.2f}). "
            "Give a photo with one animal, or its box with --box or --detections."
        )
    found = _recovered(regressor, outputs, crops, presence, fov_rad)
    return replace(found, spread=float(spread(regressor.model, answers)))


@torch.no_grad()
def look(
    network: AnimalNetwork, photo: Photo, crops: Crops, glances: Sequence[Glance] = GLANCES
) -> list[AnimalOutputs]:
    """What the network says of one crop of a photo at each glance.

    Raises:
        ModelFileError: the network gives values that aren't finite.
    """
    answers = answers_at(network, photo.square_3DD[None], crops, glances)
    if not all(torch.isfinite(part).all() for answer in answers for part in answer[:5]):
        raise ModelFileError("The network's answer isn't finite; its weights are of no use.")
    return answers


def photo_parameters(
    model: BodyModel, outputs: AnimalOutputs, crops: Crops, fov_rad: float | None = None
) -> tuple[Tensor, Tensor, float]:
    """Rotations (J, 3, 3) and translation (3,) in the photo's camera axes, and its field of view.

    With a known field of view the animal keeps its size in the photo and moves to the distance that
    the field asks for.
    """
    half = crops.half_B[0]
    k = outputs.camera_B4[0, 3].exp() * half
    if fov_rad is not None:
        k = torch.tensor(1.0 / math.tan(0.5 * fov_rad))
    camera = outputs.camera_B4.clone()
    camera[:, 3] = (k / half).log()
    turn = crop_turns(crops, k[None])[0]
    root = turn @ outputs._replace(camera_B4=camera).root_B3()[0]
    rotations = outputs.rotations_BJ33[0].clone()
    rotations[0] = turn @ rotations[0]
    pivot = joint_body(model).pivot(outputs.betas_BK)[0]
    return rotations, root - pivot, 2.0 * math.atan(1.0 / float(k))


def _recovered(
    regressor: Regressor,
    outputs: AnimalOutputs,
    crops: Crops,
    presence: float,
    fov_rad: float | None,
) -> Recovered:
    rotations, shift, fov = photo_parameters(regressor.model, outputs, crops, fov_rad)
    parameters = Parameters(
        outputs.betas_BK[0].numpy(), rotations.numpy(), shift.numpy().astype(np.float32), fov
    )
    spots = from_crop(outputs.points_BQ2, crops)[0].numpy()
    middle, half = crops.middle_B2[0].numpy(), float(crops.half_B[0])
    return Recovered(parameters, presence, spots, np.concatenate([middle - half, middle + half]))


def _whole() -> Crops:
    return Crops(torch.zeros(1, 2), torch.ones(1), torch.zeros(1))


def _around(box_4: Tensor) -> Crops:
    return box_crops(box_4[None, :2], box_4[None, 2:], MARGIN)
