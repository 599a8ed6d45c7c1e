"""Rasters that are nearly the same picture: brighter or darker, shifted by a few pixels, mirrored or turned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.geo.grid import Grid, Rect

EDGE = 196  # pixels along the edge of the square in a raster's middle that is remembered
_SEARCHED, _SHIFT = 96, 16  # its middle that is searched, and by how many pixels two pictures may be shifted
_SMALLEST = 12  # rasters that are narrower are not compared
_ALIKE = 0.9  # cosine of two squares' fine structure; that of other pictures is far below a half
_NEIGHBOURS, _PAIRS = 8, 2048  # of each raster that are looked at; of few rasters as many as make so many pairs
_NEAR = 0.25  # standard deviations by which the spread of their values may differ
_RADIUS = 2  # fine structure is what differs from the mean of the 5 x 5 px around it
_BOXES, _QUANTILES = (1, 5, 17), np.linspace(0.05, 0.95, 10)


@dataclass(frozen=True)
class Sketch:
    """A short description of a raster's middle.

    Attributes:
        fine: (e, e) int8, its fine structure; what stands out far is clipped, so that no single edge decides.
        spread: (F,) quantiles of its values, and of their means over squares, around the median; nearly the same for
            shifted, mirrored and turned pictures.
        std: of its values.
    """

    fine: NDArray[np.int8]
    spread: NDArray[np.float32]
    std: float


@dataclass(frozen=True)
class Lookalike:
    """Two rasters, by position, and the change in words that makes the picture of one that of the other."""

    first: int
    second: int
    how: str


class Sketcher:
    """The sketch of a raster in the making: takes pixels a rectangle at a time."""

    def __init__(self, shape: tuple[int, int]) -> None:
        edge = min(EDGE, *shape)
        self._square = Rect((shape[0] - edge) // 2, (shape[1] - edge) // 2, edge, edge)
        self._grey = np.full((edge, edge), np.nan, np.float32)

    def update(self, rect: Rect, pixels: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Take in pixels (C, h, w) under a rectangle of the raster and their validity (h, w)."""
        shared = rect.intersection(self._square)
        if shared is None:
            return
        rows, columns = shared.relative_to(rect).slices
        grey = pixels[:, rows, columns].mean(0, dtype=np.float32)
        self._grey[shared.relative_to(self._square).slices] = np.where(valid[rows, columns], grey, np.nan)

    def sketch(self) -> Sketch | None:
        """Return the sketch; None where less than half of the middle has data, it is too small, or of one value."""
        known = np.isfinite(self._grey)
        if len(self._grey) < _SMALLEST or known.mean() < 0.5:
            return None
        grey = np.where(known, self._grey, np.median(self._grey[known])).astype(np.float64)
        grey -= np.median(grey)
        fine = _fine(grey)
        if not fine.any():
            return None
        spread = [np.quantile(_box_mean(grey, box), _QUANTILES) for box in _BOXES if box <= len(grey) // 2]
        return Sketch(fine, np.concatenate(spread).astype(np.float32), float(grey.std()))


def lookalikes(
    sketches: Sequence[Sketch | None], grids: Sequence[Grid | None], digests: Sequence[str | None]
) -> list[Lookalike]:
    """Return the pairs of rasters that are nearly the same picture, in order.

    At least one of a pair does not say where it lies: where both do, footprints are better evidence (see `overlaps`).
    Equal ones (by their digests) are left out. Of each raster only the few that have the most similar values are
    looked at, so that thousands take no longer than reading them.
    """
    placed = [grid is not None and grid.crs is not None for grid in grids]
    found = []
    for first, second in _candidates(sketches):
        one, two = sketches[first], sketches[second]
        same = digests[first] is not None and digests[first] == digests[second]
        if one is None or two is None or same or (placed[first] and placed[second]):
            continue
        if (how := _same_picture(one, two)) is not None:
            found.append(Lookalike(first, second, how))
    return found


def _candidates(sketches: Sequence[Sketch | None]) -> Iterator[tuple[int, int]]:
    """Yield pairs of sketches whose values are spread most alike, in order."""
    groups: dict[int, list[int]] = {}  # small rasters have fewer numbers
    for index, sketch in enumerate(sketches):
        if sketch is not None:
            groups.setdefault(len(sketch.spread), []).append(index)
    pairs: set[tuple[int, int]] = set()
    for members in groups.values():
        table = np.stack([_sketch(sketches, index).spread for index in members])
        std = np.array([_sketch(sketches, index).std for index in members])
        for row, index in enumerate(members):
            apart = np.abs(table - table[row]).mean(1)  # of two modes a single quantile may jump
            apart[row] = np.inf
            nearest = np.argsort(apart, kind="stable")[: max(_NEIGHBOURS, _PAIRS // len(members))]
            near = nearest[apart[nearest] <= _NEAR * std[row]]
            pairs.update((min(index, members[other]), max(index, members[other])) for other in near.tolist())
    yield from sorted(pairs)


def _sketch(sketches: Sequence[Sketch | None], index: int) -> Sketch:
    found = sketches[index]
    assert found is not None, "only sketches are grouped"
    return found


def _same_picture(one: Sketch, two: Sketch) -> str | None:
    """Return the change that makes one picture the other, in words; None where no change does."""
    area = _middle(two.fine.astype(np.float32), _SEARCHED)
    edge = min(len(area), len(one.fine))
    size = edge - 2 * max(2, min(_SHIFT, edge // 6))
    spectrum, energy = np.fft.rfft2(area), _box_sum(area.astype(np.float64) ** 2, size)
    best, place = _ALIKE, None
    for way in range(8):
        turned = _turned(one.fine.astype(np.float32), way)
        template = _middle(turned, size)
        product = np.fft.irfft2(spectrum * np.fft.rfft2(template, area.shape).conj(), area.shape)
        score = product[: energy.shape[0], : energy.shape[1]]
        score = score / np.sqrt(np.maximum(energy * float((template**2).sum()), 1e-6))
        row, column = divmod(int(score.argmax()), score.shape[1])
        if score[row, column] > best:
            best, place = float(score[row, column]), (way, row, column)
    if place is None:
        return None
    way, row, column = place
    start = (len(two.fine) - len(area)) // 2 - (len(one.fine) - size) // 2
    if _likeness(_turned(one.fine, way), two.fine, (start + row, start + column)) < _ALIKE:
        return None
    middle = (len(area) - size) // 2
    return _words(way, row - middle, column - middle)


def _likeness(one: NDArray[np.int8], two: NDArray[np.int8], offset: tuple[int, int]) -> float:
    """Return the cosine of two squares where they lie on each other, the first at an offset in the second."""
    here, there = [], []
    for start, length, other in zip(offset, one.shape, two.shape, strict=True):
        first, last = max(0, start), min(start + length, other)
        there.append(slice(first, last))
        here.append(slice(first - start, last - start))
    a, b = one[tuple(here)].astype(np.float64), two[tuple(there)].astype(np.float64)
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / scale if scale else 0.0


def _words(way: int, down: int, right: int) -> str:
    """Return the change of a picture in words.

    >>> _words(0, 0, 0), _words(0, -3, 2), _words(2, 0, 1), _words(5, 4, 0)
    ('brighter or darker', 'shifted by 3 and 2 px', 'turned by 180 degrees', 'mirrored, shifted by 4 and 0 px')
    """
    done = [] if way == 0 else ["mirrored" if way > 3 else f"turned by {90 * way} degrees"]
    if max(abs(down), abs(right)) > (1 if done else 0):  # what has no middle pixel is mirrored one beside it
        done.append(f"shifted by {abs(down)} and {abs(right)} px")
    return ", ".join(done) or "brighter or darker"


def _turned(square: NDArray[Any], way: int) -> NDArray[Any]:
    """Return a square in one of eight ways: turned by quarters, and mirrored from the fourth on."""
    return np.rot90(square[:, ::-1] if way > 3 else square, way % 4)


def _middle(square: NDArray[Any], edge: int) -> NDArray[Any]:
    start = max(0, (len(square) - edge) // 2)
    return square[start : start + edge, start : start + edge]


def _fine(grey: NDArray[np.float64]) -> NDArray[np.int8]:
    """Return the differences from the mean around each pixel, in steps of which 127 are twice their median size."""
    width = 2 * _RADIUS + 1
    fine = grey[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS] - _box_mean(grey, width)
    size = 2 * float(np.median(np.abs(fine))) or float(np.abs(fine).max())
    if size <= 1e-9 * max(1.0, float(np.abs(grey).max())):
        return np.zeros(fine.shape, np.int8)
    steps: NDArray[np.int8] = np.rint(np.clip(fine / size, -1, 1) * 127).astype(np.int8)
    return steps


def _box_mean(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Return the means over all squares that lie inside, (h - width + 1, w - width + 1)."""
    return _box_sum(values, width) / width**2


def _box_sum(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    total = np.pad(values, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    sums: NDArray[np.float64] = (
        total[width:, width:] - total[:-width, width:] - total[width:, :-width] + total[:-width, :-width]
    )
    return sums
