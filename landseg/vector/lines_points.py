"""Files of lines and points of classes, beside the file of the polygons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import LandClass
from landseg.geo.grid import Grid, map_crs
from landseg.geo.pixel_shapes import to_map
from landseg.output.vector_files import Style, class_file
from landseg.output.vector_formats import vector_format
from landseg.runtime.disk import disk_errors
from landseg.runtime.replacement import Part
from landseg.vector.attributes import field_types
from landseg.vector.centerlines import draw_centerlines
from landseg.vector.centroids import find_centroids
from landseg.vector.crs import Reprojection

if TYPE_CHECKING:
    from landseg.output.spool import Columns
    from landseg.output.vector_writer import Writer

SPUR_M, SPUR_PIXELS = 5.0, 10.0  # the longer of both: half the usual width of a road
_WORDS = {"LineString": "lines", "Point": "points"}

Strips = Iterator[NDArray[Any]]


@dataclass(frozen=True)
class ExtraFile:
    """A file of the lines or the points of one class.

    Attributes:
        output: the path of the file.
        name: the name of the class.
        kind: "LineString" or "Point".
        count: number of its lines or points.
    """

    output: Path
    name: str
    kind: str
    count: int


def extra_file(out: Path, entry: LandClass, kind: str) -> Path:
    """Return the path of the file for the lines or the points of a class.

    >>> extra_file(Path("town.gpkg"), LandClass(3, "road", (0, 0, 0)), "LineString").name
    'town_road_lines.gpkg'
    """
    form, file = vector_format(out), class_file(out, entry)
    return file.with_name(f"{form.stem(file)}_{_WORDS[kind]}{form.suffix(file)}")


class LinesAndPoints:
    """The files of lines and points of one export.

    Args:
        out: the file of the polygons; the names of the other files are made from its name.
        grid: the grid of the raster.
        reprojection: the way from the raster's map to the CRS of the files.
        lines: classes that become lines.
        points: classes that become points.
        work: an existing folder that is used by this export alone.
        confidence: whether polygons have confidences.
        spur: metres (pixels without a CRS), see `draw_centerlines`; None: 5 m, or ten pixels where that is more.
    """

    def __init__(
        self,
        out: Path,
        grid: Grid,
        *,
        reprojection: Reprojection,
        lines: Iterable[LandClass],
        points: Iterable[LandClass],
        work: Path,
        confidence: bool = False,
        spur: float | None = None,
    ) -> None:
        from landseg.output.vector_writer import Writer  # loads pyogrio, and that geopandas

        self._spur = spur
        self._grid, self._reprojection, self._own, self._work = grid, reprojection, map_crs(grid), work
        self._lines, self._points = list(lines), list(points)
        self._writers: dict[tuple[str, int], Writer] = {}
        for kind, entries in (("LineString", self._lines), ("Point", self._points)):
            for entry in entries:
                folder = work / f"{_WORDS[kind]}_{entry.value}"
                with disk_errors(out):
                    folder.mkdir()
                fields = field_types(kind, located=grid.crs is not None, confidence=confidence)
                file = extra_file(out, entry, kind)
                self._writers[kind, entry.value] = Writer(
                    file, fields, crs=reprojection.crs, work=folder, kind=reprojection.kind(kind)
                )

    def add_points(self, columns: Columns, shapes: NDArray[Any]) -> None:
        """Write points for polygons on the map (N,), with their columns, whose classes become points."""
        for entry in self._points:
            chosen = columns["value"] == entry.value
            if not chosen.any():
                continue
            area = "area_m2" if self._grid.crs is not None else "area_px"
            found = find_centroids(shapes[chosen], crs=self._own, areas_m2=columns[area][chosen])
            writer = self._writers["Point", entry.value]
            own = {name: columns[name][chosen] for name in columns if not name.startswith("perimeter")}
            own["diameter_m" if self._grid.crs is not None else "diameter_px"] = found.diameter_m
            writer.write(own, self._reprojection(found.points))

    def draw_lines(self, strips: Callable[[], Strips]) -> None:
        """Read the raster, by ``strips``, once for each class that becomes lines, and write the lines."""
        height_m, width_m = self._grid.pixel_size_m or (1.0, 1.0)
        pixel = (height_m * width_m) ** 0.5
        spur = self._spur or max(SPUR_PIXELS * pixel, SPUR_M if self._grid.crs is not None else 0.0)
        for entry in self._lines:
            found = draw_centerlines(
                strips(),
                entry.value,
                shape=self._grid.shape,
                pixel_m=(height_m, width_m),
                spur_m=spur,
                tolerance_m=pixel,
                work=self._work,
            )
            count = len(found.lines)
            columns: dict[str, NDArray[Any]] = {
                "id": np.arange(1, count + 1),
                "value": np.full(count, entry.value, np.int32),
                "name": np.full(count, entry.name, dtype=object),
                "length_m" if self._grid.crs is not None else "length_px": found.length_m,
            }
            lines = self._reprojection(to_map(found.lines, self._grid))
            self._writers["LineString", entry.value].write(columns, lines)

    @property
    def styles(self) -> list[Style]:
        """Return each file with its class and the kind of its shapes."""
        entries = {entry.value: entry for entry in (*self._lines, *self._points)}
        return [(writer.out, [entries[value]], kind) for (kind, value), writer in self._writers.items()]

    def finish(self) -> tuple[list[Part], list[ExtraFile]]:
        """Complete the files; return the parts to publish and the files."""
        parts: list[Part] = []
        files = []
        entries: Mapping[int, LandClass] = {entry.value: entry for entry in (*self._lines, *self._points)}
        for (kind, value), writer in self._writers.items():
            parts.append(writer.finish([entries[value]]))
            files.append(ExtraFile(writer.out, entries[value].name, kind, writer.count))
        return parts, files
