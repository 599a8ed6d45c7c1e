"""Make a scene of fields with 24 labelled polygons: `python benchmarks/few_polygons.py FOLDER`.

The folder, which exists, gets fields.tif (four bands, 512 x 512 pixels of 2 m, noise around one colour a crop),
truth.tif (the crop of every pixel), samples.gpkg (six polygons of each crop, inside fields) and classes.toml.
"""

from __future__ import annotations

import sys
from pathlib import Path

import geopandas
import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp
from shapely.geometry import box

SIDE, HIGH, EACH, INSET = 512, 32, 6, 3  # pixels; EACH: polygons of a crop
CROPS = ("maize", "wheat", "meadow", "fallow")
AT = Affine(2, 0, 600_000, 0, -2, 5_400_000)


def make(folder: Path) -> None:
    """Write the four files."""
    dice = np.random.default_rng(3)
    colors = dice.normal(100, 22, (len(CROPS), 4))
    truth, fields = np.zeros((SIDE, SIDE), np.uint8), []
    for top in range(0, SIDE, HIGH):
        left = 0
        while left < SIDE:
            width, crop = int(dice.integers(24, 80)), int(dice.integers(len(CROPS)))
            truth[top : top + HIGH, left : left + width] = crop + 1
            fields.append((top, left, min(width, SIDE - left), crop))
            left += width
    pixels = colors[truth - 1].transpose(2, 0, 1) + dice.normal(0, 14, (4, SIDE, SIDE))
    options = {"driver": "GTiff", "width": SIDE, "height": SIDE, "dtype": "uint8"}
    options |= {"crs": "EPSG:32633", "transform": AT}
    with rasterio.open(folder / "fields.tif", "w", count=4, **options) as raster:
        raster.write(pixels.clip(1, 255).astype(np.uint8))
        raster.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined]
    with rasterio.open(folder / "truth.tif", "w", count=1, nodata=0, **options) as raster:
        raster.write(truth, 1)
    names, shapes = [], []
    for crop, name in enumerate(CROPS):
        mine = [field for field in fields if field[3] == crop and field[2] > 26]
        for number in dice.choice(len(mine), EACH, replace=False):
            top, left, width, _ = mine[number]
            west, north = AT @ (left + INSET, top + INSET)
            east, south = AT @ (left + width - INSET, top + HIGH - INSET)
            names.append(name)
            shapes.append(box(west, south, east, north))
    geopandas.GeoDataFrame({"class": names}, geometry=shapes, crs="EPSG:32633").to_file(folder / "samples.gpkg")
    rows = (f'[[classes]]\nvalue = {crop + 1}\nname = "{name}"\n' for crop, name in enumerate(CROPS))
    (folder / "classes.toml").write_text("ignore = [0]\n" + "".join(rows))


if __name__ == "__main__":
    make(Path(sys.argv[1]))
