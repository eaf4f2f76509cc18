"""Fits an animal to keypoints and a silhouette, from where the regressor puts it.

Symbols: J joints (35), K betas, P keypoints (26), V vertices, M points. Places are -1 to 1 across
the square around the photo; camera axes are the photo's, model units.

A silhouette pulls in both directions: vertices that fall outside of it go to where it is near, and
points of its outline pull the nearest vertex. Neither needs a differentiable renderer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import roma
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn import functional

from lerf_wild.animals.body import BodyModel
from lerf_wild.errors import InputError
from lerf_wild.inverse.animal_network import nearest_rotations
from lerf_wild.synth.genzoo_signals import Parameters

OUTLINE_POINTS = 300


@dataclass(frozen=True)
class FitSpec:
    """How long to fit, and how strongly what holds the animal to."""

    steps: int = 200
    learning_rate: float = 0.02
    keypoints: float = 1.0
    silhouette: float = 0.5
    outline: float = 0.5
    pose: float = 0.02
    """Holds joints near to where they began."""
    shape: float = 0.004


@dataclass(frozen=True)
class Fitted:
    """What a fit has come to."""

    parameters: Parameters
    keypoint_error: float
    """Mean distance in the picture, of picture widths; NaN without keypoints."""
    silhouette_iou: float
    """NaN without a silhouette."""
    loss_before: float
    loss_after: float


@dataclass(frozen=True)
class Evidence:
    """What a photo says: keypoints (P, 3: x, y, weight 0-1) and a mask (D, D) over its square."""

    keypoints_P3: Tensor | None = None
    mask_DD: NDArray[np.bool_] | None = None


def fit(
    model: BodyModel,
    start: Parameters,
    evidence: Evidence,
    spec: FitSpec | None = None,
    on_step: Callable[[], None] = lambda: None,
) -> Fitted:
    """Improves parameters until they agree with keypoints, a silhouette, or both.

    Raises:
        InputError: there is no evidence, it has the wrong shape, or isn't finite.
    """
    spec = spec or FitSpec()
    _check(model, evidence)
    state = _State(start)
    pulls = _Silhouette(evidence.mask_DD) if evidence.mask_DD is not None else None
    optimiser = torch.optim.Adam(state.groups(spec.learning_rate))
    before = last = float("nan")
    best: tuple[float, Parameters] | None = None
    for step in range(spec.steps + 1):
        loss = _loss(model, state, evidence, pulls, spec)
        last = float(loss.detach())
        before = last if step == 0 else before
        if np.isfinite(last) and (best is None or last < best[0]):
            best = last, state.parameters(start.fov_rad)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        on_step()
    if best is None:
        raise InputError("The fit has no finite start; give other keypoints or another box.")
    found = best[1]
    error = _keypoint_error(model, found, evidence)
    iou = float("nan") if evidence.mask_DD is None else mask_iou(model, found, evidence.mask_DD)
    return Fitted(found, error, iou, before, best[0])


def mask_iou(model: BodyModel, found: Parameters, mask_DD: NDArray[np.bool_]) -> float:
    """Overlap of the animal's silhouette with a mask."""
    from lerf_wild.synth.genzoo_signals import make_signals, silhouette_iou

    return silhouette_iou(make_signals(model, found, len(mask_DD), 0).mask_HW, mask_DD)


class _State:
    """What is optimised: betas, turns of joints, and the place."""

    def __init__(self, start: Parameters) -> None:
        self.start_J33 = nearest_rotations(torch.from_numpy(start.rotations_J33))
        self.betas_K = torch.from_numpy(start.betas_K.copy()).requires_grad_()
        self.turns_J3 = torch.zeros(len(self.start_J33), 3, requires_grad=True)
        self.shift_3 = torch.from_numpy(start.translation_3.copy()).requires_grad_()
        self.first_betas_K = self.betas_K.detach().clone()
        self.k = float(1.0 / np.tan(0.5 * start.fov_rad))

    def groups(self, rate: float) -> list[dict]:
        """Parameters with their rates; far animals move in longer steps."""
        far = float(self.shift_3[2].detach().abs().clamp_min(1.0))
        return [
            {"params": [self.turns_J3], "lr": rate},
            {"params": [self.betas_K], "lr": rate},
            {"params": [self.shift_3], "lr": 0.2 * rate * far},
        ]

    def rotations(self) -> Tensor:
        """Local rotations (J, 3, 3)."""
        return self.start_J33 @ roma.rotvec_to_rotmat(self.turns_J3)

    def parameters(self, fov_rad: float) -> Parameters:
        """The state as numbers."""
        with torch.no_grad():
            parts = (self.betas_K, self.rotations(), self.shift_3)
            return Parameters(*(part.detach().numpy().copy() for part in parts), fov_rad)


class _Silhouette:
    """How far places are from a mask, and points of its outline."""

    def __init__(self, mask_DD: NDArray[np.bool_]) -> None:
        side = len(mask_DD)
        away = distance_transform_edt(~mask_DD) * (2.0 / side)
        self.away_11DD = torch.from_numpy(away).float()[None, None]
        inner = distance_transform_edt(mask_DD)
        rows, columns = np.nonzero(mask_DD & (inner <= 1.0))
        pick = np.linspace(0, len(rows) - 1, min(OUTLINE_POINTS, len(rows))).astype(int)
        spots = (np.stack([columns[pick], rows[pick]], -1) + 0.5) * (2.0 / side) - 1.0
        self.outline_M2 = torch.from_numpy(spots).float()

    def outside(self, spots_V2: Tensor) -> Tensor:
        """Mean distance of places to the mask; those inside count 0."""
        found = functional.grid_sample(
            self.away_11DD, spots_V2[None, None], align_corners=False, padding_mode="border"
        )
        beyond = (spots_V2.abs() - 1.0).clamp_min(0.0).sum(-1)
        return (found[0, 0, 0] + beyond).mean()

    def unreached(self, spots_V2: Tensor) -> Tensor:
        """Mean distance from the outline to the nearest place."""
        return torch.cdist(self.outline_M2, spots_V2).amin(1).mean()


def _loss(model, state: _State, evidence: Evidence, pulls: _Silhouette | None, spec) -> Tensor:
    posed = model.pose(state.betas_K, state.rotations(), state.shift_3)
    loss = spec.shape * (state.betas_K - state.first_betas_K).square().mean()
    loss = loss + spec.pose * state.turns_J3[1:].square().sum(-1).mean()
    if evidence.keypoints_P3 is not None:
        far = _distances(posed.keypoints, state.k, evidence.keypoints_P3)
        weight = evidence.keypoints_P3[:, 2]
        loss = loss + spec.keypoints * (weight * far).sum() / weight.sum().clamp_min(1e-6)
    if pulls is not None:
        spots = _shown(posed.vertices[::3], state.k)
        loss = loss + spec.silhouette * pulls.outside(spots)
        loss = loss + spec.outline * pulls.unreached(spots)
    return loss


def _shown(points_N3: Tensor, k: float) -> Tensor:
    return k * points_N3[:, :2] / points_N3[:, 2:].clamp_min(0.05)


def _distances(points_P3: Tensor, k: float, keypoints_P3: Tensor) -> Tensor:
    # Robust: a keypoint that is plainly wrong must not bend the whole animal.
    gap = (_shown(points_P3, k) - keypoints_P3[:, :2]).square().sum(-1)
    return 0.1 * ((1.0 + gap / 0.01).sqrt() - 1.0)


def _keypoint_error(model: BodyModel, found: Parameters, evidence: Evidence) -> float:
    if evidence.keypoints_P3 is None:
        return float("nan")
    spots = found.project(found.posed(model).keypoints.numpy())
    wanted = evidence.keypoints_P3.numpy()
    far = 0.5 * np.linalg.norm(spots - wanted[:, :2], axis=1)
    return float((far * wanted[:, 2]).sum() / max(wanted[:, 2].sum(), 1e-6))


def _check(model: BodyModel, evidence: Evidence) -> None:
    points, mask = evidence.keypoints_P3, evidence.mask_DD
    if points is None and mask is None:
        raise InputError("A fit needs keypoints, a mask, or both.")
    count = len(model.keypoint_names)
    if points is not None and (
        tuple(points.shape) != (count, 3)
        or not torch.isfinite(points).all()
        or not (points[:, 2] > 0).any()
    ):
        raise InputError(
            f"Keypoints are {count} rows of x, y and a weight, all finite, at least one above 0; "
            f"got {tuple(points.shape)}."
        )
    if mask is not None and not mask.any():
        raise InputError("The mask is empty; it must be white where the animal is.")
