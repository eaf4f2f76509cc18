"""The pipeline: finds the encoders, prepares the features, guards the losses, sets the phrases."""

from __future__ import annotations

import os
import random
import warnings
from pathlib import Path
from typing import Any

import torch
from nerfstudio.pipelines.base_pipeline import VanillaPipeline
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from lerf_wild.errors import LerfWildError, QueryError, TrainingError
from lerf_wild.language.phrases import split_phrases
from lerf_wild.methods.lerf_wild.config import LerfWildPipelineConfig
from lerf_wild.methods.lerf_wild.encoders import RunEncoders
from lerf_wild.methods.lerf_wild.features import prepare_targets
from lerf_wild.registry import make_panel
from lerf_wild.storage.json_files import read_json

PHRASES_VARIABLE = "LERF_WILD_PHRASES"
PHRASES_FILE = "queries.json"

NOISE = (
    "Using a non-tuple sequence for multidimensional indexing",
    "Converting a tensor with requires_grad=True to a scalar",
    "Importing `spectral_angle_mapper`",
)
"""Warnings that nerfstudio 1.1.5 and torchmetrics raise on current torch, once for every line of
theirs that is affected; nobody who trains a scene can act on them."""


class LerfWildPipeline(VanillaPipeline):
    """VanillaPipeline with encoders beside it, never inside: checkpoints hold no encoder."""

    config: LerfWildPipelineConfig

    def __init__(
        self,
        config: LerfWildPipelineConfig,
        device: str | torch.device,
        test_mode: str = "val",
        world_size: int = 1,
        local_rank: int = 0,
        grad_scaler: Any = None,
    ) -> None:
        for message in NOISE:
            warnings.filterwarnings("ignore", message=message)
        encoders = RunEncoders(config.encoder, config.patch_encoder, device)
        if test_mode == "val":
            encoders.describe_to(config)
        super().__init__(config, device, test_mode, world_size, local_rank, grad_scaler)
        self.rank = local_rank
        self.encoders = encoders
        self.model.attach_encoder(encoders.image_text)
        # nerfstudio's viewer looks for controls on the pipeline and sets up those that it finds.
        self.relevancy_panel = make_panel("relevancy", self)
        if test_mode == "val":
            self.datamanager.targets = prepare_targets(self.datamanager, encoders)
            self.model.prepare_language(self.datamanager.train_dataset.cameras)
            self._apply_saved_phrases()

    def get_train_loss_dict(self, step: int) -> tuple[Any, dict[str, Tensor], dict[str, Tensor]]:
        """One training step, the same whenever it is run: all its randomness comes from the step.

        Raises TrainingError, before any weight changes, when a loss is not finite.
        """
        seed = (self.config.seed * 1_000_003 + step) * 64 + self.rank
        random.seed(seed)
        torch.manual_seed(seed)
        outputs, losses, metrics = super().get_train_loss_dict(step)
        check_finite(losses, step)
        return outputs, losses, metrics

    def load_pipeline(self, loaded_state: dict[str, Any], step: int) -> None:
        """Loads a checkpoint, then the phrases that are saved with the run."""
        super().load_pipeline(loaded_state, step)
        self._apply_saved_phrases()

    def _apply_saved_phrases(self) -> None:
        try:
            self.model.set_phrases(saved_phrases(self.config))
        except LerfWildError as error:
            CONSOLE.print(f"The saved phrases are not used: {error}", markup=False)


def check_finite(losses: dict[str, Tensor], step: int) -> None:
    """Raises TrainingError that names the step and the losses that are NaN or infinite."""
    values = torch.stack([loss.detach().float().mean() for loss in losses.values()])
    is_finite = torch.isfinite(values)
    if bool(is_finite.all()):
        return
    broken = [name for name, fine in zip(losses, is_finite.tolist()) if not fine]
    raise TrainingError(
        f"Step {step}: {', '.join(broken)} is not finite; the weights have not been changed.\n"
        "Resume from the last checkpoint with a lower learning rate, or check poses and images."
    )


def saved_phrases(config: LerfWildPipelineConfig) -> tuple[str, ...]:
    """Phrases of the environment, else of queries.json in the run's folder, else of the config.

    Raises QueryError or InputError when queries.json is there but wrong.
    """
    from_environment = split_phrases(os.environ.get(PHRASES_VARIABLE))
    if from_environment:
        return from_environment
    path = None if config.run_dir is None else Path(config.run_dir) / PHRASES_FILE
    if path is not None and path.is_file():
        return _phrases_of_file(path)
    return tuple(config.model.phrases) or split_phrases(config.model.prompt)


def _phrases_of_file(path: Path) -> tuple[str, ...]:
    content = read_json(path, max_bytes=1 << 20)
    phrases = content.get("phrases") if isinstance(content, dict) else content
    if not isinstance(phrases, list) or not all(isinstance(phrase, str) for phrase in phrases):
        raise QueryError(f'{path}: expected a list of phrases, or {{"phrases": [...]}}.')
    return tuple(phrases)
