"""Losses and scaling: each on arrays small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from landseg.classes import IGNORE_INDEX
from landseg.dense.losses import LabelSets, partial_cross_entropy
from landseg.scenes.scene import ArrayScene
from landseg.training.batches import Scaling


def test_single_labels_give_softmax_cross_entropy() -> None:
    logits, target = torch.randn(2, 4, 5, 6), torch.randint(0, 4, (2, 5, 6))
    target[0, :2] = IGNORE_INDEX
    ours = partial_cross_entropy(logits, target, LabelSets.of(4))
    assert torch.allclose(ours, F.cross_entropy(logits, target, ignore_index=IGNORE_INDEX))


def test_a_set_is_scored_by_the_sum_of_its_probabilities() -> None:
    sets = LabelSets.of(3, [[1, 2]])
    logits = torch.tensor([1.0, 2.0, -1.0]).view(1, 3, 1, 1)
    loss = partial_cross_entropy(logits, torch.tensor([[[3]]]), sets)
    assert torch.allclose(loss, -logits.softmax(1)[0, 1:].sum().log())


@pytest.mark.parametrize(("members", "sign"), [([1, 2], 1), ([0], -1)], ids=["not class 0", "only class 0"])
def test_a_partial_label_moves_the_one_class_that_it_knows(members: list[int], sign: int) -> None:
    sets = LabelSets.of(3, [members])
    logits = torch.tensor([0.0, 2.0, -1.0]).view(1, 3, 1, 1).requires_grad_()
    partial_cross_entropy(logits, torch.tensor([[[3]]]), sets).backward()
    assert logits.grad is not None
    known, first, second = logits.grad.flatten().tolist()
    assert sign * known > 0 and (first, second) == (0, 0)


def test_the_commonest_mistake_a_full_gradient_would_move_the_others() -> None:
    logits = torch.tensor([0.0, 2.0, -1.0]).view(1, 3, 1, 1).requires_grad_()
    partial_cross_entropy(logits, torch.tensor([[[0]]]), LabelSets.of(3)).backward()
    assert logits.grad is not None and (logits.grad.flatten()[1:] > 0).all()


def test_only_ignored_pixels_give_zero_and_no_nan_gradient() -> None:
    logits = torch.randn(1, 2, 3, 3, requires_grad=True)
    loss = partial_cross_entropy(logits, torch.full((1, 3, 3), IGNORE_INDEX), LabelSets.of(2))
    loss.backward()
    assert loss == 0 and logits.grad is not None and (logits.grad == 0).all()


def _scene(height: int = 40, width: int = 60, **options: object) -> ArrayScene:
    """Pixels that name their place, and a target that is 1 in the right third."""
    rows, columns = np.mgrid[0:height, 0:width]
    target = (columns >= width * 2 // 3).astype(np.uint8)
    pixels = np.stack([rows, columns, rows + columns]).astype(np.uint8)
    return ArrayScene("s", pixels, np.ones(target.shape, bool), target, **options)  # type: ignore[arg-type]


def test_no_data_is_the_mean_to_the_network() -> None:
    pixels = torch.full((1, 1, 1, 2), 9.0)
    scaled = Scaling((5.0,), (2.0,)).apply(pixels, torch.tensor([[[True, False]]]))
    assert scaled.flatten().tolist() == [2.0, 0.0]
