"""Labelled pixels with their features for a pixel forest: drawn over all scenes, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from landseg.classes import IGNORE_INDEX
from landseg.dense.losses import LabelSets
from landseg.errors import TrainingError
from landseg.geo.grid import Rect, scaled_size
from landseg.geo.pieces import CELL
from landseg.scenes.label_counts import LabelCounts
from landseg.scenes.scene import Scene
from landseg.training.batches import Scaling
from landseg.training.crops import read_crop
from landseg.training.sampler import base_zoom

_MOST_CELLS = 512  # of CELL x CELL pixels that are read: some seconds, however large the rasters are
_STREAM = 0xF0


@dataclass(frozen=True)
class Pixels:
    """Labelled pixels.

    Attributes:
        features: (n, F) float32.
        target: (n,) class indices.
        labelled: (K,) pixels of each class that there were to draw from.
    """

    features: NDArray[np.float32]
    target: NDArray[np.uint8]
    labelled: NDArray[np.int64]


@dataclass(frozen=True)
class PixelData:
    """The scenes that pixels are drawn from.

    Attributes:
        scenes: to learn from.
        counts: of the labels of each scene.
        sets: what target values mean; those that admit several classes are left out.
        scaling: of the raw pixels.
        resolution_m: what scenes are brought to; None: their own.
    """

    scenes: Sequence[Scene]
    counts: Sequence[LabelCounts]
    sets: LabelSets
    scaling: Scaling
    resolution_m: float | None = None

    def classes_of_targets(self) -> NDArray[np.uint8]:
        """Return the class index of each target value (256,); IGNORE_INDEX where it has several or none."""
        table = np.full(256, IGNORE_INDEX, np.uint8)
        for target, allowed in enumerate(self.sets.allowed):
            if int(allowed.sum()) == 1:
                table[target] = int(allowed.nonzero())
        return table


def draw_pixels(data: PixelData, features: nn.Module, *, most: int, seed: int = 0) -> Pixels:
    """Return up to ``most`` labelled pixels, as many of each class as there are; the same for a seed.

    Args:
        data: the scenes.
        features: (1, C, h, w) scaled pixels to (1, F, h, w), with ``reach`` pixels of context on each side.
        most: pixels, over all classes.
        seed: of what is drawn.

    Raises:
        TrainingError: no pixel has a label of one class.
        RasterError: a scene cannot be read.
    """
    table = data.classes_of_targets()
    labelled = np.zeros(data.sets.classes, np.int64)
    for one in data.counts:
        for value in np.flatnonzero(table != IGNORE_INDEX):
            labelled[table[value]] += one.counts[value]
    if not labelled.any():
        raise TrainingError("no pixel has a label that names one class: a pixel forest learns from such labels alone")
    drawn = [_Drawn(quota) for quota in evenly(labelled, most)]
    for number, row, column in _cells(data, table, seed):
        rng = np.random.default_rng((seed, number, row, column, _STREAM))
        cell = Rect(row * CELL, column * CELL, CELL, CELL)
        found, target = _read(data, number, cell, features)
        target = table[target]
        for index, sample in enumerate(drawn):
            sample.add(found, np.flatnonzero(target == index), rng)
    parts = [sample.rows() for sample in drawn]
    classes = np.repeat(np.arange(len(parts), dtype=np.uint8), [len(part) for part in parts])
    if not classes.size:
        raise TrainingError("no labelled pixel is left at the resolution asked for; check it and the labels")
    return Pixels(np.concatenate([part for part in parts if len(part)]), classes, labelled)


def evenly(labelled: NDArray[np.int64], most: int) -> list[int]:
    """Return how many pixels of each class are drawn: equally many, and all of those with fewer.

    >>> evenly(np.array([10, 0, 1000, 500]), 210)
    [10, 0, 100, 100]
    """
    quota = np.zeros_like(labelled)
    left, order = most, np.argsort(labelled, kind="stable")
    for place, index in enumerate(order):
        quota[index] = min(labelled[index], left // (len(order) - place))
        left -= quota[index]
    return [int(number) for number in quota]


class _Drawn:
    """Pixels of one class, drawn evenly from all that come: those with the smallest of random keys stay."""

    def __init__(self, quota: int) -> None:
        self.quota = quota
        self._keys: NDArray[np.float64] = np.zeros(0)
        self._rows: list[NDArray[np.float32]] = []

    def add(self, features: Tensor, where: NDArray[np.int64], rng: np.random.Generator) -> None:
        """Offer the pixels at ``where`` of features (F, n)."""
        keys = rng.random(len(where))
        if len(self._keys) >= self.quota:
            keys, where = keys[keep := keys < self._keys.max(initial=0)], where[keep]
        if not len(where):
            return
        self._rows.append(features[:, torch.from_numpy(where)].t().numpy())
        self._keys = np.concatenate([self._keys, keys])
        if len(self._keys) > 2 * self.quota:
            self._trim()

    def rows(self) -> NDArray[np.float32]:
        """Return the features (n, F) of the pixels that stayed."""
        self._trim()
        return self._rows[0] if self._rows else np.zeros((0, 0), np.float32)

    def _trim(self) -> None:
        if self._rows:
            stay = np.sort(np.argsort(self._keys, kind="stable")[: self.quota])
            self._rows, self._keys = [np.concatenate(self._rows)[stay]], self._keys[stay]


def _cells(data: PixelData, table: NDArray[np.uint8], seed: int) -> list[tuple[int, int, int]]:
    """Return scene, row and column of the cells to read: all with labels, or, of many, a share for each class."""
    every = [(n, int(y), int(x)) for n, one in enumerate(data.counts) for y, x in one.cells]
    if len(every) <= _MOST_CELLS:
        return every
    rng, chosen = np.random.default_rng((seed, _STREAM)), set[tuple[int, int, int]]()
    for index in range(data.sets.classes):
        cells = sorted({
            (n, int(y), int(x))
            for n, one in enumerate(data.counts)
            for target, spots in one.spots.items() if table[target] == index
            for y, x in spots // CELL
        })  # fmt: skip
        share = min(len(cells), _MOST_CELLS // data.sets.classes)
        if cells:
            chosen.update(cells[i] for i in rng.choice(len(cells), share, replace=False))
    return sorted(chosen)


def _read(data: PixelData, number: int, cell: Rect, features: nn.Module) -> tuple[Tensor, NDArray[np.uint8]]:
    """Return the features (F, n) and targets (n,) of a cell of a scene, as a network sees it in the whole raster."""
    scene = data.scenes[number]
    factor = 1 / (base_zoom(scene, data.resolution_m) * math.sqrt(scene.zoom[0] * scene.zoom[1]))
    whole = Rect(0, 0, *(scaled_size(length, factor) for length in scene.shape))
    edges = [round(edge / factor) for edge in (cell.top, cell.left, cell.bottom, cell.right)]
    inner = Rect(edges[0], edges[1], edges[2] - edges[0], edges[3] - edges[1]).intersection(whole)
    if inner is None:  # less than a pixel
        return torch.zeros(0, 0), np.zeros(0, np.uint8)
    reach = int(features.reach)  # type: ignore[arg-type]
    around = Rect(inner.top - reach, inner.left - reach, inner.height + 2 * reach, inner.width + 2 * reach)
    seen = around.intersection(whole)
    assert seen is not None, "it holds the cell"
    crop = read_crop(scene, seen, factor=factor)
    with torch.no_grad():
        scaled = data.scaling.apply(crop.pixels[None].float(), crop.valid[None])
        rows, columns = inner.relative_to(seen).slices
        found = features(scaled)[0][:, rows, columns].flatten(1)
    target = torch.where(crop.valid, crop.labels["class"], IGNORE_INDEX)[rows, columns]
    return found, target.flatten().numpy()
