"""The result of `evaluate` for points: figures alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from landseg.evaluation.named_figures import NamedFigures
from landseg.metrics.points import FIGURES, PointFigures
from landseg.text.amounts import counted
from landseg.text.results import html_table, json_values, one_line, three

MEANS = ("ap", "precision", "recall", "f1", "best_f1", "rmse", "count_bias", "count_rmse", "count_r2")
"""The figures whose means over classes an evaluation has."""
ESTIMATED = FIGURES
"""The figures of a class that have intervals."""
COUNTS = ("matched", "missed", "invented", "true_count", "found_count")
"""The figures that are summed over classes."""


class PointClass(NamedFigures[PointFigures]):
    """The figures of one class of points; intervals are by a bootstrap of spatial blocks."""


@dataclass(frozen=True, repr=False)
class PointEvaluation:
    """The figures of predicted points against those of the truth, by the rules of docs/points.md.

    Attributes:
        prediction: the file, as it was named.
        target: the truth, as it was named.
        classes: the figures of each class; those without truth mean nothing.
        means: the means of figures over the classes with truth.
        counts: the sums of numbers over all classes.
        radius: the distance within which points may be one.
        unit: of distances: "m", or "unit" for points without a CRS.
        block: edge of the blocks of the bootstrap and of the counts, in words.
        score: score from which detections count in all figures but AP and the best F1.
        scored: whether the prediction has scores; without them there is no AP.
        notes: sentences that a reader of the figures needs.
    """

    prediction: str
    target: str
    classes: tuple[PointClass, ...]
    means: Mapping[str, float]
    counts: Mapping[str, int]
    radius: float
    unit: str = "m"
    block: str = ""
    score: float = 0.0
    scored: bool = True
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        unit = "m" if self.unit == "m" else "units"
        return one_line(
            f"PointEvaluation of {self.prediction} against {self.target}:",
            f"F1 {three(self.means['f1'])} at {self.radius:g} {unit}",
            f"AP {three(self.means['ap'])}" if self.scored else None,
            f"{counted(self.counts['found_count'], 'point')} for {self.counts['true_count']:,}",
        )

    def _repr_html_(self) -> str:
        heads = ["class", "AP", "precision", "recall", "F1", "RMSE", "truth", "predicted"]
        rows = []
        for one in self.classes:
            f = one.figures
            figures = map(three, (f.ap, f.precision, f.recall, f.f1, f.rmse))
            rows.append([one.name, *figures, f"{f.true_count:,}", f"{f.found_count:,}"])
        return html_table(repr(self)[1:-1], heads, rows)

    def to_json(self) -> dict[str, Any]:
        """Return the fields by their names as plain JSON values, None for nan."""
        found: dict[str, Any] = json_values({**vars(self), "classes": None})
        return found | {"classes": [one.to_json() for one in self.classes]}
