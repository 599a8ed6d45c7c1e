"""Windows: cores partition, windows contain cores plus halo, origins sit on the stride."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.tiling.windows import WindowPlan, check_axis, plan_windows, round_up


@st.composite
def plans(draw: st.DrawFn, regions: bool = True) -> WindowPlan:
    stride = draw(st.sampled_from([1, 2, 8, 16]))
    shape = draw(st.tuples(st.integers(1, 300), st.integers(1, 300)))
    halo = tuple(stride * draw(st.integers(0, 4)) for _ in range(2))
    window = tuple(2 * margin + stride * draw(st.integers(1, 9)) for margin in halo)
    region = None
    if regions and draw(st.booleans()):
        top, left = draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))
        height, width = draw(st.integers(1, shape[0] - top)), draw(st.integers(1, shape[1] - left))
        region = Rect(top, left, height, width)
    return plan_windows(shape, window=window, halo=halo, stride=stride, region=region)  # type: ignore[arg-type]


def hold(plan: WindowPlan) -> None:
    """Every promise of a plan."""
    seen = np.zeros(plan.shape, int)
    for number, window in enumerate(plan):
        assert window.index == number and plan[number] == window
        assert window.core.area > 0
        seen[window.core.slices] += 1
        rect, core = window.rect, window.core
        assert rect.top % plan.stride == 0 and rect.left % plan.stride == 0
        assert rect.height <= plan.window[0] and rect.width <= plan.window[1]
        assert rect.top <= max(0, core.top - plan.halo[0]) and rect.left <= max(0, core.left - plan.halo[1])
        assert rect.bottom >= min(plan.shape[0], core.bottom + plan.halo[0])
        assert rect.right >= min(plan.shape[1], core.right + plan.halo[1])
    inside = np.zeros(plan.shape, int)
    inside[plan.region.slices] = 1
    assert (seen == inside).all()


@given(plans())
def test_cores_partition_and_windows_hold_their_halo(plan: WindowPlan) -> None:
    hold(plan)


@pytest.mark.parametrize("broken", ["halo", "origin", "cores"])
def test_broken_plans_are_caught(broken: str) -> None:
    plan = plan_windows((100, 100), window=48, halo=8, stride=8)
    spans = list(plan.x_spans)
    one = spans[1]
    if broken == "halo":
        spans[1] = type(one)(one.start + 8, one.core_start, one.core_stop, one.stop)
    elif broken == "origin":
        spans[1] = type(one)(one.start - 3, one.core_start, one.core_stop, one.stop - 3)
    else:
        spans[1] = type(one)(one.start, one.core_start + 1, one.core_stop, one.stop)
    with pytest.raises(AssertionError):
        hold(replace(plan, x_spans=tuple(spans)))


@given(plans(regions=False))
def test_rows_and_costs_agree_with_the_windows(plan: WindowPlan) -> None:
    windows = list(plan)
    assert [window for row in plan.rows for window in row] == windows
    assert len(plan) == len(windows)
    assert plan.pixels == sum(window.rect.area for window in windows)
    assert plan.overlap_cost == pytest.approx(plan.pixels / (plan.shape[0] * plan.shape[1]))
    assert plan.largest == (max(w.rect.height for w in windows), max(w.rect.width for w in windows))


def test_an_axis_that_fits_one_window_is_one_core() -> None:
    (window,) = plan_windows((1, 1), window=16, halo=8, stride=8)
    assert window.core == window.rect == Rect(0, 0, 1, 1)
    plan = plan_windows((7, 5000), window=512, halo=96, stride=16)
    assert {(w.core.top, w.core.height, w.rect.height) for w in plan} == {(0, 7, 7)}


def test_a_core_runs_to_the_edge_that_its_window_touches() -> None:
    plan = plan_windows((16, 100), window=48, halo=8, stride=8)
    assert [(w.core.left, w.core.right) for w in plan] == [(0, 40), (40, 72), (72, 100)]
    assert [(w.rect.left, w.rect.right) for w in plan] == [(0, 48), (32, 80), (64, 100)]


def test_a_plan_is_lazy() -> None:
    plan = plan_windows((10**6, 10**6), window=512, halo=96, stride=16)
    assert len(plan) > 9_000_000
    assert next(iter(plan)).rect == Rect(0, 0, 512, 512)
    with pytest.raises(IndexError):
        plan[len(plan)]


@pytest.mark.parametrize(
    ("window", "halo", "sentence"),
    [
        (512, 24, "halo 24 is not a multiple of the stride 16; use 32"),
        (500, 32, "window 500 is not a multiple of the stride 16; use 512"),
        (64, 32, "use a window of at least 80"),
        (64, -16, "halo -16 is below 0; use 0"),
        (0, 0, "window 0 holds no pixel; use 16"),
    ],
)
def test_a_misfit_is_refused_with_the_number_that_fits(window: int, halo: int, sentence: str) -> None:
    with pytest.raises(PlanError, match=sentence):
        plan_windows((1000, 1000), window=window, halo=halo, stride=16)


def test_bad_shapes_and_regions_are_refused() -> None:
    with pytest.raises(PlanError, match="at least one pixel"):
        plan_windows((0, 5), window=16, halo=0, stride=16)
    with pytest.raises(PlanError, match="not inside"):
        plan_windows((5, 5), window=16, halo=0, stride=16, region=Rect(0, 0, 6, 5))
    with pytest.raises(PlanError, match="stride is at least 1"):
        check_axis(1, 0, 0, 1)


@given(st.integers(0, 10**6), st.integers(1, 64))
def test_rounding_up_reaches_the_next_multiple(number: int, multiple: int) -> None:
    up = round_up(number, multiple)
    assert up % multiple == 0 and number <= up < number + multiple
