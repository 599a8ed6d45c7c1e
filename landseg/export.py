"""`landseg export`: a class raster as polygons, lines and points."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from landseg.geo.rasters.address import File, file_name

if TYPE_CHECKING:
    from landseg.vector.export_options import Export, ExportKeywords

__all__ = ["export"]


def export(raster: File, output: File, **options: Unpack[ExportKeywords]) -> Export:
    """Write a class raster as polygons to `output`, in the format that its suffix names.

    Each connected piece of a class becomes one polygon, and each object of a raster of ids. Its corners are pixel
    corners, exactly, unless an option changes outlines. The files appear when they are complete, or not at all.
    Memory is bounded by a strip of the raster, by the number of pieces, and by the largest polygon.

    Args:
        raster: a class raster, or one of ids of objects, in any format that GDAL reads.
        output: .gpkg, .shp, .shp.zip, .fgb, .geojson or .parquet; .csv for the attributes without shapes.
        **options: the fields of `landseg.vector.export_options.ExportOptions`, by name.

    Raises:
        LandsegError: the raster or an option cannot be used, or a file cannot be written.
    """
    from landseg.vector.export_options import ExportOptions
    from landseg.vector.export_run import export_raster

    return export_raster(file_name(raster), Path(file_name(output)), ExportOptions.of(**options))
