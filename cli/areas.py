"""`landseg areas`: what each class of a map covers."""

from pathlib import Path
from typing import Annotated

import typer

from . import console, options


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
    console.show(found.to_json(), as_json=as_json, text=found.lines())
