"""Scenes for the program decoder: assets on flat ground, one sky, views of a person's height.

Symbols: H, W picture size. Scene frame: right-handed, z up, metres, ground at z = 0, origin in the
middle. Camera axes: x right, y up, -z forward. Yaw of an asset turns its nose from +x towards +y.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lerf_wild.assets.scene_assets import SceneAsset, kind_named, load_individual
from lerf_wild.program.frames import level_from_camera
from lerf_wild.program.statements import KINDS
from lerf_wild.program.types import Settings
from lerf_wild.render.adaptive import render_adaptive
from lerf_wild.render.raycast import (
    Body,
    Camera,
    Picture,
    RayScene,
    depth_and_instances,
)
from lerf_wild.render.sky import light_of
from lerf_wild.synth.grounds import GROUNDS, ground_body

FIRST_ID = 10
"""Object number of the first asset of a scene in instance maps."""
NEAREST_M = 2.5
"""No asset's middle is nearer to the camera, or it would fill the picture."""
LEAST_DEPTH_M = 0.5
"""What stands beside or behind the camera must not reach into the picture: a program could not say
where."""
Loader = Callable[[str], SceneAsset]


@dataclass(frozen=True)
class SceneSpec:
    """What scenes and views are drawn from; ranges are inclusive."""

    size: int = 256
    field_of_view_deg: float = 40.0
    objects: tuple[int, int] = (3, 9)
    radius_m: float = 5.5
    """Assets stand within this distance of the middle."""
    camera_distance_m: tuple[float, float] = (4.0, 9.0)
    """Of the camera from the middle."""
    camera_height_m: tuple[float, float] = (1.3, 1.9)
    pitch_deg: tuple[float, float] = (75.0, 90.0)
    """90 is level, less looks down."""
    min_pixels: int = 80
    """An asset that shows fewer pixels is not part of the program."""
    clear_share: float = 0.5
    """Views in which an asset shows less than this share of its outline, yet more than
    ``hidden_share``, are drawn anew: whether it counts would be a matter of taste."""
    hidden_share: float = 0.08

    @property
    def focal_px(self) -> float:
        """Focal length in pixels."""
        return 0.5 * self.size / float(np.tan(np.radians(self.field_of_view_deg / 2)))


@dataclass(frozen=True)
class Standing:
    """One asset of a scene."""

    asset: SceneAsset
    position_3: NDArray[np.float64]
    yaw_rad: float
    height_m: float

    def turn(self) -> NDArray[np.float64]:
        """Rotation (3, 3) from asset to scene axes."""
        cosine, sine = np.cos(self.yaw_rad), np.sin(self.yaw_rad)
        return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Scene:
    """Everything in one place; ``ground_shift_2`` moves its paint."""

    standing: tuple[Standing, ...]
    ground: str
    ground_shift_2: NDArray[np.float32]
    settings: Settings
    """With a sun rotation that is clockwise from the scene's +y."""

    def bodies(self) -> list[Body]:
        """Assets as bodies, numbered from ``FIRST_ID``."""
        return [
            item.asset.body(item.turn(), item.position_3, item.height_m, FIRST_ID + i)
            for i, item in enumerate(self.standing)
        ]


@dataclass(frozen=True)
class View:
    """A camera in a scene; yaw turns it from +y towards -x, as Blender's."""

    eye_3: NDArray[np.float64]
    yaw_rad: float
    pitch_deg: float

    def camera_to_world(self) -> NDArray[np.float64]:
        """OpenGL camera-to-world matrix (3, 4)."""
        cosine, sine = np.cos(self.yaw_rad), np.sin(self.yaw_rad)
        turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
        return np.column_stack([turn @ level_from_camera(self.pitch_deg), self.eye_3])


@dataclass(frozen=True)
class SeenAsset:
    """What a view shows of one asset; ``loc_3`` (metres) and ``rotation_33`` are in camera axes."""

    number: int
    asset: SceneAsset
    pixels: int
    box_4: tuple[int, int, int, int]
    """First and last column and row plus one of what is visible: left, top, right, bottom."""
    loc_3: NDArray[np.float64]
    height_m: float
    rotation_33: NDArray[np.float64]


@dataclass(frozen=True)
class Shot:
    """One rendered view of a scene with what it shows, the largest first."""

    picture: Picture
    view: View
    focal_px: float
    settings: Settings
    """As a program writes them: the sun's rotation relative to the camera, its pitch and height."""
    seen: tuple[SeenAsset, ...]


def draw_scene(
    rng: np.random.Generator,
    names: Sequence[str],
    spec: SceneSpec,
    load: Loader = load_individual,
) -> Scene:
    """Draw assets (each of the six kinds equally often), their places, a ground and a sky."""
    by_kind = {kind: [] for kind in KINDS}
    for name in names:
        by_kind[kind_named(name)].append(name)
    kinds = [kind for kind in KINDS if by_kind[kind]]
    count = int(rng.integers(spec.objects[0], spec.objects[1] + 1))
    drawn = [kinds[i] for i in rng.integers(len(kinds), size=count)]
    chosen = [load(str(rng.choice(by_kind[kind]))) for kind in drawn]
    return Scene(
        standing=tuple(_place(chosen, rng, spec)),
        ground=str(rng.choice(GROUNDS)),
        ground_shift_2=rng.uniform(0.0, 24.0, 2).astype(np.float32),
        settings=draw_settings(rng),
    )


def shoot(
    scene: Scene, rng: np.random.Generator, spec: SceneSpec, count: int, tries: int = 25
) -> list[Shot]:
    """Render views of one scene; the tree of triangles is built once.

    A view that shows nothing, or something that is neither clearly visible nor clearly hidden, is
    drawn anew; after ``tries`` draws the scene yields fewer views.
    """
    rays = tracer(scene)
    shots = []
    for _ in range(count):
        for _ in range(tries):
            view = draw_view(rng, spec)
            if _is_clear(rays, scene, view, spec):
                shots.append(_shoot_one(rays, scene, view, spec, int(rng.integers(2**31))))
                break
    return shots


def draw_view(rng: np.random.Generator, spec: SceneSpec) -> View:
    """Draw a camera on a ring around the middle, looking roughly at it."""
    angle = rng.uniform(0.0, 2.0 * np.pi)
    distance = rng.uniform(*spec.camera_distance_m)
    eye = np.array([distance * np.cos(angle), distance * np.sin(angle), 0.0])
    target = rng.uniform(-1.5, 1.5, 2)
    forward = target - eye[:2]
    eye[2] = rng.uniform(*spec.camera_height_m)
    yaw = float(np.arctan2(-forward[0], forward[1]))
    return View(eye, yaw, float(rng.uniform(*spec.pitch_deg)))


def draw_settings(rng: np.random.Generator) -> Settings:
    """Draw light and air from the ranges of the paper's generator.

    The sun stands 10 degrees or more above the horizon, its elevation drawn as on a sphere; haze
    fades things within 170 m to 20 km.
    """
    return Settings(
        sun_intensity=rng.uniform(0.8, 1.0),
        sun_elevation_rad=float(np.arcsin(rng.uniform(np.sin(np.radians(10.0)), 1.0))),
        sun_size_crad=100.0 * float(np.radians(np.clip(rng.normal(0.5, 0.3), 0.25, 5.0))),
        sun_rotation_deg=rng.uniform(0.0, 360.0),
        sun_strength=rng.uniform(0.18, 0.22),
        air=float(np.clip(rng.normal(1.0, 0.2), 0.7, 1.3)),
        dust=float(np.clip(rng.normal(1.0, 1.0), 0.1, 2.0)),
        ozone=float(np.clip(rng.normal(1.0, 1.0), 0.1, 10.0)),
        density_x180=180.0 * rng.uniform(0.0, 0.006),
    )


def settings_of(scene: Scene, view: View, spec: SceneSpec) -> Settings:
    """The scene's settings as a program of this view writes them."""
    rotation = (scene.settings.sun_rotation_deg + np.degrees(view.yaw_rad)) % 360.0
    return replace(
        scene.settings,
        sun_rotation_deg=float(rotation),
        camera_pitch_deg=view.pitch_deg,
        camera_height_m=float(view.eye_3[2]),
        camera_fov_deg=spec.field_of_view_deg,
        ground_name=scene.ground,
    )


def tracer(scene: Scene) -> RayScene:
    """The scene's bodies, ground and light, ready to be traced."""
    ground = ground_body(scene.ground, 0.0, np.zeros(2, np.float32), scene.ground_shift_2)
    return RayScene([ground, *scene.bodies()], light_of(scene.settings))


def _camera(view: View, spec: SceneSpec, size: int) -> Camera:
    return Camera(view.camera_to_world(), spec.focal_px * size / spec.size, size, size)


def _is_clear(tracer: RayScene, scene: Scene, view: View, spec: SceneSpec) -> bool:
    """Whether every asset is either clearly visible or clearly hidden, and at least one is."""
    near = [np.linalg.norm(item.position_3[:2] - view.eye_3[:2]) for item in scene.standing]
    if min(near) < NEAREST_M:
        return False
    camera = _camera(view, spec, spec.size // 2)
    _, instances = depth_and_instances(tracer, camera)
    pixels = 4 * np.bincount(instances.ravel(), minlength=FIRST_ID + len(scene.standing))[FIRST_ID:]
    visible = pixels >= spec.min_pixels
    for item, count in zip(scene.standing, pixels):
        if count == 0:
            continue
        share = count / max(4.0 * outline_pixels(item, camera), 1.0)
        if spec.hidden_share < share < spec.clear_share:
            return False
        if 0.6 * spec.min_pixels < count < 1.4 * spec.min_pixels:
            return False
        if _depth_m(item, camera) < LEAST_DEPTH_M:
            return False
    return bool(visible.any())


def _depth_m(item: Standing, camera: Camera) -> float:
    """Metres by which an asset's foot lies in front of a camera, along its axis."""
    pose = camera.camera_to_world_34
    return float((pose[:, 3] - item.position_3) @ pose[:, 2])


def outline_pixels(item: Standing, camera: Camera) -> float:
    """Pixels that an asset would fill if nothing hid it and the picture had no border.

    It is counted on a grid of 26 cells across the asset's own bounding box, from its vertices.
    """
    step = max(1, len(item.asset.vertices_V3) // 3000)
    world = item.height_m * item.asset.vertices_V3[::step] @ item.turn().T + item.position_3
    pose = camera.camera_to_world_34
    local = (world - pose[:, 3]) @ pose[:, :3]
    xy = camera.focal_px * local[:, :2] / np.maximum(-local[:, 2:], 0.1)
    low, high = xy.min(axis=0), xy.max(axis=0)
    cells = 26
    index = np.minimum(((xy - low) / np.maximum(high - low, 1e-6) * cells).astype(int), cells - 1)
    filled = len(np.unique(index[:, 0] * cells + index[:, 1]))
    return float(np.prod(high - low) * filled / cells**2)


def _shoot_one(tracer: RayScene, scene: Scene, view: View, spec: SceneSpec, seed: int) -> Shot:
    picture = render_adaptive(tracer, _camera(view, spec, spec.size), seed)
    seen = [
        look
        for i, item in enumerate(scene.standing)
        if (look := _look(picture, item, FIRST_ID + i, view)).pixels >= spec.min_pixels
    ]
    seen.sort(key=lambda look: (-look.pixels, look.number))
    settings = settings_of(scene, view, spec)
    return Shot(picture, view, spec.focal_px, settings, tuple(seen))


def _look(picture: Picture, item: Standing, number: int, view: View) -> SeenAsset:
    rows, columns = np.nonzero(picture.instances == number)
    box = (0, 0, 0, 0)
    if len(rows):
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    pose = view.camera_to_world()
    return SeenAsset(
        number=number,
        asset=item.asset,
        pixels=len(rows),
        box_4=tuple(int(side) for side in box),
        loc_3=pose[:, :3].T @ (item.position_3 - pose[:, 3]),
        height_m=item.height_m,
        rotation_33=pose[:, :3].T @ item.turn(),
    )


def _place(
    assets: Sequence[SceneAsset], rng: np.random.Generator, spec: SceneSpec
) -> list[Standing]:
    """Stand assets apart from each other, the widest first; one that finds no place is left out."""
    heights = [asset.height_m * rng.uniform(0.9, 1.1) for asset in assets]
    order = np.argsort([-asset.reach * height for asset, height in zip(assets, heights)])
    placed: list[Standing] = []
    for i in order:
        radius = assets[i].reach * heights[i]
        for _ in range(60):
            spot = spec.radius_m * np.sqrt(rng.uniform()) * _direction(rng)
            if all(
                np.linalg.norm(spot - other.position_3[:2])
                > radius + other.asset.reach * other.height_m + 0.15
                for other in placed
            ):
                yaw = float(rng.uniform(-np.pi, np.pi))
                placed.append(Standing(assets[i], np.array([*spot, 0.0]), yaw, heights[i]))
                break
    return placed


def _direction(rng: np.random.Generator) -> NDArray[np.float64]:
    angle = rng.uniform(0.0, 2.0 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])
