"""The door for files of primitive-network weights."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lerf_wild.errors import ModelFileError
from lerf_wild.inverse.primitive_network import NetworkSpec, PrimitiveNetwork
from lerf_wild.storage.atomic import write_bytes

BUNDLED = Path(__file__).parent.parent / "weights" / "air"
BUNDLED_NAMES = ("reference", "perspective", "free-camera", "reference-budget")
"""Networks that come with the package; the last one saw the reference's 3,000 scenes alone."""


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


def save_network(path: Path, network: PrimitiveNetwork, metadata: dict[str, str]) -> None:
    """Writes the weights as float16, with the sizes of the network beside them."""
    tensors = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }
    save_tensors(path, tensors, {"network": json.dumps(asdict(network.spec)), **metadata})


def load_network(path: Path, device: str = "cpu") -> tuple[PrimitiveNetwork, dict[str, str]]:
    """Reads what `save_network` wrote; returns the network, ready to predict, and the metadata.

    Raises:
        ModelFileError: the file is missing or broken, or its tensors don't fit a network.
    """
    tensors, metadata = load_tensors(path)
    try:
        network = PrimitiveNetwork(NetworkSpec(**json.loads(metadata["network"])))
        network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).split("\n")[0][:150]
        raise ModelFileError(
            f"{path}: not the weights of a primitive network ({reason})."
        ) from None
    if any(not torch.isfinite(tensor).all() for tensor in network.state_dict().values()):
        raise ModelFileError(f"{path}: the weights hold values that aren't finite.")
    return network.to(device).to(memory_format=torch.channels_last).eval(), metadata
