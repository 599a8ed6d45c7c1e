"""The budget of a run, and the learning rate over it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from landseg.errors import TrainingError
from landseg.training.fit_options import FitOptions

_FIRST = 1e-4  # of the budget: the rate of the very first step is not quite 0


@dataclass(frozen=True)
class Budget:
    """The limit of a run: steps of the optimizer or, where ``steps`` is None, seconds."""

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
        """Return the share that is used after a number of steps and seconds; 1 and above is all of it."""
        return seconds / self.seconds if self.steps is None else step / self.steps


def rate(done: float, options: FitOptions) -> float:
    """Return the learning rate as a factor of its peak when the share ``done`` of the budget is used.

    It rises linearly over the warm-up, and falls by the poly schedule or half a cosine over the whole budget.

    >>> rate(0.5, FitOptions(warmup=0, power=1)), round(rate(0.5, FitOptions(warmup=0, schedule="cosine")), 9)
    (0.5, 0.5)
    """
    left = min(1.0, max(0.0, 1 - done))
    falling = left**options.power if options.schedule == "poly" else (1 - math.cos(math.pi * left)) / 2
    rising = 1.0 if options.warmup == 0 else min(1.0, (done + _FIRST) / options.warmup)
    return rising * falling


_WARM_UP = 10  # of the schedule below; larger values make the average look further back early in a run


class Average:
    """An exponential moving average of the weights and buffers of ``network``, in a network of its own.

    The first update copies, and the decay rises to ``decay`` as `decay_after` says, so that a short run does not end
    with the weights that it started from. The copy lies outside every module, and is not trained, cast or counted.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._model = AveragedModel(network, multi_avg_fn=_averaging(decay), use_buffers=True)
        self._model.eval()

    @property
    def network(self) -> nn.Module:
        """Return the averaged network, in eval mode."""
        network: nn.Module = self._model.module
        return network.eval()

    @property
    def model(self) -> nn.Module:
        """Return the module that is stored: the averaged network and the number of updates."""
        return self._model

    def update(self, network: nn.Module) -> None:
        """Take in the weights of one more step."""
        self._model.update_parameters(network)


def decay_after(updates: int, decay: float) -> float:
    """Return the share of the average that stays when it is updated for the ``updates + 1``-th time.

    It rises from near 0 as ``(1 + updates) / (10 + updates)`` up to ``decay``: an average of the last tenth or so of
    a run that is still short (the schedule of TensorFlow's ``ExponentialMovingAverage(num_updates=...)``).

    >>> [round(decay_after(n, 0.98), 3) for n in (0, 1, 20, 60, 441, 2000)]
    [0.1, 0.182, 0.7, 0.871, 0.98, 0.98]
    """
    return min(decay, (1 + updates) / (_WARM_UP + updates))


def _averaging(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """Return the update of averaged tensors of one dtype in place, as `AveragedModel` calls it."""

    @torch.no_grad()
    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int) -> None:
        share = 1 - decay_after(int(updates), decay)
        for mean, value in zip(averaged, current, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, share)
            else:
                mean.copy_(value)  # a counter, such as that of the batches which a batch norm has seen

    return update
