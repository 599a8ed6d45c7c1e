"""The use case after the map: a class raster as clean vector land cover."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from landseg.classes import ClassMap
from landseg.errors import GridError
from landseg.exported import ClassTotal, ExportOptions, ExportSummary
from landseg.geo.raster import RasterFile
from landseg.geo.store import disk_errors, work_folder
from landseg.geo.targets import check_absent, check_targets, files_behind, refuse_promise
from landseg.tiling.progress import Progress
from landseg.vector.attributes import Ruler, field_types, map_crs
from landseg.vector.classraster import ClassRaster, open_confidence, read_confidence
from landseg.vector.dissolve import Dissolver
from landseg.vector.files import Files, add_styles, claimed, class_files
from landseg.vector.formats import GEOJSON, vector_format
from landseg.vector.outlines import Outlines, Shaping, outlines
from landseg.vector.place import crs_name, moved, output_crs
from landseg.vector.writer import Move, publish

__all__ = ["ExportOptions", "ExportSummary", "export", "polygonize"]

_log = logging.getLogger(__name__)
_MANY = 200_000  # features whose file takes long enough to say so
File = str | PathLike[str]
Chunk = tuple[dict[str, NDArray[Any]], NDArray[np.object_]]


def export(raster: File, out: File, options: ExportOptions | None = None, **more: Any) -> ExportSummary:
    """A class raster as polygons at `out`, in the format that its suffix names.

    One polygon for each connected piece of a class; its corners are pixel corners, exactly. The files appear when
    they are complete, or not at all. Memory is bounded by a strip of the raster and the largest polygon.

    Args:
        raster: a class raster, anything GDAL opens.
        out: .gpkg, .shp, .shp.zip, .fgb, .geojson or .parquet.
        options: see `ExportOptions`; or its fields by name.

    Raises:
        LandsegError: one sentence: what was expected, what was found, what to do.
    """
    start, wanted, target = time.perf_counter(), options or ExportOptions.of(**more), Path(out)
    form = vector_format(target)
    area = wanted.area_of_interest
    with ExitStack() as stack:
        source = stack.enter_context(ClassRaster(fspath(raster), classes=wanted.classes, aoi=area))
        _check_files(target, source, wanted)
        crs = output_crs(form, source.grid, wanted.crs, name=source.file.label)
        confidence = None
        if wanted.confidence is not None:
            confidence = open_confidence(wanted.confidence, source)
            stack.callback(confidence.close)
        run = _Run(source, target, wanted, crs=crs, confidence=confidence)
        try:
            with claimed(target) as work:
                moves = run.made(work)
                publish(moves)
        except Exception as error:
            refuse_promise(error)
            raise
        for stayed in add_styles(run.paths, source.classes, replace=wanted.overwrite):
            _log.warning("%s is there and stays as it is: replace it with --overwrite", stayed)
        return run.summary(time.perf_counter() - start)


def polygonize(raster: Path, out: Path, classes: ClassMap, *, called: Path | None = None) -> int:
    """The number of polygons that a class raster was written as, to replace `out`, for a run that publishes itself.

    Where `out` is not the name that people know, `called` is. No .qml is written.

    Raises:
        LandsegError: see `export`.
    """
    with ClassRaster(raster, table=classes) as source:
        run = _Run(source, out, ExportOptions(quiet=True), crs=map_crs(source.grid), called=called)
        with disk_errors(called or out):
            work_folder(out).mkdir(exist_ok=True)
        with claimed(out) as work:
            publish(run.made(work))
    return sum(run.counts.values())


@dataclass
class _Run:
    """One class raster on its way to one set of files."""

    source: ClassRaster
    out: Path
    options: ExportOptions
    crs: pyproj.CRS | None
    confidence: RasterFile | None = None
    called: Path | None = None
    counts: Counter[int] = field(default_factory=Counter)
    areas: Counter[int] = field(default_factory=Counter)
    paths: tuple[Path, ...] = ()

    @cached_property
    def ruler(self) -> Ruler:
        """What measures areas and lengths."""
        return Ruler.of(self.source.grid, geodesic=self.options.geodesic)

    def made(self, work: Path) -> list[Move]:
        """Writes every feature and completes the files; the renames that publish them."""
        source, options = self.source, self.options
        if source.grid.crs is None:
            also = "sizes" if options.min_area == 0 else "sizes and --min-area"
            _log.warning("%s has no coordinate system: %s are in pixels (area_px)", source.file.label, also)
        files = Files(
            self.out,
            field_types(located=source.grid.crs is not None, confidence=options.confidence is not None),
            crs=self.crs,
            kind="MultiPolygon" if options.dissolve or options.connectivity == 8 else "Polygon",
            work=work,
            classes=source.classes if options.by_class_files else None,
            called=self.called,
            overwrite=options.overwrite,
        )
        for columns, shapes in self._dissolved(work) if options.dissolve else self._features(work):
            for value, area in zip(columns["value"].tolist(), columns[self._area].tolist(), strict=True):
                self.counts[value] += 1
                self.areas[value] += area
            files.write(columns, moved(shapes, map_crs(source.grid), self.crs))
        if files.count > _MANY:
            _log.info("writing %d features", files.count)
        self.paths = files.paths
        return files.finish(source.classes)

    def summary(self, seconds: float) -> ExportSummary:
        """What was written, by class."""
        located = self.source.grid.crs is not None
        totals = []
        for entry in self.source.classes:
            area = round(float(self.areas[entry.value]), 3)
            sizes = {"area_m2": area} if located else {"area_px": area}
            totals.append(ClassTotal(entry.value, entry.name, self.counts[entry.value], **sizes))
        form, crs = vector_format(self.out), self.crs
        name = None if crs is None else "OGC:CRS84" if form is GEOJSON else crs_name(crs)
        features = sum(self.counts.values())
        return ExportSummary(self.out, self.paths, form.name, features, tuple(totals), name, round(seconds, 3))

    @property
    def _area(self) -> str:
        return "area_m2" if self.source.grid.crs is not None else "area_px"

    def _features(self, work: Path) -> Iterator[Chunk]:
        for part in self._outlines(work):
            yield self._attributed(part)

    def _dissolved(self, work: Path) -> Iterator[Chunk]:
        folder = work / "classes"
        with disk_errors(self.out):
            folder.mkdir()
        pile = Dissolver(folder)
        for part in self._outlines(work):
            columns, shapes = self._attributed(part)
            pile.add(columns, shapes, part.pixels)
        yield from pile.features()

    def _outlines(self, work: Path) -> Iterator[Outlines]:
        """The regions, with progress: half of it when they are read, half when they are outlined."""
        source, area, options = self.source, self.source.rect.area, self.options
        told = 0
        folder = work / "arcs"
        with disk_errors(self.called or self.out):
            folder.mkdir()
        with Progress(area, quiet=self.options.quiet) as progress:

            def tell(pixels: int) -> None:
                nonlocal told
                told += pixels // 2
                progress.add(pixels // 2)

            regions = outlines(
                source.strips(tell),
                source.grid,
                nodata=source.nodata,
                shaping=Shaping(options.connectivity, options.min_area),
                ruler=self.ruler,
                work=folder,
                confidence=self._confidences(),
            )
            for part in regions:
                yield part
                tell(int(part.pixels.sum()))
            progress.add(area - told)  # what had no class

    def _confidences(self) -> Iterator[NDArray[np.float32]] | None:
        file = self.confidence
        return None if file is None else (read_confidence(file, rect) for rect in self.source.rects())

    def _attributed(self, part: Outlines) -> Chunk:
        """Map shapes with their columns."""
        source = self.source
        areas, lengths = self.ruler.measure(part.shapes)
        names = {entry.value: entry.name for entry in source.classes}
        values, which = np.unique(part.value, return_inverse=True)
        texts = np.array([names[int(value)] for value in values], dtype=object)[which]
        data: list[NDArray[Any]] = [source.first_in_whole(part.first) + 1, part.value, texts, areas, lengths]
        if part.confidence is not None:
            data += list(part.confidence.T)
        fields = field_types(located=source.grid.crs is not None, confidence=part.confidence is not None)
        return dict(zip(fields, data, strict=True)), part.shapes


def _check_files(out: Path, source: ClassRaster, options: ExportOptions) -> None:
    """What can be refused before any work."""
    if source.grid.crs is None and options.geodesic:
        raise GridError(f"{source.file.label} has no coordinate system: leave --geodesic out, or assign one")
    also = [Path(str(file)) for file in (options.aoi, options.confidence) if isinstance(file, (str, PathLike))]
    inputs = [Path(source.file.path), *also, *files_behind(list(source.file.info.files))]
    targets = list(class_files(out, source.classes).values()) if options.by_class_files else [out]
    check_targets((), targets or [out], inputs)
    if not options.overwrite:
        check_absent((), targets)
