"""`landseg rasterize`: polygons burnt onto a grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import console, options, panels

if TYPE_CHECKING:
    from landseg.labels.rasterize_options import Rasterization

_GRID = "Grid"


def command(
    polygons: Annotated[str, typer.Argument(metavar="POLYGONS", help="A vector file; of several layers FILE:LAYER.")],
    output: Annotated[Path, typer.Argument(metavar="OUT.tif", help="The class raster.")],
    like: Annotated[
        Path | None,
        typer.Option(
            "--like",
            metavar="RASTER",
            help="Take grid, and classes where they fit, from this raster.",
            rich_help_panel=_GRID,
        ),
    ] = None,
    resolution: Annotated[
        str | None,
        typer.Option(
            "--resolution",
            metavar="N|X,Y",
            help="Pixel size in metres on the ground, without --like.",
            rich_help_panel=_GRID,
        ),
    ] = None,
    crs_units: Annotated[
        bool,
        typer.Option(
            "--crs-units", help="Read --resolution in units of the CRS: degrees, feet.", rich_help_panel=_GRID
        ),
    ] = False,
    bounds: Annotated[
        str | None,
        typer.Option(
            "--bounds",
            metavar="LEFT,BOTTOM,RIGHT,TOP",
            help="Extent in the CRS. [that of the polygons]",
            rich_help_panel=_GRID,
        ),
    ] = None,
    crs: Annotated[
        str | None,
        typer.Option(
            "--crs",
            metavar="EPSG:N",
            help="Coordinate system. [that of the polygons]",
            rich_help_panel=_GRID,
        ),
    ] = None,
    classes: options.Classes = None,
    layer: options.Layer = None,
    class_field: options.ClassField = None,
    buffer: options.Buffer = None,
    all_touched: Annotated[
        bool,
        typer.Option(
            "--all-touched",
            help="Burn every pixel that a polygon touches, not only by centre.",
            rich_help_panel=panels.LABELS,
        ),
    ] = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    log: options.Log = None,
    as_json: options.Json = False,
) -> None:
    """Burn polygons onto a grid, as a class raster.

    A pixel takes the class of the last polygon that covers its centre.
    """
    from landseg.errors import GridError
    from landseg.geo.vectors.names import with_layer
    from landseg.rasterize import rasterize

    with console.working():
        size = options.numbers(resolution, "--resolution", float)
        box = options.numbers(bounds, "--bounds", float)
        if size is not None and len(size) > 2:
            raise GridError(f"--resolution {resolution}: expected one number, or two such as 0.5,0.5")
        if box is not None and len(box) != 4:
            raise GridError(f"--bounds {bounds}: expected left,bottom,right,top")
        made = rasterize(
            with_layer(polygons, layer),
            output,
            like=like,
            resolution=None if size is None else (size[0], size[-1]),
            bounds=None if box is None else (box[0], box[1], box[2], box[3]),
            crs=crs,
            class_field=class_field,
            classes=classes,
            all_touched=all_touched,
            buffer=buffer,
            crs_units=crs_units,
            overwrite=overwrite,
            quiet=quiet,
        )
    console.show(made.to_json(), as_json=as_json, text=lines(made))


def lines(made: Rasterization) -> list[str]:
    """Return a finished rasterization as lines of text."""
    from landseg.runtime.progress import duration

    shown = [f"{name:<13} {entry['pixels']:,} px of value {entry['value']}" for name, entry in made.classes.items()]
    size = f"{made.width} x {made.height} px in {duration(made.seconds)}"
    first = [str(made.output), f"polygons      {made.polygons:,} on {size}", f"rule          {made.rule}"]
    return [*first, *shown, f"no data       {made.empty:,} px", *(f"note          {note}" for note in made.notes)]
