"""Losses over logits (N, K, H, W) and integer targets (N, H, W)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from landseg.classes import IGNORE_INDEX
from landseg.errors import TrainingError
from landseg.training.losses_dense import (
    dice,
    focal,
    lovasz_softmax,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
)

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits (N, K, H, W) and targets (N, H, W) to a scalar."""

LOSSES: dict[str, Callable[..., Tensor]] = {
    "softmax": softmax_cross_entropy,
    "sigmoid": sigmoid_cross_entropy,
    "focal": focal,
    "dice": dice,
    "lovasz": lovasz_softmax,
}


@dataclass(frozen=True)
class LabelSets:
    """What a target value says: the set of classes that the pixel may belong to.

    Target ``t < K`` means class ``t``, by somebody who knew all classes. The values from K on come from somebody who
    knew one class only: this class ("building"), or any but this ("not building").

    Attributes:
        allowed: (T, K) booleans, row t = the classes that target t admits.
        classes: K.
    """

    allowed: Tensor
    classes: int

    @classmethod
    def of(cls, classes: int, sets: Iterable[Sequence[int]] = ()) -> LabelSets:
        """Return the K single classes followed by the given partial labels, as lists of class indices."""
        rows = [[k] for k in range(classes)] + [list(s) for s in sets]
        if len(rows) > IGNORE_INDEX:
            raise TrainingError(f"{len(rows)} kinds of label; landseg counts to {IGNORE_INDEX}")
        allowed = torch.zeros(len(rows), classes, dtype=torch.bool)
        for row, members in enumerate(rows):
            allowed[row, members] = True
        return cls(allowed, classes)


def partial_cross_entropy(logits: Tensor, target: Tensor, sets: LabelSets) -> Tensor:
    """Return the mean of `partial_pixel_losses` over labelled pixels, a scalar.

    A batch without a labelled pixel gives 0 with zero gradient.
    """
    labelled = target != IGNORE_INDEX
    return partial_pixel_losses(logits, target, sets).sum() / labelled.sum().clamp(min=1)


def partial_pixel_losses(logits: Tensor, target: Tensor, sets: LabelSets) -> Tensor:
    """Return ``-log P(pixel belongs to its label's set)`` of each pixel, (N, H, W); 0 at IGNORE_INDEX.

    For targets that name one class this is softmax cross-entropy; for a set it is the cross-entropy of the sum
    of its classes' probabilities, so that "not building" teaches without saying what else. A partial label moves
    the logit of the one class that it knows and no other: any gradient on the others, in proportion to their own
    probabilities, would make the one win that happens to lead, or to lag, wherever only such labels reach.

    Args:
        logits: (N, K, H, W), any float type; computed in float32.
        target: (N, H, W) integers: indices into ``sets`` or IGNORE_INDEX.
        sets: what the targets mean.
    """
    logits = logits.float()
    labelled = target != IGNORE_INDEX
    allowed = sets.allowed.to(logits.device)[torch.where(labelled, target, 0).long()]  # (N, H, W, K)
    allowed = allowed.permute(0, 3, 1, 2)
    inside = logits.masked_fill(~allowed, -torch.inf).logsumexp(dim=1)
    outside = logits.masked_fill(allowed, -torch.inf).logsumexp(dim=1)
    several, partial = allowed.sum(dim=1) > 1, labelled & (target >= sets.classes)
    inside = torch.where(partial & several, inside.detach(), inside)
    outside = torch.where(partial & ~several, outside.detach(), outside)
    return torch.where(labelled, F.softplus(outside - inside), 0.0)


def combined(terms: Mapping[str, float], *, weights: Tensor | None = None, gamma: float = 2.0) -> Loss:
    """Return the weighted sum of losses by name, as one loss.

    >>> loss = combined({"softmax": 1.0, "dice": 0.5})
    >>> round(float(loss(torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 1]]]))), 4)  # log 2 + 0.5 / 2
    0.9431

    Args:
        terms: the weight of each loss, by its name in LOSSES.
        weights: (K,) class weights, in all of them.
        gamma: the focal loss's.

    Raises:
        TrainingError: an unknown name, or weights that make no sum.
    """
    unknown = sorted(set(terms) - set(LOSSES))
    if unknown:
        raise TrainingError(f"there is no loss {', '.join(unknown)}; use {', '.join(LOSSES)}")
    if not terms or not all(0 < factor < float("inf") for factor in terms.values()):
        raise TrainingError(f"losses {dict(terms)} make no sum; give one or more, each a weight above 0")
    parts = [
        (factor, partial(LOSSES[name], weights=weights, **({"gamma": gamma} if name == "focal" else {})))
        for name, factor in terms.items()
    ]

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        return torch.stack([factor * part(logits, target) for factor, part in parts]).sum()

    return loss


def balanced_weights(counts: NDArray[np.integer]) -> Tensor:
    """Return class weights (K,), the median of the classes' frequencies over each one's own (Eigen, Fergus 2015).

    >>> balanced_weights(np.array([100, 50, 25, 0])).tolist()
    [0.5, 1.0, 2.0, 0.0]

    Args:
        counts: (K,) labelled pixels by class; a class without any gets 0, and no say in the median.

    Raises:
        TrainingError: no labelled pixel at all.
    """
    there = counts > 0
    if not there.any():
        raise TrainingError("no labelled pixel in any class: there is nothing to balance")
    weights = np.zeros(counts.shape)
    weights[there] = np.median(counts[there]) / counts[there]
    return torch.from_numpy(weights).float()
