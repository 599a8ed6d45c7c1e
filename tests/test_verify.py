"""verify: says exact where it is, and notices where it is not."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from landseg.classes import ClassMap, LandClass
from landseg.cli.verify import lines as verify_lines
from landseg.dense.semantic import Semantic
from landseg.errors import LandsegError, PlanError, RasterError
from landseg.geo.grid import Rect
from landseg.inference.engine import Engine
from landseg.inference.verification import Verification, _compared
from landseg.verify import verify
from tests.parts.predicting import MODEL, noise, small_model

Write = Callable[..., Path]


def test_an_exact_halo_is_found_exact(write_raster: Write) -> None:
    found = verify(write_raster(noise(300, 260)), model=MODEL, window=64, size=(250, 200), device="cpu")
    assert found.exact and found.mode == "exact" and found.windows > 1
    assert found.max_abs_diff < 1e-4 and found.class_disagreement <= 1e-5
    assert found.crop == (25, 30, 250, 200) and found.pixels == 50_000
    assert {"max_abs_diff", "class_disagreement", "exact"} <= set(found.to_json())
    assert any("exact" in line for line in verify_lines(found))


def test_a_short_halo_and_an_unbounded_network_are_found_out(write_raster: Write) -> None:
    source = write_raster(noise(300, 260))
    short = verify(source, model=MODEL, window=64, halo=4, size=200, device="cpu")
    pooled = verify(source, model=small_model(pooled=True), window=64, size=200, device="cpu")
    for found in (short, pooled):
        assert found.mode == "blend" and not found.exact
        assert found.class_disagreement > 0.001 and found.max_abs_diff > 0.01


def compared(tiled: list[list[float]], precision: str = "fp32", mode: str = "exact") -> Verification:
    """Logits of two pixels in two classes, against (8, 0) and (0, 8)."""
    whole = np.array([[8, 0], [0, 8]], np.float32)
    return against(np.array(tiled, np.float32), whole, precision, mode=mode)


def against(
    tiled: NDArray[np.float32], whole: NDArray[np.float32], precision: str, mode: str = "exact"
) -> Verification:
    """Logits (K, n) of pixels side by side, compared by an engine of this precision."""
    classes = ClassMap(tuple(LandClass(n, f"c{n}", (n, n, n)) for n in range(1, len(whole) + 1)))
    engine = SimpleNamespace(
        task=Semantic(classes, {}), executor=SimpleNamespace(precision=precision, runtime="torch")
    )
    valid = np.ones((1, whole.shape[1]), bool)
    return _compared(cast(Engine, engine), tiled[:, None], whole[:, None], valid, Rect(0, 0, 1, 2), mode=mode)


def test_exact_is_said_only_of_what_is() -> None:
    same = [[8, 0], [0, 8]]
    assert compared(same).exact and compared(same).verdict == "exact"
    blended = compared(same, mode="blend")
    assert not blended.exact and blended.to_json()["exact"] is False
    assert "blended; yet no class differs" in verify_lines(blended)[-1]
    near, far = compared([[8.0004, 0], [0, 8]]), compared([[8.03, 0], [0, 8]])
    assert near.exact and near.relative_diff == pytest.approx(5e-5, rel=0.05)
    assert not far.exact and far.class_disagreement == 0
    assert "more than 0.0001 of the largest" in verify_lines(far)[-1]
    turned = compared([[0, 0], [8, 8]], "bf16")
    assert not turned.exact and "classes differ" in turned.verdict


def test_bf16_is_judged_by_its_own_rounding() -> None:
    assert compared([[8.03, 0], [0, 8]], "bf16").exact  # a step of bf16 at 8 is 0.0625
    whole, tiled = np.array([[8, 4], [0, 4.03]], np.float32), np.array([[8, 4.03], [0, 4]], np.float32)
    tied = against(tiled, whole, "bf16")
    assert tied.exact and tied.class_disagreement == tied.ties == 0.5
    assert not against(tiled, whole, "fp32").exact and not against(tiled, whole, "fp16").exact


def test_the_crop_takes_several_windows_by_default(write_raster: Write) -> None:
    found = verify(write_raster(noise(900, 900)), model=MODEL, device="cpu")
    assert found.exact and found.windows > 1


def test_what_cannot_be_compared_is_refused(write_raster: Write) -> None:
    with pytest.raises(PlanError, match="--memory"):
        verify(write_raster(noise(400, 400)), model=MODEL, size=400, memory=10, device="cpu")
    with pytest.raises(RasterError, match="no data"):
        verify(write_raster(noise(50, 50) * 0, nodata=0), model=MODEL, device="cpu")


def test_options_of_predict_that_mean_nothing_here_are_refused(write_raster: Callable[..., Path]) -> None:
    source = write_raster(np.zeros((3, 40, 40), np.uint8))
    refused = (({"probs": "p.tif"}, "verify has no option 'probs'"), ({"widow": 64}, "did you mean window?"))
    for options, said in refused:
        with pytest.raises(LandsegError, match=re.escape(said)):
            verify(source, model=MODEL, **options)
