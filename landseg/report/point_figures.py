"""The figures of points and of keypoints in words, and as a table for programs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict

from landseg.evaluation.points.keypoint_result import ESTIMATED as KEYPOINT_ESTIMATED
from landseg.evaluation.points.keypoint_result import MEANS as KEYPOINT_MEANS
from landseg.evaluation.points.keypoint_result import KeypointEvaluation
from landseg.evaluation.points.result import COUNTS, ESTIMATED, MEANS, PointClass, PointEvaluation
from landseg.report.figures_csv import csv_table
from landseg.text.amounts import counted
from landseg.text.results import three

KEYPOINT_TITLES = (
    "AP", "AP50", "AP75", "AP medium", "AP large", "AR", "AR50", "AR75", "AR medium", "AR large",
)  # fmt: skip
"""The ten figures of COCO for keypoints, in the order of pycocotools."""


def unit_text(found: PointEvaluation) -> str:
    """Return the unit of distances for people."""
    return "m" if found.unit == "m" else "units"


def point_rows(found: PointEvaluation) -> Iterator[tuple[str, float, str, tuple[float, float] | None, str]]:
    """Yield title, value, unit, interval and a remark of each figure that has a meaning or should have one."""
    alone = found.classes[0] if len(found.classes) == 1 else None
    unit = unit_text(found)
    titles = {
        "f1": f"F1 at {found.radius:g} {unit}",
        "precision": "precision",
        "recall": "recall",
        "rmse": "RMSE of distances",
        "ap": "AP",
        "best_f1": "best F1",
    }
    for name, title in titles.items():
        if name in ("ap", "best_f1") and not found.scored:
            continue
        ends = None if alone is None else alone.intervals.get(name)
        ends = None if ends is None or math.isnan(ends[0]) else ends
        value = found.means[name]
        yield title, value, f" {unit}" if name == "rmse" and value == value else "", ends, _remark(name, found, alone)


def _remark(name: str, found: PointEvaluation, alone: PointClass | None) -> str:
    if name == "f1" and found.score:
        return f"score from {found.score:g} on"
    if name == "best_f1":
        at = "" if alone is None else f"score from {three(alone.figures.best_score)} on, "
        return f"{at}chosen on this truth"
    return ""


def count_lines(found: PointEvaluation) -> Iterator[str]:
    """Yield what is to be said of numbers of points: all together, and by blocks."""
    counts = found.counts
    yield f"truth: {counts['matched']:,} matched, {counts['missed']:,} missed"
    yield f"prediction: {counts['invented']:,} invented"
    yield f"{counted(counts['found_count'], 'point')} for {counts['true_count']:,}"
    for one in found.classes:
        f = one.figures
        if f.blocks:
            of = f" ({one.name})" if len(found.classes) > 1 else ""
            yield (
                f"counts in {counted(f.blocks, 'block')} of {found.block}{of}: bias {f.count_bias:+.2f}, "
                f"RMSE {f.count_rmse:.2f}, R² {three(f.count_r2)}"
            )


def points_csv(found: PointEvaluation) -> str:
    """Return the classes as CSV, a row each, then a row of means and sums; figures that mean nothing are empty."""
    heads = ["name", "radius", "score"]
    for name in (*MEANS, "best_score", "blocks", *COUNTS):
        heads += [name, f"{name}_low", f"{name}_high"] if name in ESTIMATED else [name]
    rows = []
    for one in found.classes:
        row = {"name": one.name, "radius": found.radius, **asdict(one.figures)}
        for name, (low, high) in one.intervals.items():
            row |= {f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    every = {"name": "all classes", "radius": found.radius, "score": found.score, **found.means, **found.counts}
    return csv_table(heads, [*rows, every])


def keypoints_csv(found: KeypointEvaluation) -> str:
    """Return the classes as CSV, a row each, then a row of means; figures that mean nothing are empty."""
    heads = ["name", "score"]
    for name in KEYPOINT_MEANS:
        heads += [name, f"{name}_low", f"{name}_high"] if name in KEYPOINT_ESTIMATED else [name]
    lists = ("within", "pck", "found_within", "ap_by_area", "ar_by_area")
    rows = []
    for one in found.classes:
        row = {"name": one.name, **{key: value for key, value in asdict(one.figures).items() if key not in lists}}
        for name, (low, high) in one.intervals.items():
            row |= {f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    counts = ["ar50", "ar75", "best_score", "true_count", "found_count", "keypoints", "matched_keypoints"]
    return csv_table([*heads, *counts], [*rows, {"name": "all classes", "score": found.score, **found.means}])
