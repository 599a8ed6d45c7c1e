"""The loss of instances: over classes, over the interior of things and over their boundary."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from landseg.classes import IGNORE_INDEX
from landseg.dense.instance_targets import UNKNOWN
from landseg.dense.label_maps import INTERIOR
from landseg.dense.losses import LabelSets, partial_pixel_losses
from landseg.dense.task import Loss
from landseg.models.heads import CLASSES, Heads


def instance_loss(heads: Heads, sets: LabelSets, *, near_weight: float) -> Loss:
    """Return the loss of an output (N, C, H, W) and targets (N, H, W) by name, as `instance_targets` has them.

    It is the sum of cross-entropy over classes, of the absolute difference of the interior from 0 to 1, and of binary
    cross-entropy over the boundary: each a mean over the pixels of the batch whose target is known, and 0 without
    any. A crop whose scene knows classes alone so teaches classes alone. It is computed in float32.

    Args:
        heads: of the output.
        sets: the meaning of the target "class".
        near_weight: the weight of pixels in the mean over classes that have two things near them; others weigh 1.
    """

    def loss(output: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        output = output.float()
        label = targets["class"]
        weight = 1 + (near_weight - 1) * targets["near"].float()
        weight = torch.where(label == IGNORE_INDEX, 0.0, weight)
        losses = partial_pixel_losses(output[:, heads[CLASSES]], label, sets)
        total = (losses * weight).sum() / weight.sum().clamp(min=1)
        interior, boundary = output[:, heads["interior"]][:, 0], output[:, heads["boundary"]][:, 0]
        known = targets["interior"] != UNKNOWN
        wrong = (interior.sigmoid() - targets["interior"].float() / INTERIOR).abs()
        total = total + _mean(wrong, known)
        known = targets["boundary"] != UNKNOWN
        truth = (targets["boundary"] == 1).float()
        return total + _mean(F.binary_cross_entropy_with_logits(boundary, truth, reduction="none"), known)

    return loss


def _mean(values: Tensor, known: Tensor) -> Tensor:
    """Return the mean over known pixels; 0, with gradients of 0, without any."""
    return torch.where(known, values, 0.0).sum() / known.sum().clamp(min=1)
