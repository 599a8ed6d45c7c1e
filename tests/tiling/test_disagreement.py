"""What a blended run says of its own disagreement, end to end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from landseg.cli.predict import lines as predict_lines
from landseg.inference import disagreement as module
from landseg.predict import predict
from landseg.tiling import sampling
from landseg.tiling.costs import Costs
from landseg.tiling.windows import plan_windows
from tests.parts.border_squares import border_squares
from tests.parts.predicting import MODEL, QUICK, expected, one, read, small_model
from tests.parts.smooth import smooth

Write = Callable[..., Path]
BLENDED: dict[str, Any] = {"window": 64, "halo": 4, **QUICK}


def truth(path: Path, pixels: np.ndarray, valid: np.ndarray | None = None, **how: Any) -> np.ndarray:
    """Where the map differs from whole-image inference."""
    return np.asarray(read(path) != expected(pixels, valid=valid, **how))


def test_the_interval_is_printed_and_kept(
    write_raster: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pixels = smooth(900, 1100)
    raster, out = write_raster(pixels), tmp_path / "o.tif"
    with caplog.at_level(logging.INFO):
        made = one(predict(raster, out, model=MODEL, **BLENDED))
    true = truth(out, pixels).mean()
    assert made.disagreement is not None and made.disagreement_interval is not None
    low, high = made.disagreement_interval
    assert 0 < low <= true <= high < 4 * true and low < made.disagreement < high
    text = f"{100 * made.disagreement:.3f} % ({100 * low:.3f} % to {100 * high:.3f} %, 95 %) of "
    assert made.disagreement_note is not None and made.disagreement_note.startswith(text)
    assert made.disagreement_note.endswith("sampled pixels get another class than with the exact halo of 16")
    assert f"disagreement  {made.disagreement_note}" in predict_lines(made) and made.disagreement_note in caplog.text
    assert made.to_json()["disagreement_interval"] == [low, high]
    with rasterio.open(out) as file:
        tags = file.tags()
    assert tags["LANDSEG_DISAGREEMENT"] == f"{made.disagreement:.6f}"
    assert tags["LANDSEG_DISAGREEMENT_INTERVAL"] == f"{low:.6f} {high:.6f}"
    again = one(predict(raster, out, model=MODEL, **BLENDED, resume=True))
    assert again.skipped and again.disagreement_interval == pytest.approx((low, high), abs=1e-6)


def test_equal_runs_and_a_resumed_one_say_the_same(
    write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raster, out, again = write_raster(smooth(400, 500)), tmp_path / "o.tif", tmp_path / "again" / "o.tif"
    again.parent.mkdir()
    first = one(predict(raster, out, model=MODEL, **BLENDED))

    def killed(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(module, "disagreement", killed)
        predict(raster, again, model=MODEL, **BLENDED)
    assert not again.exists()
    # More memory now, which would allow another halo: the sample is that of the first start.
    resumed = one(predict(raster, again, model=MODEL, **BLENDED, resume=True, memory=4096))
    assert resumed.disagreement_note == first.disagreement_note
    assert again.read_bytes() == out.read_bytes()


def test_nodata_nearly_everywhere_and_an_area_of_interest(write_raster: Write, tmp_path: Path) -> None:
    pixels = smooth(1200, 1200, seed=4)
    valid = np.zeros((1200, 1200), bool)
    valid[620:760, 240:380] = True  # 1.4 %
    out = tmp_path / "o.tif"
    made = one(predict(write_raster(pixels, valid=valid), out, model=MODEL, **BLENDED))
    true = truth(out, pixels, valid)[valid].mean()
    assert made.disagreement == pytest.approx(true, rel=1e-6) and made.disagreement_note is not None
    assert f"of all {valid.sum():,} pixels" in made.disagreement_note  # every square with data was compared
    box = "500050,5399700,500250,5399900"  # 400 x 400 pixels, 200 rows and 100 columns in
    part = one(predict(write_raster(pixels, "all.tif"), tmp_path / "a.tif", model=MODEL, **BLENDED, aoi=box))
    found = read(tmp_path / "a.tif") != expected(pixels)[200:600, 100:500]
    assert part.disagreement_interval is not None
    assert part.disagreement_interval[0] <= found.mean() <= part.disagreement_interval[1]


def test_at_another_resolution(write_raster: Write, tmp_path: Path) -> None:
    pixels = smooth(700, 800, seed=6)
    raster = write_raster(pixels)
    for factor in (1.0, 0.4):
        options = {**BLENDED, "resolution": factor}
        made = one(predict(raster, tmp_path / f"{factor}.tif", model=MODEL, **options))
        exact = predict(raster, tmp_path / f"{factor}x.tif", model=MODEL, resolution=factor, **QUICK)
        true = (read(tmp_path / f"{factor}.tif") != read(tmp_path / f"{factor}x.tif")).mean()
        assert one(exact).mode == "exact" and made.disagreement_interval is not None
        assert made.disagreement_interval[0] <= true <= made.disagreement_interval[1]


def test_an_unbounded_network_is_compared_with_the_whole_raster_where_that_fits(
    write_raster: Write, tmp_path: Path
) -> None:
    pixels, model = smooth(300, 400, seed=7), small_model(pooled=True)
    made = one(predict(write_raster(pixels), tmp_path / "o.tif", model=model, window=128, **QUICK))
    true = truth(tmp_path / "o.tif", pixels, model=model).mean()
    assert made.disagreement == pytest.approx(true, rel=1e-6) and true > 0
    assert made.disagreement_note is not None and made.disagreement_note.endswith(
        "than with the whole raster at once"
    )


@pytest.mark.slow
@pytest.mark.parametrize("pooled", [False, True])
def test_the_interval_holds_the_truth_of_most_runs(
    pooled: bool, write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Costs, "most", lambda self, batch=1: 300.0**2)  # less than the raster, more than a window
    monkeypatch.setattr(sampling, "EDGE", 64)
    model, options = small_model(pooled=pooled), {**BLENDED, "halo": 16 if pooled else 4}
    plan = plan_windows((450, 500), window=64, halo=4, stride=4)
    held, old, new, wide = 0, [], [], []
    for seed in range(40):
        pixels = smooth(450, 500, seed)
        raster, out = write_raster(pixels, "raster.tif"), tmp_path / f"{seed}.tif"
        made = one(predict(raster, out, model=model, **options))
        with monkeypatch.context() as patched:
            for limit in ("FEWEST", "MOST"):
                patched.setattr(sampling, limit, 10_000)  # every square there is
            true = one(predict(raster, tmp_path / "all.tif", model=model, overwrite=True, **options)).disagreement
        assert true and made.disagreement is not None and made.disagreement_interval is not None
        low, high = made.disagreement_interval
        held += low <= true <= high
        new.append(made.disagreement / true)
        assert low < made.disagreement < high
        wide.append(high / true)
        if not pooled:
            changed = truth(out, pixels)
            assert changed.mean() == pytest.approx(true, abs=1e-4)  # but for ties
            old.append(np.mean([changed[square.slices].mean() for square in border_squares(plan, 16)]) / true)
    assert held >= 34 and 0.85 < np.mean(new) < 1.15
    assert np.median(wide) < 3  # an interval that says nothing would hold everything
    assert pooled or np.mean(old) > 1.3  # twin: squares where windows meet say more than is true
