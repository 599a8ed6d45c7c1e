"""Which way a run goes, and that it says why."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from landseg.cli.predict import lines as predict_lines
from landseg.errors import PlanError
from landseg.predict import predict
from tests.parts.predicting import MODEL, QUICK, noise, one, small_model

Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"memory": 1400}, "streaming needs"),
        ({"window": 64}, "--window is about windows"),
        ({"model": small_model(pooled=True)}, "pool"),
    ],
)
def test_windows_in_place_of_the_stream_say_why(
    changes: dict[str, Any], why: str, write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "memory" in changes:  # what the small network needs for strips always fits
        monkeypatch.setattr("landseg.tiling.rows.torch_executor._UNCOUNTED", 1 << 30)
        # whatever ran before in this process
        monkeypatch.setattr("landseg.inference.scope._base", lambda usual: 1280.0 * 2**20)
    options = {**QUICK, "model": MODEL, "runtime": "torch", **changes}
    source = write_raster(noise(200, 220))
    plan = one(predict(source, tmp_path / "o.tif", dry_run=True, **options))
    assert plan.engine == "windows"
    head, _, reason = plan.to_json()["reason"].partition("; windows, because ")
    assert head and why in reason and "--engine windows" not in reason
    assert any(why in line for line in predict_lines(plan))
    asked = one(predict(source, tmp_path / "o.tif", dry_run=True, **{**options, "engine": "windows"}))
    assert "because" not in asked.reason
    with pytest.raises(PlanError, match=why):
        predict(source, tmp_path / "o.tif", dry_run=True, **{**options, "engine": "stream"})


def test_a_stream_says_that_it_is_one(write_raster: Write, tmp_path: Path) -> None:
    plan = one(predict(write_raster(noise(60, 60)), tmp_path / "o.tif", model=MODEL, dry_run=True, **QUICK))
    assert plan.engine == "stream" and "rows stream" in plan.reason
