"""Virtual rasters, as gdalbuildvrt makes them of tiles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import rasterio


def build_vrt(path: Path, tiles: Sequence[Path], places: Sequence[tuple[int, int]], size: tuple[int, int]) -> Path:
    """Write tiles of bytes and of three bands as one virtual raster beside them.

    Args:
        path: of the virtual raster.
        tiles: the first one lies in its upper left corner.
        places: top and left pixel of each tile.
        size: height and width of the virtual raster.
    """
    with rasterio.open(tiles[0]) as first:
        transform, crs = ", ".join(map(str, first.transform.to_gdal())), first.crs
        height, width = first.shape
    bands = []
    for band in (1, 2, 3):
        sources = [
            f'<SimpleSource><SourceFilename relativeToVRT="1">{tile.name}</SourceFilename><SourceBand>{band}'
            f'</SourceBand><SourceProperties RasterXSize="{width}" RasterYSize="{height}" DataType="Byte" '
            f'BlockXSize="40" BlockYSize="30"/><SrcRect xOff="0" yOff="0" xSize="{width}" ySize="{height}"/>'
            f'<DstRect xOff="{left}" yOff="{top}" xSize="{width}" ySize="{height}"/></SimpleSource>'
            for tile, (top, left) in zip(tiles, places, strict=True)
        ]
        bands.append(f'<VRTRasterBand dataType="Byte" band="{band}">{"".join(sources)}</VRTRasterBand>')
    place = f"<SRS>{crs.to_string()}</SRS><GeoTransform>{transform}</GeoTransform>"
    shape = f'rasterXSize="{size[1]}" rasterYSize="{size[0]}"'
    path.write_text(f"<VRTDataset {shape}>{place}{''.join(bands)}</VRTDataset>")
    return path
