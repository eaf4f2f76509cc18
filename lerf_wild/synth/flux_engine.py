"""Pictures by FLUX with ControlNets of edges and depth, through diffusers (extra `flux`).

As in GenZoo: Canny edges of the normals at 0.2 and depth at 0.65, 28 steps, guidance 3.5. The
models are the user's to have: FLUX.1-dev and the XLabs ControlNets are under the FLUX.1-dev
Non-Commercial licence, so nothing is downloaded unless this engine is asked for, and nothing of
theirs is bundled.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from lerf_wild.errors import EncoderError
from lerf_wild.synth.genzoo_signals import Signals

CONTROLNETS = (
    "XLabs-AI/flux-controlnet-canny-diffusers",
    "XLabs-AI/flux-controlnet-depth-diffusers",
)
SCALES = (0.2, 0.65)
"""How strongly edges and depth steer."""
STEPS, GUIDANCE = 28, 3.5
EDGE_REACH_PX = 2
"""At 256 px: how far from the silhouette's outline an edge of the picture may lie."""


class FluxEngine:
    """A pipeline, ready to draw."""

    def __init__(self, pipeline: Any, steps: int = STEPS) -> None:
        self.pipeline, self.steps = pipeline, steps

    def __call__(self, signals: Signals, prompt: str, seed: int) -> NDArray[np.uint8]:
        """An sRGB picture (H, W, 3) of the size of the signals; the seed decides its noise."""
        size = signals.mask_HW.shape[0]
        # FLUX works on whole patches of 16 pixels.
        side = max(-(-size // 16) * 16, 16)
        images = [control_image(part, side) for part in (signals.canny_HW, signals.depth_HW)]
        picture = self.pipeline(
            prompt=prompt,
            control_image=images,
            control_mode=[None, None],
            controlnet_conditioning_scale=list(SCALES),
            num_inference_steps=self.steps,
            guidance_scale=GUIDANCE,
            width=side,
            height=side,
            generator=torch.Generator().manual_seed(seed),
            output_type="np",
        ).images[0]
        rgb = np.clip(np.nan_to_num(picture) * 255.0 + 0.5, 0, 255).astype(np.uint8)
        return rgb if side == size else cv2.resize(rgb, (size, size), interpolation=cv2.INTER_AREA)


@lru_cache(maxsize=1)
def load_flux(name: str, controlnets: tuple[str, str] = CONTROLNETS) -> FluxEngine:
    """Loads FLUX and two ControlNets by names or from local folders; a folder that holds
    `canny` and `depth` beside the model brings its own.

    Raises:
        EncoderError: diffusers or a model is missing.
    """
    try:
        from diffusers import FluxControlNetModel, FluxControlNetPipeline, FluxMultiControlNetModel
    except ImportError:
        raise EncoderError(
            "The engine flux needs diffusers: pip install 'lerf-wild[flux]'."
        ) from None
    own = [Path(name) / part for part in ("canny", "depth")]
    names = [str(p) for p in own] if all(p.is_dir() for p in own) else list(controlnets)
    has_cuda = torch.cuda.is_available()
    dtype = torch.bfloat16 if has_cuda else torch.float32
    try:
        nets = [FluxControlNetModel.from_pretrained(part, torch_dtype=dtype) for part in names]
        pipeline = FluxControlNetPipeline.from_pretrained(
            name, controlnet=FluxMultiControlNetModel(nets), torch_dtype=dtype
        )
    except (OSError, ValueError) as error:
        raise EncoderError(
            f"{name}: can't be loaded ({str(error).splitlines()[0][:120]}). Accept the model's "
            "licence and log in with `hf auth login`, or give a local folder with --flux."
        ) from None
    pipeline.set_progress_bar_config(disable=True)
    return FluxEngine(pipeline.to("cuda") if has_cuda else pipeline)


def control_image(signal_HW: NDArray[np.uint8], side: int) -> torch.Tensor:
    """A grey signal as the pipeline takes it, (1, 3, side, side) in 0-1."""
    grown = cv2.resize(signal_HW, (side, side), interpolation=cv2.INTER_LINEAR)
    grey = torch.from_numpy(grown).float() / 255.0
    return grey[None, None].expand(1, 3, side, side).contiguous()


def edge_agreement(rgb_HW3: NDArray[np.uint8], mask_HW: NDArray[np.bool_]) -> float:
    """Share of the silhouette's outline, 0-1, near which the picture has an edge too.

    Says whether a generator has followed its control signals: about as low as the share of edges
    in the picture where it hasn't, near 1 where it has.
    """
    outline = mask_HW.astype(np.uint8) - cv2.erode(mask_HW.astype(np.uint8), np.ones((3, 3)))
    edges = cv2.Canny(cv2.cvtColor(rgb_HW3, cv2.COLOR_RGB2GRAY), 60, 140)
    reach = max(1, round(EDGE_REACH_PX * mask_HW.shape[0] / 256))
    near = cv2.dilate(edges, np.ones((2 * reach + 1, 2 * reach + 1)))
    count = int(outline.sum())
    return float((near > 0)[outline > 0].sum() / count) if count else 1.0
