"""The results of `evaluate` and `compare` for objects: figures alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from landseg.evaluation.named_figures import NamedFigures
from landseg.evaluation.result import Difference
from landseg.metrics.detection import FIGURES, DetectionFigures
from landseg.text.amounts import counted
from landseg.text.results import html_table, json_values, one_line, three

MEANS = (
    "ap", "ap50", "ap75", "ar", "boundary_ap", "precision", "recall", "f1", "best_f1", "pq", "sq", "rq",
)  # fmt: skip
"""The figures whose means over classes an evaluation has."""
ESTIMATED = FIGURES
"""The figures of a class that have intervals."""
COUNTS = ("true_count", "found_count", "found", "merged", "split", "missed", "invented", "true_size", "found_size")
"""The figures that are summed over classes."""


class ObjectClass(NamedFigures[DetectionFigures]):
    """The figures of one class of objects; intervals are by a bootstrap of spatial blocks."""


@dataclass(frozen=True, repr=False)
class ObjectEvaluation:
    """The figures of predicted objects against those of the truth, by the rules of docs/objects.md.

    Attributes:
        prediction: the file, as it was named.
        target: the truth, as it was named.
        classes: the figures of each class; those without truth mean nothing.
        means: the means of figures over the classes with truth.
        counts: the sums of numbers and sizes over all classes.
        unit: of sizes: "m2", "px", or "unit2" for polygons without a CRS.
        areas: ends of the ranges of sizes of ``ap_by_area``.
        score: score from which detections count in precision, recall, F1, PQ and the counts.
        scored: whether the prediction has scores; without them there is no AP.
        boundary: width of the bands of the boundary AP; None where they were not measured.
        coco: the twelve figures of pycocotools, for files of COCO; else None.
        notes: sentences that a reader of the figures needs.
    """

    prediction: str
    target: str
    classes: tuple[ObjectClass, ...]
    means: Mapping[str, float]
    counts: Mapping[str, float]
    unit: str
    areas: tuple[float, ...] = ()
    score: float = 0.0
    scored: bool = True
    boundary: str | None = None
    coco: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        counts = self.counts
        return one_line(
            f"ObjectEvaluation of {self.prediction} against {self.target}:",
            f"F1 {three(self.means['f1'])} at IoU 0.5",
            f"AP50 {three(self.means['ap50'])}" if self.scored else None,
            f"{counted(int(counts['found_count']), 'object')} for {int(counts['true_count']):,}",
        )

    def _repr_html_(self) -> str:
        heads = ["class", "AP", "AP50", "precision", "recall", "F1", "PQ", "truth", "predicted"]
        rows = []
        for one in self.classes:
            f = one.figures
            shares = map(three, (f.ap, f.ap50, f.precision, f.recall, f.f1, f.pq))
            rows.append([one.name, *shares, f"{f.true_count:,}", f"{f.found_count:,}"])
        return html_table(repr(self)[1:-1], heads, rows)

    def to_json(self) -> dict[str, Any]:
        """Return the fields by their names as plain JSON values, None for nan."""
        found: dict[str, Any] = json_values({**vars(self), "classes": None})
        return found | {"classes": [one.to_json() for one in self.classes]}


@dataclass(frozen=True, repr=False)
class ObjectComparison:
    """Several predictions of objects against one truth.

    Attributes:
        evaluations: of each prediction, in the order given.
        f1: difference to the first prediction's F1 at IoU 0.5, of every other prediction, for each class by name.
        ap50: likewise of AP50; nan where a prediction has no scores.
    """

    evaluations: tuple[ObjectEvaluation, ...]
    f1: tuple[dict[str, Difference], ...]
    ap50: tuple[dict[str, Difference], ...]

    def __repr__(self) -> str:
        figures = (f"{one.prediction} {three(one.means['f1'])}" for one in self.evaluations)
        return one_line(f"ObjectComparison against {self.evaluations[0].target}: F1 of", *figures)

    def _repr_html_(self) -> str:
        names = [one.prediction for one in self.evaluations]
        rows = [[name, *(three(one.means[name]) for one in self.evaluations)] for name in MEANS]
        return html_table(f"against {self.evaluations[0].target}", ["figure", *names], rows)

    def to_json(self) -> dict[str, Any]:
        """Return evaluations and differences as plain JSON values."""
        pairs = zip(self.f1, self.ap50, strict=True)
        differences = [{"f1": json_values(one), "ap50": json_values(other)} for one, other in pairs]
        return {"evaluations": [one.to_json() for one in self.evaluations], "differences": differences}
