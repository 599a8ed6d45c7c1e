"""Batches of crops drawn from scenes in memory, by number."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landseg.training.augment import augment
from landseg.training.losses import LabelSets
from landseg.training.options import FitOptions
from landseg.training.scenes import CropSampler, Scene

_ENDLESS = 2**31


@dataclass(frozen=True)
class DrawnBatch:
    """``pixels`` (N, C, s, s) float32 in raw units, ``valid`` and ``target`` (N, s, s), and the crops' names."""

    pixels: Tensor
    valid: Tensor
    target: Tensor
    names: tuple[str, ...]


class DrawnBatches:
    """Augmented crops of a `CropSampler`: batch ``n`` is a function of the options' seed and ``n``.

    Raises:
        TrainingError: when no scene has a labelled pixel.
    """

    def __init__(self, scenes: Sequence[Scene], sets: LabelSets, options: FitOptions) -> None:
        self._sampler = CropSampler(scenes, size=options.crop, seed=options.seed, classes=sets.allowed.shape[1])
        self._options = options

    def __len__(self) -> int:
        options = self._options
        return _ENDLESS if options.steps is None else options.steps * options.accumulate

    def __getitem__(self, number: int) -> DrawnBatch:
        sampler = copy.copy(self._sampler)
        sampler._rng = np.random.default_rng((self._options.seed, number, 0))
        rng = np.random.default_rng((self._options.seed, number, 1))
        crops = [augment(sampler.draw(), rng) for _ in range(self._options.batch)]
        return DrawnBatch(
            torch.stack([crop.pixels for crop in crops]),
            torch.stack([crop.valid for crop in crops]),
            torch.stack([crop.target for crop in crops]),
            tuple(f"{index} of batch {number}" for index in range(len(crops))),
        )
