"""Results as JSON values and as tables of a notebook."""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from landseg.text.results import html_table, json_values, one_line


class Bin(NamedTuple):
    pixels: int
    rate: float


@dataclass
class Found:
    bins: tuple[Bin, ...]


def test_values_of_results_become_json() -> None:
    value = {"path": Path("a") / "b", "list": (1, 2.5), "array": np.arange(3), "no": None, "inf": math.inf}
    expected = {"path": os.path.join("a", "b"), "list": [1, 2.5], "array": [0, 1, 2], "no": None, "inf": None}
    assert json_values(value) == expected
    assert json_values(np.array([[np.nan, 1]])) == [[None, 1.0]]
    assert json_values(Found((Bin(2, math.nan),))) == {"bins": [{"pixels": 2, "rate": None}]}
    with pytest.raises(TypeError):
        json_values(object())


def test_a_line_is_one_line_and_short() -> None:
    assert one_line("Evaluation of", "a\nb", None, "c") == "<Evaluation of a b, c>"
    text = one_line("Evaluation of", "x" * 400)
    assert len(text) < 300 and text.endswith(" ...>")


def test_texts_in_a_table_are_harmless() -> None:
    text = html_table("<b>", ["class", "n"], [["<script>", None]])
    assert "<script>" not in text and "<b>" not in text and "&lt;script&gt;" in text
