"""A picture of a prediction: the imagery, the classes or objects over it, a legend with shares, a scale bar."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from landseg.classes import ClassMap
from landseg.errors import GridError
from landseg.geo.crs import crs_text
from landseg.geo.grid import Grid, Rect, metres_text
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.rasters.source import Source
from landseg.report.objects import object_colors, objects_over
from landseg.report.pictures import save_picture
from landseg.report.thumbnail import EMPTY, Colors, class_samples, id_samples, image_colors
from landseg.runtime.target_checks import check_suffix
from landseg.text.amounts import counted

OPACITY = 0.55  # of the classes over the imagery; their outlines are nearly solid
_PAPER, _INK, _QUIET = (252, 252, 250), (34, 36, 38), (112, 116, 120)
_MARGIN, _GAP = 28, 20
_HEADINGS = 160  # height of title and legend, about
_COLUMN = 230  # a picture's column is at least this wide, for its heading
_THIN = 24  # a picture is never thinner than this: a longer strip is drawn stretched, and says so
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def preview(
    source: Source,
    class_raster: Path,
    classes: ClassMap,
    out: Path,
    *,
    ids: Path | None = None,
    max_size: int = 1600,
    title: str | None = None,
) -> None:
    """Draw imagery and classes side by side (one above the other where they are wide), with a legend.

    The legend's shares are of all pixels with a class. Rasters are read a piece at a time.

    Args:
        source: the imagery.
        class_raster: on the source's grid or on a part of it.
        classes: the table of the class raster.
        out: the picture.
        ids: a raster of objects on the grid of the class raster, with ids from 1 to n. Objects then have colours of
            their own, in place of those of their classes.
        max_size: pixels of the picture's longer side, about.
        title: in place of the source's name.

    Raises:
        GridError: the class raster is no part of the source.
        OutputError: the picture cannot be written.
    """
    check_suffix(out, _SUFFIXES, kind="a preview")
    raster = RasterFile(class_raster)
    try:
        grid = raster.info.grid
        layout = _Layout.of(grid, max_size)
        imagery, _ = image_colors(source, _place(source, grid), layout.shape)
        values, counts = class_samples(raster, layout.shape)
    finally:
        raster.close()
    overlay, heading = _overlay(imagery, values, classes), "Classes"
    if ids is not None:
        overlay, heading = _objects(imagery, overlay, values, classes, ids)
    if grid.transform.e > 0 and not grid.transform.is_identity:  # south-up: turn north to the top
        imagery, overlay = imagery[::-1], overlay[::-1]
    text = _Text(title or source.name, grid, heading)
    picture = _compose(imagery, overlay, layout, text, _legend(classes, counts, objects=ids is not None))
    save_picture(picture, out)


@dataclass(frozen=True)
class _Layout:
    """The size of one picture, and the arrangement of the two."""

    shape: tuple[int, int]
    stacked: bool
    metres: float | None  # of the raster, a pixel of the picture; None where unknown or stretched
    stretched: bool

    @classmethod
    def of(cls, grid: Grid, max_size: int) -> _Layout:
        stacked = grid.width > 1.4 * grid.height
        room = max(64, max_size - 2 * _MARGIN)
        tall = max(64, room - _HEADINGS)
        across, down = (room, (tall - _GAP) // 2) if stacked else ((room - _GAP) // 2, tall)
        scale = min(across / grid.width, down / grid.height)
        scale = min(scale, max(1.0, 480 / max(grid.shape)))  # small rasters grow, but not to a poster
        height, width = (max(1, round(size * scale)) for size in grid.shape)
        stretched = min(height, width) < _THIN <= max(height, width)
        metres = None if grid.resolution_m is None or stretched else grid.resolution_m / scale
        return cls((max(height, _THIN), max(width, _THIN)), stacked, metres, stretched)


@dataclass(frozen=True)
class _Text:
    title: str
    grid: Grid
    second: str  # the heading of the second picture

    @property
    def subtitle(self) -> str:
        grid = self.grid
        pixel = metres_text(grid.resolution_m) + (" a pixel" if grid.resolution_m else "")
        return f"{grid.width:,} x {grid.height:,} px  \u00b7  {pixel}  \u00b7  {crs_text(grid.crs)}"


@dataclass(frozen=True)
class _Entry:
    name: str
    colors: list[tuple[int, int, int]]  # side by side
    share: str


def _place(source: Source, grid: Grid) -> Rect:
    """Return the rectangle of the source that the class raster covers."""
    offset = (0, 0) if source.grid.shape == grid.shape else source.grid.offset_of(grid)
    rect = offset and grid.rect.shifted(*offset)
    if not rect or not source.grid.rect.contains(rect):
        raise GridError(
            f"the class raster ({grid.describe()}) is no part of {source.name} ({source.grid.describe()}); "
            "give the imagery that it was predicted from"
        )
    return rect


def _overlay(imagery: Colors, values: NDArray[np.integer], classes: ClassMap) -> Colors:
    """Return class colours over the imagery in grey, with nearly solid outlines: colours stay those of the legend."""
    grey = _grey(imagery)
    out = np.empty(imagery.shape, np.float32)
    out[:] = EMPTY
    inner = np.ones(values.shape, bool)
    inner[:, 1:] &= values[:, 1:] == values[:, :-1]
    inner[1:] &= values[1:] == values[:-1]
    for value, color in zip(classes.values, classes.colors, strict=True):
        here = values == value
        alpha = np.where(inner[here], OPACITY, 0.9)[:, None]
        out[here] = alpha * np.array(color, np.float32) + (1 - alpha) * grey[here][:, None]
    return np.rint(out).astype(np.uint8)


def _objects(
    imagery: Colors, overlay: Colors, values: NDArray[np.integer], classes: ClassMap, ids: Path
) -> tuple[Colors, str]:
    """Return a picture with the objects of a raster in bright colours, and its heading.

    Pixels of things that belong to no object are grey.
    """
    raster = RasterFile(ids)
    try:
        objects, count = id_samples(raster, values.shape)
    finally:
        raster.close()
    grey = np.repeat(_grey(imagery)[..., None], 3, axis=-1)
    things = np.isin(values, [classes.values[index] for index in classes.things])
    colors = np.where(things[..., None], np.rint(grey).astype(np.uint8), overlay)
    return objects_over(grey, colors, objects, tint=OPACITY), counted(count, "object").capitalize()


def _grey(imagery: Colors) -> NDArray[np.float32]:
    """Return imagery (h, w) in light grey: colours drown in deep black."""
    grey: NDArray[np.float32] = 56 + 0.72 * (imagery @ np.array([0.299, 0.587, 0.114], np.float32))
    return grey


def _legend(classes: ClassMap, counts: dict[int, int], *, objects: bool) -> list[_Entry]:
    total = sum(counts.get(value, 0) for value in classes.values)
    if not total:
        return [_Entry("no data", [EMPTY], "all pixels")]
    bright = [(red, green, blue) for red, green, blue in object_colors(np.arange(1, 4)).astype(int).tolist()]
    return [
        _Entry(
            entry.name,
            bright if objects and entry.thing else [entry.color],
            _share(counts.get(entry.value, 0) / total),
        )
        for entry in classes.classes
    ]


def _share(share: float) -> str:
    """Return a share in percent, as a legend shows it.

    >>> _share(0.4237), _share(0.0004), _share(0.0)
    ('42.4 %', '< 0.1 %', '0 %')
    """
    return "0 %" if share == 0 else "< 0.1 %" if share < 0.0005 else f"{100 * share:.1f} %"


def _compose(imagery: Colors, overlay: Colors, layout: _Layout, text: _Text, legend: list[_Entry]) -> Image.Image:
    height, width = layout.shape
    title, small, label = (ImageFont.load_default(size) for size in (26, 15, 16))
    column = max(width, _COLUMN) + _GAP
    pictures = (width, 2 * height + _GAP + 24) if layout.stacked else (2 * column - _GAP, height)
    inner = max(pictures[0], 420)
    rows = _legend_rows(legend, label, inner)
    top = _MARGIN + 34 + 24 + 34
    size = (inner + 2 * _MARGIN, top + pictures[1] + 24 + 34 * len(rows) + _MARGIN - 12)
    canvas = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((_MARGIN, _MARGIN - 4), _fitting(text.title, title, inner), _INK, font=title)
    draw.text((_MARGIN, _MARGIN + 32), _fitting(text.subtitle, small, inner), _QUIET, font=small)
    second = (_MARGIN, top + height + _GAP + 24) if layout.stacked else (_MARGIN + column, top)
    note = " (short side stretched)" if layout.stretched else ""
    for name, corner, colors in (("Imagery", (_MARGIN, top), imagery), (text.second, second, overlay)):
        draw.text((corner[0], corner[1] - 22), name + note, _QUIET, font=small)
        canvas.paste(Image.fromarray(np.ascontiguousarray(colors)), corner)
        draw.rectangle((corner[0] - 1, corner[1] - 1, corner[0] + width, corner[1] + height), outline=(205, 205, 200))
    if layout.metres:
        _scale_bar(canvas, (_MARGIN, top + height), layout.metres, width=width, font=small)
    y = top + pictures[1] + 24
    for row in rows:
        for x, entry in row:
            _swatch(draw, (_MARGIN + x, y + 2), entry.colors)
            draw.text((_MARGIN + x + 36, y + 11), entry.name, _INK, font=label, anchor="lm")
            end = _MARGIN + x + 36 + label.getlength(entry.name) + 9
            draw.text((end, y + 11), entry.share, _QUIET, font=label, anchor="lm")
        y += 34
    return canvas


def _swatch(draw: ImageDraw.ImageDraw, corner: tuple[int, int], colors: list[tuple[int, int, int]]) -> None:
    """Draw the colours of an entry of the legend side by side."""
    x, y = corner
    draw.rounded_rectangle((x, y, x + 26, y + 18), 4, colors[0], (120, 120, 118))
    for number, color in enumerate(colors[1:], start=1):
        left = x + 26 * number // len(colors)
        draw.rectangle((left, y + 1, x + 26 * (number + 1) // len(colors) - 1, y + 17), color)


def _legend_rows(legend: list[_Entry], font: Font, width: int) -> list[list[tuple[int, _Entry]]]:
    rows: list[list[tuple[int, _Entry]]] = [[]]
    x = 0
    for entry in legend:
        needed = math.ceil(36 + font.getlength(entry.name) + 9 + font.getlength(entry.share))
        if x and x + needed > width:
            rows.append([])
            x = 0
        rows[-1].append((x, entry))
        x += needed + 34
    return rows


def _scale_bar(canvas: Image.Image, corner: tuple[int, int], metres: float, *, width: int, font: Font) -> None:
    """Draw a bar of a round length over the lower left corner of a picture."""
    longest = metres * min(0.3 * width, 260)
    power = 10.0 ** math.floor(math.log10(longest))
    length = max(step * power for step in (1, 2, 5) if step * power <= longest)
    pixels = round(length / metres)
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    if pixels < 12 or width < 120:
        return
    x, y = corner[0] + 10, corner[1] - 46
    panel = Image.new("RGBA", (max(pixels, math.ceil(font.getlength(text))) + 24, 36), (20, 22, 24, 170))
    canvas.paste(panel.convert("RGB"), (x, y), panel)
    draw = ImageDraw.Draw(canvas)
    draw.text((x + 12, y + 5), text, (255, 255, 255), font=font)
    draw.rectangle((x + 12, y + 26, x + 12 + pixels, y + 29), (255, 255, 255))


def _fitting(text: str, font: Font, width: int) -> str:
    while font.getlength(text) > width and len(text) > 4:
        text = text[:-4].rstrip() + "..."
    return text
