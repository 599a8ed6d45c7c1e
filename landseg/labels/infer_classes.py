"""Class tables inferred from labels: the legend of their rasters, or the values of a column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from landseg.classes import MAX_CLASSES, MAX_VALUE, ClassMap
from landseg.errors import ClassError
from landseg.geo.pieces import parts
from landseg.geo.rasters.raster import RasterFile
from landseg.labels.image_lists import Item, polygon_files
from landseg.labels.label_colors import label_source
from landseg.labels.legend import read_legend
from landseg.labels.polygons import PolygonLabels
from landseg.text.amounts import counted, part_of, shorten_list


def classes_of(
    labels: Sequence[Item] | str | Path, field: str | None = None, *, buffer_m: float | None = None
) -> ClassMap:
    """Return the class table that labels carry.

    The table of rasters is the one that they carry; where they have a palette alone, every value that occurs is a
    class by that number, in its colour. The table of a vector file has the entries of its column: whole numbers are
    values of classes, names get values from 1 on in alphabetical order. The table of several vector files has the
    entries of all.

    Args:
        labels: items with label rasters or vector files, or a vector file.
        field: the column of vector files.
        buffer_m: metres around their lines and points; None: these are refused.

    Raises:
        ClassError: nothing names the classes, the column is empty in places, or two rasters name different classes.
        VectorError: the vector file cannot be read, or has no such column.
    """
    if files := [Path(labels)] if isinstance(labels, str | Path) else polygon_files(labels):
        return _of_column(files, field, buffer_m)
    assert not isinstance(labels, str | Path), "it is a vector file"
    rasters = [item.labels for item in labels if item.labels is not None]
    found = {path: _of_raster(path) for path in rasters}
    tables = [table for table in found.values() if table is not None]
    if bare := [str(path) for path, table in found.items() if table is None]:
        if tables:
            raise ClassError(
                f"{part_of(len(bare), len(rasters), 'label raster', 'names', 'name')} "
                f"no class: {shorten_list(bare)}; {_ADVICE}"
            )
        return _of_palettes(rasters)
    if not tables:
        raise ClassError(f"there are no label rasters to name the classes; {_ADVICE}")
    if odd := [str(path) for path, table in found.items() if table != tables[0]]:
        raise ClassError(f"{shorten_list(odd)} name other classes than {rasters[0]}; {_ADVICE}")
    return tables[0]


_ADVICE = "name a class table with --classes classes.toml (value, name, color)"


def _of_raster(path: Path) -> ClassMap | None:
    file = RasterFile(path)
    try:
        return read_legend(file)
    finally:
        file.close()


def _of_palettes(rasters: Sequence[Path]) -> ClassMap:
    colors: dict[int, tuple[int, ...]] = {}
    for path in rasters:
        label_source(path).close()  # refuses several bands
        file = RasterFile(path)
        try:
            palette = file.palette(1)
        finally:
            file.close()
        if palette is None:
            raise ClassError(f"{path} has neither names nor a palette that say what its values mean; {_ADVICE}")
        colors = {value: color for value, color in palette.items() if color[3]} | colors
    values = sorted(set().union(*(_values(path) for path in rasters)) & set(colors))
    return _table([{"value": value, "name": str(value), "color": list(colors[value][:3])} for value in values])


def _values(path: Path) -> set[int]:
    """Return the values of a raster's pixels with data, read part by part."""
    seen: set[int] = set()
    with label_source(path) as source:
        for part in parts(source.grid.shape):
            pixels, valid = source.read(part)
            seen.update(np.unique(pixels[0][valid]).tolist())
    return seen


def _of_column(files: Sequence[Path], field: str | None, buffer_m: float | None) -> ClassMap:
    if field is None:
        names = shorten_list([str(path) for path in files])
        what = f"{names} is a vector file" if len(files) == 1 else f"{names} are vector files"
        raise ClassError(f"{what}: say which column names the class (--class-field), or {_ADVICE}")
    several = len(files) > 1
    read = [PolygonLabels(path, field, buffer_m=buffer_m, empty=several) for path in files]
    texts = sorted({text for polygons in read for text in polygons.counts()})
    if all(text.removesuffix(".0").isdecimal() and float(text) <= MAX_VALUE for text in texts):
        numbers = sorted(int(text.removesuffix(".0")) for text in texts)
        return _table([{"value": number, "name": str(number)} for number in numbers])
    return _table([{"value": value, "name": text} for value, text in enumerate(texts, start=1)])


def _table(rows: Sequence[dict[str, object]]) -> ClassMap:
    if len(rows) > MAX_CLASSES:
        raise ClassError(f"{counted(len(rows), 'different value')}, but at most {MAX_CLASSES} classes; {_ADVICE}")
    return ClassMap.from_json(list(rows))
