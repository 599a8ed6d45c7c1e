"""The report of a comparison: one HTML file with the figures of every prediction and their differences."""

from __future__ import annotations

from html import escape

from landseg.evaluation.result import Comparison
from landseg.report.comparison import Estimate, comparison_notes, estimates, short_names
from landseg.report.html.page import page, sectioned, swatch
from landseg.report.html.tables import note_list
from landseg.report.numbers import interval, key, percent, share
from landseg.text.amounts import counted


def comparison_html(found: Comparison) -> str:
    """Return the report's HTML: the headline figures, the IoU of each class, and the differences to the first."""
    names, figures = [escape(name) for name in short_names(found)], estimates(found)
    overall = [one for one in figures if one[0].entry is None]
    classes = [one for one in figures if one[0].entry is not None]
    first = found.evaluations[0]
    baseline = (
        f"<p>Calling everything “{escape(first.commonest_class)}”, the commonest class, would reach a pixel accuracy "
        f"of <strong>{percent(first.commonest_class_accuracy)}</strong>.</p>"
    )
    about = (
        f'<p class="quiet">How much each prediction is above {names[0]}, with the 95 % interval of that from blocks '
        "drawn for both at once, so that what is difficult for both cancels. Where 0 lies inside the interval, the "
        "truth at hand does not tell which of the two is better; the others are bold.</p>"
    )
    dash = (
        '<p class="quiet">IoU with its 95 % interval. A dash is a number that means nothing, such as the IoU of a '
        "class that is in neither raster.</p>"
    )
    paired = [one for one in figures if any(entry.above is not None for entry in one)]
    sections = [
        ("summary", "Summary", baseline + _table("overall", names, overall) + note_list(comparison_notes(found))),
        ("per-class", "Classes", dash + _table("classes", names, classes)),
        ("differences", "Differences", about + _differences(names, paired)),
    ]
    full = ", ".join(f"<strong>{escape(one.prediction)}</strong>" for one in found.evaluations)
    scenes = f", {counted(len(first.scenes), 'scene')}" if len(first.scenes) > 1 else ""
    lead = f'<p class="quiet names">{full} against the truth <strong>{escape(first.target)}</strong>{scenes}</p>'
    body = sectioned(
        f"Which of {counted(len(names), 'prediction')} is better?",
        lead,
        sections,
        foot="This file loads nothing from anywhere.",
        needs="Sorted tables",
    )
    return page("Comparison of predictions", body, scripts=("report.js",))


def _table(mark: str, names: list[str], figures: list[list[Estimate]]) -> str:
    """Return a table of figures as HTML: a row a figure, a column a prediction."""
    rows = [_head(figure[0]) + "".join(_value(one) for one in figure) for figure in figures]
    return _scrolled(mark, "Figure" if mark == "overall" else "Class", names, rows)


def _differences(names: list[str], figures: list[list[Estimate]]) -> str:
    """Return a table of differences as HTML: a row a figure, a column a prediction but the first."""
    rows = [_head(figure[0], "IoU ") + "".join(_difference(one) for one in figure[1:]) for figure in figures]
    return _scrolled("above", "Figure", [f"{name} above {names[0]}" for name in names[1:]], rows)


def _scrolled(mark: str, first: str, heads: list[str], rows: list[str]) -> str:
    buttons = "".join(f'<th scope="col"><button type="button">{head}</button></th>' for head in heads)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{first} by prediction">'
        f'<table class="sortable" id="{mark}"><thead><tr><th scope="col"><button type="button">{first}</button></th>'
        f"{buttons}</tr></thead><tbody>{''.join(f'<tr>{row}</tr>' for row in rows)}</tbody></table></div>"
    )


def _head(one: Estimate, before: str = "") -> str:
    entry = one.entry
    text = escape(one.title) if entry is None else swatch(entry.color) + before + escape(entry.name)
    return f'<th scope="row" data-value="{escape(one.title)}">{text}</th>'


def _value(one: Estimate) -> str:
    ends = interval(one.ends)
    small = f"<small>{ends}</small>" if ends else ""
    return f'<td data-value="{key(one.value)}">{share(one.value)}{small}</td>'


def _difference(one: Estimate) -> str:
    above = one.above
    value = None if above is None else above.difference
    text, small = share(value), ""
    if above is not None and key(value):
        text = f"{above.difference:+.3f}"
        small = f"<small>{above.low:+.3f} to {above.high:+.3f}</small>" if key(above.low) else ""
        text = f"<strong>{text}</strong>" if above.excludes_zero else text
    return f'<td data-value="{key(value)}">{text}{small}</td>'
