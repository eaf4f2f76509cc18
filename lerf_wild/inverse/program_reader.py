"""The small decoder that comes with the package: detector, crop network and program decoder.

Symbols: B pictures, K objects, N objects in all, S settings, V values that are fed back, M training
assets, A length of an embedding.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lerf_wild.inverse.program_crops import (
    EMBEDDING,
    CropNetwork,
    Looks,
    box_geometry,
    cut_crops,
    log_drop,
    mean_entropy,
    prototype_loss,
    yaw_bin,
)
from lerf_wild.inverse.program_decoder import (
    DecoderSpec,
    ProgramDecoder,
    Values,
    digits_of,
)
from lerf_wild.inverse.program_detector import (
    PITCH,
    SIZE,
    ProgramDetector,
    centre_losses,
    detector_losses,
    zoomed,
)
from lerf_wild.inverse.program_heads import (
    APPEARANCE_WEIGHT,
    NORM_WEIGHT,
    ROTATION_WEIGHT,
    norm_penalty,
    rotation_loss,
    yaw_rotation,
)
from lerf_wild.inverse.program_numbers import permuted_ids
from lerf_wild.inverse.program_samples import SETTING_COUNT, SETTING_NAMES, Batch
from lerf_wild.program.statements import ANIMAL_KINDS, BY_FIELD, KINDS

JITTER = 0.06
"""Boxes are shifted and scaled by this share in training, as the detector's are not exact."""
SETTING_NOISE = 0.03
"""Of scaled settings; the pitch is off by 0.6 degrees."""
CAMERA_HEIGHT, USUAL_HEIGHT = SETTING_COUNT - 1, 0.5
"""Place and scaled value of the camera's height. Boxes don't show it, so the decoder is told the
same height always; the ground and natural sizes tell the scale later (`program_sizes`)."""
assert SETTING_NAMES[PITCH] == "camera_pitch_deg"


class Tokens(NamedTuple):
    """What the program decoder reads of the objects, and the box each comes from."""

    tokens_BKD: Tensor
    looks: Looks
    embedding_BKA: Tensor
    boxes_BK4: Tensor
    horizon_B: Tensor


class LabelledCrops(NamedTuple):
    """Templates (uint8) and the numbers of their training assets."""

    crops_N3SS: Tensor
    asset_N: Tensor


class ProgramReader(nn.Module):
    """Pictures to the parts of their programs."""

    def __init__(self, spec: DecoderSpec | None = None, assets: int = 1) -> None:
        super().__init__()
        self.detector = ProgramDetector()
        self.crops = CropNetwork()
        self.decoder = ProgramDecoder(spec)
        self.prototypes = nn.Parameter(torch.randn(assets, EMBEDDING))
        self.names: tuple[str, ...] = ()
        """Assets of the training, where they are known."""

    def tokens(
        self,
        rgb_B3HW: Tensor,
        settings_BS: Tensor,
        boxes_BK4: Tensor,
        there_BK: Tensor,
        focal_B: Tensor,
    ) -> Tokens:
        """Reads the crops of boxes; rows without an object stay empty."""
        picture, place = there_BK.nonzero(as_tuple=True)
        boxes = boxes_BK4[picture, place]
        looks = self.crops(cut_crops(rgb_B3HW, picture, boxes))
        horizon = horizon_row(settings_BS, focal_B, rgb_B3HW.shape[-2])
        geometry = box_geometry(boxes, horizon[picture], focal_B[picture], rgb_B3HW.shape[-1])
        settings = settings_BS.clone()
        settings[:, CAMERA_HEIGHT] = USUAL_HEIGHT
        parts = [
            _spread(rows.float(), picture, place, there_BK.shape)
            for rows in (looks.features_NF, looks.embedding_NA, geometry)
        ]
        tokens = self.decoder.tokens(*parts, settings)
        return Tokens(tokens, looks, parts[1], boxes_BK4, horizon)

    def picture_losses(
        self, batch: Batch, ground_GD: Tensor, low_precision: bool = True, side: int = SIZE
    ) -> dict[str, Tensor]:
        """The detector's losses; those of centres and boxes alone at another size than its own."""
        batch = batch if side == SIZE else zoomed(batch, side)
        rgb = batch.rgb_N3HW.float() / 255.0
        with torch.autocast(rgb.device.type, torch.bfloat16, enabled=low_precision):
            found = self.detector(rgb) if side == SIZE else self.detector.centres(rgb)
        if side != SIZE:
            return centre_losses(*found, batch)
        return detector_losses(found, batch, ground_GD)

    def object_losses(
        self,
        batch: Batch,
        templates: LabelledCrops,
        generator: torch.Generator,
        low_precision: bool = True,
    ) -> dict[str, Tensor]:
        """The losses of crops and values, given true boxes and settings with some noise.

        Nothing of the detector takes part, so that both can be trained at the same time.
        """
        rgb = batch.rgb_N3HW.float() / 255.0
        boxes = jittered(batch.boxes_NK4, generator)
        noise = torch.randn(batch.settings_NS.shape, generator=generator).to(boxes)
        settings = batch.settings_NS + SETTING_NOISE * noise
        with torch.autocast(rgb.device.type, torch.bfloat16, enabled=low_precision):
            read = self.tokens(rgb, settings, boxes, batch.there_NK, batch.focal_N)
            shown = self.crops(templates.crops_N3SS.float() / 255.0).embedding_NA
        numbers = number_targets(batch, boxes, read.horizon_B)
        tokens = read.tokens_BKD.float()
        values = self.decoder(tokens, read.embedding_BKA, self.truth(batch, numbers))
        assets = batch.asset_NK[batch.there_NK]
        looks = prototype_loss(read.looks.embedding_NA.float(), assets, self.prototypes)
        known = prototype_loss(shown.float(), templates.asset_N, self.prototypes)
        facing = (batch.kind_NK < len(ANIMAL_KINDS))[batch.there_NK]
        bins = yaw_bin(batch.yaw_NK[batch.there_NK]).where(facing, -1)
        yaw = mean_entropy(read.looks.yaw_NQ.float(), bins)
        parts = {"looks": 0.3 * looks, "templates": 0.2 * known, "yaw": 0.7 * yaw}
        return parts | value_losses(self, values, batch, numbers)

    def truth(self, batch: Batch, numbers_NK5: Tensor) -> Tensor:
        """True values (B, K, V) as they are fed back."""
        kind = functional.one_hot(batch.kind_NK, len(KINDS)).float()
        rotation = yaw_rotation(batch.yaw_NK).flatten(-2)
        prototypes = functional.normalize(self.prototypes.detach(), dim=-1)
        appearance = prototypes[batch.asset_NK.clamp(min=0)]
        return torch.cat([kind, rotation, appearance, numbers_NK5], dim=-1)


def value_losses(
    model: ProgramReader, values: Values, batch: Batch, numbers_NK5: Tensor
) -> dict[str, Tensor]:
    """RAW's losses of the objects' values, and those of the numbers, which RAW writes as text."""
    here = batch.there_NK
    assets = batch.asset_NK[here]
    faces = here & (batch.kind_NK < len(ANIMAL_KINDS))
    appearance = values.appearance_BKA[here]
    parts = {
        "kind": 0.5 * functional.cross_entropy(values.kind_BK6[here], batch.kind_NK[here]),
        "numbers": functional.smooth_l1_loss(
            values.numbers_BK5[here], numbers_NK5[here], beta=0.05
        ),
    }
    # Pictures without animals have no rotation to learn from.
    if faces.any():
        goal = yaw_rotation(batch.yaw_NK[faces])
        rotation = rotation_loss(values.rotation_BK9[faces], goal)
        parts["rotation"] = 3.0 * ROTATION_WEIGHT * rotation
    if model.decoder.digits is not None:
        digits = digits_of(permuted_ids(batch, len(model.prototypes))[here])
        logits = model.decoder.digits(values.state_BKD[here], digits)
        parts["digits"] = functional.cross_entropy(logits.flatten(0, 1), digits.flatten())
    else:
        unit = functional.normalize(appearance, dim=-1)
        parts["appearance"] = APPEARANCE_WEIGHT / 10 * prototype_loss(
            unit, assets, model.prototypes
        ) + NORM_WEIGHT * norm_penalty(appearance)
    return parts


def number_targets(batch: Batch, boxes_NK4: Tensor, horizon_N: Tensor) -> Tensor:
    """The five numbers (B, K, 5) of each object relative to its box."""
    low, high = boxes_NK4[..., :2], boxes_NK4[..., 2:]
    size = (high - low).clamp(min=1.0)
    foot = torch.stack([(low[..., 0] + high[..., 0]) / 2, high[..., 1]], dim=-1)
    drop = log_drop(high[..., 1], horizon_N[:, None], batch.focal_N[:, None])
    depth = batch.depth_NK.log()
    seen = (size[..., 1] / batch.focal_N[:, None]).log() + depth
    area = size.prod(dim=-1).log()
    rest = [depth + drop, batch.height_NK.log() - seen, batch.pixels_NK.log() - area]
    return torch.cat([(batch.foot_NK2 - foot) / size, torch.stack(rest, dim=-1)], dim=-1)


def places(
    numbers_BK5: Tensor, boxes_BK4: Tensor, horizon_B: Tensor, focal_B: Tensor, side: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Positions (B, K, 3) in camera axes (metres), heights (B, K) and pixels (B, K); the inverse of
    ``number_targets``."""
    low, high = boxes_BK4[..., :2], boxes_BK4[..., 2:]
    size = (high - low).clamp(min=1.0)
    foot = torch.stack([(low[..., 0] + high[..., 0]) / 2, high[..., 1]], dim=-1)
    foot = foot + numbers_BK5[..., :2] * size
    focal = focal_B[:, None]
    drop = log_drop(high[..., 1], horizon_B[:, None], focal)
    depth = (numbers_BK5[..., 2] - drop).clamp(-2.0, 6.0).exp()
    height = (numbers_BK5[..., 3] + (size[..., 1] / focal).log()).exp() * depth
    x, y = (foot - side / 2).unbind(dim=-1)
    loc = torch.stack([x / focal * depth, -y / focal * depth, -depth], dim=-1)
    return loc, height, (numbers_BK5[..., 4] + size.prod(dim=-1).log()).exp()


def horizon_row(settings_BS: Tensor, focal_B: Tensor, side: int) -> Tensor:
    """Row (B,) at which flat ground ends, from the camera's pitch."""
    low, high = BY_FIELD["camera_pitch_deg"].sampled
    below = torch.deg2rad(low + (high - low) * settings_BS[:, PITCH] - 90.0)
    return side / 2 + focal_B * below.tan()


def jittered(boxes_NK4: Tensor, generator: torch.Generator) -> Tensor:
    """Boxes shifted and scaled a little."""
    size = boxes_NK4[..., 2:] - boxes_NK4[..., :2]
    noise = torch.randn(boxes_NK4.shape, generator=generator).to(boxes_NK4).clamp(-2, 2)
    return boxes_NK4 + 0.5 * JITTER * noise * size.repeat(1, 1, 2)


def _spread(rows_NC: Tensor, picture_N: Tensor, place_N: Tensor, shape: torch.Size) -> Tensor:
    full = rows_NC.new_zeros(*shape, rows_NC.shape[1])
    return full.index_put((picture_N, place_N), rows_NC)
