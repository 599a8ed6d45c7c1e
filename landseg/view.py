"""`landseg view`: rasters on a map in the browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from landseg.geo.rasters.address import Files, file_names

if TYPE_CHECKING:
    from landseg.report.viewer.server import Viewer

__all__ = ["view"]


def view(rasters: Files, *, port: int = 0) -> Viewer:
    """Return a server of rasters on a map, for browsers of this computer alone.

    Its `url` is the address of the page; `serve_forever()` answers requests until the program ends, `server_close()`
    closes the rasters::

        viewer = landseg.view("landcover.tif")
        print(viewer.url)
        viewer.serve_forever()

    Args:
        rasters: a raster, or several, each shown as a layer; the first gives the grid. They are named by path or
            address, or are datasets that rasterio has open for reading.
        port: the port to listen on; 0 takes a free one.

    Raises:
        OutputError: the port is taken or not allowed.
        RasterError: a raster cannot be opened.
        GridError: a raster cannot be placed on the first one's grid.
    """
    from landseg.report.viewer.server import Viewer

    return Viewer(file_names(rasters), port=port)
