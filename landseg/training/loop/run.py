"""One training run: what it consists of besides the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from landseg.training.fit_options import FitOptions
from landseg.training.loop.checkpoint import Checkpoint, RunState
from landseg.training.loop.process import Place
from landseg.training.loop.schedule import Average, Budget

Validate = Callable[[nn.Module], Mapping[str, float]]
"""(network in eval mode) -> figures, ``mean_iou`` among them."""


@dataclass(frozen=True)
class Run:
    """Options, budget and place of a run, its folder, and where it stands.

    Attributes:
        average: the weights that are kept.
        checkpoint: what it goes on from; None for a new run.
    """

    options: FitOptions
    budget: Budget
    place: Place
    folder: Path
    state: RunState
    average: Average
    checkpoint: Checkpoint | None

    @property
    def resolved(self) -> dict[str, Any]:
        """The options by name, with the precision that this processor took for "auto"."""
        return {**asdict(self.options), "precision": self.place.precision}

    @property
    def done(self) -> float:
        """The share of the budget that is used."""
        return self.budget.done(self.state.step, self.state.seconds)

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return self.done >= 1 or self.state.stopped
