"""Colours of classes: those that people expect of a name, and distinct ones for all others."""

from __future__ import annotations

import colorsys
import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from landseg.classes import ClassMap
from landseg.text.class_colors import colors_of, expected_color

# Linear RGB as people without the green (deuteranopia) or the red cones (protanopia) see it: Viénot, Brettel and
# Mollon 1999, "Digital video colourmaps for checking the legibility of displays by dichromats".
_BLIND = {
    "deuteranopia": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
    "protanopia": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
}


def hue(color: tuple[int, int, int]) -> str:
    return ("red", "green", "blue")[int(np.argmax(color))]


def seen(color: tuple[int, int, int], blindness: str) -> NDArray[np.float64]:
    linear = (np.array(color) / 255) ** 2.2
    return 255 * np.clip(np.array(_BLIND[blindness]) @ linear, 0, 1) ** (1 / 2.2)


def nearest(colors: list[tuple[int, int, int]], blindness: str) -> float:
    made = [seen(color, blindness) for color in colors]
    return min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(made, 2))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(("water", "blue"), ("Rivers", "blue"), ("lake/pond", "blue"), ("WATER_BODY", "blue")),
        ("open water", "blue"),
        *(("forest", "green"), ("Tree canopy", "green"), ("low vegetation", "green"), ("Grassland", "green")),
        *(("building", "red"), ("built-up", "red"), ("Buildings", "red"), ("urban", "red"), ("roofs", "red")),
        *(("bare soil", "red"), ("agriculture", "red"), ("croplands", "red")),  # browns and ochres are reddest
    ],
)
def test_names_have_the_colours_that_people_expect(name: str, expected: str) -> None:
    color = expected_color(name)
    assert color is not None and hue(color) == expected


@pytest.mark.parametrize("name", ["", "7", "carpet", "iceland", "landfill", "class 3", "non-forest", "not water"])
def test_other_names_have_none(name: str) -> None:
    assert expected_color(name) is None


def test_greys_are_grey_and_snow_is_white() -> None:
    road, snow = expected_color("road"), expected_color("snow and ice")
    assert road is not None and max(road) - min(road) < 12
    assert snow is not None and min(snow) > 215


def test_two_names_of_one_meaning_get_two_shades() -> None:
    forest, woods, trees = colors_of(["forest", "woods", "trees"])
    assert len({forest, woods, trees}) == 3 and {hue(color) for color in (forest, woods, trees)} == {"green"}


@pytest.mark.parametrize("blindness", list(_BLIND))
def test_up_to_seven_names_without_a_meaning_are_told_apart_by_the_colour_blind(blindness: str) -> None:
    assert nearest(colors_of([f"class {number}" for number in range(7)]), blindness) > 35
    # As classes had them before:
    hues = [colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.65, 0.9) for number in range(7)]
    twin = [(round(255 * red), round(255 * green), round(255 * blue)) for red, green, blue in hues]
    assert nearest(twin, blindness) < 35


def test_fifty_classes_have_fifty_colours_and_none_is_that_of_a_table() -> None:
    rows = [{"value": number + 1, "name": f"kind {number}"} for number in range(50)]
    rows[7] |= {"color": "#e69f00"}  # what the first of the others would have had
    table = ClassMap.from_json(rows)
    assert len(set(table.colors)) == 50 and table.colors[7] == (230, 159, 0)
    distances = [np.linalg.norm(np.subtract(a, b)) for a, b in itertools.combinations(table.colors, 2)]
    assert min(distances) > 12


def test_a_table_without_colours_is_blue_where_water_is() -> None:
    table = ClassMap.from_json([{"value": 1, "name": "water"}, {"value": 2, "name": "forest"}])
    assert [hue(color) for color in table.colors] == ["blue", "green"]
