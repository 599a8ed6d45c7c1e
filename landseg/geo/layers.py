"""Vector files of several layers: the one that is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import pyogrio

_STYLES = "layer_styles"  # where QGIS and landseg keep the colours of a GeoPackage's other layers


def read_layers(path: Path) -> Any:
    """A vector file's (first) layer as a GeoDataFrame; a GeoPackage's table of styles is none and not warned of."""
    if path.suffix.lower() == ".gpkg" and path.is_file():
        names = [name for name, _ in pyogrio.list_layers(path) if name != _STYLES]
        if len(names) == 1:
            return geopandas.read_file(path, layer=names[0])
    return geopandas.read_file(path)
