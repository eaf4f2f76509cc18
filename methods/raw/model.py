"""The reader and its loss, under the interface of nerfstudio's models."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lerf_wild.inverse.program_decoder import DecoderSpec
from lerf_wild.inverse.program_detector import SIZE, ground_embeddings
from lerf_wild.inverse.program_reader import LabelledCrops, ProgramReader
from lerf_wild.inverse.program_samples import Batch
from lerf_wild.inverse.program_weights import load_reader
from lerf_wild.inverse.weight_files import expecting
from lerf_wild.methods.pictures.model import PictureModel
from lerf_wild.methods.raw.config import RawModelConfig

TEMPLATES_A_STEP = 8


class RawModel(PictureModel):
    """The reader for some training assets; of earlier weights' prototypes those of these assets are
    taken over."""

    main_part = "reader"

    def __init__(self, config: RawModelConfig, assets: Sequence[str]) -> None:
        super().__init__(config)
        spec = DecoderSpec(
            feedback=config.feedback,
            linear_heads=config.linear_heads,
            permuted_ids=config.permuted_ids,
        )
        self.reader = ProgramReader(spec, len(assets))
        self.reader.names = tuple(assets)
        if config.initial is not None:
            self._begin_with(config.initial)
        self.average = copy.deepcopy(self.reader).requires_grad_(False).eval()
        self.register_buffer("ground", ground_embeddings(), persistent=False)

    @torch.no_grad()
    def _begin_with(self, path: Path) -> None:
        """Takes over weights; raises ModelFileError where they are of a reader of other sizes."""
        earlier, names, _ = load_reader(path)
        known = dict(zip(names, earlier.prototypes, strict=True))
        rows = zip(self.reader.names, self.reader.prototypes)
        prototypes = torch.stack([known.get(name, fresh) for name, fresh in rows])
        with expecting(path, "the weights of such a reader"):
            state = {**earlier.state_dict(), "prototypes": prototypes}
            self.reader.load_state_dict(state, strict=False)

    def losses(
        self,
        batch: Batch,
        templates: LabelledCrops,
        generator: torch.Generator,
        side: int = SIZE,
    ) -> dict[str, Tensor]:
        """The weighted parts of the loss; the detector sees pictures of ``side`` pixels."""
        low, parts = self.config.low_precision, {}
        if self.config.part != "objects":
            parts |= self.reader.picture_losses(batch, self.ground, low, side)
        if self.config.part != "pictures":
            rows = torch.randint(len(templates.asset_N), (TEMPLATES_A_STEP,), generator=generator)
            shown = LabelledCrops(*(part[rows].to(self.device) for part in templates))
            parts |= self.reader.object_losses(batch, shown, generator, low)
        return parts
