"""The class table: indices, values, nodata, JSON."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landseg.classes import IGNORE_INDEX, ClassMap, LandClass
from landseg.errors import ClassError

GREY = (90, 90, 90)


def table(*values: int, ignore: tuple[int, ...] = ()) -> ClassMap:
    return ClassMap(tuple(LandClass(value, f"class {value}", GREY) for value in values), ignore)


def test_indices_follow_the_order_of_the_table() -> None:
    indices = table(5, 2, 9, ignore=(0,)).to_indices(np.array([[2, 5], [9, 0]], np.uint8))
    assert indices.dtype == np.uint8
    assert indices.tolist() == [[1, 0], [2, IGNORE_INDEX]]


@pytest.mark.parametrize(
    ("values", "nodata", "dtype"),
    [
        ((1, 2), 0, "uint8"),
        ((1, 255), 0, "uint8"),
        ((0, 1), 255, "uint8"),
        ((0, 255), 65535, "uint16"),
        ((0, 300), 65535, "uint16"),
        ((0, 255, 65535), 65534, "uint16"),
        ((1, 300), 0, "uint16"),
    ],
)
def test_nodata_is_a_value_that_no_class_uses(values: tuple[int, ...], nodata: int, dtype: str) -> None:
    assert (table(*values).nodata, table(*values).dtype) == (nodata, dtype)


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=40, unique=True), st.randoms())
def test_values_survive_the_way_through_indices(values: list[int], random: object) -> None:
    classes = table(*values)
    pixels = np.array([*values, classes.nodata, values[0]], dtype=classes.dtype)
    indices, strange = classes.to_indices_and_unmapped(pixels, pixels != classes.nodata)
    assert strange == {} and classes.to_indices_and_unmapped(pixels)[1] == {classes.nodata: 1}
    back = classes.to_values(indices)
    assert back.dtype == classes.dtype
    assert (back == pixels).all()


def test_invalid_and_ignored_pixels_become_nodata() -> None:
    classes = table(1, 2, ignore=(7,))
    assert classes.to_indices(np.array([7, 1])).tolist() == [IGNORE_INDEX, 0]
    assert classes.to_values(np.array([0, 1, 255]), np.array([True, False, True])).tolist() == [1, 0, 0]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int64", "uint64", "float32", "float64"])
def test_every_dtype_of_label_raster_is_read_alike(dtype: str) -> None:
    values = np.array([3, 1, 0], dtype)
    assert table(1, 3, ignore=(0,)).to_indices(values).tolist() == [1, 0, IGNORE_INDEX]
    with pytest.raises(ClassError, match=r"without a class: 0 \(1 px\); .*\(ignore = \[0\]; or --ignore 0\)$"):
        table(1, 3).to_indices(values)


def test_nan_and_negative_ignored_values_are_unlabelled() -> None:
    assert table(1, ignore=(-9999,)).to_indices(np.array([np.nan, -9999, 1])).tolist() == [255, 255, 0]


@pytest.mark.parametrize("strange", [7, -1, 70000, 1.5, np.inf])
def test_unknown_values_are_listed_with_their_counts(strange: float) -> None:
    values = np.array([1, strange, strange])
    with pytest.raises(ClassError, match=r"\(2 px\); expected 1"):
        table(1).to_indices(values)


def test_indices_beyond_the_table_are_refused() -> None:
    with pytest.raises(ClassError, match=r"outside 0\.\.1"):
        table(1, 2).to_values(np.array([2]))


@pytest.mark.parametrize(
    "broken",
    [
        [],
        [{"value": 1}],
        ["water"],
        "water",
        None,
        {"classes": None},
        [{"value": 1, "name": "a"}, {"value": 1, "name": "b"}],
        [{"value": 1, "name": "a"}, {"value": 2, "name": "a"}],
        [{"value": -1, "name": "a"}],
        [{"value": 65536, "name": "a"}],
        [{"value": 1.5, "name": "a"}],
        [{"value": True, "name": "a"}],
        [{"value": 1, "name": " "}],
        [{"value": 1, "name": 3}],
        [{"value": 1, "name": "a", "color": [0, 0, 256]}],
        [{"value": 1, "name": "a", "color": [0, 0]}],
        [{"value": 1, "name": "a", "color": "#12"}],
        [{"value": 1, "name": "a", "color": "red"}],
        [{"value": 1, "name": "a", "color": 5}],
        {"classes": [{"value": 1, "name": "a"}], "ignore": [1]},
        {"classes": [{"value": 1, "name": "a"}], "ignore": ["x"]},
        [{"value": n, "name": str(n)} for n in range(255)],
    ],
)
def test_a_table_that_contradicts_itself_is_refused(broken: object) -> None:
    with pytest.raises(ClassError):
        ClassMap.from_json(broken)


def test_json_keeps_everything() -> None:
    classes = ClassMap((LandClass(1, "eau", (0, 1, 255)), LandClass(4, "Straße", GREY)), ignore=(9, -1))
    assert ClassMap.from_json(json.loads(json.dumps(classes.to_json()))) == classes


def test_json_written_by_hand() -> None:
    classes = ClassMap.from_json([{"value": 1, "name": "a", "color": "#ff0010"}, {"value": 2, "name": "b"}])
    assert classes.colors[0] == (255, 0, 16)
    assert classes.colors[1] != classes.colors[0]
