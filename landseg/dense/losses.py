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

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits (N, K, H, W) and targets (N, H, W) to a scalar."""


@dataclass(frozen=True)
class LabelSets:
    """The meaning of target values: the set of classes that a pixel of each value may belong to.

    Target ``t < K`` means class ``t``, of labels that know all classes. The values from K on are of labels that know
    one class only: this class ("building"), or any but this ("not building").

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
        sets: the meaning of the targets.
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


def softmax_cross_entropy(logits: Tensor, target: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Return the mean of ``-log p`` of the target's class, each pixel weighted by its class: a scalar."""
    return focal(logits, target, gamma=0.0, weights=weights)


def sigmoid_cross_entropy(logits: Tensor, target: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Return the binary cross-entropy of every class against the rest, the mean over pixels and (weighted) classes.

    Classes do not compete, as in Mask R-CNN's masks: probabilities are sigmoids and need not sum to 1.
    """
    return focal(logits, target, gamma=0.0, weights=weights, sigmoid=True)


def focal(
    logits: Tensor, target: Tensor, *, gamma: float = 2.0, weights: Tensor | None = None, sigmoid: bool = False
) -> Tensor:
    """Return the mean of ``-(1 - p)^gamma log p``, p the probability of the true class (Lin et al. 2017).

    Well-classified pixels count for little. Dividing by the weights' sum (not by the number of positive anchors, as
    for detection) makes ``gamma = 0`` cross-entropy.

    Args:
        gamma: 0 or more.
        sigmoid: take each class against the rest, as the paper does, instead of the softmax.

    Raises:
        TrainingError: gamma below 0, class weights that do not fit, targets that name no class.
    """
    if gamma < 0:
        raise TrainingError(f"the focal loss's gamma is 0 or more, got {gamma}")
    z, t = labelled(logits, target)
    w = _weights(weights, z)
    if sigmoid:
        truth = F.one_hot(t, z.shape[1]).to(z.dtype)
        right = torch.where(truth > 0, z, -z)  # p = sigmoid(right)
        share = w / (w.sum() * max(len(z), 1))
        return (_damped(F.logsigmoid(right), F.logsigmoid(-right), gamma) * share).sum()
    logs = F.log_softmax(z, 1)
    true = logs.gather(1, t[:, None])[:, 0]
    # log (1 - p) from the other classes: 1 - p itself can be 0, where a power below 1 has no finite slope.
    others = logs.scatter(1, t[:, None], -torch.inf).logsumexp(1) if gamma else true
    share = w[t]
    return (_damped(true, others, gamma) * share).sum() / share.sum().clamp(min=torch.finfo(z.dtype).tiny)


def dice(logits: Tensor, target: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Return 1 minus the (weighted) mean over classes of ``2 sum(p t) / (sum(p) + sum(t))``, p the softmax.

    Sums run over all labelled pixels of the batch; a class that none of them has is left out, since nothing could
    be gained on it (Milletari, Navab, Ahmadi 2016, without their squares).
    """
    z, t = labelled(logits, target)
    p, truth = z.softmax(1), F.one_hot(t, z.shape[1]).to(z.dtype)
    there = truth.sum(0)
    scores = 2 * (p * truth).sum(0) / (p.sum(0) + there).clamp(min=torch.finfo(z.dtype).tiny)
    share = _weights(weights, z) * (there > 0)
    return ((1 - scores) * share).sum() / share.sum().clamp(min=torch.finfo(z.dtype).tiny)


def lovasz_softmax(logits: Tensor, target: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Return the Lovász extension of 1 - IoU, the (weighted) mean over the classes that occur.

    For each class the errors ``|t - p|`` of all labelled pixels of the batch are sorted, and each is weighted by how
    much IoU falls when its pixel becomes wrong too (Berman, Triki, Blaschko 2018, algorithm 1).
    """
    z, t = labelled(logits, target)
    p, w = z.softmax(1), _weights(weights, z)
    total, share = z[:0].sum(), 0.0
    for k in range(z.shape[1]):
        truth = (t == k).to(z.dtype)
        if not truth.any():
            continue
        errors, order = (truth - p[:, k]).abs().sort(descending=True, stable=True)
        total = total + w[k] * (errors * _steps(truth[order])).sum()
        share += float(w[k])
    return total / share if share else total


def labelled(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the labelled pixels' logits (M, K) and classes (M,).

    Raises:
        TrainingError: sizes that differ, or a target that is neither a class nor IGNORE_INDEX.
    """
    if logits.ndim != 4 or target.shape != logits[:, 0].shape:
        raise TrainingError(
            f"logits {tuple(logits.shape)} and targets {tuple(target.shape)} differ in size; assign the targets first"
        )
    here = target != IGNORE_INDEX
    t = target[here].long()
    if t.numel() and not 0 <= int(t.min()) <= int(t.max()) < logits.shape[1]:
        raise TrainingError(
            f"targets {int(t.min())} to {int(t.max())} do not all name one of {logits.shape[1]} classes; "
            f"use {IGNORE_INDEX} for unlabelled pixels"
        )
    z = logits.permute(0, 2, 3, 1)[here]
    return (z if z.dtype == torch.float64 else z.float()), t


def _weights(weights: Tensor | None, like: Tensor) -> Tensor:
    if weights is None:
        return like.new_ones(like.shape[1])
    if weights.shape != like.shape[1:] or not bool((weights >= 0).all()) or not bool(weights.any()):
        raise TrainingError(
            f"class weights {weights.tolist()} do not fit {like.shape[1]} classes; give each a number of 0 or "
            "more, not all of them 0"
        )
    return weights.to(like)


def _damped(true: Tensor, others: Tensor, gamma: float) -> Tensor:
    """Return ``-(1 - p)^gamma log p`` from log p and log (1 - p)."""
    return -true * (gamma * others).exp() if gamma else -true


def _steps(truth: Tensor) -> Tensor:
    """Return the growth of 1 - IoU with each further wrong pixel, in this order of pixels (M,)."""
    wrong = torch.arange(1, len(truth) + 1, device=truth.device, dtype=truth.dtype)
    missed = truth.cumsum(0)
    iou = (truth.sum() - missed) / (truth.sum() + wrong - missed)
    return -torch.diff(iou, prepend=iou.new_ones(1))


LOSSES: dict[str, Callable[..., Tensor]] = {
    "softmax": softmax_cross_entropy,
    "sigmoid": sigmoid_cross_entropy,
    "focal": focal,
    "dice": dice,
    "lovasz": lovasz_softmax,
}
