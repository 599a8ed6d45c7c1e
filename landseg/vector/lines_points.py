"""Classes as lines or points, in files of their own beside the polygons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import LandClass
from landseg.geo.grid import Grid, map_crs
from landseg.geo.pixel_shapes import to_map
from landseg.output.spool import Columns
from landseg.output.vector_files import Style, class_file
from landseg.output.vector_formats import vector_format
from landseg.output.vector_writer import Writer
from landseg.runtime.disk import disk_errors
from landseg.runtime.replacement import Part
from landseg.vector.centerlines import centerlines
from landseg.vector.centroids import centroids
from landseg.vector.crs import Place

SPUR_M, SPUR_PIXELS = 5.0, 10.0  # the longer of both: half the width of what lines are usually drawn of
_WORDS = {"LineString": "lines", "Point": "points"}

Strips = Iterator[NDArray[Any]]


@dataclass(frozen=True)
class ExtraFile:
    """A file of lines or points."""

    output: Path
    name: str
    kind: str
    count: int


def extra_file(out: Path, entry: LandClass, kind: str) -> Path:
    """Where the lines or points of a class go.

    >>> extra_file(Path("town.gpkg"), LandClass(3, "road", (0, 0, 0)), "LineString").name
    'town_road_lines.gpkg'
    """
    form, file = vector_format(out), class_file(out, entry)
    return file.with_name(f"{form.stem(file)}_{_WORDS[kind]}{form.suffix(file)}")


def further_types(kind: str, *, located: bool, confidence: bool = False) -> dict[str, str]:
    """The columns of lines or points and their types."""
    unit = "m" if located else "px"
    common = {"id": "int64", "value": "int32", "name": "string"}
    if kind == "LineString":
        return common | {f"length_{unit}": "float64"}
    sizes = {"area_m2" if located else "area_px": "float64", f"diameter_{unit}": "float64"}
    return common | sizes | ({"confidence_mean": "float64", "confidence_min": "float64"} if confidence else {})


class LinesAndPoints:
    """Lines and points of some classes.

    Args:
        out: the file of the polygons, after which theirs are named.
        grid: of the raster.
        place: where its shapes go.
        lines: classes that become lines.
        points: classes that become points.
        work: a folder of one's own, which exists.
        confidence: whether polygons have it.
        spur: metres, or pixels without a CRS: see `centerlines`. None: 5 m, or ten pixels if they are longer.
    """

    def __init__(
        self,
        out: Path,
        grid: Grid,
        *,
        place: Place,
        lines: Iterable[LandClass],
        points: Iterable[LandClass],
        work: Path,
        confidence: bool = False,
        spur: float | None = None,
    ) -> None:
        self._spur = spur
        self._grid, self._place, self._own, self._work = grid, place, map_crs(grid), work
        self._lines, self._points = list(lines), list(points)
        self._writers: dict[tuple[str, int], Writer] = {}
        for kind, entries in (("LineString", self._lines), ("Point", self._points)):
            for entry in entries:
                folder = work / f"{_WORDS[kind]}_{entry.value}"
                with disk_errors(out):
                    folder.mkdir()
                fields = further_types(kind, located=grid.crs is not None, confidence=confidence)
                file = extra_file(out, entry, kind)
                self._writers[kind, entry.value] = Writer(
                    file, fields, crs=place.crs, work=folder, kind=place.kind(kind)
                )

    def add_points(self, columns: Columns, shapes: NDArray[Any]) -> None:
        """Takes polygons on the map with their columns; those of the classes that become points do so."""
        for entry in self._points:
            mine = columns["value"] == entry.value
            if not mine.any():
                continue
            area = "area_m2" if self._grid.crs is not None else "area_px"
            found = centroids(shapes[mine], crs=self._own, areas_m2=columns[area][mine])
            writer = self._writers["Point", entry.value]
            own = {name: columns[name][mine] for name in columns if not name.startswith("perimeter")}
            own["diameter_m" if self._grid.crs is not None else "diameter_px"] = found.diameter_m
            writer.write(own, self._place(found.points))

    def draw_lines(self, strips: Callable[[], Strips]) -> None:
        """Reads the raster once more for each class that becomes lines, and draws them."""
        height_m, width_m = self._grid.pixel_size_m or (1.0, 1.0)
        pixel = (height_m * width_m) ** 0.5
        spur = self._spur or max(SPUR_PIXELS * pixel, SPUR_M if self._grid.crs is not None else 0.0)
        for entry in self._lines:
            found = centerlines(
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
            lines = self._place(to_map(found.lines, self._grid))
            self._writers["LineString", entry.value].write(columns, lines)

    @property
    def styles(self) -> list[Style]:
        """Each file with the class that is in it."""
        entries = {entry.value: entry for entry in (*self._lines, *self._points)}
        return [(writer.out, [entries[value]], kind) for (kind, value), writer in self._writers.items()]

    def finish(self) -> tuple[list[Part], list[ExtraFile]]:
        """Complete the files; what is to be published, and what they are."""
        parts: list[Part] = []
        files = []
        entries: Mapping[int, LandClass] = {entry.value: entry for entry in (*self._lines, *self._points)}
        for (kind, value), writer in self._writers.items():
            parts.append(writer.finish([entries[value]]))
            files.append(ExtraFile(writer.out, entries[value].name, kind, writer.count))
        return parts, files
