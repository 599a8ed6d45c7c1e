"""A raster as a model reads it, and what is said where the card's resolution cannot be applied."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from landseg.errors import GridError
from landseg.inference.match import match_raster
from tests.parts.predicting import noise, small_model

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
    place: dict[str, Any], card: dict[str, Any], told: bool, write_raster: Write, heard: list[str]
) -> None:
    with match_raster(write_raster(noise(20, 30), **place), small_model(**card).card) as matched:
        assert matched.placement.factor == (1.0 if place or not card else pytest.approx(0.5, rel=0.01))
    assert ("0.25 m a pixel of model small were not applied" in " ".join(heard)) == told


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # from writing the raster
def test_an_unknown_resolution_is_spoken_of_once_and_not_where_it_was_said(
    write_raster: Write, heard: list[str]
) -> None:
    path, card = write_raster(noise(20, 30), crs=None), small_model().card
    match_raster(path, card, source_resolution_m=0.5).close()
    assert not heard
    for _ in range(2):
        match_raster(path, card).close()
    unknown = "its resolution is unknown; say it by --source-resolution METRES"
    assert heard == [f"{path.name} has no usable coordinate system: {unknown}"]


@pytest.mark.parametrize("metres", [math.inf, math.nan, 0.0, -2.0])
def test_a_resolution_is_positive(metres: float, write_raster: Write) -> None:
    with pytest.raises(GridError, match=r"--resolution .*: expected a positive number of metres"):
        match_raster(write_raster(noise(20, 30)), small_model().card, resolution_m=metres)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # from writing the raster
def test_a_user_may_say_how_wide_the_pixels_are_where_the_raster_does_not(write_raster: Write) -> None:
    card = small_model(resolution_m=0.25).card
    with match_raster(write_raster(noise(20, 30), crs=None), card, source_resolution_m=0.125) as matched:
        assert matched.placement.factor == pytest.approx(2.0) and matched.network.grid.shape == (10, 15)
    with match_raster(write_raster(noise(20, 30), crs=None), card, source_resolution_m=0.25) as matched:
        assert matched.placement.factor == 1.0
    with pytest.raises(GridError, match="says itself that its pixels are"):
        match_raster(write_raster(noise(20, 30)), card, source_resolution_m=0.125)
    with pytest.raises(GridError, match="--source-resolution 0: expected a positive number of metres"):
        match_raster(write_raster(noise(20, 30), crs=None), card, source_resolution_m=0)
    with pytest.raises(GridError, match="resolution"):  # twin: it is checked as one that the raster knows
        match_raster(write_raster(noise(20, 30), crs=None), card, source_resolution_m=50)
