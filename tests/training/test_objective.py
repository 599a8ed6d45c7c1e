"""The loss of a run, term by term against sums by hand, and its quick validation on windows counted by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landseg.classes import IGNORE_INDEX, ClassMap, LandClass
from landseg.dense.hard_pixels import HardOptions
from landseg.dense.losses import LOSSES, LabelSets
from landseg.dense.objective import LossOptions
from landseg.dense.semantic import Semantic
from landseg.errors import TrainingError
from landseg.scenes.label_counts import LabelCounts
from landseg.scenes.scene import ArrayScene
from landseg.training.batches import Scaling
from landseg.training.loop.validation import EDGE, MOST, QuickValidation
from landseg.training.objective import objective, pixel_counts

SETS = LabelSets.of(3, [[0], [1, 2]])  # 3: "only a", 4: "not a"
COUNTS = {0: 80, 1: 40, 2: 10, 3: 1000}
LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 1.5, 0.0], [0.0, 0.0, 3.0], [1.0, -1.0, 0.0], [0.0, 2.0, 0.0]])


@dataclass(frozen=True)
class Batch:
    targets: Mapping[str, Tensor]
    pixels: Tensor = field(default_factory=lambda: torch.zeros(0))
    valid: Tensor = field(default_factory=lambda: torch.zeros(0))
    names: tuple[str, ...] = ()


def task(*names: str) -> Semantic:
    return Semantic(ClassMap(tuple(LandClass(n, name, (n, n, n)) for n, name in enumerate(names, 1))), {})


def census() -> list[LabelCounts]:
    counts = np.zeros(256, np.int64)
    for kind, number in COUNTS.items():
        counts[kind] = number // 2
    return [LabelCounts(counts, {}, np.zeros((0, 2), np.int64))] * 2


def value(options: LossOptions, target: list[int], *, logits: Tensor = LOGITS) -> float:
    shaped = logits[: len(target)].T[None, :, None]  # (1, K, 1, W)
    batch = Batch({"class": torch.tensor([[target]], dtype=torch.uint8)})
    return float(objective(task("a", "b", "c"), options, SETS, census())(shaped, batch))


def nll(row: int, *classes: int) -> float:
    chances = LOGITS[row].double().exp()
    return -math.log(float(chances[list(classes)].sum() / chances.sum()))


def test_cross_entropy_learns_from_partial_labels_too() -> None:
    assert value(LossOptions(), [0, 1, 2]) == pytest.approx((nll(0, 0) + nll(1, 1) + nll(2, 2)) / 3, rel=1e-5)
    partial = (nll(0, 0) + nll(1, 0) + nll(2, 1, 2)) / 3
    assert value(LossOptions(), [0, 3, 4, IGNORE_INDEX]) == pytest.approx(partial, rel=1e-5)
    assert value(LossOptions({"softmax": 2.5}), [0, 3, 4]) == pytest.approx(2.5 * partial, rel=1e-5)
    assert value(LossOptions(), [IGNORE_INDEX] * 3) == 0


@pytest.mark.parametrize("term", ["sigmoid", "focal", "dice", "lovasz"])
def test_other_terms_see_whole_labels_only(term: str) -> None:
    alone = float(LOSSES[term](LOGITS[:2].T[None, :, None], torch.tensor([[[0, 1]]])))
    assert alone > 0
    assert value(LossOptions({term: 1.0}), [0, 1]) == pytest.approx(alone)
    masked = float(LOSSES[term](LOGITS[:4].T[None, :, None], torch.tensor([[[0, 1, IGNORE_INDEX, IGNORE_INDEX]]])))
    assert value(LossOptions({term: 1.0}), [0, 1, 3, 4]) == pytest.approx(masked)
    both = value(LossOptions({term: 0.5, "softmax": 1.0}), [0, 1, 3, 4])
    assert both == pytest.approx(0.5 * masked + value(LossOptions(), [0, 1, 3, 4]))


def test_balanced_classes_count_by_their_rarity() -> None:
    weights = np.median([80, 40, 10]) / np.array([80, 40, 10])  # 0.5, 1, 4
    assert pixel_counts(census(), 3).tolist() == [80, 40, 10]
    rows = [nll(0, 0), nll(1, 1), nll(2, 2)]
    expected = float((weights * rows).sum() / weights.sum())
    assert value(LossOptions(balanced=True), [0, 1, 2]) == pytest.approx(expected, rel=1e-5)
    assert value(LossOptions(balanced=True), [0, 1, 2, 3]) == pytest.approx(
        expected, rel=1e-5
    )  # without partial ones
    assert value(LossOptions(), [0, 1, 2]) != pytest.approx(expected, rel=1e-3)  # the twin


def test_hard_pixels_alone_are_learned() -> None:
    target = [0, 1, 2, 4, IGNORE_INDEX]
    rows = sorted([nll(0, 0), nll(1, 1), nll(2, 2), nll(3, 1, 2)])
    options = LossOptions(hard=HardOptions(probability=0.7, share=0.25))
    wrong = [row for row in rows if row > -math.log(0.7)]
    assert 1 < len(wrong) < 4
    assert value(options, target) == pytest.approx(sum(wrong) / len(wrong), rel=1e-5)
    assert value(LossOptions(hard=HardOptions(share=1.0)), target) == pytest.approx(sum(rows) / 4, rel=1e-5)
    assert value(LossOptions(), target) == pytest.approx(sum(rows) / 4, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"terms": {}}, "make no sum"),
        ({"terms": {"dice": 0}}, "make no sum"),
        ({"terms": {"loud": 1}}, "there is no loss loud"),
        ({"terms": {"dice": 1}, "hard": HardOptions()}, "leave out hard, or dice"),
        ({"balanced": True, "hard": HardOptions()}, "hard pixels are those of plain cross-entropy"),
    ],
)
def test_losses_that_make_no_sense(options: dict[str, object], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        LossOptions(**options)  # type: ignore[arg-type]


def test_gradients_reach_the_logits() -> None:
    for options in (
        LossOptions({"softmax": 1, "dice": 1}),
        LossOptions(balanced=True),
        LossOptions(hard=HardOptions()),
    ):
        logits = LOGITS.T[None, :, None].clone().requires_grad_()
        batch = Batch({"class": torch.tensor([[[0, 1, 2, 3, 4]]], dtype=torch.uint8)})
        objective(task("a", "b", "c"), options, SETS, census())(logits, batch).backward()
        assert logits.grad is not None and logits.grad.abs().sum() > 0 and logits.grad.isfinite().all()


# --- quick validation ----------------------------------------------------------------------------------------------


class Bright(nn.Module):
    """Class 1 where the scaled pixel is above 0."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([-x[:, :1], x[:, :1]], dim=1) * self.gain


def scene(name: str, pixels: list[list[int]], target: list[list[int]], valid: object = None) -> ArrayScene:
    values = np.array([pixels], np.uint8)
    known = np.ones(values.shape[1:], bool) if valid is None else np.array(valid, bool)
    return ArrayScene(name, values, known, np.array(target, np.uint8))


def test_figures_of_windows_by_hand() -> None:
    scaling = Scaling((100.0,), (50.0,))
    one = scene("a", [[50, 200, 200, 50]], [[0, 1, 0, IGNORE_INDEX]])
    two = scene("b", [[200, 50]], [[1, 2]])  # 2: a partial label, which is not counted
    figures = QuickValidation([one, two], task("dark", "bright"), scaling)(Bright().eval())
    # dark: right once, one more called bright; bright: right twice, and once too often
    assert figures == pytest.approx(
        {"mean_iou": (1 / 2 + 2 / 3) / 2, "pixel_accuracy": 3 / 4, "iou_dark": 1 / 2, "iou_bright": 2 / 3}
    )
    other = Scaling((40.0,), (50.0,))  # the twin: on another scale all is bright
    assert QuickValidation([one, two], task("dark", "bright"), other)(Bright().eval())["iou_dark"] == 0


def test_only_the_middle_of_some_scenes_is_looked_at() -> None:
    scaling = Scaling((100.0,), (50.0,))
    assert not QuickValidation([], task("a", "b"), scaling)
    assert not QuickValidation([scene("a", [[1, 2]], [[2, IGNORE_INDEX]])], task("a", "b"), scaling)
    big = np.zeros((EDGE + 20, EDGE + 40), np.uint8)
    big[10:-10, 20:-20] = 200
    target = np.where(big > 0, 1, 0).astype(np.uint8)
    wide = ArrayScene("wide", big[None], np.ones(big.shape, bool), target)
    figures = QuickValidation([wide], task("dark", "bright"), scaling)(Bright().eval())
    assert figures["iou_bright"] == 1 and math.isnan(figures["iou_dark"])  # the dark rim lies outside
    for count, seen in ((MOST, MOST), (MOST + 1, (MOST + 2) // 2), (3 * MOST, MOST)):
        many = [scene(str(n), [[200 if n else 50]], [[1]]) for n in range(count)]
        figures = QuickValidation(many, task("dark", "bright"), scaling)(Bright().eval())
        assert figures["pixel_accuracy"] == pytest.approx((seen - 1) / seen)
