"""`landseg rasterize`: polygons burnt onto a grid, as a class raster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from landseg.geo.rasters.address import File, file_name

if TYPE_CHECKING:
    from landseg.labels.rasterize_options import Rasterization, RasterizeKeywords

__all__ = ["rasterize"]


def rasterize(vector: File, output: File, **options: Unpack[RasterizeKeywords]) -> Rasterization:
    """Write the polygons of a vector file as a class raster to `output`.

    A pixel gets the class of the polygon that covers its centre: of the last one in the file where several do, and
    no data where none does. Polygons are reprojected where the CRS differs. The raster appears when it is complete,
    or not at all. The polygons and one strip of the raster are in memory; the result does not depend on the strips.

    Args:
        vector: the file, or a layer of it as ``FILE:LAYER``.
        output: a GeoTIFF.
        **options: the fields of `landseg.labels.rasterize_options.RasterizeOptions`, by name.

    Raises:
        VectorError: the file cannot be read, has no such column, or holds lines or points without `buffer`.
        ClassError: polygons have no class, or the class table contradicts itself.
        GridError: no grid is named, or no polygon lies on it or covers the centre of a pixel.
        OutputError: the output exists, equals an input, or cannot be written.
    """
    from landseg.labels.rasterize_options import RasterizeOptions
    from landseg.vector.burn import burn_polygons

    return burn_polygons(Path(file_name(vector)), Path(file_name(output)), RasterizeOptions.of(**options))
