"""Options: what means nothing is refused in one sentence."""

import math
from typing import Any

import pytest

from landseg.errors import GridError, LandsegError, PlanError
from landseg.inference.options import PredictOptions


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
