"""Instances: the maps of an output, and the objects of two outputs compared."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX, ClassMap, LandClass
from landseg.dense.instances import Instances
from landseg.errors import ModelError
from landseg.models.heads import Heads

HOUSE, GROUND = LandClass(1, "house", (200, 0, 0), thing=True), LandClass(2, "ground", (90, 90, 90))
TASK = Instances(ClassMap((HOUSE, GROUND)), {"rise": 0.3})


def output(interior: list[list[float]], house: list[list[float]]) -> NDArray[np.float32]:
    """Return an output (4, h, w) by interiors from 0 to 1 and logits of the house against the ground."""
    energy = np.clip(np.array(interior, np.float32), 1e-6, 1 - 1e-6)
    logits = np.array(house, np.float32)
    return np.stack([logits, np.zeros_like(logits), np.log(energy / (1 - energy)), np.full_like(logits, -20)])


TWO = output([[0.9, 0.1, 0.9, 0.5]], [[3, 3, 3, -3]])


def test_heads_are_classes_interior_and_boundary() -> None:
    assert TASK.heads == Heads((("classes", 2), ("interior", 1), ("boundary", 1)))


def test_a_table_without_a_thing_has_no_instances() -> None:
    with pytest.raises(ModelError, match="needs a class of things: say thing = true"):
        Instances(ClassMap((GROUND,)), {})


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("rise", "abc", "of 0 or more"),
        ("rise", -0.1, "of 0 or more"),
        ("score", 3, "from 0 to 1"),
        ("score", True, "from 0 to 1"),
        ("min_area_m2", math.nan, "from 0 to 1e"),
        ("border", 0, "from 0.5"),
    ],
)
def test_options_that_mean_nothing_are_refused(option: str, value: object, expected: str) -> None:
    with pytest.raises(ModelError, match=f"{option} of the task 'instances' is .*: expected a number {expected}"):
        Instances(TASK.classes, {option: value})


def test_a_rise_without_end_gives_pieces() -> None:
    assert Instances(TASK.classes, {"rise": math.inf}).options["rise"] == math.inf


def test_maps_hold_shares_of_whole_numbers_and_no_class_without_data() -> None:
    maps = TASK.maps(TWO, np.array([[True, True, False, True]]))
    assert maps.classes.tolist() == [[0, 0, IGNORE_INDEX, 1]]
    assert maps.energy[0].tolist() == [round(0.9 * 65535), round(0.1 * 65535), round(0.9 * 65535), 32768]
    assert maps.probability[0].tolist() == [round(255 / (1 + np.exp(-3)))] * 4
    assert maps.boundary.max() == 0


@pytest.mark.parametrize(("energy", "expected"), [("interior", 0.9), ("boundary", 0.4), ("mean", 0.65)])
def test_the_energy_is_the_interior_or_what_is_no_boundary(energy: str, expected: float) -> None:
    made = output([[0.9]], [[3]])
    made[3] = np.log(0.6 / 0.4)
    maps = Instances(TASK.classes, {"energy": energy}).maps(made, np.ones((1, 1), bool))
    assert maps.energy.item() == pytest.approx(expected * 65535, abs=1)
    assert maps.boundary.item() == 153  # whatever the energy is
    assert TASK.maps(made, np.ones((1, 1), bool), energy=energy).energy.item() == maps.energy.item()


def test_an_unknown_energy_is_refused() -> None:
    with pytest.raises(ModelError, match="energy of the task 'instances' is 'middle': expected one of interior"):
        Instances(TASK.classes, {"energy": "middle"})


def test_objects_are_compared_by_their_pixels() -> None:
    valid = np.ones((1, 4), bool)
    same = TASK.agreement(TWO + 1e-6, TWO, valid, tie=1e-4)
    assert (same.objects, same.objects_differing) == (2, 0) and not same.differs.any()
    joined = output([[0.9, 0.8, 0.9, 0.5]], [[3, 3, 3, -3]])  # the saddle is too high: one house of the two
    found = TASK.agreement(joined, TWO, valid, tie=1e-4)
    assert (found.objects, found.objects_differing) == (2, 2) and not found.differs.any()
    back = TASK.agreement(TWO, joined, valid, tie=1e-4)
    assert (back.objects, back.objects_differing) == (1, 1)
