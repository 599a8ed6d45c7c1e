"""`landseg evaluate`: how good a class raster is."""

from pathlib import Path
from typing import Annotated

import typer

from . import console, options


def command(
    rasters: Annotated[
        list[str], typer.Argument(metavar="PREDICTION... TARGET", help="Class rasters or a folder; the truth last.")
    ],
    classes: options.Classes = None,
    ignore: options.Ignore = None,
    layer: options.Layer = None,
    class_field: options.ClassField = None,
    buffer: options.Buffer = None,
    background: options.Background = None,
    aoi: options.AoiText = None,
    label_colors: options.LabelColors = False,
    probs: Annotated[
        list[str] | None, typer.Option("--probs", metavar="TIF|DIR", help="Its probabilities: calibration.")
    ] = None,
    boundary: Annotated[
        str, typer.Option("--boundary", metavar="3px|2m|none", help="Width of the boundary IoU's bands.")
    ] = "3px",
    tolerance: Annotated[
        str, typer.Option("--tolerance", metavar="3px|2m|none", help="Of the surface Dice.")
    ] = "3px",
    samples: Annotated[int, typer.Option("--samples", min=0, help="Of the bootstrap; 0: no intervals.")] = 1000,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write the table of classes.")] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="HTML", help="Write a report to look at.")
    ] = None,
    image: Annotated[
        list[str] | None, typer.Option("--image", metavar="SRC|DIR", help="Imagery for the report's map.")
    ] = None,
    errors: Annotated[
        str | None, typer.Option("--errors", metavar="TIF|DIR/", help="Write where it is wrong.")
    ] = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    log: options.Log = None,
    as_json: options.Json = False,
) -> None:
    """Compare a class raster with the truth, and say how sure the figures are."""
    from landseg.comparison import Naming
    from landseg.distance import Distance
    from landseg.evaluate import Products, evaluate
    from landseg.geo.vectorname import with_layer
    from landseg.report.text import evaluation_lines
    from landseg.summary import EvaluateOptions

    if len(rasters) < 2:
        raise typer.BadParameter("name the prediction, then the truth")
    with console.working():
        wanted = EvaluateOptions(
            naming=Naming(classes, tuple(ignore or ()), class_field, background, aoi, buffer, label_colors),
            probs=probs,
            boundary=None if boundary == "none" else Distance.of(boundary),
            tolerance=None if tolerance == "none" else Distance.of(tolerance),
            samples=samples,
        )
        products = Products(csv, report, image, errors, overwrite)
        found = evaluate(rasters[:-1], with_layer(rasters[-1], layer), wanted, products, quiet=quiet)
    console.show(found.to_json(), as_json=as_json, text=evaluation_lines(found))
