"""The loss over classes that a recipe asks for: a sum of losses by name, over every kind of target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landseg.classes import IGNORE_INDEX
from landseg.dense.hard_pixels import HardOptions, hard_partial_cross_entropy
from landseg.dense.losses import LabelSets, Loss, balanced_weights, combined, partial_cross_entropy
from landseg.errors import TrainingError

PARTIAL = "softmax"
"""The one loss that also learns from labels that know some classes only."""


@dataclass(frozen=True)
class LossOptions:
    """The losses over classes that are minimised, and the pixels that they see.

    Attributes:
        terms: the weight of each loss, by its name: softmax, sigmoid, focal, dice, lovasz. Only softmax
            (cross-entropy) learns from partial labels; the others leave them out.
        balanced: weigh each class by the median of the classes' frequencies over its own; partial labels are then
            left out of cross-entropy too.
        hard: learn from the pixels alone that are still wrong or unsure; with cross-entropy alone.
        gamma: the exponent of the focal loss.
        at: "pixels" takes the loss at every pixel, of upsampled scores; "units" at the network's own units, of
            targets sampled at their centres; None: at pixels.
    """

    terms: Mapping[str, float] = field(default_factory=lambda: {PARTIAL: 1.0})
    balanced: bool = False
    hard: HardOptions | None = None
    gamma: float = 2.0
    at: Literal["pixels", "units"] | None = None

    def __post_init__(self) -> None:
        combined(self.terms)  # refuses names that are none, and weights that make no sum
        if self.hard is not None and (set(self.terms) != {PARTIAL} or self.balanced):
            raise TrainingError(
                f"hard pixels are those of plain cross-entropy: leave out hard, or {', '.join(sorted(self.terms))} "
                "and balanced"
            )


def class_loss(options: LossOptions, sets: LabelSets, counts: NDArray[np.int64]) -> Loss:
    """Return the loss of logits (N, K, H, W) and targets (N, H, W), a scalar.

    Args:
        options: the losses and their weights.
        sets: the meaning of target values.
        counts: (K,) labelled pixels of each class, for class weights.
    """
    if options.hard is not None:
        return hard_partial_cross_entropy(sets, options.hard)
    weights = balanced_weights(counts) if options.balanced else None
    plain = dict(options.terms)
    share = plain.pop(PARTIAL, 0.0) if weights is None else 0.0
    whole = combined(plain, weights=weights, gamma=options.gamma) if plain else None

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        total = share * partial_cross_entropy(logits, target, sets) if share else logits.new_zeros(())
        if whole is not None:
            total = total + whole(logits, torch.where(target < sets.classes, target, IGNORE_INDEX))
        return total

    return loss
