"""`landseg rasterize`: polygons burnt onto a grid."""

from pathlib import Path
from typing import Annotated

import typer

from . import console, options


def command(
    polygons: Annotated[
        str, typer.Argument(metavar="POLYGONS", help="Any vector file with polygons; of several layers, FILE:LAYER.")
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT.tif", help="The class raster.")],
    like: Annotated[
        Path | None,
        typer.Option("--like", metavar="RASTER", help="Whose grid it gets, and whose classes if they fit."),
    ] = None,
    resolution: Annotated[
        str | None,
        typer.Option("--resolution", metavar="N|X,Y", help="Without --like: of a pixel, in metres on the ground."),
    ] = None,
    crs_units: Annotated[
        bool, typer.Option("--crs-units", help="--resolution is in units of the CRS: degrees, feet.")
    ] = False,
    bounds: Annotated[
        str | None, typer.Option("--bounds", metavar="L,B,R,T", help="left,bottom,right,top. [of the polygons]")
    ] = None,
    crs: Annotated[str | None, typer.Option("--crs", help="Such as EPSG:32632. [of the polygons]")] = None,
    layer: options.Layer = None,
    class_field: options.ClassField = None,
    classes: options.Classes = None,
    all_touched: Annotated[
        bool, typer.Option("--all-touched", help="Burn every pixel that a polygon touches, not its centre alone.")
    ] = False,
    buffer: options.Buffer = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    log: options.Log = None,
    as_json: options.Json = False,
) -> None:
    """Burn polygons onto a grid, as a class raster: a pixel is of the last polygon that covers its centre."""
    from landseg.errors import GridError
    from landseg.geo.vectorname import with_layer
    from landseg.rasterize import RasterizeOptions, rasterize

    with console.working():
        size = options.numbers(resolution, "--resolution", float)
        box = options.numbers(bounds, "--bounds", float)
        if size is not None and len(size) > 2:
            raise GridError(f"--resolution {resolution}: expected one number, or two such as 0.5,0.5")
        if box is not None and len(box) != 4:
            raise GridError(f"--bounds {bounds}: expected left,bottom,right,top")
        summary = rasterize(
            with_layer(polygons, layer),
            output,
            RasterizeOptions(
                like=like,
                resolution=None if size is None else (size[0], size[-1]),
                bounds=None if box is None else (box[0], box[1], box[2], box[3]),
                crs=crs,
                class_field=class_field,
                classes=classes,
                all_touched=all_touched,
                overwrite=overwrite,
                buffer_m=buffer,
                crs_units=crs_units,
                quiet=quiet,
            ),
        )
    console.show(summary.to_json(), as_json=as_json, text=summary.lines())
