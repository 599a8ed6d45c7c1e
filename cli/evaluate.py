"""`landseg evaluate`: how good a class raster is, or objects, points or panoptic maps are."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from landseg.text.amounts import counted, part_of
from landseg.text.results import three

from . import console, objects, options, panels

if TYPE_CHECKING:
    from landseg.evaluation.objects.result import ObjectEvaluation
    from landseg.evaluation.panoptic.result import PanopticEvaluation
    from landseg.evaluation.points.keypoint_result import KeypointEvaluation
    from landseg.evaluation.points.result import PointEvaluation
    from landseg.evaluation.result import Evaluation
    from landseg.metrics.seam import Seam


def command(
    rasters: Annotated[
        list[str],
        typer.Argument(
            metavar="PREDICTION... TRUTH",
            help="Class rasters, or a folder of them; or objects: polygons, a raster of ids, COCO's results; or "
            "points; or a folder of COCO's panoptic maps. Last the truth: label rasters or a vector file; ids or "
            "COCO's ground truth; panoptic maps.",
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
    areas: objects.Areas = "",
    score: objects.JudgedScore = 0.0,
    radius: objects.Radius = "6m",
    ids: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--ids",
            metavar="IDS TRUE_IDS",
            help="Rasters of ids of the prediction and the truth, which make both panoptic maps.",
        ),
    ] = None,
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
    """Measure how well class rasters, objects or points fit the truth.

    Prints IoU, F1, precision, recall, areas and boundary measures, with 95 % intervals; of objects AP, F1, PQ, and
    how many were merged, split, missed and invented; of points F1, AP, distances and counts; of panoptic maps PQ,
    SQ and RQ of things and stuff.
    """
    from landseg.evaluate import evaluate
    from landseg.geo.vectors.names import with_layer

    if len(rasters) < 2:
        raise typer.BadParameter("name the prediction, then the truth")
    with console.working():
        found = evaluate(
            rasters[:-1],
            with_layer(rasters[-1], layer),
            classes=classes,
            ignore=ignore or (),
            class_field=class_field,
            background=background,
            buffer=buffer,
            label_colors=label_colors,
            aoi=aoi,
            probs=probs,
            boundary=boundary,
            tolerance=tolerance,
            samples=samples,
            areas=areas,
            score=score,
            radius=radius,
            ids=ids,
            csv=csv,
            report=report,
            image=image,
            errors=errors,
            overwrite=overwrite,
            quiet=quiet,
        )
    console.show(found.to_json(), as_json=as_json, text=result_lines(found))


def result_lines(
    found: "Evaluation | KeypointEvaluation | ObjectEvaluation | PanopticEvaluation | PointEvaluation",
) -> Iterator[str]:
    """Return the figures of classes, of objects, of points or of panoptic maps, a line each."""
    from landseg.evaluation.objects.result import ObjectEvaluation
    from landseg.evaluation.panoptic.result import PanopticEvaluation
    from landseg.evaluation.points.keypoint_result import KeypointEvaluation
    from landseg.evaluation.points.result import PointEvaluation

    if isinstance(found, KeypointEvaluation):
        return keypoint_lines(found)
    if isinstance(found, PanopticEvaluation):
        return panoptic_lines(found)
    if isinstance(found, PointEvaluation):
        return point_lines(found)
    return object_lines(found) if isinstance(found, ObjectEvaluation) else lines(found)


def object_lines(found: "ObjectEvaluation") -> Iterator[str]:
    """Yield the figures of objects, a line each, and a table of the classes."""
    from landseg.report.object_figures import COCO_TITLES, UNITS, headline_rows, range_texts

    yield f"{found.prediction} against {found.target}"
    for title, value, ends, remark in headline_rows(found):
        after = f"   {remark}" if remark else ""
        yield f"  {title:<16} {three(value)}{_between(ends)}{after}"
    ranges = [] if found.coco or not found.scored else range_texts(found)
    for index, text in enumerate(ranges):
        values = [one.figures.ap_by_area[index] for one in found.classes if one.figures.true_count]
        some = [value for value in values if not math.isnan(value)]
        yield f"  {'AP ' + text:<16} {three(sum(some) / len(some) if some else math.nan)}"
    for title, value in zip(COCO_TITLES, found.coco or (), strict=False):
        yield f"  COCO {title:<11} {three(value)}"
    counts, unit = found.counts, UNITS[found.unit]
    yield ""
    yield "  truth: " + ", ".join(f"{int(counts[name]):,} {name}" for name in ("found", "merged", "split", "missed"))
    yield f"  prediction: {int(counts['invented']):,} invented"
    yield (
        f"  {counted(int(counts['found_count']), 'object')} of {counts['found_size']:,.0f} {unit} for "
        f"{int(counts['true_count']):,} of {counts['true_size']:,.0f} {unit}"
    )
    yield ""
    yield from _object_table(found)
    if found.notes:
        yield ""
    yield from (f"  {note}" for note in found.notes)


def _object_table(found: "ObjectEvaluation") -> Iterator[str]:
    width = max(5, *(len(one.name) for one in found.classes))
    names = ("truth", "pred.", "found", "merged", "split", "missed", "invent.")
    yield f"  {'class':<{width}}  {'AP50':>5} {'F1':>5} {'PQ':>5} " + " ".join(f"{name:>7}" for name in names)
    for one in found.classes:
        f = one.figures
        counts = (f.true_count, f.found_count, f.found, f.merged, f.split, f.missed, f.invented)
        shares = " ".join(f"{three(value):>5}" for value in (f.ap50, f.f1, f.pq))
        yield f"  {one.name:<{width}}  {shares} " + " ".join(f"{count:>7,}" for count in counts)


def point_lines(found: "PointEvaluation") -> Iterator[str]:
    """Yield the figures of points, a line each, and of several classes a table."""
    from landseg.report.point_figures import count_lines, point_rows

    yield f"{found.prediction} against {found.target}"
    for title, value, unit, ends, remark in point_rows(found):
        after = f"   {remark}" if remark else ""
        yield f"  {title:<18} {three(value)}{unit}{_between(ends)}{after}"
    yield ""
    yield from (f"  {line}" for line in count_lines(found))
    if len(found.classes) > 1:
        yield ""
        yield from _point_table(found)
    if found.notes:
        yield ""
    yield from (f"  {note}" for note in found.notes)


def keypoint_lines(found: "KeypointEvaluation") -> Iterator[str]:
    """Yield the figures of objects with keypoints, a line each, and what is known of each class."""
    from landseg.report.point_figures import KEYPOINT_TITLES

    yield f"{found.prediction} against {found.target}"
    for title, value in zip(KEYPOINT_TITLES, found.coco, strict=True):
        yield f"  COCO {title:<11} {three(value)}"
    for one in found.classes:
        f = one.figures
        yield ""
        yield f"  {one.name}: {f.found_count:,} for {counted(f.true_count, 'object')}"
        yield f"    F1 at OKS 0.5 {three(f.f1)}, precision {three(f.precision)}, recall {three(f.recall)}"
        off = f"{three(f.distance_median)} px off in the median, {three(f.distance_rms)} px root mean square"
        yield f"    {f.matched_keypoints:,} of {counted(f.keypoints, 'keypoint')} matched, {off}"
        shares = (f"{three(share)} within {end:g} px" for end, share in zip(f.within, f.pck, strict=True))
        yield "    of these " + ", ".join(shares)
    yield ""
    yield from (f"  {note}" for note in found.notes)


def _point_table(found: "PointEvaluation") -> Iterator[str]:
    width = max(5, *(len(one.name) for one in found.classes))
    names = ("truth", "pred.", "matched", "missed", "invent.")
    shares = ("AP", "F1", "precis.", "recall", "RMSE")
    yield f"  {'class':<{width}} " + " ".join(f"{name:>7}" for name in (*shares, *names))
    for one in found.classes:
        f = one.figures
        counts = (f.true_count, f.found_count, f.matched, f.missed, f.invented)
        values = " ".join(f"{three(value):>7}" for value in (f.ap, f.f1, f.precision, f.recall, f.rmse))
        yield f"  {one.name:<{width}} {values} " + " ".join(f"{count:>7,}" for count in counts)


def panoptic_lines(found: "PanopticEvaluation") -> Iterator[str]:
    """Yield the figures of panoptic maps, a line each, a table of the classes, and what is known of things."""
    from landseg.evaluation.panoptic.result import GROUPS
    from landseg.report.panoptic_figures import border_text, group_rows, thing_lines

    images = f" ({counted(found.images, 'image')})" if found.images > 1 else ""
    yield f"{found.prediction} against {found.target}{images}"
    yield f"  {'':<11} " + " ".join(f"{group:>6}" for group in GROUPS)
    for title, values, ends in group_rows(found):
        group = next((one for one in GROUPS if one in ends), None)
        between = "" if group is None else f"{_between(ends[group])} ({group})"
        remark = f"   bands of {found.boundary}" if title.startswith("boundary") else ""
        yield f"  {title:<11} " + " ".join(f"{three(value):>6}" for value in values) + between + remark
    yield f"  {'classes':<11} " + " ".join(f"{found.groups[group].classes:>6}" for group in GROUPS)
    yield ""
    yield from _panoptic_table(found)
    for one in found.classes:
        if one.thing and not math.isnan(one.figures.pq):
            yield ""
            yield f"  {one.name}"
            yield from (f"    {line}" for line in thing_lines(one, found.unit))
    if (border := border_text(found)) is not None:
        yield f"  {border}"
    yield ""
    yield from (f"  {note}" for note in found.notes)


def _panoptic_table(found: "PanopticEvaluation") -> Iterator[str]:
    from landseg.evaluation.panoptic.result import kind_of

    width = max(5, *(len(one.name) for one in found.classes))
    names = ("matched", "wrong", "missed")
    yield f"  {'class':<{width}}  {'kind':<5} {'PQ':>5} {'SQ':>5} {'RQ':>5} " + " ".join(f"{n:>7}" for n in names)
    for one in found.classes:
        f = one.figures
        shares = " ".join(f"{three(value):>5}" for value in (f.pq, f.sq, f.rq))
        counts = " ".join(f"{count:>7,}" for count in (f.tp, f.fp, f.fn))
        yield f"  {one.name:<{width}}  {kind_of(one)} {shares} {counts}"


def lines(found: "Evaluation") -> Iterator[str]:
    """Yield the figures of an evaluation, a line each, and a table of the classes."""
    from landseg.report.figures_csv import HEADLINES
    from landseg.report.numbers import length_text

    scenes = f" ({counted(len(found.scenes), 'scene')})" if len(found.scenes) > 1 else ""
    yield f"{found.prediction} against {found.target}{scenes}"
    averaged = f"mean IoU ({part_of(found.averaged_over, len(found.classes), 'class')})"
    titles = {**HEADLINES, "mean_iou": averaged}
    for name, title in titles.items():
        yield f"  {title:<30} {three(getattr(found, name))}{_between(found.intervals.get(name))}"
        if name == "pixel_accuracy":
            everything = f"all called {found.commonest_class}"
            yield f"  {everything:<30} {three(found.commonest_class_accuracy)}   pixel accuracy of that map"
    if found.mean_boundary_iou is not None:
        title = f"boundary IoU, {length_text(found.boundary_distance_px, found.boundary_distance_m)}"
        yield f"  {title:<30} {three(found.mean_boundary_iou)}"
    if found.mean_surface_dice is not None:
        title = f"surface Dice, {length_text(found.surface_tolerance_px, found.surface_tolerance_m)}"
        yield f"  {title:<30} {three(found.mean_surface_dice)}"
    if found.reliability is not None:
        yield f"  {'expected calibration error':<30} {three(found.reliability.ece)}"
    if found.seam is not None:
        yield f"  {f'errors at window edges, {found.seam.distance} px':<30} {_seam(found.seam)}"
    yield ""
    yield from _class_lines(found)
    if found.notes:
        yield ""
    yield from (f"  {note}" for note in found.notes)


def _class_lines(found: "Evaluation") -> Iterator[str]:
    width = max(5, *(len(entry.name) for entry in found.classes))
    areas = found.pixel_ha is not None
    yield (
        f"  {'class':<{width}}  {'IoU':>6} {'95 % interval':>15} {'precis.':>7} {'recall':>6} {'F1':>6} "
        f"{'outline':>7} {'labelled ha' if areas else 'labelled px':>12}"
    )
    for entry in found.classes:
        ends = "" if entry.iou_ci is None else f"{three(entry.iou_ci[0])} - {three(entry.iou_ci[1])}"
        size = f"{entry.area_ha:.4g}" if entry.area_ha is not None else f"{entry.pixels:,}"
        outline = "-" if entry.boundary_iou is None else three(entry.boundary_iou)
        yield (
            f"  {entry.name:<{width}}  {three(entry.iou):>6} {ends:>15} {three(entry.precision):>7} "
            f"{three(entry.recall):>6} {three(entry.f1):>6} {outline:>7} {size:>12}"
        )


def _seam(seam: "Seam") -> str:
    """Return the error rate where windows meet beside the rate elsewhere, and a word on their ratio."""
    found = f"{three(seam.near)}   elsewhere {three(seam.far)}, ratio {three(seam.ratio)}"
    return found + _between((seam.low, seam.high)) + ("; a sign of a seam" if seam.low > 1 else "")


def _between(ends: tuple[float, float] | None) -> str:
    return "" if ends is None or math.isnan(ends[0]) else f"   95 %: {ends[0]:.3f} to {ends[1]:.3f}"
