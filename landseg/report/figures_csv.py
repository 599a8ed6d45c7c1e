"""The figures of an evaluation as a table for programs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from landseg.evaluation.result import Evaluation

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
    """Return the row of all classes: sums, means and the figures that are not of one class."""
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
