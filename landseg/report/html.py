"""The report of an evaluation: one HTML file that needs no network."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import Any

from landseg import __version__
from landseg.errors import OutputError
from landseg.evaluation import Evaluation
from landseg.geo.store import disk_errors
from landseg.report.html_charts import border_bars, iou_bars, reliability_chart
from landseg.report.html_map import MapLayer, controls, data_script, frame, map_data
from landseg.report.html_numbers import count, percent, share
from landseg.report.html_page import page
from landseg.report.html_pictures import BUDGET, CONFIDENCE, LAYERS, RIGHT, WRONG, encoded_layers
from landseg.report.html_tables import class_table, confusion_table, headline, notes
from landseg.report.overviews import MapLayers

_SUFFIXES = (".html", ".htm")
_OPACITY = {"image": 100, "confidence": 85, "truth": 60, "prediction": 60, "error": 75}  # over imagery
_NAMES = {
    "image": "Image",
    "confidence": "Confidence",
    "truth": "Truth",
    "prediction": "Prediction",
    "error": "Error",
}


def check_report_path(path: Path, *, overwrite: bool = False) -> None:
    """Refuses, before any work, a place where no report can be written.

    Raises:
        OutputError: another suffix than .html, no such folder, a folder, a file that exists.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise OutputError(f"{path.name}: a report is a page; let its name end in .html")
    if not path.parent.is_dir():
        raise OutputError(f"{path} has no folder: make {path.parent} first, or choose another place")
    if path.is_dir():
        raise OutputError(f"{path} is a folder: name a file in it")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"{path} exists: choose another report, or replace it with --overwrite")


def write_report(
    path: Path, evaluation: Evaluation, layers: MapLayers | None, *, overwrite: bool = False, budget: int = BUDGET
) -> None:
    """Writes one HTML file with everything in it; it appears when it is complete.

    Args:
        path: of the file.
        evaluation: what is reported.
        layers: the map; None for a report without one.
        overwrite: replace a file that exists.
        budget: bytes for all pictures, before base64 makes them a third longer.

    Raises:
        OutputError: the file exists, is no .html or cannot be written.
    """
    check_report_path(path, overwrite=overwrite)
    text = report_html(evaluation, layers, budget=budget)
    part = path.with_name(f".{path.name}.part")
    try:
        with disk_errors(path):
            part.write_text(text, encoding="utf-8")
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def report_html(evaluation: Evaluation, layers: MapLayers | None, *, budget: int = BUDGET) -> str:
    """The report's HTML."""
    name = Path(evaluation.prediction).name or evaluation.prediction
    sections = [("summary", "Summary", headline(evaluation) + notes(evaluation))]
    if layers is not None:
        sections += _map_sections(evaluation, layers, budget)
    sections += _figure_sections(evaluation)
    links = "".join(f'<li><a href="#{mark}">{title}</a></li>' for mark, title, _ in sections)
    parts = "".join(
        f'<section id="{mark}" aria-labelledby="{mark}-head"><h2 id="{mark}-head">{title}</h2>{content}</section>'
        for mark, title, content in sections
    )
    compared = (
        f'<p class="quiet names">Prediction <strong>{escape(evaluation.prediction)}</strong>, '
        f"truth <strong>{escape(evaluation.target)}</strong></p>"
    )
    body = f"""<a class="skip" href="#summary">To the figures</a>
<header><h1>How good is {escape(name)}?</h1>{compared}<nav aria-label="Sections"><ul>{links}</ul></nav></header>
<main>{parts}</main>
<footer class="quiet"><p>Made by landseg {__version__}. The map is drawn by Leaflet 1.9.4 (© Volodymyr Agafonkin and
CloudMade, BSD-2-Clause). This file loads nothing from anywhere.</p>
<noscript><p>Sorting, units and the map need JavaScript.</p></noscript></footer>"""
    return page(f"Evaluation of {name}", body, scripts=("map.js", "report.js"))


def _figure_sections(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    table = (
        f"{class_table(evaluation)}"
        f'<p class="quiet">A dash is a number that means nothing, such as the precision of a class that is nowhere '
        f"predicted. The mean IoU is over {evaluation.averaged_over} of {len(evaluation.classes)} classes.</p>"
    )
    bars = '<p class="quiet">Bars are IoU, whiskers its 95 % interval where it was estimated.</p>'
    found = [
        ("per-class", "Classes", table),
        ("iou", "IoU by class", bars + iou_bars(evaluation.classes)),
        (
            "confused",
            "What is taken for what",
            '<p class="quiet">Rows are the truth, columns the prediction; the darker, the larger the share of the '
            f"true class. Framed cells are right.</p>{confusion_table(evaluation)}",
        ),
    ]
    if evaluation.reliability is not None:
        text = (
            f"<p>Expected calibration error <strong>{share(evaluation.reliability.ece)}</strong>. "
            '<span class="quiet">Bars show how often pixels of a confidence are right; the orange lines, how often '
            "they would be if confidence could be believed. Below: where the pixels are.</span></p>"
        )
        found.append(
            ("reliability", "Can its confidence be believed?", text + reliability_chart(evaluation.reliability))
        )
    if evaluation.border:
        text = (
            '<p class="quiet">Share of wrong pixels by their distance to the nearest border between windows. A map '
            "without seams has the same everywhere, but for chance.</p>"
        )
        found.append(("border", "Errors near window borders", text + border_bars(evaluation.border)))
    return found


def _map_sections(evaluation: Evaluation, layers: MapLayers, budget: int) -> list[tuple[str, str, str]]:
    pictures = encoded_layers(layers, [figures.color for figures in evaluation.classes], budget)
    shown = _layers(evaluation, pictures[0]["layers"])
    windows = [[*_rect(worst.rect)] for worst in evaluation.worst]
    data = map_data(layers.grid, shown, extent=_rect(layers.grid.rect), pictures=pictures, windows=windows)
    content = (
        f'<div id="map-section">{frame("Map of the prediction")}'
        f"{controls(shown, windows=bool(windows))}{data_script(data)}</div>"
    )
    found = [("map-head-section", "Map", content)]
    if evaluation.worst:
        found.append(("worst", "Where it is worst", _worst(evaluation, pictures)))
    return found


def _layers(evaluation: Evaluation, there: dict[str, str]) -> list[MapLayer]:
    """The layers that the map has, from below to above."""
    classes = tuple((figures.name, figures.color) for figures in evaluation.classes)
    keys = {"truth": classes, "prediction": classes, "error": (("right", RIGHT), ("wrong", WRONG))}
    return [
        MapLayer(
            id=name,
            name=title,
            crisp=name != "image",
            shown=name in ("image", "prediction"),
            opacity=_OPACITY[name] if "image" in there else 100,
            key=keys.get(name, ()),
            ramp=CONFIDENCE if name == "confidence" else (),
        )
        for name, title in _NAMES.items()
        if name in there
    ]


def _worst(evaluation: Evaluation, pictures: list[dict[str, Any]]) -> str:
    """A card a window: its pictures, its error rate, and a button that moves the map there."""
    crops = {tuple(picture["rect"]): at for at, picture in enumerate(pictures) if at}
    items = []
    for number, worst in enumerate(evaluation.worst, start=1):
        at = crops.get(_rect(worst.rect))
        figures = "" if at is None else _figures(number, at, pictures[at]["layers"])
        place = (
            f"rows {worst.rect.top} to {worst.rect.bottom - 1}, columns {worst.rect.left} to {worst.rect.right - 1}"
        )
        items.append(
            f'<li class="card"><h3>{number}. {percent(worst.error_rate)} wrong</h3>{figures}'
            f'<p class="quiet">{count(worst.pixels)} labelled px; {place}</p>'
            f'<button type="button" class="action no-print" data-rect="{list(_rect(worst.rect))}">'
            f"Show window {number} on the map</button></li>"
        )
    return f'<ol class="worst">{"".join(items)}</ol>'


def _figures(number: int, at: int, there: dict[str, str]) -> str:
    shown = [name for name in LAYERS if name in there and name != "confidence"]
    return (
        '<div class="pictures">'
        + "".join(
            f'<figure><img data-crop="{at}" data-of="{name}" alt="{_NAMES[name]} of window {number}"'
            f"{'' if name == 'image' else ' class=crisp'}><figcaption>{_NAMES[name]}</figcaption></figure>"
            for name in shown
        )
        + "</div>"
    )


def _rect(rect: Any) -> tuple[int, int, int, int]:
    return rect.top, rect.left, rect.height, rect.width
