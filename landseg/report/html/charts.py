"""The charts of a report: bars with intervals, and the reliability diagram."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from typing import NamedTuple

from landseg.evaluation.result import BorderBin, ClassFigures
from landseg.metrics.calibration import Reliability
from landseg.report.html.page import swatch
from landseg.report.numbers import NONE, count, interval, percent, share

_SIDE, _LEFT, _TOP, _COUNTS = 320, 52, 12, 60  # of the diagram: its square, its margins, the counts under it


class Bar(NamedTuple):
    """A line of a bar chart: HTML of its name, its length 0..1 (nan for none), an interval, text, a second line."""

    name: str
    length: float
    ends: tuple[float, float] | None
    text: str
    more: str


def iou_bars(classes: Iterable[ClassFigures]) -> str:
    """Return the classes' IoU with 95 % intervals as HTML."""
    return _bars(
        Bar(swatch(c.color) + escape(c.name), c.iou, c.iou_ci, share(c.iou), interval(c.iou_ci)) for c in classes
    )


def border_bars(border: Iterable[BorderBin]) -> str:
    """Return error rates by distance to the nearest border between windows as HTML, as shares of the largest."""
    bins = list(border)
    most = max((b.error_rate for b in bins if math.isfinite(b.error_rate)), default=0.0) or 1.0
    return _bars(
        Bar(_distance(b), b.error_rate / most, None, percent(b.error_rate, 2), f"{count(b.pixels)} px") for b in bins
    )


def reliability_chart(reliability: Reliability) -> str:
    """Return accuracy by confidence as an inline SVG, with a dashed diagonal and the number of pixels in each bin."""
    height = _TOP + _SIDE + 34 + _COUNTS + 30
    most = max((b.count for b in reliability.bins), default=0) or 1
    parts = [_frame(), '<g class="bars-of-bins">']
    base = _TOP + _SIDE + 34 + _COUNTS
    for b in reliability.bins:
        x, width = _LEFT + b.lower * _SIDE, (b.upper - b.lower) * _SIDE - 1
        tall = _COUNTS * b.count / most
        parts.append(f'<rect class="bar" x="{x:.1f}" y="{base - tall:.1f}" width="{width:.1f}" height="{tall:.1f}"/>')
        if not (b.count and math.isfinite(b.accuracy)):
            continue
        text = f"confidence {b.lower:.2f} to {b.upper:.2f}: {percent(b.accuracy)} right of {count(b.count)} px"
        y = _TOP + _SIDE * (1 - b.accuracy)
        tall = _SIDE * b.accuracy
        parts.append(
            f'<rect class="bar" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{tall:.1f}">'
            f"<title>{text}</title></rect>"
        )
        there = _TOP + _SIDE * (1 - b.confidence)
        parts.append(f'<path class="gap" d="M{x:.1f} {there:.1f}h{width:.1f}"/>')
    parts.append(f'</g><path class="ideal" d="M{_LEFT} {_TOP + _SIDE}L{_LEFT + _SIDE} {_TOP}"/>')
    parts.append(
        f'<text x="{_LEFT + _SIDE / 2}" y="{height - 8}" text-anchor="middle">confidence; pixels by confidence</text>'
    )
    label = f"Reliability diagram: expected calibration error {share(reliability.ece)}"
    size = f"0 0 {_LEFT + _SIDE + 14} {height}"
    head = f'<svg class="chart" id="reliability-chart" viewBox="{size}" role="img" aria-label="{label}">'
    return f"{head}{''.join(parts)}</svg>"


def _frame() -> str:
    """Return the axes of the diagram with ticks and names as SVG."""
    parts = []
    for tick in range(6):
        at = tick / 5
        x, y = _LEFT + at * _SIDE, _TOP + _SIDE * (1 - at)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}h{_SIDE}M{x:.1f} {_TOP}v{_SIDE}"/>')
        parts.append(f'<text x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{at:.1f}</text>')
        parts.append(f'<text x="{x:.1f}" y="{_TOP + _SIDE + 18}" text-anchor="middle">{at:.1f}</text>')
    middle = _TOP + _SIDE / 2
    parts.append(
        f'<text transform="translate(13 {middle}) rotate(-90)" text-anchor="middle">share that is right</text>'
    )
    parts.append(f'<path class="axis" fill="none" d="M{_LEFT} {_TOP}v{_SIDE}h{_SIDE}"/>')
    return "".join(parts)


def _distance(b: BorderBin) -> str:
    if b.distance_px_to is None:
        return f"{b.distance_px_from} px and more"
    same = b.distance_px_from == b.distance_px_to
    return f"{b.distance_px_from} px" if same else f"{b.distance_px_from} to {b.distance_px_to} px"


def _bars(bars: Iterable[Bar]) -> str:
    items = []
    for bar in bars:
        inside = ""
        if math.isfinite(bar.length):
            inside = f'<span class="fill" style="width:{100 * min(max(bar.length, 0), 1):.2f}%"></span>'
            if bar.ends is not None and all(map(math.isfinite, bar.ends)):
                low, high = (100 * min(max(end, 0), 1) for end in bar.ends)
                inside += f'<span class="whisker" style="left:{low:.2f}%;width:{high - low:.2f}%"></span>'
        small = f'<small class="quiet">{bar.more}</small>' if bar.more else ""
        items.append(
            f'<li><span class="name">{bar.name}</span><span class="track" aria-hidden="true">{inside}</span>'
            f'<span class="value">{bar.text or NONE}{small}</span></li>'
        )
    return f'<ul class="bars">{"".join(items)}</ul>'
