"""Prompts for an image generator: what animal, doing what, seen from where, in what place and
light."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lerf_wild.synth.genzoo_draws import Shot

Describer = Callable[[NDArray[np.uint8], str], str]
"""Makes a prompt of the normals' picture and the template's."""

DOING = {
    **{"walk": "walking", "trot": "trotting", "gallop": "galloping", "stand": "standing"},
    **{"graze": "with its muzzle near the ground", "sit": "sitting", "lie": "lying down"},
}
SIDES = (
    *("from behind", "from behind, a little to its left", "from its left side"),
    *("from the front, a little to its left", "from the front"),
    *("from the front, a little to its right", "from its right side"),
    "from behind, a little to its right",
)
"""By eighths of a turn of the viewer about the animal, from behind over its left."""
PLACES = {
    **{"meadow": "a green meadow", "meadow path": "a path through a meadow"},
    **{"steppe": "dry steppe", "forest": "a forest floor of fallen leaves"},
    **{"dunes": "sand dunes", "riverbank": "a grassy riverbank with gravel"},
    **{"snowfield": "a snowfield", "shore": "a sandy shore"},
}


def template_prompt(shot: Shot) -> str:
    """A sentence from the parameters alone."""
    animal = shot.animal
    article = "an" if animal.species.name[0] in "aeiou" else "a"
    place = PLACES[shot.ground.rsplit(" ", 1)[0]]
    light = "in sunshine" if shot.light.sun_colour_3.mean() > 0.6 else "under an overcast sky"
    return (
        f"A wildlife photograph of {article} {animal.species.name} {DOING[animal.action]}, seen "
        f"{seen_from(shot)}, on {place} {light}, sharp focus, natural colours"
    )


def seen_from(shot: Shot) -> str:
    """Side and height from which the camera looks at the animal."""
    eye = shot.camera.camera_to_world_34[:, 3]
    turn = np.arctan2(eye[1], eye[0]) - shot.animal.yaw_rad
    # 0 is before the nose and the left is positive; the list begins behind it.
    eighth = int(np.round((np.pi - turn) / (np.pi / 4))) % 8
    elevation = np.degrees(np.arctan2(eye[2], np.hypot(eye[0], eye[1])))
    above = " and from above" if elevation > 30.0 else ""
    return SIDES[eighth] + above


def load_describer(vlm: str, llm: str, device: str = "cpu") -> Describer:
    """Prompts as in GenZoo: a vision-language model says how the animal is turned, a language model
    makes one sentence of it and the template's. Loads both by name through transformers.

    Raises:
        EncoderError: one of them can't be had.
    """
    from transformers import pipeline

    from lerf_wild.errors import EncoderError

    try:
        see = pipeline("image-text-to-text", model=vlm, device=device)
        write = pipeline("text-generation", model=llm, device=device)
    except (OSError, ValueError, KeyError) as error:
        raise EncoderError(
            f"{vlm} or {llm}: can't be loaded ({str(error).splitlines()[0][:120]}). Download them "
            "first, or leave --vlm and --llm out for prompts from templates."
        ) from None
    return lambda normals, prompt: described(see, write, normals, prompt)


def described(see: Callable, write: Callable, normals_HW3: NDArray[np.uint8], prompt: str) -> str:
    """One prompt by two models; the template's own where they give nothing."""
    from PIL import Image

    ask = "In one short phrase: how is this animal turned towards the camera, what is its pose?"
    seen = see(images=Image.fromarray(normals_HW3), text=ask, max_new_tokens=40, do_sample=False)
    request = (
        f"Rewrite as one vivid sentence for an image generator, keeping every fact. {prompt}. "
        f"The animal: {_text(seen)}\nSentence:"
    )
    told = _text(write(request, max_new_tokens=90, do_sample=False, return_full_text=False))
    return told.strip().split("\n")[0] or prompt


def _text(answer: list[dict[str, str]]) -> str:
    return str(answer[0].get("generated_text", "")) if answer else ""
