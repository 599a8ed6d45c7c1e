"""The options of a training run, checked."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Literal

from landseg.errors import TrainingError

_CHOICES = {
    "optimizer": ("adamw", "sgd"),
    "schedule": ("poly", "cosine"),
    "frozen_batch_norm": ("none", "encoder", "all"),
    "precision": ("auto", "fp32", "bf16", "fp16"),
    "keep": ("last", "best"),
}
_POSITIVE: tuple[str, ...] = ("minutes", "steps", "epochs", "accumulate", "learning_rate", "power")
_POSITIVE += ("validate_every", "patience", "checkpoint_minutes")
_SHARES = ("momentum", "warmup", "ema")
_UNITS = {"s": 1 / 60, "m": 1.0, "h": 60.0}


@dataclass(frozen=True)
class FitOptions:
    """The options of a training run; with a budget in steps it is a function of these, the data and the machine.

    Attributes:
        minutes: The time budget; the learning rate falls to 0 over it.
        steps: A budget in steps of the optimizer in place of the time: the same run on a machine of any speed.
        epochs: A budget in passes over the labelled pixels in place of the time; see `resolved`.
        accumulate: Batches a step, whose gradients are averaged.
        optimizer: "adamw" or "sgd" (with Nesterov's momentum).
        momentum: SGD's.
        learning_rate: The head's at its peak; the encoder takes ``encoder_rate`` times as much.
        weight_decay: Of all weights.
        schedule: "poly" or "cosine".
        warmup: Share of the budget over which the rate rises from 0.
        power: Of the poly schedule, ``(1 - share done) ** power`` (DeepLab).
        clip: Largest norm of the gradient; 0 for any.
        ema: Decay a step of the moving average of the weights, which is what is kept; it rises to this over the first
            steps (see `landseg.training.loop.schedule`); 0 for none.
        frozen_batch_norm: Whose batch norms keep their statistics: "none", "encoder" or "all".
        precision: "auto" (the fastest that the device computes itself), "fp32", "bf16" or "fp16", these two mixed.
        validate_every: Steps between validations; None = ten over the budget.
        patience: Validations without a better mean IoU after which the run stops; None = never.
        keep: Which weights come out: the "last", or those that validated "best".
        checkpoint_minutes: Time between two checkpoints.
        workers: Processes that make batches ahead; 0 makes them between the steps, None chooses.
        seed: Of crops, augmentation, dropout and initial weights.

    Raises:
        TrainingError: a value out of its range.
    """

    minutes: float = 40.0
    steps: int | None = None
    epochs: float | None = None
    accumulate: int = 1
    optimizer: Literal["adamw", "sgd"] = "adamw"
    momentum: float = 0.9
    learning_rate: float = 1e-3
    encoder_rate: float = 0.4
    weight_decay: float = 0.02
    schedule: Literal["poly", "cosine"] = "poly"
    warmup: float = 0.03
    power: float = 0.9
    clip: float = 5.0
    ema: float = 0.98
    frozen_batch_norm: Literal["none", "encoder", "all"] = "none"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    validate_every: int | None = None
    patience: int | None = None
    keep: Literal["last", "best"] = "last"
    checkpoint_minutes: float = 5.0
    workers: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not (0 < value < math.inf):
                raise TrainingError(f"{_words(name)} must be above 0, got {value}")
        for name in ("encoder_rate", "weight_decay", "clip", "workers", "seed"):
            value = getattr(self, name)
            if value is not None and not (0 <= value < math.inf):
                raise TrainingError(f"{_words(name)} must be 0 or more, got {value}")
        for name in _SHARES:
            if not 0 <= getattr(self, name) < 1:
                raise TrainingError(f"{_words(name)} must be from 0 to below 1, got {getattr(self, name)}")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise TrainingError(f"{_words(name)} is one of {', '.join(known)}, got {getattr(self, name)!r}")

    def resolved(self, pixels: int, *, batch_pixels: int) -> FitOptions:
        """Return the options with a budget of epochs counted in steps; others as they are.

        An epoch draws as many pixels as there are to learn from, ``pixels``.

        >>> FitOptions(epochs=3).resolved(100_000, batch_pixels=20_000).steps
        15
        """
        if self.epochs is None or self.steps is not None:
            return self
        drawn = self.accumulate * batch_pixels
        return replace(self, steps=max(1, math.ceil(self.epochs * pixels / drawn)), epochs=None)


def _words(name: str) -> str:
    """Return an option's name as a text says it, which is also how the command line spells it but for hyphens."""
    return name.replace("_", " ")


def minutes_of(text: str) -> float:
    """Return the minutes of a time budget such as "45m", "1h30m", "90s" or "40" (minutes).

    >>> minutes_of("1h30m"), minutes_of("90s"), minutes_of("40")
    (90.0, 1.5, 40.0)

    Raises:
        TrainingError: text that names no time above 0.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms]|$)", text.strip())
    total = sum(float(number) * _UNITS[unit or "m"] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text.strip() or not total > 0:
        raise TrainingError(f"a time budget is written like 45m, 1h30m or 90s, got {text!r}")
    return total
