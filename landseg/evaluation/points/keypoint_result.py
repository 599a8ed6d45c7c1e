"""The result of `evaluate` for objects with keypoints: figures alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from landseg.evaluation.named_figures import NamedFigures
from landseg.metrics.keypoints import FIGURES, KeypointFigures
from landseg.text.results import html_table, json_values, one_line, three

MEANS = (
    "ap", "ap50", "ap75", "ar", "precision", "recall", "f1", "best_f1", "distance_rms", "distance_median",
)  # fmt: skip
"""The figures whose means over classes an evaluation has."""
ESTIMATED = FIGURES
"""The figures of a class that have intervals."""


class KeypointClass(NamedFigures[KeypointFigures]):
    """The figures of one class of objects with keypoints; intervals are by a bootstrap of images."""


@dataclass(frozen=True, repr=False)
class KeypointEvaluation:
    """The figures of predicted objects with keypoints against those of the truth, by the rules of docs/points.md.

    Attributes:
        prediction: the file, as it was named.
        target: the truth, as it was named.
        classes: the figures of each class; those without truth mean nothing.
        means: the means of figures over the classes with truth.
        coco: the ten figures of pycocotools.
        score: score from which detections count in precision, recall, F1 and the distances.
        notes: sentences that a reader of the figures needs.
    """

    prediction: str
    target: str
    classes: tuple[KeypointClass, ...]
    means: Mapping[str, float]
    coco: tuple[float, ...]
    score: float = 0.0
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return one_line(
            f"KeypointEvaluation of {self.prediction} against {self.target}:",
            f"AP {three(self.means['ap'])}",
            f"F1 {three(self.means['f1'])} at OKS 0.5",
        )

    def _repr_html_(self) -> str:
        heads = ["class", "AP", "AP50", "precision", "recall", "F1", "truth", "predicted"]
        rows = []
        for one in self.classes:
            f = one.figures
            shares = map(three, (f.ap, f.ap50, f.precision, f.recall, f.f1))
            rows.append([one.name, *shares, f"{f.true_count:,}", f"{f.found_count:,}"])
        return html_table(repr(self)[1:-1], heads, rows)

    def to_json(self) -> dict[str, Any]:
        """Return the fields by their names as plain JSON values, None for nan."""
        found: dict[str, Any] = json_values({**vars(self), "classes": None})
        return found | {"classes": [one.to_json() for one in self.classes]}
