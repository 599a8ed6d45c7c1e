"""The map of a page: its frame, its controls and the data of its script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from landseg.geo.crs import crs_text
from landseg.geo.grid import Grid
from landseg.report.html.page import json_script, swatch

Color = tuple[int, int, int]


@dataclass(frozen=True)
class MapLayer:
    """One layer of a map, from below to above.

    Attributes:
        id: for scripts; letters and digits.
        name: for people.
        crisp: whether pixels are drawn as squares.
        shown: whether it is drawn at first.
        opacity: at first, in percent.
        key: what its colours mean.
        ramp: colours from none to all, for a layer of numbers 0..1.
        tiles: where its tiles come from, for a layer that is not embedded.
        rect: what it covers, [top, left, height, width].
    """

    id: str
    name: str
    crisp: bool = True
    shown: bool = False
    opacity: int = 100
    key: tuple[tuple[str, Color], ...] = ()
    ramp: tuple[Color, ...] = ()
    tiles: str | None = None
    rect: tuple[int, int, int, int] | None = None


def map_data(layers: Sequence[MapLayer], scenes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the data of the map's script."""
    return {
        "tiles": any(layer.tiles for layer in layers),
        "layers": [
            {"id": layer.id, "crisp": layer.crisp, "tiles": layer.tiles, "rect": layer.rect} for layer in layers
        ],
        "scenes": list(scenes),
    }


def scene_data(
    grid: Grid,
    *,
    extent: tuple[int, ...],
    name: str = "",
    pictures: Sequence[dict[str, Any]] = (),
    windows: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Return the data of a raster for the map's script: its place on the ground, its pictures, windows to frame."""
    placed = grid.crs is not None
    return {
        "name": name,
        "extent": list(extent),
        "metres": grid.resolution_m,
        "transform": list(grid.transform)[:6] if placed else None,
        "crs": crs_text(grid.crs) if placed else None,
        "pictures": list(pictures),
        "windows": list(windows),
    }


def scene_chooser(scenes: Sequence[dict[str, Any]]) -> str:
    """Return a list to choose the scene from as HTML, with numbers of its worst windows; "" for a single scene."""
    if len(scenes) < 2:
        return ""
    options = []
    for index, scene in enumerate(scenes):
        numbers = ", ".join(str(window["number"]) for window in scene["windows"])
        windows = f" (window{'s' * (len(scene['windows']) > 1)} {numbers})" if numbers else ""
        options.append(f'<option value="{index}">{escape(scene["name"])}{windows}</option>')
    return f'<p class="chooser"><label for="scene">Scene</label><select id="scene">{"".join(options)}</select></p>'


def frame(name: str) -> str:
    """Return the map's frame, its divider and its scale as HTML."""
    return f"""<div class="map-wrap"><div id="map" tabindex="0" role="region" aria-label="{escape(name)}:
arrow keys move it, plus and minus zoom"></div><div id="divider" aria-hidden="true" hidden></div>
<div id="scale" aria-hidden="true"></div></div>
<label class="swipe" data-comparing hidden>Divider between the two layers
<input type="range" id="swipe" min="0" max="100" step="0.5" value="50"></label>
<p class="under quiet"><span id="where"></span></p>"""


def controls(layers: Sequence[MapLayer], *, windows: bool) -> str:
    """Return switches and opacities of the layers, the swipe's two sides and keys as HTML."""
    rows = "".join(_row(layer) for layer in reversed(layers))
    numbered = '<label><input type="checkbox" id="frames" checked>Worst windows</label>' if windows else ""
    parts = [
        f'<fieldset class="no-print"><legend>Layers and their opacity</legend>{rows}</fieldset>',
        '<div class="no-print"><div class="choices"><button type="button" class="action" id="home">Whole map</button>'
        f"{numbered}</div>{_compare(layers)}</div>",
        f"<div>{_keys(layers)}</div>",
    ]
    return f'<div class="panel">{"".join(parts)}</div>'


def data_script(data: dict[str, Any]) -> str:
    """Return the data of the map's script as HTML."""
    return json_script("map-data", data)


def _row(layer: MapLayer) -> str:
    name, on = escape(layer.name), " checked" if layer.shown else ""
    return (
        f'<div class="layer"><label title="{name}"><input type="checkbox" data-layer="{layer.id}" '
        f'data-kind="shown"{on}>{name}</label><input type="range" min="0" max="100" step="1" value="{layer.opacity}" '
        f'data-layer="{layer.id}" data-kind="opacity" aria-label="Opacity of {name}" '
        f'aria-valuetext="{layer.opacity} %"></div>'
    )


def _compare(layers: Sequence[MapLayer]) -> str:
    if len(layers) < 2:
        return ""
    first, second = _sides(layers)

    def side(identity: str, text: str, chosen: str) -> str:
        options = "".join(
            f'<option value="{layer.id}"{" selected" if layer.id == chosen else ""}>{escape(layer.name)}</option>'
            for layer in layers
        )
        return f'<label>{text} <select id="{identity}">{options}</select></label>'

    return (
        '<fieldset><legend>Swipe</legend><label><input type="checkbox" id="compare">'
        'Compare two layers side by side</label><div class="choices" data-comparing hidden>'
        f"{side('left', 'Left', first)}{side('right', 'Right', second)}</div></fieldset>"
    )


def _sides(layers: Sequence[MapLayer]) -> tuple[str, str]:
    """Return the two layers that are compared at first: truth and prediction where there are both."""
    names = [layer.id for layer in layers]
    return ("truth", "prediction") if {"truth", "prediction"} <= set(names) else (names[0], names[1])


def _keys(layers: Sequence[MapLayer]) -> str:
    """Return the keys of colours as HTML, once for layers that share a key."""
    keys: dict[tuple[tuple[str, Color], ...], list[MapLayer]] = {}
    for layer in layers:
        if layer.key:
            keys.setdefault(layer.key, []).append(layer)
    parts = []
    for key, shared in keys.items():
        name = ", ".join(escape(layer.name) for layer in shared)
        items = "".join(f"<li>{swatch(color)}{escape(text)}</li>" for text, color in key)
        mark = f' data-legend="{shared[0].id}"' if len(shared) == 1 else ""
        parts.append(f'<h3>{name}</h3><ul class="key"{mark}>{items}</ul>')
    for layer in layers:
        if layer.ramp:
            stops = ",".join(f"#{bytes(color).hex()}" for color in layer.ramp)
            parts.append(
                f'<h3>{escape(layer.name)}</h3><div class="ramp" data-legend="{layer.id}">0'
                f'<i style="background:linear-gradient(90deg,{stops})"></i>1</div>'
            )
    return "".join(parts)
