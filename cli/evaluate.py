"""`landseg evaluate`: how good a class raster is."""

from pathlib import Path
from typing import Annotated

import typer

from . import console, options, panels


def command(
    rasters: Annotated[
        list[str],
        typer.Argument(
            metavar="PREDICTION... TRUTH",
            help="Class rasters, or a folder of them; last the truth: label rasters or a vector file.",
        ),
    ],
    aoi: options.AoiText = None,
    probs: Annotated[
        list[str] | None,
        typer.Option(
            "--probs",
            metavar="TIF|DIR",
            help="Class probabilities of the predictions, to measure calibration.",
        ),
    ] = None,
    boundary: Annotated[
        str, typer.Option("--boundary", metavar="3px|2m|none", help="Band width of the boundary IoU.")
    ] = "3px",
    tolerance: Annotated[
        str, typer.Option("--tolerance", metavar="3px|2m|none", help="Tolerance of the surface Dice.")
    ] = "3px",
    samples: Annotated[
        int, typer.Option("--samples", metavar="N", min=0, help="Bootstrap samples for the intervals; 0 for none.")
    ] = 1000,
    classes: options.Classes = None,
    ignore: options.Ignore = None,
    layer: options.Layer = None,
    class_field: options.ClassField = None,
    buffer: options.Buffer = None,
    background: options.Background = None,
    label_colors: options.LabelColors = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="HTML",
            help="A report with maps and charts, one HTML file.",
            rich_help_panel=panels.OUTPUTS,
        ),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(
            "--image",
            metavar="SRC|DIR",
            help="The imagery behind the report's map.",
            rich_help_panel=panels.OUTPUTS,
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="The table of classes.", rich_help_panel=panels.OUTPUTS),
    ] = None,
    errors: Annotated[
        str | None,
        typer.Option(
            "--errors",
            metavar="TIF|DIR/",
            help="A raster of the pixels that are wrong, for each scene.",
            rich_help_panel=panels.OUTPUTS,
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    log: options.Log = None,
    as_json: options.Json = False,
) -> None:
    """Measure how well class rasters agree with the truth.

    Prints IoU, F1, precision, recall, areas and boundary measures, with 95 % intervals.
    """
    from landseg.evaluate import EvaluationFiles, evaluate
    from landseg.evaluation.figures import EvaluateOptions
    from landseg.evaluation.pair import LabelOptions
    from landseg.geo.distance import Distance
    from landseg.geo.vectors.names import with_layer
    from landseg.report.text import evaluation_lines

    if len(rasters) < 2:
        raise typer.BadParameter("name the prediction, then the truth")
    with console.working():
        wanted = EvaluateOptions(
            naming=LabelOptions(classes, tuple(ignore or ()), class_field, background, aoi, buffer, label_colors),
            probs=probs,
            boundary=None if boundary == "none" else Distance.of(boundary),
            tolerance=None if tolerance == "none" else Distance.of(tolerance),
            samples=samples,
        )
        products = EvaluationFiles(csv, report, image, errors, overwrite)
        found = evaluate(rasters[:-1], with_layer(rasters[-1], layer), wanted, products, quiet=quiet)
    console.show(found.to_json(), as_json=as_json, text=evaluation_lines(found))
