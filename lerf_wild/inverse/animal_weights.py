"""The door for files of the regressor's weights."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch

from lerf_wild.errors import ModelFileError
from lerf_wild.inverse.animal_network import AnimalNetwork, NetworkSpec
from lerf_wild.inverse.weight_files import (
    check_finite,
    expecting,
    load_tensors,
    load_weights,
    save_weights,
)

BUNDLED = Path(__file__).parent.parent / "weights" / "genzoo" / "genzoo.safetensors"
FORMAT = "lerf-wild genzoo 1"


def save_network(path: Path, network: AnimalNetwork, about: dict[str, str]) -> None:
    """Writes weights as float16, with the sizes of the network and ``about`` beside them."""
    about = {"format": FORMAT, "network": json.dumps(asdict(network.spec)), **about}
    save_weights(path, network, about)


def load_network(
    path: Path = BUNDLED, body_sha256: str | None = None, device: str = "cpu"
) -> tuple[AnimalNetwork, dict[str, str]]:
    """Reads what `save_network` wrote; returns the network, ready to predict, and its metadata.

    Raises:
        ModelFileError: the file is missing or broken, its tensors don't fit, or it was trained for
            another body than that of ``body_sha256``.
    """
    tensors, about = load_tensors(path)
    if about.get("format") != FORMAT:
        raise ModelFileError(f"{path}: not the weights of an animal regressor.")
    if body_sha256 is not None and about.get("body") != body_sha256:
        raise ModelFileError(
            f"{path}: was trained for another body ({str(about.get('body'))[:12]}); its betas mean "
            "nothing to this one. Use the body that it was trained with, or train anew."
        )
    with expecting(path, "the weights of an animal regressor"):
        # Files from before there were corrections don't name them.
        network = AnimalNetwork(NetworkSpec(**{"rounds": 0, **json.loads(about["network"])}))
        load_weights(network, tensors)
    check_finite(path, network)
    return network.to(device).to(memory_format=torch.channels_last).eval(), about
