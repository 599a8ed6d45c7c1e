"""Label rasters, as one band of class values: stored as such, or as a picture in the colours of the class table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import COLOR, ClassMap, color_text
from landseg.errors import BandError, ClassError
from landseg.geo.grid import Rect
from landseg.geo.pieces import squares
from landseg.geo.rasters.bands import BandTable
from landseg.geo.rasters.mosaic import open_source
from landseg.geo.rasters.source import FileSource, Pixels, Source
from landseg.labels.id_rasters import refuse_ids
from landseg.labels.legend import declared_nodata
from landseg.text.amounts import counted

Color = tuple[int, int, int]
Colors = Mapping[Color, int]
"""Class values by colour (red, green, blue)."""

IGNORED = -1
"""The value of a colour that means unknown; no class has it."""

_WINDOW, _WINDOWS = 256, 4  # edge, and number along each axis, of squares that are read before a sentence is written
_BAND = BandTable((1,), (None,), ("undefined",), ("int64",), (None,), None)


def colors_of(classes: ClassMap, ignored: Sequence[Color] = ()) -> dict[Color, int]:
    """Return the class value of each colour of a table; IGNORED for further colours that mean unknown.

    Raises:
        ClassError: two classes have one colour, or an ignored colour is that of a class.
    """
    found: dict[Color, int] = {}
    for entry in classes.classes:
        if entry.color in found:
            other = classes.names[classes.values.index(found[entry.color])]
            raise ClassError(
                f"the classes {other} and {entry.name} have one colour, {color_text(entry.color)}: to be distinct "
                "in a picture every class needs its own (color in the class table)"
            )
        found[entry.color] = entry.value
    for color in ignored:
        if found.setdefault(color, IGNORED) != IGNORED:
            raise ClassError(f"the colour {color_text(color)} is ignored and that of a class: leave out one of both")
    return found


class ColorLabels(Source):
    """A picture of classes in red, green and blue as one band of class values (int64).

    Colours are compared exactly. One that is of no class has the value COLOR less its 24 bits, so that it is counted
    and reported as other values without a class are. A fourth band is opacity: where it is 0 there is no data.

    Raises:
        BandError: no three or four bands of 8 bits.
    """

    def __init__(self, base: Source, colors: Colors) -> None:
        if base.count not in (3, 4) or base.dtype != "uint8":
            raise BandError(
                f"{base.name} has {_bands(base)}: expected a picture with red, green and blue of 8 bits "
                "for --label-colors; leave that out to read class values"
            )
        super().__init__(base.name, base.paths, base.grid, _BAND)
        self.base = base
        codes = np.array([_packed(np.array(color)) for color in colors], np.int64)
        order = np.argsort(codes)
        self._codes, self._values = codes[order], np.array(list(colors.values()), np.int64)[order]

    def close(self) -> None:
        self.base.close()

    def _read(self, rect: Rect) -> Pixels:
        pixels, valid = self.base.read(rect)
        if len(pixels) == 4:
            valid = valid & (pixels[3] > 0)
        codes = _packed(pixels[:3])
        at = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        values = np.where(self._codes[at] == codes, self._values[at], COLOR - codes)
        return values[None], valid

    def _files(self) -> list[dict[str, Any]]:
        return self.base._files()


def label_source(
    paths: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    table: ClassMap | None = None,
    colors: Colors | None = None,
    truth: bool = True,
) -> Source:
    """Open a label raster, or several as a mosaic, as one band of class values: every label raster is opened here.

    Args:
        paths: as for `open_source`.
        table: the classes, as far as they are known: for the sentence about a raster with several bands, and since
            the value of a class is data (see `declared_nodata`).
        colors: the raster is a picture in these colours; None: its one band holds class values. A palette image holds
            class values either way.
        truth: whether it may be a picture at all; a predicted map may not.

    Raises:
        RasterError: a raster cannot be opened.
        BandError: several bands of class values; or with ``colors`` no picture.
        ClassError: a palette whose colours are those of other classes than its values; ids of objects.
    """
    source = open_source(paths, stored_values=True)
    try:
        if isinstance(source, FileSource):
            refuse_ids(source.file)
        if colors is not None and not _is_palette(source, colors):
            return ColorLabels(source, colors)
        if source.count != 1:
            raise BandError(_several_bands(source, table, truth=truth))
        if isinstance(source, FileSource) and source.bands.nodata == (None,):
            source.bands = replace(source.bands, nodata=(declared_nodata(source.file, table),))
    except BaseException:
        source.close()
        raise
    return source


def file_of(source: Source) -> FileSource | None:
    """Return the one file that labels are read from; None where they are a mosaic."""
    base = source.base if isinstance(source, ColorLabels) else source
    return base if isinstance(base, FileSource) else None


def _is_palette(source: Source, colors: Colors) -> bool:
    """Return whether a raster of one band has a palette, whose colours agree with its values.

    Raises:
        ClassError: a value's colour in the palette is that of another class.
    """
    file = file_of(source)
    palette = file.file.palette(file.band_numbers[0]) if file is not None and source.count == 1 else None
    if palette is None:
        return False
    values = set(colors.values())
    for value, color in palette.items():
        meant = colors.get(color[:3])
        if value in values and meant is not None and meant not in (value, IGNORED):
            raise ClassError(
                f"{source.name} is a palette image whose colours and values name different classes: value {value} "
                f"has the colour of {meant}, {color_text(color[:3])}; convert it to be read by its colours "
                "(gdal_translate -expand rgb), or leave out --label-colors to read its values"
            )
    return True


def _packed(pixels: NDArray[Any]) -> NDArray[np.int64]:
    """Return red, green and blue (3, ...) as numbers of 24 bits."""
    red, green, blue = pixels.astype(np.int64)
    packed: NDArray[np.int64] = red << 16 | green << 8 | blue
    return packed


def _several_bands(source: Source, table: ClassMap | None, *, truth: bool) -> str:
    """Return the sentence that refuses a raster of several bands, with the way to make labels of it."""
    kind = "label" if truth else "class"
    what = (
        f"{source.name} has {counted(source.count, 'band')}: expected a {kind} raster with one band of class values"
    )
    sampled = _sampled_colors(source) if truth and source.dtype == "uint8" and source.count in (3, 4) else None
    if sampled is None:
        return f"{what}; choose or make that band (gdal_translate -b 1)"
    own = set() if table is None else {int(_packed(np.array(entry.color))) for entry in table.classes}
    if sampled <= own:
        return f"{what}; its colours are those of the class table: read it with --label-colors"
    if all(code % 0x10101 == 0 for code in sampled):
        values = ", ".join(str(code // 0x10101) for code in sorted(sampled)[:8])
        return (
            f"{what}; its bands are all equal, with the values {values}: keep one (gdal_translate -b 1 IN "
            "OUT.tif), which needs these values in the class table; or give the classes these colours there and name "
            "--label-colors"
        )
    return (
        f"{what}; if it is a picture of classes, give each its colour in the class table (color = [255, 0, 0]) and "
        "name --label-colors"
    )


def _sampled_colors(source: Source) -> set[int]:
    """Return the colours of pixels with data in squares spread over a raster, as numbers of 24 bits."""
    found: set[int] = set()
    for rect in squares(source.grid.shape, _WINDOW, _WINDOWS):
        pixels, valid = source.read(rect)
        found.update(np.unique(_packed(pixels[:3])[valid]).tolist())
    return found


def _bands(source: Source) -> str:
    return f"{source.count} band{'s' if source.count > 1 else ''} of {source.dtype}"
