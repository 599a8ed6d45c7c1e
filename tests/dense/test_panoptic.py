"""The task of Panoptic FPN: its classes and options, its losses, and what a small network learns by them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from landseg.classes import ClassMap, LandClass
from landseg.dense.losses import LabelSets, partial_cross_entropy
from landseg.dense.objective import LossOptions
from landseg.dense.panoptic import PanopticTask, merge_things
from landseg.dense.rcnn_loss import Forward, losses_of, object_targets
from landseg.dense.tasks import make_task
from landseg.errors import ModelError, TrainingError
from landseg.models.networks.backbones import Encoder
from landseg.models.networks.panoptic_fpn import PanopticFPN

GROUND, WATER = LandClass(1, "ground", (90, 90, 90)), LandClass(2, "water", (0, 0, 200))
HOUSE, TREE = LandClass(3, "house", (200, 0, 0), thing=True), LandClass(4, "tree", (0, 200, 0), thing=True)
TABLE = ClassMap((GROUND, HOUSE, WATER, TREE))
STUFF = (0, 2)


def test_it_takes_one_class_of_stuff_or_more() -> None:
    task = make_task("panoptic", TABLE, {"features": 8})
    assert isinstance(task, PanopticTask) and task.stuff == STUFF
    assert task.heads.total == 85 * 23 + 3 * 1024
    assert make_task("panoptic", ClassMap((HOUSE, GROUND)), {}).network_options == {"things": 1, "stuff": 1}
    with pytest.raises(ModelError, match="needs a class of stuff"):
        PanopticTask(ClassMap((HOUSE, TREE)), {})
    with pytest.raises(ModelError, match="needs a class of things"):
        PanopticTask(ClassMap((GROUND, WATER)), {})


@pytest.mark.parametrize(
    "options", [{"taken": 1.0}, {"taken": "half"}, {"stuff_weight": -1}, {"stuff_weight": "a"}, {"features": 0}]
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="'panoptic'"):
        PanopticTask(TABLE, options)


def test_losses_of_classes_are_not_taken() -> None:
    with pytest.raises(TrainingError, match="loss of its own"):
        PanopticTask(TABLE, {}).loss(LossOptions(balanced=True), LabelSets.of(4), np.ones(4, np.int64))


def test_things_are_one_class_of_the_logits() -> None:
    logits = torch.randn(1, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    target = torch.arange(20).reshape(1, 4, 5) % 4
    target[0, 3] = 255
    found = partial_cross_entropy(logits, target, merge_things(LabelSets.of(4), STUFF))
    of_logits = torch.tensor([0, 2, 1, 2])[target.clamp(max=3)]  # ground, thing, water, thing
    expected = F.cross_entropy(logits, torch.where(target == 255, 255, of_logits), ignore_index=255)
    torch.testing.assert_close(found, expected)
    wrong = F.cross_entropy(logits, torch.where(target == 255, 255, target.clamp(max=2)), ignore_index=255)
    assert (found - wrong).abs() > 0.01


def test_labels_that_know_one_class_teach_about_it_alone() -> None:
    """Not house may be a tree, so it says nothing; not ground is water or a thing."""
    sets = merge_things(LabelSets.of(4, [(1,), (0, 2, 3), (1, 2, 3)]), STUFF)
    for target, expected in ((4, [0.0, 0.0, -1.0]), (5, [0.0, 0.0, 0.0]), (6, [1.0, 0.0, 0.0])):
        logits = torch.zeros(1, 3, 1, 1, requires_grad=True)
        partial_cross_entropy(logits, torch.full((1, 1, 1), target), sets).backward()
        assert logits.grad is not None and torch.equal(logits.grad.flatten().sign(), torch.tensor(expected))


def test_a_batch_that_says_nothing_has_no_loss_over_stuff() -> None:
    nothing = torch.full((1, 2, 2), 255)
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = partial_cross_entropy(logits, nothing, merge_things(LabelSets.of(4), STUFF))
    loss.backward()
    assert not loss.detach() and logits.grad is not None and not logits.grad.any()


def scene() -> tuple[Tensor, dict[str, Tensor]]:
    """Return an image (1, 1, 96, 128) of ground, water and three houses, and its targets."""
    ids = torch.zeros(96, 128, dtype=torch.int32)
    ids[8:44, 8:36], ids[52:80, 10:48], ids[20:58, 58:88] = 1, 2, 3
    classes = torch.zeros(96, 128, dtype=torch.uint8)
    classes[:, 100:] = 2
    classes[ids > 0] = 1
    noise = torch.randn(ids.shape, generator=torch.Generator().manual_seed(0)) * 0.1
    image = torch.tensor([0.0, 1.5, -1.5])[classes.long()] + noise
    return image[None, None], {"class": classes[None], "instance": ids[None]}


def terms(task: PanopticTask, network: PanopticFPN) -> dict[str, Tensor]:
    """Return the terms of the loss of the scene, by name."""
    image, targets = scene()
    made: Forward = task.forward(network, image)
    assert made.logits is not None
    objects = object_targets(targets["class"][0], targets["instance"][0], task.classes.things)
    sets = merge_things(LabelSets.of(4), STUFF)
    return {**losses_of(made, [objects]), "stuff": partial_cross_entropy(made.logits, targets["class"], sets)}


def small_network(task: PanopticTask) -> PanopticFPN:
    torch.manual_seed(0)
    options: dict[str, Any] = {"pyramid_channels": 16, "box_channels": 32, "mask_channels": 16, "head_channels": 16}
    return PanopticFPN(Encoder("resnet18", bands=1, output_stride=32), **task.network_options, **options)


def test_the_loss_is_the_sum_of_its_terms_by_their_weights() -> None:
    found = []
    for weight in (0.0, 0.5, 2.0):
        task = PanopticTask(TABLE, {"features": 16, "stuff_weight": weight})
        network, (image, targets) = small_network(task).train(), scene()
        loss = task.loss(LossOptions(), LabelSets.of(4), np.ones(4, np.int64))
        torch.manual_seed(1)  # the samples of boxes
        total = loss(task.forward(network, image), targets)
        torch.manual_seed(1)
        parts = terms(task, network)
        expected = sum(parts[name] for name in parts if name != "stuff") + weight * parts["stuff"]
        torch.testing.assert_close(total, expected)
        found.append(float(total.detach()))
    assert found[0] < found[1] < found[2]


@pytest.mark.slow
@pytest.mark.parametrize("weight", [0.5, 0.0])
def test_a_few_steps_lower_each_term(weight: float) -> None:
    """The twin, without a weight, does not learn stuff."""
    task = PanopticTask(TABLE, {"features": 16, "stuff_weight": weight})
    network, (image, targets) = small_network(task).train(), scene()
    loss = task.loss(LossOptions(), LabelSets.of(4), np.ones(4, np.int64))
    steps = torch.optim.AdamW(network.parameters(), 2e-3)
    before = {name: float(value.detach()) for name, value in terms(task, network).items()}
    for _ in range(30):
        steps.zero_grad()
        loss(task.forward(network, image), targets).backward()
        steps.step()
    after = {name: float(value.detach()) for name, value in terms(task, network).items()}
    lower = {name for name in after if after[name] < 0.75 * before[name]}
    boxes = {"objectness", "proposal", "class", "box", "mask"}
    assert lower == (boxes | {"stuff"} if weight else boxes), (before, after)
