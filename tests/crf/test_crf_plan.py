"""The plan of a CRF over a raster: memory, halo, what is promised and what is measured."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from landseg.classes import ClassMap, LandClass
from landseg.crf.energy import CrfOptions, Scene
from landseg.crf.fast import refine
from landseg.crf.plan import CrfTiling, bytes_per_pixel, crf_sample, fading, refine_windows, tile_crf, written_map
from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.tiling import sampling
from landseg.tiling.sampling import Disagreement, disagreement
from tests.parts.refining import picture

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
    """Bytes a pixel at most, on noise, where every pixel has corners of its own.

    The least of three runs: what other threads of the process take meanwhile counts as well.
    """
    rng = np.random.default_rng(0)
    image, probs = rng.uniform(0, 255, (bands, size, size)), rng.random((classes, size, size))
    found = []
    for _ in range(3):
        tracemalloc.start()
        refine(probs / probs.sum(0), Scene.of(image), CrfOptions(1, 4.0, 0.1, 0.1, 3.0, 1.0))
        found.append(tracemalloc.get_traced_memory()[1] / size**2)
        tracemalloc.stop()
    return min(found)


@pytest.mark.parametrize(("bands", "classes"), [(1, 2), (3, 5), (3, 20), (13, 5)])
def test_a_pixel_takes_no_more_than_planned(bands: int, classes: int) -> None:
    planned = bytes_per_pixel(bands, classes)
    assert planned / 2 < peak(bands, classes, 96) <= planned


TABLE = ClassMap(tuple(LandClass(v, n, (v, 90, 90)) for v, n in ((1, "roof"), (2, "land"), (5, "water"))))


def at(values: Any, valid: Any, rect: Rect) -> tuple[Any, Any]:
    return values[rect.slices], valid[rect.slices]


def measured(halo: int, *, most: int | None = None, seed: int = 1) -> tuple[Disagreement, float]:
    """What is said of a map with windows of 100 px and this halo, and the truth."""
    image, probs, _ = picture(360, 340, seed=seed)

    def read(rect: Rect) -> Any:
        rows, columns = rect.slices
        return probs[:, rows, columns], image[:, rows, columns], None

    plan = tile(image.shape[1:], SMALL, classes=3, window=100, halo=halo)
    values = np.zeros(image.shape[1:], np.uint8)
    for core, found in refine_windows(read, plan.windows, SMALL):
        values[core.slices] = TABLE.to_values(found.argmax(0))
    truth = values != TABLE.to_values(refine(probs, Scene.of(image), SMALL).argmax(0))
    plan = plan if most is None else replace(plan, most=most)
    valid = np.ones_like(truth)
    written = partial(at, values, valid)
    made = written_map(written, read, SMALL, classes=TABLE, pixel_size=(1.0, 1.0))
    return disagreement(made, plan.windows, crf_sample(plan)), float(truth.mean())


@pytest.fixture
def small_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Squares that fit small rasters often enough."""
    monkeypatch.setattr(sampling, "EDGE", 48)


@pytest.mark.usefixtures("small_squares")
def test_the_disagreement_is_that_of_the_halo() -> None:
    (none, _), (some, truth) = measured(16), measured(0)
    assert none.share == 0 and some.share is not None and some.interval is not None
    assert some.interval[0] <= truth <= some.interval[1] and 0.4 < some.share / truth < 2.5
    assert some.sentence.endswith("sampled pixels get another class than with the exact halo of 18")


@pytest.mark.slow
@pytest.mark.usefixtures("small_squares")
def test_the_interval_of_a_short_halo_holds_the_truth() -> None:
    held = 0
    for seed in range(20):
        some, truth = measured(0, seed=seed)
        assert some.interval is not None and some.interval[0] < some.interval[1] < 5 * truth
        held += some.interval[0] <= truth <= some.interval[1]
    assert held >= 17


@pytest.mark.usefixtures("small_squares")
def test_where_nothing_longer_fits_it_is_unknown() -> None:
    unknown, _ = measured(0, most=2_300)
    assert unknown.share is None and "unknown" in unknown.sentence
    longer, _ = measured(0, most=3_600)
    assert longer.share is not None and longer.sentence.endswith("than with the longer halo of 6")
