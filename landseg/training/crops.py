"""Crops of a scene at any magnification: the pixels that predict sees, and labels that stay where they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landseg.classes import IGNORE_INDEX
from landseg.geo.grid import Rect, scaled_size
from landseg.geo.majority import resample_labels
from landseg.geo.resample import Taps, axis_taps, box_taps, resample
from landseg.training.scene import Example, Scene


@dataclass(frozen=True)
class Crop:
    """A training example: ``pixels`` (C, s, s) in raw units, ``valid`` (s, s) bool and ``target`` (s, s) uint8.

    ``name`` says which part of which scene it is.
    """

    pixels: Tensor
    valid: Tensor
    target: Tensor
    name: str = ""


def read_crop(scene: Scene, rect: Rect, *, factor: float = 1.0) -> Crop:
    """Return a crop of the scene as it looks with pixels ``factor`` times as large.

    Imagery is resampled as predict resamples it, to the bit: see `Source.at_scale`. A target pixel takes the label
    that covers most of it, "unknown" being one. What lies outside the scene is invalid and unknown. Only the scene's
    pixels that this takes are read.

    Args:
        scene: to read from.
        rect: in pixels ``factor`` times as large as the scene's; may reach beyond it.
        factor: 1 / magnification.
    """
    height, width = (scaled_size(size, factor) for size in scene.shape)
    shown = rect.intersection(Rect(0, 0, height, width))
    name = f"{scene.name} at {_whereabouts(rect, factor)}"
    if shown is None:
        empty = np.zeros((scene.channels, 0, 0), np.float32), np.zeros((0, 0), np.bool_), np.zeros((0, 0), np.uint8)
        return _padded(empty, Rect(rect.top, rect.left, 0, 0), rect, name)
    example = scene.read(shown) if factor == 1 else _scaled(scene, shown, factor)
    return _padded(example, shown, rect, name)


def _whereabouts(rect: Rect, factor: float) -> str:
    """A rectangle in the scene's own pixels, for people."""
    top, left, bottom, right = (round(v * factor) for v in (rect.top, rect.left, rect.bottom, rect.right))
    return f"rows {top} to {bottom - 1}, columns {left} to {right - 1}"


def _scaled(scene: Scene, rect: Rect, factor: float) -> Example:
    spans = ((rect.top, rect.bottom), (rect.left, rect.right))
    rows, columns = (axis_taps(*span, factor=factor, size=n) for span, n in zip(spans, scene.shape, strict=True))
    needed = Rect(rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)
    pixels, valid, target = scene.read(needed)
    boxes = [
        _inside(box_taps(*span, factor=factor, size=n), taps)
        for span, n, taps in zip(spans, scene.shape, (rows, columns), strict=True)
    ]
    labels = resample_labels(target, rows=boxes[0], columns=boxes[1], void=IGNORE_INDEX)
    pixels, valid = resample(pixels, valid, rows=rows, columns=columns)
    labels[~valid] = IGNORE_INDEX
    return pixels, valid, labels


def _inside(boxes: Taps, taps: Taps) -> Taps:
    """Boxes in terms of the pixels that were read for other taps; only those without weight reach beyond them."""
    index = np.clip(boxes.index + (boxes.start - taps.start), 0, taps.stop - taps.start - 1)
    return Taps(taps.start, taps.stop, index, boxes.weight)


def _padded(example: Example, shown: Rect, rect: Rect, name: str) -> Crop:
    pixels, valid, target = example
    if pixels.dtype not in (np.uint8, np.int16, np.float32):
        pixels = pixels.astype(np.float32)  # what torch does not know, and what no loss needs
    if shown == rect:
        return Crop(_tensor(pixels), _tensor(valid), _tensor(target), name)
    here = (..., *shown.relative_to(rect).slices)
    whole = (
        np.zeros((pixels.shape[0], *rect.shape), pixels.dtype),
        np.zeros(rect.shape, np.bool_),
        np.full(rect.shape, IGNORE_INDEX, np.uint8),
    )
    for out, part in zip(whole, example, strict=True):
        out[here] = part
    return Crop(torch.from_numpy(whole[0]), torch.from_numpy(whole[1]), torch.from_numpy(whole[2]), name)


def _tensor(array: NDArray[np.generic]) -> Tensor:
    """A tensor of its own memory: the scene's must not change with the crop."""
    return torch.from_numpy(array.copy())
