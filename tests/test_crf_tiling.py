"""The plan of a CRF over a raster: memory, halo, what is promised and what is measured."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from test_crf import picture

from landseg.crf import tiling as module
from landseg.crf.energy import CrfOptions, Scene
from landseg.crf.fast import refine
from landseg.crf.tiling import CrfTiling, bytes_per_pixel, fading, seam_disagreement, tile_crf
from landseg.errors import PlanError
from landseg.geo.grid import Rect

MODERATE = CrfOptions(5, 4.0, 12.0, 8.0, 3.0, 1.0)
SMALL = CrfOptions(2, 4.0, 1.5, 12.0, 3.0, 0.8)


def tile(shape: tuple[int, int], options: CrfOptions = MODERATE, **how: Any) -> CrfTiling:
    usual: dict[str, Any] = {"bands": 3, "classes": 5, "pixel_size": (1.0, 1.0), "window": None, "halo": "auto"}
    return tile_crf(shape, options, **{**usual, "memory_mib": 3072, **how})


def test_the_largest_window_that_fits_whatever_the_raster() -> None:
    tall, taller = tile((20_000, 9_000)), tile((900_000, 9_000))
    assert tall.windows.largest == taller.windows.largest and tall.memory == taller.memory <= 3072 << 20
    assert tall.halo == 64 and tall.mode == "approximate" and "exact 288 px" in tall.reason
    assert tile((20_000, 9_000), memory_mib=1500).windows.largest < tall.windows.largest
    assert tile((20_000, 9_000), memory_mib=64_000).windows.largest == (2048, 2048)


def test_exact_where_it_costs_nothing_or_is_asked_for() -> None:
    assert tile((900, 1200)).mode == "exact" and len(tile((900, 1200)).windows) == 1
    asked = tile((20_000, 9_000), halo="exact")
    assert (asked.mode, asked.halo) == ("exact", 288)
    assert tile((20_000, 9_000), CrfOptions(0)).mode == "exact"
    assert tile((20_000, 9_000), CrfOptions(5, 0.0, 99.0, 8.0, 3.0, 1.0)).halo == fading(
        CrfOptions(5, 0.0, 99.0, 8.0, 3.0, 1.0), (1.0, 1.0)
    )
    assert tile((20_000, 9_000), pixel_size=(0.5, 0.25)).halo == 256


def test_what_does_not_go_together() -> None:
    with pytest.raises(PlanError, match=r"halos of 2948 px: a window of 7370 px would, with about --memory \d+"):
        tile((20_000, 9_000), CrfOptions(), halo="exact")
    with pytest.raises(PlanError, match=r"4000 x 4000 px does not fit 3072 MiB: use --memory \d+"):
        tile((20_000, 9_000), window=4000)
    with pytest.raises(PlanError, match="keeps no core"):
        tile((20_000, 9_000), memory_mib=100)


def test_the_memory_that_a_dry_error_names_is_enough() -> None:
    with pytest.raises(PlanError) as caught:
        tile((20_000, 9_000), CrfOptions(), halo="exact")
    memory = int(str(caught.value).partition("--memory ")[2].partition(";")[0])
    assert tile((20_000, 9_000), CrfOptions(), halo="exact", window=7370, memory_mib=memory).mode == "exact"


def peak(bands: int, classes: int, size: int) -> float:
    """Bytes a pixel at most, on noise, where every pixel has corners of its own."""
    rng = np.random.default_rng(0)
    image, probs = rng.uniform(0, 255, (bands, size, size)), rng.random((classes, size, size))
    tracemalloc.start()
    refine(probs / probs.sum(0), Scene.of(image), CrfOptions(1, 4.0, 0.1, 0.1, 3.0, 1.0))
    found = tracemalloc.get_traced_memory()[1] / size**2
    tracemalloc.stop()
    return found


@pytest.mark.parametrize(("bands", "classes"), [(1, 2), (3, 5), (3, 20), (13, 5)])
def test_a_pixel_takes_no_more_than_planned(bands: int, classes: int) -> None:
    planned = bytes_per_pixel(bands, classes)
    assert planned / 2 < peak(bands, classes, 96) <= planned


def disagreement(halo: int) -> tuple[float | None, str]:
    image, probs, _ = picture(300, 280)

    def read(rect: Rect) -> Any:
        rows, columns = rect.slices
        return probs[:, rows, columns], image[:, rows, columns], None

    plan = tile(image.shape[1:], SMALL, classes=3, window=100, halo=halo)
    return seam_disagreement(read, plan, SMALL, pixel_size=(1.0, 1.0))


def test_the_disagreement_is_that_of_the_halo() -> None:
    (none, _), (some, sentence) = disagreement(16), disagreement(0)
    assert none == 0 and some is not None and some > 0
    assert sentence.endswith("get another class than with the exact halo of 18")


def test_where_nothing_longer_fits_it_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SAMPLE", 10**6)
    assert disagreement(0)[0] is None and "cannot be measured" in disagreement(0)[1]
