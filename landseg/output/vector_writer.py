"""Writer: a vector file of any format, finished from shapes that come in chunks."""

from __future__ import annotations

import json
import shutil
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pyogrio
import pyproj
import shapely
from numpy.typing import NDArray

from landseg.classes import LandClass
from landseg.errors import VectorError
from landseg.output.spool import GEOMETRY, Columns, Spool, renamed
from landseg.output.styles import add_default_style
from landseg.output.vector_formats import (
    GEOJSON,
    GEOJSON_DIGITS,
    GEOPACKAGE,
    GEOPARQUET,
    SHAPEFILE,
    TABLE,
    ZIPPED,
    ShapefileSize,
    vector_format,
)
from landseg.runtime.disk import disk_errors, full_disk, sync_file
from landseg.runtime.replacement import Move, Part

_WIDTHS = {
    "int64": 18,
    "int32": 9,
    "float64": 24,
    "string": 80,
    "bool": 1,
}  # of a shapefile's columns, as GDAL makes them
_TEXT = 254  # bytes that a shapefile's column of text can hold
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file knows
_REASON = 200  # characters of a driver's error, which may hold all of its SQL


class Writer:
    """A vector file of shapes of one kind, while it is written.

    `write` takes features in chunks, in any number; `finish` makes the file in the work folder and returns a part
    for `landseg.runtime.replacement.publish`. Memory is bounded by a chunk and the largest shape. Equal features
    give equal bytes.

    Args:
        out: the file; its suffix tells the format.
        fields: name and type ("int32", "int64", "float64", "string", "bool") of each column.
        crs: of the shapes; GeoJSON is turned into WGS 84 where there is one.
        kind: "Polygon", "LineString", "Point" or one of their Multi forms, to which shapes are promoted; a table has
            points in their place.
        work: an existing folder for this file alone, on the same disk.
        called: the name of the file in sentences, where users do not know `out`.

    Raises:
        VectorError: the format is unknown or cannot be written here.
    """

    def __init__(
        self,
        out: Path,
        fields: Mapping[str, str],
        *,
        crs: pyproj.CRS | None,
        work: Path,
        kind: str = "Polygon",
        called: Path | None = None,
    ) -> None:
        self.out, self.format, self.crs = out, vector_format(out), crs
        self.kind = "Point" if self.format is TABLE else kind
        self._called, self._work, self._fields = called or out, work, dict(fields)
        self._spool = Spool(work / "features.arrow", self._fields, called=self._called)
        self._size = None
        if self.format.driver == "ESRI Shapefile":
            record = 1 + sum(_WIDTHS[kind] for kind in self._fields.values())
            self._size = ShapefileSize(self._called.name, record_bytes=record)

    @property
    def count(self) -> int:
        """The number of features so far."""
        return self._spool.count

    def write(self, columns: Columns, shapes: NDArray[Any]) -> None:
        """Write the next features: a value a shape for each column.

        Raises:
            VectorError: the format cannot hold them.
            OutputError: the disk is full.
        """
        if not len(shapes):
            return
        if self.format is TABLE:
            shapes = np.asarray(shapely.point_on_surface(shapes), dtype=object)
        if self.kind.endswith("Polygon"):
            shapes = shapely.orient_polygons(shapes)
        if self.kind.startswith("Multi"):
            shapes = _promoted(shapes, self.kind)
        if self._size is not None:
            self._size.add(shapes)
            self._check_texts(columns)
        with _sentences(self._called, self._work):
            self._spool.add(columns, shapes)

    def finish(self, classes: Sequence[LandClass]) -> Part:
        """Make the file durable, with the classes' colours where it can hold them, and return its part to publish.

        Raises:
            VectorError: the format cannot hold the features.
            OutputError: the disk is full.
        """
        folder = self._work / "made"
        with disk_errors(self._called):
            folder.mkdir()
        made = folder / self.out.name
        with _sentences(self._called, folder):
            self._spool.close()
            if self.format is GEOPARQUET:
                write_geoparquet(self._spool, made, crs=self.crs, kind=self.kind)
            elif self.format is ZIPPED:
                inner = folder / f"{self.format.stem(self.out)}.shp"
                self._write_ogr(inner)
                _pack([inner, *(inner.with_suffix(suffix) for suffix in SHAPEFILE.companions)], made)
            elif self.format is SHAPEFILE:
                self._write_ogr(made.with_suffix(".shp"))  # as OGR calls it, however it was asked for
            else:
                self._write_ogr(made)
            if self.format is GEOPACKAGE:
                add_default_style(made, made.stem, classes, kind=self.kind)
        with disk_errors(self._called):
            self._spool.path.unlink()
        moves = self._moves(made)
        for file, _ in moves:
            sync_file(file, called=self._called)
        return Part(self.out, tuple(moves), tuple(self.format.stale_files(self.out)))

    def _moves(self, made: Path) -> list[Move]:
        """Return the renames of a finished file and of its companion files, its own last."""
        if self.format is not SHAPEFILE:
            return [(made, self.out)]
        beside = [
            (made.with_suffix(suffix), self.format.companion(self.out, suffix)) for suffix in self.format.companions
        ]
        return [move for move in beside if move[0].exists()] + [(made.with_suffix(".shp"), self.out)]

    def _write_ogr(self, path: Path) -> None:
        """Write the features of the spool through an OGR driver, as a stream."""
        options: dict[str, str] = {
            "ESRI Shapefile": {"ENCODING": "UTF-8", "DBF_DATE_LAST_UPDATE": "2000-01-01"},
            "GPKG": {"GEOMETRY_NAME": "geom"},
            "CSV": {"GEOMETRY": "AS_XY"},
            "FlatGeobuf": {"TEMPORARY_DIR": str(path.parent)},
            "GeoJSON": {"COORDINATE_PRECISION": str(GEOJSON_DIGITS)} if self.crs is None else {"RFC7946": "YES"},
        }[self.format.driver]
        pyogrio.write_arrow(
            renamed(self._spool.batches(), self.format.field_names(self._fields)),
            path,
            driver=self.format.driver,
            layer=path.name.removesuffix(self.format.suffix(path)) if self.format is not ZIPPED else path.stem,
            geometry_name=GEOMETRY,
            geometry_type=self.kind if self.format is not GEOJSON else "Unknown",
            crs=None if self.crs is None else self.crs.to_wkt(),
            layer_options=options,
        )

    def _check_texts(self, columns: Columns) -> None:
        for name, kind in self._fields.items():
            texts = set(columns[name].tolist()) if kind == "string" else ()
            long = next((text for text in texts if len(text.encode()) > _TEXT), None)
            if long is not None:
                raise VectorError(
                    f"{self._called.name}: a shapefile's text holds {_TEXT} bytes and {long[:40]!r}... has "
                    f"{len(long.encode())}; write a .gpkg, or shorten the name"
                )


def _promoted(shapes: NDArray[Any], kind: str) -> NDArray[Any]:
    """Return shapes of a Multi kind: single shapes become collections of one."""
    make = {"MultiPolygon": shapely.multipolygons, "MultiLineString": shapely.multilinestrings}
    build = make.get(kind, shapely.multipoints)
    single = shapely.get_type_id(shapes) <= shapely.GeometryType.POLYGON
    out = shapes.copy()
    if single.any():
        out[single] = build(shapes[single], indices=np.arange(int(single.sum())))
    return out


def _pack(files: Sequence[Path], path: Path) -> None:
    """Write several files into one zip file, without their dates, and remove them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            if not file.exists():
                continue  # a .prj of nothing
            entry = zipfile.ZipInfo(file.name, _DATE)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            entry.file_size = file.stat().st_size
            with file.open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            file.unlink()


def _reason(error: Exception, path: Path, work: Path) -> str:
    """Return the first line of a library's error, shortened, with ``path`` in place of the file in ``work``."""
    text = str(error).strip().partition("\n")[0].replace(str(work / path.name), str(path))
    text = " ".join(text.replace(str(work), str(path.parent)).split())
    return text if len(text) <= _REASON else f"{text[:_REASON].rstrip()} ..."


@contextmanager
def _sentences(path: Path, work: Path) -> Iterator[None]:
    """Turn errors of the libraries into sentences about `path`, and keep the time of day out of files.

    Equal rasters then give equal bytes.
    """
    # The file is synced when it is complete: no need to do so at every step.
    options = {"OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z", "OGR_SQLITE_SYNCHRONOUS": "OFF"}
    pyogrio.set_gdal_config_options(options)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'crs' was not provided")  # a raster without one has none to give
            yield
    except (RuntimeError, ValueError, ImportError, OSError) as error:  # pyogrio's are RuntimeErrors, Arrow's any
        if _is_full(str(error).lower(), work):
            raise full_disk(path) from error
        raise VectorError(f"{path} cannot hold the polygons: {_reason(error, path, work)}; try a .gpkg") from error
    finally:
        pyogrio.set_gdal_config_options(dict.fromkeys(options))


def _is_full(text: str, work: Path) -> bool:
    """Return True if a library's error comes of a full disk, which may have room again: SQLite rolls back."""
    free = shutil.disk_usage(work).free
    if free < 1 << 20 or "disk is full" in text or "no space left" in text:
        return True
    own = work.parent if work.name == "made" else work
    held = sum(file.stat().st_size for file in own.rglob("*") if file.is_file())
    return free < held and any(word in text for word in ("i/o", "write", "writing"))


_BOX = ("xmin", "ymin", "xmax", "ymax")
_BOX_TYPE = pa.struct([(side, pa.float64()) for side in _BOX])


def write_geoparquet(spool: Spool, path: Path, *, crs: pyproj.CRS | None, kind: str) -> None:
    """Write the features of a spool, a row group a batch; one is in memory. Column ``bbox`` holds their boxes."""
    reader = spool.batches()
    schema = pa.schema([*list(reader.schema)[:-1], pa.field("bbox", _BOX_TYPE), pa.field(GEOMETRY, pa.binary())])
    schema = schema.with_metadata({"geo": json.dumps(metadata(spool, crs=crs, kind=kind))})
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in reader:
            wkb = batch.column(batch.num_columns - 1)
            boxes = shapely.bounds(shapely.from_wkb(wkb.to_numpy(zero_copy_only=False))).T
            box = pa.StructArray.from_arrays([pa.array(np.ascontiguousarray(side)) for side in boxes], list(_BOX))
            columns = [*batch.columns[:-1], box, wkb.cast(pa.binary())]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def metadata(spool: Spool, *, crs: pyproj.CRS | None, kind: str) -> dict[str, Any]:
    """Return the metadata of a GeoParquet file by its specification; without a CRS it says that none is known."""
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": [kind],
        "crs": None if crs is None else crs.to_json_dict(),
        "edges": "planar",
        "covering": {"bbox": {side: ["bbox", side] for side in _BOX}},
    }
    if kind.endswith("Polygon"):
        column["orientation"] = "counterclockwise"
    if spool.count:
        column["bbox"] = spool.bounds.tolist()
    return {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}
