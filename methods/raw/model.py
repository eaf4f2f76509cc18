"""The reader and its loss, under the interface of nerfstudio's models."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from lerf_wild.inverse.program_decoder import DecoderSpec
from lerf_wild.inverse.program_detector import ground_embeddings
from lerf_wild.inverse.program_reader import LabelledCrops, ProgramReader
from lerf_wild.inverse.program_samples import Batch
from lerf_wild.inverse.program_weights import load_reader
from lerf_wild.methods.pictures.model import PictureModel
from lerf_wild.methods.raw.config import RawModelConfig

TEMPLATES_A_STEP = 8


class RawModel(PictureModel):
    """The reader for a number of training assets; prototypes of earlier weights are left out where
    they are of other assets."""

    main_part = "reader"

    def __init__(self, config: RawModelConfig, assets: int) -> None:
        super().__init__(config)
        spec = DecoderSpec(
            feedback=config.feedback,
            linear_heads=config.linear_heads,
            permuted_ids=config.permuted_ids,
        )
        self.reader = ProgramReader(spec, assets)
        if config.initial is not None:
            earlier, names, _ = load_reader(config.initial)
            state = earlier.state_dict()
            if len(names) != assets:
                state["prototypes"] = self.reader.prototypes.detach()
            self.reader.load_state_dict(state, strict=False)
        self.average = copy.deepcopy(self.reader).requires_grad_(False).eval()
        self.register_buffer("ground", ground_embeddings(), persistent=False)

    def losses(
        self, batch: Batch, templates: LabelledCrops, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The weighted parts of the loss."""
        low, parts = self.config.low_precision, {}
        if self.config.part != "objects":
            parts |= self.reader.picture_losses(batch, self.ground, low)
        if self.config.part != "pictures":
            rows = torch.randint(len(templates.asset_N), (TEMPLATES_A_STEP,), generator=generator)
            shown = LabelledCrops(*(part[rows].to(self.device) for part in templates))
            parts |= self.reader.object_losses(batch, shown, generator, low)
        return parts
