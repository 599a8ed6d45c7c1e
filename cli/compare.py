"""`landseg compare`: which of several class rasters, or predictions of objects, is better."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from landseg.text.results import three

from . import console, objects, options, panels

if TYPE_CHECKING:
    from landseg.evaluation.objects.result import ObjectComparison
    from landseg.evaluation.result import Comparison, Difference


def command(
    rasters: Annotated[
        list[str],
        typer.Argument(
            metavar="PREDICTION... TRUTH",
            help="Two predictions or more, each a class raster, a folder of them, or objects; last the truth, as for "
            "evaluate.",
        ),
    ],
    aoi: options.AoiText = None,
    samples: Annotated[
        int, typer.Option("--samples", metavar="N", min=0, help="Bootstrap samples for the intervals; 0 for none.")
    ] = 1000,
    areas: objects.Areas = "",
    score: objects.JudgedScore = 0.0,
    boundary: Annotated[
        str, typer.Option("--boundary", metavar="3px|2m|none", help="Band width of the boundary AP of objects.")
    ] = "none",
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
    """Compare class rasters, or objects, against one truth.

    Prints how much better or worse each is than the first, with 95 % intervals of the differences.
    """
    from landseg.compare import compare
    from landseg.geo.vectors.names import with_layer

    if len(rasters) < 2:
        raise typer.BadParameter("name the predictions, then the truth")
    with console.working():
        found = compare(
            rasters[:-1],
            with_layer(rasters[-1], layer),
            classes=classes,
            ignore=ignore or (),
            class_field=class_field,
            background=background,
            buffer=buffer,
            label_colors=label_colors,
            aoi=aoi,
            samples=samples,
            areas=areas,
            score=score,
            boundary=boundary,
            csv=csv,
            report=report,
            overwrite=overwrite,
            quiet=quiet,
        )
    console.show(found.to_json(), as_json=as_json, text=_result_lines(found))


def _result_lines(found: "Comparison | ObjectComparison") -> Iterator[str]:
    from landseg.evaluation.objects.result import ObjectComparison

    return _object_lines(found) if isinstance(found, ObjectComparison) else _lines(found)


def _object_lines(found: "ObjectComparison") -> Iterator[str]:
    """Yield a line for each prediction under F1 and AP50 of each class, then the notes."""
    names = [one.prediction for one in found.evaluations]
    wide = max(len("prediction"), *map(len, names))
    yield f"against {found.evaluations[0].target}"
    for index, entry in enumerate(found.evaluations[0].classes):
        for figure, title, above in (("f1", "F1 at IoU 0.5", found.f1), ("ap50", "AP50", found.ap50)):
            yield f"  {title}, {entry.name}"
            for number_of, one in enumerate(found.evaluations):
                own = one.classes[index]
                ends = own.intervals.get(figure)
                between = "" if ends is None or math.isnan(ends[0]) else f"{ends[0]:.3f} - {ends[1]:.3f}"
                difference = _above(above[number_of - 1][entry.name]) if number_of else ""
                value = three(getattr(own.figures, figure))
                yield f"    {names[number_of]:<{wide}} {value:>6} {between:>15}   {difference}".rstrip()
    yield ""
    yield from (f"  {note}" for note in dict.fromkeys(note for one in found.evaluations for note in one.notes))


def _lines(found: "Comparison") -> Iterator[str]:
    """Yield a line for each prediction under every figure, then the notes."""
    from landseg.report.comparison import comparison_notes, estimates, short_names

    names, figures = short_names(found), estimates(found)
    wide = max(len("prediction"), *map(len, names))
    width = max(len(figure[0].title) for figure in figures)
    yield f"against {found.evaluations[0].target}"
    yield f"  {'':<{width}}  {'prediction':<{wide}}  value   95 % interval   above {names[0]}"
    for figure in figures:
        for one in figure:
            title, name = "" if one.number else one.title, names[one.number]
            ends = "" if one.ends is None else f"{one.ends[0]:.3f} - {one.ends[1]:.3f}"
            line = f"  {title:<{width}}  {name:<{wide}} {three(one.value):>6} {ends:>15}   {_above(one.above)}"
            yield line.rstrip()
    yield ""
    yield from (f"  {note}" for note in comparison_notes(found))


def _above(one: "Difference | None") -> str:
    if one is None:
        return ""
    if math.isnan(one.difference):
        return "-"
    return f"{one.difference:+.3f}" + ("" if math.isnan(one.low) else f" ({one.low:+.3f} to {one.high:+.3f})")
