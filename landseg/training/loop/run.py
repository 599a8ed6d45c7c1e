"""The parts of a training run beside the network: what it learns from, what it shows, and where it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from landseg.training.batches import BatchesLike, Loss, Scaling
from landseg.training.fit_options import FitOptions
from landseg.training.loop.checkpoint import Checkpoint, RunState
from landseg.training.loop.process import Place
from landseg.training.loop.sample_pictures import SamplePictures
from landseg.training.loop.schedule import Average, Budget

Validate = Callable[[nn.Module], Mapping[str, float]]
"""(network in eval mode) -> figures, the headline of the run's task first."""


@dataclass(frozen=True)
class Lesson:
    """The batches of a run, the scaling of their pixels, and the loss that is minimised.

    Attributes:
        batches: by number; as many as a budget in steps needs, with a budget in time the run ends when they do.
        loss: (logits, batch) -> scalar; the logits are in the precision that the network computed in.
        scaling: of the raw pixels.
        at: the grid of logits and targets: the "pixels" of the input, or the network's own "units", see
            `landseg.dense.target_grid`.
        forward: (network, inputs) -> what the loss gets in place of logits; None: the network's output.
    """

    batches: BatchesLike
    loss: Loss
    scaling: Scaling
    at: Literal["pixels", "units"] = "pixels"
    forward: Callable[[nn.Module, Tensor], Any] | None = None


@dataclass(frozen=True)
class Feedback:
    """The signs of a run's progress.

    Attributes:
        validate: gets the averaged network in eval mode and returns figures; the first decides what is best, the
            larger the better.
        samples: crops that are drawn after each validation.
        quiet: show no progress on standard error.
    """

    validate: Validate | None = None
    samples: SamplePictures | None = None
    quiet: bool = False


@dataclass(frozen=True)
class Run:
    """The options, budget, place and folder of a run, and where it stands.

    Attributes:
        average: the weights that are kept.
        checkpoint: the state that the run goes on from; None for a new run.
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
        """Return the options by name, with the precision that this processor took for "auto"."""
        return {**asdict(self.options), "precision": self.place.precision}

    @property
    def done(self) -> float:
        """Return the share of the budget that is used."""
        return self.budget.done(self.state.step, self.state.seconds)

    @property
    def ended(self) -> bool:
        """Return whether no step is left to make."""
        return self.done >= 1 or self.state.stopped
