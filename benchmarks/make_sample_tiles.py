"""Make sample_tiles/ from the full sets: python benchmarks/make_sample_tiles.py DATA [sample_tiles].

DATA holds the folders buildings_banepa, landcover_dubai, landcover_india_s2, parcels_iowa and trees_socal, whose
sources sample_tiles/README.md names. Files are copied as they are where that is possible. The exceptions: the demo
scene is merged from 16 tiles and its hole masked, building polygons are cut to the chosen tiles, and the
fourth band of the trees, which is near infrared, loses its wrong declaration as alpha. Prints what merging
cost in pixel values.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import rasterio
from PIL import Image, ImageFilter
from rasterio.enums import ColorInterp
from rasterio.features import sieve
from rasterio.merge import merge
from shapely.geometry import box

LANDCOVER = {"train": ("tile1_part9", "tile2_part5", "tile3_part3", "tile6_part4"), "val": ("tile8_part4",)}
BUILDING_TILES = [(x, y) for x in (386691, 386692, 386693, 386694) for y in (220244, 220245)]
SENTINEL2 = "s2_086"
PARCELS = ("field_02", "field_16")
TREES = {
    "train": (
        "claremont_2020_1",
        "long_beach_2020_42",
        "long_beach_2020_92",
        "palm_springs_2020_55",
        "riverside_2020_16",
        "santa_monica_2020_48",
    ),
    "val": ("claremont_2020_13", "palm_springs_2020_43"),
}
SMALLEST_HOLE = 20_000  # px; the largest white thing besides has 35
CREDIT = "Imagery of Banepa, Nepal: HOTOSM / OpenAerialMap, CC-BY-4.0"


def make_scene(tiles: Sequence[Path], target: Path) -> None:
    """Merge contiguous tiles into one GeoTIFF whose JPEG blocks fall on theirs; print what that changed."""
    pixels, transform = merge(list(tiles))
    with rasterio.open(tiles[0]) as first:
        profile = first.profile
    profile |= {"width": pixels.shape[2], "height": pixels.shape[1], "transform": transform}
    target.unlink(missing_ok=True)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(target, "w", **profile, JPEG_QUALITY=92) as scene,
    ):
        scene.write(pixels)
        scene.write_mask(~hole(pixels))
        scene.update_tags(TIFFTAG_COPYRIGHT=CREDIT)
    with rasterio.open(target) as scene:
        for path in tiles:
            report_loss(path, scene)


def hole(pixels: np.ndarray) -> np.ndarray:
    """True where the mosaic was never flown: one large white area, which the tiles do not declare."""
    core = sieve((pixels >= 250).all(axis=0).astype("uint8"), size=SMALLEST_HOLE)
    near = np.asarray(Image.fromarray(core).filter(ImageFilter.MaxFilter(17)), dtype=bool)
    rim = near & (pixels >= 215).all(axis=0)  # JPEG blurs white into its surroundings by half a block
    return core.astype(bool) | rim


def report_loss(path: Path, scene: rasterio.DatasetReader) -> None:
    """Print by how much the scene differs from a tile, which must lie on whole pixels of it."""
    with rasterio.open(path) as tile:
        column, row = ~scene.transform * (tile.transform.c, tile.transform.f)
        assert abs(column - round(column)) < 1e-3 and abs(row - round(row)) < 1e-3, (path, column, row)
        window = ((round(row), round(row) + tile.height), (round(column), round(column) + tile.width))
        loss = np.abs(scene.read(window=window).astype(int) - tile.read())
    equal = (loss == 0).mean()
    print(f"{path.name}: mean |difference| {loss.mean():.3f}, largest {loss.max()}, equal {equal:.3f}")


def copy(paths: Sequence[Path], folder: Path) -> None:
    """Copy files as they are into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        shutil.copyfile(path, folder / path.name)


def make_buildings(data: Path, folder: Path) -> None:
    """A block of neighbouring tiles, and the polygons cut to it."""
    tiles = [data / "tiles" / f"{x}_{y}.tif" for x, y in BUILDING_TILES]
    copy(tiles, folder / "tiles")
    bounds = []
    for path in tiles:
        with rasterio.open(path) as tile:
            bounds.append(tile.bounds)
    left, bottom, right, top = zip(*bounds, strict=True)
    buildings = geopandas.read_file(data / "buildings.gpkg")
    cut = buildings.clip(box(min(left), min(bottom), max(right), max(top)), keep_geom_type=True)
    cut = cut.explode().sort_index(kind="stable")
    (folder / "buildings.gpkg").unlink(missing_ok=True)
    cut.to_file(folder / "buildings.gpkg", layer="buildings")
    print(f"{len(cut)} buildings")


def make_trees(source: Path, target: Path) -> None:
    """The same pixels with the bands named, and no band declared alpha."""
    with rasterio.open(source) as tile:
        pixels, profile = tile.read(), tile.profile
    for key in ("blockxsize", "blockysize", "tiled"):
        profile.pop(key, None)
    with rasterio.open(target, "w", **profile, predictor=2, photometric="RGB", ALPHA="NO") as tile:
        tile.write(pixels)
        tile.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined)
        tile.descriptions = ("red", "green", "blue", "nir")


def main(data: Path, target: Path) -> None:
    """Write every set below `target`, beside the README and class tables that are kept there by hand."""
    # The same bytes on every run.
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2026-01-01T00:00:00.000Z"})
    target.mkdir(exist_ok=True)
    make_scene(sorted((data / "buildings_banepa" / "unlabelled").glob("*.tif")), target / "banepa_scene.tif")
    for split, names in LANDCOVER.items():
        files = [data / "landcover_dubai" / (n + end) for n in names for end in (".jpg", "_labels.png")]
        copy(files, target / "landcover" / split)
    sentinel2 = [data / "landcover_india_s2" / f"{SENTINEL2}{end}" for end in (".jpg", "_labels.png")]
    copy(sentinel2, target / "sentinel2")
    make_buildings(data / "buildings_banepa", target / "buildings")
    parcels = [data / "parcels_iowa" / (name + end) for name in PARCELS for end in (".tif", ".gpkg")]
    copy(parcels, target / "parcels")
    for split, names in TREES.items():
        folder = target / "trees" / split
        copy([data / "trees_socal" / split / f"{name}.geojson" for name in names], folder)
        for name in names:
            make_trees(data / "trees_socal" / split / f"{name}.tif", folder / f"{name}.tif")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) == 3 else "sample_tiles"))
