"""The pictures of a report: the map of its scenes, and the worst windows."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from landseg.evaluation.result import Evaluation, WorstWindow
from landseg.report.html.map import MapLayer, controls, data_script, frame, map_data, scene_chooser, scene_data
from landseg.report.html.map_layers import MapLayers
from landseg.report.html.pictures import CONFIDENCE, LAYERS, RIGHT, WRONG, encoded_layers, picture_bytes
from landseg.report.numbers import count, percent

_OPACITY = {"image": 100, "confidence": 85, "truth": 60, "prediction": 60, "error": 75}  # over imagery
_NAMES = {
    "image": "Image",
    "confidence": "Confidence",
    "truth": "Truth",
    "prediction": "Prediction",
    "error": "Error",
}


def map_sections(evaluation: Evaluation, maps: Sequence[MapLayers], budget: int) -> list[tuple[str, str, str]]:
    """Return the sections of the map and of the worst windows, each with its mark, its title and its HTML.

    Args:
        evaluation: what is reported.
        maps: at least one; the scenes in the order of the chooser, read one after another.
        budget: bytes for all pictures; scenes share it, and what one leaves goes to the next.
    """
    colors = [figures.color for figures in evaluation.classes]
    scenes, numbers, left = [], [], budget
    for index in range(len(maps)):
        layers = maps[index]
        pictures = encoded_layers(layers, colors, left // (len(maps) - index))
        left -= picture_bytes(pictures)
        windows = [
            {"number": number, "rect": [*_rect(worst.rect)]}
            for number, worst in enumerate(evaluation.worst, start=1)
            if worst.scene == layers.scene
        ]
        name = evaluation.scenes[layers.scene] if evaluation.scenes else evaluation.prediction
        extent = _rect(layers.grid.rect)
        scenes.append(scene_data(layers.grid, extent=extent, name=name, pictures=pictures, windows=windows))
        numbers.append(layers.scene)
    there = {name for scene in scenes for name in scene["pictures"][0]["layers"]}
    shown = _layers(evaluation, there)
    content = (
        f'<div id="map-section">{scene_chooser(scenes)}{frame("Map of the prediction")}'
        f"{controls(shown, windows=bool(evaluation.worst))}{data_script(map_data(shown, scenes))}</div>"
    )
    found = [("map-head-section", "Map", content)]
    if evaluation.worst:
        found.append(("worst", "Where it is worst", _worst(evaluation, numbers, scenes)))
    return found


def _layers(evaluation: Evaluation, there: set[str]) -> list[MapLayer]:
    """Return the layers that the map has, from below to above."""
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


def _worst(evaluation: Evaluation, numbers: list[int], scenes: list[dict[str, Any]]) -> str:
    """Return a card for each window as HTML: pictures, error rate, and a button that moves the map there."""
    items = []
    for number, worst in enumerate(evaluation.worst, start=1):
        at = numbers.index(worst.scene) if worst.scene in numbers else None
        figures, button = "", ""
        if at is not None:
            figures = _figures(number, at, scenes[at]["pictures"], worst)
            button = (
                f'<button type="button" class="action no-print" data-scene="{at}" '
                f'data-rect="{list(_rect(worst.rect))}">Show window {number} on the map</button>'
            )
        name = f"{escape(evaluation.scenes[worst.scene])}, " if len(evaluation.scenes) > 1 else ""
        place = (
            f"rows {worst.rect.top} to {worst.rect.bottom - 1}, columns {worst.rect.left} to {worst.rect.right - 1}"
        )
        items.append(
            f'<li class="card"><h3>{number}. {percent(worst.error_rate)} wrong</h3>{figures}'
            f'<p class="quiet names">{name}{count(worst.pixels)} labelled px; {place}</p>{button}</li>'
        )
    return f'<ol class="worst">{"".join(items)}</ol>'


def _figures(number: int, scene: int, pictures: list[dict[str, Any]], worst: WorstWindow) -> str:
    """Return the pictures of a window as HTML; "" where the report has none."""
    crops = {tuple(picture["rect"]): at for at, picture in enumerate(pictures) if at}
    at = crops.get(_rect(worst.rect))
    if at is None:
        return ""
    there = pictures[at]["layers"]
    shown = [name for name in LAYERS if name in there and name != "confidence"]
    return (
        '<div class="pictures">'
        + "".join(
            f'<figure><img data-scene="{scene}" data-crop="{at}" data-of="{name}" '
            f'alt="{_NAMES[name]} of window {number}"'
            f"{'' if name == 'image' else ' class=crisp'}><figcaption>{_NAMES[name]}</figcaption></figure>"
            for name in shown
        )
        + "</div>"
    )


def _rect(rect: Any) -> tuple[int, int, int, int]:
    return rect.top, rect.left, rect.height, rect.width
