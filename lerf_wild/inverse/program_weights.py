"""The door for files of program readers: weights as float16, sizes and names beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from lerf_wild.errors import ModelFileError
from lerf_wild.inverse.program_decoder import DecoderSpec
from lerf_wild.inverse.program_inference import THRESHOLD
from lerf_wild.inverse.program_matching import SIDE, TemplateBank
from lerf_wild.inverse.program_reader import ProgramReader
from lerf_wild.inverse.program_templates import WIDTH, Templates
from lerf_wild.inverse.weight_files import (
    check_finite,
    expecting,
    load_tensors,
    load_weights,
    save_tensors,
    save_weights,
)
from lerf_wild.program.statements import KINDS

BUNDLED = Path(__file__).parent.parent / "weights" / "raw"
READER, TEMPLATES = "reader.safetensors", "templates.safetensors"


def save_reader(
    path: Path, model: ProgramReader, assets: Sequence[str], threshold: float = THRESHOLD
) -> None:
    """Writes a reader; ``assets`` names its prototypes, ``threshold`` is the chance from which
    a box counts.

    The prototypes are for training alone and are kept, as training may go on.
    """
    metadata = {
        "decoder": json.dumps(asdict(model.decoder.spec)),
        "assets": json.dumps(list(assets)),
        "threshold": f"{threshold:.3f}",
    }
    save_weights(path, model, metadata)


def load_reader(path: Path) -> tuple[ProgramReader, tuple[str, ...], float]:
    """Reads what `save_reader` wrote: the reader, ready to predict, its assets, its threshold.

    Raises:
        ModelFileError: the file is missing or broken, or its tensors don't fit a reader.
    """
    tensors, metadata = load_tensors(path)
    with expecting(path, "the weights of a program reader of this version"):
        spec = DecoderSpec(**json.loads(metadata["decoder"]))
        assets = tuple(json.loads(metadata["assets"]))
        model = ProgramReader(spec, len(assets))
        model.names = assets
        load_weights(model, tensors)
        threshold = float(metadata["threshold"])
    check_finite(path, model)
    return model.eval(), assets, threshold


def save_templates(path: Path, templates: Templates) -> None:
    """Writes a library's embeddings as float16, and its small pictures."""
    tensors = {
        "embedding": templates.embedding_MYA.half(),
        "kind": templates.kind_M,
        "height_m": templates.height_M,
        "rgb": templates.bank.rgb_MY3SS,
        "mask": templates.bank.mask_MYSS,
    }
    save_tensors(path, tensors, {"names": json.dumps(list(templates.names))})


def load_templates(path: Path) -> Templates:
    """Reads what `save_templates` wrote.

    Raises:
        ModelFileError: the file is missing, broken, or holds something else.
    """
    tensors, metadata = load_tensors(path)
    try:
        names = tuple(json.loads(metadata["names"]))
        bank = TemplateBank(tensors["rgb"], tensors["mask"])
        embedding = tensors["embedding"].float()
        templates = Templates(names, tensors["kind"], tensors["height_m"], embedding, bank)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: not the templates of a library ({error}).") from None
    shape, kinds = templates.embedding_MYA.shape, templates.kind_M
    is_whole = (
        len(shape) == 3
        and shape[2] == WIDTH
        and len(names) == shape[0] == len(kinds) == len(templates.height_M)
        and bank.rgb_MY3SS.shape == (*shape[:2], 3, SIDE, SIDE)
        and bank.mask_MYSS.shape == (*shape[:2], SIDE, SIDE)
    )
    if not is_whole or not 0 <= int(kinds.min()) <= int(kinds.max()) < len(KINDS):
        raise ModelFileError(f"{path}: names, kinds and embeddings don't fit each other.")
    return templates
