"""Areas by class and zone, and the table that they are written as."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from landseg.errors import OutputError
from landseg.evaluation.area_options import AreasOptions
from landseg.geo.class_areas import ClassArea, areas_rows, areas_text
from landseg.geo.vectors.names import file_of
from landseg.output.checks import files_behind
from landseg.runtime.target_checks import check_target
from landseg.text.amounts import counted
from landseg.text.results import html_table, one_line

SUFFIXES = (".csv", ".xlsx", ".json")
_COLUMNS = ("value", "name", "pixels", "hectares", "share", "left_out_pixels")


@dataclass(frozen=True)
class ZoneAreas:
    """The areas of the classes in one zone, or on the whole raster.

    Attributes:
        zone: the name or number of the zone; None for the whole raster.
        classes: a row for each class, also for classes without pixels there.
        left_out_pixels: number of pixels without a class: nodata, ignored, or of a class that is not counted.
    """

    zone: str | int | None
    classes: tuple[ClassArea, ...]
    left_out_pixels: int

    @property
    def pixels(self) -> int:
        """The number of pixels that have a class."""
        return sum(row.pixels for row in self.classes)

    @property
    def hectares(self) -> float | None:
        """The area of these pixels in hectares; None without a CRS."""
        sizes = [row.hectares for row in self.classes if row.hectares is not None]
        return None if len(sizes) < len(self.classes) else sum(sizes)

    def to_json(self) -> dict[str, Any]:
        """Return the zone as JSON values."""
        return {
            "zone": self.zone,
            "pixels": self.pixels,
            "hectares": self.hectares,
            "left_out_pixels": self.left_out_pixels,
            "classes": [row.to_json() for row in self.classes],
        }


@dataclass(frozen=True, repr=False)
class Areas:
    """Pixels, hectares and shares of each class of a raster.

    Attributes:
        raster: the name of the raster.
        whole: the areas on the whole raster.
        measure: "ellipsoid" where hectares are measured on it, "plane" in a CRS without an ellipsoid, None without
            a CRS.
        zones: the areas in each zone, in the order of their file; None without zones.
        output: the table that was written, or None.
        left_out: numbers of pixels of the raster without a class, by reason (see `landseg.labels.left_out.Reason`).
        notes: remarks on the zones, as sentences.
    """

    raster: str
    whole: ZoneAreas
    measure: str | None
    zones: tuple[ZoneAreas, ...] | None = None
    output: Path | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[ZoneAreas, ...]:
        """The parts of the raster in the table: its zones, or the whole raster."""
        return (self.whole,) if self.zones is None else self.zones

    def to_json(self) -> dict[str, Any]:
        """Return the areas as JSON values."""
        whole = {name: item for name, item in self.whole.to_json().items() if name != "zone"}
        return {
            "raster": self.raster,
            "output": None if self.output is None else str(self.output),
            "measure": self.measure,
            **whole,
            "zones": None if self.zones is None else [zone.to_json() for zone in self.zones],
            "left_out": dict(self.left_out),
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        zones = None if self.zones is None else counted(len(self.zones), "zone")
        return one_line("Areas", self.raster, zones, areas_text(self.whole.classes))

    def _repr_html_(self) -> str:
        return html_table(self.raster, *areas_rows(self.whole.classes))


def check_table(table: Path | None, rasters: Sequence[str], options: AreasOptions) -> None:
    """Refuse a table that cannot be written; nothing is checked where `table` is None.

    Args:
        table: the file to write.
        rasters: the names of rasters that are read.
        options: name other files that are read, and whether a table may be replaced.

    Raises:
        OutputError: the table is a folder, has another suffix, is an input, or exists.
    """
    if table is None:
        return
    inputs = [Path(path) for path in (*rasters, *map(str, files_behind(list(rasters))))]
    inputs += [] if options.by is None else [file_of(options.by)]
    if isinstance(options.classes, (str, PathLike)):
        inputs.append(Path(options.classes))
    check_target(table, SUFFIXES, kind="a table of areas", overwrite=options.overwrite, inputs=inputs)


def write_table(found: Areas, place: Path) -> None:
    """Write the table into a new file, in the format that its suffix names.

    Raises:
        OSError: it cannot be written.
        OutputError: this installation cannot write the format.
    """
    suffix = place.suffix.lower()
    if suffix == ".json":
        text = json.dumps(found.to_json(), ensure_ascii=False, allow_nan=False, indent=1)
        place.write_text(text + "\n", encoding="utf-8")
        return
    head, rows = columns_of(found), list(table_rows(found))
    if suffix == ".xlsx":
        _write_sheet(head, rows, place)
        return
    with place.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(["" if entry is None else entry for entry in row] for row in rows)


def columns_of(found: Areas) -> tuple[str, ...]:
    """Return the columns of the table."""
    return _COLUMNS if found.zones is None else ("zone", *_COLUMNS)


def table_rows(found: Areas) -> Iterator[tuple[Any, ...]]:
    """Yield a row for each zone and class; hectares to a hundredth of a square metre, None for what means nothing."""
    for part in found.parts:
        zone = () if found.zones is None else (part.zone,)
        for row in part.classes:
            hectares = None if row.hectares is None else round(row.hectares, 6)
            share = None if math.isnan(row.share) else round(row.share, 9)
            yield (*zone, row.value, row.name, row.pixels, hectares, share, part.left_out_pixels)


def _write_sheet(head: tuple[str, ...], rows: list[tuple[Any, ...]], place: Path) -> None:
    import pyarrow as pa
    import pyogrio

    if "w" not in pyogrio.list_drivers().get("XLSX", ""):
        raise OutputError(f"{place.name}: this installation's GDAL cannot write .xlsx; use .csv")
    columns = dict(zip(head, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(head, ())
    kinds = {"zone": None, "name": pa.string(), "hectares": pa.float64(), "share": pa.float64()}
    table = pa.table({name: pa.array(column, kinds.get(name, pa.int64())) for name, column in columns.items()})
    sheet = io.BytesIO()  # GDAL looks for archives in the names of folders, and ours end in .xlsx.landseg
    pyogrio.write_arrow(table, sheet, driver="XLSX", layer="areas", geometry_name=None)
    place.write_bytes(sheet.getvalue())
