"""The loop: it learns, keeps what it learned, stops at what is no number, and leaves its figures."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landseg.errors import TrainingError
from landseg.scenes.scene import ArrayScene
from landseg.training.batches import Batches as CropBatches
from landseg.training.loop.checkpoint import Checkpoint
from landseg.training.loop.fit import fit
from landseg.training.loop.learner import parameter_groups
from landseg.training.loop.run import Feedback, Lesson
from landseg.training.loop.schedule import Average
from landseg.training.sampler import CropSampler, SamplingOptions
from tests.parts.reference_whole_scene import predict_scene
from tests.parts.training import QUICK, SCALING, Batch, Batches, Judge, Tiny, loss, rows, same, train

QUIET = Feedback(quiet=True)


def scene() -> ArrayScene:
    """Bright in the right third, which is class 1."""
    target = np.broadcast_to(np.arange(60) >= 40, (40, 60)).astype(np.uint8)
    return ArrayScene("two tones", np.stack([target * 60 + 20] * 3), np.ones(target.shape, bool), target)


def test_a_short_run_learns_a_simple_scene_and_leaves_its_figures(tmp_path: Path) -> None:
    options = replace(QUICK, steps=80)
    torch.manual_seed(0)
    batches = CropBatches(CropSampler([scene()], SamplingOptions(crop=16, batch=2)))
    network = fit(Tiny(), Lesson(batches, loss, SCALING), options=options, folder=tmp_path, feedback=QUIET)
    assert not any(module.training for module in network.modules())
    assert (predict_scene(network, scene(), SCALING) == scene().target).mean() > 0.9
    steps = rows(tmp_path / "log.csv")
    assert [row["step"] for row in steps] == list(range(1, 81)) and steps[-1]["loss"] < steps[0]["loss"]
    assert any((tmp_path / "tensorboard").iterdir()) and (tmp_path / "curves.png").exists()


def test_a_budget_in_time_ends_when_it_is_used_and_is_not_used_twice(tmp_path: Path) -> None:
    made = train(tmp_path, steps=None, minutes=0.01, batches=Batches(count=10**6))
    steps = rows(tmp_path / "log.csv")
    assert steps[-1]["seconds"] >= 0.6 and all(row["seconds"] < 0.6 for row in steps[:-1])
    checkpoint = Checkpoint.load(tmp_path)
    assert checkpoint is not None and checkpoint.state.seconds == pytest.approx(steps[-1]["seconds"])
    again = train(tmp_path, steps=None, minutes=0.01, batches=Batches(count=10**6), resume=True)
    assert same(made, again) and rows(tmp_path / "log.csv") == steps


def test_the_rate_in_the_log_is_the_schedules(tmp_path: Path) -> None:
    train(tmp_path)
    rates = [row["learning_rate"] for row in rows(tmp_path / "log.csv")]
    peak = rates.index(max(rates))
    assert peak == 3 and rates[:4] == sorted(rates[:4]) and rates[3:] == sorted(rates[3:], reverse=True)
    assert rates[-1] == pytest.approx(1e-2 * (1 / 12) ** 0.9)


def test_a_budget_in_steps_makes_the_same_run_again(tmp_path: Path) -> None:
    first, second = (train(tmp_path / name) for name in "ab")
    assert same(first, second)
    for twin in ({"seed": 1}, {"steps": 11}, {"schedule": "cosine"}, {"ema": 0.0}, {"clip": 0.1}):
        assert not same(first, train(tmp_path / "twin", **twin)), twin


def test_what_is_global_stays_as_it_was(tmp_path: Path) -> None:
    levels = [logging.getLogger(name).level for name in ("lightning", "lightning.pytorch")]
    filters = list(warnings.filters)
    torch.manual_seed(5)
    expected = torch.rand(3)
    network = Tiny()
    torch.manual_seed(5)
    fit(network, Lesson(Batches(), loss, SCALING), options=QUICK, folder=tmp_path, feedback=QUIET)
    assert torch.equal(torch.rand(3), expected) and warnings.filters == filters
    assert levels == [logging.getLogger(name).level for name in ("lightning", "lightning.pytorch")]


def test_batches_accumulated_are_one_larger_batch(tmp_path: Path) -> None:
    """Without batch norm, whose statistics are a batch's own."""

    class Halves(Batches):
        def __getitem__(self, number: int) -> Batch:
            whole = Batches(size=4)[number // 2]
            mine = slice(2 * (number % 2), 2 * (number % 2) + 2)
            targets = {"class": whole.targets["class"][mine]}
            return Batch(whole.pixels[mine], whole.valid[mine], targets, whole.names[mine])

    torch.manual_seed(0)
    start = Tiny(norm=False).state_dict()
    made = []
    for batches, accumulate in ((Batches(size=4), 1), (Halves(), 2), (Halves(), 1)):
        network = Tiny(norm=False)
        network.load_state_dict(start)
        folder = tmp_path / str(len(made))
        made.append(train(folder, network=network, batches=batches, accumulate=accumulate, optimizer="sgd"))
    for one, two, twin in zip(*(network.state_dict().values() for network in made), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)
        assert not torch.allclose(one, twin, rtol=1e-4, atol=1e-6)
    assert len(rows(tmp_path / "1" / "log.csv")) == 12


def test_the_average_is_what_is_kept(tmp_path: Path) -> None:
    network = nn.Linear(1, 1, bias=False)
    average, expected = Average(network, 0.2), None
    for updates, value in enumerate((1.0, 3.0, 2.0, 5.0)):
        nn.init.constant_(network.weight, value)
        average.update(network)
        share = min(0.2, (1 + updates) / (10 + updates))  # 2/11, then 0.2 from the third update on
        expected = value if expected is None else share * expected + (1 - share) * value
    assert average.network.get_parameter("weight").item() == pytest.approx(expected)
    trained = Tiny()
    kept = train(tmp_path, network=trained, ema=0.5)
    assert not same(kept, trained)
    twin = Tiny()
    assert same(train(tmp_path / "twin", network=twin, ema=0.0), twin)


@pytest.mark.parametrize("steps", [6, 20, 60])
def test_a_short_run_does_not_end_with_the_weights_that_it_started_from(steps: int, monkeypatch: Any) -> None:
    """A weight that rises by 1 a step from 0: the average lags a short run by a fifth of it, not by nearly all."""

    def lag() -> float:
        network = nn.Linear(1, 1, bias=False)
        average = Average(network, 0.98)
        for value in range(steps + 1):
            nn.init.constant_(network.weight, float(value))
            average.update(network)
        return 1 - average.network.get_parameter("weight").item() / steps

    assert lag() < 0.2
    monkeypatch.setattr("landseg.training.loop.schedule.decay_after", lambda updates, decay: decay)
    assert lag() > 0.35  # as it was


def test_counters_of_batch_norms_are_copied_not_averaged() -> None:
    network = nn.BatchNorm1d(1)
    average = Average(network, 0.98)
    for count in (4, 9):
        assert network.num_batches_tracked is not None
        network.num_batches_tracked.fill_(count)
        average.update(network)
    assert average.network.get_buffer("num_batches_tracked").item() == 9


def test_frozen_batch_norms_keep_their_statistics(tmp_path: Path) -> None:
    class Both(Tiny):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Sequential(nn.BatchNorm2d(8), nn.Conv2d(8, 2, 1))

    for which, moved in (("none", (True, True)), ("encoder", (False, True)), ("all", (False, False))):
        network = train(tmp_path / which, network=Both(), frozen_batch_norm=which)
        norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
        assert tuple(bool(norm.running_mean.any()) for norm in norms) == moved  # type: ignore[union-attr, operator]
        assert all(bool((norm.bias != 0).any()) for norm in norms)  # the shift is learned all the same


def test_the_encoder_learns_more_slowly() -> None:
    groups = parameter_groups(Tiny(), replace(QUICK, encoder_rate=0.25))
    assert [group["lr"] for group in groups] == [0.0025, 0.01] and [len(g["params"]) for g in groups] == [4, 2]
    assert [len(group["params"]) for group in parameter_groups(nn.Conv2d(1, 1, 1), QUICK)] == [0, 2]


def test_bf16_learns_as_well(tmp_path: Path) -> None:
    losses = {}
    for precision in ("fp32", "bf16"):
        torch.manual_seed(0)
        train(tmp_path / precision, precision=precision, steps=30, network=Tiny())
        losses[precision] = [row["loss"] for row in rows(tmp_path / precision / "log.csv")]
    assert losses["fp32"] != losses["bf16"]  # it is another arithmetic
    assert losses["bf16"] == pytest.approx(losses["fp32"], abs=0.05) and losses["bf16"][-1] < losses["bf16"][0] / 2


def spoiled(number: int, value: float) -> Batches:
    def spoil(at: int, batch: Batch) -> Batch:
        if at == number:
            batch.pixels[1] = value
        return batch

    return Batches(spoil=spoil)


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_crops(tmp_path: Path) -> None:
    sentence = r"^the loss became nan at step 6, on the crops scene-5-0 at row 0, column 0, scene-5-1 .*; look at "
    with pytest.raises(TrainingError, match=sentence) as told:
        train(tmp_path, batches=spoiled(5, float("nan")))
    assert "the step before is kept in" in str(told.value) and "go on with --resume" in str(told.value)
    checkpoint = Checkpoint.load(tmp_path)
    assert checkpoint is not None and checkpoint.state.step == 5
    for weights in (checkpoint.network, checkpoint.average):
        assert all(bool(torch.isfinite(value).all()) for value in weights.values())
    assert same(train(tmp_path, resume=True), train(tmp_path / "whole"))  # the spoiled step left no trace


def test_only_the_batch_of_a_step_that_is_to_blame_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"at step 2, on the crops scene-4-0") as told:
        train(tmp_path, batches=spoiled(4, float("nan")), accumulate=3)
    assert "scene-3" not in str(told.value) and "scene-5" not in str(told.value)


def test_a_gradient_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    class Cliff(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(context: Any, gradient: Tensor) -> Tensor:
            return gradient * float("inf")

    def cliff(logits: Tensor, batch: Any) -> Tensor:
        return loss(Cliff.apply(logits), batch)  # type: ignore[no-untyped-call]

    with pytest.raises(
        TrainingError, match=r"the gradient became (nan|inf) at step 1, .* no checkpoint yet; .* start again"
    ):
        fit(Tiny(), Lesson(Batches(), cliff, SCALING), options=QUICK, folder=tmp_path, feedback=QUIET)
    assert not (tmp_path / "last.pt").exists()


def test_an_error_while_drawing_crops_surfaces(tmp_path: Path) -> None:
    def fail(number: int, batch: Batch) -> Batch:
        raise ValueError("shapes do not broadcast")

    for workers in (0, 1):
        with pytest.raises(ValueError, match="broadcast"):
            train(tmp_path, batches=Batches(spoil=fail), workers=workers)


def test_fewer_batches_than_steps_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="expected 24 batches or more, got 20"):
        train(tmp_path, batches=Batches(count=20), accumulate=2)
    train(tmp_path, batches=Batches(count=3), steps=None, minutes=60)  # time: the run ends with its batches
    assert len(rows(tmp_path / "log.csv")) == 3 and (tmp_path / "last.pt").exists()


def test_the_best_of_the_validated_weights_come_out_where_asked_for(tmp_path: Path) -> None:
    judges = {keep: Judge(0.3, 0.6, 0.5) for keep in ("last", "best")}
    for keep, judge in judges.items():
        made = train(tmp_path / keep, validate=judge, validate_every=5, keep=keep).state_dict()
        expected = judge.seen[1 if keep == "best" else 2]
        assert all(torch.equal(made[name], expected[name]) for name in expected), keep
        again = train(tmp_path / keep, validate=judge, validate_every=5, keep=keep, resume=True).state_dict()
        assert all(torch.equal(made[name], again[name]) for name in made)
    validations = rows(tmp_path / "last" / "validation.csv")
    assert [(row["step"], row["mean_iou"]) for row in validations] == [(5, 0.3), (10, 0.6), (12, 0.5)]


def test_ten_validations_where_nobody_says_otherwise(tmp_path: Path) -> None:
    judge = Judge(*[0.1] * 10)
    train(tmp_path, steps=40, validate=judge)
    assert [row["step"] for row in rows(tmp_path / "validation.csv")] == list(range(4, 41, 4))


def test_a_run_that_gets_no_better_stops_early_and_stays_so(tmp_path: Path) -> None:
    judge = Judge(0.3, 0.6, 0.5, float("nan"), 0.9)
    train(tmp_path, validate=judge, validate_every=2, patience=2)
    assert len(judge.seen) == 4 and len(rows(tmp_path / "log.csv")) == 8
    train(tmp_path, validate=judge, validate_every=2, patience=2, resume=True)
    assert len(judge.seen) == 4
    twin = Judge(0.3, 0.6, 0.5, 0.7, 0.6, 0.6)
    train(tmp_path / "twin", validate=twin, validate_every=2, patience=2)
    assert len(twin.seen) == 6


def test_the_options_load_without_lightning() -> None:
    code = (
        "import sys, landseg.training.loop.fit; print({'lightning', 'matplotlib', 'tensorboard'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_run_of_few_steps_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: Any) -> None:
    train(tmp_path / "a")
    assert "12 steps are few, the model has hardly learned: give it 100 or more" in caplog.text
    caplog.clear()
    monkeypatch.setattr("landseg.training.loop.fit.FEW_STEPS", 12)
    train(tmp_path / "b")
    assert "few" not in caplog.text


def test_a_time_budget_says_how_many_steps_it_will_give(tmp_path: Path, capsys: Any) -> None:
    train(tmp_path / "a", batches=Batches(count=100_000), steps=None, minutes=0.05, quiet=False)
    line = next(line for line in capsys.readouterr().err.splitlines() if "fit into the time budget" in line)
    promised = int(line.split()[1])
    made = len(rows(tmp_path / "a" / "log.csv"))
    assert promised == pytest.approx(made, rel=0.5) and "s a step" in line
    train(tmp_path / "b", quiet=False)  # a budget in steps needs no guess
    assert "fit into" not in capsys.readouterr().err
