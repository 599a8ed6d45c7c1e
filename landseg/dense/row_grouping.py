"""RowGrouping: the things of a raster that comes in rows, with sums for their scores; equal to `grouping.group`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.dense.flood import MOST_LABELS, Flood
from landseg.dense.grouping import Maps, Things, scores
from landseg.dense.small_things import Borders, join_small, pixel_pairs
from landseg.errors import PlanError

_SPARSE = 4  # labels are summed in place where they lie within so many times as many numbers as there are pixels
_FOUND = 64  # tables of borders, of a strip each, that are added up together
_KEPT = ("kind", "place", "summit", "pixels", "probability", "boundary", "units")

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Grouped:
    """The things of a raster, and how many were left out.

    Attributes:
        table: the id of each label ``(labels + 1,)`` uint32; 0 for none. ``table[labels]`` are the ids of pixels.
        things: those that have an id, by their ids less one.
        below_area: the number of things that were smaller than the smallest area.
        below_score: the number of the others whose score was lower than the lowest.
        joined: the number of things that became part of a neighbour.
    """

    table: NDArray[np.uint32]
    things: Things
    below_area: int
    below_score: int
    joined: int = 0


class RowGrouping:
    """Group the things of rows, region by region, in memory for a few rows and what is still open.

    `begin` opens a region, `add` takes its rows and returns the labels of those that are finished, one row fewer than
    came in so far, and `end` returns those of its last row. `grouped` makes ids of labels once all regions have
    ended. Things do not go from one region to another.

    Kept are 28 bytes for each label of the open region, beside those of the flood; 4 for each label of the others;
    and 45 for each thing.

    Args:
        things: indices of the classes of things.
        rise: see `landseg.dense.flood.flood`.
        width: columns of the raster.
        join: small things are to become part of a neighbour of their class, see `small_things.join_small`. Kept are
            then 24 bytes more for every two labels with a border in common.
    """

    def __init__(self, things: Sequence[int], *, rise: float, width: int, join: bool = False) -> None:
        self._things, self._rise, self._width, self._join = tuple(things), rise, width, join
        self._borders: list[Borders] = []
        self._tables: list[NDArray[np.uint32]] = [np.zeros(1, np.uint32)]
        self._labels = self._count = 0  # handed out before the open region; things so far
        self._found: list[dict[str, NDArray[Any]]] = []
        self._region: _Region | None = None

    def begin(self, top: int, left: int, width: int) -> None:
        """Open a region of some columns whose first pixel has this place in the raster."""
        assert self._region is None, "a region ends before the next begins"
        self._corner = top, left
        self._region = _Region(self._things, width, self._rise, self._labels, join=self._join)

    def add(self, maps: Maps, units: NDArray[Any] | None = None) -> NDArray[np.uint32]:
        """Return the labels (n, w) of the rows of the region that are finished; 0 where there is no thing.

        Args:
            maps: of the next rows.
            units: the sizes of their pixels (h, 1) or (h, w) as whole numbers; None: all are equal.
        """
        assert self._region is not None, "rows belong to a region"
        return self._region.add(maps, units)

    def end(self) -> NDArray[np.uint32]:
        """Return the labels of the region's last row (1, w), and close it."""
        region = self._region
        assert region is not None, "a region was begun"
        labels = region.end()
        table, found = region.instances()
        row, column = np.divmod(found["place"], region.width)
        found["place"] = (row + self._corner[0]) * self._width + column + self._corner[1]
        if self._join:
            self._borders.append(region.borders(table).within(found["kind"]).shifted(self._count))
        self._tables.append(np.where(table, table + np.uint32(self._count), table))
        self._labels += len(table)
        self._count += len(found["place"])
        self._found.append(found)
        self._region = None
        return labels

    def grouped(self, *, least_score: float = 0.0, least_area: float = 0.0, unit: float = 1.0) -> Grouped:
        """Return the things, numbered from 1 in reading order of their summits, without those that are left out.

        Args:
            least_score: things with a lower score are left out.
            least_area: smaller things are left out before, or become part of a neighbour where they have any.
            unit: the area of a unit of pixel sizes, or of a pixel where these are equal.
        """
        found = {name: np.concatenate([part[name] for part in self._found]) for name in _KEPT} if self._found else {}
        if not found:
            return Grouped(np.zeros(1, np.uint32), Things.none(), 0, 0)
        number = np.arange(1, self._count + 1)
        if self._join:
            borders = Borders.joined(self._borders)
            found, number = _joined(
                found, join_small(found["units"] * unit, found["place"], borders, least=least_area)
            )
        score = scores(found["probability"], found["boundary"], found["pixels"], found["summit"])
        large = ~(found["units"] * unit < least_area)
        kept = large & ~(score < least_score)
        order = np.argsort(found["place"], kind="stable")
        order = order[kept[order]]
        ids = np.zeros(len(large) + 1, np.uint32)
        ids[order + 1] = np.arange(1, len(order) + 1)
        table = np.append(np.uint32(0), ids[number])[np.concatenate(self._tables)]
        things = Things(found["kind"][order], score[order].astype(np.float32), found["pixels"][order])
        joined = self._count - len(large)
        return Grouped(table, things, int((~large).sum()), int((large & ~kept).sum()), joined)


def _joined(found: dict[str, NDArray[Any]], into: Integers) -> tuple[dict[str, NDArray[Any]], Integers]:
    """Return what is known of things once some are part of others, and the number of each thing (n,) among these."""
    kept, number = np.unique(into, return_inverse=True)
    made = {"kind": found["kind"][kept]}
    order = np.lexsort((found["place"], -found["summit"].astype(np.int64), number))
    first = order[np.flatnonzero(np.diff(number[order], prepend=-1))]  # the summit of all parts
    made |= {name: found[name][first] for name in ("place", "summit")}
    for name in ("pixels", "probability", "boundary", "units"):
        made[name] = np.zeros(len(kept), np.int64)
        np.add.at(made[name], number, found[name])
    return made, number + 1


class _Region:
    """The floods of one region, one a class of things, with common numbers for their labels.

    Args:
        things: indices of classes.
        width: columns of the region.
        rise: of the floods.
        before: labels that other regions have.
        join: count the borders between labels.
    """

    def __init__(self, things: Sequence[int], width: int, rise: float, before: int, *, join: bool) -> None:
        self.width, self._things, self._before = width, things, before
        self._floods = [Flood(width, rise=rise) for _ in things]
        self._numbers = [np.zeros(1, np.uint32) for _ in things]  # of this region, by the label of each flood
        self._known = [0 for _ in things]  # labels of each flood that have a number
        self._count = 0
        self._sums = np.zeros((3, 1), np.int64)  # of probability, boundary and units, by number
        self._waiting: tuple[NDArray[Any], ...] | None = None  # what is summed of rows that are not finished
        self._sized = False
        self._pairs: list[Borders] | None = [] if join else None
        self._above: NDArray[np.uint32] | None = None  # the last row that is finished

    def add(self, maps: Maps, units: NDArray[Any] | None) -> NDArray[np.uint32]:
        columns = [maps.probability, maps.boundary]
        if units is not None:
            self._sized = True
            columns.append(np.broadcast_to(units, maps.classes.shape))
        new = tuple(columns)
        old = self._waiting
        self._waiting = new if old is None else tuple(np.concatenate(pair) for pair in zip(old, new, strict=True))
        parts = [
            flood.add(maps.energy, maps.classes == index)
            for index, flood in zip(self._things, self._floods, strict=True)
        ]
        return self._finished(parts)

    def end(self) -> NDArray[np.uint32]:
        return self._finished([flood.end() for flood in self._floods])

    def instances(self) -> tuple[NDArray[np.uint32], dict[str, NDArray[Any]]]:
        """Return the number of each label's thing ``(labels,)``, from 1 on, and what is known of the things."""
        table, parts, count = np.zeros(self._count + 1, np.uint32), [], 0
        for index, flood, numbers in zip(self._things, self._floods, self._numbers, strict=True):
            found = flood.instances()
            own = np.where(found.table, found.table + np.uint32(count), found.table)
            table[numbers[: len(own)]] = own
            count += len(found)
            kind = np.full(len(found), index, np.uint8)
            parts.append({"kind": kind, "place": found.place, "summit": found.summit, "pixels": found.pixels})
        made = {name: np.concatenate([part[name] for part in parts]) for name in _KEPT[:4]}
        table[0] = 0
        sums = np.zeros((3, count + 1), np.int64)
        for own, by_label in zip(sums, _roomy(self._sums, self._count + 1), strict=True):
            np.add.at(own, table, by_label[: len(table)])
        made["probability"], made["boundary"], units = sums[:, 1:]
        made["units"] = units if self._sized else made["pixels"]
        return table[1:], made

    def borders(self, table: NDArray[np.uint32]) -> Borders:
        """Return the borders between things, whose number each label has in a table ``(labels,)``."""
        pairs, numbers = Borders.joined(self._pairs or []), np.append(np.uint32(0), table).astype(np.int64)
        return Borders.of(numbers[pairs.one], numbers[pairs.other], pairs.length)

    def _finished(self, parts: list[NDArray[np.uint32]]) -> NDArray[np.uint32]:
        """Return the labels of finished rows by their numbers in the raster, once these rows are summed."""
        numbers = np.zeros_like(parts[0])
        for place, (flood, labels) in enumerate(zip(self._floods, parts, strict=True)):
            self._number(place, flood.labels)
            numbers += self._numbers[place][labels]
        assert self._waiting is not None or not numbers.size, "labels are those of rows that came"
        if self._waiting is not None:
            count = len(numbers)
            self._sum(numbers, tuple(part[:count] for part in self._waiting))
            self._waiting = tuple(part[count:].copy() for part in self._waiting)
        if self._pairs is not None and len(numbers):
            self._pairs.append(Borders.of(*pixel_pairs(numbers, self._above)))
            self._above = numbers[-1].copy()
            if len(self._pairs) > _FOUND:
                self._pairs = [Borders.joined(self._pairs)]
        return np.where(numbers, numbers + np.uint32(self._before), numbers)

    def _number(self, place: int, count: int) -> None:
        """Give numbers to the new labels of a flood, which has this many in all."""
        known = self._known[place]
        new = count - known
        if self._before + self._count + new > MOST_LABELS:
            raise PlanError(f"the raster has more than {MOST_LABELS:,} basins: group it in several parts")
        numbers = _roomy(self._numbers[place], count + 1)
        numbers[known + 1 : count + 1] = np.arange(self._count + 1, self._count + new + 1)
        self._numbers[place], self._known[place] = numbers, count
        self._count += new

    def _sum(self, numbers: NDArray[np.uint32], columns: tuple[NDArray[Any], ...]) -> None:
        """Add the pixels (n, w) of finished rows to the sums of their labels; whole numbers, so in any order."""
        inside = numbers > 0
        flat = numbers[inside].astype(np.int64)
        if not len(flat):
            return
        first, last = int(flat.min()), int(flat.max())
        self._sums = _roomy(self._sums, self._count + 1)
        if last - first < _SPARSE * len(flat):
            labels, flat = np.arange(first, last + 1), flat - first
        else:
            labels, flat = np.unique(flat, return_inverse=True)
        for sums, column in zip(self._sums, columns, strict=False):
            sums[labels] += np.bincount(flat, column[inside], len(labels)).astype(np.int64)


def _roomy(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Return an array whose last axis has at least a size, twice as long where it had to grow; zeros are new."""
    if array.shape[-1] >= size:
        return array
    made = np.zeros((*array.shape[:-1], max(size, 2 * array.shape[-1])), array.dtype)
    made[..., : array.shape[-1]] = array
    return made
