"""Batches of crops by the number of the step: the same whoever asks, in whatever order, before or after a restart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from landseg.classes import IGNORE_INDEX
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
