"""Coats of the bundled quadruped: colours of the skin by region and pattern.

Symbols: N points of the skin (vertices, or those of a refined mesh). Patterns live on the rest
template, so that they stay with the animal in any pose and shape. Colours are sRGB 0-255.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lerf_wild.animals.bundled import Quadruped, load_quadruped
from lerf_wild.animals.subdivision import Refinement, loop_refinement
from lerf_wild.assets.coats import over, ramp
from lerf_wild.assets.noise import fractal, make_lattice
from lerf_wild.errors import InputError
from lerf_wild.render.raycast import vertex_normals

Floats = NDArray[np.float32]
Colour = tuple[int, int, int]
PATTERNS = ("plain", "spotted", "striped", "patched")


@dataclass(frozen=True)
class Coat:
    """How one animal is coloured."""

    base: Colour = (150, 110, 75)
    marks: Colour = (60, 45, 35)
    """Colour of spots, stripes or patches."""
    belly: Colour = (200, 175, 145)
    legs: Colour | None = None
    """Colour of the lower legs, where it differs."""
    mane: Colour | None = None
    face: Colour | None = None
    """Colour of the muzzle."""
    tail: Colour | None = None
    hooves: bool = False
    pattern: str = "plain"
    scale: float = 1.0
    """Size of the marks; 1 is a leopard's spots, a zebra's stripes, a cow's patches."""
    cover: float = 0.5
    """Share of the skin that marks take, roughly, 0-1."""
    full_mane: bool = False
    """A mane round the whole neck, as a lion's."""


@dataclass(frozen=True)
class Canvas:
    """The rest template's skin, refined, with all that painting needs."""

    points_N3: Floats
    normals_N3: Floats
    regions_NR: Floats
    names: tuple[str, ...]
    refinements: tuple[Refinement, ...]
    faces_F3: NDArray[np.int32]

    def region(self, *names: str) -> Floats:
        """Weight 0-1 of regions, (N,)."""
        return self.regions_NR[:, [self.names.index(name) for name in names]].sum(axis=1)

    def refined(self, vertices_V3: NDArray[np.floating]) -> Floats:
        """Posed vertices (V, 3) on the points of this canvas, (N, 3)."""
        points = np.asarray(vertices_V3, np.float32)
        for step in self.refinements:
            points = step.matrix @ points
        return np.ascontiguousarray(points, np.float32)


@cache
def make_canvas(levels: int = 1) -> Canvas:
    """The bundled quadruped's skin after ``levels`` subdivisions, made once a process."""
    quadruped: Quadruped = load_quadruped()
    points = quadruped.model.template_V3.numpy()
    faces = quadruped.model.faces_F3.numpy().astype(np.int32)
    regions, steps = quadruped.regions_VR, []
    for _ in range(levels):
        steps.append(loop_refinement(faces, len(points)))
        points, regions = steps[-1].matrix @ points, steps[-1].matrix @ regions
        faces = steps[-1].faces_F3
    normals = vertex_normals(points.astype(np.float32), faces)
    return Canvas(points, normals, regions, quadruped.region_names, tuple(steps), faces)


def paint(coat: Coat, canvas: Canvas, seed: int = 0) -> Floats:
    """Colours (N, 3) of a coat; the seed decides where its marks fall.

    Raises:
        InputError: the pattern is not one of ``PATTERNS``.
    """
    if coat.pattern not in PATTERNS:
        raise InputError(f"No coat is {coat.pattern[:40]!r}; patterns are {', '.join(PATTERNS)}.")
    lattice = make_lattice(np.random.default_rng([seed, 0xC0A7]))
    points, up = canvas.points_N3, canvas.normals_N3[:, 2]
    colours = np.broadcast_to(np.float32(coat.base), points.shape).copy()
    below = ramp(-up, 0.0, 0.75) * canvas.region("trunk", "neck", "jaw", "tail")
    colours = over(colours, coat.belly, 0.85 * below)
    if coat.face:
        colours = over(colours, coat.face, canvas.region("snout", "jaw"))
    marked = canvas.region("trunk", "neck", "front leg", "hind leg", "tail", "head")
    colours = over(colours, coat.marks, marked * _marks(coat, canvas, lattice))
    colours = _extremities(colours, coat, canvas)
    mottle = 1.0 + 0.07 * fractal(lattice, points, 9.0, 2)
    colours = np.clip(colours * mottle[:, None], 6, 248)
    return _features(colours, canvas).astype(np.float32)


def random_coat(rng: np.random.Generator) -> Coat:
    """A coat of natural colours with any of the patterns."""
    tones = np.array(
        [(208, 180, 140), (150, 105, 66), (96, 66, 46), (52, 46, 44), (178, 104, 48)]
        + [(132, 128, 122), (226, 220, 208), (120, 84, 50), (196, 150, 92), (84, 80, 78)]
    )
    base, marks = tones[rng.choice(len(tones), 2, replace=False)] * rng.uniform(0.85, 1.12, (2, 1))
    belly = base + rng.uniform(-0.2, 0.6) * (np.array([235, 226, 210]) - base)
    chosen = str(rng.choice(PATTERNS, p=(0.4, 0.2, 0.2, 0.2)))
    coat = Coat(_colour(base), _colour(marks), _colour(belly), pattern=chosen)
    extras = {
        name: _colour(tones[rng.integers(len(tones))])
        for name in ("legs", "mane", "face", "tail")
        if rng.random() < 0.2
    }
    scale, cover = rng.uniform(0.7, 1.5), rng.uniform(0.3, 0.6)
    hooves = bool(rng.random() < 0.5)
    return replace(coat, scale=float(scale), cover=float(cover), hooves=hooves, **extras)


def _marks(coat: Coat, canvas: Canvas, lattice: Floats) -> Floats:
    """Where the marks of a coat are, 0-1, (N,)."""
    points = canvas.points_N3
    if coat.pattern == "spotted":
        return _spots(points, canvas.normals_N3, lattice, 0.075 * coat.scale, coat.cover)
    if coat.pattern == "striped":
        return _stripes(canvas, lattice, 0.115 * coat.scale, coat.cover)
    if coat.pattern == "patched":
        field = fractal(lattice, points + 3.7, 2.6 / coat.scale, 2)
        return ramp(field, *(np.quantile(field, 1 - coat.cover) + np.array([-0.04, 0.04])))
    return np.zeros(len(points), np.float32)


def _spots(points, normals, lattice, cell: float, cover: float) -> Floats:
    """Round spots, one at a random place in each cell of a grid."""
    scaled = points / cell
    corner = np.floor(scaled)
    nearest = np.full(len(points), 9.0, np.float32)
    for step in np.ndindex(3, 3, 3):
        cube = corner + np.array(step) - 1.0
        keys = (cube * [7, 13, 29]).astype(np.int64) % 16
        jitter = [lattice[tuple((keys + k).T % 16)] for k in (0, 5, 11)]
        centre = cube + 0.5 + 0.33 * np.stack(jitter, axis=1)
        # Spots whose centre lies off the skin are seen cut; only those near it count.
        offset = scaled - centre
        along = np.einsum("nc,nc->n", offset, normals)
        flat = np.linalg.norm(offset - along[:, None] * normals, axis=1) + 0.35 * np.abs(along)
        nearest = np.minimum(nearest, flat)
    radius = 0.25 + 0.35 * cover
    return 1.0 - ramp(nearest, 0.8 * radius, 1.15 * radius)


def _stripes(canvas: Canvas, lattice: Floats, wave: float, cover: float) -> Floats:
    """Upright stripes on the trunk, level ones on the legs."""
    points = canvas.points_N3
    bend = 0.35 * wave * fractal(lattice, points, 3.0, 2)
    along = np.cos(2 * np.pi * (points[:, 0] + 0.25 * points[:, 2] + bend) / wave)
    level = np.cos(2 * np.pi * (points[:, 2] + bend) / (0.75 * wave))
    legs = canvas.region("front leg", "hind leg") * ramp(-points[:, 2], 0.0, 0.12)
    value = (1 - legs) * along + legs * level
    edge = np.cos(np.pi * cover)
    return ramp(value, edge - 0.3, edge + 0.3)


def _extremities(colours: Floats, coat: Coat, canvas: Canvas) -> Floats:
    points = canvas.points_N3
    low = float(points[:, 2].min())
    if coat.legs:
        lower = canvas.region("front leg", "hind leg", "foot") * ramp(-points[:, 2], 0.22, 0.38)
        colours = over(colours, coat.legs, lower)
    if coat.mane:
        colours = over(colours, coat.mane, _mane(coat, canvas))
    if coat.tail:
        colours = over(colours, coat.tail, canvas.region("tail") * ramp(-points[:, 0], 0.12, 0.3))
    if coat.hooves:
        hoof = canvas.region("foot") * ramp(low - points[:, 2], -0.055, -0.04)
        colours = over(colours, (44, 38, 34), hoof)
    return colours


def _mane(coat: Coat, canvas: Canvas) -> Floats:
    points = canvas.points_N3
    if not coat.full_mane:
        crest = ramp(canvas.normals_N3[:, 2], 0.25, 0.7) * ramp(-np.abs(points[:, 1]), -0.05, -0.02)
        return crest * canvas.region("neck")
    neck = points[canvas.region("neck") > 0.5, 0]
    front, back = float(neck.max()), float(neck.min())
    head = canvas.region("head", "ear") * ramp(front - points[:, 0], -0.08, 0.0)
    chest = canvas.region("trunk", "front leg") * ramp(points[:, 0] - back, -0.1, 0.0)
    return np.minimum(canvas.region("neck") + head + chest * ramp(points[:, 2], -0.25, -0.15), 1.0)


def _features(colours: Floats, canvas: Canvas) -> Floats:
    """Dark eyes and nose, a line of lips, and the inside of the ears."""
    colours = over(colours, (30, 24, 22), ramp(canvas.region("nose"), 0.4, 0.6))
    lips = canvas.region("jaw") * canvas.region("snout")
    colours = over(colours, (50, 38, 34), ramp(lips, 0.14, 0.22))
    inside = canvas.region("ear") * ramp(canvas.normals_N3[:, 0], 0.3, 0.8)
    colours = over(colours, (120, 88, 76), 0.7 * inside)
    return over(colours, (14, 10, 9), ramp(canvas.region("eye"), 0.35, 0.6))


def _colour(values: NDArray[np.floating]) -> Colour:
    red, green, blue = (int(v) for v in np.clip(values, 8, 245))
    return red, green, blue


COATS: dict[str, Coat] = {
    "dog": Coat((204, 164, 104), belly=(226, 200, 156)),
    "shepherd dog": Coat(
        (176, 122, 66), (38, 32, 30), (200, 160, 110), face=(40, 34, 32), pattern="patched",
        scale=1.6, cover=0.5,
    ),
    "greyhound": Coat((126, 122, 118), belly=(190, 184, 176)),
    "dachshund": Coat((92, 46, 26), belly=(130, 76, 46)),
    "bulldog": Coat(
        (226, 208, 184), (166, 112, 66), (238, 228, 214), pattern="patched", scale=1.5, cover=0.45
    ),
    "wolf": Coat((122, 116, 108), (58, 56, 56), (206, 198, 184), face=(176, 166, 150)),
    "red fox": Coat(
        (206, 98, 34), belly=(236, 228, 216), legs=(40, 28, 26), face=(232, 200, 170),
        tail=(222, 150, 92),
    ),
    "cat": Coat(
        (176, 140, 98), (88, 62, 42), (226, 208, 180), pattern="striped", scale=0.7, cover=0.4
    ),
    "lion": Coat(
        (200, 158, 98), belly=(222, 192, 146), mane=(104, 66, 36), tail=(150, 112, 66),
        full_mane=True,
    ),
    "leopard": Coat(
        (214, 164, 90), (42, 30, 22), (238, 224, 196), pattern="spotted", scale=0.75, cover=0.4
    ),
    "bear": Coat((92, 60, 38), belly=(84, 54, 34), legs=(56, 38, 26), face=(140, 104, 72)),
    "boar": Coat((74, 62, 52), belly=(66, 56, 48), legs=(38, 32, 30), mane=(34, 28, 26)),
    "pig": Coat((226, 170, 156), belly=(232, 184, 170), hooves=True),
    "horse": Coat(
        (122, 70, 38), belly=(116, 66, 38), legs=(44, 32, 28), mane=(32, 26, 24), tail=(32, 26, 24),
        hooves=True,
    ),
    "zebra": Coat(
        (236, 232, 222), (26, 24, 24), (236, 232, 222), face=(60, 52, 50), mane=(60, 54, 52),
        hooves=True, pattern="striped",
    ),
    "donkey": Coat(
        (128, 120, 114), belly=(210, 202, 192), face=(206, 198, 188), mane=(60, 54, 52), hooves=True
    ),
    "cow": Coat(
        (238, 234, 226), (34, 30, 30), (238, 232, 222), face=(206, 178, 168), hooves=True,
        pattern="patched", scale=1.0, cover=0.5,
    ),
    "bison": Coat(
        (110, 74, 46), belly=(70, 48, 34), legs=(46, 34, 28), mane=(58, 40, 30), face=(50, 36, 30),
        full_mane=True, hooves=True,
    ),
    "sheep": Coat(
        (232, 226, 208), belly=(222, 214, 194), legs=(52, 46, 44), face=(52, 46, 44), hooves=True
    ),
    "goat": Coat(
        (214, 204, 188), (96, 68, 48), (228, 220, 206), hooves=True, pattern="patched", scale=1.3,
        cover=0.4,
    ),
    "deer": Coat((166, 100, 54), belly=(226, 202, 168), face=(120, 82, 56), hooves=True),
    "moose": Coat(
        (82, 62, 48), belly=(78, 60, 48), legs=(150, 136, 120), face=(96, 76, 62), hooves=True
    ),
    "gazelle": Coat((190, 138, 82), belly=(240, 232, 216), hooves=True),
    "giraffe": Coat(
        (232, 210, 164), (150, 92, 42), (236, 220, 184), hooves=True, pattern="spotted", scale=1.35,
        cover=0.75,
    ),
    "camel": Coat((196, 158, 110), belly=(180, 142, 98)),
    "llama": Coat((224, 212, 190), belly=(228, 216, 196), face=(176, 150, 122)),
    "rhino": Coat((134, 128, 122), belly=(120, 114, 108)),
    "hippo": Coat((118, 104, 104), belly=(172, 134, 126), face=(140, 116, 112)),
}  # fmt: skip
"""A typical coat of each bundled species."""
