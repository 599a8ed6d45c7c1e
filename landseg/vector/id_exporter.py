"""One raster of ids written to one vector file: a polygon for each object, and beside them those of classes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from landseg.classes import LandClass
from landseg.errors import ClassError
from landseg.geo.crs import crs_text
from landseg.geo.ruler import Ruler
from landseg.output.styles import OBJECTS
from landseg.output.vector_files import Files, Style
from landseg.output.vector_formats import GEOJSON, vector_format
from landseg.runtime.disk import disk_errors
from landseg.runtime.progress import Progress
from landseg.runtime.replacement import Part
from landseg.text.amounts import counted
from landseg.vector.attributes import object_fields
from landseg.vector.class_selection import named_parts, values_of
from landseg.vector.crs import Reprojection
from landseg.vector.export_options import ClassTotal, Export, ExportOptions
from landseg.vector.exporter import Chunk, warn_of_no_crs
from landseg.vector.id_outlines import CLASS, OBJECT, IdOutlines, IdRegions, IdShaping, trace_objects
from landseg.vector.id_raster import IdRaster
from landseg.vector.right_angles import draw_right_angles, fits_file

_log = logging.getLogger(__name__)
ALL = "all"
"""The word for the objects of every class in --regularize."""


@dataclass
class IdExporter:
    """The export of one raster of ids to one file.

    Attributes:
        source: the raster of ids.
        out: the file.
        options: the options of `export`.
        crs: the CRS of the file.
        scores: the score of each object by its id less one (n,); None: they are not known.
        called: the name of the output in messages, where users do not know it as `out`.
        counts, areas: number and area of the polygons of each class by its value; -1 is no known class.
        regions: what was drawn, after `write`.
    """

    source: IdRaster
    out: Path
    options: ExportOptions
    crs: pyproj.CRS | None
    scores: NDArray[np.float32] | None = None
    called: Path | None = None
    counts: dict[int, int] = field(default_factory=dict)
    areas: dict[int, float] = field(default_factory=dict)
    styles: list[Style] = field(default_factory=list)
    _paths: tuple[Path, ...] = ()

    @cached_property
    def ruler(self) -> Ruler:
        """Return the ruler for areas and lengths."""
        return Ruler.of(self.source.grid, geodesic=self.options.geodesic)

    @cached_property
    def reprojection(self) -> Reprojection:
        """Return the way from the raster's map to the CRS of the file."""
        asked = self.options.crs is not None
        return Reprojection.of(vector_format(self.out), self.source.grid, self.crs, asked=asked)

    @cached_property
    def _fields(self) -> dict[str, str]:
        """Return the columns by name; an empty one of scores would say that polygons are no objects."""
        known = self.source.has_classes or self.source.table is not None
        scores = self.source.stuff or self.scores is not None
        return object_fields(located=self.source.grid.crs is not None, classes=known, scores=scores)

    @cached_property
    def right_angled(self) -> frozenset[int] | None:
        """Return the values of the classes whose objects get right angles; None: objects of every class.

        Raises:
            ClassError: --regularize names a class that no object can have.
        """
        if self.options.regularize is None:
            return frozenset()
        parts, label = named_parts(self.options.regularize, "--regularize"), self.source.file.label
        if parts == [ALL]:
            return None
        if self.source.table is None and not self.source.has_classes:
            raise ClassError(
                f"{label} does not say of which class its objects are: give --regularize {ALL}, or a class raster "
                "with --classes-from"
            )
        return values_of(parts, self.source.table, label, complete=not self.source.has_classes)

    def write(self, work: Path) -> list[Part]:
        """Write all polygons and complete the file; return the parts to publish.

        Raises:
            LandsegError: see `export`.
        """
        source = self.source
        warn_of_no_crs(source.file.label if self.called is None else str(self.called), self.out, source.grid)
        folder = work / "arcs"
        with disk_errors(self.called or self.out):
            folder.mkdir()
        with Progress(2 * source.rect.area, quiet=self.options.quiet) as progress:
            regions = self._traced(progress, folder)
            files = self._files(work, regions)
            drawn = 0
            for columns, pixels, shapes in self._features(regions):
                files.write(columns, self.reprojection(shapes))
                progress.add(int(pixels.sum()))
                drawn += int(pixels.sum())
            progress.add(max(0, source.rect.area - drawn))  # pixels without a polygon
        classes = self._classes() or OBJECTS
        self.styles, self._paths = files.styles(classes), files.paths
        return files.finish(classes)

    def result(self, seconds: float) -> Export:
        """Return the finished export, after `write`; it took ``seconds``."""
        located = self.source.grid.crs is not None
        unit = "m2" if located else "px"
        totals = []
        for entry in self._classes():
            size = {f"area_{unit}": round(self.areas.get(entry.value, 0.0), 3)}
            totals.append(ClassTotal(entry.value, entry.name, self.counts.get(entry.value, 0), **size))
        form = vector_format(self.out)
        crs = None if self.crs is None else "OGC:CRS84" if form is GEOJSON else crs_text(self.crs)
        return Export(
            self.out,
            self._paths,
            form.name,
            sum(self.counts.values()),
            tuple(totals),
            crs,
            seconds=round(seconds, 3),
            left_out=self.source.left_out.to_json(),
            area_measure=None if not located else "ellipsoid" if self.ruler.ground else "plane",
        )

    def _classes(self) -> tuple[LandClass, ...]:
        """Return the classes of the file: all of a map, or those that objects have."""
        every = self.source.classes
        return every if self.source.stuff else tuple(entry for entry in every if entry.value in self.counts)

    def _traced(self, progress: Progress, folder: Path) -> IdRegions:
        options = self.options
        shaping = IdShaping(options.min_area, options.holes, options.simplify, options.smooth)
        strips = self.source.strips(progress.add)
        found = trace_objects(strips, self.source.grid, shaping=shaping, ruler=self.ruler, work=folder)
        if found.small:
            _log.info("%s smaller than --min-area %g left out", counted(found.small, "object"), options.min_area)
        return found

    def _files(self, work: Path, regions: IdRegions) -> Files:
        return Files(
            self.out,
            self._fields,
            crs=self.reprojection.crs,
            kind=self.reprojection.kind("MultiPolygon" if regions.several else "Polygon"),
            work=work,
            called=self.called,
            overwrite=self.options.overwrite,
        )

    def _features(self, regions: IdRegions) -> Iterator[Chunk]:
        """Yield columns, numbers of pixels and shapes: all objects before classes, which have no ids.

        Readers of GeoJSON number features without an id from 0 on, and then warn of objects that have these numbers.
        """
        waiting: list[IdOutlines] = []
        for part in regions.outlines(self.source.grid.map_transform):
            square = part.code >= OBJECT
            if self.right_angled is not None:
                square &= np.isin(self._values(part.code), list(self.right_angled))
            if square.any():
                waiting.append(part.select(square))
            if waiting and (part.code < OBJECT).any():
                yield self._squared(waiting)
                waiting = []
            yield self._chunk(part.select(~square))
        if waiting:
            yield self._squared(waiting)

    def _squared(self, parts: list[IdOutlines]) -> Chunk:
        """Return all objects that get right angles, with these."""
        part, fits = IdOutlines.concatenate(parts), fits_file(self.out, self.reprojection)
        tolerance = self.options.right_angle_tolerance
        shapes = draw_right_angles(part.shapes, self.source.grid, tolerance=tolerance, fits=fits)
        _log.info("objects with right angles do not share their borders: there are gaps between neighbours")
        return self._chunk(replace(part, shapes=shapes))

    def _values(self, code: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the class values of polygons (N,) by their codes; -1 where unknown."""
        value = (code - CLASS).astype(np.int32)
        objects = code >= OBJECT
        value[objects] = self.source.values_of(code[objects] - OBJECT)
        return value

    def _chunk(self, part: IdOutlines) -> Chunk:
        """Return polygons (N,) with their columns by name: None in place of numbers and names that are not known."""
        value = self._values(part.code)
        areas, lengths = self.ruler.measure(part.shapes)
        names = {entry.value: entry.name for entry in self.source.classes}
        texts = np.array([names.get(number) for number in value.tolist()], dtype=object)
        objects, ids = part.code >= OBJECT, part.code - OBJECT
        score = np.full(len(ids), np.nan)
        if self.scores is not None:
            score[objects] = np.round(self.scores[ids[objects] - 1].astype(np.float64), 6)
        data = [_known(ids, objects), _known(value, value >= 0), texts, score, areas, lengths, part.edge]
        columns = dict(zip(object_fields(located=self.source.grid.crs is not None), data, strict=True))
        self._count(value, areas)
        return {name: columns[name] for name in self._fields}, part.pixels, part.shapes

    def _count(self, value: NDArray[np.int32], areas: NDArray[np.float64]) -> None:
        """Add polygons (N,) to the totals of their classes."""
        for number in np.unique(value).tolist():
            chosen = value == number
            self.counts[number] = self.counts.get(number, 0) + int(chosen.sum())
            self.areas[number] = self.areas.get(number, 0.0) + float(areas[chosen].sum())


def _known(numbers: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[Any]:
    """Return numbers (N,) that are all known as they are, or with None in place of the others."""
    if known.all():
        return numbers
    found = numbers.astype(object)
    found[~known] = None
    return found
