"""`landseg areas`: what each class of a map covers."""

from pathlib import Path
from typing import Annotated

import typer

from . import console, options


def command(
    raster: Annotated[str, typer.Argument(metavar="MAP", help="The class raster, anything GDAL opens.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the table: .csv, .xlsx or .json.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="FILE[:LAYER]", help="Zones: polygons; a pixel is in those around its centre."),
    ] = None,
    by_field: Annotated[
        str | None, typer.Option("--by-field", metavar="COLUMN", help="Names the zones. [numbered from 1]")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes", metavar="NAME,...|FILE", help="Classes that are wanted, by name or value; or a class table."
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Count pixels, hectares and share of each class of a map, and of each zone."""
    from landseg.areas import areas

    with console.working():
        found = areas(raster, output, by=by, by_field=by_field, classes=classes, overwrite=overwrite)
    console.show(found.to_json(), as_json=as_json, text=found.lines())
