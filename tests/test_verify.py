"""verify: says exact where it is, and notices where it is not."""

from collections.abc import Callable
from pathlib import Path

import pytest
from test_predict import MODEL, noise, small_model

from landseg.errors import PlanError, RasterError
from landseg.verify import verify

Write = Callable[..., Path]


def test_an_exact_halo_is_found_exact(write_raster: Write) -> None:
    found = verify(write_raster(noise(300, 260)), model=MODEL, window=64, size=(250, 200), device="cpu")
    assert found.exact and found.mode == "exact" and found.windows > 1
    assert found.max_abs_diff < 1e-4 and found.class_disagreement <= 1e-5
    assert found.crop == (25, 30, 250, 200) and found.pixels == 50_000
    assert {"max_abs_diff", "class_disagreement", "exact"} <= set(found.to_json())
    assert any("exact" in line for line in found.lines())


def test_a_short_halo_and_an_unbounded_network_are_found_out(write_raster: Write) -> None:
    source = write_raster(noise(300, 260))
    short = verify(source, model=MODEL, window=64, halo=4, size=200, device="cpu")
    pooled = verify(source, model=small_model(pooled=True), window=64, size=200, device="cpu")
    for found in (short, pooled):
        assert found.mode == "blend" and not found.exact
        assert found.class_disagreement > 0.001 and found.max_abs_diff > 0.01


def test_the_crop_takes_several_windows_by_default(write_raster: Write) -> None:
    found = verify(write_raster(noise(900, 900)), model=MODEL, device="cpu")
    assert found.exact and found.windows > 1


def test_what_cannot_be_compared_is_refused(write_raster: Write) -> None:
    with pytest.raises(PlanError, match="--memory"):
        verify(write_raster(noise(400, 400)), model=MODEL, size=400, memory=10, device="cpu")
    with pytest.raises(RasterError, match="no data"):
        verify(write_raster(noise(50, 50) * 0, nodata=0), model=MODEL, device="cpu")
