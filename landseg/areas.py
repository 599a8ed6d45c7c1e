"""The use case behind `landseg areas`: what each class of a map covers, as a whole or zone by zone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

from landseg.errors import VectorError
from landseg.evaluation.area_counts import count_areas
from landseg.evaluation.area_table import SUFFIXES, Areas, write_table
from landseg.geo.rasters.address import file_name
from landseg.geo.vectors.names import file_of
from landseg.labels.zones import Zones
from landseg.output.checks import files_behind
from landseg.runtime.replacement import written
from landseg.runtime.target_checks import check_target
from landseg.text.options import refuse_unknown
from landseg.vector.classraster import ClassRaster

__all__ = ["AreaOptions", "Areas", "areas"]

File = str | PathLike[str]


@dataclass(frozen=True)
class AreaOptions:
    """How areas are counted.

    Attributes:
        by: a vector file with zones, or one of its layers, ``FILE:LAYER``; None: the whole raster alone.
        by_field: the column that names zones; None: they are numbered from 1.
        classes: names or values that are wanted, or "name,name"; or a class table, TOML or JSON. None: all.
        overwrite: replace a table that exists.
        quiet: show no progress.
    """

    by: File | None = None
    by_field: str | None = None
    classes: str | Sequence[str | int] | None = None
    overwrite: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.by_field is not None and self.by is None:
            raise VectorError(f"--by-field {self.by_field} names a column of zones: name their file with --by")


def areas(raster: File, output: File | None = None, options: AreaOptions | None = None, **more: Any) -> Areas:
    """Return pixels, hectares and shares of each class of a raster, and write them as a table to `output`.

    Hectares are on the ellipsoid, whatever the CRS. Memory is bounded by a strip of the raster, and by the zones.

    Args:
        raster: a class raster, anything GDAL opens.
        output: .csv, .xlsx or .json; None: no file.
        options: see `AreaOptions`; its fields by name go before it.

    Raises:
        LandsegError: one sentence: what was expected, what was found, what to do.
    """
    refuse_unknown(more, [one.name for one in fields(AreaOptions)], of="areas")
    wanted = replace(options or AreaOptions(), **more)
    wanted = wanted if wanted.by is None else replace(wanted, by=file_name(wanted.by))
    table, name = None if output is None else Path(file_name(output)), file_name(raster)
    if table is not None:
        _check_table(table, [name], wanted)
    with ClassRaster(name, classes=wanted.classes) as source:
        if table is not None:
            _check_table(table, [source.file.path, *source.file.info.files], wanted)
        zones = None if wanted.by is None else Zones(wanted.by, source.grid, field=wanted.by_field)
        found = replace(count_areas(source, zones, quiet=wanted.quiet), output=table)
    if table is not None:
        with written(table) as place:
            write_table(found, place)
    return found


def _check_table(table: Path, rasters: Sequence[str], options: AreaOptions) -> None:
    """Raise OutputError if a table cannot be written at a place, or is a file that the run reads."""
    inputs = [Path(path) for path in (*rasters, *map(str, files_behind(list(rasters))))]
    inputs += [] if options.by is None else [file_of(options.by)]
    if options.classes is not None and isinstance(options.classes, (str, PathLike)):
        inputs.append(Path(options.classes))
    check_target(table, SUFFIXES, kind="a table of areas", overwrite=options.overwrite, inputs=inputs)
