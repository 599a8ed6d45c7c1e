"""A run in words."""

from pathlib import Path

import pytest

from landseg.cli.predict import lines as predict_lines
from landseg.inference.prediction import Prediction

SIZES = [(0.0, "1 KiB"), (0.032, "33 KiB"), (1.46, "1.5 MiB"), (2048.3, "2048 MiB")]


@pytest.mark.parametrize(("mib", "text"), SIZES)
def test_a_small_plan_takes_more_disk_than_nothing(mib: float, text: str) -> None:
    lines = predict_lines(Prediction(Path("o.tif"), disk_mib=mib, dry_run=True))
    assert f"disk          up to {text}" in lines
