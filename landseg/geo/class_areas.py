"""ClassAreas: the pixels of each class of a raster, and the area that they cover on the ground."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import LandClass
from landseg.geo.crs import Floats
from landseg.geo.grid import Grid, Rect
from landseg.geo.pieces import cut, rows_within
from landseg.geo.pixel_areas import PixelAreas
from landseg.geo.ruler import Ruler
from landseg.text.untrusted import read_json

AREAS = "LANDSEG_AREAS"
_PIXELS = 1 << 20  # summed at a time: little memory, and sums of whole numbers up to 2^28 are exact
_COMPARED = 24  # values that are counted one after the other, faster than all at once
_SHOWN = 6  # classes in one line


@dataclass(frozen=True)
class ClassArea:
    """The pixels and the area of one class in a raster, or in a part of it.

    Attributes:
        value: in the raster.
        name: of the class.
        pixels: their number.
        hectares: their area, on the ellipsoid; None without a CRS.
        share: of the area of all classes, 0..1; of their pixels without a CRS; nan where there are none.
    """

    value: int
    name: str
    pixels: int
    hectares: float | None
    share: float

    def to_json(self) -> dict[str, Any]:
        """Return the row in JSON values."""
        return {**vars(self), "share": None if math.isnan(self.share) else self.share}


class Ground:
    """Sizes of the pixels of a raster, as whole numbers of one unit of area: sums do not depend on their order.

    Attributes:
        measure: "ellipsoid"; "plane" in a CRS that has no ellipsoid; None without a CRS.
    """

    def __init__(self, grid: Grid) -> None:
        ruler = Ruler.of(grid, geodesic=True)
        sizes = PixelAreas(grid, ruler)
        self.measure = None if not (ruler.located and math.isfinite(sizes.pixel)) else "plane"
        if self.measure is not None and ruler.ground:
            self.measure = "ellipsoid"
        self._sizes = sizes if sizes.vary else None
        self._unit_m2 = sizes.unit if sizes.vary else sizes.pixel

    def weights(self, rect: Rect) -> Floats | None:
        """Return the sizes (h, 1) or (h, w) of a rectangle's pixels in the unit; None where each is one unit."""
        return None if self._sizes is None else self._sizes.weights(rect, self._unit_m2)

    def hectares(self, units: int) -> float | None:
        """Return the area of a number of units in hectares; None without a CRS."""
        return None if self.measure is None else units * self._unit_m2 / 10_000


class ClassAreas:
    """Pixels and areas by class value, of a raster or of a part of it, in whatever order its pixels come.

    Attributes:
        pixels: by class value.
        units: their areas by class value, in the unit of the ground.
    """

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.pixels: Counter[int] = Counter()
        self.units: Counter[int] = Counter()

    def add(
        self,
        values: NDArray[Any],
        weights: Floats | None,
        *,
        nodata: int,
        inside: NDArray[np.bool_] | None = None,
    ) -> None:
        """Count class values (h, w), where ``inside`` (h, w) is given only those inside.

        Args:
            values: whole numbers; ``nodata`` and negative ones are no classes.
            weights: of the same rectangle, from `Ground.weights`.
            nodata: the value of pixels without a class.
            inside: boolean; None: all pixels count.
        """
        for strip in cut(Rect(0, 0, *values.shape), rows_within(_PIXELS, values.shape[1])):
            part = strip.slices[0]
            mask = None if inside is None else inside[part]
            if values.dtype.kind == "i" and (values[part] < 0).any():
                mask = values[part] >= 0 if mask is None else mask & (values[part] >= 0)
            self._count(values[part], None if weights is None else weights[part], mask, nodata)

    def _count(
        self, values: NDArray[Any], weights: Floats | None, mask: NDArray[np.bool_] | None, nodata: int
    ) -> None:
        kept = values.ravel() if mask is None else values[mask]
        counts = _counts(kept)
        found = [value for value in np.flatnonzero(counts).tolist() if value != nodata]
        self.pixels.update({value: int(counts[value]) for value in found})
        if weights is not None:
            sums = _sums(values, weights, mask, found)
            self.units.update({value: int(sums[value]) for value in found})
        else:
            self.units.update({value: int(counts[value]) for value in found})

    def merge(self, other: ClassAreas) -> None:
        """Add the counts of another instance on the same ground."""
        self.pixels.update(other.pixels)
        self.units.update(other.units)

    def rows(self, classes: Iterable[LandClass]) -> tuple[ClassArea, ...]:
        """Return a row for each of the classes, also for classes without a pixel."""
        listed = list(classes)
        whole = sum(self.units[entry.value] for entry in listed)
        return tuple(
            ClassArea(
                entry.value,
                entry.name,
                self.pixels[entry.value],
                self.ground.hectares(self.units[entry.value]),
                self.units[entry.value] / whole if whole else math.nan,
            )
            for entry in listed
        )

    def record(self) -> dict[str, list[int]]:
        """Return the counts in JSON values, for `take`."""
        return {str(value): [self.pixels[value], self.units[value]] for value in sorted(self.pixels)}

    def take(self, record: Mapping[str, Any]) -> None:
        """Add counts that `record` returned.

        Raises:
            ValueError: it is no such record.
        """
        if not is_record(record):
            raise ValueError("expected pixels and units by class value")
        for value, (pixels, units) in record.items():
            self.pixels[int(value)] += pixels
            self.units[int(value)] += units


def _counts(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return the number of pixels of each value from 0 to the largest."""
    largest = int(values.max(initial=0))
    if values.dtype != np.uint8 or largest > _COMPARED:
        return np.bincount(values)
    return np.array([np.count_nonzero(values == value) for value in range(largest + 1)], np.int64)


def _sums(values: NDArray[Any], weights: Floats, mask: NDArray[np.bool_] | None, found: list[int]) -> NDArray[Any]:
    """Return the sum of the weights, whole numbers, of each value from 0 to the largest of those found at least."""
    if mask is None and weights.shape[1] == 1 and found and len(found) <= _COMPARED:
        sums = np.zeros(max(found) + 1)
        for value in found:
            sums[value] = np.count_nonzero(values == value, axis=1) @ weights[:, 0]
        return sums
    every = np.broadcast_to(weights, values.shape)
    if mask is None:
        return np.bincount(values.ravel(), every.ravel())
    return np.bincount(values[mask], every[mask])


def areas_text(rows: Iterable[ClassArea]) -> str:
    """Return the largest classes of the rows in one line.

    >>> areas_text([ClassArea(1, "water", 25, 0.25, 0.25), ClassArea(2, "forest", 75, 0.75, 0.75)])
    'forest 0.75 ha (75.0 %), water 0.25 ha (25.0 %)'
    """
    there = sorted((row for row in rows if row.pixels), key=lambda row: (-row.share, row.value))
    texts = [f"{row.name} {_size(row)} ({100 * row.share:.1f} %)" for row in there[:_SHOWN]]
    more = [f"and {len(there) - _SHOWN} more"] if len(there) > _SHOWN else []
    return ", ".join([*texts, *more]) or "none: nothing has a class"


def areas_rows(rows: Iterable[ClassArea]) -> tuple[list[str], list[list[str | None]]]:
    """Return the head and the rows of a table of areas as texts: class, pixels, hectares, share.

    >>> areas_rows([ClassArea(1, "water", 2500, 0.25, 0.25)])
    (['class', 'pixels', 'hectares', 'share'], [['water', '2,500', '0.25', '25.0 %']])
    """
    return ["class", "pixels", "hectares", "share"], [
        [
            row.name,
            f"{row.pixels:,}",
            None if row.hectares is None else hectares_text(row.hectares),
            None if math.isnan(row.share) else f"{100 * row.share:.1f} %",
        ]
        for row in rows
    ]


def hectares_text(hectares: float) -> str:
    """Return an area as a table shows it: two decimals, four digits below 1.

    >>> hectares_text(12345.678), hectares_text(0.0123456)
    ('12,345.68', '0.01235')
    """
    return f"{hectares:,.2f}" if hectares >= 1 or not hectares else f"{hectares:.4g}"


def _size(row: ClassArea) -> str:
    return f"{row.pixels:,} px" if row.hectares is None else f"{hectares_text(row.hectares)} ha"


class WrittenAreas:
    """The areas of a class layer while it is written, step by step; the counts of finished steps are in a journal.

    Args:
        grid: of the layer.
        nodata: of the layer.
    """

    def __init__(self, grid: Grid, nodata: int) -> None:
        self._grid, self._nodata = grid, nodata
        self._ground: Ground | None = None
        self._step: ClassAreas | None = None

    def add(self, rect: Rect, values: NDArray[Any]) -> None:
        """Count pixels (h, w) of the step that is being written."""
        self._ground = self._ground or Ground(self._grid)
        self._step = self._step or ClassAreas(self._ground)
        self._step.add(values, self._ground.weights(rect), nodata=self._nodata)

    def finish_step(self) -> dict[str, list[int]]:
        """Return the counts of the step that ends, for the journal."""
        record = {} if self._step is None else self._step.record()
        self._step = None
        return record

    def total(
        self, records: Iterable[Mapping[str, Any] | None], classes: Iterable[LandClass]
    ) -> tuple[ClassArea, ...]:
        """Return a row for each class with the sums of the journal's records; no rows if a record is None."""
        every = ClassAreas(self._ground or Ground(self._grid))
        for record in records:
            if record is None:
                return ()
            every.take(record)
        return every.rows(classes)


def is_record(value: Any) -> bool:
    """Return whether a value has the form of a result of `ClassAreas.record`."""
    return isinstance(value, dict) and all(
        isinstance(key, str)
        and key.isdecimal()
        and isinstance(counts, list)
        and len(counts) == 2
        and all(type(count) is int for count in counts)
        for key, counts in value.items()
    )


def areas_tag(rows: Iterable[ClassArea], size: tuple[int, int]) -> str:
    """Return the text of the tag in which a map of this (height, width) keeps its areas."""
    return json.dumps({"size": list(size), "classes": [row.to_json() for row in rows]}, ensure_ascii=False)


def read_areas(text: str) -> tuple[ClassArea, ...]:
    """Return the rows that `areas_tag` wrote.

    Raises:
        ValueError: the text is something else, or was changed by hand.
    """
    try:
        rows = read_json(text)["classes"]
        return tuple(
            ClassArea(
                int(row["value"]),
                str(row["name"]),
                int(row["pixels"]),
                None if row["hectares"] is None else float(row["hectares"]),
                math.nan if row["share"] is None else float(row["share"]),
            )
            for row in rows
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"no areas: {text[:80]!r}") from error
