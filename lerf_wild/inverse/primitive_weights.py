"""The door for files of primitive-network weights."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch

from lerf_wild.inverse.primitive_network import NetworkSpec, PrimitiveNetwork
from lerf_wild.inverse.weight_files import (
    check_finite,
    expecting,
    load_tensors,
    load_weights,
    save_weights,
)

BUNDLED = Path(__file__).parent.parent / "weights" / "air"
BUNDLED_NAMES = ("reference", "perspective", "free-camera", "reference-budget")
"""Networks that come with the package; the last one saw the reference's 3,000 scenes alone."""


def save_network(path: Path, network: PrimitiveNetwork, metadata: dict[str, str]) -> None:
    """Writes the weights as float16, with the sizes of the network beside them."""
    save_weights(path, network, {"network": json.dumps(asdict(network.spec)), **metadata})


def load_network(path: Path, device: str = "cpu") -> tuple[PrimitiveNetwork, dict[str, str]]:
    """Reads what `save_network` wrote; returns the network, ready to predict, and the metadata.

    Raises:
        ModelFileError: the file is missing or broken, or its tensors don't fit a network.
    """
    tensors, metadata = load_tensors(path)
    with expecting(path, "the weights of a primitive network"):
        network = PrimitiveNetwork(NetworkSpec(**json.loads(metadata["network"])))
        load_weights(network, tensors)
    check_finite(path, network)
    return network.to(device).to(memory_format=torch.channels_last).eval(), metadata
