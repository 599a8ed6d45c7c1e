"""The options of `rasterize` by name, and the result of a rasterization."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any, TypedDict

from landseg.errors import GridError
from landseg.geo.rasters.address import File, file_name
from landseg.text.amounts import counted
from landseg.text.options import options_by_name
from landseg.text.results import html_table, one_line

Box = tuple[float, float, float, float]
"""Left, bottom, right and top in units of the CRS."""


class RasterizeKeywords(TypedDict, total=False):
    """The options of `rasterize` by name, see `RasterizeOptions`."""

    like: File | None
    resolution: float | tuple[float, float] | None
    bounds: Box | None
    crs: str | None
    class_field: str | None
    classes: File | None
    all_touched: bool
    buffer: float | None
    crs_units: bool
    overwrite: bool
    quiet: bool


@dataclass(frozen=True)
class RasterizeOptions:
    """The options of `rasterize`; the grid is that of `like`, or one of pixels of a `resolution`.

    Attributes:
        like: a raster that gives the output its grid, and its class table where it has one that fits.
        resolution: size of a pixel, or its (width, height), in metres on the ground, whatever the unit of the CRS;
            without a CRS in the numbers of the polygons.
        bounds: (left, bottom, right, top) in units of the CRS; None takes those of the polygons, grown to whole
            pixels.
        crs: the CRS of the output in any form that rasterio reads; None keeps that of the polygons.
        class_field: the column with the names or values of classes. None takes ``value`` where there is a ``name``
            too, as in polygons that landseg writes; else all polygons are of one class.
        classes: the file of a class table, TOML or JSON; None takes the table of `like`, or makes one from the
            column.
        all_touched: burn every pixel that a polygon touches, not only pixels whose centre it covers.
        buffer: metres around lines and points to burn as well; None refuses lines and points.
        crs_units: `resolution` is in units of the CRS, such as degrees or feet.
        overwrite: replace an output that exists.
        quiet: show no progress.
    """

    like: File | None = None
    resolution: float | tuple[float, float] | None = None
    bounds: Box | None = None
    crs: str | None = None
    class_field: str | None = None
    classes: File | None = None
    all_touched: bool = False
    buffer: float | None = None
    crs_units: bool = False
    overwrite: bool = False
    quiet: bool = True

    @classmethod
    def of(cls, **options: Any) -> RasterizeOptions:
        """Return the options by name.

        Raises:
            LandsegError: an option has an unknown name or a value of another type, or `like` or `classes` is no path.
        """
        made = options_by_name(cls, options, of="rasterize")
        sizes = made.resolution if isinstance(made.resolution, (tuple, list)) else [made.resolution]
        if made.resolution is not None and not all(isinstance(size, Real) for size in sizes):
            raise GridError(f"resolution {made.resolution!r}: expected a number of metres, or a width and a height")
        like, classes = (None if file is None else file_name(file) for file in (made.like, made.classes))
        return replace(made, like=like, classes=classes)

    @property
    def pixel(self) -> tuple[float, float] | None:
        """Return the resolution as (width, height); None where there is none."""
        size = self.resolution
        return size if size is None or isinstance(size, tuple) else (size, size)


@dataclass(frozen=True, repr=False)
class Rasterization:
    """One finished rasterization.

    Attributes:
        output: the class raster.
        width, height: size of the raster in pixels.
        polygons: number of polygons that lie on the grid.
        classes: value and number of pixels of each class, by its name.
        empty: number of pixels without a polygon.
        rule: which pixels belong to a polygon, as a sentence.
        seconds: duration of the whole run.
        notes: polygons that were left out, repaired, or burn no pixel, as sentences.
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
        """Return the rasterization as JSON values."""
        return {**vars(self), "output": str(self.output), "notes": list(self.notes)}

    def __repr__(self) -> str:
        size, polygons = f"{self.width} x {self.height} px", counted(self.polygons, "polygon")
        return one_line("Rasterization", str(self.output), size, polygons, counted(len(self.classes), "class"))

    def _repr_html_(self) -> str:
        rows = [(name, f"{one['value']}", f"{one['pixels']:,}") for name, one in self.classes.items()]
        return html_table(str(self.output), ["class", "value", "pixels"], rows)
