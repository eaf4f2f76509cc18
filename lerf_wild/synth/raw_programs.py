"""Views of scenes as programs: the truth that a decoder is trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lerf_wild.program.frames import seen_yaw, yaw_of
from lerf_wild.program.types import Embedding, Program, SceneObject
from lerf_wild.synth.raw_scenes import SeenAsset, Shot

Appearance = Callable[[str, float], Embedding | None]
"""Asset name and yaw (rad) relative to the line of sight -> embedding of the template."""
GroundAppearance = Callable[[str], Embedding | None]


def no_appearance(name: str, yaw_rad: float) -> None:
    """Leaves `[CLIP]` open, for programs whose embeddings are made when they are read."""


def program_of(
    shot: Shot,
    appearance: Appearance = no_appearance,
    ground: GroundAppearance = lambda name: None,
) -> Program:
    """The program of a view, the largest object first, with the embeddings that are asked for."""
    name = shot.settings.ground_name
    settings = replace(shot.settings, ground=None if name is None else ground(name))
    return Program(settings, tuple(_object(look, shot, appearance) for look in shot.seen))


def _object(look: SeenAsset, shot: Shot, appearance: Appearance) -> SceneObject:
    pitch = shot.settings.camera_pitch_deg
    yaw = seen_yaw(yaw_of(look.rotation_33, pitch), look.loc_3, pitch)
    return SceneObject(
        pixels=look.pixels,
        loc_m=tuple(float(x) for x in look.loc_3),
        height_m=float(look.height_m),
        rotation_9=tuple(float(x) for x in np.ravel(look.rotation_33)),
        appearance=appearance(look.asset.name, yaw),
        kind=look.asset.kind,
        asset=look.asset.name,
    )
