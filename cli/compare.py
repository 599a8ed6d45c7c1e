"""`landseg compare`: which of several class rasters is better."""

from pathlib import Path
from typing import Annotated

import typer

from . import console, options


def command(
    rasters: Annotated[
        list[str],
        typer.Argument(
            metavar="PREDICTION... TARGET",
            help="Two predictions or more, each a class raster or a folder of them; the truth last, as for evaluate.",
        ),
    ],
    classes: options.Classes = None,
    ignore: options.Ignore = None,
    layer: options.Layer = None,
    class_field: options.ClassField = None,
    buffer: options.Buffer = None,
    background: options.Background = None,
    aoi: options.AoiText = None,
    label_colors: options.LabelColors = False,
    samples: Annotated[int, typer.Option("--samples", min=0, help="Of the bootstrap; 0: no intervals.")] = 1000,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write all figures as a table.")] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="HTML", help="Write a report to look at.")
    ] = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    log: options.Log = None,
    as_json: options.Json = False,
) -> None:
    """Compare several class rasters with one truth, and say how sure their differences are."""
    from landseg.compare import compare
    from landseg.comparison import Naming
    from landseg.geo.vectorname import with_layer
    from landseg.report.compared import comparison_lines
    from landseg.summary import EvaluateOptions

    if len(rasters) < 2:
        raise typer.BadParameter("name the predictions, then the truth")
    with console.working():
        naming = Naming(classes, tuple(ignore or ()), class_field, background, aoi, buffer, label_colors)
        wanted = EvaluateOptions(naming=naming, boundary=None, tolerance=None, samples=samples)
        target = with_layer(rasters[-1], layer)
        found = compare(rasters[:-1], target, wanted, csv=csv, report=report, overwrite=overwrite, quiet=quiet)
    console.show(found.to_json(), as_json=as_json, text=comparison_lines(found))
