"""Pixels and hectares by class, of a raster and of its zones, strip by strip."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from landseg.evaluation.area_table import Areas, ZoneAreas
from landseg.geo.class_areas import ClassAreas, Ground
from landseg.geo.grid import Rect
from landseg.labels.zones import Zones
from landseg.runtime.progress import Progress
from landseg.vector.classraster import ClassRaster


class AreaCounts:
    """The counts of a raster and of its zones, strip by strip."""

    def __init__(self, source: ClassRaster, zones: Zones | None) -> None:
        self._source, self._zones = source, zones
        self._ground = Ground(source.whole)
        self._whole = ClassAreas(self._ground)
        number = 0 if zones is None else len(zones)
        self._each = [ClassAreas(self._ground) for _ in range(number)]
        self._pixels = np.zeros(number, np.int64)  # of each zone, whether or not they have a class
        self._several = self._outside = 0  # pixels in more than one zone; with a class, in none

    def add(self, rect: Rect, strip: Any) -> None:
        """Take the class values (h, w) of the strip at ``rect``."""
        nodata, weights = self._source.nodata, self._ground.weights(rect)
        self._whole.add(strip, weights, nodata=nodata)
        if self._zones is None:
            return
        times = np.zeros(strip.shape, np.uint8)
        for number, shared, inside in self._zones.inside(rect):
            rows, columns = part = shared.relative_to(rect).slices
            own = None if weights is None else weights[rows, columns if weights.shape[1] > 1 else slice(None)]
            self._each[number].add(strip[part], own, nodata=nodata, inside=inside)
            self._pixels[number] += int(inside.sum())
            times[part] = np.minimum(times[part] + inside, 2)
        self._several += int((times > 1).sum())
        self._outside += int(((times == 0) & (strip != nodata)).sum())

    def areas(self) -> Areas:
        """Return the areas of all pixels that were added."""
        source, classes = self._source, self._source.classes
        every = source.rect.area - self._whole.pixels.total()
        whole = ZoneAreas(None, self._whole.rows(classes), every)
        found = Areas(source.file.label, whole, self._ground.measure, left_out=source.left_out.to_json())
        if self._zones is None:
            return found
        each = zip(self._zones.names, self._each, self._pixels.tolist(), strict=True)
        zones = tuple(ZoneAreas(name, own.rows(classes), px - own.pixels.total()) for name, own, px in each)
        return replace(found, zones=zones, notes=(*self._zones.notes, *self._notes(self._zones)))

    def _notes(self, zones: Zones) -> list[str]:
        """Return sentences about zones that lie elsewhere, are too small, overlap, or leave pixels out."""
        notes = []
        if zones.away:
            notes.append(f"{zones.away:,} of {len(zones):,} zones {_lie(zones.away)} outside the raster")
        if bare := int((self._pixels == 0).sum()) - zones.away:
            notes.append(f"{bare:,} of {len(zones):,} zones {'covers' if bare == 1 else 'cover'} no pixel's centre")
        if self._several:
            notes.append(f"{self._several:,} px lie in more than one zone and count in each of them")
        if self._outside:
            notes.append(f"{self._outside:,} px of a class lie in no zone")
        return notes


def _lie(count: int) -> str:
    return "lies" if count == 1 else "lie"


def count_areas(source: ClassRaster, zones: Zones | None = None, *, quiet: bool = True) -> Areas:
    """Return pixels, hectares and shares by class of a class raster that is open, and of zones on it."""
    counts = AreaCounts(source, zones)
    with Progress(source.rect.area, quiet=quiet) as progress:
        for rect, strip in zip(source.rects(), source.strips(progress.add), strict=True):
            counts.add(rect, strip)
    source.report_absent()
    return counts.areas()
