"""How much of a budget is used, and what the learning rate is then."""

from __future__ import annotations

import math
from dataclasses import dataclass

from landseg.errors import TrainingError
from landseg.training.fit_options import FitOptions

_FIRST = 1e-4  # of the budget: the rate of the very first step is not quite 0


@dataclass(frozen=True)
class Budget:
    """What a run may use: steps of the optimizer or, where ``steps`` is None, seconds."""

    steps: int | None
    seconds: float

    @classmethod
    def of(cls, options: FitOptions) -> Budget:
        """Return the budget of a run.

        Raises:
            TrainingError: epochs that were not counted in steps.
        """
        if options.epochs is not None and options.steps is None:
            raise TrainingError(
                f"{options.epochs:g} epochs of unknown length; count them by FitOptions.resolved first"
            )
        return cls(options.steps, 60 * options.minutes)

    def done(self, step: int, seconds: float) -> float:
        """The share that is used after so many steps and seconds; 1 and above is all of it."""
        return seconds / self.seconds if self.steps is None else step / self.steps


def rate(done: float, options: FitOptions) -> float:
    """The learning rate as a factor of its peak when the share ``done`` of the budget is used.

    It rises linearly over the warm-up, and falls by the poly schedule or half a cosine over the whole budget.

    >>> rate(0.5, FitOptions(warmup=0, power=1)), round(rate(0.5, FitOptions(warmup=0, schedule="cosine")), 9)
    (0.5, 0.5)
    """
    left = min(1.0, max(0.0, 1 - done))
    falling = left**options.power if options.schedule == "poly" else (1 - math.cos(math.pi * left)) / 2
    rising = 1.0 if options.warmup == 0 else min(1.0, (done + _FIRST) / options.warmup)
    return rising * falling
