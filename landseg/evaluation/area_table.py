"""Areas by class and zone: what was found, as lines, JSON and tables."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from landseg.errors import OutputError
from landseg.geo.class_areas import ClassArea, hectares_text
from landseg.labels.left_out import left_out_line

SUFFIXES = (".csv", ".xlsx", ".json")
_COLUMNS = ("value", "name", "pixels", "hectares", "share", "left_out_pixels")
_ROWS = 60  # of a table that is shown although it also goes into a file
_HOW = {
    "ellipsoid": "hectares are on the ellipsoid",
    "plane": "hectares are in the plane of the local coordinate system",
    None: "there is no coordinate system: pixels have no area",
}


@dataclass(frozen=True)
class ZoneAreas:
    """What lies in one zone, or on the whole raster.

    Attributes:
        zone: its name or number; None for the whole raster.
        classes: a row for each class, those that do not occur in it too.
        left_out_pixels: pixels in it that are of no class: nodata, ignored, or not wanted.
    """

    zone: str | int | None
    classes: tuple[ClassArea, ...]
    left_out_pixels: int

    @property
    def pixels(self) -> int:
        """Those that have a class."""
        return sum(row.pixels for row in self.classes)

    @property
    def hectares(self) -> float | None:
        """Of these; None without a CRS."""
        sizes = [row.hectares for row in self.classes if row.hectares is not None]
        return None if len(sizes) < len(self.classes) else sum(sizes)

    def to_json(self) -> dict[str, Any]:
        """The zone in JSON values."""
        return {
            "zone": self.zone,
            "pixels": self.pixels,
            "hectares": self.hectares,
            "left_out_pixels": self.left_out_pixels,
            "classes": [row.to_json() for row in self.classes],
        }


@dataclass(frozen=True)
class Areas:
    """Pixels, hectares and shares of each class of a raster.

    Attributes:
        raster: as it was named.
        whole: the whole raster.
        measure: of the hectares: "ellipsoid"; "plane" in a CRS that has none; None without a CRS.
        zones: each of them, in the order of their file; None where none were asked for.
        output: the table that was written; None: none.
        left_out: pixels of the raster that are of no class, by reason (see `landseg.labels.left_out.Reason`).
        notes: what has to be known of the zones, as sentences.
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
        """What the table has: the zones, or the whole raster."""
        return (self.whole,) if self.zones is None else self.zones

    def to_json(self) -> dict[str, Any]:
        """The areas in JSON values."""
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

    def lines(self) -> list[str]:
        """The areas in words; of a long table that went into a file, the classes of the whole raster."""
        rows = sum(len(part.classes) for part in self.parts)
        whole = self.output is not None and rows > _ROWS
        lines = list(_table((self.whole,) if whole else self.parts, zones=not whole and self.zones is not None))
        if self.output is not None:
            zones = "" if self.zones is None else f", {len(self.zones):,} zone{'s' * (len(self.zones) != 1)}"
            lines = [f"{self.output}: {rows:,} row{'s' * (rows != 1)}{zones}", *lines]
        said = [left_out_line(self.left_out), *self.notes, _HOW[self.measure]]
        return [*lines, *(text for text in said if text is not None)]


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


def _table(parts: tuple[ZoneAreas, ...], *, zones: bool) -> Iterator[str]:
    names = max([5, *(len(row.name) for part in parts for row in part.classes)])
    wide = max([4, *(len(str(part.zone)) for part in parts)]) if zones else 0
    first = f"{'zone':<{wide}}  " if zones else ""
    yield f"{first}{'class':<{names}} {'value':>6} {'pixels':>14} {'hectares':>15} {'share':>7}"
    for part in parts:
        zone = f"{part.zone!s:<{wide}}  " if zones else ""
        if zones and not part.pixels:
            yield f"{zone}-"
        for row in part.classes:
            if zones and not row.pixels:
                continue
            size = "-" if row.hectares is None else hectares_text(row.hectares)
            share = "-" if math.isnan(row.share) else f"{100 * row.share:.1f} %"
            yield f"{zone}{row.name:<{names}} {row.value:>6} {row.pixels:>14,} {size:>15} {share:>7}"
