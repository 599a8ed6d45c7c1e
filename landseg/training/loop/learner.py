"""A network that learns, in Lightning's terms. This module imports Lightning: import it when a run starts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from landseg.dense.target_grid import UnitGrid, UnitScores, target_at_units
from landseg.errors import TrainingError
from landseg.text.amounts import shorten_list
from landseg.training.batches import BatchLike, Loss, moved
from landseg.training.fit_options import FitOptions
from landseg.training.loop.run import Lesson


class Learner(LightningModule):
    """Forward, loss, gradient, and the optimizer: one step of the options' ``accumulate`` batches.

    Args:
        network: learns in place.
        lesson: its loss, and the scaling of raw pixels.
        options: of the run.
        first: the number of the first batch of this session, from which the seeds of dropout are made.

    Raises:
        TrainingError: the loss is to be taken at the units of a network that has none.
    """

    def __init__(self, network: nn.Module, lesson: Lesson, *, options: FitOptions, first: int = 0) -> None:
        super().__init__()
        self.network = network
        self.loss, self.scaling, self.options, self.first = lesson.loss, lesson.scaling, options, first
        self.scores: Callable[[Tensor], Any] = network.__call__
        if lesson.forward is not None:
            self.scores = partial(lesson.forward, network)
        if lesson.at == "units":
            self.scores = scores = UnitScores(network)
            self.loss = at_units(lesson.loss, scores.grid)
        self.step_number = 0  # of the step that is being made, from 1
        self.seen: list[tuple[Tensor, tuple[str, ...]]] = []  # loss and names of the step's batches
        self.step_loss, self.step_norm = math.nan, math.nan
        self.updating = False  # while weights and their average belong to different steps

    def train(self, mode: bool = True) -> Learner:
        """Switch to training, but for batch norms that keep their statistics."""
        super().train(mode)
        if mode:
            freeze_batch_norm(self.network, self.options.frozen_batch_norm)
        return self

    def transfer_batch_to_device(self, batch: BatchLike, device: torch.device, dataloader_idx: int) -> BatchLike:
        """Move a batch to a device, which Lightning does not do with a frozen dataclass."""
        return moved(batch, device)

    def training_step(self, batch: BatchLike, batch_idx: int) -> Tensor:
        """Return the loss of one batch; dropout is a function of the seed, the batch and the process."""
        torch.manual_seed(batch_seed(self.options.seed, self.first + batch_idx, self.global_rank))
        inputs = self.scaling.apply(batch.pixels, batch.valid).contiguous(memory_format=torch.channels_last)
        logits = self.scores(inputs)
        with torch.autocast(inputs.device.type, enabled=False):
            loss = self.loss(logits, batch)
        self.seen.append((loss.detach(), batch.names))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return AdamW or SGD; the callbacks, which know the budget, set the schedule."""
        groups, options = parameter_groups(self.network, self.options), self.options
        if options.optimizer == "sgd":
            return torch.optim.SGD(
                groups, lr=options.learning_rate, momentum=options.momentum, weight_decay=options.weight_decay,
                nesterov=options.momentum > 0,
            )  # fmt: skip
        return torch.optim.AdamW(groups, lr=options.learning_rate, weight_decay=options.weight_decay)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradient of a step; one that is no number stops the run before it touches a weight.

        Raises:
            TrainingError: a loss or a gradient that is no number.
        """
        limit = self.options.clip or math.inf
        norm = nn.utils.clip_grad_norm_([p for p in self.network.parameters() if p.grad is not None], limit)
        *losses, self.step_norm = torch.stack([*(loss.float() for loss, _ in self.seen), norm.float()]).tolist()
        self.step_loss = sum(losses) / max(1, len(losses))
        bad = [not math.isfinite(loss) for loss in losses]
        overflown = self.trainer.precision != "16-mixed" and not math.isfinite(self.step_norm)
        if any(agreed([float(any(bad) or overflown)], self.device)):
            names = [name for (_, names), is_bad in zip(self.seen, bad, strict=True) if is_bad or not any(bad)
                     for name in names]  # fmt: skip
            raise NoNumber(self._sentence(losses, bad, overflown, names))
        self.updating = True

    def _sentence(self, losses: list[float], bad: list[bool], overflown: bool, names: list[str]) -> str:
        if any(bad):
            what = f"the loss became {losses[bad.index(True)]}"
        elif overflown:
            what = f"the gradient became {self.step_norm}"
        else:
            what = "the loss or the gradient of another process became no number"
        return f"{what} at step {self.step_number}, on the crops {shorten_list(list(dict.fromkeys(names)))}"


def at_units(loss: Loss, units: UnitGrid) -> Loss:
    """Return a loss of the scores (N, K, h, w) at a network's units: the targets of a batch are sampled there."""

    def loss_at_units(scores: Tensor, batch: Any) -> Tensor:
        size = (scores.shape[-2], scores.shape[-1])
        target = target_at_units(batch.targets["class"], units, size)
        return loss(scores, replace(batch, targets={**batch.targets, "class": target}))

    return loss_at_units


class NoNumber(TrainingError):
    """A loss or a gradient that is no number; the step was not taken."""


def parameter_groups(network: nn.Module, options: FitOptions) -> list[dict[str, Any]]:
    """Return two groups: the (pretrained) encoder learns more slowly than the head. Fixed weights are in neither."""
    encoder = getattr(network, "encoder", None)
    inside = {id(p) for p in encoder.parameters()} if isinstance(encoder, nn.Module) else set()
    rates = (options.learning_rate * options.encoder_rate, options.learning_rate)
    groups: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
    for parameter in network.parameters():
        if parameter.requires_grad:
            groups[id(parameter) not in inside].append(parameter)
    return [{"params": g, "lr": r, "peak": r} for g, r in zip(groups, rates, strict=True)]


def freeze_batch_norm(network: nn.Module, which: str) -> None:
    """Let batch norms of the "encoder" or "all" keep their statistics; scale and shift are learned all the same."""
    root = {"none": None, "encoder": getattr(network, "encoder", None), "all": network}[which]
    for module in root.modules() if isinstance(root, nn.Module) else ():
        if isinstance(module, _BatchNorm):
            module.eval()


def batch_seed(seed: int, batch: int, rank: int) -> int:
    """Return a seed of 63 bits, another for each batch and process.

    >>> len({batch_seed(0, 0, 0), batch_seed(0, 1, 0), batch_seed(0, 0, 1), batch_seed(1, 0, 0)})
    4
    """
    mixed = 0
    for value in (seed, batch, rank):  # the finalizer of SplitMix64, which leaves no pattern
        mixed = (mixed + value + 0x9E3779B97F4A7C15) & (2**64 - 1)
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
        mixed ^= mixed >> 31
    return mixed >> 1


def agreed(values: Iterable[float], device: torch.device) -> list[float]:
    """Return the largest of each value over all processes of the run, so that all of them act alike."""
    own = list(values)
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return own
    kind = torch.float64 if device.type != "mps" else torch.float32
    tensor = torch.tensor(own, dtype=kind, device=device)
    torch.distributed.all_reduce(tensor, torch.distributed.ReduceOp.MAX)
    found: list[float] = tensor.tolist()
    return found
