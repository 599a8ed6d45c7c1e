"""Losses and the loop: each on arrays small enough to check by hand."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landseg.classes import IGNORE_INDEX
from landseg.errors import RasterError, TrainingError
from landseg.training import fit as fit_module
from landseg.training.evaluate import predict_scene
from landseg.training.fit import FitOptions, Progress, Scaling, fit
from landseg.training.losses import LabelSets, partial_cross_entropy
from landseg.training.scene import ArrayScene, Example


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


def _two_tones() -> ArrayScene:
    scene = _scene()
    return ArrayScene("two tones", np.stack([scene.target * 60 + 20] * 3), scene.valid, scene.target)


class _Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.encoder(x))
        return y


QUICK = FitOptions(minutes=0.05, crop=16, batch=2, learning_rate=1e-2, ema=0.9)
SCALING = Scaling((20.0, 30.0, 50.0), (12.0, 17.0, 20.0))


def test_a_short_run_learns_a_simple_scene_and_leaves_log_and_checkpoint(tmp_path: Path) -> None:
    torch.manual_seed(0)
    scenes, sets = [_two_tones()], LabelSets.of(2)
    network = fit(_Tiny(), scenes, sets, SCALING, options=QUICK, folder=tmp_path, report=lambda _: None)
    assert not network.training
    with (tmp_path / "log.csv").open() as file:
        assert len([float(row["loss"]) for row in csv.DictReader(file)]) > 10
    assert (predict_scene(network, scenes[0], SCALING) == scenes[0].target).mean() > 0.9
    resumed = fit(
        _Tiny(), scenes, sets, SCALING,
        options=QUICK, folder=tmp_path, resume=True, report=lambda _: None,
    )  # fmt: skip
    for a, b in zip(network.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b)  # the budget is used up: nothing is left to do


def _steps(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: float) -> tuple[dict[str, Tensor], list[float]]:
    """The weights after a run with a budget in steps, and the head's learning rate at each of them."""
    rates: list[float] = []

    def step(network: nn.Module, optimizer: torch.optim.Optimizer, *rest: object) -> float:
        rates.append(optimizer.param_groups[1]["lr"])
        return one_step(network, optimizer, *rest)  # type: ignore[arg-type]

    one_step = fit_module._step
    with monkeypatch.context() as patch:
        patch.setattr(fit_module, "_step", step)
        torch.manual_seed(0)
        options = replace(QUICK, **{"steps": 12, "warmup": 0.25, **changes})  # type: ignore[arg-type]
        sets = LabelSets.of(2)
        made = fit(_Tiny(), [_two_tones()], sets, SCALING, options=options, folder=folder, report=lambda _: None)
    with (folder / "log.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(rates)
    return made.state_dict(), rates


def test_a_budget_in_steps_makes_the_same_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (first, rates), (second, _) = (_steps(tmp_path / name, monkeypatch) for name in "ab")
    assert len(rates) == 12 and all(torch.equal(first[name], second[name]) for name in first)
    for twin in ({"seed": 1}, {"steps": 11}):
        other, _ = _steps(tmp_path / str(twin), monkeypatch, **twin)
        assert any(not torch.equal(first[name], other[name]) for name in first), twin


def test_the_rate_rises_and_falls_to_nothing_over_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, rates = _steps(tmp_path, monkeypatch)
    peak = rates.index(max(rates))
    assert peak == 3 and rates[:4] == sorted(rates[:4]) and rates[3:] == sorted(rates[3:], reverse=True)
    assert rates[-1] == pytest.approx(1e-2 * (1 / 12) ** 0.9)
    optimizer = torch.optim.AdamW(_Tiny().parameters())
    optimizer.param_groups[0]["peak"] = 1e-2
    for budget, falls in (
        (replace(QUICK, steps=12), True),
        (QUICK, False),
    ):  # twin: of time, none is used
        fit_module._set_rate(optimizer, budget, Progress(step=12).done(budget))
        assert (optimizer.param_groups[0]["lr"] == 0) is falls


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    network = _Tiny()
    nn.init.constant_(network.head.weight, float("nan"))
    with pytest.raises(TrainingError, match="the loss became nan at step 1"):
        fit(network, [_scene()], LabelSets.of(2), SCALING, options=QUICK, folder=tmp_path, report=lambda _: None)


def test_an_error_while_drawing_crops_surfaces(tmp_path: Path) -> None:
    class Broken(ArrayScene):
        def read(self, rect: object) -> Example:
            raise RasterError("b.tif: cannot read rows 0 to 3")

    scene = _scene()
    broken = Broken("b", scene.pixels, scene.valid, scene.target)
    with pytest.raises(RasterError, match=r"b\.tif: cannot read"):
        fit(_Tiny(), [broken], LabelSets.of(2), SCALING, options=QUICK, folder=tmp_path, report=lambda _: None)


def test_no_data_is_the_mean_to_the_network() -> None:
    pixels = torch.full((1, 1, 1, 2), 9.0)
    scaled = Scaling((5.0,), (2.0,)).apply(pixels, torch.tensor([[[True, False]]]))
    assert scaled.flatten().tolist() == [2.0, 0.0]


@pytest.mark.parametrize("name", ["minutes", "steps", "crop", "batch", "learning_rate"])
def test_options_must_be_positive(name: str) -> None:
    with pytest.raises(TrainingError, match=f"{name} must be above 0"):
        FitOptions(**{name: 0})  # type: ignore[arg-type]
