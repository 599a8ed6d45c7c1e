"""An evaluation as lines of text and as a table for programs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from landseg.evaluation.result import Evaluation
from landseg.metrics.seam import Seam
from landseg.report.numbers import length_text
from landseg.text.amounts import counted, part_of

HEADLINES = {
    "pixel_accuracy": "pixel accuracy",
    "mean_iou": "mean IoU",
    "frequency_weighted_iou": "frequency-weighted IoU",
    "kappa": "Cohen's kappa",
}
_ENDS = {"iou": "iou_ci", "estimated_ha": "estimated_ha_ci"}  # columns that are followed by their interval
_COLUMNS = (
    "value", "name", "iou", "precision", "recall", "f1", "pixels", "predicted", "missed", "area_ha", "mapped_ha",
    "estimated_ha", "boundary_iou", "surface_dice",
)  # fmt: skip
_FURTHER = ("pixel_accuracy", "frequency_weighted_iou", "kappa")  # columns of the row of all classes


def evaluation_lines(found: Evaluation) -> Iterator[str]:
    """The figures of an evaluation, one line each, and a table of the classes."""
    scenes = f" ({counted(len(found.scenes), 'scene')})" if len(found.scenes) > 1 else ""
    yield f"{found.prediction} against {found.target}{scenes}"
    averaged = f"mean IoU ({part_of(found.averaged_over, len(found.classes), 'class')})"
    titles = {**HEADLINES, "mean_iou": averaged}
    for name, title in titles.items():
        yield f"  {title:<30} {_number(getattr(found, name))}{_between(found.intervals.get(name))}"
        if name == "pixel_accuracy":
            everything = f"all called {found.commonest_class}"
            yield f"  {everything:<30} {_number(found.commonest_class_accuracy)}   pixel accuracy of that map"
    if found.mean_boundary_iou is not None:
        title = f"boundary IoU, {length_text(found.boundary_distance_px, found.boundary_distance_m)}"
        yield f"  {title:<30} {_number(found.mean_boundary_iou)}"
    if found.mean_surface_dice is not None:
        title = f"surface Dice, {length_text(found.surface_tolerance_px, found.surface_tolerance_m)}"
        yield f"  {title:<30} {_number(found.mean_surface_dice)}"
    if found.reliability is not None:
        yield f"  {'expected calibration error':<30} {_number(found.reliability.ece)}"
    if found.seam is not None:
        yield f"  {f'errors at window edges, {found.seam.distance} px':<30} {_seam(found.seam)}"
    yield ""
    yield from _class_lines(found)
    if found.notes:
        yield ""
    yield from (f"  {note}" for note in found.notes)


def csv_text(found: Evaluation) -> str:
    """Return the classes as CSV, a row each, then a row of all classes; figures that mean nothing are empty.

    95 % intervals stand in columns ``..._low`` and ``..._high``. The last row has no value, the mean IoU as its IoU,
    and the figures that are not of one class.
    """
    heads = [head for name in (*_COLUMNS, *_FURTHER) for head in _heads(name)]
    rows = [
        {name: getattr(entry, name) for name in _COLUMNS}
        | {head: end for name, ends in _ENDS.items() for head, end in _ends(name, getattr(entry, ends))}
        for entry in found.classes
    ]
    return csv_table(heads, [*rows, _all_classes(found)])


def _all_classes(found: Evaluation) -> dict[str, Any]:
    """The row of all classes: sums, means and the figures that are not of one class."""
    row: dict[str, Any] = {"name": "all classes", "iou": found.mean_iou}
    row |= {"boundary_iou": found.mean_boundary_iou, "surface_dice": found.mean_surface_dice}
    for name in ("pixels", "predicted", "missed", "area_ha", "mapped_ha"):
        values = [getattr(entry, name) for entry in found.classes]
        row[name] = None if None in values else sum(values)
    row |= dict(_ends("iou", found.intervals.get("mean_iou")))
    for name in _FURTHER:
        row |= {name: getattr(found, name)} | dict(_ends(name, found.intervals.get(name)))
    return row


def _heads(name: str) -> tuple[str, ...]:
    return (name, f"{name}_low", f"{name}_high") if name in (*_ENDS, *_FURTHER) else (name,)


def _ends(name: str, ends: tuple[float, float] | None) -> Iterable[tuple[str, float]]:
    return () if ends is None else ((f"{name}_low", ends[0]), (f"{name}_high", ends[1]))


def csv_table(heads: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows by their heads as CSV; what is missing, None or nan is empty."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(heads)
    for row in rows:
        values = (row.get(head) for head in heads)
        writer.writerow("" if v is None or (isinstance(v, float) and math.isnan(v)) else v for v in values)
    return text.getvalue()


def _class_lines(found: Evaluation) -> Iterator[str]:
    width = max(5, *(len(entry.name) for entry in found.classes))
    areas = found.pixel_ha is not None
    yield (
        f"  {'class':<{width}}  {'IoU':>6} {'95 % interval':>15} {'precis.':>7} {'recall':>6} {'F1':>6} "
        f"{'outline':>7} {'labelled ha' if areas else 'labelled px':>12}"
    )
    for entry in found.classes:
        ends = "" if entry.iou_ci is None else f"{_number(entry.iou_ci[0])} - {_number(entry.iou_ci[1])}"
        size = f"{entry.area_ha:.4g}" if entry.area_ha is not None else f"{entry.pixels:,}"
        outline = "-" if entry.boundary_iou is None else _number(entry.boundary_iou)
        yield (
            f"  {entry.name:<{width}}  {_number(entry.iou):>6} {ends:>15} {_number(entry.precision):>7} "
            f"{_number(entry.recall):>6} {_number(entry.f1):>6} {outline:>7} {size:>12}"
        )


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _seam(seam: Seam) -> str:
    """The error rate where windows meet beside that elsewhere, and what their ratio says."""
    found = f"{_number(seam.near)}   elsewhere {_number(seam.far)}, ratio {_number(seam.ratio)}"
    return found + _between((seam.low, seam.high)) + ("; a sign of a seam" if seam.low > 1 else "")


def _between(ends: tuple[float, float] | None) -> str:
    return "" if ends is None or math.isnan(ends[0]) else f"   95 %: {ends[0]:.3f} to {ends[1]:.3f}"
