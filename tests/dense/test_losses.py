"""The losses against their definitions, written out in float64 pixel by pixel; ignored pixels do not exist."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from landseg.classes import IGNORE_INDEX
from landseg.dense import losses as losses_dense
from landseg.dense.losses import (
    LOSSES,
    balanced_weights,
    combined,
    dice,
    focal,
    lovasz_softmax,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
)
from landseg.errors import TrainingError

Array = NDArray[np.float64]
WEIGHTS = torch.tensor([0.5, 2.0, 1.0])


def batch(seed: int, *, ignored: float = 0.3, classes: int = 3, scale: float = 3.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(2, classes, 3, 4, generator=generator, dtype=torch.float64)
    target = torch.randint(0, classes, (2, 3, 4), generator=generator)
    target[torch.rand(2, 3, 4, generator=generator) < ignored] = IGNORE_INDEX
    return logits, target


def pixels(logits: Tensor, target: Tensor) -> list[tuple[list[float], int]]:
    """The logits and the class of every labelled pixel."""
    found = []
    for n, y, x in np.ndindex(*target.shape):
        if target[n, y, x] != IGNORE_INDEX:
            found.append((logits[n, :, y, x].tolist(), int(target[n, y, x])))
    return found


def softmax(z: list[float]) -> list[float]:
    total = sum(math.exp(v - max(z)) for v in z)
    return [math.exp(v - max(z)) / total for v in z]


def defined_focal(logits: Tensor, target: Tensor, w: list[float], gamma: float) -> float:
    above = below = 0.0
    for z, t in pixels(logits, target):
        p = softmax(z)[t]
        above -= w[t] * (1 - p) ** gamma * math.log(p)
        below += w[t]
    return above / below if below else 0.0


def defined_sigmoid_focal(logits: Tensor, target: Tensor, w: list[float], gamma: float) -> float:
    total, found = 0.0, pixels(logits, target)
    for z, t in found:
        for k, v in enumerate(z):
            p = 1 / (1 + math.exp(-v if k == t else v))
            total -= w[k] * (1 - p) ** gamma * math.log(p)
    return total / (len(found) * sum(w)) if found else 0.0


def defined_dice(logits: Tensor, target: Tensor, w: list[float]) -> float:
    found = [(softmax(z), t) for z, t in pixels(logits, target)]
    above = below = 0.0
    for k in {t for _, t in found}:
        hit = sum(p[k] for p, t in found if t == k)
        size = sum(p[k] for p, _ in found) + sum(t == k for _, t in found)
        above += w[k] * (1 - 2 * hit / size)
        below += w[k]
    return above / below if below else 0.0


def defined_lovasz(logits: Tensor, target: Tensor, w: list[float]) -> float:
    """By the extension's own definition: errors times the rise of 1 - IoU as the worst pixels become wrong."""
    found = [(softmax(z), t) for z, t in pixels(logits, target)]
    above = below = 0.0
    for k in {t for _, t in found}:
        errors = [abs((t == k) - p[k]) for p, t in found]
        order = sorted(range(len(found)), key=lambda i: -errors[i])
        for rank, pixel in enumerate(order):
            rise = _jaccard_loss(found, k, order[: rank + 1]) - _jaccard_loss(found, k, order[:rank])
            above += w[k] * errors[pixel] * rise
        below += w[k]
    return above / below if below else 0.0


def _jaccard_loss(found: list[tuple[list[float], int]], k: int, wrong: list[int]) -> float:
    """1 - IoU of class k if just these pixels are wrong."""
    truth = {i for i, (_, t) in enumerate(found) if t == k}
    predicted = truth.symmetric_difference(wrong)
    return 1 - len(truth & predicted) / len(truth | predicted)


Definition = Callable[[Tensor, Tensor, list[float]], float]
DEFINED: dict[str, tuple[Callable[..., Tensor], Definition]] = {
    "softmax": (softmax_cross_entropy, lambda z, t, w: defined_focal(z, t, w, 0)),
    "sigmoid": (sigmoid_cross_entropy, lambda z, t, w: defined_sigmoid_focal(z, t, w, 0)),
    "focal": (focal, lambda z, t, w: defined_focal(z, t, w, 2)),
    "focal 0.5": (partial(focal, gamma=0.5), lambda z, t, w: defined_focal(z, t, w, 0.5)),
    "sigmoid focal": (
        lambda *a, **o: focal(*a, sigmoid=True, **o),
        lambda z, t, w: defined_sigmoid_focal(z, t, w, 2),
    ),
    "dice": (dice, defined_dice),
    "lovasz": (lovasz_softmax, defined_lovasz),
}


@pytest.mark.parametrize("name", DEFINED)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.3, 0.9]), st.booleans())
def test_losses_are_their_definitions(name: str, seed: int, ignored: float, weighted: bool) -> None:
    assert_defined(*DEFINED[name], batch(seed, ignored=ignored), weighted)


def assert_defined(
    loss: Callable[..., Tensor], definition: Definition, data: tuple[Tensor, Tensor], weighted: bool
) -> None:
    weights = WEIGHTS if weighted else None
    expected = definition(*data, WEIGHTS.tolist() if weighted else [1.0] * 3)
    assert float(loss(*data, weights=weights)) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_twin_other_losses_are_not_these_definitions() -> None:
    for name, (loss, _) in DEFINED.items():
        for other, (_, definition) in DEFINED.items():
            if name != other:
                with pytest.raises(AssertionError):
                    assert_defined(loss, definition, batch(5), True)


def test_pytorchs_own_cross_entropies() -> None:
    logits, target = batch(1)
    expected = F.cross_entropy(logits, target, WEIGHTS.double(), ignore_index=IGNORE_INDEX)
    assert torch.allclose(softmax_cross_entropy(logits, target, weights=WEIGHTS), expected)
    here = target != IGNORE_INDEX
    truth = F.one_hot(target[here], 3).double()
    expected = F.binary_cross_entropy_with_logits(logits.permute(0, 2, 3, 1)[here], truth)
    assert torch.allclose(sigmoid_cross_entropy(logits, target), expected)


def test_lovasz_is_the_jaccard_loss_of_a_hard_prediction() -> None:
    truth = torch.tensor([[[0, 0, 1, 1, 1, 0]]])
    guess = torch.tensor([[[0, 1, 1, 1, 0, 0]]])  # each class: 2 of 4 in the union
    logits = 200.0 * F.one_hot(guess, 2).permute(0, 3, 1, 2).double()
    assert float(lovasz_softmax(logits, truth)) == pytest.approx(0.5)
    assert float(dice(logits, truth)) == pytest.approx(1 - 2 / 3)


@pytest.mark.parametrize("name", DEFINED)
@given(st.integers(0, 10**6))
def test_ignored_pixels_change_neither_value_nor_gradient(name: str, seed: int) -> None:
    assert_ignores(DEFINED[name][0], seed)


def assert_ignores(loss: Callable[..., Tensor], seed: int) -> None:
    logits, target = batch(seed)
    ignored = (target == IGNORE_INDEX)[:, None].expand_as(logits)
    other = torch.where(ignored, torch.full_like(logits, 1e4), logits)
    values, gradients = zip(*(_gradient(loss, z, target) for z in (logits, other)), strict=True)
    assert torch.equal(values[0], values[1]) and torch.equal(gradients[0], gradients[1])
    assert (gradients[0][ignored] == 0).all()


def _gradient(loss: Callable[..., Tensor], logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    logits = logits.clone().requires_grad_()
    value = loss(logits, target)
    (gradient,) = torch.autograd.grad(value, logits)
    return value.detach(), gradient


def test_twin_a_loss_that_counts_ignored_pixels_is_caught() -> None:
    with pytest.raises(AssertionError):
        assert_ignores(lambda z, t: softmax_cross_entropy(z, torch.where(t == IGNORE_INDEX, 0, t)), 3)


@pytest.mark.parametrize("name", DEFINED)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_batch_without_labels_is_worth_nothing(name: str, dtype: torch.dtype) -> None:
    logits, target = batch(2)
    value, gradient = _gradient(DEFINED[name][0], logits.to(dtype), torch.full_like(target, IGNORE_INDEX))
    assert value == 0 and (gradient == 0).all()


@pytest.mark.parametrize("name", [name for name in DEFINED if name != "lovasz"])
def test_gradients_are_the_slopes(name: str) -> None:
    logits, target = batch(7)
    loss = DEFINED[name][0]
    assert torch.autograd.gradcheck(lambda z: loss(z, target, weights=WEIGHTS), logits.requires_grad_())


def test_lovasz_falls_along_its_gradient() -> None:
    logits, target = batch(7)
    value, gradient = _gradient(lovasz_softmax, logits, target)
    assert float(lovasz_softmax(logits - 1e-4 * gradient, target)) == pytest.approx(
        float(value - 1e-4 * (gradient**2).sum()), rel=1e-5
    )


@pytest.mark.parametrize("name", DEFINED)
def test_sure_logits_give_no_nan(name: str) -> None:
    for scale in (1e4, -1e4):
        logits = scale * (2.0 * F.one_hot(torch.tensor([[[0, 1]]]), 3).permute(0, 3, 1, 2) - 1)
        value, gradient = _gradient(DEFINED[name][0], logits, torch.tensor([[[0, 1]]]))
        assert value.isfinite() and gradient.isfinite().all()
        assert (scale > 0) == (float(value) < 1e-3)


def test_a_combination_is_the_sum_of_its_parts() -> None:
    logits, target = batch(11)
    loss = combined({"softmax": 1.0, "dice": 0.5, "focal": 2.0}, weights=WEIGHTS, gamma=3.0)
    expected = (
        softmax_cross_entropy(logits, target, weights=WEIGHTS)
        + 0.5 * dice(logits, target, weights=WEIGHTS)
        + 2 * focal(logits, target, gamma=3.0, weights=WEIGHTS)
    )
    assert torch.allclose(loss(logits, target), expected)
    for name in LOSSES:
        assert torch.equal(combined({name: 1.0})(logits, target), LOSSES[name](logits, target))


def test_refusals() -> None:
    logits, target = batch(1)
    with pytest.raises(TrainingError, match="no loss hinge; use softmax, sigmoid, focal, dice, lovasz"):
        combined({"hinge": 1.0})
    for terms in ({}, {"dice": 0.0}, {"dice": float("nan")}):
        with pytest.raises(TrainingError, match="a weight above 0"):
            combined(terms)
    with pytest.raises(TrainingError, match="use 255 for unlabelled"):
        dice(logits, target.clamp(max=3))
    with pytest.raises(TrainingError, match="assign the targets first"):
        dice(logits, target[:, :2])
    with pytest.raises(TrainingError, match="do not fit 3 classes"):
        dice(logits, target, weights=torch.ones(2))
    with pytest.raises(TrainingError, match="gamma is 0 or more"):
        focal(logits, target, gamma=-1.0)
    with pytest.raises(TrainingError, match="nothing to balance"):
        balanced_weights(np.zeros(3, int))


def test_twin_the_steps_of_iou_in_another_order_are_no_lovasz(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = losses_dense._steps
    monkeypatch.setattr(losses_dense, "_steps", lambda truth: steps(truth.flip(0)))
    with pytest.raises(AssertionError):
        assert_defined(lovasz_softmax, defined_lovasz, batch(5), False)
