"""The options of `export` by name, and the result of an export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from landseg.errors import VectorError
from landseg.geo.rasters.address import File
from landseg.geo.vectors.aoi import area_text
from landseg.text.amounts import counted
from landseg.text.options import is_size, options_by_name
from landseg.text.results import html_table, one_line
from landseg.vector.lines_points import ExtraFile
from landseg.vector.outlines import Shaping

_OPTIONAL = ("area_px", "area_change_m2", "area_change_px", "hectares")  # in the JSON where there is a number


class ExportKeywords(TypedDict, total=False):
    """The options of `export` by name, see `ExportOptions`."""

    classes: File | Sequence[str | int] | None
    aoi: File | Sequence[float] | None
    crs: str | None
    dissolve: bool
    by_class_files: bool
    connectivity: int
    majority: int
    sieve: int
    min_area: float
    simplify: float
    smooth: bool
    regularize: str | Sequence[str | int] | None
    right_angle_tolerance: float | None
    centerlines: str | Sequence[str | int] | None
    spur: float | None
    centroids: str | Sequence[str | int] | None
    confidence: File | None
    ids: bool
    classes_from: File | None
    holes: float
    attributes: bool
    geodesic: bool
    overwrite: bool
    quiet: bool


@dataclass(frozen=True)
class ExportOptions:
    """The options of `export`.

    Attributes:
        classes: names or values of the classes to export, or "name,name"; or the file of a class table, TOML or JSON,
            for a raster without one. None exports all classes.
        aoi: the area of interest: "left,bottom,right,top", these four numbers, or a vector file. Pixels whose centre
            lies inside it are exported.
        crs: the CRS of the output, in any form that PROJ reads; None keeps the raster's.
        dissolve: write one feature for each class.
        by_class_files: write one file for each class, OUT_class.suffix.
        connectivity: 4, or 8 to join pixels that touch by a corner; with 8, pieces are multipolygons.
        majority: side of a square window in pixels, an odd number; each pixel first takes the commonest class in the
            window. 0 leaves pixels as they are.
        sieve: number of pixels; smaller pieces are merged into a neighbour before polygons are made.
        min_area: square metres (pixels without a CRS); smaller pieces are merged into the neighbour with the longest
            shared border. Smaller objects of a raster of ids are left out.
        simplify: metres (pixels without a CRS) that borders may move in order to have fewer corners. Shared borders
            stay shared, and the edge of the raster stays as it is.
        smooth: round the staircase of pixels. Shared borders stay shared, and the edge of the raster stays as it is.
        regularize: names or values of classes whose pieces get right-angled outlines, such as buildings; "all" for
            all objects of a raster of ids.
        right_angle_tolerance: length of the shortest edge of a right-angled outline in metres (pixels without a CRS);
            no edge moves by more than three times this length. None chooses 1 m, or two pixels where that is more.
        centerlines: names or values of classes that are also drawn as lines, in OUT_class_lines.suffix.
        spur: metres (pixels without a CRS); shorter lines with a free end are removed. None chooses 5 m, or ten
            pixels where that is more.
        centroids: names or values of classes that also become points, in OUT_class_points.suffix.
        confidence: a raster on the same grid; its mean and its minimum become columns.
        ids: the raster holds ids of objects: 0 for none, and another number for each object. Rasters of ids that
            landseg wrote are recognised without it.
        classes_from: a class raster on the same grid as a raster of ids; an object is of the class that most of its
            pixels have.
        holes: square metres (pixels without a CRS); holes of objects up to this size are filled, unless another
            object lies in them. For rasters of ids.
        attributes: write a table (.csv) of the columns of the polygons, with a point inside each polygon in place of
            its outline.
        geodesic: measure on the ellipsoid, whatever the CRS.
        overwrite: replace files that exist.
        quiet: show no progress.
    """

    classes: File | Sequence[str | int] | None = None
    aoi: File | Sequence[float] | None = None
    crs: str | None = None
    dissolve: bool = False
    by_class_files: bool = False
    connectivity: int = 4
    majority: int = 0
    sieve: int = 0
    min_area: float = 0.0
    simplify: float = 0.0
    smooth: bool = False
    regularize: str | Sequence[str | int] | None = None
    right_angle_tolerance: float | None = None
    centerlines: str | Sequence[str | int] | None = None
    spur: float | None = None
    centroids: str | Sequence[str | int] | None = None
    confidence: File | None = None
    ids: bool = False
    classes_from: File | None = None
    holes: float = 0.0
    attributes: bool = False
    geodesic: bool = False
    overwrite: bool = False
    quiet: bool = True

    @classmethod
    def of(cls, **options: Any) -> ExportOptions:
        """Return the options by name.

        Raises:
            LandsegError: an option has an unknown name, or a value that it cannot have.
        """
        return options_by_name(cls, options, of="export")

    def __post_init__(self) -> None:
        if self.connectivity not in (4, 8):
            raise VectorError(
                f"--connectivity {self.connectivity}: expected 4, or 8 to join pixels that touch by a corner"
            )
        if not is_size(self.min_area):
            raise VectorError(f"--min-area {self.min_area}: expected square metres, 0 or more")
        if not is_size(self.simplify):
            raise VectorError(f"--simplify {self.simplify}: expected metres, 0 or more")
        if not is_size(self.holes):
            raise VectorError(f"--holes {self.holes}: expected square metres, 0 or more")
        tolerance = self.right_angle_tolerance
        if tolerance is not None and not (is_size(tolerance) and tolerance > 0):
            raise VectorError(f"--right-angle-tolerance {tolerance}: expected metres, more than 0")
        if tolerance is not None and self.regularize is None:
            raise VectorError(
                f"--right-angle-tolerance {tolerance} is for right-angled outlines: name their classes with "
                "--regularize, or leave it out"
            )
        if self.spur is not None and not (is_size(self.spur) and self.spur > 0):
            raise VectorError(f"--spur {self.spur}: expected metres, more than 0")
        if self.spur is not None and self.centerlines is None:
            raise VectorError(
                f"--spur {self.spur} is for lines: name their classes with --centerlines, or leave it out"
            )
        if self.majority and not (isinstance(self.majority, int) and self.majority % 2 and 3 <= self.majority <= 255):
            raise VectorError(f"--majority {self.majority}: expected an odd number of pixels, 3 to 255")
        if not is_size(self.sieve):
            raise VectorError(f"--sieve {self.sieve}: expected a number of pixels")

    @property
    def shaping(self) -> Shaping:
        """Return the steps between the pixels and the polygons."""
        sizes = {"min_area_m2": self.min_area, "simplify_m": self.simplify}
        return Shaping(self.connectivity, self.majority, self.sieve, smooth=self.smooth, **sizes)

    @property
    def area_of_interest(self) -> str | None:
        """Return the area of interest as the text that `read_aoi` takes; None for the whole raster."""
        return None if self.aoi is None else str(area_text(self.aoi))


@dataclass(frozen=True)
class ClassTotal:
    """The features of one class in an export; areas are in m² with a CRS, in pixels without one.

    Attributes:
        value: the value of the class in the raster.
        name: the name of the class.
        count: number of its features.
        area_m2, area_px: area of its features.
        area_change_m2, area_change_px: this area less the area of the pixels of the class in the raster; None where
            every outline is that of its pixels.
        hectares: area of the pixels of the class in the raster, on the ellipsoid, as `landseg areas` counts it.
    """

    value: int
    name: str
    count: int
    area_m2: float | None = None
    area_px: float | None = None
    area_change_m2: float | None = None
    area_change_px: float | None = None
    hectares: float | None = None

    @property
    def area(self) -> float:
        """Return the area in m², or in pixels without a CRS."""
        return (self.area_m2 if self.area_m2 is not None else self.area_px) or 0.0

    @property
    def area_change(self) -> float | None:
        """Return the change of the area in m², or in pixels without a CRS."""
        return self.area_change_m2 if self.area_change_m2 is not None else self.area_change_px


@dataclass(frozen=True, repr=False)
class Export:
    """One finished export.

    Attributes:
        output: the file of the export; with a file for each class, the name from which theirs are made.
        files: every file of features that was written.
        format: the name of the format.
        features: number of polygons.
        classes: the features of each class, also of classes of the table that do not occur.
        crs: the CRS of the output; None where the raster has none.
        further: the files of lines and points.
        seconds: duration of the whole export.
        left_out: numbers of pixels of the raster that became no shape, by reason (see
            `landseg.labels.left_out.Reason`).
        area_measure: "plane" where `area_m2` is measured as programs measure the shapes, or "ellipsoid"; None without
            a CRS.
    """

    output: Path
    files: tuple[Path, ...]
    format: str
    features: int
    classes: tuple[ClassTotal, ...]
    crs: str | None
    further: tuple[ExtraFile, ...] = ()
    seconds: float = 0.0
    left_out: Mapping[str, int] = field(default_factory=dict)
    area_measure: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the export as JSON values."""
        values = asdict(self)
        values["output"], values["files"] = str(self.output), [str(path) for path in self.files]
        values["classes"] = [
            {name: item for name, item in total.items() if name not in _OPTIONAL or item is not None}
            for total in values["classes"]
        ]
        for entry in values["further"]:
            entry["output"] = str(entry["output"])
        return values

    def __repr__(self) -> str:
        features = f"{counted(self.features, 'feature')} of {counted(len(self.classes), 'class')}"
        return one_line("Export", str(self.output), features, self.format, self.crs or "pixel coordinates")

    def _repr_html_(self) -> str:
        unit = "px" if self.crs is None else "m²"
        rows = [(one.name, f"{one.count:,}", f"{one.area:,.1f}") for one in self.classes]
        return html_table(str(self.output), ["class", "features", unit], rows)
