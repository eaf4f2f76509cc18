"""Ray-cast triangle scenes with embree: colour, depth and instance maps.

Symbols: N rays, V vertices, F faces, ``object_id`` the number a hit reports. World frame is
right-handed, z up, metres; cameras are OpenGL (x right, y up, looking along -z). Colours are linear
RGB until ``Picture.rgb``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh
from numpy.typing import NDArray

from lerf_wild.render.light import Light, add_haze, ambient, sky_colour, to_srgb

Floats = NDArray[np.float32]
Painter = Callable[[Floats], tuple[Floats, NDArray[np.int32]]]
SHADOW_OFFSET_M = 2e-3


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; ``camera_to_world_34`` maps OpenGL camera axes to the world."""

    camera_to_world_34: NDArray[np.float64]
    focal_px: float
    width: int
    height: int


@dataclass(frozen=True)
class Body:
    """One mesh of a scene with linear per-vertex albedo."""

    vertices_V3: Floats
    faces_F3: NDArray[np.int32]
    albedo_V3: Floats
    object_id: int
    mirror: float = 0.0
    """Share of light reflected like a mirror at normal incidence (water 0.05)."""
    paint: Painter | None = None
    """Optional function of hit points that gives albedo and object ids instead of the vertex
    colours."""
    normals_V3: Floats | None = None
    """Unit vertex normals where they are known already; computed from the faces otherwise."""


@dataclass(frozen=True)
class Picture:
    """What a camera sees. Depth is along the optical axis in metres, 0 where only sky is seen."""

    rgb: NDArray[np.uint8]
    depth_m: Floats
    instances: NDArray[np.int32]


@dataclass(frozen=True)
class Hits:
    """Ray hits of N rays; rows with ``hit`` False hold zeros."""

    hit: NDArray[np.bool_]
    points_N3: Floats
    normals_N3: Floats
    albedo_N3: Floats
    distance_N: Floats
    object_id_N: NDArray[np.int32]
    mirror_N: Floats


@dataclass
class RayScene:
    """Bodies joined into one embree tree; answers rays in batches."""

    bodies: Sequence[Body]
    light: Light
    _scene: rtcore_scene.EmbreeScene = field(init=False, repr=False)

    def __post_init__(self) -> None:
        offsets = np.cumsum([0] + [len(body.vertices_V3) for body in self.bodies])
        self._vertices = np.concatenate([b.vertices_V3 for b in self.bodies]).astype(np.float32)
        self._faces = np.concatenate(
            [b.faces_F3 + start for b, start in zip(self.bodies, offsets, strict=False)]
        ).astype(np.int32)
        self._albedo = np.concatenate([b.albedo_V3 for b in self.bodies]).astype(np.float32)
        self._normals = np.concatenate([_normals_of(body) for body in self.bodies])
        self._face_body = np.repeat(
            np.arange(len(self.bodies)), [len(body.faces_F3) for body in self.bodies]
        )
        self._body_id = np.array([body.object_id for body in self.bodies], np.int32)
        self._body_mirror = np.array([body.mirror for body in self.bodies], np.float32)
        self._scene = rtcore_scene.EmbreeScene()
        self._tree = TriangleMesh(self._scene, self._vertices, self._faces)

    def trace(self, origins_N3: Floats, directions_N3: Floats) -> Hits:
        """Nearest hit of each ray with interpolated normal and albedo."""
        found = self._scene.run(origins_N3, directions_N3, output=True)
        hit = found["primID"] >= 0
        prim = np.where(hit, found["primID"], 0)
        corners = self._faces[prim]
        weights = np.stack([1.0 - found["u"] - found["v"], found["u"], found["v"]], axis=1)
        weights = np.where(hit[:, None], weights, 0.0).astype(np.float32)
        normals = np.einsum("nk,nkc->nc", weights, self._normals[corners])
        distance = np.where(hit, found["tfar"], 0.0).astype(np.float32)
        points = origins_N3 + distance[:, None] * directions_N3
        body = self._face_body[prim]
        object_id = np.where(hit, self._body_id[body], 0).astype(np.int32)
        albedo = np.einsum("nk,nkc->nc", weights, self._albedo[corners])
        albedo, object_id = self._painted(hit, body, points, albedo, object_id)
        mirror = np.where(hit, self._body_mirror[body], 0.0).astype(np.float32)
        return Hits(hit, points, _unit(normals), albedo, distance, object_id, mirror)

    def occluded(self, origins_N3: Floats, directions_N3: Floats) -> NDArray[np.bool_]:
        """Whether anything lies along each ray."""
        if len(origins_N3) == 0:
            return np.zeros(0, bool)
        return self._scene.run(origins_N3, directions_N3, query="OCCLUDED") == 0

    def shade(
        self, origins_N3: Floats, directions_N3: Floats, sun_N3: Floats, bounces: int = 1
    ) -> Floats:
        """Linear colour seen along each ray; ``sun_N3`` are the (jittered) sun directions."""
        return self.shade_hits(
            self.trace(origins_N3, directions_N3), directions_N3, sun_N3, bounces
        )

    def shade_hits(
        self, hits: Hits, directions_N3: Floats, sun_N3: Floats, bounces: int = 1
    ) -> Floats:
        """Linear colour of hits that are known already, shape (N, 3)."""
        normals = _facing(hits.normals_N3, directions_N3)
        colour = hits.albedo_N3 * (
            ambient(self.light, normals) + self._sunlight(hits, normals, sun_N3)
        )
        mirrors = np.flatnonzero(hits.mirror_N > 0.0) if bounces > 0 else np.zeros(0, int)
        if len(mirrors):
            colour[mirrors] = self._reflect(hits, normals, directions_N3, sun_N3, colour, mirrors)
        colour = add_haze(self.light, colour, hits.distance_N)
        sky = np.flatnonzero(~hits.hit)
        colour[sky] = sky_colour(self.light, directions_N3[sky])
        return colour

    def _painted(self, hit, body, points, albedo, object_id):
        for index, entry in enumerate(self.bodies):
            if entry.paint is None:
                continue
            rows = np.flatnonzero(hit & (body == index))
            if len(rows):
                albedo[rows], object_id[rows] = entry.paint(points[rows])
        return albedo, object_id

    def _sunlight(self, hits: Hits, normals: Floats, sun_N3: Floats) -> Floats:
        cosine = np.einsum("nc,nc->n", normals, sun_N3)
        lit = np.flatnonzero(hits.hit & (cosine > 0.0))
        start = hits.points_N3[lit] + SHADOW_OFFSET_M * normals[lit]
        visible = np.zeros(len(cosine), np.float32)
        visible[lit] = ~self.occluded(start.astype(np.float32), sun_N3[lit])
        return (visible * np.maximum(cosine, 0.0))[:, None] * self.light.sun_colour_3

    def _reflect(self, hits, normals, directions_N3, sun_N3, colour, rows):
        cosine = np.abs(np.einsum("nc,nc->n", normals[rows], directions_N3[rows]))
        base = hits.mirror_N[rows]
        fresnel = (base + (1.0 - base) * (1.0 - cosine) ** 5)[:, None]
        mirrored = directions_N3[rows] + 2.0 * cosine[:, None] * normals[rows]
        start = hits.points_N3[rows] + SHADOW_OFFSET_M * normals[rows]
        seen = self.shade(start.astype(np.float32), mirrored.astype(np.float32), sun_N3[rows], 0)
        return (1.0 - fresnel) * colour[rows] + fresnel * seen


def pixel_rays(camera: Camera, offsets_P2: Floats) -> tuple[Floats, Floats]:
    """Rays through every pixel at each sub-pixel offset: origins and unit directions, (P*H*W,
    3)."""
    rows, columns = np.mgrid[0 : camera.height, 0 : camera.width].astype(np.float32)
    x = (columns[None] + offsets_P2[:, 0, None, None] - camera.width / 2.0) / camera.focal_px
    y = -(rows[None] + offsets_P2[:, 1, None, None] - camera.height / 2.0) / camera.focal_px
    local = np.stack([x, y, np.full_like(x, -1.0)], axis=-1).reshape(-1, 3)
    rotation = camera.camera_to_world_34[:3, :3].astype(np.float32)
    directions = _unit(local @ rotation.T)
    origins = np.broadcast_to(camera.camera_to_world_34[:3, 3].astype(np.float32), directions.shape)
    return np.ascontiguousarray(origins), directions


def render(scene: RayScene, camera: Camera, samples: int = 2, seed: int = 0) -> Picture:
    """Render one view with ``samples`` x ``samples`` rays a pixel; depth and instances from pixel
    centres."""
    steps = (np.arange(samples, dtype=np.float32) + 0.5) / samples
    offsets = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    origins, directions = pixel_rays(camera, offsets)
    sun = jittered_sun(scene.light, len(directions), seed)
    colour = scene.shade(origins, directions, sun)
    rgb = colour.reshape(len(offsets), camera.height, camera.width, 3).mean(axis=0)
    depth_m, instances = depth_and_instances(scene, camera)
    return Picture(to_srgb(rgb), depth_m, instances)


def depth_and_instances(scene: RayScene, camera: Camera) -> tuple[Floats, NDArray[np.int32]]:
    """Exact depth along the optical axis (metres) and object ids at pixel centres, both (H, W)."""
    origins, directions = pixel_rays(camera, np.full((1, 2), 0.5, np.float32))
    hits = scene.trace(origins, directions)
    forward = -camera.camera_to_world_34[:3, 2].astype(np.float32)
    depth = hits.distance_N * (directions @ forward)
    shape = (camera.height, camera.width)
    return depth.reshape(shape).astype(np.float32), hits.object_id_N.reshape(shape)


def look_at(position_3: Sequence[float], target_3: Sequence[float]) -> NDArray[np.float64]:
    """OpenGL camera-to-world matrix (3, 4) looking from ``position_3`` to ``target_3``, z up."""
    position = np.asarray(position_3, np.float64)
    backward = position - np.asarray(target_3, np.float64)
    backward /= np.linalg.norm(backward)
    right = np.cross([0.0, 0.0, 1.0], backward)
    right /= np.linalg.norm(right)
    up = np.cross(backward, right)
    return np.stack([right, up, backward, position], axis=1)


def vertex_normals(vertices_V3: Floats, faces_F3: NDArray[np.int32]) -> Floats:
    """Area-weighted unit vertex normals, shape (V, 3)."""
    corners = vertices_V3[faces_F3]
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros((len(vertices_V3), 3), np.float64)
    for corner in range(3):
        for axis in range(3):
            total[:, axis] += np.bincount(
                faces_F3[:, corner], weights=face_normals[:, axis], minlength=len(vertices_V3)
            )
    return _unit(total.astype(np.float32))


def _normals_of(body: Body) -> Floats:
    if body.normals_V3 is not None:
        return body.normals_V3
    return vertex_normals(body.vertices_V3, body.faces_F3)


def jittered_sun(light: Light, count: int, seed: int) -> Floats:
    """Unit vectors towards points of the sun's disc, shape (count, 3)."""
    generator = np.random.default_rng(seed)
    spread = generator.uniform(-1.0, 1.0, (count, 3)).astype(np.float32) * light.sun_radius_rad
    return _unit(light.sun_direction_3 + spread)


def _facing(normals_N3: Floats, directions_N3: Floats) -> Floats:
    """Flip normals that look away from the viewer, so thin leaves are lit from both sides."""
    away = np.einsum("nc,nc->n", normals_N3, directions_N3) > 0.0
    return np.where(away[:, None], -normals_N3, normals_N3)


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.maximum(length, 1e-12)).astype(np.float32)
