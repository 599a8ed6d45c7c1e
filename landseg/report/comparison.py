"""A comparison of predictions: its figures in one order, and as a table for programs."""

from __future__ import annotations

import math
from typing import NamedTuple

from landseg.evaluation.result import ClassFigures, Comparison, Difference
from landseg.labels.pairing import scene_names
from landseg.report.figures_csv import HEADLINES, csv_table

_COLUMNS = (
    "figure", "value", "name", "prediction", "estimate", "low", "high", "above_first", "above_first_low",
    "above_first_high",
)  # fmt: skip


class Estimate(NamedTuple):
    """A figure of one prediction.

    Attributes:
        figure: its name in JSON, "iou" for that of a class.
        entry: of the class; None for a figure of all classes.
        number: of the prediction, from 0.
        value: of the figure; nan where it means nothing.
        ends: its 95 % interval; None where there is none.
        above: how much it is above the first prediction's; None for the first, and where that is not estimated.
    """

    figure: str
    entry: ClassFigures | None
    number: int
    value: float
    ends: tuple[float, float] | None
    above: Difference | None

    @property
    def title(self) -> str:
        """The figure in words."""
        return HEADLINES[self.figure] if self.entry is None else f"IoU {self.entry.name}"


def estimates(found: Comparison) -> list[list[Estimate]]:
    """Return the figures of all classes, then the IoU of each: for every figure, that of each prediction."""
    everyone = list(enumerate(found.evaluations))
    paired = {"mean_iou": found.mean_iou, "pixel_accuracy": found.pixel_accuracy}
    figures = []
    for name in HEADLINES:
        above = (None, *paired.get(name, [None] * (len(everyone) - 1)))
        ends = [_interval(one.intervals.get(name)) for one in found.evaluations]
        figures.append([Estimate(name, None, n, getattr(one, name), ends[n], above[n]) for n, one in everyone])
    for index, entry in enumerate(found.evaluations[0].classes):
        above = (None, *(differences[entry.name] for differences in found.iou))
        own = [one.classes[index] for one in found.evaluations]
        figures.append([Estimate("iou", e, n, e.iou, _interval(e.iou_ci), above[n]) for n, e in enumerate(own)])
    return figures


def short_names(found: Comparison) -> list[str]:
    """Return a name for each prediction, as short as tells them apart."""
    full = [one.prediction for one in found.evaluations]
    short = scene_names(full)
    return list(short) if len(set(short)) == len(set(full)) else full


def comparison_notes(found: Comparison) -> list[str]:
    """Return the notes of all predictions; a note of some of them begins with their name."""
    everyone, notes = found.evaluations, []
    for name, one in zip(short_names(found), everyone, strict=True):
        notes += [note if all(note in other.notes for other in everyone) else f"{name}: {note}" for note in one.notes]
    return list(dict.fromkeys(notes))


def comparison_csv(found: Comparison) -> str:
    """Return every figure of every prediction as CSV, a row each, with intervals and how much it is above the first.

    ``figure`` is one of the fields of an evaluation, or iou with the ``value`` and ``name`` of a class. Figures that
    mean nothing, and differences that are not estimated, are empty.
    """
    rows = []
    for one in (one for figure in estimates(found) for one in figure):
        low, high = one.ends or (None, None)
        above = one.above
        differences = (None,) * 3 if above is None else (above.difference, above.low, above.high)
        value, name = (None, None) if one.entry is None else (one.entry.value, one.entry.name)
        prediction = found.evaluations[one.number].prediction
        values = (one.figure, value, name, prediction, one.value, low, high, *differences)
        rows.append(dict(zip(_COLUMNS, values, strict=True)))
    return csv_table(_COLUMNS, rows)


def _interval(ends: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return an interval, None for that of a single block, which is nan."""
    return ends if ends is not None and all(map(math.isfinite, ends)) else None
