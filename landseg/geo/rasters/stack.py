"""StackSource: rasters of one grid that each hold a band or a few, read as one raster with all of them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from landseg.errors import GridError
from landseg.geo.grid import Rect
from landseg.geo.rasters.bands import BandTable, select_bands
from landseg.geo.rasters.source import FileSource, Pixels, Source
from landseg.text.amounts import shorten_list

_WORDS = re.compile(r"([_.\- ]+)")


class StackSource(Source):
    """Several rasters as one, the bands of the first before those of the second; alpha bands are left out.

    A pixel is valid where each raster's own mask, alpha band and members say so, and where all bands together hold
    data (`BandTable.has_data`): as in one raster with these bands.

    Args:
        paths: of the rasters, in the order of their bands.
        bands: 1-based, of all bands that are stacked; None: all of them.

    Raises:
        GridError: rasters that lie on different grids.
        BandError: a band that does not exist.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]], bands: Sequence[int] | None = None) -> None:
        opened: list[FileSource] = []
        try:
            for path in paths:
                opened.append(FileSource(path))
                _check_grid(opened[0], opened[-1])
            table = select_bands(_joined(opened), bands, "the stack")
        except BaseException:
            for source in opened:
                source.close()
            raise
        everything = [(source, band) for source in opened for band in range(source.count)]
        self._chosen = [everything[number - 1] for number in table.numbers]
        self._sources = opened
        name = shorten_list([source.name for source in opened], 1)
        super().__init__(name, sum((s.paths for s in opened), ()), opened[0].grid, table)
        self.remarks = tuple(dict.fromkeys(text for source in opened for text in source.remarks))

    @property
    def may_lack_data(self) -> bool:
        return any(source.may_lack_data for source in self._sources)

    def close(self) -> None:
        for source in self._sources:
            source.close()

    def _read(self, rect: Rect) -> Pixels:
        used = [source for source in self._sources if any(source is chosen for chosen, _ in self._chosen)]
        read = {id(source): source.read_masked(rect) for source in used}
        pixels = np.stack([read[id(source)][0][band] for source, band in self._chosen]).astype(self.dtype, copy=False)
        valid = np.logical_and.reduce([valid for _, valid in read.values()])
        return pixels, valid & self.bands.has_data(pixels)

    def _files(self) -> list[dict[str, Any]]:
        return [file for source in self._sources for file in source._files()]


def _check_grid(first: FileSource, other: FileSource) -> None:
    if not first.grid.same_as(other.grid):
        raise GridError(
            f"{other.name} is {other.grid.describe()}, but {first.name} {first.grid.describe()}: a stack needs one "
            "grid; bring them onto it (gdalbuildvrt -separate -resolution highest, or gdalwarp)"
        )


def _joined(sources: Sequence[FileSource]) -> BandTable:
    """Return the bands of all sources, numbered from 1; a band without a name gets that of its file."""
    tables = [source.bands for source in sources]
    files = short_names([Path(source.name).stem for source in sources])
    names = [
        name or (file if source.count == 1 else None)
        for source, file in zip(sources, files, strict=True)
        for name in source.bands.names
    ]
    count = sum(source.count for source in sources)
    colors = sum((table.colorinterp for table in tables), ())
    found = {color: number for number, color in reversed(list(enumerate(colors, start=1)))}
    rgb = [found[color] for color in ("red", "green", "blue") if color in found]
    rgb = rgb if len(rgb) == 3 else [1, 2, 3] if count >= 3 else []
    return BandTable(
        tuple(range(1, count + 1)),
        tuple(names),
        colors,
        sum((table.dtypes for table in tables), ()),
        sum((table.nodata for table in tables), ()),
        (rgb[0], rgb[1], rgb[2]) if rgb else None,
        indexed=any(table.indexed for table in tables),
        values=sum((table.value_tags for table in tables), ()),
    )


def short_names(stems: Sequence[str]) -> list[str]:
    """Return file names without the words with which all of them begin or end.

    >>> short_names(["S2A_20240501_B02_10m", "S2A_20240501_B03_10m"]), short_names(["B02", "B03"])
    (['B02', 'B03'], ['B02', 'B03'])
    """
    words = [_WORDS.split(stem) for stem in stems]
    least = min(map(len, words)) - 1
    start = next((n for n in range(0, least, 2) if len({part[n] for part in words}) > 1), least // 2 * 2)
    room = least - start
    end = next((n for n in range(0, room, 2) if len({part[-1 - n] for part in words}) > 1), room // 2 * 2)
    return ["".join(part[start : len(part) - end]) or stem for part, stem in zip(words, stems, strict=True)]
