"""Cloud-optimised GeoTIFFs of raw pixels, which GDAL's COG driver reads through a VRT."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from landseg.errors import LandsegError, OutputError
from landseg.geo.grid import Grid, Rect
from landseg.geo.rasters.raster import RasterFile
from landseg.output.layer import Layer
from landseg.runtime.disk import FullDisk, disk_errors
from landseg.runtime.processors import processors
from landseg.text.xml_text import xml_safe, xml_text

BLOCK = 512  # edge of the output's internal tiles
_VRT_TYPES = {"uint8": "Byte", "uint16": "UInt16", "uint32": "UInt32", "int32": "Int32", "float32": "Float32"}


def vrt_text(layer: Layer, grid: Grid, raw_name: str, tags: Mapping[str, str], overviews: Sequence[str] = ()) -> str:
    """Return the VRT that describes a raw file, in the VRT's folder, as a layer on a grid.

    ``overviews`` are the names of VRTs in that folder that show its one band on coarser grids.
    """
    root = _dataset(grid, tags)
    for band in range(layer.count):
        element = _raw_band(root, layer, grid.shape, raw_name, band)
        element.set("band", str(band + 1))
        _describe_band(element, layer, band)
        for name in overviews:
            overview = Xml.SubElement(element, "Overview")
            Xml.SubElement(overview, "SourceFilename", relativeToVRT="1").text = name
            Xml.SubElement(overview, "SourceBand").text = str(band + 1)
    if layer.mask:
        _raw_band(Xml.SubElement(root, "MaskBand"), layer, grid.shape, raw_name, layer.count)
    return xml_text(root)


def raw_text(layer: Layer, shape: tuple[int, int], raw_name: str) -> str:
    """Return the VRT that shows all bands of a raw file as they are, the mask included, without a georeference."""
    root = Xml.Element("VRTDataset", rasterXSize=str(shape[1]), rasterYSize=str(shape[0]))
    for band in range(layer.raw_bands):
        _raw_band(root, layer, shape, raw_name, band).set("band", str(band + 1))
    return xml_text(root)


def parts_text(layer: Layer, grid: Grid, plain_name: str, tags: Mapping[str, str], parts: Sequence[Rect]) -> str:
    """Return the VRT that shows rectangles of the VRT ``plain_name``, made by `raw_text`, and no data elsewhere."""
    root = _dataset(grid, tags)
    for band in range(layer.count):
        element = _parts_band(root, layer, grid, plain_name, parts, band)
        element.set("band", str(band + 1))
        _describe_band(element, layer, band)
    if layer.mask:
        _parts_band(Xml.SubElement(root, "MaskBand"), layer, grid, plain_name, parts, layer.count)
    return xml_text(root)


def _parts_band(
    parent: Xml.Element, layer: Layer, grid: Grid, name: str, parts: Sequence[Rect], band: int
) -> Xml.Element:
    element = Xml.SubElement(parent, "VRTRasterBand", {"dataType": _VRT_TYPES[layer.dtype]})
    size = {"RasterXSize": str(grid.width), "RasterYSize": str(grid.height), "DataType": _VRT_TYPES[layer.dtype]}
    for part in parts:
        source = Xml.SubElement(element, "SimpleSource")
        Xml.SubElement(source, "SourceFilename", relativeToVRT="1").text = name
        Xml.SubElement(source, "SourceBand").text = str(band + 1)
        Xml.SubElement(source, "SourceProperties", {**size, "BlockXSize": str(grid.width), "BlockYSize": "1"})
        place = {"xOff": part.left, "yOff": part.top, "xSize": part.width, "ySize": part.height}
        for where in ("SrcRect", "DstRect"):
            Xml.SubElement(source, where, {key: str(value) for key, value in place.items()})
    return element


def _dataset(grid: Grid, tags: Mapping[str, str]) -> Xml.Element:
    root = Xml.Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    _georeference(root, grid)
    metadata = Xml.SubElement(root, "Metadata")
    for key, value in {"AREA_OR_POINT": "Area", **tags}.items():
        Xml.SubElement(metadata, "MDI", key=key).text = xml_safe(value)
    return root


def _georeference(root: Xml.Element, grid: Grid) -> None:
    wkt = "" if grid.crs is None else _wkt(grid.crs)
    if grid.gcps:
        points = Xml.SubElement(root, "GCPList", Projection=wkt, dataAxisToSRSAxisMapping="1,2")
        for number, point in enumerate(grid.gcps, start=1):
            place = {"Pixel": point.col, "Line": point.row, "X": point.x, "Y": point.y, "Z": point.z}
            Xml.SubElement(points, "GCP", {"Id": str(number), **{key: repr(float(v)) for key, v in place.items()}})
        return
    if wkt:
        Xml.SubElement(root, "SRS", dataAxisToSRSAxisMapping="1,2").text = wkt
    if grid.transform != Affine.identity():  # the identity stands for "no georeference at all"
        Xml.SubElement(root, "GeoTransform").text = ", ".join(repr(float(v)) for v in grid.transform.to_gdal())


def _wkt(crs: CRS) -> str:
    return str(crs.to_wkt(version="WKT2_2019"))


def _raw_band(parent: Xml.Element, layer: Layer, shape: tuple[int, int], raw_name: str, band: int) -> Xml.Element:
    size = np.dtype(layer.dtype).itemsize
    attributes = {"dataType": _VRT_TYPES[layer.dtype], "subClass": "VRTRawRasterBand"}
    element = Xml.SubElement(parent, "VRTRasterBand", attributes)
    # Relative and beside the VRT: the only place from which GDAL reads raw files unasked.
    Xml.SubElement(element, "SourceFilename", relativeToVRT="1").text = raw_name
    Xml.SubElement(element, "ImageOffset").text = str(band * shape[0] * shape[1] * size)
    Xml.SubElement(element, "PixelOffset").text = str(size)
    Xml.SubElement(element, "LineOffset").text = str(shape[1] * size)
    Xml.SubElement(element, "ByteOrder").text = "LSB"
    return element


def _describe_band(element: Xml.Element, layer: Layer, band: int) -> None:
    if layer.band_names:
        Xml.SubElement(element, "Description").text = xml_safe(layer.band_names[band])
    if layer.nodata is not None and not layer.mask:
        Xml.SubElement(element, "NoDataValue").text = repr(layer.nodata)
    if layer.scale is not None:
        Xml.SubElement(element, "Offset").text = "0"
        Xml.SubElement(element, "Scale").text = repr(layer.scale)
    if layer.classes is None:
        Xml.SubElement(element, "ColorInterp").text = "Gray" if layer.count == 1 else "Undefined"
        return
    Xml.SubElement(element, "ColorInterp").text = "Palette"
    table = Xml.SubElement(element, "ColorTable")
    colors = dict(zip(layer.classes.values, layer.classes.colors, strict=True))
    for value in range(max(*colors, layer.classes.nodata) + 1):
        entry = (*colors.get(value, (0, 0, 0)), 255 if value in colors else 0)
        Xml.SubElement(table, "Entry", {f"c{n}": str(part) for n, part in enumerate(entry, start=1)})


def write_cog(vrt: Path, target: Path, layer: Layer, grid: Grid, *, sparse: bool = False) -> None:
    """Write the COG of a VRT, with overviews, on all processors that may be used or on GDAL_NUM_THREADS.

    DEFLATE level 6 without a predictor for classes: 10,000 x 10,000 pixels of realistic patches take 2.1 s on
    two cores and 10.5 MB (level 1: 1.4 s, 13.4 MB; level 9: 13.7 s, 9.2 MB; with a predictor 2.4 s, 11.6 MB).

    Raises:
        OutputError: the disk is full, or GDAL cannot write the file.
    """
    threads = os.environ.get("GDAL_NUM_THREADS") or str(processors())
    options = {
        "compress": "DEFLATE",
        "level": "6" if layer.classes else "1",
        "predictor": "NO" if layer.classes else "YES",
        "blocksize": str(BLOCK),
        "overview_resampling": layer.resampling.upper(),
        "bigtiff": "IF_SAFER",
        "num_threads": threads,
        "sparse_ok": "YES" if sparse else "NO",  # blocks without data take no space
    }
    target.unlink(missing_ok=True)
    with disk_errors(target), warnings.catch_warnings(), rasterio.Env(GDAL_NUM_THREADS=threads):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            rasterio.shutil.copy(os.fspath(vrt), os.fspath(target), driver="COG", strict=False, **options)
        except (RasterioError, RuntimeError) as error:
            raise _copy_failed(target, grid, layer, error) from error
        except Exception as error:  # GDAL's own exception classes are private
            if type(error).__module__.startswith("rasterio"):
                raise _copy_failed(target, grid, layer, error) from error
            raise


def check_cog(path: Path, layer: Layer, grid: Grid) -> None:
    """Raise OutputError if a COG does not read back as a layer on a grid of this size.

    The last block is read, which GDAL writes last: a file cut short is noticed.
    """
    try:
        raster = RasterFile(path)
        try:
            size = (*raster.info.grid.shape, *raster.info.dtypes)
            raster.read(range(1, layer.count + 1), Rect(grid.height - 1, grid.width - 1, 1, 1), layer.dtype)
            raster.validity.mask(1, Rect(grid.height - 1, grid.width - 1, 1, 1))
        finally:
            raster.close()
    except LandsegError as error:
        raise FullDisk(f"{path.name} does not read back ({error}), perhaps because its disk is full") from error
    if size != (*grid.shape, *[layer.dtype] * layer.count):
        raise OutputError(f"{path.name} was written with {size}: expected {grid.shape} {layer.dtype}")


def _copy_failed(target: Path, grid: Grid, layer: Layer, error: Exception) -> FullDisk:
    """Return the error for a copy that failed: GDAL reports a full disk by many errors and then frees space."""
    target.unlink(missing_ok=True)
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    free = shutil.disk_usage(target.parent).free / 2**20
    need = 1.4 * grid.width * grid.height * layer.pixel_bytes / 2**20
    return FullDisk(
        f"cannot write {target.name} ({error}): it may need up to {need:.0f} MiB, its disk has {free:.0f} MiB free"
    )
