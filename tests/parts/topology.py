"""Class rasters for Hypothesis, and what tests of regions, arcs and polygons have in common."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import shapely
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from rasterio.features import rasterize

from landseg.vector.topology.arcs import Arcs
from landseg.vector.topology.regions import Regions
from landseg.vector.topology.rings import build_polygons
from landseg.vector.topology.trace import trace

Classes = NDArray[np.uint8]


def rasters(largest: int = 12, classes: int = 3) -> st.SearchStrategy[Classes]:
    """Rasters of a few classes; 0 is no data."""
    shapes = st.tuples(st.integers(1, largest), st.integers(1, largest))
    return shapes.flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, classes)))


def noise(seed: int, *, height: int = 40, width: int = 50, classes: int = 4, grain: int = 3) -> Classes:
    """Blotches of `grain` pixels with single pixels strewn over them."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, classes, (height // grain + 1, width // grain + 1), np.uint8)
    found = coarse.repeat(grain, 0).repeat(grain, 1)[:height, :width].copy()
    strewn = rng.random(found.shape) < 0.1
    found[strewn] = rng.integers(0, classes, int(strewn.sum()))
    return found


def blotches(seed: int, *, height: int = 60, width: int = 80, classes: int = 3, strewn: float = 0.01) -> Classes:
    """Cells with slanting borders, and single pixels strewn over them; 0 is no data."""
    rng = np.random.default_rng(seed)
    sites = rng.random((40, 2)) * (height, width)
    rows, columns = np.mgrid[:height, :width]
    nearest = np.hypot(rows[..., None] - sites[:, 0], columns[..., None] - sites[:, 1]).argmin(axis=-1)
    found = rng.integers(0, classes + 1, len(sites), np.uint8)[nearest]
    others = rng.random(found.shape) < strewn
    found[others] = rng.integers(0, classes + 1, int(others.sum()))
    return found


def strips(classes: NDArray[Any], height: int) -> Iterator[NDArray[Any]]:
    """The raster from the top down."""
    return (classes[top : top + height] for top in range(0, len(classes), height))


def traced(classes: NDArray[Any], height: int = 1000, **options: Any) -> tuple[Regions, Arcs]:
    """Regions and arcs of a raster that is cut into strips of this height."""
    return trace(strips(classes, height), nodata=options.pop("nodata", 0), **options)


def shapes_of(regions: Regions, arcs: Arcs, chunk: int = 50) -> NDArray[Any]:
    """All geometries, from small chunks."""
    found = np.empty(len(regions), object)
    for part, made in build_polygons(regions, arcs, chunk=chunk):
        found[part] = made
    return found


def burned(regions: Regions, shapes: NDArray[Any], shape: tuple[int, int]) -> Classes:
    """The values of the regions, by GDAL, where its pixels' centres are in their shapes; 0 elsewhere."""
    if not len(shapes):
        return np.zeros(shape, np.uint8)
    found: Classes = rasterize(zip(shapes, regions.value, strict=True), out_shape=shape, dtype="uint8")
    return found


def assert_same(one: tuple[Regions, Arcs], other: tuple[Regions, Arcs]) -> None:
    """Every array of both is equal, to the bit."""
    for first, second, names in zip(one, other, ("value pixels first", "points offsets left right"), strict=True):
        for name in names.split():
            left, right = getattr(first, name), getattr(second, name)
            assert left.dtype == right.dtype, name
            assert np.array_equal(left, right), name
    if one[0].statistics is not None:
        assert other[0].statistics is not None
        for name in ("counted", "total", "least"):
            assert np.array_equal(getattr(one[0].statistics, name), getattr(other[0].statistics, name)), name


def assert_covers(shapes: NDArray[Any]) -> None:
    """All polygons are valid, and none overlaps another or fails to share its vertices."""
    assert shapely.is_valid(shapes).all()
    assert shapely.coverage_is_valid(shapes)


def corners(ring: Any) -> NDArray[np.float64]:
    """A ring's points without those in the middle of straight lines."""
    points = shapely.get_coordinates(ring)[:-1]
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    found: NDArray[np.float64] = points[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]
    return found


def without_straight(polygon: Any) -> Any:
    """A polygon as GDAL draws it: without the nodes on its straight lines."""
    return shapely.normalize(
        shapely.Polygon(corners(polygon.exterior), [corners(ring) for ring in polygon.interiors])
    )
