"""The table of docs/vector-operations.md: building outlines before and after they are made right-angled, at Banepa.

    python benchmarks/regularize.py DATA [--min-area 10] [--write docs/vector-operations.md]

DATA holds `tiles/*.tif` and the truth `buildings.gpkg`. The shipped model predicts the tiles as one mosaic, once, and
every way is given the same outlines. `buildingregulariser`, to compare with, is measured where it is installed
(pip install buildingregulariser); landseg does not need it.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize, shapes

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pages import write_table

from landseg.geo.metres import metres_per_unit
from landseg.geo.rasters.raster import RasterFile
from landseg.labels.legend import read_legend
from landseg.predict import predict
from landseg.vector.regularize import regularize

HEAD = (
    "| outlines | number | IoU | IoU of those found | found | IoU with the pixels | vertices | right angles "
    "| overlap | invalid | CPU ms each |"
)
BEGIN = "<!-- table of benchmarks/regularize.py -->"
Geometries = NDArray[np.object_]


def buildings(data: Path, min_area_m2: float) -> tuple[Geometries, Geometries, Any, float]:
    """Predicted outlines (pixel by pixel) and true ones, both where there is imagery; their CRS, metres a unit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map.tif"
        with contextlib.redirect_stderr(io.StringIO()):
            predict(sorted(map(str, (data / "tiles").glob("*.tif"))), path, quiet=True)
        file = RasterFile(path)
        classes, grid = read_legend(file), file.info.grid
        assert classes is not None
        is_building = file.read([1], grid.rect, "uint8")[0] == classes.values[classes.names.index("building")]
        file.close()
    truth = geopandas.read_file(data / "buildings.gpkg").to_crs(grid.crs).geometry.make_valid()
    truth = truth.intersection(shapely.box(*grid.bounds))
    outlines = np.array([one for _, one in traced(is_building.astype("int32"), grid.transform)], dtype=object)
    scale = float(metres_per_unit(outlines, grid.crs).mean())
    large = shapely.area(outlines) * scale**2 >= min_area_m2
    return outlines[large], np.array(truth[truth.area > 0], dtype=object), grid.crs.to_wkt(), scale


def traced(numbers: NDArray[np.int32], place: Affine) -> list[tuple[int, shapely.Polygon]]:
    """(number, outline along its pixels) of every region whose number is not 0."""
    found = shapes(numbers, mask=numbers != 0, transform=place)
    return [(int(number), shapely.geometry.shape(one)) for one, number in found]


def burnt(truth: Geometries, pixel: float) -> tuple[Geometries, Geometries]:
    """True buildings as a map that is right would show them, along pixels, each apart; and those buildings."""
    left, bottom, right, top = shapely.total_bounds(truth).tolist()
    shape = (int((top - bottom) / pixel) + 1, int((right - left) / pixel) + 1)
    place = Affine(pixel, 0, left, 0, -pixel, top)
    numbers = rasterize([(one, index) for index, one in enumerate(truth, 1)], shape, transform=place, dtype="int32")
    largest: dict[int, shapely.Polygon] = {}
    for owner, piece in traced(numbers, place):
        largest[owner] = max(piece, largest.get(owner, piece), key=lambda one: one.area)
    return np.array(list(largest.values()), dtype=object), truth[np.array(list(largest)) - 1]


def right_angles(polygons: Geometries) -> float:
    """The share of corners within two degrees of a right angle."""
    right = corners = 0
    for ring in shapely.get_rings(polygons):
        points = shapely.get_coordinates(ring)[:-1]
        back, ahead = np.roll(points, 1, axis=0) - points, np.roll(points, -1, axis=0) - points
        lengths = np.hypot(*back.T) * np.hypot(*ahead.T)
        cosine = (back * ahead).sum(axis=1)[lengths > 0] / lengths[lengths > 0]
        right += int((np.abs(cosine) < np.sin(np.radians(2))).sum())
        corners += len(cosine)
    return right / corners


def overlaps(polygons: Geometries) -> float:
    """The share of the buildings' area that lies in two of them."""
    one, other = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    twice = shapely.area(shapely.intersection(polygons[one[one < other]], polygons[other[one < other]]))
    return float(twice.sum() / shapely.area(polygons).sum())


def matches(polygons: Geometries, truth: Geometries) -> NDArray[np.float64]:
    """For every true building the IoU with the polygon that fits it best, if that is a half or more; else 0."""
    one, other = shapely.STRtree(polygons).query(truth)
    ratio = shapely.area(truth[one]) / shapely.area(polygons[other])
    one, other = one[(ratio > 0.5) & (ratio < 2)], other[(ratio > 0.5) & (ratio < 2)]  # an IoU is no larger
    shared = shapely.area(shapely.intersection(truth[one], polygons[other]))
    best = np.zeros(len(truth))
    np.maximum.at(best, one, shared / (shapely.area(truth[one]) + shapely.area(polygons[other]) - shared))
    return best


def row(name: str, polygons: Geometries, truth: Geometries, outlines: Geometries, seconds: float) -> str:
    """A line of the table; outlines that are not valid are counted, then repaired to be measured."""
    invalid, given = int((~shapely.is_valid(polygons)).sum()), polygons
    polygons = shapely.make_valid(polygons)
    whole, real = shapely.union_all(polygons), shapely.union_all(truth)
    iou = shapely.area(whole & real) / shapely.area(whole | real)
    before = shapely.union_all(outlines)
    kept = shapely.area(whole & before) / shapely.area(whole | before)
    best = matches(polygons, truth)
    vertices = shapely.get_num_coordinates(given) - 1 - shapely.get_num_interior_rings(given)
    cells = [name, f"{len(polygons)}", f"{iou:.3f}", f"{best[best >= 0.5].mean():.3f}", f"{(best >= 0.5).sum()}"]
    cells += [f"{kept:.3f}", f"{vertices.mean():.1f}", f"{right_angles(given):.1%}", f"{overlaps(polygons):.2%}"]
    cells.append(f"{invalid}")
    return "| " + " | ".join([*cells, f"{1000 * seconds / len(polygons):.2f}" if seconds else ""]) + " |"


def ways(crs: Any, scale: float) -> dict[str, Callable[[Geometries], Geometries]]:
    """Outlines to outlines; tolerances are metres on the ground."""
    found: dict[str, Callable[[Geometries], Geometries]] = {
        "Douglas-Peucker, 0.5 m": lambda given: shapely.simplify(given, 0.5 / scale),
        "smallest rotated rectangle": lambda given: shapely.oriented_envelope(given),
        "landseg, 0.5 m": lambda given: regularize(given, crs=crs, tolerance_m=0.5).polygons,
        "landseg, 1 m": lambda given: regularize(given, crs=crs, tolerance_m=1).polygons,
        "landseg, 2 m": lambda given: regularize(given, crs=crs, tolerance_m=2).polygons,
    }
    if importlib.util.find_spec("buildingregulariser"):
        from buildingregulariser import regularize_geodataframe

        def library(given: Geometries, **options: Any) -> Geometries:
            frame = geopandas.GeoDataFrame(geometry=given, crs=crs)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made = regularize_geodataframe(frame, num_cores=1, **options)
            return np.array(made.geometry, dtype=object)

        found["buildingregulariser"] = library
        plain = {"allow_45_degree": False, "allow_circles": False}
        found["the same, 90 degrees only, 1 m"] = lambda given: library(
            given, simplify_tolerance=1 / scale, parallel_threshold=2 / scale, **plain
        )
    return found


def table(name: str, outlines: Geometries, truth: Geometries, crs: Any, scale: float) -> Iterator[str]:
    """Lines for one set of outlines."""
    yield row(f"{name}, along the pixels", outlines, truth, outlines, 0)
    for way_name, way in ways(crs, scale).items():
        start = time.process_time()
        made = way(outlines)
        yield row(way_name, made, truth, outlines, time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--min-area", type=float, default=10, help="smaller buildings, in square metres, are left out"
    )
    parser.add_argument("--pixel", type=float, default=0.6, help="metres, of the map that is right")
    parser.add_argument("--write", type=Path, help="the page that holds the table")
    args = parser.parse_args()
    outlines, truth, crs, scale = buildings(args.data, args.min_area)
    lines = [HEAD, "|---" + "|--:" * 10 + "|"]
    lines += table("**the shipped model's map**", outlines, truth, crs, scale)
    lines += table(
        f"**a map that is right, pixels of {args.pixel:g} m**", *burnt(truth, args.pixel / scale), crs, scale
    )
    lines.append(row("**drawn by hand** (the truth)", truth, truth, truth, 0))
    print("\n".join(lines), flush=True)
    if args.write:
        write_table(args.write, BEGIN, lines)


if __name__ == "__main__":
    main()
