"""Hard pixels: those above a threshold, a least share of the labelled ones, and never an ignored one."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from landseg.classes import IGNORE_INDEX
from landseg.dense.hard_pixels import (
    HardOptions,
    hard_loss,
    hard_partial_cross_entropy,
    hard_pixels,
    mean_of_hard_pixels,
)
from landseg.dense.losses import LabelSets, partial_cross_entropy, partial_pixel_losses
from landseg.errors import TrainingError

SETS = LabelSets.of(3, [[1, 2], [0]])
Choose = Callable[..., Tensor]


def batch(seed: int, *, ignored: float = 0.3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 3, 5, 7, generator=generator)
    target = torch.randint(0, 5, (2, 5, 7), generator=generator)
    target[torch.rand(2, 5, 7, generator=generator) < ignored] = IGNORE_INDEX
    return logits, target


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(logits, target.clamp(max=2), reduction="none")


def test_the_map_of_losses_sums_to_the_partial_cross_entropy() -> None:
    logits, target = batch(1)
    losses = partial_pixel_losses(logits, target, SETS)
    assert losses.shape == target.shape and (losses[target == IGNORE_INDEX] == 0).all()
    mean = losses.sum() / (target != IGNORE_INDEX).sum()
    assert torch.equal(mean, partial_cross_entropy(logits, target, SETS))
    single = torch.where(target < 3, target, IGNORE_INDEX)
    expected = F.cross_entropy(logits, single, ignore_index=IGNORE_INDEX, reduction="none")
    assert torch.allclose(partial_pixel_losses(logits, single, SETS), expected, atol=1e-6)


@given(st.integers(0, 10**6), st.floats(0.01, 1), st.floats(0.05, 4), st.sampled_from([0.0, 0.3, 0.95, 1.0]))
def test_hard_pixels_are_the_hardest(seed: int, share: float, threshold: float, ignored: float) -> None:
    assert_hardest(hard_pixels, seed, share, threshold, ignored)


def assert_hardest(choose: Choose, seed: int, share: float, threshold: float, ignored: float) -> None:
    logits, target = batch(seed, ignored=ignored)
    losses, labelled = partial_pixel_losses(logits, target, SETS), target != IGNORE_INDEX
    losses[~labelled] = 100.0
    hard = choose(losses, labelled, threshold=threshold, share=share)
    assert not (hard & ~labelled).any()
    assert hard[labelled & (losses > threshold)].all()
    assert int(hard.sum()) >= share * int(labelled.sum()) - 1e-5
    left = labelled & ~hard
    if hard.any():
        assert not left.any() or losses[left].max() <= losses[hard].min()
        above = int((labelled & (losses > threshold)).sum())
        least = math.ceil(share * int(labelled.sum()) - 1e-6)
        assert int(hard.sum()) == max(above, least), "no more than there have to be, without equal losses"


def test_twin_other_choices_are_caught() -> None:
    def easiest(losses: Tensor, labelled: Tensor, *, threshold: float, share: float) -> Tensor:
        return hard_pixels(-losses, labelled, threshold=threshold, share=share)

    def unlabelled(losses: Tensor, labelled: Tensor, *, threshold: float, share: float) -> Tensor:
        return hard_pixels(losses, torch.ones_like(labelled), threshold=threshold, share=share)

    def threshold_alone(losses: Tensor, labelled: Tensor, *, threshold: float, share: float) -> Tensor:
        return (losses > threshold) & labelled

    def share_alone(losses: Tensor, labelled: Tensor, *, threshold: float, share: float) -> Tensor:
        return hard_pixels(losses, labelled, threshold=math.inf, share=share)

    def everything(losses: Tensor, labelled: Tensor, *, threshold: float, share: float) -> Tensor:
        return labelled

    for wrong, threshold in (
        (easiest, 1.0), (unlabelled, 1.0), (threshold_alone, 50.0), (share_alone, 0.1), (everything, 1.0)
    ):  # fmt: skip
        assert_hardest(hard_pixels, 4, 0.2, threshold, 0.3)
        with pytest.raises(AssertionError):
            assert_hardest(wrong, 4, 0.2, threshold, 0.3)


def test_equal_losses_stay_together() -> None:
    losses, labelled = torch.full((1, 2, 3), 0.5), torch.ones(1, 2, 3, dtype=torch.bool)
    assert hard_pixels(losses, labelled, threshold=1.0, share=0.3).all()


def test_a_loss_that_is_no_number_is_never_easy() -> None:
    losses = torch.tensor([[0.1, float("nan"), 0.3, 0.2]])
    labelled = torch.ones_like(losses, dtype=torch.bool)
    for share in (0.25, 0.5, 1.0):
        assert mean_of_hard_pixels(losses, labelled, threshold=0.25, share=share).isnan()


@given(st.integers(0, 10**6))
def test_only_hard_pixels_teach(seed: int) -> None:
    assert_teaches_hard(hard_partial_cross_entropy(SETS, HardOptions(0.6, 0.1)), seed)


def assert_teaches_hard(loss: Callable[[Tensor, Tensor], Tensor], seed: int) -> None:
    logits, target = batch(seed)
    logits = logits.requires_grad_()
    losses = partial_pixel_losses(logits, target, SETS)
    hard = hard_pixels(losses, target != IGNORE_INDEX, threshold=-math.log(0.6), share=0.1)
    value = loss(logits, target)
    (gradient,) = torch.autograd.grad(value, logits)
    assert torch.allclose(value, losses[hard].mean())
    assert (gradient.abs().sum(1)[~hard] == 0).all()
    (expected,) = torch.autograd.grad(losses[hard].mean(), logits)
    assert torch.allclose(gradient, expected, atol=1e-7)


def test_twin_a_mean_over_all_pixels_is_caught() -> None:
    with pytest.raises(AssertionError):
        assert_teaches_hard(lambda z, t: partial_cross_entropy(z, t, SETS), 3)


def test_all_of_the_pixels_are_no_mining() -> None:
    logits, target = batch(8)
    loss = hard_partial_cross_entropy(SETS, HardOptions(0.7, 1.0))
    assert torch.allclose(loss(logits, target), partial_cross_entropy(logits, target, SETS))


def test_any_loss_of_single_pixels_can_be_mined() -> None:
    logits, target = batch(9)
    loss = hard_loss(cross_entropy, HardOptions(0.5, 0.05))
    each = cross_entropy(logits, target)[target != IGNORE_INDEX]
    assert torch.allclose(loss(logits, target), each[each > math.log(2)].mean())
    default = hard_loss(partial(partial_pixel_losses, sets=SETS))
    assert torch.equal(default(logits, target), hard_partial_cross_entropy(SETS)(logits, target))


def test_a_batch_without_labels_is_worth_nothing() -> None:
    logits, target = batch(2)
    logits = logits.requires_grad_()
    value = hard_partial_cross_entropy(SETS)(logits, torch.full_like(target, IGNORE_INDEX))
    (gradient,) = torch.autograd.grad(value, logits)
    assert value == 0 and (gradient == 0).all()


def test_refusals() -> None:
    for probability in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(TrainingError, match="between 0 and 1"):
            HardOptions(probability=probability)
    for share in (0.0, 1.5, float("nan")):
        with pytest.raises(TrainingError, match="above 0 and up to 1"):
            HardOptions(share=share)
