"""The use case that goes back: polygons burnt onto a grid, as a class raster."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError

from landseg import __version__
from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.errors import ClassError, GridError
from landseg.geo.globe import PlacedShapes
from landseg.geo.grid import Grid, Rect, crs_text, scaled_size
from landseg.geo.horizontal import horizontal
from landseg.geo.pixel_size import in_units
from landseg.geo.rasters.address import file_name
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.tags import CLASSES
from landseg.geo.vectors.names import file_of, stem_of
from landseg.labels.coverage import Coverage
from landseg.labels.legend import class_tag, read_class_table, read_legend
from landseg.labels.polygons import PolygonLabels, pixel_grid
from landseg.labels.reader import class_indices
from landseg.output.checks import check_absent, check_targets, files_behind
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.output.targets import Targets
from landseg.runtime.progress import Progress, duration
from landseg.text.amounts import counted

File = str | PathLike[str]
Box = tuple[float, float, float, float]
_RULES = ("a pixel is of the last polygon that covers its centre", "a pixel is of the last polygon that touches it")
_MOST = (1 << 31) - 1  # rows or columns that a raster can have
STRIP_PIXELS = 1 << 22  # that are burnt at a time


@dataclass(frozen=True)
class RasterizeOptions:
    """How to burn, and onto which grid: that of `like`, or one of `resolution`.

    Attributes:
        like: a raster whose grid the output gets, and whose class table where it has one that fits.
        resolution: (width, height) of a pixel in metres on the ground, whatever the unit of the CRS; without a CRS in
            its numbers.
        bounds: (left, bottom, right, top) in the CRS; None: of the polygons, outwards to whole pixels.
        crs: anything that rasterio understands; None: that of the polygons.
        class_field: the column with class names or values; None: ``value`` where there is also a ``name``, as landseg
            writes polygons; without these all polygons are of one class.
        classes: a class table, TOML or JSON; None: that of `like`, or one made from the column.
        all_touched: burn every pixel that a polygon touches, not those alone whose centre it covers.
        buffer_m: burn what lies within so many metres of lines and points; None: these are refused.
        crs_units: `resolution` is in units of the CRS: degrees, feet.
        overwrite: replace an output that exists.
        quiet: show no progress.
    """

    like: File | None = None
    resolution: tuple[float, float] | None = None
    bounds: tuple[float, float, float, float] | None = None
    crs: str | None = None
    class_field: str | None = None
    classes: File | None = None
    all_touched: bool = False
    overwrite: bool = False
    quiet: bool = False
    buffer_m: float | None = None
    crs_units: bool = False


@dataclass(frozen=True)
class RasterizeSummary:
    """One finished raster.

    Attributes:
        output: the class raster.
        width, height: in pixels.
        polygons: those that lie on the grid.
        classes: by name: value and pixels.
        empty: pixels that no polygon has.
        rule: which pixels a polygon has, as a sentence.
        seconds: of the whole run.
        notes: what was left out of the file, made valid, or burns no pixel, as sentences.
    """

    output: Path
    width: int
    height: int
    polygons: int
    classes: dict[str, dict[str, int]]
    empty: int
    rule: str
    seconds: float
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The run in JSON values."""
        return {**vars(self), "output": str(self.output), "notes": list(self.notes)}

    def lines(self) -> list[str]:
        """The run in words."""
        shown = [
            f"{name:<13} {entry['pixels']:,} px of value {entry['value']}" for name, entry in self.classes.items()
        ]
        size = f"{self.width} x {self.height} px in {duration(self.seconds)}"
        first = [str(self.output), f"polygons      {self.polygons:,} on {size}", f"rule          {self.rule}"]
        return [*first, *shown, f"no data       {self.empty:,} px", *(f"note          {note}" for note in self.notes)]


def rasterize(polygons: File, output: File, options: RasterizeOptions | None = None) -> RasterizeSummary:
    """A class raster at `output` of the polygons of a vector file; it appears when it is complete, or not at all.

    A pixel gets the class of the polygon that covers its centre, of the later one in the file's order where several
    do, and no data where none does; `RasterizeOptions.all_touched` also takes pixels that a polygon merely touches.
    Polygons are reprojected where the CRS differs. What is in memory is the polygons and one strip of the raster;
    where it is cut makes no difference.

    Raises:
        VectorError: a file that cannot be read, holds lines or points without `buffer_m`, or has no such column.
        ClassError: polygons without a class, or a class table that makes no sense.
        GridError: a grid that is not told, on which no polygon lies, or none covers the centre of a pixel.
        OutputError: the output exists, equals an input, or cannot be written.
    """
    wanted, start = options or RasterizeOptions(), time.perf_counter()
    source, output = Path(file_name(polygons)), Path(file_name(output))
    named = [file for file in (wanted.like, wanted.classes) if file is not None]
    inputs = [file_of(source), *map(Path, named), *files_behind([fspath(source)])]
    _refuse_early(Path(output), inputs, overwrite=wanted.overwrite)
    labels, field = _polygons(source, wanted)
    grid, legend, told = _grid(labels, wanted)
    table, values = _classes(labels, field, wanted, legend)
    placed = labels.in_pixels(grid)
    if not len(placed):
        raise GridError(f"no polygon of {source} lies on the grid ({grid.describe()}): check bounds and CRS")
    coverage = Coverage(labels, what="raster")
    coverage.add(str(output), grid)
    layer = Layer.of_classes("classes", Path(output), table)
    signature = {"landseg": __version__, "source": {"files": []}, "classes": table.to_json()}
    tags = {"version": __version__, CLASSES: class_tag(table), "command": f"landseg rasterize {source.name}"}
    targets = Targets([layer], inputs=inputs, overwrite=wanted.overwrite, can_resume=False)
    with Outputs.begin(targets, grid, signature=signature, tags=tags) as outputs:
        counts = _burn(placed, grid, values, outputs, table=table, quiet=wanted.quiet)
        if counts[IGNORE_INDEX] == grid.rect.area:
            many = counted(len(placed), "polygon covers", "polygons cover")
            raise GridError(
                f"{many} no pixel's centre on the grid ({grid.describe()}), so nothing would be burnt: use smaller "
                "pixels, or --all-touched"
            )
        outputs.finish()
    return RasterizeSummary(
        Path(output),
        grid.width,
        grid.height,
        len(placed),
        {c.name: {"value": c.value, "pixels": int(counts[i])} for i, c in enumerate(table.classes)},
        int(counts[IGNORE_INDEX]),
        _RULES[wanted.all_touched],
        round(time.perf_counter() - start, 3),
        (*told, *labels.notes, *coverage.sentences()),
    )


def _refuse_early(output: Path, inputs: Sequence[Path], *, overwrite: bool) -> None:
    """What can be refused before the polygons are read."""
    check_targets([Layer("classes", output, "uint8")], (), inputs)
    if not overwrite:
        check_absent([], [output])


def _burn(
    placed: PolygonLabels,
    grid: Grid,
    values: dict[str, int] | None,
    outputs: Outputs,
    *,
    table: ClassMap,
    quiet: bool,
) -> NDArray[np.int64]:
    """Write the output strip by strip; pixels by class index (256,)."""
    counts, pixels = np.zeros(256, np.int64), pixel_grid(grid)
    rows = max(1, STRIP_PIXELS // grid.width)
    with Progress(grid.rect.area, quiet=quiet) as progress:
        for top in range(0, grid.height, rows):
            rect = Rect(top, 0, min(rows, grid.height - top), grid.width)
            if values is None:
                indices = np.where(placed.burn(pixels.crop(rect)), np.uint8(0), np.uint8(IGNORE_INDEX))
            else:
                indices = placed.burn_names(pixels.crop(rect), values, IGNORE_INDEX)
            counts += np.bincount(indices.ravel(), minlength=256)
            outputs.write("classes", rect, table.to_values(indices))
            progress.add(rect.area)
    return counts


def _polygons(path: Path, options: RasterizeOptions) -> tuple[PolygonLabels, str | None]:
    """The polygons, and the column that names the class of each; None where all are of one."""
    touched, buffer_m = options.all_touched, options.buffer_m
    labels = PolygonLabels(path, options.class_field, all_touched=touched, buffer_m=buffer_m)
    if options.class_field is None and {"value", "name"} <= set(labels.frame.columns):
        return PolygonLabels(path, "value", all_touched=touched, buffer_m=buffer_m), "value"
    return labels, options.class_field


def _grid(labels: PolygonLabels, options: RasterizeOptions) -> tuple[Grid, ClassMap | None, tuple[str, ...]]:
    """The grid to burn onto, the classes of the raster that it was taken from, and sentences about its pixels."""
    own = (options.resolution, options.bounds, options.crs)
    if options.like is not None:
        if own != (None, None, None):
            raise GridError("--like tells the whole grid: leave out --resolution, --bounds and --crs, or --like")
        file = RasterFile(fspath(options.like))
        try:
            return file.info.grid, read_legend(file), ()
        finally:
            file.close()
    if options.resolution is None:
        raise GridError("no grid to burn onto: name a raster by --like, or --resolution in metres")
    across, down = options.resolution
    if not (math.isfinite(across) and math.isfinite(down) and across > 0 and down > 0):
        raise GridError(f"resolution {across:g},{down:g}: expected numbers above 0, in metres")
    crs = _crs(labels, options.crs)
    box = _bounds(labels, crs, options)
    notes: tuple[str, ...] = ()
    if crs is not None and not options.crs_units:
        middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        (across, down), note = in_units(options.resolution, crs, middle)
        notes = () if note is None else (note,)
    left, bottom, right, top = box if options.bounds is not None else _outwards(box, across, down)
    width, height = scaled_size(1, across / (right - left)), scaled_size(1, down / (top - bottom))
    if max(width, height) > _MOST:
        raise GridError(
            f"resolution {options.resolution[0]:g},{options.resolution[1]:g}: the raster would have {width:,} x "
            f"{height:,} pixels, more than a file can hold; choose larger pixels, or a smaller part with --bounds"
        )
    return Grid(crs, Affine(across, 0, left, 0, -down, top), width, height), None, notes


def _outwards(box: Box, across: float, down: float) -> Box:
    """A box grown to whole multiples of a pixel, and to one pixel at least."""
    left, bottom, right, top = box
    wide, high = (left // across, -(-right // across)), (bottom // down, -(-top // down))
    return wide[0] * across, high[0] * down, max(wide[1], wide[0] + 1) * across, max(high[1], high[0] + 1) * down


def _crs(labels: PolygonLabels, text: str | None) -> CRS | None:
    own = labels.frame.crs
    try:
        if text is None:
            return None if own is None else CRS.from_wkt(horizontal(own).to_wkt())
        crs = CRS.from_user_input(text)
    except CRSError as error:
        raise GridError(f"CRS {text or own.name!r} is not known: expected one such as EPSG:32632") from error
    if own is None:
        raise GridError(f"{labels.path} has no CRS and cannot be brought into {crs_text(crs)}: assign it first")
    return crs


def _bounds(labels: PolygonLabels, crs: CRS | None, options: RasterizeOptions) -> Box:
    """The bounds that were asked for, or else those of the polygons."""
    if options.bounds is not None:
        left, bottom, right, top = options.bounds
        if not (left < right and bottom < top) or not all(map(math.isfinite, options.bounds)):
            shown = ",".join(f"{value:g}" for value in options.bounds)
            raise GridError(f"bounds {shown} have no area: expected left,bottom,right,top in growing order")
        return options.bounds
    shapes = labels.frame.geometry
    left, bottom, right, top = PlacedShapes(np.asarray(shapes, dtype=object), shapes.crs, crs, bent=False).bounds
    if not all(map(math.isfinite, (left, bottom, right, top))):
        raise GridError(f"{labels.path} has no place in {crs_text(crs)}: choose another --crs")
    return left, bottom, right, top


def _classes(
    labels: PolygonLabels, field: str | None, options: RasterizeOptions, legend: ClassMap | None
) -> tuple[ClassMap, dict[str, int] | None]:
    """The class table, and the index of each entry of the column; None where all polygons are of one class."""
    told = None if options.classes is None else read_class_table(Path(options.classes))
    if field is None:
        table = told or ClassMap.from_json([{"value": 1, "name": stem_of(labels.path)}])
        if len(table) > 1:
            raise ClassError(f"{', '.join(table.names)} could all be meant by a polygon: name their --class-field")
        return table, None
    counts, where = labels.counts(), f"{labels.path}, column {field!r}"
    if told is None and legend is not None:
        try:
            return legend, class_indices(counts, legend, where)
        except ClassError:
            pass  # a class raster of something else
    table = told or _made(labels, field)
    return table, class_indices(counts, table, where)


def _made(labels: PolygonLabels, field: str) -> ClassMap:
    """A class table for a column: its values, named by the column ``name`` if there is one; or 1, 2, ... by name."""
    column = labels.frame[field]
    if column.dtype.kind not in "iuf":
        names = sorted(labels.counts())
        return ClassMap.from_json([{"value": value, "name": name} for value, name in enumerate(names, 1)])
    values = sorted(column.unique().tolist())
    if not all(value == int(value) for value in values):
        raise ClassError(f"{labels.path}, column {field!r}: expected whole numbers or names; --classes tells a table")
    names_of = labels.frame["name"] if "name" in labels.frame.columns and field != "name" else None
    rows = []
    for value in values:
        known = [] if names_of is None else names_of[column == value].dropna().unique().tolist()
        rows.append({"value": int(value), "name": str(known[0]) if len(known) == 1 else str(int(value))})
    return ClassMap.from_json(rows)
