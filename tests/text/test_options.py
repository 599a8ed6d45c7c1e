"""Options: what means nothing is refused in one sentence."""

import math
from dataclasses import make_dataclass
from typing import Any

import numpy as np
import pytest

from landseg.crf.options import RefineOptions
from landseg.errors import BandError, GridError, LandsegError, PlanError, RasterError, VectorError
from landseg.evaluation.options import EvaluateOptions
from landseg.inference.options import PredictOptions, VerifyOptions
from landseg.labels.rasterize_options import RasterizeOptions
from landseg.text.options import check_kinds
from landseg.vector.export_options import ExportOptions


@pytest.mark.parametrize("metres", [math.inf, math.nan, 0, -1.0, "1", [1]])
def test_a_resolution_is_a_positive_number_of_metres(metres: Any) -> None:
    with pytest.raises(GridError, match=r"--resolution .*: expected a positive number of metres"):
        PredictOptions.of(resolution=metres)
    assert PredictOptions.of(resolution=1).resolution == 1 and PredictOptions.of(resolution=None).resolution is None


@pytest.mark.parametrize("options", [{"halo": 24.7}, {"halo": "24.7"}, {"window": (512.5, 512)}, {"halo": None}])
def test_parts_of_pixels_are_not_cut_off(options: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match="expected auto"):
        PredictOptions.of(**options)
    made = PredictOptions.of(halo="24", window="512x256")
    assert made.halo == 24 and made.window == (512, 256)


@pytest.mark.parametrize("options", [{"workers": 0}, {"memory": 0}, {"batch": 0}])
def test_counts_start_at_one(options: dict[str, Any]) -> None:
    with pytest.raises(LandsegError, match="expected a whole number, 1 or more"):
        PredictOptions.of(**options)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"bands": 3}, BandError),
        ({"polygons": 3}, RasterError),
        ({"window": -1}, PlanError),
        ({"probs": ""}, RasterError),
    ],
)
def test_values_of_another_kind_are_refused(options: dict[str, Any], error: type[LandsegError]) -> None:
    with pytest.raises(error, match="expected"):
        PredictOptions.of(**options)
    assert PredictOptions.of(bands=(3,), polygons="a.gpkg", window=0).window == 0


@pytest.mark.parametrize("name", ["min_area", "simplify", "right_angle_tolerance", "spur", "majority", "sieve"])
def test_a_size_of_polygons_is_a_number(name: str) -> None:
    needed = {"regularize": "all", "centerlines": "all"}
    with pytest.raises(VectorError, match=f"--{name.replace('_', '-')} 10px: expected"):
        ExportOptions.of(**needed, **{name: "10px"})
    assert getattr(ExportOptions.of(**needed, **{name: 3}), name) == 3


@pytest.mark.parametrize("options", [{"samples": "x"}, {"samples": -1}, {"seed": 0.5}, {"workers": 0}])
def test_counts_of_an_evaluation_are_whole_numbers(options: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match="expected a whole number"):
        EvaluateOptions.of(options, verb="evaluate")
    assert EvaluateOptions.of({"samples": 0, "workers": 1}, verb="evaluate").samples == 0


@pytest.mark.parametrize(
    ("of", "options", "message"),
    [
        (PredictOptions.of, {"overwrite": "no"}, "overwrite 'no': expected True or False"),
        (ExportOptions.of, {"dissolve": None}, "dissolve None: expected True or False"),
        (RefineOptions.of, {"iterations": 1.5}, "iterations 1.5: expected a whole number"),
        (RefineOptions.of, {"spatial_weight": "a"}, "spatial_weight 'a': expected a number"),
        (RefineOptions.of, {"model": 3}, "expected the path of a file, got an int"),
        (VerifyOptions.of, {"size": "x"}, "size 'x': expected a number of pixels"),
        (VerifyOptions.of, {"size": (9, 9, 9)}, "expected a number of pixels"),
        (RasterizeOptions.of, {"buffer": "x"}, "buffer 'x': expected a number"),
        (RasterizeOptions.of, {"resolution": "x"}, "resolution 'x': expected a number of metres"),
        (
            lambda **options: EvaluateOptions.of(options, verb="evaluate"),
            {"buffer": "x"},
            "buffer 'x': expected a num",
        ),
        (
            lambda **options: EvaluateOptions.of(options, verb="evaluate"),
            {"ignore": "x"},
            "ignore 'x': expected label",
        ),
    ],
)
def test_values_of_another_type_are_refused(of: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(LandsegError, match=message):
        of(**options)


def test_numbers_of_numpy_are_numbers() -> None:
    made = make_dataclass("made", [("a", "int"), ("b", "float | None"), ("c", "bool"), ("d", "str | int")])
    check_kinds(made(np.int64(3), np.float32(2), np.bool_(True), "any"))
    check_kinds(made(3, None, 1, 2))
    with pytest.raises(LandsegError, match="a None: expected a whole number"):
        check_kinds(made(None, None, True, 2))
