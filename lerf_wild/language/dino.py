"""Self-supervised patch features, which keep the edges of the language field crisp (LERF 3.3).

The real ones come from DINO models through transformers; the embedded alternative is the trunk of
the bundled wild-clip, whose second stage has one feature per 8 x 8 pixels.

B images, D channels, H, W pixels, h, w patches.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional

from lerf_wild.errors import EncoderError
from lerf_wild.language import hub
from lerf_wild.language.encoders import (
    PatchEncoder,
    l2_normalise,
    pick_precision,
    quiet_libraries,
)
from lerf_wild.language.open_clip_encoder import OpenClipEncoder
from lerf_wild.language.registry import BUNDLED_MODEL, choose_encoder

EMBEDDED = "embedded"
DEFAULT_DINO = "facebook/dino-vits8"

TRUNK_STRIDE = 8
"""Pixels per patch after the second stage of wild-clip's ModifiedResNet."""

TRUNK_CHANNELS = 256

SHORT_SIDE_GPU, SHORT_SIDE_CPU = 496, 224
"""Shorter image side for the transformers, whose cost grows with the fourth power of it: LERF uses
500; on a processor a picture of 224 takes about a second."""

SHORT_SIDE_TRUNK = 512
"""Shorter image side for the convolutional trunk; smaller pictures are taken as they are."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

_NAMES = ("model.safetensors",)


@dataclass(frozen=True)
class PatchChoice:
    """A patch encoder that has been found but not loaded."""

    name: str
    identity: str
    loader: Callable[[], PatchEncoder]

    def load(self) -> PatchEncoder:
        """Loads the encoder; raises EncoderError when its files don't fit."""
        return self.loader()


class TrunkEncoder:
    """A `PatchEncoder` that reads the second stage of a CLIP model's ModifiedResNet."""

    def __init__(self, encoder: OpenClipEncoder, identity: str) -> None:
        self.identity = identity
        self.device = encoder.device
        self.dim = TRUNK_CHANNELS
        self._encoder = encoder

    @torch.inference_mode()
    def patch_features(self, images_B3HW: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D h w"]:
        """Returns unit features, one per 8 x 8 pixels, of RGB images in 0-1."""
        visual = self._encoder.model.visual
        resized = resize_to_multiple(images_B3HW, SHORT_SIDE_TRUNK, TRUNK_STRIDE)
        x = visual.stem(self._encoder.normalise_pixels(resized))
        return l2_normalise(visual.layer2(visual.layer1(x)).float(), dim=1)


class DinoEncoder:
    """A `PatchEncoder` around a vision transformer of the transformers library."""

    def __init__(
        self,
        model: nn.Module,
        identity: str,
        device: torch.device | str = "cpu",
        precision: str = "auto",
    ) -> None:
        self.identity = identity
        self.device = torch.device(device)
        self.dtype = pick_precision(precision, self.device)
        self.dim = int(model.config.hidden_size)
        self.short_side = short_side_on(self.device)
        self._model = model.to(self.device, self.dtype).eval().requires_grad_(False)
        self._patch = int(model.config.patch_size)
        self._mean_311 = torch.tensor(IMAGENET_MEAN, device=self.device).reshape(3, 1, 1)
        self._std_311 = torch.tensor(IMAGENET_STD, device=self.device).reshape(3, 1, 1)
        # Dinov2 always adapts its position table to the image size; ViT has to be asked.
        parameters = inspect.signature(model.forward).parameters
        asks = "interpolate_pos_encoding" in parameters
        self._options = {"interpolate_pos_encoding": True} if asks else {}

    @torch.inference_mode()
    def patch_features(self, images_B3HW: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D h w"]:
        """Returns unit features of the last layer's patches of RGB images in 0-1."""
        images = images_B3HW.to(self.device, torch.float32)
        images = resize_to_multiple(images, self.short_side, self._patch, enlarge=True)
        pixels = ((images - self._mean_311) / self._std_311).to(self.dtype)
        tokens_BTD = self._model(pixel_values=pixels, **self._options).last_hidden_state.float()
        rows, cols = (side // self._patch for side in images.shape[-2:])
        # The class token and register tokens come first.
        patches_BTD = tokens_BTD[:, tokens_BTD.shape[1] - rows * cols :]
        grid = patches_BTD.transpose(1, 2).reshape(len(images), self.dim, rows, cols)
        return l2_normalise(grid, dim=1)


def choose_patch_encoder(
    name: str = "auto",
    device: torch.device | str = "cpu",
    precision: str = "auto",
    local_only: bool = False,
) -> PatchChoice:
    """Finds a patch encoder without loading it.

    Args:
        name: "embedded", a name on the hub such as facebook/dino-vits8, a local folder in
            transformers' format, or "auto": the first hub model that is already cached or can be
            downloaded, else the embedded one.
        device: where to compute.
        precision: see `pick_precision`.
        local_only: never download.

    Raises EncoderError when a named model can't be had.
    """
    if name == "auto":
        try:
            return _choose_dino(DEFAULT_DINO, device, precision, local_only)
        except EncoderError:
            name = EMBEDDED
    if name == EMBEDDED:
        return _choose_embedded(device, precision)
    return _choose_dino(name, device, precision, local_only)


def load_dino(
    name: str = "auto", device: torch.device | str = "cpu", precision: str = "auto"
) -> PatchEncoder:
    """Finds and loads a patch encoder; arguments and errors are those of `choose_patch_encoder`."""
    return choose_patch_encoder(name, device, precision).load()


def short_side_on(device: torch.device | str) -> int:
    """Returns the shorter image side that a transformer works at on a device, in pixels."""
    return SHORT_SIDE_GPU if torch.device(device).type == "cuda" else SHORT_SIDE_CPU


def resize_to_multiple(
    images_B3HW: Float[Tensor, "B 3 H W"], short_side: int, multiple: int, enlarge: bool = False
) -> Float[Tensor, "B 3 h w"]:
    """Resizes so that the shorter side is about `short_side` and both are multiples.

    Smaller images are only enlarged when asked to.
    """
    height, width = images_B3HW.shape[-2:]
    factor = short_side / min(height, width)
    factor = factor if enlarge else min(factor, 1.0)
    size = [max(round(side * factor / multiple), 1) * multiple for side in (height, width)]
    if size == [height, width]:
        return images_B3HW
    return functional.interpolate(
        images_B3HW, size=size, mode="bilinear", align_corners=False, antialias=True
    )


def _choose_embedded(device: torch.device | str, precision: str) -> PatchChoice:
    choice = choose_encoder(BUNDLED_MODEL, device, precision)
    identity = f"trunk-{SHORT_SIDE_TRUNK}:{choice.identity}"
    return PatchChoice(EMBEDDED, identity, lambda: TrunkEncoder(choice.load(), identity))


def _choose_dino(
    name: str, device: torch.device | str, precision: str, local_only: bool
) -> PatchChoice:
    folder = _dino_folder(name, local_only)
    sha256 = hub.weights_sha256(folder / _NAMES[0])
    identity = f"{folder.name if Path(name).exists() else name}-{short_side_on(device)}"
    identity = f"{identity}@{sha256[:16]}"
    return PatchChoice(
        name, identity, functools.partial(_load_dino, folder, identity, device, precision)
    )


def _dino_folder(name: str, local_only: bool) -> Path:
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if name.count("/") != 1:
            raise EncoderError(
                f"Patch encoder {name!r} is neither a folder nor a name on the hub.\n"
                f"Use auto, {EMBEDDED}, or a name such as {DEFAULT_DINO}."
            )
        hub.obtain(name, ("config.json",), local_only)
        return hub.obtain(name, _NAMES, local_only).parent
    if not (folder / _NAMES[0]).is_file() or not (folder / "config.json").is_file():
        raise EncoderError(f"{folder}: expected config.json and {_NAMES[0]} (transformers format).")
    return folder


def _load_dino(
    folder: Path, identity: str, device: torch.device | str, precision: str
) -> DinoEncoder:
    with quiet_libraries(), _quiet_transformers():
        from transformers import AutoModel

        try:
            model, report = AutoModel.from_pretrained(
                folder,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
            raise EncoderError(
                f"{folder}: transformers can't load this model ({reason})."
            ) from None
    # The pooler, which DINO checkpoints lack, is not used; anything else would stay random.
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise EncoderError(
            f"{folder}: weights are missing for {len(missing)} tensors, such as {missing[0]}."
        )
    return DinoEncoder(model, identity, device, precision)


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
