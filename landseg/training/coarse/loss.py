"""Learning from coarse labels: the super-resolution loss of Robinson et al. 2019.

A coarse label does not say what a pixel is. It says, by what is known of its class (`JointStatistics`), which shares
of the fine classes its pixels have; the loss asks the shares that are predicted to be those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from landseg.classes import IGNORE_INDEX
from landseg.dense.task import Loss
from landseg.errors import TrainingError
from landseg.training.coarse.statistics import JointStatistics

SHARE = 1 / 40
"""Of the super-resolution loss in the total, as published; the rest is the fine labels' loss."""

_NONE = 1e-6  # the paper's code: pixels that every coarse class has at least, and a floor of variances
_FEW = 10.0  # pixels that are added to a sample's, so that few say little
_FLAT = 0.03  # keeps the logarithm of a variance that is next to nothing from ruling


class LabelledBatch(Protocol):
    """A batch with targets by name, coarse labels (N, H, W) as "coarse" among them where there are any."""

    @property
    def targets(self) -> Mapping[str, Tensor]: ...


def super_resolution_loss(logits: Tensor, coarse: Tensor, statistics: JointStatistics) -> Tensor:
    """Return how far the predicted class shares are from those of each coarse class, a scalar: see `mismatch`.

    Computed in float32 at least, also where autocast is on.
    """
    probs = (logits if logits.dtype == torch.float64 else logits.float()).softmax(1)
    return mismatch(probs, coarse, statistics)


def mismatch(probs: Tensor, coarse: Tensor, statistics: JointStatistics) -> Tensor:
    """Return the super-resolution loss of probabilities, the mean over the samples that have coarse labels.

    In one sample, of ``n`` pixels with a coarse label, coarse class c has ``n_c``, and over them fine class k has the
    mean probability ``m`` with the variance ``v = sum(p (1 - p)) / n_c^2`` of a mean of independent draws. With the
    mean ``mu`` and spread ``s`` of the statistics the loss is the sum over c of ``w_c n_c / (n + 10)`` times the sum
    over k of ::

        max(|m - mu| - s, 0)^2 / (v + s^2 + 1e-6) + log(v + 0.03)

    The first term lets shares differ from the mean by the spread; the second asks for sure predictions and makes the
    loss negative. Pixels at IGNORE_INDEX count for nothing; a batch without coarse labels gives 0 with zero gradient.

    Args:
        probs: (N, K, H, W), summing to 1 over K; float32 or float64.
        coarse: (N, H, W) integers: rows of ``statistics`` or IGNORE_INDEX.
        statistics: of C coarse and K fine classes.

    Raises:
        TrainingError: sizes that differ, or a label that is no row.
    """
    _check(probs, coarse, statistics)
    with torch.autocast(probs.device.type, enabled=False):
        mu, spread, weights = (
            torch.as_tensor(table, dtype=probs.dtype, device=probs.device)
            for table in (statistics.mean, statistics.spread, statistics.weights)
        )
        rows = len(weights)
        index = torch.where(coarse == IGNORE_INDEX, rows, coarse.long()).flatten(1)
        member = F.one_hot(index, rows + 1)[..., :rows].to(probs.dtype)  # (N, HW, C)
        p = probs.flatten(2)  # (N, K, HW)
        count = member.sum(1)[..., None] + _NONE  # (N, C, 1)
        mean = (p @ member).mT / count  # (N, C, K)
        variance = ((p * (1 - p)) @ member).mT / count**2
        beyond = ((mean - mu).abs() - spread).clamp(min=0)
        each = beyond**2 / (variance + spread**2 + _NONE) + (variance + _FLAT).log()
        known = member.sum((1, 2))
        of_class = weights * count[..., 0] / (known[:, None] + _FEW)
        of_sample = (of_class * each.sum(2)).sum(1)
        there = known > 0
        return torch.where(there, of_sample, 0.0).sum() / there.sum().clamp(min=1)


class CoarseLoss:
    """The total of a batch: ``(1 - share)`` of the fine labels' loss and ``share`` of the super-resolution loss.

    Called with an output (N, C, H, W) and a batch. The fine loss is a mean over the pixels with a fine label, and so
    one without any adds nothing: scenes of which only coarse labels are known need no more than a target that is
    IGNORE_INDEX. (In the paper's code a skipped pixel counts as one without loss, which makes the fine labels'
    part smaller by the share of skipped pixels.)

    Attributes:
        fine: of logits and targets by name.
        statistics: of both kinds of classes.
        share: between 0 and 1; the paper's is 1/40.
        classes: the channels of the class logits, where there are others.
    """

    def __init__(
        self, fine: Loss, statistics: JointStatistics, *, share: float = SHARE, classes: slice = slice(None)
    ) -> None:
        if not 0 <= share <= 1:
            raise TrainingError(
                f"the share of the coarse labels' loss is 0 to 1, got {share:g}; the paper's is 0.025"
            )
        self.fine, self.statistics, self.share, self.classes = fine, statistics, share, classes

    def __call__(self, logits: Tensor, batch: LabelledBatch) -> Tensor:
        fine = (1 - self.share) * self.fine(logits, batch.targets)
        if "coarse" not in batch.targets:
            return fine
        rough = super_resolution_loss(logits[:, self.classes], batch.targets["coarse"], self.statistics)
        return fine + self.share * rough


def used(target: Tensor, mask: Tensor) -> Tensor:
    """Return the targets (N, H, W) with IGNORE_INDEX where ``mask`` says that fine labels are not to be used.

    >>> used(torch.tensor([[[0, 1]]]), torch.tensor([[[True, False]]])).tolist()
    [[[0, 255]]]
    """
    return torch.where(mask, target, torch.full_like(target, IGNORE_INDEX))


def _check(probs: Tensor, coarse: Tensor, statistics: JointStatistics) -> None:
    if probs.ndim != 4 or coarse.shape != probs[:, 0].shape:
        raise TrainingError(
            f"logits {tuple(probs.shape)} and coarse labels {tuple(coarse.shape)} differ in size; bring the labels "
            "to the logits' grid"
        )
    rows, classes = statistics.mean.shape
    if probs.shape[1] != classes:
        raise TrainingError(
            f"the joint statistics are of {classes} classes ({', '.join(statistics.classes)}), the logits of "
            f"{probs.shape[1]}; give a table with one column a class"
        )
    if coarse.numel():
        known = torch.where(coarse == IGNORE_INDEX, 0, coarse.long())
        if int(known.min()) < 0 or int(known.max()) >= rows:
            raise TrainingError(
                f"coarse labels {int(known.min())} to {int(known.max())} do not all name one of {rows} rows of the "
                f"joint statistics; use {IGNORE_INDEX} for pixels without one"
            )
