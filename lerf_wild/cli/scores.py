"""Figures of a run from its answers in labelled views and from its scores of whole phrases.

H, W pixels, P phrases.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from PIL import Image

from lerf_wild.cli.truth import LabelledView
from lerf_wild.language.metrics import existence_ap, iou, is_in_boxes, peak_pixel, relevancy_mask
from lerf_wild.language.thresholds import FITTED_MASK


@dataclass
class LabelScores:
    """Hits and overlaps of phrases in views, gathered view by view."""

    hits: list[tuple[str, str, bool]] = field(default_factory=list)
    """View, phrase, and whether the most relevant pixel lies in a box of the phrase."""
    overlaps: list[tuple[str, str, float]] = field(default_factory=list)
    """View, phrase, and intersection over union of the mask."""

    def add(
        self,
        name: str,
        view: LabelledView,
        phrases: Sequence[str],
        relevancy_HWP: Float[np.ndarray, "H W P"],
        fitted_HWP: Float[np.ndarray, "H W P"],
    ) -> None:
        """Scores the answers to phrases that are labelled in a view.

        Places are looked for in the relevancy; masks are cut from `fitted_HWP`, the same maps
        fitted to the edges of the picture.
        """
        height, width = relevancy_HWP.shape[:2]
        maps = zip(np.moveaxis(relevancy_HWP, -1, 0), np.moveaxis(fitted_HWP, -1, 0), strict=True)
        for phrase, (map_HW, fitted_HW) in zip(phrases, maps, strict=True):
            boxes_K4 = view.boxes_at(phrase, height, width)
            self.hits.append((name, phrase, is_in_boxes(*peak_pixel(map_HW), boxes_K4)))
            truth_HW = view.mask_of(phrase)
            found_HW = relevancy_mask(_resized(fitted_HW, truth_HW.shape), FITTED_MASK)
            self.overlaps.append((name, phrase, iou(found_HW, truth_HW)))

    def figures(self) -> dict[str, float]:
        """Returns the means over all pairs of a phrase and a view; NaN where there are none."""
        return {
            "localisation_accuracy": mean([hit for _, _, hit in self.hits]),
            "miou": mean([value for _, _, value in self.overlaps]),
            "labelled_pairs": len(self.hits),
        }

    def by_phrase(self) -> dict[str, dict[str, float]]:
        """Returns the same figures for each phrase on its own, in alphabetical order."""
        return {
            phrase: {
                "localisation_accuracy": mean([hit for _, one, hit in self.hits if one == phrase]),
                "miou": mean([value for _, one, value in self.overlaps if one == phrase]),
                "labelled_pairs": sum(one == phrase for _, one, _ in self.hits),
            }
            for phrase in sorted({phrase for _, phrase, _ in self.hits})
        }


def existence_figures(
    scores: Mapping[str, float], present: Sequence[str], absent: Sequence[str], threshold: float
) -> dict[str, float]:
    """Returns how well scores tell phrases that hold of the scene from those that do not.

    Average precision needs no threshold; `existence_accuracy` is that of the frozen one.
    """
    phrases = [*present, *absent]
    truths = [True] * len(present) + [False] * len(absent)
    values = [scores[phrase] for phrase in phrases]
    right = [(value > threshold) == truth for value, truth in zip(values, truths, strict=True)]
    return {
        "existence_ap": existence_ap(values, truths),
        "existence_accuracy": mean(right),
        "present_phrases": len(present),
        "absent_phrases": len(absent),
    }


def mean(values: Sequence[float]) -> float:
    """Returns the mean, NaN of nothing."""
    return float(np.mean(values)) if len(values) > 0 else math.nan


def _resized(map_HW: Float[np.ndarray, "H W"], shape: tuple[int, int]) -> np.ndarray:
    if map_HW.shape == shape:
        return map_HW
    image = Image.fromarray(np.asarray(map_HW, np.float32))
    return np.asarray(image.resize(shape[::-1], Image.Resampling.BILINEAR))
