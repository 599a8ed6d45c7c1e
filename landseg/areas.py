"""`landseg areas`: the area of each class of a class raster, as a whole or zone by zone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from landseg.geo.rasters.address import File, file_name

if TYPE_CHECKING:
    from landseg.evaluation.area_options import AreasKeywords
    from landseg.evaluation.area_table import Areas

__all__ = ["areas"]


def areas(raster: File, output: File | None = None, **options: Unpack[AreasKeywords]) -> Areas:
    """Return pixels, hectares and shares of each class of a raster, and write them as a table to `output`.

    Hectares are measured on the ellipsoid, whatever the CRS. Memory is bounded by a strip of the raster, and by the
    zones.

    Args:
        raster: a class raster, in any format that GDAL reads.
        output: the table to write, .csv, .xlsx or .json; None writes none.
        **options: the fields of `landseg.evaluation.area_options.AreasOptions`, by name.

    Raises:
        LandsegError: the raster, the zones or an option cannot be used, or the table cannot be written.
    """
    from landseg.evaluation.area_counts import count_areas
    from landseg.evaluation.area_options import AreasOptions
    from landseg.evaluation.area_table import check_table, write_table
    from landseg.labels.zones import Zones
    from landseg.runtime.replacement import written
    from landseg.vector.classraster import ClassRaster

    wanted, name = AreasOptions.of(**options), file_name(raster)
    table = None if output is None else Path(file_name(output))
    check_table(table, [name], wanted)
    with ClassRaster(name, classes=wanted.classes) as source:
        check_table(table, [source.file.path, *source.file.info.files], wanted)
        zones = None if wanted.by is None else Zones(wanted.by, source.grid, field=wanted.by_field)
        found = replace(count_areas(source, zones, quiet=wanted.quiet), output=table)
    if table is not None:
        with written(table) as place:
            write_table(found, place)
    return found
