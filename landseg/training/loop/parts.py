"""What training takes batches to be, and the part of one that a process works on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from landseg.errors import TrainingError
from landseg.text.amounts import counted


class BatchLike(Protocol):
    """A frozen dataclass: pixels (N, C, s, s) in raw units, valid and target (N, s, s), names of the N crops."""

    @property
    def pixels(self) -> Tensor: ...
    @property
    def valid(self) -> Tensor: ...
    @property
    def target(self) -> Tensor: ...
    @property
    def names(self) -> tuple[str, ...]: ...


class BatchesLike(Protocol):
    """Batches by number: each a function of the number and the run's seed alone, which makes runs resumable."""

    def __len__(self) -> int: ...
    def __getitem__(self, number: int, /) -> BatchLike: ...


Loss = Callable[[Tensor, Any], Tensor]
"""(logits (N, K, h, w) in the network's precision, batch) -> scalar."""


def part_of(batch: BatchLike, rank: int, world: int) -> BatchLike:
    """Return what process ``rank`` of ``world`` works on: every world-th crop.

    Raises:
        TrainingError: crops that cannot be shared out evenly.
    """
    if world == 1:
        return batch
    crops = batch.pixels.shape[0]
    if crops % world:
        raise TrainingError(
            f"{counted(crops, 'crop')} "
            f"a batch for {counted(world, 'process')}: use a multiple, for instance {-(-crops // world) * world}"
        )
    mine = slice(rank, None, world)
    tensors = {name: tensor[mine] for name, tensor in _tensors(batch)}
    made: BatchLike = replace(batch, **tensors, names=batch.names[mine])  # type: ignore[type-var]
    return made


def moved(batch: BatchLike, device: torch.device) -> BatchLike:
    """Return the batch with its tensors on a device."""
    if batch.pixels.device == device:
        return batch
    tensors = {name: tensor.to(device) for name, tensor in _tensors(batch)}
    made: BatchLike = replace(batch, **tensors)  # type: ignore[type-var]
    return made


def _tensors(batch: BatchLike) -> Iterator[tuple[str, Tensor]]:
    """The batch's tensors by name, those that not every batch has among them."""
    for field in fields(batch):  # type: ignore[arg-type]
        if isinstance(value := getattr(batch, field.name), Tensor):
            yield field.name, value
