"""Online hard-pixel mining: the loss is the mean over the pixels that are still wrong or unsure.

Shrivastava, Gupta, Girshick 2016 mine regions; for pixels, with a threshold and a least number, see Wu, Shen, van den
Hengel 2016. Hard pixels are found anew in every batch, over the whole of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from landseg.classes import IGNORE_INDEX
from landseg.dense.losses import LabelSets, Loss, partial_pixel_losses
from landseg.errors import TrainingError

PixelLosses = Callable[[Tensor, Tensor], Tensor]
"""Logits (N, K, H, W) and targets (N, H, W) to a loss for each pixel, (N, H, W)."""


@dataclass(frozen=True)
class HardOptions:
    """The rule for hard pixels: those less probable than ``probability``, and in any case the hardest ``share``.

    Attributes:
        probability: of the true class, above which a pixel is easy: 0 to 1, neither included.
        share: of the labelled pixels that are kept at least; 1 keeps all of them.
    """

    probability: float = 0.7
    share: float = 0.25

    def __post_init__(self) -> None:
        if not 0 < self.probability < 1:
            raise TrainingError(f"the probability above which a pixel is easy is between 0 and 1: {self.probability}")
        if not 0 < self.share <= 1:
            raise TrainingError(f"the share of pixels that is kept is above 0 and up to 1, got {self.share}")

    @property
    def threshold(self) -> float:
        """Return the cross-entropy above which a pixel is hard."""
        return -math.log(self.probability)


def hard_pixels(losses: Tensor, labelled: Tensor, *, threshold: float, share: float) -> Tensor:
    """Return the hard pixels, as a boolean tensor of the shape of the losses.

    Kept are labelled pixels with a loss above ``threshold``; where these are fewer than ``share`` of the labelled
    ones (rounded up), the hardest that make up that share, and all that equal the last of them.

    >>> losses = torch.tensor([0.1, 0.4, 0.2, 9.0])
    >>> labelled = torch.tensor([True, True, True, False])
    >>> hard_pixels(losses, labelled, threshold=0.3, share=0.6).tolist()
    [False, True, True, False]
    """
    found = losses.detach()[labelled]
    if not found.numel():
        return labelled
    least = math.ceil(share * found.numel() - 1e-6)
    bar = found.kthvalue(found.numel() - least + 1).values
    # Easy pixels are looked for, so that a loss that is no number is hard: it must not get lost.
    easy = losses.detach() <= threshold if bar > threshold else losses.detach() < bar
    return ~easy & labelled


def mean_of_hard_pixels(losses: Tensor, labelled: Tensor, *, threshold: float, share: float) -> Tensor:
    """Return the mean of the losses (N, H, W) over the hard pixels, a scalar; 0 with zero gradient without any."""
    hard = hard_pixels(losses, labelled, threshold=threshold, share=share)
    return torch.where(hard, losses, 0.0).sum() / hard.sum().clamp(min=1)


def hard_loss(pixel_losses: PixelLosses, options: HardOptions | None = None) -> Loss:
    """Return a loss of logits and targets: the mean of any loss of single pixels over the hard ones.

    ``options.probability`` is meant for cross-entropies, of which it is a threshold. Pixels at IGNORE_INDEX are never
    kept, whatever their loss.
    """
    chosen = options or HardOptions()

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        losses = pixel_losses(logits, target)
        return mean_of_hard_pixels(losses, target != IGNORE_INDEX, threshold=chosen.threshold, share=chosen.share)

    return loss


def hard_partial_cross_entropy(sets: LabelSets, options: HardOptions | None = None) -> Loss:
    """Return `partial_cross_entropy` over the hard pixels alone."""
    return hard_loss(partial(partial_pixel_losses, sets=sets), options)
