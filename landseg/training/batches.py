"""Batches of crops by the number of the step: the same whoever asks, in whatever order, before or after a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from landseg.classes import IGNORE_INDEX
from landseg.errors import TrainingError
from landseg.text.amounts import counted
from landseg.training.augment import AugmentOptions, augment
from landseg.training.crops import Crop
from landseg.training.sampler import CropSampler

ENDLESS = 2**31


@dataclass(frozen=True)
class Batch:
    """What one step learns from.

    Attributes:
        pixels: (N, C, s, s) float32 in raw units; of no meaning where not valid.
        valid: (N, s, s) bool.
        target: (N, s, s) uint8, indices into LabelSets, IGNORE_INDEX where unknown.
        names: of each crop's scene, and where in it the crop lies.
        coarse: (N, s, s) uint8, coarse classes, IGNORE_INDEX where there are none; None where no scene has any.
    """

    pixels: Tensor
    valid: Tensor
    target: Tensor
    names: tuple[str, ...]
    coarse: Tensor | None = None

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """The same on a device."""
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The same in page-locked memory; a DataLoader asks for it."""
        return self._mapped(lambda tensor: tensor.pin_memory())

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> Batch:
        coarse = None if self.coarse is None else change(self.coarse)
        return Batch(change(self.pixels), change(self.valid), change(self.target), self.names, coarse)


class Batches(Dataset[Batch]):
    """One batch for every step: a pure function of the sampler's seed and the step, which makes a run resumable.

    Give it to a DataLoader with ``batch_size=None``.

    Args:
        sampler: draws the crops.
        steps: how many batches there are; by default as many as any budget in time can use.
        options: of augmentation; None: the usual.
    """

    def __init__(self, sampler: CropSampler, *, steps: int = ENDLESS, options: AugmentOptions | None = None) -> None:
        self.sampler, self.steps, self.options = sampler, steps, options

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch:
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} of {self.steps}")
        crops = [self._crop(step, index) for index in range(self.sampler.options.batch)]
        return Batch(
            torch.stack([crop.pixels for crop in crops]),
            torch.stack([crop.valid for crop in crops]),
            torch.stack([crop.target for crop in crops]),
            tuple(crop.name for crop in crops),
            torch.stack([_coarse(crop) for crop in crops]) if self.sampler.coarse else None,
        )

    def _crop(self, step: int, index: int) -> Crop:
        dice = np.random.default_rng((self.sampler.seed, step, index, 0xA06))  # other dice than the sampler's
        return augment(self.sampler.draw(step, index), dice, self.options)


def _coarse(crop: Crop) -> Tensor:
    """The coarse classes of a crop (s, s), also where its scene has none."""
    return torch.full_like(crop.target, IGNORE_INDEX) if crop.coarse is None else crop.coarse


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


@dataclass(frozen=True)
class Scaling:
    """The network sees ``(raw - mean) / std`` by band, and 0 where there is no data."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, pixels: Tensor, valid: Tensor) -> Tensor:
        """Scale (N, C, H, W) raw pixels; ``valid`` is (N, H, W)."""
        shape, device = (1, -1, 1, 1), pixels.device
        mean, std = (torch.tensor(values, device=device).view(shape) for values in (self.mean, self.std))
        return torch.where(valid[:, None], (pixels - mean) / std, 0.0)
