"""BandTable: the chosen bands of a raster, their names, and the rule which of their values are data."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from landseg.errors import BandError
from landseg.geo.rasters.nodata import can_hold, holds_nodata
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.rasters.value_tags import ValueTags

_NO_COLOR = frozenset({"undefined", "gray", "alpha"})  # names that mean nothing: near infrared is often called alpha
_COLORS = frozenset(color.name.lower() for color in ColorInterp) - _NO_COLOR


@dataclass(frozen=True)
class BandTable:
    """The chosen bands, in the order they are read in.

    Attributes:
        numbers: 1-based, as on disk.
        default_rgb: the bands of the whole raster that show true colour, by colour interpretation, else its first
            three; None below three.
        indexed: whether any of them holds indices of a colour table, other than one that shows n as the grey n.
        values: the scale and offset of stored numbers, one a band; empty where nothing is declared.
    """

    numbers: tuple[int, ...]
    names: tuple[str | None, ...]
    colorinterp: tuple[str, ...]
    dtypes: tuple[str, ...]
    nodata: tuple[float | None, ...]
    default_rgb: tuple[int, int, int] | None
    indexed: bool = False
    values: tuple[ValueTags, ...] = ()

    @property
    def value_tags(self) -> tuple[ValueTags, ...]:
        """Scale and offset of each chosen band's stored numbers."""
        return self.values or (ValueTags(),) * len(self.numbers)

    @property
    def dtype(self) -> str:
        """The smallest dtype that holds every chosen band."""
        return np.result_type(*self.dtypes).name

    def contradiction(self, other: "BandTable") -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """Return the names of the bands of both where they contradict each other at a place; None where they do not.

        Two colours at one place do, and a band that the other table has at another place. Bands without a name, or
        with names of their own, contradict no band.
        """
        for own, others in ((self._plain_names(), other._plain_names()), (self._colors(), other._colors())):
            for one, two in zip(own, others, strict=True):
                if one and two and one != two and ({one, two} <= _COLORS or one in others or two in own):
                    return own, others
        return None

    def _plain_names(self) -> tuple[str, ...]:
        return tuple((name or "").strip().lower() for name in self.names)

    def _colors(self) -> tuple[str, ...]:
        """Return the colour of each band by its name, else by its interpretation: GDAL calls any three bytes RGB."""
        pairs = zip(self._plain_names(), (color.lower() for color in self.colorinterp), strict=True)
        return tuple(name if name in _COLORS else color if color in _COLORS else "" for name, color in pairs)

    def has_data(self, pixels: NDArray[Any]) -> NDArray[np.bool_]:
        """Return where pixels (C, h, w) hold data by their values alone: boolean (h, w).

        NaN and infinity are never data. Unsigned integers are no data where every band equals its nodata: 0 in one
        channel of a dark roof is data. For other dtypes one band is enough. `holds_nodata` decides which are equal.
        """
        result = np.ones(pixels.shape[1:], dtype=np.bool_)
        if pixels.dtype.kind == "f":
            np.isfinite(pixels).all(axis=0, out=result)
        hits = [
            holds_nodata(band, value, dtype)
            for band, dtype, value in zip(pixels, self.dtypes, self.nodata, strict=True)
            if value is not None and can_hold(dtype, value)
        ]
        if hits:
            combine = np.logical_and if pixels.dtype.kind == "u" else np.logical_or
            result &= ~combine.reduce(hits)
        return result


def band_table(file: RasterFile, bands: Sequence[int] | None) -> BandTable:
    """Return the table of the 1-based `bands`, in their order; None chooses every band but alpha.

    Raises:
        BandError: a band that the raster does not have, or none at all.
    """
    info = file.info
    count = len(info.dtypes)
    everything = tuple(range(1, count + 1))
    opaque = tuple(n for n in everything if info.colorinterp[n - 1] != "alpha") or everything
    colors = {color: number for number, color in reversed(list(enumerate(info.colorinterp, start=1)))}
    named = tuple(colors[color] for color in ("red", "green", "blue") if color in colors)
    rgb = named if len(named) == 3 else opaque[:3]
    shown = (rgb[0], rgb[1], rgb[2]) if len(rgb) == 3 else None
    table = BandTable(everything, info.names, info.colorinterp, info.dtypes, info.nodata, shown, values=info.values)
    chosen = select_bands(table, opaque if bands is None else bands, file.label)
    indices = (number for number in chosen.numbers if info.colorinterp[number - 1] == "palette")
    return replace(chosen, indexed=any(not _is_grey(file, number) for number in indices))


def select_bands(table: BandTable, bands: Sequence[int] | None, name: str) -> BandTable:
    """Return the part of a whole raster's table with the 1-based `bands`, in their order; None: all of them.

    Raises:
        BandError: a band that the raster called `name` does not have, or none at all.
    """
    count = len(table.numbers)
    numbers = table.numbers if bands is None else tuple(bands)
    wrong = [number for number in numbers if not 1 <= number <= count]
    if wrong or not numbers:
        asked = f"band {wrong[0]}" if wrong else "no band"
        has = f"{count} band{'s' * (count > 1)}"
        raise BandError(f"{name} has {has}, but {asked} was asked for: use 1 to {count}")

    def pick(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(values[number - 1] for number in numbers)

    return replace(
        table,
        numbers=numbers,
        names=pick(table.names),
        colorinterp=pick(table.colorinterp),
        dtypes=pick(table.dtypes),
        nodata=pick(table.nodata),
        values=pick(table.value_tags),
    )


def _is_grey(file: RasterFile, number: int) -> bool:
    """Return whether a band's colour table shows every value n as the grey n, so that its values are brightness."""
    table = file.palette(number) or {}
    return bool(table) and all(color[:3] == (value,) * 3 for value, color in table.items())
