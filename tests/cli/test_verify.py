"""`landseg verify` as a program."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.parts.commands import run
from tests.parts.predicting import noise

pytestmark = pytest.mark.usefixtures("small_default_model")
Write = Callable[..., Path]


def test_json_carries_the_three_figures(write_raster: Write) -> None:
    source = write_raster(noise(200, 220))
    code, out, err = run("verify", source, "--window", "64", "--size", "150x180", "--device", "cpu", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["exact"] is True and found["max_abs_diff"] < 1e-4 and found["class_disagreement"] <= 1e-5
    assert found["crop"][2:] == [150, 180]


def test_words_and_wrong_sizes(write_raster: Write) -> None:
    source = write_raster(noise(120, 130))
    code, out, _ = run("verify", source, "--window", "64", "--size", "100", "--device", "cpu")
    assert code == 0 and "whole image: exact" in out
    code, _, err = run("verify", source, "--size", "big")
    assert code == 1 and "--size big: expected a number or HEIGHTxWIDTH" in err and err.count("\n") == 1
    assert run("verify", source, "--size", "0")[0] == 1
