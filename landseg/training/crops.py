"""Crops of a scene at any magnification: the pixels that predict sees, and labels that stay where they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landseg.dense.label_maps import AVERAGED, DTYPES, UNKNOWN
from landseg.geo.grid import Rect, scaled_size
from landseg.geo.resample import Taps, axis_taps, box_taps, resample
from landseg.labels.regrid import resample_labels
from landseg.scenes.scene import Scene

_Read = tuple[NDArray[Any], NDArray[np.bool_], dict[str, NDArray[Any]]]
"""Pixels (C, h, w), validity (h, w) and label maps (h, w) by name."""


@dataclass(frozen=True)
class Crop:
    """A training example: ``pixels`` (C, s, s) in raw units, ``valid`` (s, s) bool and the ``labels`` of each pixel.

    ``labels`` are maps (s, s) by name, see `landseg.dense.label_maps`; ``name`` says which part of which scene the
    crop is.
    """

    pixels: Tensor
    valid: Tensor
    labels: Mapping[str, Tensor]
    name: str = ""


def read_crop(scene: Scene, rect: Rect, *, factor: float = 1.0) -> Crop:
    """Return a crop of the scene as it looks with pixels ``factor`` times as large.

    Imagery is resampled as predict resamples it, to the bit: see `Source.at_scale`. A pixel of a label map takes
    the label that covers most of it, "unknown" being one; of a map of quantities it takes their mean. What lies
    outside the scene is invalid and unknown. Only the scene's pixels that this takes are read.

    Args:
        scene: to read from.
        rect: in pixels ``factor`` times as large as the scene's; may reach beyond it.
        factor: 1 / magnification.
    """
    height, width = (scaled_size(size, factor) for size in scene.shape)
    shown = rect.intersection(Rect(0, 0, height, width))
    name = f"{scene.name} at {_whereabouts(rect, factor)}"
    if shown is None:
        maps = {one: np.zeros((0, 0), DTYPES[one]) for one in scene.label_maps}
        empty = np.zeros((scene.channels, 0, 0), np.float32), np.zeros((0, 0), np.bool_), maps
        return _padded(empty, Rect(rect.top, rect.left, 0, 0), rect, name)
    return _padded(_read(scene, shown) if factor == 1 else _scaled(scene, shown, factor), shown, rect, name)


def _read(scene: Scene, rect: Rect) -> _Read:
    pixels, valid, target = scene.read(rect)
    labels: dict[str, NDArray[Any]] = {"class": target}
    for name in scene.label_maps[1:]:
        labels[name] = np.where(valid, scene.read_map(name, rect), DTYPES[name](UNKNOWN[name]))
    return pixels, valid, labels


def _whereabouts(rect: Rect, factor: float) -> str:
    """Return a rectangle in the scene's own pixels, as a text."""
    top, left, bottom, right = (round(v * factor) for v in (rect.top, rect.left, rect.bottom, rect.right))
    return f"rows {top} to {bottom - 1}, columns {left} to {right - 1}"


def _scaled(scene: Scene, rect: Rect, factor: float) -> _Read:
    spans = ((rect.top, rect.bottom), (rect.left, rect.right))
    rows, columns = (axis_taps(*span, factor=factor, size=n) for span, n in zip(spans, scene.shape, strict=True))
    needed = Rect(rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)
    pixels, valid, labels = _read(scene, needed)
    boxes = [
        _inside(box_taps(*span, factor=factor, size=n), taps)
        for span, n, taps in zip(spans, scene.shape, (rows, columns), strict=True)
    ]
    means = {name: _mean(part, rows, columns, UNKNOWN[name]) for name, part in labels.items() if name in AVERAGED}
    pixels, valid = resample(pixels, valid, rows=rows, columns=columns)
    commonest = {
        name: _commonest(part, valid, boxes, UNKNOWN[name]) for name, part in labels.items() if name not in means
    }
    means = {name: np.where(valid, part, part.dtype.type(UNKNOWN[name])) for name, part in means.items()}
    return pixels, valid, commonest | means


def _mean(quantity: NDArray[Any], rows: Taps, columns: Taps, unknown: int) -> NDArray[Any]:
    """Return the mean of the known pixels that each pixel covers; unknown where less than half of them are known."""
    found, known = resample(quantity[None], quantity != unknown, rows=rows, columns=columns)
    mean: NDArray[Any] = np.where(known, found[0], quantity.dtype.type(unknown))
    return mean


def _commonest(labels: NDArray[Any], valid: NDArray[np.bool_], boxes: list[Taps], unknown: int) -> NDArray[Any]:
    found = resample_labels(labels, rows=boxes[0], columns=boxes[1], void=unknown)
    found[~valid] = unknown
    return found


def _inside(boxes: Taps, taps: Taps) -> Taps:
    """Return boxes by the pixels that were read for other taps; only boxes without weight reach beyond them."""
    index = np.clip(boxes.index + (boxes.start - taps.start), 0, taps.stop - taps.start - 1)
    return Taps(taps.start, taps.stop, index, boxes.weight)


def _padded(read: _Read, shown: Rect, rect: Rect, name: str) -> Crop:
    pixels, valid, labels = read
    if pixels.dtype not in (np.uint8, np.int16, np.float32):
        pixels = pixels.astype(np.float32)  # what torch does not know, and what no loss needs
    maps = {one: _placed(part, shown, rect, UNKNOWN[one]) for one, part in labels.items()}
    return Crop(_placed(pixels, shown, rect, 0), _placed(valid, shown, rect, 0), maps, name)


def _placed(part: NDArray[Any], shown: Rect, rect: Rect, fill: int) -> Tensor:
    """Return an array at ``shown`` as a tensor of ``rect``, in its own memory: no crop may change its scene."""
    if shown == rect:
        return torch.from_numpy(part.copy())
    whole = np.full((*part.shape[:-2], *rect.shape), fill, part.dtype)
    whole[(..., *shown.relative_to(rect).slices)] = part
    return torch.from_numpy(whole)
