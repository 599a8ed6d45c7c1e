"""Crops of a scene at any magnification: the pixels that predict sees, and labels that stay where they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landseg.classes import IGNORE_INDEX
from landseg.geo.grid import Rect, scaled_size
from landseg.geo.resample import Taps, axis_taps, box_taps, resample
from landseg.labels.regrid import resample_labels
from landseg.scenes.scene import Scene

_Read = tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.uint8], NDArray[np.uint8] | None]
"""Pixels (C, h, w), validity, target and coarse classes (h, w), these if the scene has any."""


@dataclass(frozen=True)
class Crop:
    """A training example: ``pixels`` (C, s, s) in raw units, ``valid`` (s, s) bool and ``target`` (s, s) uint8.

    ``name`` says which part of which scene it is; ``coarse`` (s, s) uint8 are coarse classes, None where the scene
    has none.
    """

    pixels: Tensor
    valid: Tensor
    target: Tensor
    name: str = ""
    coarse: Tensor | None = None


def read_crop(scene: Scene, rect: Rect, *, factor: float = 1.0) -> Crop:
    """Return a crop of the scene as it looks with pixels ``factor`` times as large.

    Imagery is resampled as predict resamples it, to the bit: see `Source.at_scale`. A target pixel takes the label
    that covers most of it, "unknown" being one, and so does a coarse one. What lies outside the scene is invalid and
    unknown. Only the scene's pixels that this takes are read.

    Args:
        scene: to read from.
        rect: in pixels ``factor`` times as large as the scene's; may reach beyond it.
        factor: 1 / magnification.
    """
    height, width = (scaled_size(size, factor) for size in scene.shape)
    shown = rect.intersection(Rect(0, 0, height, width))
    name = f"{scene.name} at {_whereabouts(rect, factor)}"
    if shown is None:
        none = np.zeros((0, 0), np.uint8)
        coarse = None if scene.coarse_side is None else none
        empty = np.zeros((scene.channels, 0, 0), np.float32), np.zeros((0, 0), np.bool_), none, coarse
        return _padded(empty, Rect(rect.top, rect.left, 0, 0), rect, name)
    return _padded(_read(scene, shown) if factor == 1 else _scaled(scene, shown, factor), shown, rect, name)


def _read(scene: Scene, rect: Rect) -> _Read:
    pixels, valid, target = scene.read(rect)
    if scene.coarse_side is None:
        return pixels, valid, target, None
    return pixels, valid, target, np.where(valid, scene.read_coarse(rect), np.uint8(IGNORE_INDEX))


def _whereabouts(rect: Rect, factor: float) -> str:
    """A rectangle in the scene's own pixels, for people."""
    top, left, bottom, right = (round(v * factor) for v in (rect.top, rect.left, rect.bottom, rect.right))
    return f"rows {top} to {bottom - 1}, columns {left} to {right - 1}"


def _scaled(scene: Scene, rect: Rect, factor: float) -> _Read:
    spans = ((rect.top, rect.bottom), (rect.left, rect.right))
    rows, columns = (axis_taps(*span, factor=factor, size=n) for span, n in zip(spans, scene.shape, strict=True))
    needed = Rect(rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)
    pixels, valid, *labels = _read(scene, needed)
    boxes = [
        _inside(box_taps(*span, factor=factor, size=n), taps)
        for span, n, taps in zip(spans, scene.shape, (rows, columns), strict=True)
    ]
    pixels, valid = resample(pixels, valid, rows=rows, columns=columns)
    target, coarse = (_commonest(part, valid, boxes) for part in labels)
    assert target is not None, "every scene has targets"
    return pixels, valid, target, coarse


def _commonest(
    labels: NDArray[np.uint8] | None, valid: NDArray[np.bool_], boxes: list[Taps]
) -> NDArray[np.uint8] | None:
    if labels is None:
        return None
    found = resample_labels(labels, rows=boxes[0], columns=boxes[1], void=IGNORE_INDEX)
    found[~valid] = IGNORE_INDEX
    return found


def _inside(boxes: Taps, taps: Taps) -> Taps:
    """Boxes in terms of the pixels that were read for other taps; only those without weight reach beyond them."""
    index = np.clip(boxes.index + (boxes.start - taps.start), 0, taps.stop - taps.start - 1)
    return Taps(taps.start, taps.stop, index, boxes.weight)


def _padded(read: _Read, shown: Rect, rect: Rect, name: str) -> Crop:
    pixels, valid, target, coarse = read
    if pixels.dtype not in (np.uint8, np.int16, np.float32):
        pixels = pixels.astype(np.float32)  # what torch does not know, and what no loss needs
    return Crop(
        _placed(pixels, shown, rect, 0),
        _placed(valid, shown, rect, 0),
        _placed(target, shown, rect, IGNORE_INDEX),
        name,
        None if coarse is None else _placed(coarse, shown, rect, IGNORE_INDEX),
    )


def _placed(part: NDArray[Any], shown: Rect, rect: Rect, fill: int) -> Tensor:
    """What lies at ``shown``, as a tensor of ``rect`` in its own memory: the scene must not change with the crop."""
    if shown == rect:
        return torch.from_numpy(part.copy())
    whole = np.full((*part.shape[:-2], *rect.shape), fill, part.dtype)
    whole[(..., *shown.relative_to(rect).slices)] = part
    return torch.from_numpy(whole)
