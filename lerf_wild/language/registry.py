"""From the name of an encoder to the encoder.

A name is one of
    auto                              the real model when it can be had, else the bundled one
    wild-clip                         the bundled model
    ViT-B-16/laion2b_s34b_b88k        open_clip's architecture and tag
    ViT-B-16//path/weights.safetensors    open_clip's architecture with weights of your own
    hf-hub:org/model                  an open_clip repository on the hub
    /path/to/folder                   open_clip_config.json and weights
    /path/to/weights.safetensors      the same, the config beside the weights
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import rich.console
import torch

from lerf_wild.errors import EncoderError
from lerf_wild.language import hub
from lerf_wild.language.encoders import ImageTextEncoder, quiet_libraries
from lerf_wild.language.open_clip_encoder import ClipRecipe, LocalClip, OpenClipEncoder
from lerf_wild.language.wild_clip import CONFIG_NAME, MEAN, STD, WEIGHTS_NAME, locate_wild_clip
from lerf_wild.storage.cache import content_key
from lerf_wild.storage.json_files import read_json

DEFAULT_MODEL = "ViT-B-16/laion2b_s34b_b88k"
DEFAULT_REPO = "laion/CLIP-ViT-B-16-laion2B-s34B-b88K"
"""Where open_clip's table points for DEFAULT_MODEL; here so that `auto` decides without open_clip,
whose import alone takes seconds."""

BUNDLED_MODEL = "wild-clip"

WEIGHT_NAMES = (WEIGHTS_NAME, "open_clip_pytorch_model.bin")
"""Weights of an open_clip repository, the safe format first."""


_loaded: dict[tuple[str, str, str], OpenClipEncoder] = {}


@dataclass(frozen=True)
class EncoderChoice:
    """An encoder that has been found but not loaded."""

    name: str
    """The name that finds exactly this one again; goes into a run's configuration."""
    reason: str
    """Why this one, as a clause for the user."""
    source: LocalClip
    device: str = "cpu"
    precision: str = "auto"

    @property
    def identity(self) -> str:
        """Name and weight hash, as the loaded encoder will have."""
        return self.source.identity

    def load(self) -> OpenClipEncoder:
        """Loads the encoder, once per process and device; raises EncoderError if it doesn't fit."""
        key = (self.identity, self.device, self.precision)
        if key not in _loaded:
            _loaded[key] = self.source.load(self.device, self.precision)
        return _loaded[key]

    def announce(self) -> None:
        """Prints one line that says what was chosen and why."""
        rich.console.Console(stderr=True, soft_wrap=True).print(
            f"[bold]Image-text encoder:[/bold] {self.name} ({self.reason})", highlight=False
        )


def choose_encoder(
    name: str = "auto",
    device: torch.device | str = "cpu",
    precision: str = "auto",
    local_only: bool = False,
) -> EncoderChoice:
    """Finds the encoder of a name, downloading its weights if needed, without loading it.

    Without a network the decision takes at most hub.PROBE_LIMIT_S. Raises EncoderError, naming the
    remedies, when a named model can't be had.
    """
    if name == "auto":
        return _choose_auto(str(device), precision, local_only)
    return EncoderChoice(name, "as named", _locate(name, local_only), str(device), precision)


def resolve_encoder(
    name: str = "auto",
    device: torch.device | str = "cpu",
    precision: str = "auto",
    local_only: bool = False,
) -> ImageTextEncoder:
    """Finds and loads the encoder of a name and prints one line saying which it is.

    Raises EncoderError as `choose_encoder` does.
    """
    choice = choose_encoder(name, device, precision, local_only)
    choice.announce()
    return choice.load()


def load_open_clip(
    name: str,
    pretrained: str,
    device: torch.device | str = "cpu",
    precision: str = "auto",
    local_only: bool = False,
) -> OpenClipEncoder:
    """Loads an open_clip architecture with the weights of a tag or a file; raises EncoderError."""
    return _locate_open_clip(name, pretrained, local_only).load(device, precision)


def _choose_auto(device: str, precision: str, local_only: bool) -> EncoderChoice:
    try:
        hub.obtain(DEFAULT_REPO, WEIGHT_NAMES, local_only)
        source = _locate(DEFAULT_MODEL, local_only=True)
        return EncoderChoice(DEFAULT_MODEL, "the real model, cached", source, device, precision)
    except EncoderError:
        reason = f"bundled; {DEFAULT_MODEL} is neither cached nor can it be downloaded"
        return EncoderChoice(BUNDLED_MODEL, reason, locate_wild_clip(), device, precision)


def _locate(name: str, local_only: bool) -> LocalClip:
    if name == BUNDLED_MODEL:
        return locate_wild_clip()
    if name.startswith("hf-hub:"):
        return _locate_hub_repository(name.removeprefix("hf-hub:"), local_only)
    if Path(name).expanduser().exists():
        return _locate_local(Path(name).expanduser())
    architecture, slash, pretrained = name.partition("/")
    if not slash or not architecture or not pretrained:
        raise EncoderError(
            f"Encoder {name!r} is neither a known name nor a path that exists.\n"
            f"Use auto, {BUNDLED_MODEL}, a name such as {DEFAULT_MODEL}, or a local folder."
        )
    return _locate_open_clip(architecture, pretrained, local_only)


def _locate_open_clip(architecture: str, pretrained: str, local_only: bool) -> LocalClip:
    with quiet_libraries():
        import open_clip

        model_cfg = open_clip.get_model_config(architecture)
        if model_cfg is None:
            near = difflib.get_close_matches(architecture, open_clip.list_models(), 3, 0.0)
            raise EncoderError(
                f"open_clip has no architecture {architecture!r}; nearest: {', '.join(near)}."
            )
        tag = open_clip.get_pretrained_cfg(architecture, pretrained)
    if tag.get("quick_gelu"):
        model_cfg["quick_gelu"] = True
    recipe = ClipRecipe(
        model_cfg,
        tuple(tag.get("mean", MEAN)),
        tuple(tag.get("std", STD)),
        tokenizer_name=architecture,
    )
    if Path(pretrained).expanduser().is_file():
        weights = Path(pretrained).expanduser()
    else:
        weights = _weights_of_tag(architecture, pretrained, tag, local_only)
    return _located(recipe, weights, f"{architecture}/{Path(pretrained).stem}")


def _weights_of_tag(
    architecture: str, pretrained: str, tag: Mapping[str, object], local_only: bool
) -> Path:
    repo, _, file_name = str(tag.get("hf_hub", "")).rpartition("/")
    if not repo:
        import open_clip

        tags = open_clip.list_pretrained_tags_by_model(architecture)
        raise EncoderError(
            f"open_clip has no weights {pretrained!r} on the hub for {architecture}, and there is "
            f"no such file.\nIts tags are: {', '.join(tags) or 'none'}."
        )
    if not file_name:
        return hub.obtain(repo, WEIGHT_NAMES, local_only)
    return hub.obtain(repo, (f"{Path(file_name).stem}.safetensors", file_name), local_only)


def _locate_hub_repository(repo: str, local_only: bool) -> LocalClip:
    if repo.count("/") != 1:
        raise EncoderError(f"hf-hub:{repo}: expected hf-hub:organisation/model.")
    config = hub.obtain(repo, (CONFIG_NAME,), local_only)
    weights = hub.obtain(repo, WEIGHT_NAMES, local_only)
    return _located(_read_recipe(config), weights, repo)


def _locate_local(path: Path) -> LocalClip:
    folder = path if path.is_dir() else path.parent
    weights = _weights_in(folder) if path.is_dir() else path
    config = folder / CONFIG_NAME
    if not config.is_file():
        raise EncoderError(
            f"{folder}: no {CONFIG_NAME} beside the weights.\n"
            f"Put it there, or write ARCHITECTURE/{weights} with one of open_clip's architectures."
        )
    return _located(_read_recipe(config), weights, folder.name)


def _weights_in(folder: Path) -> Path:
    for name in WEIGHT_NAMES:
        if (folder / name).is_file():
            return folder / name
    others = sorted(folder.glob("*.safetensors"))
    if len(others) != 1:
        raise EncoderError(
            f"{folder}: expected {WEIGHTS_NAME} or one .safetensors file, found {len(others)}."
        )
    return others[0]


def _read_recipe(config: Path) -> ClipRecipe:
    content = read_json(config)
    model_cfg = content.get("model_cfg") if isinstance(content, dict) else None
    if not isinstance(model_cfg, dict):
        raise EncoderError(f'{config}: expected an object with "model_cfg", as open_clip writes.')
    preprocess = content.get("preprocess_cfg", {})
    try:
        mean, std = (
            tuple(float(x) for x in preprocess.get(key, fallback))
            for key, fallback in (("mean", MEAN), ("std", STD))
        )
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ValueError
    except (AttributeError, TypeError, ValueError):
        raise EncoderError(
            f"{config}: mean and std in preprocess_cfg must be three numbers each, std positive."
        ) from None
    return ClipRecipe(model_cfg, mean, std)


def _located(recipe: ClipRecipe, weights: Path, name: str) -> LocalClip:
    # The same weights with other image statistics give other embeddings.
    settings = content_key({"model": recipe.model_cfg, "mean": recipe.mean, "std": recipe.std})
    identity = f"{name}@{hub.weights_sha256(weights)[:16]}-{settings[:8]}"
    return LocalClip(recipe, weights, identity)
