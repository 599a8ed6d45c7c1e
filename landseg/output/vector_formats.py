"""The vector formats that landseg writes: their suffixes, their files and their limits."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.errors import VectorError

SHAPEFILE_BYTES = (1 << 31) - 1
"""The most bytes of each file of a shapefile: many programs read larger files wrong."""

GEOJSON_DIGITS = 7
"""Decimals that GeoJSON's coordinates are rounded to, in degrees (RFC 7946), or units where there is no CRS."""

_TABLES = (".csv", ".xlsx")  # to which users try to export
_NAME = 10  # characters of a shapefile's field names
_STALE = (".qix", ".sbn", ".sbx", ".shp.xml")  # indices of another shapefile would hide features of this one


@dataclass(frozen=True)
class Format:
    """A vector format.

    Attributes:
        name: in sentences.
        driver: OGR's name; "Parquet" is written without OGR.
        suffixes: the first is the one to recommend.
        companions: suffixes of further files that are published with the named one.
        stale: suffixes of files that must not stay when the file is replaced; "-..." goes after the whole name.
        qml: whether QGIS takes the style from a .qml file beside it.
    """

    name: str
    driver: str
    suffixes: tuple[str, ...]
    companions: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    qml: bool = True

    def stem(self, path: Path) -> str:
        """Return the name of a file without the suffix, which is the name of its layer.

        >>> vector_format(Path("maps/town.shp.zip")).stem(Path("maps/town.shp.zip"))
        'town'
        """
        longest = max((s for s in self.suffixes if path.name.lower().endswith(s)), key=len)
        return path.name[: -len(longest)]

    def suffix(self, path: Path) -> str:
        """Return the part of a file's name that `stem` leaves out, in its own letters."""
        return path.name[len(self.stem(path)) :]

    def companion(self, path: Path, suffix: str) -> Path:
        """Return a companion file, in capitals where the suffix is: roofs.shp and ROOFS.SHP may lie in one folder.

        >>> SHAPEFILE.companion(Path("ROOFS.SHP"), ".dbf").name
        'ROOFS.DBF'
        """
        return path.with_name(self.stem(path) + (suffix.upper() if self.suffix(path).isupper() else suffix))

    def stale_files(self, path: Path) -> list[Path]:
        """Return the places of files that belong to an older file of this name: a .prj that stayed would be wrong."""
        suffixes = self.companions + self.stale
        files = [path.with_name(path.name + s) if s.startswith("-") else self.companion(path, s) for s in suffixes]
        small = path.with_name(self.stem(path) + self.suffix(path).lower())
        if self.suffix(path).isupper() and not small.exists():  # GDAL names the index of ROOFS.SHP ROOFS.qix
            files += [path.with_name(self.stem(path) + s) for s in suffixes if not s.startswith("-")]
        return files

    def qml_path(self, path: Path) -> Path | None:
        """Return the place where QGIS looks for the style of a file; None where the file itself holds it.

        >>> vector_format(Path("town.shp.zip")).qml_path(Path("town.shp.zip")).name
        'town.shp.qml'
        """
        return path.with_suffix(".qml") if self.qml else None

    def field_names(self, names: Iterable[str]) -> dict[str, str]:
        """Return the name of each column in a file of this format, by its full name."""
        return short_names(names) if self.driver == "ESRI Shapefile" else {name: name for name in names}


SHAPEFILE = Format("shapefile", "ESRI Shapefile", (".shp",), (".shx", ".dbf", ".prj", ".cpg"), _STALE)
ZIPPED = Format("zipped shapefile", "ESRI Shapefile", (".shp.zip",))
GEOPACKAGE = Format("GeoPackage", "GPKG", (".gpkg",), stale=("-wal", "-shm", "-journal"), qml=False)
FLATGEOBUF = Format("FlatGeobuf", "FlatGeobuf", (".fgb",))
GEOJSON = Format("GeoJSON", "GeoJSON", (".geojson", ".json"))
GEOPARQUET = Format("GeoParquet", "Parquet", (".parquet", ".geoparquet"))
TABLE = Format("table", "CSV", (".csv",), qml=False)
"""Attributes without outlines: each shape is a point inside it, in the columns X and Y."""
FORMATS = (ZIPPED, SHAPEFILE, GEOPACKAGE, FLATGEOBUF, GEOJSON, GEOPARQUET, TABLE)
_KNOWN = ", ".join(kind.suffixes[0] for kind in (GEOPACKAGE, SHAPEFILE, ZIPPED, FLATGEOBUF, GEOJSON, GEOPARQUET))


def vector_format(path: Path) -> Format:
    """Return the format of a file by its suffix; to be called before any work.

    Raises:
        VectorError: landseg writes no format of this suffix, or a library for it is not installed.
    """
    found = next((kind for kind in FORMATS if path.name.lower().endswith(kind.suffixes)), None)
    if found is None or not found.stem(path):
        raise VectorError(f"{path.name}: polygons are not written with this suffix; use one of {_KNOWN}")
    if importlib.util.find_spec("pyarrow") is None:
        raise VectorError(f"{path.name}: writing polygons needs pyarrow; install it (pip install pyarrow)")
    if found is not GEOPARQUET and not _writable(found):
        shapes = (kind for kind in FORMATS if kind is not TABLE and (kind is GEOPARQUET or _writable(kind)))
        others = ", ".join(kind.suffixes[0] for kind in shapes)
        raise VectorError(f"{path.name}: this installation cannot write {found.driver}; use one of {others}")
    return found


def refuse_table(path: Path, *, hint: str = "") -> None:
    """Raise VectorError if a name for polygons is that of a table; ``hint`` tells how to get their attributes."""
    if path.suffix.lower() in _TABLES:
        raise VectorError(
            f"{path.name}: a table holds no polygons; `landseg areas MAP -o {path.name}` writes pixels and hectares "
            f"of each class{hint}, and polygons go to one of {_KNOWN}"
        )


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Return names of ten characters at most, for the columns of a shapefile, by the full names.

    A longer name keeps its last word, which is the unit or the statistic, and as much of its beginning as fits;
    where two would then be equal, the later one ends in a number.

    >>> list(short_names(["area_m2", "perimeter_m", "confidence_mean", "confidence_min"]).values())
    ['area_m2', 'perimete_m', 'confi_mean', 'confid_min']
    >>> list(short_names(["confidence_one", "confidence_two_one"]).values())
    ['confid_one', 'confid_o_1']
    """
    short: dict[str, str] = {}
    for name in names:
        made = name
        if len(name) > _NAME:
            front, _, last = name.rpartition("_")
            last = f"_{last}" if front and len(last) < _NAME - 1 else ""
            made = (front if last else name)[: _NAME - len(last)].rstrip("_") + last
        plain, number = made, 0
        while made.lower() in (taken.lower() for taken in short.values()):
            number += 1
            made = f"{plain[: _NAME - 1 - len(str(number))].rstrip('_')}_{number}"
        short[name] = made
    return short


class ShapefileSize:
    """The sizes in bytes of the files of a shapefile to be, counted while its shapes come in.

    Args:
        name: of the file, for the sentence.
        record_bytes: of one row of its table.
    """

    def __init__(self, name: str, *, record_bytes: int) -> None:
        self.name, self.shp, self.dbf = name, 100, record_bytes
        self._record = record_bytes

    def add(self, shapes: NDArray[np.object_]) -> None:
        """Count more shapes.

        Raises:
            VectorError: a file would grow beyond what a shapefile may hold.
        """
        parts, points = _parts(shapes), int(shapely.get_num_coordinates(shapes).sum())
        if shapes.size and shapely.get_dimensions(shapes[0]) == 0:
            self.shp += 28 * shapes.size
        else:
            self.shp += 52 * shapes.size + 4 * parts + 16 * points
        self.dbf += self._record * shapes.size
        for size, what in ((self.shp, "shapes"), (self.dbf, "table")):
            if size > SHAPEFILE_BYTES:
                raise VectorError(
                    f"{self.name}: a shapefile's {what} may take 2 GB at most, and these take more; write a .gpkg or "
                    ".fgb, a file for each class (--by-class-files), or a part of the map (--aoi, --classes)"
                )


def _parts(shapes: NDArray[np.object_]) -> int:
    """Return the number of rings or lines, as a shapefile counts its parts."""
    pieces = shapely.get_parts(shapes)
    polygons = shapely.get_dimensions(pieces) == 2
    return int(shapely.get_num_interior_rings(pieces[polygons]).sum()) + len(pieces)


def _writable(kind: Format) -> bool:
    import pyogrio  # and with it geopandas: runs that write no vector file need neither

    return "w" in pyogrio.list_drivers().get(kind.driver, "")
