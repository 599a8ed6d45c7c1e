"""The report of an evaluation: one HTML file that needs no network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from landseg.evaluation.result import Evaluation
from landseg.report.html.charts import border_bars, iou_bars, reliability_chart
from landseg.report.html.map_layers import MapLayers
from landseg.report.html.page import page, sectioned
from landseg.report.html.pictures import BUDGET
from landseg.report.html.scenes import map_sections
from landseg.report.html.tables import class_table, confusion_table, headline, notes
from landseg.report.numbers import percent, share
from landseg.text.amounts import counted, part_of


def report_html(evaluation: Evaluation, maps: Sequence[MapLayers] = (), *, budget: int = BUDGET) -> str:
    """Return the report of an evaluation as HTML, with everything in it.

    Args:
        evaluation: the figures.
        maps: one for each scene that is shown, read one after another; none for a report without a map.
        budget: bytes for all pictures, before base64 makes them a third longer.
    """
    name = Path(evaluation.prediction).name or evaluation.prediction
    sections = [("summary", "Summary", headline(evaluation) + notes(evaluation))]
    if len(maps):
        sections += map_sections(evaluation, maps, budget)
    sections += _figure_sections(evaluation)
    scenes = f", {counted(len(evaluation.scenes), 'scene')}" if len(evaluation.scenes) > 1 else ""
    compared = (
        f'<p class="quiet names">Prediction <strong>{escape(evaluation.prediction)}</strong>, '
        f"truth <strong>{escape(evaluation.target)}</strong>{scenes}</p>"
    )
    foot = (
        "The map is drawn by Leaflet 1.9.4 (© Volodymyr Agafonkin and CloudMade, BSD-2-Clause). "
        "This file loads nothing from anywhere."
    )
    heading = f"How good is {escape(name)}?"
    body = sectioned(heading, compared, sections, foot=foot, needs="Sorting, units and the map")
    return page(f"Evaluation of {name}", body, scripts=("map.js", "report.js"))


def _figure_sections(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    table = (
        f"{class_table(evaluation)}"
        f'<p class="quiet">A dash is a number that means nothing, such as the precision of a class that is nowhere '
        f"predicted. The mean IoU is over {part_of(evaluation.averaged_over, len(evaluation.classes), 'class')}.</p>"
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
            '<p class="quiet">Share of wrong pixels by their distance to the nearest edge of a window, the tiles '
            "that the map was predicted in. A map without seams has the same everywhere, but for chance.</p>"
            f"{_seam(evaluation)}"
        )
        found.append(("border", "Errors at window edges", text + border_bars(evaluation.border)))
    return found


def _seam(evaluation: Evaluation) -> str:
    """Return the error rate near the borders, the rate elsewhere and a word on their ratio as HTML."""
    seam = evaluation.seam
    if seam is None or math.isnan(seam.ratio):
        return ""
    if math.isnan(seam.low):  # of one block, or without samples
        ends, verdict = "", "without an interval nothing tells a seam from chance"
    else:
        ends = f" (95 %: {seam.low:.2f} to {seam.high:.2f})"
        verdict = "a sign of a seam" if seam.low > 1 else "no sign of a seam"
    return (
        f"<p>Within {seam.distance} px of an edge {percent(seam.near)} are wrong, elsewhere {percent(seam.far)}: "
        f"{seam.ratio:.2f} times as many{ends}, <strong>{verdict}</strong>.</p>"
    )
