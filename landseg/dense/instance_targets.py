"""The targets of instances, made of the label maps of a crop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landseg.dense.label_maps import OUTSIDE

UNKNOWN = 255
"""The value of a target where nothing is known."""
_MOST = np.iinfo(np.int32).max
Ids = NDArray[np.int32]


def instance_targets(labels: Mapping[str, Tensor], *, border: float, near: float) -> dict[str, Tensor]:
    """Return the targets (s, s) uint8 of one crop: "class", "interior", "boundary" and "near".

    "boundary" is 1 where a pixel with another number of the map "instance", 0 among them, lies within ``border``
    pixels, from centre to centre, and else 0; it is unknown where the number is, and where no such pixel is seen but
    may lie outside the crop or where numbers are unknown. To an object `OUTSIDE` is another number. "near" is 1
    where two things lie within ``near`` pixels; one of them may be the pixel's own.

    Args:
        labels: "class", "instance" and "interior", see `landseg.dense.label_maps`.
        border, near: in pixels of the crop.
    """
    ids: Ids = labels["instance"].numpy().astype(np.int32, copy=False)
    known = ids >= 0
    boundary = _several(ids, known, border).astype(np.uint8)
    outside = ids == OUTSIDE
    if outside.any():
        boundary[(ids > 0) & _largest(outside, border)] = 1
    boundary[(boundary == 0) & _is_beyond(known, border)] = UNKNOWN
    boundary[~known] = UNKNOWN
    return {
        "class": labels["class"],
        "interior": labels["interior"],
        "boundary": torch.from_numpy(boundary),
        "near": torch.from_numpy(_several(ids, ids > 0, near).astype(np.uint8)),
    }


def _several(ids: Ids, counted: NDArray[np.bool_], reach: float) -> NDArray[np.bool_]:
    """Return where counted pixels within a reach have more than one number."""
    low = -_largest(np.where(counted, -ids, -_MOST), reach)
    high = _largest(np.where(counted, ids, -_MOST), reach)
    several: NDArray[np.bool_] = low < high
    return several


def _is_beyond(known: NDArray[np.bool_], reach: float) -> NDArray[np.bool_]:
    """Return where the disc of a reach holds unknown pixels or leaves the map."""
    height, width = known.shape
    radius = int(reach)
    beyond = np.ones(known.shape, np.bool_)
    beyond[radius : max(radius, height - radius), radius : max(radius, width - radius)] = False
    return beyond if known.all() else beyond | _largest(~known, reach)


def _largest(values: NDArray[Any], reach: float) -> NDArray[Any]:
    """Return the largest value (h, w) within a distance of each pixel, from centre to centre, inside the map.

    Rows of the disc, from the outermost to the middle one, are ever longer: each is made of the one before it.
    """
    radius = int(reach)
    wide, half = values, 0
    found = values.copy()
    for row in range(radius, -1, -1):
        wanted = int(math.sqrt(max(0.0, reach * reach - row * row)))
        while half < wanted:
            half += 1
            wide = wide.copy() if half == 1 else wide
            _raise(wide.T, values.T, half)
        _raise(found, wide, row)
    return found


def _raise(values: NDArray[Any], by: NDArray[Any], step: int) -> None:
    """Raise each row to the largest of itself and the rows of another array ``step`` before and after it."""
    rest = max(0, len(values) - step)
    np.maximum(values[step:], by[:rest], out=values[step:])
    np.maximum(values[:rest], by[step:], out=values[:rest])
