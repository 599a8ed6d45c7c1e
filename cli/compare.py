"""`landseg compare`: which of several class rasters is better."""

from pathlib import Path
from typing import Annotated

import typer

from . import console, options, panels


def command(
    rasters: Annotated[
        list[str],
        typer.Argument(
            metavar="PREDICTION... TRUTH",
            help="Two predictions or more, each a class raster or a folder of them; last the truth, as for evaluate.",
        ),
    ],
    aoi: options.AoiText = None,
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
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="All figures as a table.", rich_help_panel=panels.OUTPUTS),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="HTML", help="A report, one HTML file.", rich_help_panel=panels.OUTPUTS),
    ] = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    log: options.Log = None,
    as_json: options.Json = False,
) -> None:
    """Compare class rasters with each other against one truth.

    Prints how much better or worse each is than the first, with 95 % intervals of the differences.
    """
    from landseg.compare import compare
    from landseg.evaluation.figures import EvaluateOptions
    from landseg.evaluation.pair import LabelOptions
    from landseg.geo.vectors.names import with_layer
    from landseg.report.compared import comparison_lines

    if len(rasters) < 2:
        raise typer.BadParameter("name the predictions, then the truth")
    with console.working():
        naming = LabelOptions(classes, tuple(ignore or ()), class_field, background, aoi, buffer, label_colors)
        wanted = EvaluateOptions(naming=naming, boundary=None, tolerance=None, samples=samples)
        target = with_layer(rasters[-1], layer)
        found = compare(rasters[:-1], target, wanted, csv=csv, report=report, overwrite=overwrite, quiet=quiet)
    console.show(found.to_json(), as_json=as_json, text=comparison_lines(found))
