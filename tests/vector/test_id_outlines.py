"""Objects as polygons: all pixels of an id, whatever the strips, with borders that neighbours share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS
from shapely.geometry.base import BaseGeometry

from landseg.geo.grid import Grid
from landseg.geo.ruler import Ruler
from landseg.vector.id_outlines import EMPTY, NOTHING, OBJECT, IdShaping, trace_objects
from tests.parts.id_rasters import NO_DATA, PLACE, brute, on_edge, random_ids

SEEDS = range(8)
PLAIN = IdShaping()


def codes_of(ids: NDArray[Any]) -> NDArray[np.int64]:
    ids = np.asarray(ids, np.int64)
    return np.where(ids == NO_DATA, EMPTY, np.where(ids == 0, NOTHING, ids + OBJECT))


def cut(codes: NDArray[np.int64], height: int) -> Iterator[NDArray[np.int64]]:
    return (codes[top : top + height] for top in range(0, len(codes), height))


def drawn(
    ids: NDArray[Any], folder: Path, *, height: int = 1000, shaping: IdShaping = PLAIN
) -> dict[int, tuple[BaseGeometry, bool, int]]:
    """The polygon of each id (h, w), whether it touches the edge, and its pixels."""
    grid = Grid(CRS.from_epsg(32633), PLACE, ids.shape[1], ids.shape[0])
    found = trace_objects(
        cut(codes_of(ids), height), grid, shaping=shaping, ruler=Ruler.of(grid), work=folder
    )  # fmt: skip
    made: dict[int, tuple[BaseGeometry, bool, int]] = {}
    for part in found.outlines(PLACE):
        for code, shape, edge, pixels in zip(part.code, part.shapes, part.edge, part.pixels, strict=True):
            assert int(code - OBJECT) not in made
            made[int(code - OBJECT)] = shape, bool(edge), int(pixels)
    return made


def shapes_of(made: dict[int, tuple[BaseGeometry, bool, int]]) -> NDArray[Any]:
    return np.array([shape for shape, _, _ in made.values()], object)


@pytest.mark.parametrize("seed", SEEDS)
def test_polygons_are_those_of_brute_force(seed: int, tmp_path: Path) -> None:
    ids = random_ids(seed)
    made, right = drawn(ids, tmp_path, height=5), brute(ids)
    assert list(made) == sorted(right)
    assert all(shapely.equals(made[number][0], right[number]) for number in right)
    assert {number for number, (_, edge, _) in made.items() if edge} == on_edge(ids)
    assert [pixels for _, _, pixels in made.values()] == [int((ids == number).sum()) for number in made]
    assert any(shape.geom_type == "MultiPolygon" for shape, _, _ in made.values())
    assert shapely.is_valid(shapes_of(made)).all() and shapely.coverage_is_valid(shapes_of(made))


@pytest.mark.parametrize("shaping", [PLAIN, IdShaping(3, 2, 0.7), IdShaping(0, 1, 0, True)])
def test_strips_of_any_height_give_the_same(shaping: IdShaping, tmp_path: Path) -> None:
    ids = random_ids(3, 40, 33)
    whole = drawn(ids, tmp_path, shaping=shaping)
    for height in (1, 2, 7, 39):
        made = drawn(ids, tmp_path, height=height, shaping=shaping)
        assert list(made) == list(whole)
        assert [shapely.to_wkb(shape) for shape in shapes_of(made)] == [
            shapely.to_wkb(shape) for shape in shapes_of(whole)
        ]
        assert [row[1:] for row in made.values()] == [row[1:] for row in whole.values()]
    twin = drawn(ids[:20], tmp_path, shaping=shaping)  # a strip polygonized alone
    assert any(not shapely.equals(twin[number][0], whole[number][0]) for number in set(twin) & set(whole))


def overlap(shapes: NDArray[Any]) -> float:
    return float(shapely.area(shapes).sum() - shapely.area(shapely.union_all(shapes)))


@pytest.mark.parametrize("shaping", [IdShaping(simplify_m=0.8), IdShaping(smooth=True)])
def test_neighbours_keep_their_common_wall(shaping: IdShaping, tmp_path: Path) -> None:
    ids = random_ids(5, 60, 70, empty=0.0)
    made = shapes_of(drawn(ids, tmp_path, shaping=shaping))
    assert shapely.is_valid(made).all() and shapely.coverage_is_valid(made)
    assert (
        shapely.get_num_coordinates(made).sum() != shapely.get_num_coordinates(shapes_of(drawn(ids, tmp_path))).sum()
    )
    alone = shapely.simplify(shapes_of(drawn(ids, tmp_path)), 0.8)
    assert not shapely.coverage_is_valid(alone) and overlap(alone) > 1 > overlap(made)


RINGS = np.zeros((9, 22), np.int64)
RINGS[1:8, 1:8] = RINGS[1:8, 8:15] = RINGS[1:8, 15:22] = 1
RINGS[1:8, 8:15], RINGS[1:8, 15:22] = 2, 3
RINGS[3:5, 3:5] = 0  # in 1: nothing
RINGS[3:6, 10:13] = 0  # in 2: another object, and nothing around it
RINGS[4, 11] = 4
RINGS[3, 17:19], RINGS[5, 17:19] = 5, NO_DATA  # in 3: a small object, and no data


def holes(made: dict[int, tuple[BaseGeometry, bool, int]]) -> dict[int, int]:
    return {number: len(shape.interiors) for number, (shape, _, _) in made.items()}


@pytest.mark.parametrize(
    ("shaping", "expected"),
    [
        (IdShaping(), {1: 1, 2: 1, 3: 2, 4: 0, 5: 0}),
        (IdShaping(holes_m2=1.0), {1: 0, 2: 1, 3: 1, 4: 0, 5: 0}),
        (IdShaping(holes_m2=0.99), {1: 1, 2: 1, 3: 1, 4: 0, 5: 0}),
        (IdShaping(holes_m2=0.49), {1: 1, 2: 1, 3: 2, 4: 0, 5: 0}),
        (IdShaping(min_area_m2=1.0, holes_m2=0.5), {1: 1, 2: 1, 3: 0}),
        (IdShaping(min_area_m2=0.5, holes_m2=9.0), {1: 0, 2: 0, 3: 1, 5: 0}),
    ],
)  # fmt: skip
def test_holes_are_filled_where_no_other_polygon_lies_in_them(
    shaping: IdShaping, expected: dict[int, int], tmp_path: Path
) -> None:
    for height in (1, 4, 9):
        made = drawn(RINGS, tmp_path, height=height, shaping=shaping)
        assert holes(made) == expected
        assert overlap(shapes_of(made)) == 0 and shapely.coverage_is_valid(shapes_of(made))
        assert made[3][1] and made[1][1] is False and made[2][1] is False  # no data stays an edge, filled or not


def test_filling_every_hole_would_overlap(tmp_path: Path) -> None:
    twin = [shapely.Polygon(shape.exterior) for shape, _, _ in drawn(RINGS, tmp_path).values()]
    assert overlap(np.array(twin, object)) > 0


def test_an_open_bay_is_no_hole(tmp_path: Path) -> None:
    ids = np.full((5, 5), 9)
    ids[2, :3] = 0  # reaches the edge of the raster
    made = drawn(ids, tmp_path, shaping=IdShaping(holes_m2=100))
    assert shapely.area(made[9][0]) == 22 * 0.25


def filled(ids: NDArray[Any], largest: int) -> NDArray[Any]:
    """Ids (h, w) with holes of so many pixels at most filled, pixel by pixel."""
    found, seen = ids.copy(), ids > 0
    for start in zip(*np.nonzero(ids == 0), strict=True):
        hole, waiting, around = set(), [start], set()
        while waiting:
            row, column = waiting.pop()
            if not (0 <= row < ids.shape[0] and 0 <= column < ids.shape[1]):
                around.add(-1)
            elif ids[row, column]:
                around.add(int(ids[row, column]))
            elif (row, column) not in hole and not seen[row, column]:
                hole.add((row, column))
                waiting += [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
        for place in hole:
            seen[place] = True
            if len(around) == 1 and -1 not in around and len(hole) <= largest:
                found[place] = max(around)
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_filled_holes_are_those_of_brute_force(seed: int, tmp_path: Path) -> None:
    ids = random_ids(seed, 30, 30, empty=0.25)
    ids[ids == NO_DATA] = 0
    made, right = drawn(ids, tmp_path, height=7, shaping=IdShaping(holes_m2=1.0)), filled(ids, 4)
    expected = brute(right)
    assert (right != ids).any() and list(made) == sorted(expected)
    assert all(shapely.equals(made[number][0], expected[number]) for number in expected)
    assert [pixels for _, _, pixels in made.values()] == [int((right == number).sum()) for number in made]
    twin = brute(ids)  # none filled
    assert any(not shapely.equals(made[number][0], twin[number]) for number in twin)


def test_nothing_gives_nothing(tmp_path: Path) -> None:
    assert drawn(np.zeros((3, 4), int), tmp_path, shaping=IdShaping(1, 1, 1, True)) == {}
    assert drawn(np.full((3, 4), NO_DATA), tmp_path) == {}
