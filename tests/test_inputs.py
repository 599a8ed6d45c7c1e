"""A raster as a model reads it, and what is said where the card's resolution cannot be applied."""

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_predict import noise, small_model

from landseg.errors import GridError
from landseg.inputs import match

Write = Callable[..., Path]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # from writing the raster
@pytest.mark.parametrize(
    ("place", "card", "told"),
    [
        ({"crs": None}, {"resolution_m": 0.25}, True),
        ({"crs": None}, {}, False),
        ({}, {"resolution_m": 0.25}, False),
    ],
)
def test_a_resolution_that_is_not_applied_is_spoken_of(
    place: dict[str, Any], card: dict[str, Any], told: bool, write_raster: Write, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "landseg")
    log = logging.getLogger("landseg")
    before, log.propagate = log.propagate, True  # a command that ran earlier may have turned it off
    try:
        with match(write_raster(noise(20, 30), **place), small_model(**card).card) as matched:
            assert matched.placement.factor == (1.0 if place or not card else pytest.approx(0.5, rel=0.01))
    finally:
        log.propagate = before
    assert ("0.25 m a pixel of model small were not applied" in caplog.text) == told


@pytest.mark.parametrize("metres", [math.inf, math.nan, 0.0, -2.0])
def test_a_resolution_is_positive(metres: float, write_raster: Write) -> None:
    with pytest.raises(GridError, match=r"--resolution .*: expected a positive number of metres"):
        match(write_raster(noise(20, 30)), small_model().card, resolution_m=metres)
