"""What wild-clip learns from a batch of labelled crops.

Symbols: B crops, K places of a crop, P phrases, C canonical phrases, D embedding; ``target_BP`` how
true each phrase is of each crop (0-1).

Two losses. The first is LERF's own formula used as a classifier: the pairwise softmax of a phrase
against the hardest canonical phrase (LERF section 3.4, temperature 10) should equal the target. The
second is CLIP's image-to-text softmax over the whole vocabulary, which keeps phrases apart.

Both are asked of the whole crop, and also of its places: of the 3 x 3 that the last stage sees and
of the 6 x 6 of the stage before. A crop then gives 46 answers instead of one, and the middle of a
crop is told from what is around it. That costs nothing at use: the pooling stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from open_clip.modified_resnet import ModifiedResNet
from torch import Tensor, nn
from torch.nn import functional

from lerf_wild.language.relevancy import TEMPERATURE

SOFTMAX_TEMPERATURE = 14.0
SOFTMAX_WEIGHT = 0.5
PLACES_WEIGHT = 0.6
"""Weight of the 3 x 3 and of the 6 x 6 places, against that of the crop."""


@dataclass(frozen=True)
class Batch:
    """Crops (B, 3, S, S) in 0-1; how true phrases are of their 3 x 3 and 6 x 6 places.

    The middle one of the 3 x 3 places is what the crop as a whole is about.
    """

    crops: Tensor
    late_B9P: Tensor
    early_BKP: Tensor


class TrainingTower(nn.Module):
    """An image tower that also answers for the places of a crop."""

    def __init__(self, visual: ModifiedResNet, channels: int, embed_dim: int) -> None:
        super().__init__()
        self.visual = visual
        self.early_head = nn.Conv2d(channels, embed_dim, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings of the crops (B, D), of their 3 x 3 (B, 9, D) and 6 x 6 places (B, K, D).

        A place of the last stage goes through the pooling's value and output layers alone.
        """
        visual = self.visual
        early = visual.layer3(visual.layer2(visual.layer1(visual.stem(image))))
        late = visual.layer4(early)
        pool = visual.attnpool
        tokens = late.flatten(2).mT + pool.positional_embedding[1:].to(late.dtype)
        places = pool.c_proj(pool.v_proj(tokens))
        return pool(late), places, self.early_head(early).flatten(2).mT


def batch_losses(
    tower: TrainingTower, vectors_PD: Tensor, batch: Batch, stats: tuple[Tensor, Tensor]
) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch and what to report; ``vectors_PD`` ends with the canonical phrases."""
    image = ((batch.crops - stats[0]) / stats[1]).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        parts = tower(image)
    whole, late, early = (functional.normalize(part.float(), dim=-1) for part in parts)
    target_BP = batch.late_B9P[:, batch.late_B9P.shape[1] // 2]
    text = functional.normalize(vectors_PD, dim=-1)
    text_PD, canonical_CD = text[: target_BP.shape[1]], text[target_BP.shape[1] :]
    relevance = relevancy_loss(whole, text_PD, canonical_CD, target_BP)
    contrast = softmax_loss(whole, text_PD, target_BP)
    loss = relevance + SOFTMAX_WEIGHT * contrast
    for places, targets in ((late, batch.late_B9P), (early, batch.early_BKP)):
        flat, true = places.flatten(0, 1), targets.flatten(0, 1)
        local = relevancy_loss(flat, text_PD, canonical_CD, true)
        loss = loss + PLACES_WEIGHT * (local + SOFTMAX_WEIGHT * softmax_loss(flat, text_PD, true))
    clear = target_BP.amax(dim=1) >= 1.0
    best = (whole @ text_PD.T).argmax(dim=1, keepdim=True)
    right = target_BP.gather(1, best)[clear] > 0.5
    return loss, {
        "loss": loss.item(),
        "relevancy": relevance.item(),
        "softmax": contrast.item(),
        "top1": right.float().mean().item(),
    }


def relevancy_loss(
    image_BD: Tensor, text_PD: Tensor, canonical_CD: Tensor, target_BP: Tensor
) -> Tensor:
    """Cross entropy between LERF's relevancy and the target; true and false phrases weigh the same.

    Hard false phrases, those with a high relevancy, count more (focal weight), since a single one
    of them hides the right answer.
    """
    margin = image_BD @ text_PD.T - (image_BD @ canonical_CD.T).amax(dim=1, keepdim=True)
    logits = TEMPERATURE * margin
    loss = functional.binary_cross_entropy_with_logits(logits, target_BP, reduction="none")
    surprise = (torch.sigmoid(logits.detach()) - target_BP).abs()
    positive = target_BP
    negative = (1.0 - target_BP) * (surprise + 0.05)
    return (loss * positive).sum() / positive.sum().clamp(min=1.0) + (
        loss * negative
    ).sum() / negative.sum().clamp(min=1.0)


def softmax_loss(image_BD: Tensor, text_PD: Tensor, target_BP: Tensor) -> Tensor:
    """CLIP's image-to-text loss with several true phrases a crop; crops of nothing known are left
    out."""
    total = target_BP.sum(dim=1, keepdim=True)
    share = target_BP / total.clamp(min=1e-6)
    log_p = functional.log_softmax(SOFTMAX_TEMPERATURE * image_BD @ text_PD.T, dim=1)
    weight = total.squeeze(1).clamp(max=1.0)
    return -((share * log_p).sum(dim=1) * weight).sum() / weight.sum().clamp(min=1.0)
