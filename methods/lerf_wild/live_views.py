"""Views of a viewer: the camera moves, stops, and phrases change while it is still.

A camera that moves is answered at the sizes of the view before; one that is rendered a second time,
as viewers do once it rests, is answered in full and kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from lerf_wild.live.painting import paint
from lerf_wild.live.question import Question
from lerf_wild.methods.lerf_wild.compositing import composite
from lerf_wild.methods.lerf_wild.kept_view import KeptView
from lerf_wild.methods.lerf_wild.scale_search import TopSamples, fold_query, relevancy_at_indices
from lerf_wild.methods.lerf_wild.view_query import (
    LANGUAGE_CHUNK,
    choose_sizes,
    plain_view,
    shade_view,
    view_subset,
)

if TYPE_CHECKING:
    from lerf_wild.methods.lerf_wild.asking import AskedModel
    from lerf_wild.methods.lerf_wild.model import LerfWildModel

PAINTED = "phrases"
"""Name of the layer with all phrases in it. It is there without phrases too, so that a viewer that
shows it never finds it gone."""

MAX_VIEWS = 3
"""Still views that are kept: the low and the full resolution of one, and one of another user."""

MAX_BYTES = 1 << 30
"""Memory for their features in all."""

MOVING_PROBE = 256
"""Rays that choose the size of a phrase that is new while the camera moves."""


@dataclass(frozen=True)
class LiveAnswer:
    """What a view said of a question."""

    question: Question
    score_P: tuple[float, ...]
    size_P: tuple[float, ...]
    """Tile sizes in nerf units."""
    milliseconds: float
    """Time of the answer without the rendering of the picture."""
    is_still: bool


class ViewLayers(dict):
    """The layers of a view. Some are made when they are asked for; one that isn't there is `rgb`.

    nerfstudio's render thread reads the layer that a drop-down names, and dies when it is missing;
    phrases come and go while it reads.
    """

    def __init__(self, ready: dict[str, Tensor], lazy: dict[str, Callable[[], Tensor]]) -> None:
        # The layer that comes first is the one that a viewer shows first.
        painted = {PAINTED: ready[PAINTED]} if PAINTED in ready else {}
        super().__init__(painted | ready | dict.fromkeys(lazy))
        self._lazy = lazy

    def __getitem__(self, name: str) -> Tensor:
        make = self._lazy.pop(name, None)
        if make is not None:
            self[name] = make()
        return super().__getitem__(name)

    def __missing__(self, name: str) -> Tensor:
        return self["rgb"]


class LiveViews:
    """Answers questions on the views of one model, and keeps those that stand still."""

    def __init__(self, model: LerfWildModel, max_bytes: int = MAX_BYTES) -> None:
        self._model = model
        self._max_bytes = max_bytes
        self._views: tuple[KeptView, ...] = ()
        self._last_pose: Hashable = None
        self._sizes: dict[str, float] = {}
        self.on_answer: Callable[[LiveAnswer], None] = lambda answer: None

    @torch.no_grad()
    def layers(self, camera: Cameras, question: Question | None) -> ViewLayers:
        """Renders a camera and, with a question, its phrases."""
        version = picture_version(self._model)
        key, pose = (view_key(camera), version), (pose_key(camera), version)
        kept = next((view for view in self._views if view.key == key), None)
        is_still = kept is not None or self._last_pose == pose
        self._last_pose = pose
        if kept is not None:
            self._views = (kept, *(view for view in self._views if view is not kept))
        elif is_still:
            kept = self._keep(camera, key)
        elif question is None:
            layers = plain_view(self._model, _rays(camera))
            return ViewLayers(layers | {PAINTED: layers["rgb"]}, {})
        if kept is None:
            return self._moving(camera, question)
        if question is None:
            return ViewLayers(kept.layers | {PAINTED: kept.layers["rgb"]}, {})
        return self._still(kept, question)

    def latest(self) -> KeptView | None:
        """The still view that was asked last, for work ahead."""
        views = self._views
        return views[0] if views else None

    def forget(self) -> None:
        """Lets go of all kept views."""
        self._views = ()

    def resolution_of(self, camera: Cameras) -> tuple[int, int] | None:
        """Height and width of the largest kept view from where a camera is."""
        pose, version = pose_key(camera), picture_version(self._model)
        sizes = [view.shape for view in self._views if _is_from(view, pose, version)]
        return max(sizes, default=None)

    def _keep(self, camera: Cameras, key: Hashable) -> KeptView:
        layers, samples = shade_view(self._model, _rays(camera))
        share = self._max_bytes // MAX_VIEWS
        view = KeptView(self._model, key, layers, samples, share)
        version = key[1]
        current = [old for old in self._views if old.key[1] == version]
        self._views = (view, *current[: MAX_VIEWS - 1])
        return view

    def _still(self, view: KeptView, question: Question) -> ViewLayers:
        start = _now(self._model)
        relevancy_HWP, size_P = view.answer(question.query, question.sizes)
        relevancy_HWP = self._model.mixed_relevancy(view.layers, relevancy_HWP, question.query)
        milliseconds = (_now(self._model) - start) * 1e3
        self._tell(question, relevancy_HWP, size_P, milliseconds, is_still=True)
        return answered(view.layers, relevancy_HWP, question)

    def _moving(self, camera: Cameras, question: Question) -> ViewLayers:
        model = self._model
        layers, samples = shade_view(model, _rays(camera))
        start = _now(model)
        size_P = self._moving_sizes(samples, layers["rgb"].shape[:2], question)
        folded = fold_query(question.query, model.language.clip_head)
        used, index_P = size_P.unique(return_inverse=True)
        found_RP = relevancy_at_indices(
            model.language, samples, folded, used, index_P, model.basis_range, LANGUAGE_CHUNK
        )
        relevancy_HWP = found_RP.view(*layers["rgb"].shape[:2], -1)
        relevancy_HWP = model.mixed_relevancy(layers, relevancy_HWP, question.query)
        milliseconds = (_now(model) - start) * 1e3
        self._tell(question, relevancy_HWP, size_P, milliseconds, is_still=False)
        return answered(layers, relevancy_HWP, question)

    def _moving_sizes(
        self, samples: TopSamples, shape: tuple[int, int], question: Question
    ) -> Float[Tensor, "p"]:
        sizes_S, texts = self._model.query_sizes(), question.query.phrases
        if question.sizes is not None:
            return sizes_S.new_tensor(question.sizes)
        known = [self._sizes.get(text) for text in texts]
        if None not in known:
            return sizes_S.new_tensor(known)
        probe = samples.take(view_subset(*shape, MOVING_PROBE).to(sizes_S.device))
        folded = fold_query(question.query, self._model.language.clip_head)
        chosen = sizes_S[choose_sizes(self._model, probe, folded)]
        return sizes_S.new_tensor([old or new for old, new in zip(known, chosen.tolist())])

    def _tell(
        self,
        question: Question,
        relevancy_HWP: Tensor,
        size_P: Tensor,
        milliseconds: float,
        is_still: bool,
    ) -> None:
        scores, sizes = relevancy_HWP.amax(dim=(0, 1)).tolist(), size_P.tolist()
        if question.sizes is None:
            self._sizes = dict(zip(question.query.phrases, sizes))
        self.on_answer(LiveAnswer(question, tuple(scores), tuple(sizes), milliseconds, is_still))


def answered(
    layers: dict[str, Tensor], relevancy_HWP: Float[Tensor, "h w p"], question: Question
) -> ViewLayers:
    """Adds what the phrases say to the layers of a picture."""
    rgb = layers["rgb"]
    maps = relevancy_HWP.to(rgb.device).split(1, dim=-1)
    ready = layers | {PAINTED: paint(rgb, relevancy_HWP.to(rgb.device), question.look)}
    ready |= {f"relevancy_{index}": one for index, one in enumerate(maps)}
    lazy = {
        f"composited_{index}": lambda one=one: composite(rgb, one) for index, one in enumerate(maps)
    }
    return ViewLayers(ready, lazy)


def pose_key(camera: Cameras) -> Hashable:
    """What tells the place and lens of a camera from another's, whatever the resolution."""
    lens = (camera.fy / camera.height).flatten()[0]
    kind = int(camera.camera_type.flatten()[0])
    return (camera.camera_to_worlds.cpu().numpy().tobytes(), round(float(lens), 5), kind)


def view_key(camera: Cameras) -> Hashable:
    """What tells a camera's picture from another's."""
    return (pose_key(camera), int(camera.height.flatten()[0]), int(camera.width.flatten()[0]))


def picture_version(model: AskedModel) -> Hashable:
    """Changes whenever the pictures of a model do."""
    return (weights_version(model), model.items_version)


def weights_version(model: torch.nn.Module) -> int:
    """Changes whenever an optimiser or a checkpoint writes to the parameters."""
    return sum(parameter._version for parameter in model.parameters())


def _is_from(view: KeptView, pose: Hashable, version: Hashable) -> bool:
    (view_pose, *_), view_version = view.key
    return view_pose == pose and view_version == version


def _rays(camera: Cameras) -> object:
    return camera.generate_rays(camera_indices=0, keep_shape=True)


def _now(model: LerfWildModel) -> float:
    # A GPU works on after it has been told what to do.
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter()
