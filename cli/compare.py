"""`landseg compare`: which of several class rasters is better."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from . import console, options

if TYPE_CHECKING:
    from landseg.compare import Compared, Difference


def command(
    target: Annotated[str, typer.Argument(metavar="TRUTH", help="The truth: a label raster or a vector file.")],
    predictions: Annotated[list[str], typer.Argument(metavar="PREDICTION...", help="Two class rasters or more.")],
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
    as_json: options.Json = False,
) -> None:
    """Compare class rasters with each other against one truth.

    Prints how much better or worse each is than the first, with 95 % intervals of the differences.
    """
    from landseg.compare import compare
    from landseg.comparison import Naming
    from landseg.geo.vectorname import with_layer
    from landseg.summary import EvaluateOptions

    with console.working():
        naming = Naming(classes, tuple(ignore or ()), class_field, background, aoi, buffer, label_colors)
        wanted = EvaluateOptions(naming=naming, boundary=None, tolerance=None, samples=samples)
        found = compare(with_layer(target, layer), predictions, wanted, quiet=False)
    console.show(found.to_json(), as_json=as_json, text=_lines(found))


def _lines(found: "Compared") -> Iterator[str]:
    from landseg.geo.leftout import left_out_line

    names = [one.prediction for one in found.evaluations]
    left_out = left_out_line(found.evaluations[0].left_out)
    width = max(len(name) for name in names)
    yield f"{'':<{width}}  {'mean IoU':>8} {'pixel accuracy':>14}   above the first: mean IoU, pixel accuracy"
    for number, one in enumerate(found.evaluations):
        above = ""
        if number:
            above = f"{_above(found.mean_iou[number - 1])}, {_above(found.pixel_accuracy[number - 1])}"
        yield f"{names[number]:<{width}}  {one.mean_iou:>8.3f} {one.pixel_accuracy:>14.3f}   {above}"
    for number, classes in enumerate(found.iou, start=1):
        yield f"IoU of {names[number]} above {names[0]}"
        yield from (f"  {name:<20} {_above(difference)}" for name, difference in classes.items())
    if left_out is not None:
        yield left_out


def _above(one: "Difference") -> str:
    if math.isnan(one.difference):
        return "-"
    return f"{one.difference:+.3f}" + ("" if math.isnan(one.low) else f" ({one.low:+.3f} to {one.high:+.3f})")
