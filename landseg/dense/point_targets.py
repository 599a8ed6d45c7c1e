"""The targets and the loss of points: peaks at the centres of things, and where in its unit each centre lies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from landseg.dense.task import Loss

ALPHA, BETA = 2, 4
"""The exponents of the penalty-reduced focal loss, as in Objects as Points."""
OFFSET_WEIGHT, SIZE_WEIGHT = 1.0, 0.1
REACH = 3.0  # of a peak, in its sigmas
Floats = NDArray[np.float32]


def point_targets(
    labels: Mapping[str, Tensor], things: Sequence[int], *, stride: int, sigma: float, sizes: bool
) -> dict[str, Tensor]:
    """Return the targets of one crop on the units of the maps, nan where nothing is known.

    "centre" (K, n, n) has a Gaussian peak of height 1 at the unit nearest to the centre of each thing of each class,
    the larger value where peaks overlap. A centre is the mean of a thing's pixels, or their deepest one where the
    mean lies outside. "offset" (2, n, n) holds, at these units alone, how many units further down and right the
    centre lies; "size" (2, n, n) the height and width of the thing, in units. A thing that the crop cuts has no known
    centre.

    Args:
        labels: "class" and "instance", see `landseg.dense.label_maps`.
        things: indices of the classes of points.
        stride: pixels between two units; unit f sits at pixel stride * f.
        sigma: of the peaks, in pixels.
        sizes: make "size" as well.
    """
    ids, classes = labels["instance"].numpy(), labels["class"].numpy()
    count = -(-len(ids) // stride)
    centre = np.zeros((len(things), count, count), np.float32)
    further = np.full((2, 2, count, count), np.nan, np.float32)  # offset, size
    sampled = ids[::stride, ::stride]
    centre[:, sampled < 0] = np.nan
    cut = set(np.concatenate([ids[0], ids[-1], ids[:, 0], ids[:, -1]]).tolist())
    for number, (row, column), box, kind in _things(ids, classes, things):
        if number in cut:
            centre[:, sampled == number] = np.nan
            continue
        place = np.array([row, column]) / stride
        unit = np.rint(place).astype(int)
        _raise(centre[kind], unit, sigma / stride)
        further[0, :, unit[0], unit[1]] = place - unit
        further[1, :, unit[0], unit[1]] = np.array(box) / stride
    made = {"centre": torch.from_numpy(centre), "offset": torch.from_numpy(further[0])}
    return made | ({"size": torch.from_numpy(further[1])} if sizes else {})


def centres_of(ids: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Return the numbers (n,) in a map (h, w), the mean row and column (n, 2) of each, and its pixels (n,)."""
    rows, columns = np.nonzero(ids > 0)
    numbers, which = np.unique(ids[rows, columns], return_inverse=True)
    pixels = np.bincount(which, minlength=len(numbers))
    sums = [np.bincount(which, places, len(numbers)) for places in (rows, columns)]
    return numbers.astype(np.int64), np.stack(sums, axis=1) / np.maximum(pixels, 1)[:, None], pixels


def _things(
    ids: NDArray[np.int32], classes: NDArray[np.uint8], things: Sequence[int]
) -> list[tuple[int, tuple[float, float], tuple[int, int], int]]:
    """Return number, centre, height and width, and the place of its class among ``things``, of each thing."""
    numbers, centres, _ = centres_of(ids)
    found = []
    for number, place in zip(numbers.tolist(), centres.tolist(), strict=True):
        rows, columns = np.nonzero(ids == number)
        kinds = np.bincount(classes[rows, columns], minlength=256)[list(things)]
        if kinds.any():
            box = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
            inside = ids[round(place[0]), round(place[1])] == number
            centre = (place[0], place[1]) if inside else deepest(rows, columns)
            found.append((number, centre, box, int(kinds.argmax())))
    return found


def deepest(rows: NDArray[np.int64], columns: NDArray[np.int64]) -> tuple[float, float]:
    """Return row and column of the pixel of a thing that lies deepest inside it, the first of equal ones.

    That is its pole of inaccessibility, on pixels: the centre of a crescent, whose mean lies outside it.

    Args:
        rows, columns: of its pixels, at least one.

    >>> deepest(np.array([4, 5, 5, 5, 6]), np.array([1, 0, 1, 2, 1]))
    (5.0, 1.0)
    """
    from scipy.ndimage import distance_transform_edt

    top, left = rows.min() - 1, columns.min() - 1
    mask = np.zeros((np.ptp(rows) + 3, np.ptp(columns) + 3), bool)
    mask[rows - top, columns - left] = True
    row, column = divmod(int(distance_transform_edt(mask).argmax()), mask.shape[1])
    return float(row + top), float(column + left)


def _raise(peaks: Floats, unit: NDArray[np.int64], sigma: float) -> None:
    """Raise a map (h, w) to a peak at a unit; what is not known stays so."""
    reach = max(1, math.ceil(REACH * sigma))
    top, left = np.maximum(unit - reach, 0)
    part = peaks[top : unit[0] + reach + 1, left : unit[1] + reach + 1]
    down, across = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
    peak = np.exp(-((down - unit[0]) ** 2 + (across - unit[1]) ** 2) / (2 * sigma**2)).astype(np.float32)
    np.maximum(part, peak, out=part, where=~np.isnan(part))


def point_loss(*, stride: int) -> Loss:
    """Return the loss of a packed output (N, C f^2, H / 32, W / 32) and targets by name, see `point_targets`.

    The penalty-reduced focal loss over centres and the absolute differences of offsets and sizes at their units, each
    over the number of centres in the batch. It is computed in float32.
    """
    factor = 32 // stride

    def loss(output: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        centre = targets["centre"]
        maps = F.pixel_shuffle(output.float(), factor)[..., : centre.shape[-2], : centre.shape[-1]]
        count = centre.shape[1]
        total = focal_loss(maps[:, :count], centre)
        number = (centre == 1).sum().clamp(min=1)
        start = count
        for name, weight in (("offset", OFFSET_WEIGHT), ("size", SIZE_WEIGHT)):
            if name in targets:
                truth = targets[name]
                wrong = (maps[:, start : start + 2] - truth).abs()
                total = total + weight * torch.where(truth.isnan(), 0.0, wrong).sum() / (2 * number)
                start += 2
        return total

    return loss


def focal_loss(logits: Tensor, centre: Tensor) -> Tensor:
    """Return the penalty-reduced focal loss of logits and peaks (N, K, h, w), over the number of centres."""
    known = ~centre.isnan()
    truth = torch.where(known, centre, 0.0)
    share = logits.sigmoid()
    found = -((1 - share) ** ALPHA) * F.logsigmoid(logits)
    wrong = -((1 - truth) ** BETA) * share**ALPHA * F.logsigmoid(-logits)
    each = torch.where(truth == 1, found, wrong)
    return torch.where(known, each, 0.0).sum() / (truth == 1).sum().clamp(min=1)
