"""Grouping: the things of class maps and energies, each with its class and its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.dense.flood import flood
from landseg.dense.small_things import Borders, join_small
from landseg.labels.id_rasters import NODATA


@dataclass(frozen=True)
class Maps:
    """The maps of finished pixels from which things are grouped, each (h, w).

    Attributes:
        classes: uint8, indices of classes; IGNORE_INDEX where there is no data.
        energy: uint16, 65535 times the interior.
        probability: uint8, 255 times the probability of the class.
        boundary: uint8, 255 times the probability of a boundary.
    """

    classes: NDArray[np.uint8]
    energy: NDArray[np.uint16]
    probability: NDArray[np.uint8]
    boundary: NDArray[np.uint8]


@dataclass(frozen=True)
class Things:
    """The things of a raster, by their ids less one.

    Attributes:
        kind: uint8 ``(n,)``, the index of each thing's class.
        score: float32 ``(n,)``, 0 to 1.
        pixels: int64 ``(n,)``.
    """

    kind: NDArray[np.uint8]
    score: NDArray[np.float32]
    pixels: NDArray[np.int64]

    @classmethod
    def none(cls) -> Things:
        """Return no things."""
        return cls(np.zeros(0, np.uint8), np.zeros(0, np.float32), np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.kind)


def group(
    maps: Maps,
    things: tuple[int, ...],
    *,
    rise: float,
    least_score: float = 0.0,
    least_pixels: float = 0.0,
    join: bool = False,
) -> tuple[NDArray[np.uint32], Things]:
    """Return the ids (h, w) of a picture in memory, 1 to n in reading order of the summits, and the things.

    Args:
        maps: of the whole picture.
        things: indices of the classes of things.
        rise: see `landseg.dense.flood.flood`.
        least_score: things with a lower score are left out, and their pixels get no id.
        least_pixels: smaller things are left out.
        join: smaller things first become part of a neighbour of their class, see `small_things.join_small`.
    """
    ids = np.zeros(maps.classes.shape, np.uint32)
    kinds, parts = [np.zeros(0, np.uint8)], 0
    for index in things:
        found = flood(maps.energy, maps.classes == index, rise=rise)
        count = int(found.max(initial=0))
        ids = np.where(found, found + np.uint32(parts), ids)
        kinds.append(np.full(count, index, np.uint8))
        parts += count
    kind = np.concatenate(kinds)
    flat = ids.ravel()
    pixels = np.bincount(flat, minlength=parts + 1)[1:]
    score, place = _scores(maps, flat, pixels)
    if join:
        borders = Borders.between(ids).within(kind)
        joined = join_small(pixels.astype(np.float64), place, borders, least=least_pixels)
        kept, number = np.unique(joined, return_inverse=True)
        ids = np.append(0, number + 1)[ids].astype(np.uint32)
        flat, kind = ids.ravel(), kind[kept]
        parts, pixels = len(kept), np.bincount(flat, minlength=len(kept) + 1)[1:]
        score, place = _scores(maps, flat, pixels)
    order = np.argsort(place, kind="stable")
    order = order[(score[order] >= least_score) & (pixels[order] >= least_pixels)]
    table = np.zeros(parts + 1, np.uint32)
    table[order + 1] = np.arange(1, len(order) + 1)
    made = Things(kind[order], score[order].astype(np.float32), pixels[order])
    return table[ids], made


def _scores(maps: Maps, flat: NDArray[np.uint32], pixels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the score of each label from 1 on, and the number of the pixel of its summit."""
    count = len(pixels)
    energy = maps.energy.ravel().astype(np.int64)
    order = np.lexsort((np.arange(flat.size), -energy, flat))
    order = order[flat[order] > 0]
    first = order[np.flatnonzero(np.diff(flat[order], prepend=0))]
    sums = [
        np.bincount(flat, weights=part.ravel(), minlength=count + 1)[1:] for part in (maps.probability, maps.boundary)
    ]
    return scores(sums[0], sums[1], pixels, energy[first]), first


def scores(
    probability: NDArray[Any], boundary: NDArray[Any], pixels: NDArray[Any], summit: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the scores (n,) of things: mean probability, times energy of the summit, times 1 less mean boundary.

    Args:
        probability, boundary: sums over the pixels of each thing, whole numbers of 255ths.
        pixels: their number.
        summit: the energy of each summit, whole numbers of 65535ths.

    >>> scores(np.array([510]), np.array([255]), np.array([2]), np.array([65535])).tolist()
    [0.5]
    """
    inside, border = (sums / np.maximum(pixels, 1) / 255 for sums in (probability, boundary))
    found: NDArray[np.float64] = inside * (summit / 65535) * (1 - border)
    return found


def differing(ids: NDArray[np.uint32], others: NDArray[np.uint32]) -> int:
    """Return the number of things in ``others`` (h, w) that do not have the same pixels in ``ids`` (h, w).

    >>> differing(np.array([[1, 1, 2]], np.uint32), np.array([[5, 5, 9]], np.uint32))
    0
    >>> differing(np.array([[1, 1, 1]], np.uint32), np.array([[5, 5, 9]], np.uint32))
    2
    """
    pairs, shared = np.unique((ids.astype(np.uint64) << 32) | others, return_counts=True)
    first, second = pairs >> np.uint64(32), pairs & np.uint64(NODATA)
    one, other = (np.bincount(part.ravel()) for part in (ids, others))
    whole = (first > 0) & (second > 0) & (one[first] == shared) & (other[second] == shared)
    return int((other[1:] > 0).sum() - whole.sum())
