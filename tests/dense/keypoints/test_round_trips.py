"""Objects into perfect maps and back, by each system: people who touch, houses, and the polygons of a town."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from landseg.dense.keypoints.skeletons import OUTLINE, PERSON, RECTANGLE
from landseg.vector.corners import outline_corners, rectangle_corners
from tests.parts.keypoints import EXACT, PERFECT, Floats, Shape, crowd, farthest_apart, houses

PEOPLE, TOWN = (42, 60), (40, 60)
OF_RECTANGLES = [name for name in PERFECT if name != "paf"]
OF_HOLES = [name for name in PERFECT if name != "centre_corners"]
UNIT_M = 0.52  # four pixels of 0.13 m


@pytest.mark.parametrize("name", PERFECT)
@given(seed=st.integers(0, 2**32 - 1), apart=st.sampled_from([4.0, 6.0, 8.0, 11.0]))
@settings(max_examples=8, deadline=None)
def test_people_who_touch_get_17_joints_each_and_none_of_another(name: str, seed: int, apart: float) -> None:
    people = crowd(seed, 3, apart)
    system, maps = PERFECT[name](people, PERSON, PEOPLE)
    found = system.decode(maps)
    assert farthest_apart(found, people, PERSON) <= EXACT
    swapped = [one.copy() for one in people]  # the twin: two people with each other's nose
    swapped[0][0], swapped[1][0] = people[1][0], people[0][0]
    assert farthest_apart(found, swapped, PERSON) > EXACT


@pytest.mark.parametrize("name", OF_RECTANGLES)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_rectangles_come_back(name: str, seed: int) -> None:
    objects = houses(seed)
    system, maps = PERFECT[name](objects, RECTANGLE, TOWN)
    assert farthest_apart(system.decode(maps), objects, RECTANGLE) <= EXACT


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_outlines_come_back(seed: int) -> None:
    objects = houses(seed)
    system, maps = PERFECT["paf"](objects, OUTLINE, TOWN)
    found = system.decode(maps)
    assert farthest_apart(found, objects, OUTLINE) <= EXACT
    assert farthest_apart(found, [one[::-1] for one in objects], OUTLINE) > EXACT  # the twin: the other way round


@pytest.mark.parametrize("name", OF_HOLES)
@pytest.mark.parametrize("seed", range(4))
def test_joints_that_are_not_there_are_not_made_up(name: str, seed: int) -> None:
    people, random = crowd(seed, 3, 8.0), np.random.default_rng(seed)
    for one in people:
        one[random.choice([0, 9, 10, 15, 16], 2, replace=False)] = np.nan  # a nose, and the ends of limbs
    system, maps = PERFECT[name](people, PERSON, PEOPLE)
    found = system.decode(maps).each()
    assert len(found) == 3
    for one in people:
        errors = [np.abs(np.nan_to_num(other, nan=-99) - np.nan_to_num(one, nan=-99)).max() for other in found]
        assert min(errors) <= EXACT


@pytest.fixture(scope="module")
def town(sample_tiles: Path) -> tuple[list[Floats], list[Floats]]:
    """The rectangles and outlines of 342 houses of Banepa, in units, rows downwards, where they stand."""
    frame = geopandas.read_file(sample_tiles / "buildings" / "buildings.gpkg").to_crs(32645)
    polygons = np.asarray(frame.geometry)
    left, _, _, top = shapely.total_bounds(polygons)

    def to_units(corners: Sequence[Floats]) -> list[Floats]:
        return [(one - [left, top]) * [1, -1] / UNIT_M + 8 for one in corners]

    outlines = outline_corners(polygons, tolerance_m=0.5, crs=frame.crs)
    return to_units(list(rectangle_corners(polygons, crs=frame.crs))), to_units(outlines)


def clear(objects: Sequence[Floats], angle: float = 0.0) -> list[Floats]:
    """Return the objects with corners at least 3 units apart, and with angles of at least so many degrees."""
    kept = []
    for one in objects:
        apart = np.linalg.norm(one[:, None] - one, axis=2) + 3 * np.eye(len(one))
        if len(one) < 3 or apart.min() < 3:
            continue
        back, on = (np.roll(one, shift, axis=0) - one for shift in (1, -1))
        cosine = (back * on).sum(axis=1) / np.linalg.norm(back, axis=1) / np.linalg.norm(on, axis=1)
        if np.degrees(np.arccos(np.clip(cosine, -1, 1))).min() >= angle:
            kept.append(one)
    return kept


def laid_out(objects: Sequence[Floats]) -> list[Floats]:
    """Return objects in rows, at least 4 units apart and not in line."""
    random, made, place, lowest = np.random.default_rng(0), list[Floats](), np.array([4.0, 8.0]), 0.0
    for one in objects:
        low, size = one.min(axis=0), one.max(axis=0) - one.min(axis=0)
        if place[0] + size[0] > 500:
            place, lowest = np.array([4.0, place[1] + lowest + 8]), 0.0
        made.append(one - low + place + [0, random.uniform(-2, 2)])
        place, lowest = place + np.array([size[0] + 4, 0]), max(lowest, float(size[1]))
    return made


def extent(objects: Sequence[Floats]) -> Shape:
    columns, rows = np.ceil(np.concatenate(list(objects)).max(axis=0)).astype(int) + 8
    return int(rows), int(columns)


@pytest.mark.parametrize("name", OF_RECTANGLES)
def test_the_rectangles_of_a_town_come_back(name: str, town: tuple[list[Floats], list[Floats]]) -> None:
    objects = laid_out(clear(town[0]))
    assert len(objects) > 320
    system, maps = PERFECT[name](objects, RECTANGLE, extent(objects))
    assert farthest_apart(system.decode(maps), objects, RECTANGLE) <= EXACT


def test_the_outlines_of_a_town_come_back(town: tuple[list[Floats], list[Floats]]) -> None:
    objects = laid_out(clear(town[1], angle=45))
    assert len(objects) > 240 and max(map(len, objects)) > 7
    system, maps = PERFECT["paf"](objects, OUTLINE, extent(objects))
    assert farthest_apart(system.decode(maps), objects, OUTLINE) <= EXACT
