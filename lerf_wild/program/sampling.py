"""Random valid programs, for tests, fuzzing and as the widest prior of the language."""

from __future__ import annotations

import numpy as np

from lerf_wild.program.frames import to_camera, upright_rotation
from lerf_wild.program.statements import KINDS, STATEMENTS
from lerf_wild.program.types import Body, Embedding, Program, SceneObject, Settings

HEIGHTS_M = {
    "bird": (0.2, 1.4),
    "carnivore": (0.4, 1.4),
    "herbivore": (0.3, 2.2),
    "shrub": (0.4, 2.0),
    "rock": (0.2, 1.6),
    "tree": (2.0, 9.0),
}
"""Heights in metres that are drawn for each kind."""


def sample_settings(rng: np.random.Generator, dim: int = 0) -> Settings:
    """Settings with every number from its sampled range.

    Args:
        rng: What decides.
        dim: Length of the ground's embedding; 0 leaves it open.
    """
    values = {item.field: float(rng.uniform(*item.sampled)) for item in STATEMENTS}
    ground = _embedding(rng, dim)
    camera = {"camera_height_m": float(rng.uniform(0.4, 2.5)), "camera_fov_deg": 40.0}
    return Settings(**values, ground=ground, **camera)  # type: ignore[arg-type]


def sample_program(
    rng: np.random.Generator, objects: int = 8, dim: int = 128, has_extras: bool = True
) -> Program:
    """A valid program: objects on flat ground in front of the camera, the nearest one largest.

    Args:
        rng: What decides.
        objects: How many.
        dim: Length of the embeddings; 0 leaves them open.
        has_extras: Whether the slots that the paper lacks are filled now and then.
    """
    settings = sample_settings(rng, dim)
    made = [_object(rng, settings, dim, has_extras) for _ in range(objects)]
    return Program(settings, tuple(made)).by_area()


def _object(
    rng: np.random.Generator, settings: Settings, dim: int, has_extras: bool
) -> SceneObject:
    kind = str(rng.choice(KINDS))
    height = float(rng.uniform(*HEIGHTS_M[kind]))
    distance = float(np.exp(rng.uniform(np.log(3.0), np.log(40.0))))
    bearing = float(rng.uniform(-0.35, 0.35))
    pitch = settings.camera_pitch_deg
    point = (distance * np.sin(bearing), distance * np.cos(bearing), -settings.camera_height_m)
    rotation = upright_rotation(float(rng.uniform(-np.pi, np.pi)), pitch)
    extras = _extras(rng, kind) if has_extras else {}
    return SceneObject(
        pixels=int(2.5e4 * (height / distance) ** 2) + 1,
        loc_m=tuple(float(x) for x in to_camera(point, pitch)),
        height_m=height,
        rotation_9=tuple(float(x) for x in rotation.ravel()) if rng.random() < 0.9 else None,
        appearance=_embedding(rng, dim),
        **extras,  # type: ignore[arg-type]
    )


def _extras(rng: np.random.Generator, kind: str) -> dict[str, object]:
    pose = tuple(float(x) for x in rng.normal(0, 0.3, 9))
    extras = {
        "kind": kind,
        "species": f"species {rng.integers(100)}",
        "asset": f"{kind}_{rng.integers(1000)}",
        "body": Body("quadruped", tuple(float(x) for x in rng.normal(0, 1, 4)), pose),
        "confidence": float(rng.random()),
        "identity": int(rng.integers(10_000)),
    }
    return {key: value for key, value in extras.items() if rng.random() < 0.7}


def _embedding(rng: np.random.Generator, dim: int) -> Embedding | None:
    return Embedding.of(rng.normal(0, 1, dim)) if dim else None
