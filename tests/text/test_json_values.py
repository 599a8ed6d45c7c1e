"""Results as JSON: paths, arrays, dataclasses and named tuples; nan and the infinities become null."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from landseg.text.json_values import json_values


class Pair(NamedTuple):
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    ends: Pair


def test_values_of_a_program_in_the_types_of_json() -> None:
    value = {"path": Path("a") / "b", "list": (1, 2.5), "array": np.arange(3), "no": None, "inf": math.inf}
    expected = {"path": os.path.join("a", "b"), "list": [1, 2.5], "array": [0, 1, 2], "no": None, "inf": None}
    assert json_values(value) == expected
    assert json_values(np.array([[np.nan, 1]])) == [[None, 1.0]]
    assert json_values({1: np.float32(0.5), "set": (number for number in (1, 2))}) == {"1": 0.5, "set": [1, 2]}
    with pytest.raises(TypeError, match="no JSON for a object"):
        json_values(object())


def test_fields_of_dataclasses_and_named_tuples_keep_their_names() -> None:
    found = json_values([Result("a", Pair(0.5, math.nan))])
    assert found == [{"name": "a", "ends": {"low": 0.5, "high": None}}]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
