"""`landseg calibrate`: confidences that can be believed."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from landseg.text.amounts import counted

from . import console, options

if TYPE_CHECKING:
    from landseg.evaluation.calibration import Calibration


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
    from landseg.geo.vectors.names import with_layer

    if len(rasters) < 2:
        raise typer.BadParameter("name the probabilities, then the truth")
    with console.working():
        found = calibrate(
            rasters[:-1],
            with_layer(rasters[-1], layer),
            output,
            model=model,
            classes=classes,
            ignore=ignore or (),
            class_field=class_field,
            background=background,
            buffer=buffer,
            label_colors=label_colors,
            aoi=aoi,
            overwrite=overwrite,
            quiet=quiet,
        )
    console.show(found.to_json(), as_json=as_json, text=_lines(found))


def _lines(found: "Calibration") -> Iterator[str]:
    from landseg.labels.left_out import left_out_line

    yield f"{found.probs} against {found.target}, {counted(found.pixels, 'labelled pixel')}"
    beyond = "" if found.fitted == found.temperature else f"   {found.fitted:.4g} beyond that of the model"
    yield f"  {'temperature':<30} {found.temperature:.4g}{beyond}"
    yield f"  {'expected calibration error':<30} {found.before.ece:.4f} before, {found.after.ece:.4f} after"
    if found.output is not None:
        yield f"  {'written':<30} {found.output}: {found.model} with this temperature"
    if (left_out := left_out_line(found.left_out)) is not None:
        yield f"  {left_out}"
    yield from (f"  {note}" for note in found.notes)
