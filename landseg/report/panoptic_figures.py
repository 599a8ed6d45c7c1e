"""The figures of panoptic maps in words, and as a table for programs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict

from landseg.evaluation.panoptic.result import (
    ESTIMATED,
    GROUPS,
    MEANS,
    Ends,
    PanopticClass,
    PanopticEvaluation,
    kind_of,
)
from landseg.report.figures_csv import csv_table
from landseg.report.object_figures import UNITS
from landseg.text.amounts import counted
from landseg.text.results import three

TITLES = {"pq": "PQ", "sq": "SQ", "rq": "RQ", "boundary_pq": "boundary PQ"}
_COUNTS = ("tp", "fp", "fn", "merged", "split", "missed", "invented", "true_size", "found_size", "matched_share")


def group_rows(found: PanopticEvaluation) -> Iterator[tuple[str, list[float], dict[str, Ends]]]:
    """Yield title, values of all, things and stuff, and intervals by group of each figure that was measured."""
    for name in MEANS:
        if name == "boundary_pq" and found.boundary is None:
            continue
        ends = {group: one for group, one in found.intervals.get(name, {}).items() if math.isfinite(one[0])}
        yield TITLES[name], [getattr(found.groups[group], name) for group in GROUPS], ends


def thing_lines(one: PanopticClass, unit: str) -> Iterator[str]:
    """Yield what is to be said of the objects of a class of things."""
    f = one.figures
    yield f"objects at IoU above 0.5: precision {three(f.precision)}, recall {three(f.recall)}, F1 {three(f.rq)}"
    yield f"truth: {f.tp:,} matched, {f.merged:,} merged, {f.split:,} split, {f.missed:,} missed"
    yield f"prediction: {f.invented:,} invented"
    sizes = f"{counted(f.tp + f.fp, 'object')} of {f.found_size:,.0f} {UNITS[unit]}"
    yield f"{sizes} for {f.tp + f.fn:,} of {f.true_size:,.0f} {UNITS[unit]}"
    yield f"share of the truth's area in matched objects: {three(f.matched_share)}"


def border_text(found: PanopticEvaluation) -> str | None:
    """Return the median distance of matched borders as a sentence; None where it was not measured."""
    if math.isnan(found.border_distance):
        return None
    beyond = math.isinf(found.border_distance)
    away = f"more than {found.border_reach:.3g}" if beyond else f"{found.border_distance:.3g}"
    return f"borders of matched objects: {away} {found.border_unit} apart in the median"


def panoptic_csv(found: PanopticEvaluation) -> str:
    """Return the classes as CSV, a row each, and rows of means; figures that mean nothing are empty."""
    heads = ["name", "kind"]
    for name in (*MEANS, "precision", "recall"):
        heads += [name, f"{name}_low", f"{name}_high"] if name in ESTIMATED else [name]
    rows = [
        {"name": one.name, "kind": kind_of(one), **asdict(one.figures), **_columns(one.intervals)}
        for one in found.classes
    ]
    for group in GROUPS:
        ends = {name: of_groups[group] for name, of_groups in found.intervals.items()}
        means = {name: getattr(found.groups[group], name) for name in MEANS}
        rows.append({"name": f"mean of {group}", **means, **_columns(ends)})
    return csv_table([*heads, *_COUNTS], rows)


def _columns(intervals: Mapping[str, Ends]) -> dict[str, float]:
    return {f"{name}_{end}": ends[at] for name, ends in intervals.items() for at, end in enumerate(("low", "high"))}
