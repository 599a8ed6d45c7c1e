"""Options, budgets and the learning rate."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landseg.errors import TrainingError
from landseg.training.fit_options import FitOptions, minutes_of
from landseg.training.loop.schedule import Budget, rate

BY_STEPS = FitOptions(steps=200, warmup=0.1)


def assert_rises_and_falls(rates: list[float], peak_at: int) -> None:
    peak = rates.index(max(rates))
    assert peak == peak_at and 0 < rates[0] < 0.02 and 0.8 < rates[peak] <= 1
    assert rates[: peak + 1] == sorted(rates[: peak + 1]) and rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 < rates[-1] < 0.02


@pytest.mark.parametrize("schedule", ["poly", "cosine"])
def test_the_rate_rises_and_falls_to_nothing(schedule: Any) -> None:
    options = FitOptions(steps=200, warmup=0.1, schedule=schedule)
    budget = Budget.of(options)
    rates = [rate(budget.done(step, seconds=1e9), options) for step in range(200)]
    assert_rises_and_falls(rates, 20)
    assert rate(1.0, options) == 0 and rate(1.5, options) == 0


def test_twin_a_rate_that_forgets_the_budget_does_not_fall() -> None:
    budget = Budget.of(FitOptions(minutes=1))  # of time, of which none is used
    with pytest.raises(AssertionError):
        assert_rises_and_falls([rate(budget.done(step, seconds=0.0), BY_STEPS) for step in range(200)], 20)


@given(done=st.floats(0.0, 1.0), power=st.floats(0.1, 3.0))
def test_without_warm_up_the_rate_is_the_poly_schedule(done: float, power: float) -> None:
    assert rate(done, FitOptions(warmup=0, power=power)) == pytest.approx((1 - done) ** power)


def test_the_cosine_is_half_way_down_in_the_middle_and_flat_at_its_ends() -> None:
    options = FitOptions(warmup=0, schedule="cosine")
    assert rate(0.5, options) == pytest.approx(0.5)
    assert rate(0.01, options) > 0.999 and rate(0.99, options) < 0.001
    assert rate(0.25, options) == pytest.approx((1 + math.sqrt(0.5)) / 2)


def test_a_budget_is_steps_where_they_are_given_and_time_elsewhere() -> None:
    assert Budget.of(FitOptions(minutes=2)).done(step=10_000, seconds=30) == 0.25
    assert Budget.of(FitOptions(minutes=2, steps=10)).done(step=5, seconds=1e9) == 0.5


def test_epochs_are_counted_in_steps_first() -> None:
    epochs = FitOptions(epochs=2.5, accumulate=2)
    assert epochs.resolved(160_000, batch_pixels=20_000).steps == 10 and epochs.resolved(1, batch_pixels=9).steps == 1
    assert FitOptions(epochs=3, steps=7).resolved(10**9, batch_pixels=1).steps == 7
    assert Budget.of(epochs.resolved(160_000, batch_pixels=20_000)).done(10, 0.0) == 1
    with pytest.raises(TrainingError, match=r"2\.5 epochs of unknown length"):
        Budget.of(epochs)


@pytest.mark.parametrize(("text", "minutes"), [("45m", 45), ("1h30m", 90), ("90s", 1.5), ("0.5h", 30), (" 7 ", 7)])
def test_a_time_budget_is_read(text: str, minutes: float) -> None:
    assert minutes_of(text) == minutes


@pytest.mark.parametrize("text", ["", "m", "45 m", "4d", "-3m", "0m", "1h30", "three"])
def test_what_is_no_time_gets_a_sentence(text: str) -> None:
    if text == "1h30":
        assert minutes_of(text) == 90  # as clocks say it
        return
    with pytest.raises(TrainingError, match="written like 45m"):
        minutes_of(text)


@pytest.mark.parametrize("name", ["minutes", "steps", "epochs", "accumulate", "learning_rate"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_options_must_be_positive(name: str, value: float) -> None:
    with pytest.raises(TrainingError, match=f"{name.replace('_', ' ')} must be above 0, got {value}"):
        FitOptions(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"clip": -1.0}, "clip must be 0 or more, got -1"),
        ({"workers": -1}, "workers must be 0 or more"),
        ({"weight_decay": -1}, "^weight decay must be 0 or more"),
        ({"ema": 1.0}, "ema must be from 0 to below 1"),
        ({"warmup": math.nan}, "warmup must be from 0 to below 1"),
        ({"optimizer": "adam"}, "optimizer is one of adamw, sgd, got 'adam'"),
        ({"schedule": "step"}, "schedule is one of poly, cosine"),
        ({"precision": "int8"}, "precision is one of auto, fp32, bf16, fp16"),
    ],
)
def test_options_out_of_range_get_a_sentence(options: dict[str, Any], says: str) -> None:
    with pytest.raises(TrainingError, match=says):
        FitOptions(**options)
