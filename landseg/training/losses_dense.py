"""Losses over logits (N, K, H, W) and targets (N, H, W) that name one class a pixel.

All of them leave pixels at IGNORE_INDEX out of value and gradient, compute in float32 at least, and give 0 with zero
gradient for a batch without a labelled pixel. ``weights`` (K,) are class weights; None weighs all classes alike.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from landseg.classes import IGNORE_INDEX
from landseg.errors import TrainingError


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
    """Return the mean of ``-(1 - p)^gamma log p``, p the probability given to what is true (Lin et al. 2017).

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
    """``-(1 - p)^gamma log p`` from log p and log (1 - p)."""
    return -true * (gamma * others).exp() if gamma else -true


def _steps(truth: Tensor) -> Tensor:
    """By how much 1 - IoU grows with each further wrong pixel, in this order of pixels (M,)."""
    wrong = torch.arange(1, len(truth) + 1, device=truth.device, dtype=truth.dtype)
    missed = truth.cumsum(0)
    iou = (truth.sum() - missed) / (truth.sum() + wrong - missed)
    return -torch.diff(iou, prepend=iou.new_ones(1))
