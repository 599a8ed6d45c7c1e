"""One class raster written to one set of vector files, for `export` and for `predict --polygons`."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from landseg.classes import MAX_VALUE, ClassMap
from landseg.geo.class_areas import ClassAreas, Ground
from landseg.geo.crs import crs_text
from landseg.geo.grid import Grid, Rect, map_crs
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.ruler import Ruler
from landseg.output.vector_files import Files, Style
from landseg.output.vector_formats import GEOJSON, vector_format
from landseg.runtime.disk import claimed, disk_errors, work_folder
from landseg.runtime.progress import Progress
from landseg.runtime.replacement import Part
from landseg.text.amounts import counted
from landseg.vector.attributes import field_types
from landseg.vector.classraster import ClassRaster, open_confidence, read_confidence
from landseg.vector.crs import Reprojection
from landseg.vector.dissolve import Dissolver
from landseg.vector.export_options import ClassTotal, Export, ExportOptions
from landseg.vector.lines_points import ExtraFile, LinesAndPoints
from landseg.vector.outlines import Outlines, make_outlines, pixel_area
from landseg.vector.pixel_areas import ClassAreaSums
from landseg.vector.right_angles import draw_right_angles, fits_file

if TYPE_CHECKING:
    from landseg.output.spool import Columns

_log = logging.getLogger(__name__)
_MANY = 200_000  # features; to write more takes so long that a line of the log announces it

Chunk = tuple[dict[str, NDArray[Any]], NDArray[np.int64], NDArray[np.object_]]
"""The columns, numbers of pixels and shapes of a chunk of features."""


@dataclass
class Exporter:
    """The export of one class raster to one set of files.

    Attributes:
        source: the class raster.
        out: the main file.
        options: the options of `export`.
        crs: the CRS of the files.
        confidence: a raster of confidences on the same grid.
        called: the name of the output in messages, where users do not know it as `out`.
        counts: numbers of features that were written, by class value (65536,).
        areas: areas of these features, by class value (65536,).
        pixel_areas: areas of the pixels of each class in the raster, measured as outlines are; None where outlines
            are those of pixels.
        ground: areas of the pixels of each class on the ellipsoid.
        extra_files: the files of lines and points, after `write`.
        styles: the style of each file, after `write`.
    """

    source: ClassRaster
    out: Path
    options: ExportOptions
    crs: pyproj.CRS | None
    confidence: RasterFile | None = None
    called: Path | None = None
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(MAX_VALUE + 1, np.int64))
    areas: NDArray[np.float64] = field(default_factory=lambda: np.zeros(MAX_VALUE + 1))
    pixel_areas: ClassAreaSums | None = None
    ground: ClassAreas | None = None
    extra_files: list[ExtraFile] = field(default_factory=list)
    styles: list[Style] = field(default_factory=list)
    _paths: tuple[Path, ...] = ()

    @cached_property
    def ruler(self) -> Ruler:
        """Return the ruler for areas and lengths."""
        return Ruler.of(self.source.grid, geodesic=self.options.geodesic)

    @cached_property
    def reprojection(self) -> Reprojection:
        """Return the way from the raster's map to the CRS of the files."""
        form, asked = vector_format(self.out), self.options.crs is not None
        return Reprojection.of(form, self.source.grid, self.crs, asked=asked)

    def write(self, work: Path) -> list[Part]:
        """Write all features and complete the files; return the parts to publish, the main file last.

        Raises:
            LandsegError: see `export`.
        """
        source = self.source
        warn_of_no_crs(source.file.label if self.called is None else str(self.called), self.out, source.grid)
        files, lines_points = self._files(work), self._lines_and_points(work)
        features = self._features(work, lines_points)
        for columns, _, shapes in self._dissolved(features, work) if self.options.dissolve else features:
            self._count(columns)
            files.write(columns, self.reprojection(shapes))
        shaping = self.options.shaping.with_pixel_sieve(pixel_area(source.grid, self.ruler))
        lines_points.draw_lines(lambda: shaping.clean(source.strips(), nodata=source.nodata, work=work / "arcs"))
        self._report_absent()
        if files.count > _MANY:
            _log.info("writing %s", counted(files.count, "feature"))
        parts, self.extra_files = lines_points.finish()
        self.styles = [*files.styles(source.classes), *lines_points.styles]
        self._paths = files.paths
        return parts + files.finish(source.classes)

    def result(self, seconds: float) -> Export:
        """Return the finished export, after `write`; it took ``seconds``."""
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
            tuple(self.extra_files),
            round(seconds, 3),
            self.source.left_out.to_json(),
            None if not located else "ellipsoid" if self.ruler.ground else "plane",
        )

    def _report_absent(self) -> None:
        """Warn of classes that an option names and that do not occur, and of an export without any class.

        Raises:
            ClassError: --classes names a class that the raster does not have.
        """
        self.source.report_absent()
        options, label = self.options, self.source.file.label
        for option in ("regularize", "centerlines", "centroids"):
            entries = self.source.classes_of(getattr(options, option), f"--{option}")
            names = [entry.name for entry in entries if not self.counts[entry.value]]
            if names:
                _log.warning("%s has no pieces of %s, which --%s names", label, ", ".join(names), option)
        if options.by_class_files and not self.source.classes:
            _log.warning("%s has neither a class table nor pixels of a class: there is no file to write", label)

    def _files(self, work: Path) -> Files:
        options, located = self.options, self.source.grid.crs is not None
        kind = "MultiPolygon" if options.dissolve or options.connectivity == 8 else "Polygon"
        return Files(
            self.out,
            field_types(located=located, confidence=self.confidence is not None),
            crs=self.reprojection.crs,
            kind=self.reprojection.kind(kind),
            work=work,
            classes=self.source.classes if options.by_class_files else None,
            called=self.called,
            overwrite=options.overwrite,
        )

    def _lines_and_points(self, work: Path) -> LinesAndPoints:
        return LinesAndPoints(
            self.out,
            self.source.grid,
            reprojection=self.reprojection,
            lines=self.source.classes_of(self.options.centerlines, "--centerlines"),
            points=self.source.classes_of(self.options.centroids, "--centroids"),
            work=work,
            confidence=self.confidence is not None,
            spur=self.options.spur,
        )

    def _count(self, columns: Columns) -> None:
        area = columns["area_m2" if "area_m2" in columns else "area_px"]
        self.counts += np.bincount(columns["value"], minlength=MAX_VALUE + 1)
        self.areas += np.bincount(columns["value"], area, minlength=MAX_VALUE + 1)

    def _features(self, work: Path, lines_points: LinesAndPoints) -> Iterator[Chunk]:
        """Yield polygons with their columns; those that get right angles come last, and all at once."""
        square = [entry.value for entry in self.source.classes_of(self.options.regularize, "--regularize")]
        waiting: list[Outlines] = []
        for part in self._outlines(work):
            columns = self._columns(part)
            lines_points.add_points(columns, part.shapes)
            now = ~np.isin(part.value, square)
            if not now.all():
                waiting.append(part.select(~now))
                columns = {name: column[now] for name, column in columns.items()}
            yield columns, part.pixels[now], part.shapes[now]
        if waiting:
            part = Outlines.concatenate(waiting)
            fits = fits_file(self.out, self.reprojection)
            shapes = draw_right_angles(
                part.shapes, self.source.grid, tolerance=self.options.right_angle_tolerance, fits=fits
            )
            part = replace(part, shapes=shapes)
            yield self._columns(part), part.pixels, part.shapes

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
        """Yield the outlines of regions; reading makes half of the progress, outlines make the other half."""
        source, area, added, small = self.source, self.source.rect.area, 0, 0
        folder = work / "arcs"
        with disk_errors(self.called or self.out):
            folder.mkdir()
        with Progress(area, quiet=self.options.quiet) as progress:

            def add(pixels: int) -> None:
                nonlocal added
                added += pixels // 2
                progress.add(pixels // 2)

            for part in make_outlines(
                self._measured(source.strips(add)),
                source.grid,
                nodata=source.nodata,
                shaping=self.options.shaping,
                ruler=self.ruler,
                work=folder,
                confidence=None if self.confidence is None else self._confidence,
                is_selected=source.is_selected,
            ):
                small += self._too_small(part)
                yield part
                add(int(part.pixels.sum()))
            progress.add(area - added)  # pixels without a class
        if small:
            verb, them = ("stays", "it") if small == 1 else ("stay", "them")
            _log.warning(
                "%s smaller than --min-area %s: no other class is beside %s", counted(small, "piece"), verb, them
            )

    def _too_small(self, part: Outlines) -> int:
        """Return the number of pieces below --min-area, which stay because they have no neighbour to merge into."""
        least, ruler = self.options.min_area, self.ruler
        if not least or not len(part.value):
            return 0
        areas = ruler.measure(part.shapes)[0] if ruler.ground else part.pixels * pixel_area(self.source.grid, ruler)
        return int((areas < least * (1 - 1e-9)).sum())

    def _measured(self, strips: Iterator[NDArray[Any]]) -> Iterator[NDArray[Any]]:
        """Yield the same strips, and add up the areas of their classes."""
        source, ground = self.source, Ground(self.source.whole)
        self.ground = ClassAreas(ground)
        if not self.options.shaping.keeps_pixels or self.options.regularize:
            self.pixel_areas = ClassAreaSums(source.grid, self.ruler, nodata=source.nodata)
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
        """Return the columns of outlines by name."""
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
    """Write a class raster as polygons, for a run that publishes the file itself; return their number.

    Args:
        raster: the class raster.
        out: the file, in a folder of its own, which also gets the files that belong beside it.
        classes: the classes of the raster.
        called: the name of `out` in messages.
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
            for made, target in (move for part in run.write(work) for move in part.moves):
                os.replace(made, target)
    return int(run.counts.sum())


@contextmanager
def disk_sentences(out: Path) -> Iterator[None]:
    """Raise errors of the disk in the work folder as OutputError with a sentence about ``out``."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # an error of a raster that is read
            raise
        with disk_errors(out):
            raise


def warn_of_styles(stayed: Sequence[Path]) -> None:
    """Warn of styles that users made and that stay."""
    for style in stayed:
        _log.warning("%s is there and stays as it is: replace it with --overwrite", style)


def warn_of_no_crs(name: str, out: Path, grid: Grid) -> None:
    """Warn where a raster called ``name`` has no CRS, and of what that means in a file."""
    if grid.crs is None:
        note = "; so is the GeoJSON, which others take for degrees" if vector_format(out) is GEOJSON else ""
        _log.warning("%s has no coordinate system: sizes are in pixels%s", name, note)
