"""Sun, sky and haze from the atmosphere statements of a scene program.

Symbols: elevation and rotation of the sun in radians and degrees; tau optical depths of a vertical
path through the atmosphere for red, green and blue light (680, 550, 440 nm); m the air mass, the
length of a path in units of the vertical one. World frame z up, the camera looks towards +y, and
the sun's rotation runs clockwise from there, as in Blender's sky texture.
"""

from __future__ import annotations

import numpy as np

from lerf_wild.program.types import Settings
from lerf_wild.render.light import Floats, Light

RAYLEIGH_3 = np.array([0.041, 0.097, 0.238])
"""Optical depth of clean air, 0.0088 wavelength^-4.08 (wavelength in micrometres)."""
DUST_3 = np.array([0.045, 0.05, 0.055])
OZONE_3 = np.array([0.009, 0.026, 0.001])
"""Chappuis band of 300 Dobson units."""
SUN_IRRADIANCE = 1.75
SKY_RADIANCE = 20.0
FORWARD = 0.76
"""Asymmetry of scattering by dust (Henyey-Greenstein)."""
CLEAREST_M, THICKEST_M = 20_000.0, 40.0


def light_of(settings: Settings) -> Light:
    """The light that a program sets: single scattering in a plane-parallel layer.

    Sunlight is dimmed by exp(-tau m); the sky is what is scattered out of it once, which makes the
    zenith blue, the horizon pale and low suns red.
    """
    elevation = float(np.clip(settings.sun_elevation_rad, 0.02, np.pi / 2))
    rayleigh, dust, ozone = (
        RAYLEIGH_3 * settings.air,
        DUST_3 * settings.dust,
        OZONE_3 * settings.ozone,
    )
    through = np.exp(-(rayleigh + dust + ozone) * air_mass(elevation))
    brightness = settings.sun_strength / 0.2
    sun = SUN_IRRADIANCE * settings.sun_intensity * brightness * through
    zenith = _scattered(rayleigh, dust, ozone, elevation, np.pi / 2) * brightness
    horizon = _scattered(rayleigh, dust, ozone, elevation, np.radians(4.0)) * brightness
    return Light(
        sun_direction_3=sun_direction(elevation, settings.sun_rotation_deg),
        sun_colour_3=sun.astype(np.float32),
        zenith_colour_3=np.clip(zenith, 0.02, 1.0).astype(np.float32),
        horizon_colour_3=np.clip(horizon, 0.02, 1.0).astype(np.float32),
        bounce_colour_3=(0.1 * sun * np.sin(elevation) + 0.02).astype(np.float32),
        sun_radius_rad=max(settings.sun_size_rad / 2.0, 1e-4),
        haze_distance_m=float(
            np.clip(1.0 / max(settings.haze_per_m, 1e-9), THICKEST_M, CLEAREST_M)
        ),
    )


def sun_direction(elevation_rad: float, rotation_deg: float) -> Floats:
    """Unit vector towards the sun in the program's world, where the camera looks along +y."""
    turn = np.radians(rotation_deg)
    flat = np.cos(elevation_rad)
    return np.float32([flat * np.sin(turn), flat * np.cos(turn), np.sin(elevation_rad)])


def air_mass(elevation_rad: float) -> float:
    """Length of a slanted path through the atmosphere (Kasten and Young, 1989)."""
    degrees = np.degrees(elevation_rad)
    return float(1.0 / (np.sin(elevation_rad) + 0.50572 * (degrees + 6.07995) ** -1.6364))


def _scattered(
    rayleigh: np.ndarray, dust: np.ndarray, ozone: np.ndarray, elevation: float, height: float
) -> np.ndarray:
    """Radiance of the sky at a height (radians), averaged over the azimuth."""
    azimuth = np.linspace(0.0, np.pi, 9)
    cosine = np.sin(height) * np.sin(elevation)
    cosine = cosine + np.cos(height) * np.cos(elevation) * np.cos(azimuth)
    clean = 0.75 * (1.0 + cosine**2).mean()
    g = FORWARD
    hazy = ((1.0 - g * g) / (1.0 + g * g - 2.0 * g * np.clip(cosine, -1, 0.8)) ** 1.5).mean()
    tau = rayleigh + dust + 1e-6
    share = (rayleigh * clean + dust * hazy) / tau
    total = tau + ozone
    sunlit = np.exp(-total * 0.5 * air_mass(elevation))
    return SKY_RADIANCE / (4.0 * np.pi) * share * sunlit * (1.0 - np.exp(-tau * air_mass(height)))
