"""Labelled scenes, and crops drawn from anywhere in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from landseg.classes import IGNORE_INDEX
from landseg.errors import TrainingError
from landseg.geo.grid import Rect


@dataclass(frozen=True)
class Scene:
    """One raster with its targets in memory.

    Attributes:
        name: for messages and splits.
        pixels: (C, H, W), the raster's own dtype.
        valid: (H, W), False where there is no data.
        target: (H, W) uint8 indices into the run's LabelSets; IGNORE_INDEX where unknown or without data.
        weight: how much oftener than its area says crops are drawn here.
        zoom: the range of magnification that crops are drawn with; 2 shows half as much ground.
    """

    name: str
    pixels: NDArray[np.generic]
    valid: NDArray[np.bool_]
    target: NDArray[np.uint8]
    weight: float = 1.0
    zoom: tuple[float, float] = (1.0, 1.0)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.target.shape[0], self.target.shape[1]


@dataclass(frozen=True)
class Crop:
    """A training example: ``pixels`` (C, s, s) float32 in raw units, ``valid`` and ``target`` (s, s)."""

    pixels: Tensor
    valid: Tensor
    target: Tensor


class CropSampler:
    """Draws crops of one size: half of them anywhere, half around a pixel of a class drawn evenly.

    The even half keeps rare classes in sight; labels from ``classes`` on ("not building") are common and are left to
    the other half. Positions are not tied to a grid.

    Raises:
        TrainingError: when no scene has a labelled pixel.
    """

    def __init__(self, scenes: Sequence[Scene], *, size: int, seed: int, classes: int = IGNORE_INDEX) -> None:
        self.scenes = [s for s in scenes if (s.target != IGNORE_INDEX).any()]
        if not self.scenes:
            raise TrainingError(f"none of the {len(scenes)} scenes has a labelled pixel; check the labels")
        self.size = size
        self._rng = np.random.default_rng(seed)
        areas = np.array([s.weight * s.target.size for s in self.scenes], dtype=np.float64)
        self._by_area = areas / areas.sum()
        self._spots = self._class_spots(classes)

    def draw(self) -> Crop:
        """Return the next crop."""
        if not self._spots or self._rng.random() < 0.5:
            index = int(self._rng.choice(len(self.scenes), p=self._by_area))
            height, width = self.scenes[index].shape
            y, x = int(self._rng.integers(height)), int(self._rng.integers(width))
        else:
            spots = self._spots[int(self._rng.integers(len(self._spots)))]
            index, y, x = (int(v) for v in spots[self._rng.integers(len(spots))])
        scene = self.scenes[index]
        low, high = scene.zoom
        zoom = float(np.exp(self._rng.uniform(np.log(low), np.log(high))))
        side = max(8, round(self.size / zoom))
        jitter = self._rng.uniform(0.2, 0.8, size=2)
        top = _start(y, side, scene.shape[0], jitter[0])
        rect = Rect(top, _start(x, side, scene.shape[1], jitter[1]), side, side)
        return read_crop(scene, rect, self.size)

    def _class_spots(self, classes: int) -> list[NDArray[np.int64]]:
        """For every class, (n, 3) rows of (scene, y, x) spread over the scenes by weight."""
        found: dict[int, list[NDArray[np.int64]]] = {}
        for index, scene in enumerate(self.scenes):
            labels, counts = np.unique(scene.target, return_counts=True)
            for label, count in zip(labels.tolist(), counts.tolist(), strict=True):
                if label >= classes:
                    continue
                # As many spots as the label has thousands of pixels here keeps scenes in proportion.
                take = max(1, round(scene.weight * count / 1000))
                flat = np.flatnonzero(scene.target == label)
                flat = self._rng.choice(flat, size=take)
                y, x = np.divmod(flat, scene.shape[1])
                found.setdefault(label, []).append(np.stack([np.full_like(y, index), y, x], axis=1))
        return [np.concatenate(rows) for rows in found.values()]


def _start(centre: int, side: int, length: int, at: float) -> int:
    """The first pixel of a crop with ``centre`` at the fraction ``at``, inside the scene where it fits."""
    if side >= length:
        return -((side - length) // 2)
    return int(np.clip(centre - round(at * side), 0, length - side))


def read_crop(scene: Scene, rect: Rect, size: int) -> Crop:
    """Return the scene under ``rect``, resized to ``size`` x ``size``; outside it is invalid and ignored.

    Imagery is resampled bilinearly (averaging when shrunk); a target pixel takes the commonest label of
    the ground under it, never a biased nearest one.
    """
    pixels = np.zeros((scene.pixels.shape[0], rect.height, rect.width), dtype=np.float32)
    target = np.full((rect.height, rect.width), IGNORE_INDEX, dtype=np.uint8)
    valid = np.zeros((rect.height, rect.width), dtype=bool)
    shown = rect.intersection(Rect(0, 0, *scene.shape))
    if shown is not None:
        there, here = shown.slices, shown.relative_to(rect).slices
        pixels[(slice(None), *here)] = scene.pixels[(slice(None), *there)]
        target[here] = scene.target[there]
        valid[here] = scene.valid[there]
    image, known, labels = torch.from_numpy(pixels), torch.from_numpy(valid), torch.from_numpy(target)
    if rect.height == size and rect.width == size:
        return Crop(image, known, labels)
    image = F.interpolate(image[None], (size, size), mode="bilinear", align_corners=False, antialias=True)[0]
    known = F.interpolate(known[None, None].float(), (size, size), mode="area")[0, 0] == 1
    return Crop(image, known, _resize_labels(labels, size))


def _resize_labels(labels: Tensor, size: int) -> Tensor:
    if labels.shape[-1] <= size:
        resized = F.interpolate(labels[None, None].float(), (size, size), mode="nearest-exact")
        return resized[0, 0].to(torch.uint8)
    kinds = torch.from_numpy(np.unique(labels.numpy()))
    each = torch.stack([(labels == kind).float() for kind in kinds])
    shares = F.interpolate(each[None], (size, size), mode="area")[0]
    commonest: Tensor = kinds[shares.argmax(dim=0)]
    return commonest
