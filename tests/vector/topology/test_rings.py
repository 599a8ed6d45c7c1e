from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.features import shapes

from landseg.vector.topology import traversal
from landseg.vector.topology.arcs import Arcs
from landseg.vector.topology.regions import Regions
from landseg.vector.topology.rings import build_polygons
from tests.parts.topology import assert_covers, burned, noise, rasters, shapes_of, traced, without_straight

SAMPLE = Path(__file__).resolve().parents[3] / "sample_tiles/landcover/train/tile1_part9_labels.png"
# A region that touches itself across a corner, from within and from without.
PINCHED = np.array([[1, 1, 1, 1], [1, 2, 1, 1], [1, 1, 2, 1], [1, 1, 1, 3], [1, 1, 3, 1]], np.uint8)


def check_polygons(classes: np.ndarray, connectivity: int, move: float = 0.0) -> None:
    """The polygons are valid, cover each place once, and give the raster back."""
    regions, arcs = traced(classes, connectivity=connectivity)
    arcs = Arcs(arcs.points + move, arcs.offsets, arcs.left, arcs.right)
    made = shapes_of(regions, arcs)
    assert_covers(made)
    assert np.array_equal(shapely.area(made), regions.pixels)
    assert np.array_equal(burned(regions, made, classes.shape), classes)


@settings(max_examples=60, deadline=None)
@given(rasters(), st.sampled_from([4, 8]))
def test_rasterised_polygons_are_the_raster(classes: np.ndarray, connectivity: int) -> None:
    check_polygons(classes, connectivity)


def check_some(classes: np.ndarray, connectivity: int, only: np.ndarray, chunk: int) -> None:
    """Polygons of some regions are those that all regions have there, whatever the chunks."""
    regions, arcs = traced(classes, connectivity=connectivity)
    every = shapes_of(regions, arcs)
    made = [(part, shapes) for part, shapes in build_polygons(regions, arcs, only=only, chunk=chunk)]
    assert [number for part, _ in made for number in range(part.start, part.stop)] == list(range(len(only)))
    found = np.concatenate([np.zeros(0, object), *(shapes for _, shapes in made)])
    assert np.array_equal(shapely.to_wkb(found), shapely.to_wkb(every[np.flatnonzero(regions.value == 1)]))


@settings(max_examples=30, deadline=None)
@given(rasters(), st.sampled_from([4, 8]), st.sampled_from([1, 40, 10_000]))
def test_some_polygons_are_those_of_the_whole(classes: np.ndarray, connectivity: int, chunk: int) -> None:
    regions, _ = traced(classes, connectivity=connectivity)
    check_some(classes, connectivity, np.flatnonzero(regions.value == 1), chunk)


def test_others_are_not() -> None:
    regions, _ = traced(PINCHED, connectivity=4)
    with pytest.raises(AssertionError):
        check_some(PINCHED, 4, np.flatnonzero(regions.value == 2), 40)


@pytest.mark.parametrize("connectivity", [4, 8])
def test_the_same_on_a_larger_raster(connectivity: int) -> None:
    check_polygons(noise(1, height=150, width=130), connectivity)
    check_polygons(PINCHED, connectivity)


@pytest.mark.parametrize("connectivity", [4, 8])
def test_the_same_on_real_land_cover(connectivity: int) -> None:
    with Image.open(SAMPLE) as picture:
        classes = np.asarray(picture)[100:400, 50:450]
    check_polygons(classes, connectivity)


@pytest.mark.parametrize("connectivity", [4, 8])
def test_twin_shifted_by_a_pixel_they_are_not(connectivity: int) -> None:
    with pytest.raises(AssertionError):
        check_polygons(noise(1), connectivity, move=1.0)


@pytest.mark.parametrize("connectivity", [4, 8])
def test_twin_rings_that_are_not_parted_touch_themselves(connectivity: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traversal, "_part_pinched", lambda *_: False)
    with pytest.raises(AssertionError):
        check_polygons(PINCHED, connectivity)


def reference(classes: np.ndarray) -> list[tuple[int, str]]:
    """GDAL's polygons."""
    found = shapes(classes, mask=classes != 0, connectivity=4)
    return sorted((int(value), shapely.normalize(shapely.geometry.shape(made)).wkt) for made, value in found)


def ours(classes: np.ndarray) -> list[tuple[int, str]]:
    """landseg's, without the nodes that GDAL does not draw."""
    regions, arcs = traced(classes)
    made = shapes_of(regions, arcs)
    return sorted((int(v), without_straight(shape).wkt) for v, shape in zip(regions.value, made, strict=True))


@settings(max_examples=60, deadline=None)
@given(rasters())
def test_gdal_finds_the_same_polygons(classes: np.ndarray) -> None:
    assert ours(classes) == reference(classes)


def test_twin_gdal_finds_others_in_another_raster() -> None:
    classes = noise(3)
    assert ours(classes) == reference(classes)
    classes[5, 5] = classes[5, 5] % 3 + 1
    assert ours(classes) != reference(noise(3))


def test_twin_without_nodes_it_is_no_coverage() -> None:
    classes = np.array([[1, 1], [2, 3]], np.uint8)
    made = shapes_of(*traced(classes))
    assert_covers(made)
    with pytest.raises(AssertionError):
        assert_covers(np.array([without_straight(shape) for shape in made]))


def test_diagonal_neighbours_are_multipolygons() -> None:
    regions, arcs = traced(np.array([[1, 2], [2, 1]], np.uint8), connectivity=8)
    made = shapes_of(regions, arcs)
    assert [shape.geom_type for shape in made] == ["MultiPolygon", "MultiPolygon"]
    assert shapely.get_num_geometries(made).tolist() == [2, 2]
    assert {shape.geom_type for shape in shapes_of(*traced(np.array([[1, 2], [2, 1]], np.uint8)))} == {"Polygon"}


def test_holes_of_several_polygons_of_one_region() -> None:
    ring = np.ones((5, 5), np.uint8)
    ring[1:4, 1:4] = 2
    ring[2, 2] = 1  # an island in the hole: a region of its own
    classes = np.zeros((10, 10), np.uint8)
    classes[:5, :5] = classes[5:, 5:] = ring
    regions, arcs = traced(classes, connectivity=8)
    made = shapes_of(regions, arcs)
    assert regions.pixels.tolist() == [32, 8, 1, 8, 1]
    assert made[0].geom_type == "MultiPolygon"
    assert [len(part.interiors) for part in made[0].geoms] == [1, 1]
    assert made[0].is_valid


def test_rings_on_a_map_run_as_they_should() -> None:
    regions, arcs = traced(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8))
    place = Affine(0.5, 0, 1000, 0, -0.5, 2000)
    [(part, [shape])] = list(build_polygons(regions, arcs, place))
    assert part == slice(0, 1)
    assert shape.bounds == (1000, 1998.5, 1001.5, 2000)
    assert shape.exterior.is_ccw
    assert not shape.interiors[0].is_ccw


def check_chunks(make: Callable[..., Any]) -> None:
    """Chunks follow one another, are small but for one large region, and hold what is made at once."""
    regions, arcs = traced(noise(4))
    [(_, whole)] = list(make(regions, arcs, chunk=1 << 20))
    parts = list(make(regions, arcs, chunk=100))
    assert [part.start for part, _ in parts[1:]] == [part.stop for part, _ in parts[:-1]]
    assert (parts[0][0].start, parts[-1][0].stop) == (0, len(regions))
    assert len(parts) > 10
    assert all(len(made) == 1 or shapely.get_num_coordinates(made).sum() <= 100 for _, made in parts)
    assert shapely.equals_exact(np.concatenate([made for _, made in parts]), whole).all()


def test_chunks_are_small_and_cut_nothing() -> None:
    check_chunks(build_polygons)


def late(regions: Regions, arcs: Arcs, *, chunk: int) -> Iterator[tuple[slice, Any]]:
    """Broken on purpose: each chunk but the first loses its first region to none."""
    for part, made in build_polygons(regions, arcs, chunk=chunk):
        yield (part, made) if part.start == 0 else (slice(part.start + 1, part.stop), made[1:])


def swapped(regions: Regions, arcs: Arcs, *, chunk: int) -> Iterator[tuple[slice, Any]]:
    """Broken on purpose: the shapes of a chunk in another order."""
    yield from ((part, made[::-1]) for part, made in build_polygons(regions, arcs, chunk=chunk))


@pytest.mark.parametrize("broken", [late, swapped, lambda *some, chunk: build_polygons(*some, chunk=1 << 20)])
def test_twin_chunks_that_lose_or_swap_or_grow(broken: Callable[..., Any]) -> None:
    with pytest.raises(AssertionError):
        check_chunks(broken)
