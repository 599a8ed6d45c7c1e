"""RasterInfo: the description of a raster: grid, bands, dtypes, nodata, masks, tags."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from landseg.errors import BandError, GridError, RasterError
from landseg.geo.grid import ControlPoint, Grid
from landseg.geo.rasters.address import label
from landseg.geo.rasters.damage import png_damage
from landseg.geo.rasters.tiff_nodata import integer_nodata
from landseg.geo.rasters.value_tags import ValueTags
from landseg.runtime.replacement import refuse_unfinished

_AXES = ("x", "y", "lat", "lon", "latitude", "longitude", "time", "band", "crs", "spatial_ref")


@dataclass(frozen=True)
class RasterInfo:
    """The description of a raster, as its file has it; tuples hold one entry a band.

    Attributes:
        masked: "none", "dataset" (one mask for all bands) or "band" (a mask for each).
        block: (height, width) of the blocks in which the first band is stored.
        overviews: the first band's, as factors of reduction.
        files: the file and everything that GDAL reads with it, such as a VRT's members.
        tags: the metadata of the whole raster.
        values: the declared scale and offset of each band.
        alpha_masks: whether GDAL's mask of any band is an alpha band, whatever that holds.
    """

    grid: Grid
    driver: str
    dtypes: tuple[str, ...]
    nodata: tuple[float | None, ...]
    colorinterp: tuple[str, ...]
    names: tuple[str | None, ...]
    masked: str
    block: tuple[int, int]
    overviews: tuple[int, ...]
    files: tuple[str, ...]
    tags: dict[str, str]
    values: tuple[ValueTags, ...]
    alpha_masks: bool = False


def describe(dataset: Any, path: str, name: str, *, georeferenced: bool) -> RasterInfo:
    """Return the description of a dataset that rasterio has open.

    Args:
        dataset: of rasterio.
        path: as GDAL opened it.
        name: of the raster, for sentences.
        georeferenced: whether the file says where it lies.

    Raises:
        RasterError: a file of it is damaged, or an output that is not finished.
        BandError: it holds no bands, or complex numbers.
        GridError: its transform or its control points have no inverse.
    """
    if dataset.count == 0:
        parts = f": name a part, such as {_first_part(dataset.subdatasets)}" if dataset.subdatasets else ""
        raise BandError(f"{name} has no bands of its own{parts}")
    wrong = [dtype for dtype in dataset.dtypes if np.dtype(dtype).kind not in "uif"]
    if wrong:
        raise BandError(f"{name} holds {wrong[0]} pixels: expected real numbers; convert it first")
    for file in dataset.files:
        refuse_unfinished(file, RasterError)
        is_png = dataset.driver == "PNG" or file.lower().endswith(".png")
        if is_png and (damage := png_damage(file)):
            raise RasterError(f"{label(file)} is damaged ({damage}): copy or download it again")
    flags = [{flag.name for flag in band} for band in dataset.mask_flag_enums]
    own = [not band & {"all_valid", "alpha"} and band != {"nodata"} for band in flags]
    shared = [masked and "per_dataset" in band for masked, band in zip(own, flags, strict=True)]
    return RasterInfo(
        grid=_grid(dataset, georeferenced, name),
        driver=dataset.driver,
        dtypes=tuple(dataset.dtypes),
        nodata=_nodata(dataset, path),
        colorinterp=tuple(entry.name for entry in dataset.colorinterp),
        names=tuple(dataset.descriptions),
        masked="dataset" if all(shared) else "band" if any(own) else "none",
        block=tuple(dataset.block_shapes[0]),
        overviews=tuple(dataset.overviews(1)),
        files=tuple(dataset.files),
        tags=dict(dataset.tags()),
        alpha_masks=any("alpha" in band for band in flags),
        values=tuple(ValueTags.of(*pair) for pair in zip(dataset.scales, dataset.offsets, strict=True)),
    )


def _nodata(dataset: Any, path: str) -> tuple[float | None, ...]:
    """Return the nodata value of each band, of 64-bit integers as the file has it."""
    wide = dataset.driver == "GTiff" and {"int64", "uint64"} & set(dataset.dtypes)
    if not wide or set(dataset.nodatavals) == {None}:
        return tuple(dataset.nodatavals)
    return tuple(integer_nodata(path, value) for value in dataset.nodatavals)


def _grid(dataset: Any, georeferenced: bool, name: str) -> Grid:
    """Return the grid of a dataset: by its transform, else by its control points."""
    points, points_crs = dataset.gcps
    try:
        if points and dataset.transform.is_identity:
            gcps = tuple(ControlPoint(p.row, p.col, p.x, p.y, p.z or 0.0) for p in points)
            return Grid.from_control_points(points_crs, gcps, width=dataset.width, height=dataset.height)
        # A CRS without a transform places nothing: keeping it would invent a pixel of one metre.
        crs = dataset.crs if georeferenced and dataset.crs else None
        return Grid(crs, dataset.transform, dataset.width, dataset.height)
    except GridError as error:
        raise GridError(f"{name}: {error}") from error


def _first_part(subdatasets: Sequence[str]) -> str:
    """Return the name of the first raster in a file of several that is no axis."""
    pixels = [name for name in subdatasets if re.split(r"[:/]", name.lower())[-1].strip('"') not in _AXES]
    return str((pixels or subdatasets)[0])
