"""A contact sheet: many scenes in one picture, their labels drawn over them in the colours of the classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.geo.reduce import LARGE_EDGE, SMALL_EDGE
from landseg.report.objects import objects_over
from landseg.report.pictures import save_picture
from landseg.report.thumbnail import EMPTY

MOST = 30  # scenes on a sheet
_COLUMNS, _SPACE, _LINE = 6, 14, 20
_WIDE = _COLUMNS * (SMALL_EDGE + _SPACE) + _SPACE  # of the page
_TINT, _EDGE = 0.4, 0.9  # how much of the class's colour covers the imagery, inside and on borders
_PAPER, _INK, _QUIET = (255, 255, 255), (28, 30, 33), (110, 114, 118)

Color = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Cell:
    """A scene's small picture.

    Attributes:
        name: written below it.
        detail: written below the name.
        colors: (h, w, 3), no larger than a cell of the sheet (`cell_edge`), whose size they get.
        labels: (h, w) class indices, IGNORE_INDEX where nothing is drawn; None: no labels.
        objects: (h, w) numbers of objects, drawn in a colour of their own over the classes; 0 and less are none.
    """

    name: str
    detail: str
    colors: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None
    objects: NDArray[np.int32] | None = None


def cell_edge(count: int) -> int:
    """Return the edge of the square for each of ``count`` scenes: few fill the page as many do.

    >>> cell_edge(1), cell_edge(4), cell_edge(30)
    (1200, 868, 280)
    """
    columns = _columns(count)
    return max(SMALL_EDGE, min(LARGE_EDGE, (_WIDE - _SPACE * (columns + 1)) // columns))


def _columns(count: int) -> int:
    """Return the number of columns: as many as rows, for few scenes."""
    return max(1, min(_COLUMNS, math.ceil(math.sqrt(count))))


def spread_positions(count: int, most: int = MOST) -> list[int]:
    """Return the positions of at most ``most`` of ``count`` scenes, evenly spread.

    >>> spread_positions(10, 4)
    [0, 3, 6, 9]
    """
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]


def draw_sheet(
    path: Path,
    cells: Sequence[Cell],
    *,
    title: str,
    classes: ClassMap | None = None,
    shares: Sequence[str] = (),
    edge: int = SMALL_EDGE,
) -> Path:
    """Write the picture; it appears when it is complete.

    Args:
        path: of a PNG; one that exists is replaced.
        cells: row by row.
        title: above them.
        classes: for the legend below them; None: no legend.
        shares: text after the name of each class in the legend.
        edge: of the square that each scene gets; one that is no higher than its pictures need.

    Raises:
        OutputError: it cannot be written.
    """
    columns = max(1, min(len(cells), (_WIDE - _SPACE) // (edge + _SPACE)))
    rows = -(-len(cells) // columns)
    pictures = [_picture(cell, classes, edge) for cell in cells]
    size = edge, max((picture.height for picture in pictures), default=edge)
    high = size[1] + 2 * _LINE + _SPACE
    width = max(520, columns * (edge + _SPACE) + _SPACE)
    entries = legend_places(_entries(classes, shares), width)
    below = legend_height(entries)
    top = 44
    sheet = Image.new("RGB", (width, top + rows * high + below), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_SPACE, 12), title, _INK, font=ImageFont.load_default(size=19))
    for number, (cell, picture) in enumerate(zip(cells, pictures, strict=True)):
        row, column = divmod(number, columns)
        corner = _SPACE + column * (edge + _SPACE), top + row * high
        draw.rectangle((*corner, corner[0] + size[0] - 1, corner[1] + size[1] - 1), fill=EMPTY)
        left, above = ((room - used) // 2 for room, used in zip(size, picture.size, strict=True))
        sheet.paste(picture, (corner[0] + left, corner[1] + above))
        _caption(draw, cell, (corner[0], corner[1] + size[1] + 3), edge, labelled=_labelled(cell, classes))
    draw_legend(draw, entries, top + rows * high)
    save_picture(sheet, path)
    return path


def drawn_over(colors: NDArray[np.uint8], labels: NDArray[np.uint8], classes: ClassMap) -> NDArray[np.uint8]:
    """Return imagery (h, w, 3) tinted by class, stronger where a class ends; untouched where there is no label."""
    labelled = labels < len(classes)
    table = np.array(classes.colors, np.float32)
    tint = table[np.where(labelled, labels, 0)]
    strength = np.where(_borders(labels), _EDGE, _TINT) * labelled
    mixed = colors * (1 - strength[..., None]) + tint * strength[..., None]
    result: NDArray[np.uint8] = np.rint(mixed).astype(np.uint8)
    return result


def _borders(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return True (h, w) at pixels whose right or lower neighbour is of another class."""
    found = np.zeros(labels.shape, bool)
    found[:-1] |= labels[:-1] != labels[1:]
    found[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    return found


def _labelled(cell: Cell, classes: ClassMap | None) -> bool:
    return cell.labels is not None and classes is not None and bool((cell.labels != IGNORE_INDEX).any())


def _picture(cell: Cell, classes: ClassMap | None, edge: int) -> Image.Image:
    """Return a scene with its labels over it, as large as the square allows; a small scene shows its pixels."""
    colors = cell.colors
    if _labelled(cell, classes):
        assert cell.labels is not None and classes is not None
        colors = drawn_over(colors, cell.labels, classes)
    if cell.objects is not None:
        colors = objects_over(cell.colors, colors, cell.objects)
    height, width = colors.shape[:2]
    times = edge / max(height, width)
    size = max(1, round(width * times)), max(1, round(height * times))
    return Image.fromarray(colors).resize(size, Image.Resampling.NEAREST if times >= 2 else Image.Resampling.BICUBIC)


def _caption(draw: ImageDraw.ImageDraw, cell: Cell, at: tuple[int, int], edge: int, *, labelled: bool) -> None:
    """Draw a scene's name and detail below its picture."""
    name, small = ImageFont.load_default(size=15), ImageFont.load_default(size=13)
    draw.text(at, _shortened(cell.name, name, edge), _INK, font=name)
    detail = cell.detail if labelled or cell.labels is None else f"{cell.detail}; nothing labelled"
    draw.text((at[0], at[1] + _LINE), _shortened(detail, small, edge), _QUIET, font=small)


def _shortened(text: str, font: Font, room: int) -> str:
    """Return the text, without its middle where it is too long: names of files differ at their ends."""
    if font.getlength(text) <= room:
        return text
    keep = len(text) - 1
    while keep > 2 and font.getlength(text[: keep // 2] + "\u2026" + text[-(keep - keep // 2) :]) > room:
        keep -= 1
    return text[: keep // 2] + "\u2026" + text[-(keep - keep // 2) :]


def _entries(classes: ClassMap | None, shares: Sequence[str]) -> list[tuple[Color, str]]:
    """Return the colour and the text of each class of a legend."""
    entries = () if classes is None else classes.classes
    texts = [*shares, *[""] * len(entries)]
    return [(entry.color, f"{entry.name}  {more}".strip()) for entry, more in zip(entries, texts, strict=False)]


def legend_places(entries: Sequence[tuple[Color, str]], width: int) -> list[tuple[int, int, Color, str]]:
    """Return (x, y, colour, text) of a legend's entries, in as many lines of ``width`` pixels as they need."""
    font = ImageFont.load_default(size=16)
    found, x, y = [], _SPACE, 4
    for color, text in entries:
        needed = 30 + round(font.getlength(text)) + 28
        if x > _SPACE and x + needed > width:
            x, y = _SPACE, y + 26
        found.append((x, y, color, text))
        x += needed
    return found


def draw_legend(draw: ImageDraw.ImageDraw, places: Sequence[tuple[int, int, Color, str]], top: int) -> None:
    """Draw a legend's entries below a row of pixels."""
    font = ImageFont.load_default(size=16)
    for x, y, color, text in places:
        draw.rectangle((x, top + y, x + 22, top + y + 17), fill=color, outline=_INK)
        draw.text((x + 30, top + y - 1), text, _INK, font=font)


def legend_height(places: Sequence[tuple[int, int, Color, str]]) -> int:
    """Return how many rows of pixels a legend takes."""
    return places[-1][1] + 26 + _SPACE if places else 0
