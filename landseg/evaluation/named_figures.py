"""The figures of one class of objects, points or keypoints, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from landseg.text.results import json_values

Figures = TypeVar("Figures")


@dataclass(frozen=True)
class NamedFigures(Generic[Figures]):
    """The figures of one class.

    Attributes:
        name: of the class.
        figures: a dataclass of numbers; those of rankings are nan where the prediction has no scores.
        intervals: 95 % intervals (low, high) by the names of figures, by a bootstrap.
    """

    name: str
    figures: Figures
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return name, figures and intervals as JSON values in one object."""
        figures: dict[str, Any] = json_values(self.figures)
        return {"name": self.name, **figures, "intervals": json_values(self.intervals)}
