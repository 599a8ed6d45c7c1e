"""How to export, the same from Python as on the command line, and what an export returns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from landseg.errors import VectorError
from landseg.geo.class_areas import hectares_text
from landseg.geo.rasters.address import File
from landseg.labels.left_out import left_out_line
from landseg.runtime.progress import duration
from landseg.text.amounts import counted
from landseg.text.options import refuse_unknown
from landseg.vector.lines_points import ExtraFile
from landseg.vector.outlines import Shaping

_OF_PIXELS = "ha: the map's pixels on the ellipsoid, as `landseg areas` counts them"
_MEASURES = {
    "plane": f"m²: the polygons in the map's plane (on the ellipsoid with --geodesic); {_OF_PIXELS}",
    "ellipsoid": f"m²: the polygons on the ellipsoid; {_OF_PIXELS}",
}

_AT_TIMES = ("area_px", "area_change_m2", "area_change_px", "hectares")  # in the JSON where there is a number


@dataclass(frozen=True)
class ExportOptions:
    """What of a class raster becomes which polygons.

    Attributes:
        classes: names or values that are wanted, or "name,name"; or the file of a class table, TOML or JSON, for a
            raster that carries none. None: all.
        aoi: "left,bottom,right,top", those four numbers, or a vector file; pixels whose centre lies inside count.
        crs: of the output, in any of PROJ's words; None is the raster's.
        dissolve: one feature a class.
        by_class_files: a file for each class, OUT_class.suffix.
        connectivity: 4, or 8: pixels that touch by a corner are of one piece too, and pieces are multipolygons.
        majority: side of a square window, odd; each pixel first takes the commonest class in it. 0: it keeps its own.
        sieve: pieces of fewer pixels go into a neighbour before anything else.
        min_area: square metres (pixels without a CRS); smaller pieces go into the neighbour with the longest border.
        simplify: metres (pixels without a CRS) that borders may move to have fewer corners; they stay shared, and
            what lies on the raster's edge stays there.
        smooth: round the staircase of pixels; borders stay shared, and the raster's edge stays.
        regularize: names or values of classes whose pieces get right-angled outlines, such as buildings.
        right_angle_tolerance: metres (pixels without a CRS): the shortest edge of such an outline; none moves by more
            than three times that. None: 1 m, or two pixels if they are longer.
        centerlines: of classes that are also drawn as lines, in OUT_class_lines.suffix.
        spur: metres (pixels without a CRS); lines with a free end that are shorter go. None: 5 m, or ten pixels if
            they are longer.
        centroids: of classes that also become points, in OUT_class_points.suffix.
        confidence: a raster on the same grid; its mean and minimum become columns.
        attributes: a table (.csv) of the polygons' columns, with a point inside each in place of its outline.
        geodesic: measure on the ellipsoid whatever the CRS.
        overwrite: replace files that exist.
        quiet: show no progress.
    """

    classes: str | Sequence[str | int] | None = None
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
    attributes: bool = False
    geodesic: bool = False
    overwrite: bool = False
    quiet: bool = False

    @classmethod
    def of(cls, **options: Any) -> ExportOptions:
        """The options by name.

        Raises:
            LandsegError: an unknown name, or a value that means nothing.
        """
        refuse_unknown(options, [one.name for one in fields(cls)], of="export")
        return cls(**options)

    def __post_init__(self) -> None:
        if self.connectivity not in (4, 8):
            raise VectorError(
                f"--connectivity {self.connectivity}: expected 4, or 8 to join pixels that touch by a corner"
            )
        if not (math.isfinite(self.min_area) and self.min_area >= 0):
            raise VectorError(f"--min-area {self.min_area}: expected square metres, 0 or more")
        if not (math.isfinite(self.simplify) and self.simplify >= 0):
            raise VectorError(f"--simplify {self.simplify}: expected metres, 0 or more")
        tolerance = self.right_angle_tolerance
        if tolerance is not None and not (math.isfinite(tolerance) and tolerance > 0):
            raise VectorError(f"--right-angle-tolerance {tolerance}: expected metres, more than 0")
        if tolerance is not None and self.regularize is None:
            raise VectorError(
                f"--right-angle-tolerance {tolerance} is for right-angled outlines: name their classes with "
                "--regularize, or leave it out"
            )
        if self.spur is not None and not (math.isfinite(self.spur) and self.spur > 0):
            raise VectorError(f"--spur {self.spur}: expected metres, more than 0")
        if self.spur is not None and self.centerlines is None:
            raise VectorError(
                f"--spur {self.spur} is for lines: name their classes with --centerlines, or leave it out"
            )
        if self.majority and not (self.majority % 2 and 3 <= self.majority <= 255):
            raise VectorError(f"--majority {self.majority}: expected an odd number of pixels, 3 to 255")
        if self.sieve < 0:
            raise VectorError(f"--sieve {self.sieve}: expected a number of pixels")

    @property
    def shaping(self) -> Shaping:
        """What becomes of regions before they are polygons."""
        sizes = {"min_area_m2": self.min_area, "simplify_m": self.simplify}
        return Shaping(self.connectivity, self.majority, self.sieve, smooth=self.smooth, **sizes)

    @property
    def area_of_interest(self) -> str | None:
        """The area as the text that `read_aoi` takes."""
        if isinstance(self.aoi, (tuple, list)):
            return ",".join(repr(float(part)) for part in self.aoi)
        return None if self.aoi is None else str(self.aoi)


@dataclass(frozen=True)
class ClassTotal:
    """What was exported of one class; what is in square metres is None without a CRS, what is in pixels with one.

    Attributes:
        hectares: what the class's pixels cover in the raster, on the ellipsoid, as `landseg areas` counts them.
        area_change_m2: `area_m2` less what the class's pixels cover in the raster; None where every outline is
            that of its pixels. `area_change_px` likewise.
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
        """In whichever unit it is."""
        return (self.area_m2 if self.area_m2 is not None else self.area_px) or 0.0

    @property
    def area_change(self) -> float | None:
        """In whichever unit it is."""
        return self.area_change_m2 if self.area_change_m2 is not None else self.area_change_px


@dataclass(frozen=True)
class ExportSummary:
    """One finished export.

    Attributes:
        output: the file that was asked for; with a file for each class, the name that theirs begin with.
        files: every file that was written, without its companions.
        format: of them.
        features: their number.
        classes: what there is of each class; those of the table that do not occur too.
        further: files of lines and points.
        crs: of the output; None where the raster has none.
        seconds: of the whole run.
        left_out: pixels of the raster that became no shape, by reason (see `landseg.labels.left_out.Reason`).
        area_measure: of `area_m2`: "plane", as programs take it from the shapes, or "ellipsoid"; None without a CRS.
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
        """The export in JSON values."""
        values = asdict(self)
        values["output"], values["files"] = str(self.output), [str(path) for path in self.files]
        values["classes"] = [
            {name: item for name, item in total.items() if name not in _AT_TIMES or item is not None}
            for total in values["classes"]
        ]
        for entry in values["further"]:
            entry["output"] = str(entry["output"])
        return values

    def lines(self) -> list[str]:
        """The export in words."""
        every = sum(total.area for total in self.classes)
        longest = max((len(total.name) for total in self.classes), default=0)
        lines = [str(path) for path in self.files]
        for total in self.classes:
            unit = "m²" if total.area_m2 is not None else "px"
            share = f"{100 * total.area / every:5.1f} %" if every else ""
            size = "" if total.hectares is None else f"  {hectares_text(total.hectares):>12} ha"
            line = f"{total.name:{longest}}  {total.count:>9,}  {total.area:>16,.1f} {unit} {share}{size}"
            lines.append(line.rstrip())
        if self.area_measure is not None:
            lines.append(_MEASURES[self.area_measure])
        changes = [_changed(total) for total in self.classes if total.area_change is not None]
        if changes:
            lines.append(f"area against the raster's pixels: {', '.join(changes)}")
        for entry in self.further:
            lines.append(f"{entry.output}: {counted(entry.count, 'line' if entry.kind == 'LineString' else 'point')}")
        if (left_out := left_out_line(self.left_out)) is not None:
            lines.append(left_out)
        where = self.crs or "pixel coordinates"
        return [*lines, f"{counted(self.features, 'feature')}, {self.format}, {where}, in {duration(self.seconds)}"]


def _changed(total: ClassTotal) -> str:
    """A class's change of area, in words."""
    change = total.area_change or 0.0
    before = total.area - change
    return f"{total.name} {change / before:+.2%}" if before else f"{total.name} {change:+.1f}"
