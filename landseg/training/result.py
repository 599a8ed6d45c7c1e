"""The result of `train`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from landseg.models.card import Metrics
from landseg.text.amounts import counted
from landseg.text.results import html_table, one_line


@dataclass(frozen=True, repr=False)
class TrainingResult:
    """A model file that a training run wrote, and its figures on the scenes that were kept out of training.

    Attributes:
        output: the model file.
        scenes: number of scenes that the model was trained on.
        kept_out: number of scenes that were kept out.
        metrics: figures on these; None where none were kept out.
        left_out: pixels of the training scenes that do not count, by reason.
        warnings: sentences about the images.
    """

    output: Path
    scenes: int
    kept_out: int
    metrics: Metrics | None
    left_out: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        overall = {} if self.metrics is None else self.metrics.overall
        figures = (f"{name.replace('_', ' ')} {value:.3f}" for name, value in overall.items())
        trained = f"trained on {counted(self.scenes, 'scene')}"
        return one_line(f"TrainingResult {self.output}:", trained, f"{self.kept_out:,} kept out", *figures)

    def _repr_html_(self) -> str:
        classes = {} if self.metrics is None else self.metrics.per_class
        rows = [[name, f"{figures['iou']:.3f}"] for name, figures in classes.items()]
        return html_table(repr(self)[1:-1], ["class", "IoU"], rows)

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON values."""
        return {
            "output": str(self.output),
            "scenes": self.scenes,
            "kept_out": self.kept_out,
            "metrics": None if self.metrics is None else self.metrics.to_json(),
            "left_out": dict(self.left_out),
            "warnings": list(self.warnings),
        }
