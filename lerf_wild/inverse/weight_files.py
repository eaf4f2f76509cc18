"""The door for files of weights: safetensors, as float16, with text beside them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from lerf_wild.errors import ModelFileError
from lerf_wild.storage.atomic import write_bytes


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes tensors and text to a safetensors file, atomically."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(contiguous, metadata))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads a safetensors file; raises ModelFileError where it is missing or broken."""
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file. Give a .safetensors file of weights.")
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        reason = str(error).split("\n")[0][:100]
        raise ModelFileError(f"{path}: not a readable safetensors file ({reason}).") from None


def save_weights(path: Path, network: nn.Module, metadata: dict[str, str]) -> None:
    """Writes the weights of a network as float16, and text beside them."""
    tensors = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }
    save_tensors(path, tensors, metadata)


def load_weights(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Fills a network with what `save_weights` wrote; raises RuntimeError where it doesn't fit."""
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})


@contextmanager
def expecting(path: Path, what: str) -> Iterator[None]:
    """Says of a file that makes the block fail that it is not what was expected.

    Raises:
        ModelFileError: the block read something that isn't there, or doesn't fit.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).split("\n")[0][:150]
        raise ModelFileError(f"{path}: not {what} ({reason}).") from None


def check_finite(path: Path, network: nn.Module) -> None:
    """Raises ModelFileError for weights of a file that hold NaN or infinity."""
    if any(not torch.isfinite(tensor).all() for tensor in network.state_dict().values()):
        raise ModelFileError(f"{path}: the weights hold values that aren't finite.")
