"""Plans: exact where it fits, the longest halo where it does not, everything else refused with what would do."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.tiling.costs import MIB, Costs, slowdown
from landseg.tiling.plan import Tiling, plan_tiling


@dataclass(frozen=True)
class FieldOf:
    radius: int | None
    stride: int = 16
    unbounded_by: str | None = None


BOUNDED = FieldOf(180)  # an exact halo of 192
POOLED = FieldOf(None, unbounded_by="aspp.pool (AdaptiveAvgPool2d)")
COSTS = Costs(base=500 * MIB, network=200, waiting=10, result=30, limit=1000 * MIB)


def plan(shape: tuple[int, int] = (4000, 5000), field: FieldOf = BOUNDED, **options: object) -> Tiling:
    costs = options.pop("costs", COSTS)
    return plan_tiling(shape, field=field, costs=costs, **options)  # type: ignore[arg-type]


def test_auto_is_exact_where_an_exact_window_fits() -> None:
    tiling = plan()
    assert tiling.mode == "exact"
    assert tiling.windows.halo == (192, 192)
    assert tiling.memory <= COSTS.limit
    assert "192" in tiling.reason


def test_windows_have_one_length_and_no_sliver_at_the_end() -> None:
    spans = plan().windows.x_spans
    assert min(span.length for span in spans) > 0.9 * max(span.length for span in spans)


def test_a_raster_that_fits_is_one_window_and_exact_whatever_the_network() -> None:
    for field in (BOUNDED, POOLED):
        tiling = plan((700, 900), field)
        assert len(tiling.windows) == 1
        assert tiling.mode == "exact" and "one window" in tiling.reason
    assert plan((700, 900), POOLED, halo="exact").mode == "exact"


def test_auto_blends_with_the_longest_halo_that_fits() -> None:
    tight = replace(COSTS, limit=580 * MIB)
    tiling = plan(costs=tight)
    assert tiling.mode == "blend" and tiling.exact_halo == 192
    assert 0 < max(tiling.windows.halo) < 192
    assert tiling.memory <= tight.limit
    wider = plan(costs=replace(COSTS, limit=585 * MIB))
    assert max(wider.windows.halo) >= max(tiling.windows.halo)
    with pytest.raises(PlanError, match=r"no window with a halo of 192 fits 580 MiB; use --memory \d+"):
        plan(costs=tight, halo="exact")


def test_the_memory_that_a_refusal_names_is_enough() -> None:
    import re

    with pytest.raises(PlanError) as refused:
        plan(costs=replace(COSTS, limit=520 * MIB), halo="exact")
    found = re.search(r"--memory (\d+)", str(refused.value))
    assert found is not None
    assert plan(costs=replace(COSTS, limit=int(found[1]) * MIB), halo="exact").mode == "exact"


def test_an_unbounded_network_blends_and_says_which_layer() -> None:
    tiling = plan(field=POOLED)
    assert tiling.mode == "blend" and tiling.exact_halo is None
    assert "aspp.pool" in tiling.reason
    with pytest.raises(PlanError, match=r"aspp\.pool"):
        plan(field=POOLED, halo="exact")


def test_what_is_asked_for_is_honoured() -> None:
    tiling = plan(window=(512, 640), halo=64)
    assert (tiling.windows.window, tiling.windows.halo, tiling.mode) == ((512, 640), (64, 64), "blend")
    assert plan(window=(512, 640)).mode == "exact"  # auto halo, and there is room for 192
    assert plan(window=(256, 256)).windows.halo == (64, 64)  # there is not: a quarter
    assert plan(halo=208).mode == "exact"
    assert plan(halo=96).windows.halo == (96, 96)
    assert plan(batch=3).batch == 3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"window": (512, 512), "halo": 24}, "halo 24 is not a multiple of the stride 16; use 32"),
        ({"window": (500, 512)}, "window 500 is not a multiple of the stride 16; use 512"),
        ({"window": (256, 256), "halo": "exact"}, "use a window of at least 400"),
        ({"halo": 24}, "use 32"),
        ({"window": (4000, 4000)}, "use --memory"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(PlanError, match=sentence):
        plan(**options)


def test_a_regions_plan_costs_only_the_region() -> None:
    tiling = plan((60_000, 60_000), region=Rect(30_000, 30_000, 300, 200))
    assert len(tiling.windows) == 1 and tiling.mode == "exact"
    assert tiling.windows.pixels < 800 * 800


def test_resampling_needs_its_pixels_too() -> None:
    assert plan(reach=13).windows.halo == (208, 208)


def test_on_a_gpu_windows_come_in_batches_that_fit_it() -> None:
    tiling = plan(costs=replace(COSTS, device=4096.0 * MIB))
    assert tiling.batch >= 1
    height, width = tiling.windows.largest
    assert height * width * tiling.batch * COSTS.network <= 4096 * MIB


def test_memory_is_kept_where_there_is_room() -> None:
    costs = replace(COSTS, kept=2.5)
    assert plan((700, 900), costs=costs).keeps_memory
    assert not plan(window=(1104, 1104), costs=costs).keeps_memory
    pixels = np.array([1e5, 1e6, 1.9e6])
    assert (np.diff(slowdown(pixels, costs)) >= 0).all()


@given(
    st.tuples(st.integers(1, 20_000), st.integers(1, 20_000)),
    st.integers(0, 600),
    st.sampled_from([1, 8, 16, 32]),
    st.integers(600, 4000),
)
def test_every_plan_keeps_its_promises(shape: tuple[int, int], radius: int, stride: int, limit: int) -> None:
    costs = replace(COSTS, limit=limit * MIB)
    tiling = plan(shape, FieldOf(radius, stride), costs=costs)
    assert tiling.memory <= costs.limit * 1.001
    need = -(-radius // stride) * stride
    if tiling.mode == "exact" and len(tiling.windows) > 1:
        cut = [len(spans) > 1 for spans in (tiling.windows.y_spans, tiling.windows.x_spans)]
        assert all(halo >= need for halo, is_cut in zip(tiling.windows.halo, cut, strict=True) if is_cut)
    if tiling.mode == "blend":
        assert max(tiling.windows.halo) < need
