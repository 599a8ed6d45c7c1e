"""Batches of crops by the number of the step: the same in any process and order, before and after a restart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from landseg.dense.label_maps import unknown_map
from landseg.dense.task import Task
from landseg.errors import TrainingError
from landseg.text.amounts import counted
from landseg.training.augment import AugmentOptions, augment
from landseg.training.crops import Crop
from landseg.training.sampler import CropSampler

ENDLESS = 2**31


@dataclass(frozen=True)
class Batch:
    """The crops that one step learns from.

    Attributes:
        pixels: (N, C, s, s) float32 in raw units; of no meaning where not valid.
        valid: (N, s, s) bool.
        targets: by name, (N, ...) each: those of the task, and coarse labels where a scene has some, (N, s, s) uint8.
            "class" of semantic segmentation is (N, s, s) uint8, indices into LabelSets, IGNORE_INDEX where unknown.
        names: of each crop's scene, and where in it the crop lies.
    """

    pixels: Tensor
    valid: Tensor
    targets: Mapping[str, Tensor]
    names: tuple[str, ...]

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """Return the batch on a device."""
        return mapped(self, lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory; a DataLoader asks for it."""
        return mapped(self, lambda tensor: tensor.pin_memory())


class Batches(Dataset[Batch]):
    """One batch for every step: a pure function of the sampler's seed and the step, which makes a run resumable.

    Give it to a DataLoader with ``batch_size=None``.

    Args:
        sampler: draws the crops.
        task: makes the targets of each crop; None: its label maps are the targets.
        steps: how many batches there are; by default as many as any budget in time can use.
        options: of augmentation; None: the usual.
    """

    def __init__(
        self,
        sampler: CropSampler,
        *,
        task: Task | None = None,
        steps: int = ENDLESS,
        options: AugmentOptions | None = None,
    ) -> None:
        self.sampler, self.task, self.steps, self.options = sampler, task, steps, options

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch:
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} of {self.steps}")
        crops = [self._crop(step, index) for index in range(self.sampler.options.batch)]
        targets = [self._targets(crop) for crop in crops]
        return Batch(
            torch.stack([crop.pixels for crop in crops]),
            torch.stack([crop.valid for crop in crops]),
            {name: torch.stack([one[name] for one in targets]) for name in targets[0]},
            tuple(crop.name for crop in crops),
        )

    def _crop(self, step: int, index: int) -> Crop:
        rng = np.random.default_rng((self.sampler.seed, step, index, 0xA06))  # another stream than the sampler's
        return augment(self.sampler.draw(step, index), rng, self.options)

    def _targets(self, crop: Crop) -> Mapping[str, Tensor]:
        """Return the targets of a crop, with every label map that any scene has."""
        size = crop.valid.shape
        labels = {
            name: crop.labels[name] if name in crop.labels else torch.from_numpy(unknown_map(name, size))
            for name in self.sampler.label_maps
        }
        coarse = {name: labels[name] for name in ("coarse",) if name in labels}  # whatever the task: see `CoarseLoss`
        return labels if self.task is None else {**self.task.targets(labels), **coarse}


class BatchLike(Protocol):
    """A frozen dataclass: pixels (N, C, s, s) in raw units, valid (N, s, s), targets by name, names of N crops."""

    @property
    def pixels(self) -> Tensor: ...
    @property
    def valid(self) -> Tensor: ...
    @property
    def targets(self) -> Mapping[str, Tensor]: ...
    @property
    def names(self) -> tuple[str, ...]: ...


class BatchesLike(Protocol):
    """Batches by number: each a function of the number and the run's seed alone, which makes runs resumable."""

    def __len__(self) -> int: ...
    def __getitem__(self, number: int, /) -> BatchLike: ...


B = TypeVar("B", bound=BatchLike)
Loss = Callable[[Tensor, Any], Tensor]
"""(output (N, C, h, w) in the network's precision, batch) -> scalar."""


def part_of(batch: BatchLike, rank: int, world: int) -> BatchLike:
    """Return the part of a batch that process ``rank`` of ``world`` works on: every world-th crop.

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
    share = slice(rank, None, world)
    made: BatchLike = replace(mapped(batch, lambda tensor: tensor[share]), names=batch.names[share])  # type: ignore[type-var]
    return made


def moved(batch: BatchLike, device: torch.device) -> BatchLike:
    """Return the batch with its tensors on a device."""
    return batch if batch.pixels.device == device else mapped(batch, lambda tensor: tensor.to(device))


def mapped(batch: B, change: Callable[[Tensor], Tensor]) -> B:
    """Return the batch with each of its tensors changed, those by name among them."""
    changes: dict[str, Any] = {}
    for field in fields(batch):  # type: ignore[arg-type]
        value = getattr(batch, field.name)
        if isinstance(value, Tensor):
            changes[field.name] = change(value)
        elif isinstance(value, Mapping):
            changes[field.name] = {name: change(tensor) for name, tensor in value.items()}
    return replace(batch, **changes)  # type: ignore[type-var]


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
