"""What a network sees, drawn over imagery: one square for each of a few layers, around the same pixel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from landseg.errors import OutputError
from landseg.geo.grid import Rect
from landseg.geo.source import open_source
from landseg.report.thumbnail import EMPTY, image_colors
from landseg.tiling.receptive import LayerField, ReceptiveField

_EDGE = 900  # of the picture, in pixels
_MOST = 6  # squares
_COLORS = ((255, 255, 255), (255, 225, 77), (255, 170, 51), (255, 110, 64), (235, 60, 90), (190, 50, 160))


def draw_field(field: ReceptiveField, path: Path, *, over: str | Path | None = None, overwrite: bool = False) -> Path:
    """Write a PNG of the fields of some layers around the middle of a raster, and return its path.

    Where the whole network sees without bound, the largest bounded layer is the outermost square.

    Args:
        field: of the network.
        path: of the picture.
        over: a raster whose middle is shown, pixel by pixel as far as the field reaches; None for an empty ground.
        overwrite: replace a picture that exists.

    Raises:
        OutputError: the picture exists, is no PNG, or cannot be written.
        RasterError: the raster cannot be read.
    """
    if path.suffix.lower() != ".png":
        raise OutputError(f"the picture of a receptive field is a PNG, got {path.name!r}: use {path.stem}.png")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists; pass --overwrite to replace it or choose another name")
    shown = _shown(field.layers)
    reach = max([layer.size or 1 for layer in shown], default=1)
    side = max(16, round(1.15 * reach))
    canvas = _ground(over, side)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=15)
    scale, middle = _EDGE / side, _EDGE / 2
    for color, layer in zip(_COLORS, shown, strict=False):
        half = (layer.size or 1) * scale / 2
        draw.rectangle((middle - half, middle - half, middle + half, middle + half), outline=color, width=2)
        draw.text((middle - half + 5, middle - half + 2), f"{layer.name}  {layer.size} px", fill=color, font=font)
    draw.rectangle((middle - 2, middle - 2, middle + 2, middle + 2), fill=_COLORS[0])
    try:
        canvas.save(path)
    except OSError as problem:
        raise OutputError(f"cannot write {path}: {problem.strerror or problem}") from problem
    return path


def _shown(layers: Sequence[LayerField]) -> list[LayerField]:
    """A few layers of different size, the last bounded one among them, from small to large."""
    bounded = {layer.size: layer for layer in layers if layer.size is not None}
    sizes = sorted(bounded)
    picked = {sizes[round(i * (len(sizes) - 1) / (_MOST - 1))] for i in range(_MOST)} if sizes else set()
    return [bounded[size] for size in sorted(picked)]


def _ground(over: str | Path | None, side: int) -> Image.Image:
    """The middle ``side`` x ``side`` pixels of a raster, enlarged; darkened so that lines show."""
    pixels = np.full((_EDGE, _EDGE, 3), EMPTY, np.uint8)
    if over is not None:
        with open_source(over) as source:
            grid = source.grid
            wanted = Rect((grid.height - side) // 2, (grid.width - side) // 2, side, side)
            rect = wanted.intersection(grid.rect) or grid.rect
            colors, _ = image_colors(source, rect, rect.shape)
        framed = np.full((side, side, 3), EMPTY, np.uint8)
        framed[rect.relative_to(wanted).slices] = colors
        pixels = np.asarray(Image.fromarray(framed).resize((_EDGE, _EDGE)))
    return Image.fromarray((pixels * 0.6).astype(np.uint8))
