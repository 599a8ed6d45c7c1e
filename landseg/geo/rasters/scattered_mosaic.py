"""Mosaics of rasters that lie far apart: nearly all of such a mosaic would be empty."""

from __future__ import annotations

from pathlib import Path

from landseg.errors import GridError
from landseg.geo.extents import covered_pixels, within
from landseg.geo.grid import Rect
from landseg.geo.rasters.source import Source
from landseg.text.amounts import counted

LITTLE = 0.1
"""The share of a mosaic that its members cover, below which a map of the whole was hardly intended."""


def refuse_scattered(source: Source, region: Rect, output: Path) -> None:
    """Raise GridError if the members of a mosaic cover less than a tenth of a region.

    Args:
        source: of the pixels to map.
        region: the part of it to map.
        output: the map, for the sentence.

    Raises:
        GridError: they cover less; the sentence has both numbers of pixels.
    """
    extents = source.extents()
    if extents is None:
        return
    covered = covered_pixels(within(extents, region))
    if covered >= LITTLE * region.area:
        return
    many = len(source.paths) > 1
    members = f"the {counted(len(source.paths), 'raster')} cover" if many else f"the members of {source.name} cover"
    folder = output.with_suffix("")
    if folder.exists():  # it may be the folder of the inputs: maps would get the names of inputs
        folder = folder.with_name(f"{folder.name}_maps")
    apart = f"give each a map of its own with -o {folder}/" if many else f"name them in its place, with -o {folder}/"
    raise GridError(
        f"{members} {_mpx(covered)} of a mosaic of {region.width:,} x {region.height:,} pixels "
        f"({_mpx(region.area)}), {100 * covered / region.area:.2g} %: {apart}, or map the whole with --sparse, "
        "which leaves the gaps empty"
    )


def _mpx(pixels: int) -> str:
    """Return a number of pixels in megapixels, with three digits.

    >>> _mpx(3_145_728), _mpx(22_050_000_000), _mpx(4096)
    ('3.15 Mpx', '22,050 Mpx', '0.0041 Mpx')
    """
    millions = pixels / 1e6
    return f"{millions:,.0f} Mpx" if millions >= 100 else f"{millions:.{3 if millions >= 1 else 2}g} Mpx"
