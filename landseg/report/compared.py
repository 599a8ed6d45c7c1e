"""A comparison of predictions: its figures in one order, as lines of text and as a table for programs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from landseg.evaluation.result import ClassFigures, Compared, Difference
from landseg.labels.pairing import scene_names
from landseg.report.text import HEADLINES, csv_table

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


def estimates(found: Compared) -> list[list[Estimate]]:
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


def short_names(found: Compared) -> list[str]:
    """Return a name for each prediction, as short as tells them apart."""
    full = [one.prediction for one in found.evaluations]
    short = scene_names(full)
    return list(short) if len(set(short)) == len(set(full)) else full


def comparison_notes(found: Compared) -> list[str]:
    """Return what has to be known to read the figures; what is not so for all predictions names its own."""
    everyone, notes = found.evaluations, []
    for name, one in zip(short_names(found), everyone, strict=True):
        notes += [note if all(note in other.notes for other in everyone) else f"{name}: {note}" for note in one.notes]
    return list(dict.fromkeys(notes))


def comparison_lines(found: Compared) -> Iterator[str]:
    """The figures of a comparison: a line for each prediction under every figure, then what has to be known."""
    names, figures = short_names(found), estimates(found)
    wide = max(len("prediction"), *map(len, names))
    width = max(len(figure[0].title) for figure in figures)
    yield f"against {found.evaluations[0].target}"
    yield f"  {'':<{width}}  {'prediction':<{wide}}  value   95 % interval   above {names[0]}"
    for figure in figures:
        for one in figure:
            title, name = "" if one.number else one.title, names[one.number]
            ends = "" if one.ends is None else f"{one.ends[0]:.3f} - {one.ends[1]:.3f}"
            line = f"  {title:<{width}}  {name:<{wide}} {_number(one.value):>6} {ends:>15}   {_above(one.above)}"
            yield line.rstrip()
    yield ""
    yield from (f"  {note}" for note in comparison_notes(found))


def comparison_csv(found: Compared) -> str:
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
    """An interval that means something: one of a single block is nan."""
    return ends if ends is not None and all(map(math.isfinite, ends)) else None


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _above(one: Difference | None) -> str:
    if one is None:
        return ""
    if math.isnan(one.difference):
        return "-"
    return f"{one.difference:+.3f}" + ("" if math.isnan(one.low) else f" ({one.low:+.3f} to {one.high:+.3f})")
