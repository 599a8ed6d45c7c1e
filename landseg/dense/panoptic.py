"""Panoptic FPN: objects as Mask R-CNN finds them, merged, and the best class of stuff where there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from landseg.dense.detections import COARSEST, DetectionTask, box_loss
from landseg.dense.rcnn import DetectionOptions
from landseg.dense.semantic import top
from landseg.dense.task import Loss
from landseg.errors import ModelError
from landseg.models.heads import Heads

if TYPE_CHECKING:
    from torch import Tensor

    from landseg.dense.losses import LabelSets
    from landseg.dense.objective import LossOptions

LOGITS = "logits"
"""The head of the logits of 32 x 32 pixels: of each class of stuff, and of things."""


class PanopticTask(DetectionTask):
    """The task of Panoptic FPN: the output holds what Mask R-CNN's does, and logits of the classes of stuff.

    Options, beside those of `DetectionTask`:
        taken: an object is dropped if better ones have a larger share of its mask; the rest of its mask is its.
        stuff_weight: the weight of the loss over stuff; those of boxes and masks weigh 1.
    """

    name = "panoptic"
    defaults: ClassVar[Mapping[str, Any]] = {**DetectionTask.defaults, "taken": 0.5, "stuff_weight": 0.5}

    def _check_stuff(self) -> None:
        if not self.stuff:
            raise ModelError(
                "the task 'panoptic' needs a class of stuff beside those of things: add --background NAME, or a "
                "class without thing = true"
            )

    def _checked(self) -> DetectionOptions:
        made, weight = super()._checked(), self.options["stuff_weight"]
        if not 0 <= weight < math.inf:
            raise ModelError(f"option stuff_weight of the task 'panoptic' is a number from 0, got {weight:g}")
        return made

    @property
    def heads(self) -> Heads:
        return Heads((*super().heads.sizes, (LOGITS, (len(self.stuff) + 1) * COARSEST**2)))

    @property
    def network_options(self) -> Mapping[str, Any]:
        return {**super().network_options, "stuff": len(self.stuff)}

    def forward(self, network: Any, inputs: Tensor) -> Any:
        from landseg.dense.rcnn_loss import Forward

        return Forward(network, *network.levels_and_logits(inputs))

    def loss(self, options: LossOptions, sets: LabelSets, counts: NDArray[np.int64]) -> Loss:
        self.check_loss(options)
        return partial(_loss, self, merge_things(sets, self.stuff))

    def split(self, output: NDArray[np.float32], width: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        logits = self.heads[LOGITS]
        _, rows, columns = output.shape
        cells = output[logits].reshape(-1, COARSEST, COARSEST, rows, columns)[: len(self.stuff)]
        best = top(cells.reshape(len(self.stuff), COARSEST**2, -1))[0].reshape(COARSEST, COARSEST, rows, columns)
        pixels = best.transpose(2, 0, 3, 1).reshape(rows * COARSEST, columns * COARSEST)[:, :width]
        return output[: logits.start], np.array(self.stuff, np.uint8)[pixels]


def merge_things(sets: LabelSets, stuff: tuple[int, ...]) -> LabelSets:
    """Return the meaning of target values for the logits of each class of stuff, and of all things as one."""
    from dataclasses import replace

    import torch

    things = [number for number in range(sets.classes) if number not in stuff]
    allowed = sets.allowed
    return replace(sets, allowed=torch.cat([allowed[:, list(stuff)], allowed[:, things].any(1, keepdim=True)], 1))


def _loss(task: PanopticTask, sets: LabelSets, made: Any, targets: Mapping[str, Tensor]) -> Tensor:
    """Return the losses of boxes and masks, and by its weight the cross-entropy over stuff."""
    from landseg.dense.losses import partial_cross_entropy

    stuff = partial_cross_entropy(made.logits, targets["class"], sets)
    weight: float = task.options["stuff_weight"]
    return box_loss(task.classes.things, made, targets) + weight * stuff
