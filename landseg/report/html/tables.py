"""The parts of a report that are text and tables: headline, classes, confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from html import escape

import numpy as np

from landseg.evaluation.result import ClassFigures, Evaluation
from landseg.report.html.page import swatch
from landseg.report.numbers import count, hectares, interval, key, length_text, percent, share

Column = tuple[str, str, Callable[[ClassFigures], tuple[float | None, str, str]]]
"""Head, what it means, and of a class: the number to sort by, its text, a second line."""


def headline(evaluation: Evaluation) -> str:
    """Return the headline figures with their intervals as HTML; beside pixel accuracy that of a map of one class."""
    classes = f"mean of {evaluation.averaged_over} {'class' if evaluation.averaged_over == 1 else 'classes'}"
    name = escape(evaluation.commonest_class)
    baseline = (
        f'<p class="baseline"><strong>{percent(evaluation.commonest_class_accuracy)}</strong> <span class="quiet">'
        f"would be reached by calling everything “{name}”, the commonest class</span></p>"
    )
    cards = [
        _card(evaluation, "mean_iou", "Mean IoU", classes),
        _card(
            evaluation, "pixel_accuracy", "Pixel accuracy", "share of the labelled pixels that are right", baseline
        ),
        _card(evaluation, "frequency_weighted_iou", "Frequency-weighted IoU", "classes weighted by their pixels"),
        _card(evaluation, "kappa", "Cohen's kappa", "agreement beyond chance"),
    ]
    for field, name, what in (
        ("mean_boundary_iou", "Boundary IoU", f"outlines, within {_boundary(evaluation)}"),
        (
            "mean_surface_dice",
            "Surface Dice",
            f"outlines that agree to {_tolerance(evaluation)}",
        ),
    ):
        if getattr(evaluation, field) is not None:
            cards.append(_card(evaluation, field, name, what))
    return f'<div class="headline">{"".join(cards)}</div>'


def notes(evaluation: Evaluation) -> str:
    """Return the notes of an evaluation as HTML."""
    return note_list(evaluation.notes)


def note_list(sentences: Iterable[str]) -> str:
    """Return sentences as a list under a head of their own; nothing where there is none."""
    items = "".join(f"<li>{escape(note)}</li>" for note in sentences)
    return f'<h3>How it was compared</h3><ul class="notes">{items}</ul>' if items else ""


def class_table(evaluation: Evaluation) -> str:
    """Return the table of classes as HTML, sortable by each column."""
    columns = list(_columns(evaluation))
    heads = "".join(
        f'<th scope="col" title="{escape(what)}"><button type="button">{escape(head)}</button></th>'
        for head, what, _ in columns
    )
    rows = []
    for figures in evaluation.classes:
        cells = []
        for _, _, of in columns:
            number, text, more = of(figures)
            small = f"<small>{more}</small>" if more else ""
            cells.append(f'<td data-value="{key(number)}">{text}{small}</td>')
        head = (
            f'<th scope="row" data-value="{escape(figures.name)}">{swatch(figures.color)}{escape(figures.name)}</th>'
        )
        rows.append(f"<tr>{head}{''.join(cells)}</tr>")
    first = '<th scope="col" data-first="ascending"><button type="button">Class</button></th>'
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Figures of the classes">'
        f'<table class="sortable" id="classes"><thead><tr>{first}{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def confusion_table(evaluation: Evaluation) -> str:
    """Return the confusion matrix as HTML, coloured by shares of each true class; in pixels, percent, hectares."""
    names = [(figures.name, figures.color) for figures in evaluation.classes]
    missed = np.array([figures.missed for figures in evaluation.classes], np.int64)
    cells = evaluation.confusion
    heads = [f'<th scope="col" title="{escape(name)}">{swatch(color)}{escape(name)}</th>' for name, color in names]
    if missed.any():
        cells = np.column_stack([cells, missed])
        heads.append('<th scope="col">no prediction</th>')
    rows = []
    sizes = evaluation.confusion_ha
    if sizes is None and evaluation.pixel_ha is not None:
        sizes = np.asarray(cells * evaluation.pixel_ha, np.float64)
    for index, ((name, color), row) in enumerate(zip(names, cells, strict=True)):
        total = int(row.sum())
        areas = None if sizes is None else sizes[index]
        shown = [
            _cell(int(n), total, None if areas is None else float(areas[at]), hit=index == at)
            for at, n in enumerate(row)
        ]
        rows.append(
            f'<tr><th scope="row" title="{escape(name)}">{swatch(color)}{escape(name)}</th>{"".join(shown)}</tr>'
        )
    return (
        f'{_units(evaluation)}<div class="scroll" tabindex="0" role="region" aria-label="Confusion matrix">'
        '<table id="confusion"><thead><tr><td class="quiet">truth ↓ prediction →</td>'
        f"{''.join(heads)}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _units(evaluation: Evaluation) -> str:
    units = [("pixels", "pixels"), ("percent", "% of the true class")]
    if evaluation.pixel_ha is not None:
        units.append(("hectares", "hectares"))
    choices = "".join(
        f'<label><input type="radio" name="confusion-unit" value="{value}"{" checked" * (value == "pixels")}>'
        f"{text}</label>"
        for value, text in units
    )
    return f'<fieldset class="choices"><legend>Show</legend>{choices}</fieldset>'


def _cell(pixels: int, total: int, area_ha: float | None, *, hit: bool) -> str:
    part = pixels / total if total else 0.0
    ground = tuple(round(a + (b - a) * math.sqrt(part)) for a, b in zip((247, 250, 252), (11, 74, 122), strict=True))
    area = "" if area_ha is None else f' data-hectares="{hectares(area_ha)}"'
    return (
        f'<td data-pixels="{count(pixels)}" data-percent="{percent(part if total else None)}"{area}'
        f'{" class=hit" if hit else ""} style="background:#{bytes(ground).hex()};color:{_ink(ground)}">'
        f"{count(pixels)}</td>"
    )


def _ink(ground: tuple[int, ...]) -> str:
    """Return black or white, whichever is read better on a ground: one of them has a contrast of at least 4.5."""
    linear = [(part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4) for part in ground]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000" if luminance > 0.179 else "#fff"


def _card(evaluation: Evaluation, field: str, name: str, what: str, more: str = "") -> str:
    value: float = getattr(evaluation, field)
    show = percent if field == "pixel_accuracy" else share
    ends = evaluation.intervals.get(field)
    between = ""
    if ends and all(map(math.isfinite, ends)):
        between = f'95 %: <span class="together">{show(ends[0])} to {show(ends[1])}</span>'
    return (
        f'<div class="card"><p class="what">{name}</p><span class="figure" id="{field}">{show(value)}</span>'
        f'<p class="quiet">{between}{"<br>" if between else ""}{what}</p>{more}</div>'
    )


def _boundary(evaluation: Evaluation) -> str:
    return length_text(evaluation.boundary_distance_px, evaluation.boundary_distance_m)


def _tolerance(evaluation: Evaluation) -> str:
    return length_text(evaluation.surface_tolerance_px, evaluation.surface_tolerance_m)


def _columns(evaluation: Evaluation) -> Iterator[Column]:
    yield (
        "IoU",
        "intersection over union, with its 95 % interval",
        lambda c: (c.iou, share(c.iou), interval(c.iou_ci)),
    )
    yield "Precision", "share of the pixels called so that are", lambda c: (c.precision, share(c.precision), "")
    yield "Recall", "share of the true pixels that are found", lambda c: (c.recall, share(c.recall), "")
    yield "F1", "harmonic mean of precision and recall", lambda c: (c.f1, share(c.f1), "")
    classes = evaluation.classes
    if any(c.boundary_iou is not None for c in classes):
        what = f"IoU of the bands along outlines, within {_boundary(evaluation)}"
        yield "Boundary IoU", what, lambda c: (c.boundary_iou, share(c.boundary_iou), "")
    if any(c.surface_dice is not None for c in classes):
        what = f"share of the outlines that agree to {_tolerance(evaluation)}"
        yield "Surface Dice", what, lambda c: (c.surface_dice, share(c.surface_dice), "")
    yield "True px", "labelled pixels of the class in the truth", lambda c: (c.pixels, count(c.pixels), "")
    if any(c.area_ha is not None for c in classes):
        what = "area of the labelled pixels of the class in the truth"
        yield "Labelled ha", what, lambda c: (c.area_ha, hectares(c.area_ha), "")
    yield "Predicted px", "labelled pixels called so", lambda c: (c.predicted, count(c.predicted), "")
    if any(c.mapped_ha is not None for c in classes):
        yield (
            "Mapped ha",
            "area of the class on the map, labelled or not",
            lambda c: (c.mapped_ha, hectares(c.mapped_ha), ""),
        )
    if any(c.estimated_ha is not None for c in classes):
        what = "area by the stratified estimator (Olofsson et al. 2014), with its 95 % interval by blocks"
        yield "Estimated ha", what, lambda c: (c.estimated_ha, hectares(c.estimated_ha), _hectares(c))


def _hectares(figures: ClassFigures) -> str:
    ends = figures.estimated_ha_ci
    if ends is None or not all(map(math.isfinite, ends)):
        return ""
    return f"{hectares(ends[0])}–{hectares(ends[1])}"
