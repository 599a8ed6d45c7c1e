"""The figures of points: how many true ones were found within a reach, and how far off."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import ClassMap
from landseg.dense.point_rows import Points
from landseg.dense.point_targets import centres_of
from landseg.dense.task import Arrays, Examples, Summary
from landseg.metrics.nearby import Nearby
from landseg.metrics.points import PointDetection, PointFigures
from landseg.text.amounts import counted

OVERALL = ("f1", "ap", "precision", "recall", "rmse")
"""The figures of the whole model: each the mean over the classes of points that the truth has."""
FoundIn = Callable[[NDArray[np.float32], NDArray[np.bool_]], Points]
"""Finds the points of an output (C, h, w) and its valid pixels (H, W)."""
LOWEST = 0.02
"""The lowest score of points that take part in the choice of one."""


@dataclass
class _Raster:
    """The truth and the detections of one raster.

    Attributes:
        sums: rows and columns of the pixels of each thing, their number, and its pixels of each class, by number.
        found: points (n, 4), see `Points.table`; None before any came.
        unknown: whether each point lies where no truth is known.
    """

    sums: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    found: NDArray[np.float64] | None = None
    unknown: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))


class PointMeasure:
    """Figures of the layer "points" against the label map "instance", whose things are true points at their centres.

    Args:
        classes: of the model.
        reach: pixels; a point is right whose distance from a true one is at most this.
    """

    def __init__(self, classes: ClassMap, *, reach: float) -> None:
        self._classes, self._reach = classes, reach
        self._rasters: dict[int, _Raster] = {}

    def update(
        self,
        layers: Arrays,
        valid: NDArray[np.bool_],
        labels: Mapping[str, NDArray[Any]],
        *,
        at: tuple[int, int] = (0, 0),
        raster: int = 0,
    ) -> None:
        points = layers["points"]
        if points is None or "instance" not in labels:
            return
        made, ids = self._rasters.setdefault(raster, _Raster()), labels["instance"]
        if made.found is None:
            made.found, made.unknown = points, np.zeros(len(points), bool)
        place = np.floor(points[:, :2]).astype(np.int64) - at
        inside = ((place >= 0) & (place < ids.shape)).all(axis=1)
        rows, columns = place[inside].T
        made.unknown[inside] = ids[rows, columns] < 0
        things = list(self._classes.things)
        numbers, centres, pixels = centres_of(ids)
        for number, centre, count in zip(numbers.tolist(), centres, pixels.tolist(), strict=True):
            kinds = np.bincount(labels["class"][ids == number], minlength=256)[things] if len(things) > 1 else [count]
            own = np.array([*((centre + at) * count), count, *kinds], np.float64)
            made.sums[number] = made.sums.get(number, 0) + own

    def figures(self) -> dict[str, float]:
        every = [one.compute() for one in self._detections()]
        made = {}
        for name in OVERALL:
            values = [value for one in every if not math.isnan(value := float(getattr(one, name)))]
            made[name] = sum(values) / len(values) if values else float("nan")
        return made

    def summary(self) -> Summary:
        detections = self._detections()
        every = [one.compute() for one in detections]
        overall = self.figures()
        if len(detections) == 1:
            low, high = detections[0].intervals(count=200)["f1"]
            if low == low:
                overall |= {"f1_low": float(low), "f1_high": float(high)}
        names = [self._classes.names[index] for index in self._classes.things]
        per_class = {name: {"f1": one.f1, "ap": one.ap} for name, one in zip(names, every, strict=True)}
        return Summary(overall, per_class, self._note(every))

    def best_score(self) -> tuple[float, float, int]:
        """Return the score with the largest F1, that F1, and the number of true points; of the class with most."""
        every = [one.compute() for one in self._detections()]
        most = max(every, key=lambda one: one.true_count)
        return most.best_score, most.best_f1, most.true_count

    def _note(self, every: list[PointFigures]) -> str:
        true, found, right = (sum(getattr(one, n) for one in every) for n in ("true_count", "found_count", "matched"))
        return f"{counted(true, 'point')}: {right:,} found within {self._reach:g} px; {found:,} detections"

    def _detections(self) -> list[PointDetection]:
        """Return the points of each class, in pixels."""
        made = []
        for kind in range(len(self._classes.things)):
            one = PointDetection(block=32 * self._reach)
            for number, raster in self._rasters.items():
                rows = np.array(list(raster.sums.values())).reshape(len(raster.sums), -1)
                true = rows[:, :2] / rows[:, 2:3] + 0.5 if len(rows) else np.zeros((0, 2))
                of = rows[:, 3:].argmax(axis=1) if len(rows) else np.zeros(0, int)
                found = np.zeros((0, 4)) if raster.found is None else raster.found
                own = found[:, 2] == kind
                near = Nearby.of(true[of == kind], found[own, :2], self._reach, found_edge=raster.unknown[own])
                one.update(near, found[own, 3], raster=number)
            made.append(one)
        return made


def choose_score(
    found_in: FoundIn, classes: ClassMap, examples: Examples, *, reach: float
) -> tuple[Mapping[str, Any], str]:
    """Return the score with the largest F1 on examples, and a line that says it; nothing without true points.

    Args:
        found_in: finds the points of an output and its valid pixels, from `LOWEST` on.
        classes: of the model.
        examples: of scenes that were learned from.
        reach: see `PointMeasure`.
    """
    measure = PointMeasure(classes, reach=reach)
    for number, one in enumerate(examples()):
        points = found_in(one.output, one.valid).table
        measure.update({"points": points}, one.valid, one.labels, raster=number)
    score, f1, true = measure.best_score()
    if not true or math.isnan(score):
        return {}, ""
    chosen = max(LOWEST, math.floor(100 * score) / 100)
    return {"score": chosen}, (
        f"score = {chosen:g}: F1 {f1:.3f} on {counted(true, 'point')} of scenes that were learned from, where a "
        "network is surer than elsewhere"
    )
