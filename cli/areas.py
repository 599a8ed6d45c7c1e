"""`landseg areas`: the area of each class of a map."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import console, options

if TYPE_CHECKING:
    from landseg.evaluation.area_table import Areas, ZoneAreas

_ROWS = 60  # the longest table that is printed where it also goes into a file
_MEASURES = {
    "ellipsoid": "hectares are on the ellipsoid",
    "plane": "hectares are in the plane of the local coordinate system",
    None: "there is no coordinate system: pixels have no area",
}


def command(
    raster: Annotated[str, typer.Argument(metavar="MAP", help="The class raster.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the table: .csv, .xlsx or .json.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="FILE[:LAYER]", help="Zones: polygons that hold a pixel's centre."),
    ] = None,
    by_field: Annotated[
        str | None,
        typer.Option("--by-field", metavar="COLUMN", help="The column that names the zones. [numbers from 1]"),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes", metavar="NAME,...|FILE", help="Count only these classes, by name or value; or a class table."
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    log: options.Log = None,
    as_json: options.Json = False,
) -> None:
    """Count pixels, hectares and share of each class, also by zone."""
    from landseg.areas import areas

    with console.working():
        found = areas(raster, output, by=by, by_field=by_field, classes=classes, overwrite=overwrite, quiet=quiet)
    console.show(found.to_json(), as_json=as_json, text=lines(found))


def lines(found: Areas) -> list[str]:
    """Return the areas as lines of text; of a long table that is also a file, the classes of the whole raster."""
    from landseg.labels.left_out import left_out_line

    rows = sum(len(part.classes) for part in found.parts)
    whole = found.output is not None and rows > _ROWS
    text = list(_table((found.whole,) if whole else found.parts, zones=not whole and found.zones is not None))
    if found.output is not None:
        zones = "" if found.zones is None else f", {len(found.zones):,} zone{'s' * (len(found.zones) != 1)}"
        text = [f"{found.output}: {rows:,} row{'s' * (rows != 1)}{zones}", *text]
    notes = [left_out_line(found.left_out), *found.notes, _MEASURES[found.measure]]
    return [*text, *(line for line in notes if line is not None)]


def _table(parts: tuple[ZoneAreas, ...], *, zones: bool) -> Iterator[str]:
    """Yield the lines of the table of some parts of a raster."""
    from landseg.geo.class_areas import hectares_text

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
