"""Objects of the truth and of a prediction, and the area that each pair of them shares, from rasters of ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from landseg.metrics.boundary import WHOLE, extreme

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Columns of a table of pairs: pixels inside, in the true object's rim, in the found one's, in both rims, pixels
# outside, and sums of rows and columns over inside and outside.
INSIDE, TRUE_RIM, FOUND_RIM, BOTH_RIMS, OUTSIDE, ROWS, COLUMNS = range(7)
PENDING = 1 << 20
"""Number of rows that a table may grow by before equal pairs are summed."""


@dataclass(frozen=True)
class Objects:
    """The N objects of one side, truth or prediction, of one image.

    Attributes:
        area: (N,) areas, above 0, in the unit in which shared areas are measured, such as pixels.
        size: (N,) areas for ranges of areas and for totals, such as square metres.
        ignored: (N,) True for an object that is not judged. Such a truth is a crowd in the sense of COCO: it may be
            taken by many detections, and these do not count. Such a detection counts only if it takes a truth.
        place: (N, 2) row and column of each centroid in the raster.
        rim: (N,) areas of the bands along the outlines, as `area`; zeros if they were not measured.
    """

    area: Floats
    size: Floats
    ignored: Flags
    place: Floats
    rim: Floats

    def __len__(self) -> int:
        return len(self.area)

    def only(self, kept: NDArray[Any]) -> Objects:
        """Return the objects that a boolean array (N,) or an array of indices names."""
        return Objects(self.area[kept], self.size[kept], self.ignored[kept], self.place[kept], self.rim[kept])


def objects(
    area: ArrayLike,
    *,
    size: ArrayLike | None = None,
    ignored: ArrayLike | None = None,
    place: ArrayLike | None = None,
    rim: ArrayLike | None = None,
) -> Objects:
    """Return `Objects` of areas (N,): by default of that size, none ignored, all at row 0 and column 0, no rims.

    Raises:
        ValueError: an area is not above 0, or an array has another length.
    """
    areas = np.asarray(area, np.float64).reshape(-1)
    count = len(areas)
    found = Objects(
        areas,
        areas if size is None else np.asarray(size, np.float64),
        np.zeros(count, bool) if ignored is None else np.asarray(ignored, bool),
        np.zeros((count, 2)) if place is None else np.asarray(place, np.float64),
        np.zeros(count) if rim is None else np.asarray(rim, np.float64),
    )
    if not (areas > 0).all():
        raise ValueError("expected objects with areas above 0")
    if {len(found.size), len(found.ignored), len(found.place), len(found.rim)} != {count}:
        raise ValueError(f"expected sizes, flags, places and rims of {count} objects")
    return found


@dataclass(frozen=True)
class Overlaps:
    """The T objects of the truth and the D of a prediction in one image, and the P pairs that share area.

    Attributes:
        true: the objects of the truth.
        found: the objects of the prediction.
        true_index: (P,) index of each pair's object of the truth.
        found_index: (P,) index of its object of the prediction; no pair stands twice.
        shared: (P,) area that both cover, in the unit of `Objects.area`. A pair that is not listed shares none.
        shared_rim: (P,) area that both bands along the outlines cover; None if the bands were not measured.
    """

    true: Objects
    found: Objects
    true_index: Ints
    found_index: Ints
    shared: Floats
    shared_rim: Floats | None = None

    def iou(self) -> Floats:
        """Return shared area over the union's for each pair, (P,); over the detection's where the truth is ignored.

        >>> one = Overlaps(objects([4, 8]), objects([6]), np.array([0, 1]), np.array([0, 0]), np.array([2.0, 4.0]))
        >>> one.iou().tolist()
        [0.25, 0.4]
        """
        found = self.found.area[self.found_index]
        union = self.true.area[self.true_index] + found - self.shared
        ratio: Floats = self.shared / np.where(self.true.ignored[self.true_index], found, union)
        return ratio

    def rim_iou(self) -> Floats:
        """Return the IoU of the two bands along the outlines for each pair, (P,); 1 where neither object has a band.

        Raises:
            ValueError: the bands were not measured.
        """
        if self.shared_rim is None:
            raise ValueError("the bands along the outlines were not measured: count with a width")
        union = self.true.rim[self.true_index] + self.found.rim[self.found_index] - self.shared_rim
        ratio: Floats = np.divide(self.shared_rim, union, out=np.ones(len(union)), where=union > 0)
        return ratio

    def boundary_iou(self) -> Floats:
        """Return for each pair, (P,), the lesser of `iou` and `rim_iou`; `iou` where the truth is ignored.

        Raises:
            ValueError: the bands were not measured.
        """
        whole = self.iou()
        return np.where(self.true.ignored[self.true_index], whole, np.minimum(whole, self.rim_iou()))

    def only(self, true: Flags, found: Flags) -> Overlaps:
        """Return the overlaps of the objects that two boolean arrays, (T,) and (D,), name: those of one class."""
        pairs = true[self.true_index] & found[self.found_index]
        return Overlaps(
            self.true.only(true),
            self.found.only(found),
            (np.cumsum(true) - 1)[self.true_index[pairs]],
            (np.cumsum(found) - 1)[self.found_index[pairs]],
            self.shared[pairs],
            None if self.shared_rim is None else self.shared_rim[pairs],
        )


class IdCounts:
    """Pixels that each object of a true raster of ids shares with each object of a predicted one, by windows.

    An id is a whole number above 0; 0 is no object. Only pixels that are valid, inside the area of interest and with
    data on both sides, are compared. An object that lies by less than half on valid pixels is ignored, and one
    without any is left out. Memory is 72 bytes for each pair of ids that meet.

    Args:
        width: width in pixels (chessboard distance) of the bands along outlines; 0 for no bands. It is the halo that
            a window needs on each side of its core.
        border: True if the raster's edge and pixels that are not valid end an object, as in the code of Boundary IoU;
            by default no band begins there.
    """

    def __init__(self, width: int = 0, *, border: bool = False) -> None:
        if width < 0:
            raise ValueError(f"expected a width of 0 pixels or more, got {width}")
        self.width, self.border = width, border
        self._keys: list[Ints] = []
        self._sums: list[Ints] = []
        self._pending = 0

    def update(
        self,
        truth: NDArray[np.integer[Any]],
        found: NDArray[np.integer[Any]],
        *,
        valid: Flags | None = None,
        known: Flags | None = None,
        core: tuple[slice, slice] = WHOLE,
        at: tuple[int, int] = (0, 0),
    ) -> None:
        """Count two rasters of ids (H, W), or the core of a window whose first pixel is at row and column ``at``.

        Pixels that are not ``known`` count as all others do, but no band begins or lies there: so does the void of
        panoptic maps, of which nothing says whether an object ends beside it.

        The arrays of a window reach `width` pixels beyond its core, but not beyond the raster. Then cores that
        partition a raster give the counts of the whole raster.

        Raises:
            ValueError: ids that are no whole numbers or below 0, or arrays of different shapes.
        """
        sides = [_ids(truth), _ids(found)]
        inside = np.ones(truth.shape, bool) if valid is None else valid
        if not sides[0].shape == sides[1].shape == inside.shape:
            shapes = f"{truth.shape}, {found.shape} and {inside.shape}"
            raise ValueError(f"expected true ids, found ids and validity of one shape, got {shapes}")
        told = inside if known is None else inside & known
        rims = [self._rim(ids, told)[core] for ids in sides]
        # The state of a pixel: its place in a rim or outside, so that equal pixels in a row are counted at once.
        state = np.where(inside[core], rims[0] + 2 * rims[1], 4)
        first = [at[axis] + core[axis].indices(truth.shape[axis])[0] for axis in (0, 1)]
        keys, sums = _runs(sides[0][core], sides[1][core], state, first)
        self._add(keys, sums)

    def merge(self, other: IdCounts) -> None:
        """Add the counts of other windows of the same raster.

        Raises:
            ValueError: the other has another width or rule for the border.
        """
        if (self.width, self.border) != (other.width, other.border):
            raise ValueError("merged counts of ids need one width and one rule for the border")
        for keys, sums in zip(other._keys, other._sums, strict=True):
            self._add(keys, sums)

    def ids(self) -> tuple[Ints, Ints]:
        """Return the ids of the true objects, (T,), and of the found ones, (D,), ascending, as in `overlaps`."""
        keys, sums = self._table()
        true, found = (np.unique(keys[(sums[:, INSIDE] > 0) & (keys[:, side] > 0), side]) for side in (0, 1))
        return true, found

    def overlaps(self, pixel: float = 1.0) -> Overlaps:
        """Return the overlaps in pixels, with sizes in the unit in which a pixel has the area ``pixel``."""
        keys, sums = self._table()
        ids = self.ids()
        true = self._side(keys[:, 0], sums, ids[0], TRUE_RIM, pixel)
        found = self._side(keys[:, 1], sums, ids[1], FOUND_RIM, pixel)
        both = (keys > 0).all(1) & (sums[:, INSIDE] > 0)
        true_index, found_index = (np.searchsorted(ids[i], keys[both, i]) for i in (0, 1))
        shared, shared_rim = sums[both, INSIDE].astype(np.float64), sums[both, BOTH_RIMS].astype(np.float64)
        return Overlaps(true, found, true_index, found_index, shared, shared_rim if self.width else None)

    @staticmethod
    def _side(keys: Ints, sums: Ints, ids: Ints, rim: int, pixel: float) -> Objects:
        """Return the objects of one side, in the order of their ids."""
        rows = np.isin(keys, ids)
        total = np.zeros((len(ids), 7), np.int64)
        np.add.at(total, np.searchsorted(ids, keys[rows]), sums[rows])
        whole = total[:, INSIDE] + total[:, OUTSIDE]
        return objects(
            total[:, INSIDE],
            size=total[:, INSIDE] * pixel,
            ignored=2 * total[:, INSIDE] < whole,
            place=total[:, [ROWS, COLUMNS]] / whole[:, None],
            rim=total[:, rim],
        )

    def _rim(self, ids: Ints, valid: Flags) -> Flags:
        """Return True for each pixel of an object (H, W) that has a pixel of something else within the width."""
        if not self.width:
            return np.zeros(ids.shape, bool)
        beyond = -1 if self.border else np.iinfo(np.int64).max
        low, high = np.where(valid, ids, beyond), np.where(valid, ids, -1)
        for axis in (0, 1):
            low = extreme(np.minimum, low, distance=self.width, axis=axis, outside=beyond)
            high = extreme(np.maximum, high, distance=self.width, axis=axis, outside=-1)
        near: Flags = ((low != ids) | (high != ids)) & (ids > 0) & valid
        return near

    def _add(self, keys: Ints, sums: Ints) -> None:
        self._keys.append(keys)
        self._sums.append(sums)
        self._pending += len(keys)
        if self._pending > max(PENDING, 2 * len(self._keys[0])):
            self._table()

    def _table(self) -> tuple[Ints, Ints]:
        """Return each pair of ids once, (R, 2), in ascending order, with its sums, (R, 7)."""
        if self._keys:
            keys, sums = _summed(np.concatenate(self._keys), np.concatenate(self._sums))
        else:
            keys, sums = np.zeros((0, 2), np.int64), np.zeros((0, 7), np.int64)
        self._keys, self._sums, self._pending = [keys], [sums], len(keys)
        return keys, sums


def _ids(values: NDArray[Any]) -> Ints:
    """Return ids as int64, refused if they are no whole numbers of 0 or more."""
    if not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"expected whole numbers as ids, got {values.dtype}")
    ids = values.astype(np.int64)
    if ids.size and ids.min() < 0:
        raise ValueError(f"expected ids of 0 or more, got {values.min()}")
    return ids


def _runs(true: Ints, found: Ints, state: NDArray[Any], first: list[int]) -> tuple[Ints, Ints]:
    """Return the pairs of ids in a window and their sums; equal neighbours in a row are counted together."""
    height, width = true.shape
    if not true.size:
        return np.zeros((0, 2), np.int64), np.zeros((0, 7), np.int64)
    starts = np.ones((height, width), bool)
    starts[:, 1:] = False
    for values in (true, found, state):
        starts[:, 1:] |= values[:, 1:] != values[:, :-1]
    begin = np.flatnonzero(starts)
    length = np.diff(begin, append=true.size)
    keys = np.stack([true.reshape(-1)[begin], found.reshape(-1)[begin]], 1)
    some = keys.any(1)
    keys, begin, length = keys[some], begin[some], length[some]
    kind = state.reshape(-1)[begin]
    rows, columns = begin // width + first[0], begin % width + first[1]
    flags = (kind < 4, kind % 4 % 2 == 1, (kind == 2) | (kind == 3), kind == 3, kind == 4)
    counts = [np.where(flag, length, 0) for flag in flags]
    sums = np.stack([*counts, rows * length, length * (2 * columns + length - 1) // 2], 1)
    return _summed(keys, sums)


def _summed(keys: Ints, sums: Ints) -> tuple[Ints, Ints]:
    """Return each pair of ids once, in ascending order, with the sums of its rows."""
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    keys, sums = keys[order], sums[order]
    if not len(keys):
        return keys, sums
    new = np.flatnonzero(np.concatenate([[True], (keys[1:] != keys[:-1]).any(1)]))
    return keys[new], np.add.reduceat(sums, new, axis=0)
