"""Check what `make demo` left: python .ci/check_demo.py FOLDER SCENE. Exits with 1 and says what is wrong."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
from PIL import Image
from rio_cogeo.cogeo import cog_validate

FEWEST_CLASSES = 3
SMALLEST_PREVIEW = 400  # px
FEWEST_BUILDINGS = 150  # of some 300 that stand in the scene


def raster_faults(path: Path, scene: Path) -> Iterator[str]:
    """What is wrong with the class raster, as sentences."""
    valid, errors, warnings = cog_validate(path, strict=True, quiet=True)
    if not valid:
        yield f"{path} is no valid COG: {errors + warnings}"
    with rasterio.open(path) as classes, rasterio.open(scene) as source:
        if (classes.crs, classes.transform, classes.shape) != (source.crs, source.transform, source.shape):
            yield f"{path} does not lie on the grid of {scene}"
            return
        if classes.count != 1 or classes.nodata is None:
            yield f"{path} has {classes.count} bands and nodata {classes.nodata}; expected 1 and a number"
        found = classes.read(1)
        wrong = int(((found == classes.nodata) != (source.dataset_mask() == 0)).sum())
        values, counts = np.unique(found, return_counts=True)
    share = {int(v): float(n / counts.sum()) for v, n in zip(values, counts, strict=True)}
    print("share of the pixels by class value:", {v: round(s, 4) for v, s in share.items()})
    if len(set(share) - {classes.nodata}) < FEWEST_CLASSES:
        yield f"{path} holds the values {sorted(share)}; expected at least {FEWEST_CLASSES} classes"
    if wrong:
        yield f"{path} and {scene} disagree on which pixels have data at {wrong} of them"


def polygon_faults(path: Path, scene: Path) -> Iterator[str]:
    """What is wrong with the polygons, as sentences."""
    info = pyogrio.read_info(path, force_total_bounds=True)
    with rasterio.open(scene) as source:
        crs, bounds = source.crs, source.bounds
    print(f"{info['features']} polygons within {info['total_bounds']}")
    if info["features"] < FEWEST_CLASSES:
        yield f"{path} holds {info['features']} polygons"
    if not info["crs"] or rasterio.crs.CRS.from_user_input(info["crs"]) != crs:
        yield f"{path} has the CRS {info['crs']}; expected {crs}"
    if not np.allclose(info["total_bounds"], bounds, atol=1e-3, rtol=0):
        yield f"the polygons' bounds {info['total_bounds']} are not the scene's {tuple(bounds)}"


def building_faults(path: Path, scene: Path) -> Iterator[str]:
    """What is wrong with the polygons of buildings, as sentences."""
    found = pyogrio.read_dataframe(path, layer=path.stem, columns=["name", "score", "area_m2"])
    buildings = found[found["name"] == "buildings"]
    areas, scores = buildings["area_m2"], buildings["score"]
    with rasterio.open(scene) as source:
        crs = source.crs
    print(f"{len(buildings)} buildings, {areas.sum():.0f} m2, median score {scores.median():.2f}")
    if len(buildings) < FEWEST_BUILDINGS:
        yield f"{path} holds {len(buildings)} buildings; expected at least {FEWEST_BUILDINGS}"
    if found.crs is None or rasterio.crs.CRS.from_user_input(found.crs) != crs:
        yield f"{path} has the CRS {found.crs}; expected {crs}"
    if not ((areas > 0).all() and scores.between(0, 1).all()):
        yield f"{path} has areas that are not above 0, or scores outside 0 to 1"


def preview_faults(path: Path) -> Iterator[str]:
    """What is wrong with the picture, as sentences."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    print(f"{path}: {pixels.shape[1]} x {pixels.shape[0]} px")
    if min(pixels.shape[:2]) < SMALLEST_PREVIEW:
        yield f"{path} is smaller than {SMALLEST_PREVIEW} px"
    if pixels.std() < 10 or len(np.unique(pixels.reshape(-1, 3), axis=0)) < 100:
        yield f"{path} is nearly uniform"


def main(folder: Path, scene: Path) -> int:
    """The exit code: 0 when the demo's files are what they should be."""
    faults: list[str] = []
    for name, check in (
        ("landcover.tif", lambda path: raster_faults(path, scene)),
        ("landcover.gpkg", lambda path: polygon_faults(path, scene)),
        ("preview.png", preview_faults),
        ("buildings.gpkg", lambda path: building_faults(path, scene)),
        ("buildings.png", preview_faults),
    ):
        path = folder / name
        faults += check(path) if path.exists() else [f"{path} is missing"]
    for fault in faults:
        print(f"demo: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
