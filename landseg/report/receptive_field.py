"""A picture of a receptive field: squares of a few layers around one pixel, over imagery, and the gradient."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from landseg.geo.grid import Rect
from landseg.geo.rasters.source import Source
from landseg.models.graph.field import LayerField, ReceptiveField
from landseg.report.pictures import save_picture
from landseg.report.thumbnail import Colors, image_colors

EDGE = 900  # of the drawing, in pixels of the picture
PANEL = 380  # width of the legend beside it
MOST = 6  # squares
COLORS = ((255, 255, 255), (130, 235, 255), (90, 180, 255), (150, 255, 140), (255, 225, 77), (255, 150, 60))
OUTSIDE = (46, 48, 52)  # beyond the raster's edge
_DIM = 0.6  # how bright imagery is left, so that lines show
_PAPER, _INK, _QUIET = (24, 26, 29), (236, 236, 232), (160, 164, 168)
_HOT = np.array([255, 0, 190], np.float32)
_FROM = 0.02  # of the strongest gradient: what is weaker is not tinted

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class FieldImagery:
    """Imagery around a pixel: ``colors`` (side, side, 3), ``side`` odd, beyond the raster in the colour OUTSIDE."""

    colors: Colors
    at: tuple[int, int]
    name: str
    beyond: bool

    @classmethod
    def of(cls, source: Source, at: tuple[int, int], side: int) -> FieldImagery:
        """Read the ``side`` x ``side`` pixels around (row, column) ``at``."""
        square = _around(at, side)
        rect = square.intersection(source.grid.rect)
        assert rect is not None, "the pixel lies inside the raster"
        imagery, _ = image_colors(source, rect, rect.shape)
        colors = np.empty((side, side, 3), np.uint8)
        colors[:] = OUTSIDE
        colors[rect.relative_to(square).slices] = (imagery * _DIM).astype(np.uint8)
        return cls(colors, at, source.name, rect != square)


@dataclass(frozen=True)
class Heat:
    """The gradient of a class's logit at one pixel, over ``rect``, and the squares that hold most of it."""

    weights: NDArray[np.float32]
    rect: Rect
    class_name: str
    half: int
    nine_tenths: int


def shown_layers(field: ReceptiveField) -> list[LayerField]:
    """Return a few layers whose fields differ in size, the largest bounded one among them, from small to large."""
    bounded = {layer.size: layer for layer in field.layers if layer.size is not None}
    sizes = sorted(bounded)
    picked = {sizes[round(i * (len(sizes) - 1) / (MOST - 1))] for i in range(MOST)} if sizes else set()
    return [bounded[size] for size in sorted(picked)]


def picture_side(field: ReceptiveField) -> int:
    """Return how many pixels of a raster the drawing is wide: an odd number, a bit more than the largest square."""
    reach = max((layer.size or 1 for layer in shown_layers(field)), default=1)
    return max(15, round(1.15 * reach)) | 1


def draw_field(
    field: ReceptiveField,
    path: Path,
    *,
    title: str = "",
    ground: FieldImagery | None = None,
    heat: Heat | None = None,
) -> Path:
    """Write a PNG of EDGE + PANEL by EDGE pixels: squares around the pixel in the drawing's middle, and a legend.

    Where the whole network sees without bound the legend says so, and the largest bounded layer is the outermost
    square. The file appears when it is complete.

    Args:
        field: of the network.
        path: of the picture; one that exists is replaced.
        title: above the legend.
        ground: imagery of ``picture_side`` pixels; None for an empty ground.
        heat: tints what the pixel depends on, the stronger the more.

    Raises:
        OutputError: it cannot be written.
    """
    side, shown = picture_side(field), shown_layers(field)
    canvas = Image.new("RGB", (EDGE + PANEL, EDGE), _PAPER)
    canvas.paste(_drawing(side, ground, heat), (0, 0))
    draw = ImageDraw.Draw(canvas)
    for color, layer in zip(COLORS, shown, strict=False):
        draw.rectangle(_box(layer.size or 1, side), outline=color, width=2)
    _legend(draw, field, shown, _notes(title, side, ground), heat)
    save_picture(canvas, path)
    return path


def _around(at: tuple[int, int], side: int) -> Rect:
    return Rect(at[0] - side // 2, at[1] - side // 2, side, side)


def _box(size: int, side: int) -> tuple[int, int, int, int]:
    """Return the outer edge of a square of ``size`` pixels around the middle, in the picture's pixels; at least 3."""
    half = max(1.5, size * EDGE / side / 2)
    first, last = round(EDGE / 2 - half), round(EDGE / 2 + half) - 1
    return first, first, last, last


def _drawing(side: int, ground: FieldImagery | None, heat: Heat | None) -> Image.Image:
    """Return the ground with its tint, each pixel of the raster as a square block or a part of one."""
    if ground is None:
        return Image.new("RGB", (EDGE, EDGE), OUTSIDE)
    pixels = ground.colors.astype(np.float32)
    if heat is not None:
        tint = np.zeros((side, side), np.float32)
        square = _around(ground.at, side)
        part = heat.rect.intersection(square)
        assert part is not None, "both lie around one pixel"
        strength = _smooth(heat.weights, max(1, side // 150))
        tint[part.relative_to(square).slices] = strength[part.relative_to(heat.rect).slices]
        tint = np.sqrt(tint / max(float(tint.max()), 1e-30))
        tint = np.where(tint < _FROM**0.5, 0, 0.85 * tint)[..., None]
        pixels = pixels * (1 - tint) + _HOT * tint
    how = Image.Resampling.NEAREST if side < EDGE else Image.Resampling.BOX
    return Image.fromarray(np.rint(pixels).astype(np.uint8)).resize((EDGE, EDGE), how)


def _smooth(weights: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """Return the mean over squares of 2 reach + 1 pixels: single pixels of a gradient are speckle."""
    for axis in (0, 1):
        padded = np.pad(weights, [(reach, reach) if i == axis else (0, 0) for i in range(2)])
        weights = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis).mean(-1)
    return weights


def _notes(title: str, side: int, ground: FieldImagery | None) -> list[str]:
    """Return the title and the lines below it."""
    if ground is None:
        return [title, f"{side} x {side} px, without a raster"]
    row, column = ground.at
    beyond = "; grey: beyond the raster" if ground.beyond else ""
    return [title, f"around column {column}, row {row} of {ground.name}", f"{side} x {side} px{beyond}"]


def _legend(
    draw: ImageDraw.ImageDraw, field: ReceptiveField, shown: Sequence[LayerField], notes: list[str], heat: Heat | None
) -> None:
    """Draw title, squares from large to small, the field of the whole network and the meaning of the tint."""
    large, font, small = (ImageFont.load_default(size=size) for size in (20, 16, 14))
    left, width, y = EDGE + 22, PANEL - 44, 20
    for i, note in enumerate(notes):
        y = _text(draw, (left, y), note, large if i == 0 else small, _INK if i == 0 else _QUIET, width)
    y += 16
    for color, layer in reversed(list(zip(COLORS, shown, strict=False))):
        draw.rectangle((left, y + 2, left + 15, y + 17), outline=color, width=2)
        size = f"{layer.size:,} px"
        draw.text((left + width, y), size, _INK, font=font, anchor="ra")
        draw.text((left + 26, y), _fitting(layer.name, font, width - 38 - font.getlength(size)), _INK, font=font)
        y += 28
    y = _text(draw, (left, y + 12), _reach(field), font, _INK, width)
    if heat is None:
        return
    y += 20
    for i in range(width):
        red, green, blue = (90 + (_HOT - 90) * 0.85 * i / width).astype(int).tolist()
        draw.line((left + i, y, left + i, y + 13), fill=(red, green, blue))
    meaning = (
        f"What {heat.class_name!r} depends on here, by its gradient: half of it in a square of {heat.half} px, nine "
        f"tenths in {heat.nine_tenths} px, of all within {heat.rect.width} x {heat.rect.height} px."
    )
    _text(draw, (left, y + 20), meaning, font, _INK, width)


def _reach(field: ReceptiveField) -> str:
    if field.unbounded_by is not None:
        return f"The whole network sees without bound: {field.unbounded_by}."
    return f"The whole network sees {field.size:,} px, at stride {field.stride}; exact halo {field.halo} px."


def _text(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, font: Font, color: tuple[int, int, int], width: int
) -> int:
    """Write wrapped text and return where the next line begins."""
    x, y = at
    letters = max(8, int(width / font.getlength("abcdefghij ABC") * 14))
    for line in textwrap.wrap(text, letters, break_on_hyphens=False):
        draw.text((x, y), _fitting(line, font, width), color, font=font)
        y += round(getattr(font, "size", 14) * 1.35)
    return y


def _fitting(text: str, font: Font, width: float) -> str:
    """Return the text, without its beginning where it is too long: the end of a layer's name tells more."""
    if font.getlength(text) <= width:
        return text
    while len(text) > 1 and font.getlength("\u2026" + text) > width:
        _, dot, rest = text.partition(".")
        text = rest if dot else text[1:]
    return "\u2026" + text
