"""PointRows: the points of maps that come packed in rows, the same however the rows are cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landseg.dense.peaks import PeakRows

TOP = 65535
"""The level of a centre of probability 1."""
COARSEST = 32
"""Pixels of a unit of the packed output, along each side."""
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Points:
    """The points (n,) of a raster, in reading order of their units.

    Attributes:
        place: row and column (n, 2) in pixels of the network, from the corner of the first pixel.
        level: 65535 times the probability, uint16.
        kind: the class among those of points, from 0, uint8.
        size: height and width (n, 2) in pixels; nan where the network does not know them.
    """

    place: NDArray[np.float64]
    level: NDArray[np.uint16]
    kind: NDArray[np.uint8]
    size: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.level)

    @property
    def scores(self) -> Floats:
        """The probabilities (n,)."""
        return (self.level / TOP).astype(np.float32)

    @property
    def table(self) -> NDArray[np.float64]:
        """Row, column, class and score (n, 4)."""
        return np.column_stack([self.place, self.kind, self.scores])

    def chosen(self, index: NDArray[np.integer] | NDArray[np.bool_]) -> Points:
        """Return the points of an index or a mask."""
        return Points(self.place[index], self.level[index], self.kind[index], self.size[index])


def join_points(parts: list[Points]) -> Points:
    """Return the points of several parts, in their order."""
    if not parts:
        none = np.zeros((0, 2))
        return Points(none, np.zeros(0, np.uint16), np.zeros(0, np.uint8), none)
    columns = ((one.place, one.level, one.kind, one.size) for one in parts)
    return Points(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def keep_apart(found: Points, distance: float, pixel: tuple[float, float] = (1.0, 1.0)) -> Points:
    """Return the points without those that lie nearer than a distance to a better one that stays.

    The best comes first, and of equal ones the first in reading order: it stays, and all nearer ones go; so on with
    the rest, whatever their class.

    Args:
        found: the points.
        distance: in the unit of ``pixel``.
        pixel: height and width of a pixel.

    >>> places = np.array([[0.0, 0.0], [0.0, 3.0], [0.0, 5.0]])
    >>> made = Points(places, np.array([5, 9, 7], np.uint16), np.zeros(3, np.uint8), np.full((3, 2), np.nan))
    >>> keep_apart(made, 4.0).level.tolist(), keep_apart(made, 3.0).level.tolist()
    ([9], [5, 9])
    """
    if distance <= 0 or len(found) < 2:
        return found
    from scipy.spatial import cKDTree

    places = found.place * np.array(pixel)
    pairs = cKDTree(places).query_pairs(distance, output_type="ndarray")
    near = np.hypot(*(places[pairs[:, 0]] - places[pairs[:, 1]]).T) < distance
    rank = np.empty(len(found), np.int64)
    rank[np.lexsort((np.arange(len(found)), -found.level.astype(np.int64)))] = np.arange(len(found))
    ordered = np.sort(rank[pairs[near]], axis=1)
    ordered = ordered[np.lexsort((ordered[:, 1], ordered[:, 0]))]
    stays = np.ones(len(found), bool)
    for better, worse in ordered.tolist():
        if stays[better]:
            stays[worse] = False
    return found.chosen(stays[rank])


class PointRows:
    """Find points in rows of packed maps.

    `add` takes rows and returns the points of rows of units that are finished; `end` returns those of the last ones.
    Kept are the rows of units that a window may still reach.

    Args:
        shape: height and width of the raster, in pixels of the network.
        kinds: number of classes of points: the first channels.
        sizes: whether two channels of sizes follow those of offsets.
        stride: pixels between two units; unit f sits at pixel stride * f.
        radius: of the window in which a point comes first.
        least: the lowest level of a point.
    """

    def __init__(
        self, shape: tuple[int, int], *, kinds: int, sizes: bool, stride: int, radius: int, least: int
    ) -> None:
        self._shape, self._kinds, self._stride, self._least = shape, kinds, stride, max(1, least)
        self._units = -(-shape[0] // stride), -(-shape[1] // stride)
        self._peaks = [PeakRows(self._units[1], radius=radius) for _ in range(kinds)]
        self._channels = kinds + 2 + 2 * sizes
        self._kept = np.zeros((self._channels, 0, self._units[1]), np.float32)
        self._top = self._next = 0  # numbers of the first kept and of the next row of units

    def add(self, packed: Floats, valid: NDArray[np.bool_]) -> Points:
        """Return the points of rows that are finished.

        Args:
            packed: the next rows ``(C f^2, h, w)``.
            valid: pixels with data of these rows ``(h * 32 or fewer at the bottom, width)``.
        """
        maps = unpack(packed, self._channels, self._stride)[:, : self._units[0] - self._next, : self._units[1]]
        there = valid[:: self._stride, :: self._stride][: maps.shape[1]]
        levels = np.rint(TOP * _sigmoid(maps[: self._kinds])).astype(np.uint16)
        levels[:, ~there] = 0
        levels[levels < self._least] = 0
        self._kept = np.concatenate([self._kept, maps], axis=1)
        self._next += maps.shape[1]
        return self._taken([rows.add(one) for rows, one in zip(self._peaks, levels, strict=True)])

    def end(self) -> Points:
        """Return the points of the last rows; no row comes any more."""
        return self._taken([rows.end() for rows in self._peaks])

    def _taken(self, peaks: list[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> Points:
        """Return the points of units (row, column) of each class, and forget rows that no window reaches."""
        rows, columns = (np.concatenate([one[axis] for one in peaks]) for axis in (0, 1))
        kind = np.repeat(np.arange(self._kinds), [len(one[0]) for one in peaks]).astype(np.uint8)
        order = np.lexsort((kind, columns, rows))
        rows, columns, kind = rows[order], columns[order], kind[order]
        values = self._kept[:, rows - self._top, columns].astype(np.float64)
        level = np.rint(TOP * _sigmoid(self._kept[kind, rows - self._top, columns])).astype(np.uint16)
        units = np.stack([rows, columns], axis=1)
        offset = np.clip(values[self._kinds : self._kinds + 2].T, -1, 1)  # no further than the next unit
        place = (units + offset) * self._stride + 0.5  # from a pixel's centre to its corner
        place = np.clip(place, 0, np.array(self._shape, np.float64))
        size = values[self._kinds + 2 :].T * self._stride
        size = np.maximum(size, 0) if size.shape[1] else np.full((len(rows), 2), np.nan)
        done = self._next - self._peaks[0].waiting
        self._kept, self._top = self._kept[:, done - self._top :].copy(), done
        return Points(place, level, kind, size)


def unpack(packed: Floats, channels: int, stride: int) -> Floats:
    """Return maps (C, h f, w f) of packed ones (C f^2, h, w), with f = 32 / stride."""
    factor, (_, rows, columns) = COARSEST // stride, packed.shape
    cells = packed.reshape(channels, factor, factor, rows, columns)
    return cells.transpose(0, 3, 1, 4, 2).reshape(channels, rows * factor, columns * factor)


def _sigmoid(values: Floats) -> Floats:
    with np.errstate(over="ignore"):  # then it is 0
        return np.float32(1) / (np.float32(1) + np.exp(-values))
