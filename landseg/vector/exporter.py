"""One class raster on its way to one set of vector files: what `export` and `predict --polygons` do with it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from landseg.classes import MAX_VALUE, ClassMap
from landseg.geo.class_areas import ClassAreas, Ground
from landseg.geo.crs import crs_text
from landseg.geo.grid import Rect, map_crs
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.ruler import Ruler
from landseg.output.spool import Columns
from landseg.output.vector_files import Files, Style
from landseg.output.vector_formats import GEOJSON, GEOJSON_DIGITS, vector_format
from landseg.runtime.disk import claimed, disk_errors, work_folder
from landseg.runtime.progress import Progress
from landseg.runtime.replacement import Part
from landseg.text.amounts import counted, part_of
from landseg.vector.attributes import field_types
from landseg.vector.classraster import ClassRaster, open_confidence, read_confidence
from landseg.vector.crs import CRS84, Place, reproject
from landseg.vector.dissolve import Dissolver
from landseg.vector.export_options import ClassTotal, Export, ExportOptions
from landseg.vector.lines_points import ExtraFile, LinesAndPoints
from landseg.vector.outlines import Outlines, outlines, pixel_area
from landseg.vector.pixel_areas import PixelAreas
from landseg.vector.regularize import regularize

_log = logging.getLogger(__name__)
_MANY = 200_000  # features whose file takes long enough to say so
_EDGE_M, _EDGE_PIXELS = 1.0, 2.0  # the longer of both: the shortest edge of a right-angled outline

Chunk = tuple[dict[str, NDArray[Any]], NDArray[np.int64], NDArray[np.object_]]
"""Columns, numbers of pixels and shapes of some features."""


@dataclass
class Exporter:
    """One class raster on its way to one set of files.

    Attributes:
        crs: that the shapes are written in.
        confidence: a raster on the same grid.
        called: how sentences name the output, where `out` is not the name that people know.
        counts: features so far, by class value.
        areas: their areas.
        pixel_areas: what the classes' pixels cover in the raster, where outlines are not those of pixels, measured as
            the outlines are.
        ground: what the classes' pixels cover on the ellipsoid.
        further: files of lines and points, once made.
        styles: what each file is to be painted by, once made.
    """

    source: ClassRaster
    out: Path
    options: ExportOptions
    crs: pyproj.CRS | None
    confidence: RasterFile | None = None
    called: Path | None = None
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(MAX_VALUE + 1, np.int64))
    areas: NDArray[np.float64] = field(default_factory=lambda: np.zeros(MAX_VALUE + 1))
    pixel_areas: PixelAreas | None = None
    ground: ClassAreas | None = None
    further: list[ExtraFile] = field(default_factory=list)
    styles: list[Style] = field(default_factory=list)
    _paths: tuple[Path, ...] = ()

    @cached_property
    def ruler(self) -> Ruler:
        """What measures areas and lengths."""
        return Ruler.of(self.source.grid, geodesic=self.options.geodesic)

    @cached_property
    def place(self) -> Place:
        """Where the shapes go."""
        form, asked = vector_format(self.out), self.options.crs is not None
        return Place.of(form, self.source.grid, self.crs, asked=asked)

    def made(self, work: Path) -> list[Part]:
        """Write every feature and complete the files; what is to be published, the main file last.

        Raises:
            LandsegError: see `export`.
        """
        source = self.source
        if source.grid.crs is None:
            note = "; so is the GeoJSON, which others take for degrees" if vector_format(self.out) is GEOJSON else ""
            name = source.file.label if self.called is None else self.called
            _log.warning("%s has no coordinate system: sizes are in pixels%s", name, note)
        files, further = self._files(work), self._further(work)
        features = self._features(work, further)
        for columns, _, shapes in self._dissolved(features, work) if self.options.dissolve else features:
            self._count(columns)
            files.write(columns, self.place(shapes))
        shaping = self.options.shaping.by_pixels(pixel_area(source.grid, self.ruler))
        further.draw_lines(lambda: shaping.cleaned(source.strips(), nodata=source.nodata, work=work / "arcs"))
        self._tell_absent()
        if files.count > _MANY:
            _log.info("writing %s", counted(files.count, "feature"))
        parts, self.further = further.finish()
        self.styles = [*files.styles(source.classes), *further.styles]
        self._paths = files.paths
        return parts + files.finish(source.classes)

    def summary(self, seconds: float) -> Export:
        """What was written, by class."""
        located = self.source.grid.crs is not None
        totals, unit = [], "m2" if located else "px"
        rows = () if self.ground is None else self.ground.rows(self.source.classes)
        hectares = {row.value: row.hectares for row in rows if row.hectares is not None}
        for entry in self.source.classes:
            area = float(self.areas[entry.value])
            sizes = {f"area_{unit}": round(area, 3)}
            if self.pixel_areas is not None:
                sizes[f"area_change_{unit}"] = round(area - float(self.pixel_areas.areas[entry.value]), 3)
            if entry.value in hectares:
                sizes["hectares"] = hectares[entry.value]
            totals.append(ClassTotal(entry.value, entry.name, int(self.counts[entry.value]), **sizes))
        form = vector_format(self.out)
        crs = None if self.crs is None else "OGC:CRS84" if form is GEOJSON else crs_text(self.crs)
        count = int(self.counts.sum())
        return Export(
            self.out,
            self._paths,
            form.name,
            count,
            tuple(totals),
            crs,
            tuple(self.further),
            round(seconds, 3),
            self.source.left_out.to_json(),
            None if not located else "ellipsoid" if self.ruler.ground else "plane",
        )

    def _tell_absent(self) -> None:
        """Says which classes an option names that do not occur, and that there is no class to make a file of.

        Raises:
            ClassError: --classes names what is no class.
        """
        self.source.tell_absent()
        options, label = self.options, self.source.file.label
        for option in ("regularize", "centerlines", "centroids"):
            entries = self.source.chosen(getattr(options, option), f"--{option}")
            names = [entry.name for entry in entries if not self.counts[entry.value]]
            if names:
                _log.warning("%s has no pieces of %s, which --%s names", label, ", ".join(names), option)
        if options.by_class_files and not self.source.classes:
            _log.warning("%s names no class and holds none: there is no file to write", label)

    def _files(self, work: Path) -> Files:
        options, located = self.options, self.source.grid.crs is not None
        return Files(
            self.out,
            field_types(located=located, confidence=self.confidence is not None),
            crs=self.place.crs,
            kind=self.place.kind("MultiPolygon" if options.dissolve or options.connectivity == 8 else "Polygon"),
            work=work,
            classes=self.source.classes if options.by_class_files else None,
            called=self.called,
            overwrite=options.overwrite,
        )

    def _further(self, work: Path) -> LinesAndPoints:
        return LinesAndPoints(
            self.out,
            self.source.grid,
            place=self.place,
            lines=self.source.chosen(self.options.centerlines, "--centerlines"),
            points=self.source.chosen(self.options.centroids, "--centroids"),
            work=work,
            confidence=self.confidence is not None,
            spur=self.options.spur,
        )

    def _count(self, columns: Columns) -> None:
        area = columns["area_m2" if "area_m2" in columns else "area_px"]
        self.counts += np.bincount(columns["value"], minlength=MAX_VALUE + 1)
        self.areas += np.bincount(columns["value"], area, minlength=MAX_VALUE + 1)

    def _features(self, work: Path, further: LinesAndPoints) -> Iterator[Chunk]:
        """Polygons with their columns; those that get right angles come last, and all at once."""
        square = [entry.value for entry in self.source.chosen(self.options.regularize, "--regularize")]
        waiting: list[Outlines] = []
        for part in self._outlines(work):
            columns = self._columns(part)
            further.add_points(columns, part.shapes)
            now = ~np.isin(part.value, square)
            if not now.all():
                waiting.append(part.chosen(~now))
                columns = {name: column[now] for name, column in columns.items()}
            yield columns, part.pixels[now], part.shapes[now]
        if waiting:
            part = Outlines.joined(waiting)
            grid = self.source.grid
            pixel = abs(grid.map_transform.determinant) ** 0.5
            shortest = _EDGE_PIXELS * pixel if grid.crs is None else max(_EDGE_M, 2 * (grid.resolution_m or 0))
            tolerance = self.options.right_angle_tolerance or shortest
            done = regularize(part.shapes, crs=map_crs(grid), tolerance_m=tolerance, fits=self._fit)
            squared = int(done.right_angled.sum())
            right = part_of(squared, len(done.polygons), "outline", "has", "have")
            _log.info("%s right angles now, the others are kept", right)
            part = replace(part, shapes=done.polygons)
            yield self._columns(part), part.pixels, part.shapes

    def _fit(self, shapes: NDArray[np.object_]) -> NDArray[np.bool_]:
        """Which outlines are valid polygons, here and where they are written; GeoJSON rounds coordinates too."""
        there = self.place(shapes)
        if vector_format(self.out) is GEOJSON:
            if self.place.crs is not None:
                there = reproject(there, self.place.crs, pyproj.CRS.from_user_input(CRS84))
            there = shapely.transform(there, lambda points: points.round(GEOJSON_DIGITS))
        return np.asarray(shapely.is_valid(shapes) & shapely.is_valid(there))

    def _dissolved(self, features: Iterator[Chunk], work: Path) -> Iterator[Chunk]:
        folder = work / "classes"
        with disk_errors(self.called or self.out):
            folder.mkdir()
        pile = Dissolver(folder, redrawn=bool(self.options.regularize))
        for columns, pixels, shapes in features:
            pile.add(columns, shapes, pixels)
        for columns, shapes in pile.features():
            yield columns, np.zeros(len(shapes), np.int64), shapes

    def _outlines(self, work: Path) -> Iterator[Outlines]:
        """The regions, with progress: half of it when they are read, half when they are outlined."""
        source, area, told, small = self.source, self.source.rect.area, 0, 0
        folder = work / "arcs"
        with disk_errors(self.called or self.out):
            folder.mkdir()
        with Progress(area, quiet=self.options.quiet) as progress:

            def tell(pixels: int) -> None:
                nonlocal told
                told += pixels // 2
                progress.add(pixels // 2)

            for part in outlines(
                self._noted(source.strips(tell)),
                source.grid,
                nodata=source.nodata,
                shaping=self.options.shaping,
                ruler=self.ruler,
                work=folder,
                confidence=None if self.confidence is None else self._confidence,
                wanted=source.wants,
            ):
                small += self._too_small(part)
                yield part
                tell(int(part.pixels.sum()))
            progress.add(area - told)  # what had no class
        if small:
            many = ("", "s", "it") if small == 1 else ("s", "", "them")
            sentence = "%d piece%s smaller than --min-area stay%s: no other class is beside %s"
            _log.warning(sentence, small, *many)

    def _too_small(self, part: Outlines) -> int:
        """How many pieces are below the minimum, because nothing is beside them that they could go into."""
        least, ruler = self.options.min_area, self.ruler
        if not least or not len(part.value):
            return 0
        areas = ruler.measure(part.shapes)[0] if ruler.ground else part.pixels * pixel_area(self.source.grid, ruler)
        return int((areas < least * (1 - 1e-9)).sum())

    def _noted(self, strips: Iterator[NDArray[Any]]) -> Iterator[NDArray[Any]]:
        """The same strips; what their classes cover is kept, by the outlines' ruler too if these will change."""
        source, ground = self.source, Ground(self.source.whole)
        self.ground = ClassAreas(ground)
        if not self.options.shaping.keeps_pixels or self.options.regularize:
            self.pixel_areas = PixelAreas(source.grid, self.ruler, nodata=source.nodata)
        for rect, strip in zip(source.rects(), strips, strict=True):
            self.ground.add(strip, ground.weights(rect), nodata=source.nodata)
            if self.pixel_areas is not None:
                self.pixel_areas.add(strip)
            yield strip

    def _confidence(self, top: int, rows: int) -> NDArray[np.float32]:
        assert self.confidence is not None
        rect = self.source.rect
        return read_confidence(self.confidence, Rect(rect.top + top, rect.left, rows, rect.width))

    def _columns(self, part: Outlines) -> dict[str, NDArray[Any]]:
        """What is known of some outlines."""
        source = self.source
        areas, lengths = self.ruler.measure(part.shapes)
        names = {entry.value: entry.name for entry in source.classes}
        values, which = np.unique(part.value, return_inverse=True)
        texts = np.array([names[int(value)] for value in values], dtype=object)[which]
        data: list[NDArray[Any]] = [source.first_in_whole(part.first) + 1, part.value, texts, areas, lengths]
        if part.confidence is not None:
            data += list(part.confidence.T)
        fields = field_types(located=source.grid.crs is not None, confidence=part.confidence is not None)
        return dict(zip(fields, data, strict=True))


def polygonize(
    raster: Path,
    out: Path,
    classes: ClassMap,
    *,
    called: Path | None = None,
    confidence: Path | None = None,
) -> int:
    """The number of polygons that a class raster was written as, to replace `out`, for a run that publishes itself.

    Args:
        raster: of classes.
        out: in a folder of its own, which gets everything that is to lie beside the polygons.
        classes: the raster's.
        called: how people know `out`.
        confidence: a raster on the same grid, whose mean and minimum become columns.

    Raises:
        LandsegError: see `export`.
    """
    with ExitStack() as stack:
        source = stack.enter_context(ClassRaster(raster, table=classes))
        run = Exporter(source, out, ExportOptions(quiet=True), map_crs(source.grid), called=called)
        if confidence is not None:
            run.confidence = stack.enter_context(closing(open_confidence(confidence, source)))
        with disk_errors(called or out):
            work_folder(out).mkdir(exist_ok=True)
        with claimed(out) as work, disk_sentences(called or out):
            for made, target in (move for part in run.made(work) for move in part.moves):
                os.replace(made, target)
    return int(run.counts.sum())


@contextmanager
def disk_sentences(out: Path) -> Iterator[None]:
    """What the disk refuses in the work folder, as a sentence about ``out``."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # of a raster that is read
            raise
        with disk_errors(out):
            raise
