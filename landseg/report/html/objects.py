"""The report of objects: figures, a map of what was found, missed, merged, split and invented, the worst windows."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from landseg.evaluation.objects.pair import ObjectPair
from landseg.evaluation.objects.result import ObjectClass, ObjectEvaluation
from landseg.evaluation.options import EvaluateOptions
from landseg.metrics.detection import Detection
from landseg.report.html.map import MapLayer, controls, data_script, frame, map_data, scene_data
from landseg.report.html.object_map import COLORS, IMAGE, ObjectMap, WorstObjects
from landseg.report.html.page import page, sectioned
from landseg.report.html.tables import note_list
from landseg.report.numbers import count, interval, key, share
from landseg.report.object_figures import COCO_TITLES, UNITS, headline_rows

_LEAFLET = "The map is drawn by Leaflet 1.9.4 (© Volodymyr Agafonkin and CloudMade, BSD-2-Clause). "
_BUDGET = 10_000_000  # bytes of all pictures


def object_html(
    pair: ObjectPair, found: ObjectEvaluation, detections: Sequence[Detection], options: EvaluateOptions
) -> str:
    """Return the report of an evaluation of objects as HTML, with everything in it.

    Raises:
        LandsegError: imagery that cannot be read, or has other pixels.
    """
    name = Path(found.prediction).name or found.prediction
    sections = [("summary", "Summary", _cards(found) + note_list(found.notes))]
    if pair.drawing is not None:
        with ObjectMap(pair, pair.drawing, detections, options) as drawn:
            sections += _map_sections(drawn, found)
    sections.append(("per-class", "Classes", _class_table(found)))
    lead = (
        f'<p class="quiet names">Prediction <strong>{escape(found.prediction)}</strong>, '
        f"truth <strong>{escape(found.target)}</strong></p>"
    )
    foot = f"{_LEAFLET if pair.drawing is not None else ''}This file loads nothing from anywhere."
    heading = f"How good are the objects of {escape(name)}?"
    body = sectioned(heading, lead, sections, foot=foot, needs="Sorting and the map")
    scripts = ("map.js", "report.js") if pair.drawing is not None else ("report.js",)
    return page(f"Evaluation of {name}", body, scripts=scripts)


def _cards(found: ObjectEvaluation) -> str:
    """Return the headline figures as HTML."""
    cards = []
    for title, value, ends, remark in headline_rows(found):
        between = f"95 %: {interval(ends)}" if ends else ""
        lines = "<br>".join(filter(None, (between, escape(remark))))
        cards.append(_card(title, share(value), lines))
    cards += [
        _card(f"COCO {title}", share(value), "") for title, value in zip(COCO_TITLES, found.coco or (), strict=False)
    ]
    counts, unit = found.counts, UNITS[found.unit]
    for title, name, what in (
        ("Objects of the truth", "true", "that count"),
        ("Objects predicted", "found", f"score from {found.score:g} on" if found.score else "that count"),
    ):
        size = f"{count(counts[f'{name}_size'])} {unit}"
        cards.append(_card(title, count(counts[f"{name}_count"]), f"{what}<br>{size}"))
    return f'<div class="headline">{"".join(cards)}</div>'


def _card(title: str, figure: str, more: str) -> str:
    return (
        f'<div class="card"><p class="what">{escape(title)}</p><span class="figure">{figure}</span>'
        f'<p class="quiet">{more}</p></div>'
    )


def _class_table(found: ObjectEvaluation) -> str:
    """Return the table of classes as HTML, sortable by each column."""
    shares = (
        ("AP", "ap"),
        ("AP50", "ap50"),
        ("Precision", "precision"),
        ("Recall", "recall"),
        ("F1", "f1"),
        ("PQ", "pq"),
    )
    counts = ("true_count", "found_count", "found", "merged", "split", "missed", "invented")
    heads = [*(head for head, _ in shares), "Truth", "Predicted", *(name.capitalize() for name in counts[2:])]
    buttons = "".join(f'<th scope="col"><button type="button">{head}</button></th>' for head in heads)
    rows = []
    for one in found.classes:
        cells = "".join(_share_cell(one, name) for _, name in shares)
        for name in counts:
            number = getattr(one.figures, name)
            cells += f'<td data-value="{key(number)}">{count(number)}</td>'
        rows.append(f'<tr><th scope="row" data-value="{escape(one.name)}">{escape(one.name)}</th>{cells}</tr>')
    first = '<th scope="col" data-first="ascending"><button type="button">Class</button></th>'
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Figures of the classes">'
        f'<table class="sortable" id="classes"><thead><tr>{first}{buttons}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _share_cell(one: ObjectClass, name: str) -> str:
    value, ends = getattr(one.figures, name), interval(one.intervals.get(name))
    small = f"<small>{ends}</small>" if ends else ""
    return f'<td data-value="{key(value)}">{share(value)}{small}</td>'


def _map_sections(drawn: ObjectMap, found: ObjectEvaluation) -> list[tuple[str, str, str]]:
    """Return the sections of the map and of the worst windows, each with its mark, its title and its HTML."""
    pictures, worst = drawn.pictures(_BUDGET), drawn.worst
    windows = [{"number": number, "rect": list(_rect(one))} for number, one in enumerate(worst, 1)]
    grid = drawn.grid
    extent = (0, 0, grid.height, grid.width)
    scene = scene_data(grid, extent=extent, name=found.prediction, pictures=pictures, windows=windows)
    there = set(pictures[0]["layers"])
    layers = [
        MapLayer(
            id=name,
            name=name.capitalize(),
            crisp=name != IMAGE,
            shown=True,
            opacity=70 if IMAGE in there and name != IMAGE else 100,
            key=() if name == IMAGE else ((name, COLORS[name]),),
        )
        for name in (IMAGE, *COLORS)
        if name in there
    ]
    content = (
        f'<div id="map-section">{frame("Map of the objects")}{controls(layers, windows=bool(worst))}'
        f"{data_script(map_data(layers, [scene]))}</div>"
        '<p class="quiet">Found, merged, split and missed are objects of the truth; invented are those of the '
        "prediction that match nothing.</p>"
    )
    sections = [("map-head-section", "Map", content)]
    if worst:
        sections.append(("worst", "Where it is worst", _worst(worst, pictures, found)))
    return sections


def _worst(worst: Sequence[WorstObjects], pictures: list[dict[str, Any]], found: ObjectEvaluation) -> str:
    """Return a card for each window as HTML: pictures, unmatched area, and a button that moves the map there."""
    crops = {tuple(picture["rect"]): at for at, picture in enumerate(pictures) if at}
    items = []
    for number, one in enumerate(worst, 1):
        at = crops.get(_rect(one))
        shown = [] if at is None else list(pictures[at]["layers"])
        figures = "".join(
            f'<figure><img data-scene="0" data-crop="{at}" data-of="{name}" alt="{name} of window {number}"'
            f"{'' if name == IMAGE else ' class=crisp'}><figcaption>{name.capitalize()}</figcaption></figure>"
            for name in shown
        )
        r = one.rect
        items.append(
            f'<li class="card"><h3>{number}. {count(one.unmatched)} {UNITS[found.unit]} unmatched</h3>'
            f'<div class="pictures">{figures}</div><p class="quiet names">{one.missed} of the truth, {one.invented} '
            f"invented; rows {r.top} to {r.bottom - 1}, columns {r.left} to {r.right - 1}</p>"
            f'<button type="button" class="action no-print" data-scene="0" data-rect="{list(_rect(one))}">'
            f"Show window {number} on the map</button></li>"
        )
    return f'<ol class="worst">{"".join(items)}</ol>'


def _rect(one: WorstObjects) -> tuple[int, int, int, int]:
    return one.rect.top, one.rect.left, one.rect.height, one.rect.width
