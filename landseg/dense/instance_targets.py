"""The targets of instances, made of the label maps of a crop."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

UNKNOWN = 255
"""The value of a target where nothing is known."""


def instance_targets(labels: Mapping[str, Tensor], *, border: float, near: float) -> dict[str, Tensor]:
    """Return the targets (s, s) uint8 of one crop: "class", "interior", "boundary" and "near".

    "boundary" is 1 within ``border`` pixels of another number of the map "instance", 0 counted as one, and unknown
    where another number may lie outside the crop or is not known. "near" is 1 where two things are within ``near``
    pixels of a pixel that belongs to at most one of them.

    Args:
        labels: "class", "instance" and "interior", see `landseg.dense.label_maps`.
        border, near: in pixels of the crop.
    """
    ids = labels["instance"]
    known = ids >= 0
    numbers = torch.unique(ids, return_inverse=True)[1].float()  # exact, and small
    low, high = _smallest_and_largest(numbers, numbers, border)
    differs = low != high
    doubtful = _within(~known, border) | _rim(ids, border)
    boundary = torch.where(differs & known, 1, torch.where(doubtful, UNKNOWN, 0)).to(torch.uint8)
    things = ids > 0
    least = torch.where(things, numbers, math.inf)
    most = torch.where(things, numbers, -math.inf)
    low, high = _smallest_and_largest(least, most, near)
    close = (low < high) & (high > -math.inf)
    return {
        "class": labels["class"],
        "interior": labels["interior"],
        "boundary": boundary,
        "near": close.to(torch.uint8),
    }


def _smallest_and_largest(low: Tensor, high: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    """Return the smallest of one map and the largest of another within a reach in pixels of each pixel."""
    return -_largest(-low, reach), _largest(high, reach)


def _largest(values: Tensor, reach: float) -> Tensor:
    """Return the largest value (h, w) in the disc of a radius around each pixel; nothing lies outside the map."""
    radius = int(reach)
    found = values
    for row in range(-radius, radius + 1):
        half = int(math.sqrt(max(0.0, reach * reach - row * row)))
        wide = F.max_pool2d(values[None, None], (1, 2 * half + 1), 1, (0, half))[0, 0]
        moved = torch.full_like(wide, -math.inf)
        if row >= 0:
            moved[row:] = wide[: len(wide) - row]
        else:
            moved[:row] = wide[-row:]
        found = torch.maximum(found, moved)
    return found


def _within(where: Tensor, reach: float) -> Tensor:
    return _largest(where.float(), reach) > 0


def _rim(map_: Tensor, reach: float) -> Tensor:
    """Return where a disc reaches beyond the map."""
    radius = int(reach)
    inside = torch.zeros(map_.shape, dtype=torch.bool)
    inside[radius : map_.shape[0] - radius, radius : map_.shape[1] - radius] = True
    return ~inside
