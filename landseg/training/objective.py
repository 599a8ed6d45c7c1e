"""The loss of a run: that of its task, and of coarse labels where there are any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from landseg.dense.losses import LabelSets
from landseg.dense.objective import LossOptions
from landseg.dense.task import Task
from landseg.errors import TrainingError
from landseg.models.heads import CLASSES
from landseg.scenes.label_counts import LabelCounts
from landseg.training.batches import Loss
from landseg.training.coarse.loss import CoarseLoss
from landseg.training.coarse.statistics import JointStatistics

Coarse = tuple[JointStatistics, float]


def objective(
    task: Task, options: LossOptions, sets: LabelSets, counts: Sequence[LabelCounts], coarse: Coarse | None = None
) -> Loss:
    """Return the loss of (output (N, C, h, w), batch), a scalar.

    Args:
        task: of the network.
        options: of the loss over classes.
        sets: the meaning of target values.
        counts: of the labels that are learned from, for class weights.
        coarse: the joint statistics of coarse labels and the share of their loss; None: there are none.

    Raises:
        TrainingError: coarse labels for a network that gives no classes.
    """
    fine = task.loss(options, sets, pixel_counts(counts, sets.classes))
    if coarse is not None:
        statistics, share = coarse
        if CLASSES not in task.heads:
            raise TrainingError(
                f"coarse labels teach classes, and the task {task.name!r} has no class logits: leave out --coarse"
            )
        return CoarseLoss(fine, statistics, share=share, classes=task.heads[CLASSES])
    return lambda output, batch: fine(output, batch.targets)


def pixel_counts(counts: Sequence[LabelCounts], classes: int) -> NDArray[np.int64]:
    """Return the labelled pixels of each class (K,), of labels that name one class."""
    total: NDArray[np.int64] = np.sum([one.counts[:classes] for one in counts], axis=0)
    return total
