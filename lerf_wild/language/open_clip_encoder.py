"""CLIP models through open_clip: by name, from a local file or folder, or already built.

Weights are read from safetensors. A pickle is only opened with torch's `weights_only` reader, which
refuses anything but tensors.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lerf_wild.errors import EncoderError
from lerf_wild.language.encoders import (
    l2_normalise,
    pick_precision,
    quiet_libraries,
    resize_square,
)
from lerf_wild.language.fused_resnet import fuse_resnet, is_modified_resnet

TEXT_BATCH = 256
"""Phrases per pass; bounds the memory of long lists."""

PHOTO_TEMPLATES = ("a photo of a {}",)
"""Prompt for models that were trained on captions of photos."""

Tokenizer = Callable[[Sequence[str]], Int[Tensor, "B T"]]


@dataclass(frozen=True)
class ClipRecipe:
    """How to build a CLIP model: open_clip's `model_cfg` and the image statistics."""

    model_cfg: Mapping[str, object]
    mean: tuple[float, float, float]
    """Per-channel mean of 0-1 RGB that is subtracted."""
    std: tuple[float, float, float]
    """Per-channel deviation that is divided by."""
    templates: tuple[str, ...] = PHOTO_TEMPLATES
    """Prompts whose embeddings are averaged; `{}` stands for the phrase."""
    tokenizer_name: str | None = None
    """Name of an open_clip architecture whose tokenizer to take; None goes by `model_cfg`."""


class OpenClipEncoder:
    """An `ImageTextEncoder` around an open_clip model.

    Embeddings of phrases are kept, so asking for one again costs a dictionary look-up.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Tokenizer,
        mean: Sequence[float],
        std: Sequence[float],
        identity: str,
        device: torch.device | str = "cpu",
        precision: str = "auto",
        templates: Sequence[str] = PHOTO_TEMPLATES,
    ) -> None:
        self.device = torch.device(device)
        self.identity = identity
        self.templates = tuple(templates)
        self.dtype = pick_precision(precision, self.device)
        self.model = model.to(self.device, self.dtype).eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.image_size = _square_side(model)
        self._mean_311 = torch.tensor(mean, device=self.device).reshape(3, 1, 1)
        self._std_311 = torch.tensor(std, device=self.device).reshape(3, 1, 1)
        self._known: dict[str, Tensor] = {}
        # The viewer asks for phrases from its own thread while training goes on.
        self._lock = threading.Lock()
        self.dim = int(self._embed_phrases(["object"]).shape[-1])

    @torch.inference_mode()
    def encode_images(self, images_B3HW: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """Returns L2-normalised float32 embeddings of RGB images in 0-1, resized to a square."""
        return l2_normalise(self.model.encode_image(self.prepare(images_B3HW)).float())

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "B D"]:
        """Returns L2-normalised float32 embeddings, each the mean over the prompt templates."""
        with self._lock:
            missing = [text for text in dict.fromkeys(texts) if text not in self._known]
            for start in range(0, len(missing), TEXT_BATCH):
                batch = missing[start : start + TEXT_BATCH]
                self._known.update(zip(batch, self._embed_phrases(batch)))
            if len(texts) == 0:
                return torch.zeros(0, self.dim, device=self.device)
            return torch.stack([self._known[text] for text in texts])

    def prepare(self, images_B3HW: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 S S"]:
        """Resizes to the model's square and applies its image statistics and precision."""
        square_B3SS = resize_square(images_B3HW.to(self.device, torch.float32), self.image_size)
        return self.normalise_pixels(square_B3SS)

    def normalise_pixels(self, images_B3HW: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        """Applies the model's image statistics and precision to RGB in 0-1."""
        images_B3HW = images_B3HW.to(self.device, torch.float32)
        return ((images_B3HW - self._mean_311) / self._std_311).to(self.dtype)

    def _embed_phrases(self, phrases: Sequence[str]) -> Float[Tensor, "B D"]:
        # no_grad rather than inference_mode: a query's embeddings may meet autograd later.
        with torch.no_grad():
            total_BD = torch.zeros(())
            for template in self.templates:
                tokens_BT = self.tokenizer([template.replace("{}", phrase) for phrase in phrases])
                embedding_BD = self.model.encode_text(tokens_BT.to(self.device)).float()
                total_BD = total_BD.to(self.device) + l2_normalise(embedding_BD)
            return l2_normalise(total_BD)


@dataclass(frozen=True)
class LocalClip:
    """A CLIP model whose files are on this machine."""

    recipe: ClipRecipe
    weights: Path
    identity: str

    def load(self, device: torch.device | str = "cpu", precision: str = "auto") -> OpenClipEncoder:
        """Builds the model and reads its weights; raises EncoderError when they don't fit."""
        model = build_clip(self.recipe.model_cfg)
        load_weights(model, self.weights)
        model.eval().requires_grad_(False)
        if is_modified_resnet(model.visual):
            fuse_resnet(model.visual)
        return OpenClipEncoder(
            model,
            build_tokenizer(self.recipe),
            self.recipe.mean,
            self.recipe.std,
            self.identity,
            device,
            precision,
            self.recipe.templates,
        )


def build_clip(model_cfg: Mapping[str, object]) -> nn.Module:
    """Returns a freshly initialised open_clip model for an open_clip `model_cfg`.

    Raises EncoderError when open_clip can't build it.
    """
    cfg = {name: dict(v) if isinstance(v, Mapping) else v for name, v in model_cfg.items()}
    text_cfg = cfg.get("text_cfg", {})
    is_custom = bool(cfg.pop("custom_text", False)) or "hf_model_name" in text_cfg
    if "hf_model_name" in text_cfg:
        text_cfg["hf_model_pretrained"] = False
    with quiet_libraries():
        from open_clip.model import CLIP, CustomTextCLIP

        try:
            return CustomTextCLIP(**cfg) if is_custom else CLIP(**cfg)
        except (TypeError, ValueError, AssertionError, RuntimeError, KeyError, OSError) as error:
            raise EncoderError(f"open_clip can't build this model: {_first_line(error)}") from None


def build_tokenizer(recipe: ClipRecipe) -> Tokenizer:
    """Returns the tokenizer of a recipe; raises EncoderError when its files can't be had."""
    text_cfg = recipe.model_cfg.get("text_cfg", {})
    with quiet_libraries():
        import open_clip

        try:
            if recipe.tokenizer_name is not None:
                return open_clip.get_tokenizer(recipe.tokenizer_name)
            options = dict(text_cfg.get("tokenizer_kwargs", {}))
            options["context_length"] = int(text_cfg.get("context_length", 77))
            if text_cfg.get("hf_tokenizer_name"):
                return open_clip.HFTokenizer(text_cfg["hf_tokenizer_name"], **options)
            return open_clip.SimpleTokenizer(**options)
        except Exception as error:
            # Tokenizers of transformers raise whatever their download or parser raises.
            raise EncoderError(
                f"The model's tokenizer can't be had: {_first_line(error)}"
            ) from None


def load_weights(model: nn.Module, path: Path) -> None:
    """Reads weights into an open_clip model in place.

    Raises EncoderError when the file is damaged, is a pickle that holds more than tensors, or
    belongs to another architecture.
    """
    state = read_state_dict(path)
    with quiet_libraries():
        from open_clip.convert import convert_state_dict
        from open_clip.model import convert_to_custom_text_state_dict, resize_pos_embed

        state = convert_state_dict(model, state)
        if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
            state = convert_to_custom_text_state_dict(state)
        if "logit_scale" in state:
            state["logit_scale"] = state["logit_scale"].reshape(model.logit_scale.shape)
        # A buffer that transformers dropped in 4.31 but older checkpoints still hold.
        state.pop("text.transformer.embeddings.position_ids", None)
        try:
            resize_pos_embed(state, model)
            model.load_state_dict(state)
        except (RuntimeError, KeyError, AttributeError) as error:
            raise EncoderError(
                f"{path}: these weights belong to another architecture ({_first_line(error)}).\n"
                "Check the model name or the open_clip_config.json beside the file."
            ) from None


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Reads named tensors from safetensors, or from a pickle that holds nothing but tensors.

    Raises EncoderError for anything else.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251
    except (SafetensorError, OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        raise EncoderError(
            f"{path}: damaged weights ({_first_line(error)}). Get it again."
        ) from None
    except Exception as error:
        # The weights_only reader raises pickle.UnpicklingError and, on hostile files, others.
        raise EncoderError(
            f"{path}: not plain tensors ({_first_line(error)}). Use the .safetensors file."
        ) from None
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not (isinstance(state, dict) and all(isinstance(v, Tensor) for v in state.values())):
        raise EncoderError(f"{path}: expected a dictionary of tensors. Use the .safetensors file.")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def _square_side(model: nn.Module) -> int:
    size = model.visual.image_size
    return int(size[0] if isinstance(size, tuple | list) else size)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__
