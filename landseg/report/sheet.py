"""A contact sheet: many scenes in one picture, their labels drawn over them in the colours of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.report.pictures import save_picture
from landseg.report.thumbnail import EMPTY

CELL = 280  # edge of a scene's picture
MOST = 30  # scenes on a sheet
_COLUMNS, _SPACE, _LINE = 6, 14, 20
_TINT, _EDGE = 0.4, 0.9  # how much of the class's colour covers the imagery, inside and on borders
_PAPER, _INK, _QUIET = (255, 255, 255), (28, 30, 33), (110, 114, 118)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Cell:
    """A scene's small picture.

    Attributes:
        name: written below it.
        detail: written below the name.
        colors: (h, w, 3), no larger than CELL either way.
        labels: (h, w) class indices, IGNORE_INDEX where nothing is drawn; None: no labels.
    """

    name: str
    detail: str
    colors: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None


def fitted(shape: tuple[int, int], edge: int = CELL) -> tuple[int, int]:
    """Return (height, width) within a square of ``edge`` pixels; smaller rasters stay as they are.

    >>> fitted((1000, 500)), fitted((20, 30))
    ((280, 140), (20, 30))
    """
    factor = min(1.0, edge / max(shape))
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


def picked(count: int, most: int = MOST) -> list[int]:
    """Return the positions of at most ``most`` of ``count`` scenes, evenly spread.

    >>> picked(10, 4)
    [0, 3, 6, 9]
    """
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]


def draw_sheet(
    path: Path, cells: Sequence[Cell], *, title: str, classes: ClassMap | None = None, told: Sequence[str] = ()
) -> Path:
    """Write the picture; it appears when it is complete.

    Args:
        path: of a PNG; one that exists is replaced.
        cells: row by row.
        title: above them.
        classes: for the legend below them; None: no legend.
        told: what the legend says of each class, after its name.

    Raises:
        OutputError: it cannot be written.
    """
    columns = min(_COLUMNS, max(1, len(cells)))
    rows = -(-len(cells) // columns)
    high = CELL + 2 * _LINE + _SPACE
    width = max(520, columns * (CELL + _SPACE) + _SPACE)
    entries = _legend_places(classes, told, width)
    below = (entries[-1][1] + 26 + _SPACE) if entries else 0
    top = 44
    sheet = Image.new("RGB", (width, top + rows * high + below), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_SPACE, 12), title, _INK, font=ImageFont.load_default(size=19))
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        _place(sheet, draw, cell, (_SPACE + column * (CELL + _SPACE), top + row * high), classes)
    font = ImageFont.load_default(size=16)
    for x, y, color, text in entries:
        y += top + rows * high
        draw.rectangle((x, y, x + 22, y + 17), fill=color, outline=_INK)
        draw.text((x + 30, y - 1), text, _INK, font=font)
    save_picture(sheet, path)
    return path


def drawn_over(colors: NDArray[np.uint8], labels: NDArray[np.uint8], classes: ClassMap) -> NDArray[np.uint8]:
    """Return imagery (h, w, 3) tinted by class, stronger where a class ends; untouched where nothing is known."""
    known = labels < len(classes)
    table = np.array(classes.colors, np.float32)
    tint = table[np.where(known, labels, 0)]
    strength = np.where(_borders(labels), _EDGE, _TINT) * known
    mixed = colors * (1 - strength[..., None]) + tint * strength[..., None]
    result: NDArray[np.uint8] = np.rint(mixed).astype(np.uint8)
    return result


def _borders(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels whose right or lower neighbour is of another class."""
    found = np.zeros(labels.shape, bool)
    found[:-1] |= labels[:-1] != labels[1:]
    found[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    return found


def _place(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, cell: Cell, at: tuple[int, int], classes: ClassMap | None
) -> None:
    """One scene's picture in the middle of its square, its name and detail below."""
    x, y = at
    draw.rectangle((x, y, x + CELL - 1, y + CELL - 1), fill=EMPTY)
    labelled = cell.labels is not None and classes is not None and (cell.labels != IGNORE_INDEX).any()
    if labelled:
        assert cell.labels is not None and classes is not None
        picture = Image.fromarray(drawn_over(cell.colors, cell.labels, classes))
    else:
        picture = Image.fromarray(cell.colors)
    sheet.paste(picture, (x + (CELL - picture.width) // 2, y + (CELL - picture.height) // 2))
    name, small = ImageFont.load_default(size=15), ImageFont.load_default(size=13)
    draw.text((x, y + CELL + 3), _shortened(cell.name, name), _INK, font=name)
    detail = cell.detail if labelled or cell.labels is None else f"{cell.detail}; nothing labelled"
    draw.text((x, y + CELL + 3 + _LINE), _shortened(detail, small), _QUIET, font=small)


def _shortened(text: str, font: Font) -> str:
    """The text, its middle left out where it is too long: what tells files apart stands at either end."""
    if font.getlength(text) <= CELL:
        return text
    keep = len(text) - 1
    while keep > 2 and font.getlength(text[: keep // 2] + "\u2026" + text[-(keep - keep // 2) :]) > CELL:
        keep -= 1
    return text[: keep // 2] + "\u2026" + text[-(keep - keep // 2) :]


def _legend_places(
    classes: ClassMap | None, told: Sequence[str], width: int
) -> list[tuple[int, int, tuple[int, int, int], str]]:
    """(x, y, colour, text) of the classes, in as many lines as they need."""
    if classes is None:
        return []
    font = ImageFont.load_default(size=16)
    said = [*told, *[""] * len(classes)]
    found, x, y = [], _SPACE, 4
    for entry, more in zip(classes.classes, said, strict=False):
        text = f"{entry.name}  {more}".strip()
        needed = 30 + round(font.getlength(text)) + 28
        if x > _SPACE and x + needed > width:
            x, y = _SPACE, y + 26
        found.append((x, y, entry.color, text))
        x += needed
    return found
