"""The two encoders of a run, found at once and loaded when they are first needed."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch

from lerf_wild.errors import EncoderError
from lerf_wild.language import dino, registry
from lerf_wild.language.encoders import ImageTextEncoder, PatchEncoder

if TYPE_CHECKING:
    from lerf_wild.methods.lerf_wild.config import LerfWildPipelineConfig

LARGE_AUTO = "auto-large"
LARGE_MODEL = "ViT-L-14/laion2b_s32b_b82k"


class RunEncoders:
    """A plain object, so that no torch module that holds it registers the encoders' weights."""

    def __init__(self, name: str, patch_name: str, device: str | torch.device) -> None:
        self.name = name
        self.patch_name = patch_name
        self.device = device

    @cached_property
    def choice(self) -> registry.EncoderChoice:
        """The image-text encoder, not loaded; raises EncoderError when it can't be had."""
        choice = self._choose()
        choice.announce()
        return choice

    @cached_property
    def patch_choice(self) -> dino.PatchChoice:
        """The patch encoder, not loaded; raises EncoderError when it can't be had."""
        return dino.choose_patch_encoder(self.patch_name, self.device)

    def image_text(self) -> ImageTextEncoder:
        """Loads the image-text encoder."""
        return self.choice.load()

    def patches(self) -> PatchEncoder:
        """Loads the patch encoder."""
        return self.patch_choice.load()

    def describe_to(self, config: LerfWildPipelineConfig) -> None:
        """Writes what was chosen into the config, from where it goes into config.yml."""
        config.encoder = self.choice.name
        config.patch_encoder = self.patch_choice.name
        config.model.clip_dim = self.image_text().dim
        config.model.dino_dim = self.patches().dim
        config.model.encoder_identity = self.choice.identity

    def _choose(self) -> registry.EncoderChoice:
        if self.name != LARGE_AUTO:
            return registry.choose_encoder(self.name, self.device)
        try:
            return registry.choose_encoder(LARGE_MODEL, self.device)
        except EncoderError:
            return registry.choose_encoder("auto", self.device)
