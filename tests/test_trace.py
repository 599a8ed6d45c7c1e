"""Polygons: what is traced is what was there, however it was cut."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.features import rasterize

from landseg.geo.trace import trace

small = arrays("uint8", st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 2))


def burnt(regions: Any, shape: tuple[int, int]) -> Any:
    shapes = [(polygon, value) for value, polygon in regions]
    return rasterize(shapes, shape, dtype="uint8") if shapes else np.zeros(shape, "uint8")


def cut(image: Any, rows: list[int]) -> list[Any]:
    edges = sorted({0, image.shape[0], *(row for row in rows if row < image.shape[0])})
    return [image[top:bottom] for top, bottom in itertools.pairwise(edges)]


def same_regions(image: Any, strips: list[Any], tracer: Callable[..., Any] = trace) -> None:
    """Rasterising the polygons gives the raster back, and they do not depend on the strips."""
    whole, parts = list(trace([image], nodata=0)), list(tracer(strips, nodata=0))
    assert np.array_equal(burnt(parts, image.shape), image)
    assert len(parts) == len(whole)

    def order(region: Any) -> Any:
        return region[0], shapely.normalize(region[1]).bounds, region[1].area

    for (value, polygon), (other, joined) in zip(sorted(whole, key=order), sorted(parts, key=order), strict=True):
        assert value == other
        assert joined.geom_type == "Polygon" and joined.is_valid
        assert joined.equals(polygon)
        assert len(shapely.get_coordinates(joined)) == len(shapely.get_coordinates(polygon))


@given(image=small, rows=st.lists(st.integers(1, 12), max_size=4))
def test_polygons_do_not_depend_on_the_cut(image: Any, rows: list[int]) -> None:
    same_regions(image, cut(image, rows))


def test_twin_polygons_cut_at_the_strips_are_caught() -> None:
    def cut_trace(strips: list[Any], *, nodata: int) -> Any:
        top = 0
        for strip in strips:
            for value, polygon in trace([strip], nodata=nodata):
                yield value, shapely.transform(polygon, lambda points, top=top: points + np.array([0, top]))
            top += len(strip)

    image = np.ones((4, 3), "uint8")
    same_regions(image, [image[:2], image[2:]])
    with pytest.raises(AssertionError):
        same_regions(image, [image[:2], image[2:]], cut_trace)


def test_twin_polygons_half_a_pixel_off_are_caught() -> None:
    def shifted(strips: list[Any], *, nodata: int) -> Any:
        for value, polygon in trace(strips, nodata=nodata):
            yield value, shapely.transform(polygon, lambda points: points + 0.6)

    image = np.pad(np.ones((4, 3), "uint8"), 2)
    with pytest.raises(AssertionError):
        same_regions(image, [image], shifted)


def test_a_ring_across_strips_keeps_its_hole() -> None:
    image = np.ones((6, 6), "uint8")
    image[2:4, 2:4] = 2
    regions = dict(trace([image[:3], image[3:]], nodata=0))
    assert regions[1].equals(shapely.box(0, 0, 6, 6) - shapely.box(2, 2, 4, 4))
    assert regions[2].equals(shapely.box(2, 2, 4, 4))
    assert len(shapely.get_coordinates(regions[1])) == 10
