"""`landseg calibrate`: confidences that can be believed."""

from pathlib import Path
from typing import Annotated

import typer

from . import console, options


def command(
    rasters: Annotated[
        list[str],
        typer.Argument(
            metavar="PROBS... TRUTH",
            help="Class probabilities, from landseg predict --probs; last the truth: label rasters or a vector file.",
        ),
    ],
    model: options.Model = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write a copy of the model with the fitted temperature."),
    ] = None,
    aoi: options.AoiText = None,
    classes: options.Classes = None,
    ignore: options.Ignore = None,
    layer: options.Layer = None,
    class_field: options.ClassField = None,
    buffer: options.Buffer = None,
    background: options.Background = None,
    label_colors: options.LabelColors = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    log: options.Log = None,
    as_json: options.Json = False,
) -> None:
    """Fit a model's confidences to the truth (temperature scaling).

    Probabilities change, predicted classes do not.
    """
    from landseg.calibrate import calibrate
    from landseg.evaluation.pair import LabelOptions
    from landseg.geo.vectors.names import with_layer

    if len(rasters) < 2:
        raise typer.BadParameter("name the probabilities, then the truth")
    with console.working():
        found = calibrate(
            rasters[:-1],
            with_layer(rasters[-1], layer),
            LabelOptions(classes, tuple(ignore or ()), class_field, background, aoi, buffer, label_colors),
            model=model,
            output=output,
            overwrite=overwrite,
            quiet=quiet,
        )
    console.show(found.to_json(), as_json=as_json, text=found.lines())
