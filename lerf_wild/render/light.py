"""Outdoor light: one sun, a graded sky with soft clouds, and haze.

Symbols: ``directions_N3`` unit vectors from the camera (world frame, z up); colours are linear RGB
in 0-1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Light:
    """The light of one habitat. All colours are linear RGB."""

    sun_direction_3: Floats
    """Unit vector towards the sun, world frame."""
    sun_colour_3: Floats
    """Irradiance of the sun on a facing surface."""
    zenith_colour_3: Floats
    """Colour of the sky overhead; also the ambient light from above."""
    horizon_colour_3: Floats
    """Colour of the sky at the horizon, and of the haze."""
    bounce_colour_3: Floats
    """Ambient light that the ground sends back up."""
    sun_radius_rad: float = 0.006
    """Half angle over which shadow rays are spread (soft edges)."""
    haze_distance_m: float = 90.0
    """Distance at which haze has taken 63 % of a colour."""
    cloud_waves_K5: Floats = field(default_factory=lambda: np.zeros((0, 5), np.float32))
    """Plane waves of the cloud layer: wave vector (2), phase, weight, cover."""


def make_light(rng: np.random.Generator) -> Light:
    """Draw a sun between 25 and 65 degrees of elevation and a matching sky."""
    elevation = np.radians(rng.uniform(25.0, 65.0))
    azimuth = rng.uniform(0.0, 2.0 * np.pi)
    sun = np.array(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
        ]
    )
    warmth = 1.0 - np.sin(elevation)
    blueness = rng.uniform(0.6, 1.0)
    zenith = np.array([0.16, 0.33, 0.72]) * blueness + np.array([0.45, 0.5, 0.55]) * (1 - blueness)
    horizon = np.array([0.66, 0.78, 0.9]) + warmth * np.array([0.16, 0.02, -0.08])
    waves = _cloud_waves(rng)
    return Light(
        sun_direction_3=sun.astype(np.float32),
        sun_colour_3=(np.array([1.15, 1.02, 0.86]) + warmth * np.array([0.2, 0.0, -0.2])).astype(
            np.float32
        ),
        zenith_colour_3=zenith.astype(np.float32),
        horizon_colour_3=np.clip(horizon, 0.0, 1.0).astype(np.float32),
        bounce_colour_3=np.float32([0.13, 0.12, 0.09]),
        cloud_waves_K5=waves,
    )


def sky_colour(light: Light, directions_N3: Floats) -> Floats:
    """Linear RGB of the sky along each direction, shape (N, 3)."""
    up = np.clip(directions_N3[:, 2], 0.0, 1.0)
    blend = (1.0 - np.exp(-3.5 * up))[:, None]
    colour = light.horizon_colour_3 + blend * (light.zenith_colour_3 - light.horizon_colour_3)
    cover = _cloud_cover(light, directions_N3)[:, None]
    colour = colour + cover * (np.float32([0.95, 0.95, 0.96]) - colour)
    glow = np.clip(directions_N3 @ light.sun_direction_3, 0.0, 1.0) ** 64
    return np.clip(colour + 0.35 * glow[:, None] * light.sun_colour_3, 0.0, 1.0).astype(np.float32)


def ambient(light: Light, normals_N3: Floats) -> Floats:
    """Hemispheric ambient irradiance for each normal, shape (N, 3)."""
    sky = 0.5 * (0.6 * light.zenith_colour_3 + 0.4 * light.horizon_colour_3)
    upward = (0.5 + 0.5 * normals_N3[:, 2])[:, None]
    return (upward * sky + (1.0 - upward) * light.bounce_colour_3).astype(np.float32)


def add_haze(light: Light, colours_N3: Floats, distance_N: Floats) -> Floats:
    """Blend colours towards the horizon colour with distance (metres)."""
    clear = np.exp(-((distance_N / light.haze_distance_m) ** 1.5))[:, None]
    return (clear * colours_N3 + (1.0 - clear) * light.horizon_colour_3).astype(np.float32)


def to_srgb(linear: Floats) -> NDArray[np.uint8]:
    """Gamma-encode linear colours in 0-1 to 8 bits (power 1/2.2)."""
    return (np.clip(linear, 0.0, 1.0) ** (1.0 / 2.2) * 255.0 + 0.5).astype(np.uint8)


def to_linear(srgb_u8: NDArray[np.uint8]) -> Floats:
    """Decode 8-bit colours to linear RGB in 0-1 (power 2.2)."""
    return ((srgb_u8.astype(np.float32) / 255.0) ** 2.2).astype(np.float32)


def _cloud_waves(rng: np.random.Generator, count: int = 14) -> Floats:
    angle = rng.uniform(0, 2 * np.pi, count)
    frequency = rng.uniform(0.6, 3.0, count)
    cover = np.full(count, rng.uniform(-0.7, 0.5))
    waves = [
        frequency * np.cos(angle),
        frequency * np.sin(angle),
        rng.uniform(0, 2 * np.pi, count),
        1.0 / frequency,
        cover,
    ]
    return np.stack(waves, axis=1).astype(np.float32)


def _cloud_cover(light: Light, directions_N3: Floats) -> Floats:
    """Share of white in 0-0.8, from plane waves on a cloud layer above the scene."""
    waves = light.cloud_waves_K5
    if len(waves) == 0:
        return np.zeros(len(directions_N3), np.float32)
    up = np.maximum(directions_N3[:, 2], 0.0)
    plane_N2 = directions_N3[:, :2] / (up[:, None] + 0.25)
    value = np.cos(plane_N2 @ waves[:, :2].T * 2.2 + waves[:, 2]) @ waves[:, 3]
    value = value / np.sqrt(0.5 * np.sum(waves[:, 3] ** 2)) + waves[0, 4]
    fade = np.clip(up * 6.0, 0.0, 1.0)
    return (0.8 * fade * np.clip((value - 0.1) / 1.2, 0.0, 1.0)).astype(np.float32)
