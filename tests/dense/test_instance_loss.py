"""The loss of instances against its definition in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from landseg.classes import IGNORE_INDEX, ClassMap, LandClass
from landseg.dense.instance_loss import instance_loss
from landseg.dense.instances import Instances
from landseg.dense.losses import LabelSets
from landseg.dense.objective import LossOptions
from landseg.errors import TrainingError
from landseg.models.heads import Heads

HEADS = Heads((("classes", 2), ("interior", 1), ("boundary", 1)))
SETS = LabelSets.of(2)


def batch(seed: int = 0) -> tuple[Tensor, dict[str, Tensor]]:
    """Return an output (2, 4, 6, 7) and targets, of which some of each are unknown."""
    rng = np.random.default_rng(seed)
    shape = (2, 6, 7)

    def target(values: list[int]) -> Tensor:
        return torch.from_numpy(rng.choice(np.array(values, np.uint8), shape))

    targets = {
        "class": target([0, 1, IGNORE_INDEX]),
        "interior": target([0, 100, 254, 255]),
        "boundary": target([0, 1, 255]),
        "near": target([0, 1]),
    }
    return torch.from_numpy(rng.normal(size=(2, 4, 6, 7)).astype(np.float32)), targets


def defined(output: Tensor, targets: dict[str, Tensor], near_weight: float) -> float:
    logits = output.numpy().astype(np.float64)
    label, interior, boundary, near = (targets[n].numpy() for n in ("class", "interior", "boundary", "near"))
    shares = np.exp(logits[:, :2]) / np.exp(logits[:, :2]).sum(1, keepdims=True)
    own = np.where(label == 1, shares[:, 1], shares[:, 0])
    weight = np.where(near == 1, near_weight, 1.0) * (label != IGNORE_INDEX)
    total = (weight * -np.log(own)).sum() / weight.sum()
    inside, rim = 1 / (1 + np.exp(-logits[:, 2])), 1 / (1 + np.exp(-logits[:, 3]))
    total += np.abs(inside - interior / 254)[interior != 255].mean()
    entropy = -np.where(boundary == 1, np.log(rim), np.log(1 - rim))
    return float(total + entropy[boundary != 255].mean())


@pytest.mark.parametrize("seed", range(5))
def test_the_loss_is_the_sum_of_three_means(seed: int) -> None:
    output, targets = batch(seed)
    found = instance_loss(HEADS, SETS, near_weight=4.0)(output, targets)
    assert float(found) == pytest.approx(defined(output, targets, 4.0), rel=1e-5)


def test_twin_without_the_weight_it_is_another() -> None:
    output, targets = batch()
    assert defined(output, targets, 4.0) != pytest.approx(defined(output, targets, 1.0), rel=1e-3)


def test_unknown_targets_teach_nothing() -> None:
    output, targets = batch()
    output.requires_grad_()
    classes_alone = targets | {name: torch.full_like(targets[name], 255) for name in ("interior", "boundary")}
    instance_loss(HEADS, SETS, near_weight=4.0)(output, classes_alone).backward()  # type: ignore[no-untyped-call]
    assert output.grad is not None
    assert not output.grad[:, 2:].any() and output.grad[:, :2].any()
    known = targets["class"] != IGNORE_INDEX
    assert not output.grad[:, :2].movedim(1, -1)[~known].any()
    nothing: dict[str, Any] = {name: torch.full_like(part, 255) for name, part in classes_alone.items()}
    nothing["near"] = targets["near"]
    assert float(instance_loss(HEADS, SETS, near_weight=4.0)(output.detach(), nothing)) == 0


def test_bfloat16_gives_the_loss_in_float32() -> None:
    output, targets = batch()
    loss = instance_loss(HEADS, SETS, near_weight=4.0)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(output.bfloat16(), targets)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(loss(output.bfloat16().float(), targets)), rel=1e-6)


def test_losses_of_class_maps_are_refused() -> None:
    task = Instances(ClassMap((LandClass(1, "house", (9, 9, 9), True), LandClass(2, "rest", (1, 1, 1)))), {})
    task.loss(LossOptions(at="pixels"), SETS, np.ones(2, np.int64))
    for options in (LossOptions(balanced=True), LossOptions({"softmax": 1.0, "dice": 1.0})):
        with pytest.raises(TrainingError, match="has a loss of its own: leave out"):
            task.loss(options, SETS, np.ones(2, np.int64))
