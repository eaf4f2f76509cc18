"""A slow renderer to check the fast ones with: marches every ray in small steps.

It knows a body only as "is this point inside", so that it shares no formula with the product.
"""

from __future__ import annotations

import itertools

import numpy as np


def inside(kind: str, p: np.ndarray) -> bool:
    """Whether a point in the local frame, in half sizes, lies in the body."""
    x, y, z = p
    if kind == "sphere":
        return x * x + y * y + z * z <= 1.0
    if kind == "cube":
        return max(abs(x), abs(y), abs(z)) <= 1.0
    if kind == "cylinder":
        return abs(y) <= 1.0 and x * x + z * z <= 1.0
    if kind == "cone":
        return abs(y) <= 1.0 and np.hypot(x, z) <= 0.5 * (1.0 - y)
    if kind == "ellipsoid":
        return (x * x + z * z) / 0.36 + y * y <= 1.0
    straight = np.clip(y, -0.5, 0.5)
    return x * x + z * z + (y - straight) ** 2 <= 0.25


def normal(kind: str, p: np.ndarray) -> np.ndarray:
    """Outward normal at a surface point, local frame."""
    x, y, z = p
    if kind == "sphere":
        n = p
    elif kind == "cube":
        n = np.where(np.abs(p) == np.abs(p).max(), np.sign(p), 0.0)
    elif kind == "cylinder":
        n = np.array([0, np.sign(y), 0]) if abs(y) > np.hypot(x, z) else np.array([x, 0, z])
    elif kind == "cone":
        on_base = y + 1.0 < abs(np.hypot(x, z) - 0.5 * (1.0 - y))
        n = np.array([0, -1.0, 0]) if on_base else np.array([x, 0.5 * np.hypot(x, z), z])
    elif kind == "ellipsoid":
        n = np.array([x / 0.36, y, z / 0.36])
    else:
        n = p - np.array([0, np.clip(y, -0.5, 0.5), 0])
    return n / np.linalg.norm(n)


def cast(kind: str, position, R, origin, direction, scale: float = 0.4):
    """First hit of a ray: (distance, world normal), or None. Found by marching and bisection."""
    o, d = R.T @ (origin - position) / scale, R.T @ direction / scale
    middle = -(o @ d) / (d @ d)
    reach = 1.8 / np.linalg.norm(d)
    steps = np.linspace(middle - reach, middle + reach, 241)
    for before, after in itertools.pairwise(steps):
        if inside(kind, o + after * d):
            for _ in range(40):
                half = 0.5 * (before + after)
                before, after = (before, half) if inside(kind, o + half * d) else (half, after)
            return after, R @ normal(kind, o + after * d)
    return None


def render(objects, rays, light=(0.0, 0.0, 1.0)) -> np.ndarray:
    """Intensity of each ray (origin, direction) for objects (kind, position, R)."""
    values = []
    for origin, direction in rays:
        hits = [cast(*body, origin, direction) for body in objects]
        hits = [hit for hit in hits if hit is not None]
        n = min(hits, key=lambda hit: hit[0])[1] if hits else None
        values.append(0.0 if n is None else 0.15 + 0.85 * max(0.0, float(n @ np.asarray(light))))
    return np.array(values)
