"""The figures of objects in words, and as a table for programs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from landseg.evaluation.objects.result import (
    COUNTS,
    ESTIMATED,
    MEANS,
    ObjectClass,
    ObjectComparison,
    ObjectEvaluation,
)
from landseg.report.figures_csv import csv_table
from landseg.text.results import three

TITLES = {
    "ap": "AP .50:.95",
    "ap50": "AP50",
    "ap75": "AP75",
    "ar": "AR",
    "boundary_ap": "boundary AP",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1 at IoU 0.5",
    "best_f1": "best F1",
    "pq": "PQ",
    "sq": "SQ",
    "rq": "RQ",
}
COCO_TITLES = (
    "AP", "AP50", "AP75", "AP small", "AP medium", "AP large", "AR of 1", "AR of 10", "AR of 100", "AR small",
    "AR medium", "AR large",
)  # fmt: skip
UNITS = {"m2": "m²", "px": "px", "unit2": "square units"}


def range_texts(found: ObjectEvaluation) -> list[str]:
    """Return the ranges of sizes in words, from the smallest.

    >>> range_texts(ObjectEvaluation("a", "b", (), {}, {}, "m2", (50.0, 500.0)))
    ['to 50 m²', '50 to 500 m²', 'from 500 m²']
    """
    ends, unit = [f"{end:g}" for end in found.areas], UNITS[found.unit]
    if not ends:
        return []
    between = [f"{low} to {high} {unit}" for low, high in pairwise(ends)]
    return [f"to {ends[0]} {unit}", *between, f"from {ends[-1]} {unit}"]


def headline_rows(found: ObjectEvaluation) -> Iterator[tuple[str, float, tuple[float, float] | None, str]]:
    """Yield title, value, interval and a remark of each figure that has a meaning or should have one."""
    alone = found.classes[0] if len(found.classes) == 1 else None
    for name, title in TITLES.items():
        ranked = name in ("ap", "ap50", "ap75", "ar", "best_f1")
        if (ranked and not found.scored) or (name == "boundary_ap" and (found.boundary is None or not found.scored)):
            continue
        ends = None if alone is None else alone.intervals.get(name)
        ends = None if ends is None or math.isnan(ends[0]) else ends
        yield title, found.means[name], ends, _remark(name, found, alone)


def _remark(name: str, found: ObjectEvaluation, alone: ObjectClass | None) -> str:
    if name == "boundary_ap":
        return f"bands of {found.boundary}"
    if name == "f1" and found.score:
        return f"score from {found.score:g} on"
    if name == "best_f1":
        at = "" if alone is None else f"score from {three(alone.figures.best_score)} on, "
        return f"{at}chosen on this truth"
    return ""


def objects_csv(found: ObjectEvaluation) -> str:
    """Return the classes as CSV, a row each, then a row of means and sums; figures that mean nothing are empty."""
    heads = ["name", "score"]
    for name in (*MEANS, "best_score", *COUNTS):
        heads += [name, f"{name}_low", f"{name}_high"] if name in ESTIMATED else [name]
    rows = []
    for one in found.classes:
        row = {"name": one.name, **asdict(one.figures)}
        for name, (low, high) in one.intervals.items():
            row |= {f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    every = {"name": "all classes", "score": found.score, **found.means, **found.counts}
    return csv_table(heads, [*rows, every])


def object_comparison_csv(found: ObjectComparison) -> str:
    """Return F1 and AP50 of every class and prediction as CSV, with intervals and the difference to the first."""
    heads = ("figure", "name", "prediction", "estimate", "low", "high", "above_first", "above_first_low")
    rows = []
    for index, entry in enumerate(found.evaluations[0].classes):
        for figure, differences in (("f1", found.f1), ("ap50", found.ap50)):
            for number, one in enumerate(found.evaluations):
                own = one.classes[index]
                row: dict[str, Any] = {"figure": figure, "name": entry.name, "prediction": one.prediction}
                row["estimate"] = getattr(own.figures, figure)
                row["low"], row["high"] = own.intervals.get(figure, (None, None))
                if number:
                    above = differences[number - 1][entry.name]
                    row |= {"above_first": above.difference, "above_first_low": above.low}
                    row |= {"above_first_high": above.high}
                rows.append(row)
    return csv_table((*heads, "above_first_high"), rows)
