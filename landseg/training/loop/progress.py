"""The progress of a training run: one line on standard error."""

from __future__ import annotations

import math
from typing import TextIO

from landseg.runtime.progress import StatusLine, duration

_SHORT = {"mean_iou": "mIoU"}  # names of figures on the line
_MEMORY = 0.95  # of the loss that is shown: about the last twenty steps


class TrainingProgress:
    """Shows step, loss, the headline of the last validation, speed and time left.

    On a terminal one line is redrawn; elsewhere (a log file) there is a line for each twentieth of the budget, ten
    seconds apart at least, and one for the end.

    Args:
        steps: the budget in steps, or None where it is time.
        done: the share that an earlier session used.
        stream: where to write; None is standard error as it is now.
        quiet: show nothing.
    """

    def __init__(
        self, steps: int | None, *, done: float = 0.0, stream: TextIO | None = None, quiet: bool = False
    ) -> None:
        self._steps, self._shown = steps, StatusLine(done, stream=stream, quiet=quiet)
        self._loss, self._figure, self._headline = math.nan, math.nan, ""

    def step(self, step: int, *, seconds: float, done: float, loss: float, pixels: float) -> None:
        """Take in one step, ``seconds`` and ``pixels`` from the start of the run."""
        self._loss = loss if math.isnan(self._loss) else _MEMORY * self._loss + (1 - _MEMORY) * loss
        self._shown.show(done, lambda: self.line(step, seconds, done, pixels))

    def expected(self, steps: int, seconds: float) -> None:
        """Print how many steps a budget in time will give, at the speed of the first ones.

        Args:
            steps: of the whole run, as far as one can tell.
            seconds: that one takes.
        """
        self._shown.say(f"about {steps} steps fit into the time budget ({seconds:.2g} s a step)")

    def validated(self, headline: str, figure: float) -> None:
        """Take in the figure of a validation that decides what is best, and its name."""
        self._headline, self._figure = headline, figure

    def line(self, step: int, seconds: float, done: float, pixels: float) -> str:
        """Return the line that is shown, without the parts that are not known yet."""
        parts = [f"step {step}" if self._steps is None else f"step {step}/{self._steps}", f"loss {self._loss:.3f}"]
        if not math.isnan(self._figure):
            parts.append(f"{_SHORT.get(self._headline, self._headline.replace('_', ' '))} {self._figure:.3f}")
        if seconds > 0:
            parts.append(f"{pixels / 1e6 / seconds:.2f} Mpx/s")
        if done > 0:
            parts.append(f"{duration(round(max(0.0, seconds * (1 - done) / done)))} left")
        return "  ".join(parts)

    def close(self) -> None:
        """End the line that is being redrawn."""
        self._shown.close()
