"""The windows of a run: exact wherever an exact window fits the memory, with the longest halo that does otherwise.

Along each axis the candidates are "n windows of equal length", so the last one is never a sliver. Among those that
fit, the plan takes the one that computes the fewest pixels, weighed by how much slower large windows run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.tiling.costs import MIB, Costs, slowdown
from landseg.tiling.windows import WindowPlan, check_axis, plan_windows, round_up

_SMALLEST = 128  # pixels: below this the edges of a window cost more than its middle
_CLOSE = 1.02  # of several windows within 2 % of the cheapest, the smallest
_MOST_PER_AXIS = 4096  # candidates looked at
Mode = Literal["exact", "blend"]


class Field(Protocol):
    """A receptive field as the plan needs it; `landseg.models.graph.receptive_field.ReceptiveField` is one."""

    @property
    def radius(self) -> int | None: ...
    @property
    def stride(self) -> int: ...
    @property
    def unbounded_by(self) -> str | None: ...


@dataclass(frozen=True)
class Tiling:
    """The plan of a run.

    Attributes:
        windows: on the network's grid.
        mode: "exact" where every result equals whole-image inference, "blend" where it cannot.
        batch: windows for one call of the network.
        memory: bytes that the process is expected to take at most.
        exact_halo: the halo that an exact result needs, None where none suffices.
        reason: a sentence: why this mode.
        sums: bytes that blending may take.
        keeps_memory: whether there is room to keep freed memory between layers.
    """

    windows: WindowPlan
    mode: Mode
    batch: int
    memory: float
    exact_halo: int | None
    reason: str
    sums: int
    keeps_memory: bool


def plan_tiling(
    shape: tuple[int, int],
    *,
    field: Field,
    costs: Costs,
    region: Rect | None = None,
    reach: int = 0,
    window: tuple[int, int] | None = None,
    halo: int | Literal["auto", "exact"] = "auto",
    batch: int | None = None,
) -> Tiling:
    """Return the windows, mode and batch for a network's grid of `shape`.

    Args:
        shape: (height, width).
        field: the network's receptive field.
        costs: bytes, and their limit.
        region: the part to map; None is all.
        reach: pixels beyond a core that resampling needs.
        window: (height, width); None chooses.
        halo: pixels, "exact" (refused where it cannot be), or "auto" (exact if it fits).
        batch: windows for one call of the network; None chooses.

    Raises:
        PlanError: the window, halo or batch does not fit the stride, the memory or the network; it names what would.
    """
    region = region or Rect(0, 0, *shape)
    finder = _Finder(shape, region, field.stride, costs, batch or 1)
    need = None if field.radius is None else round_up(field.radius + reach, field.stride)
    if halo == "exact" and need is None and not finder.whole_fits(window):
        raise PlanError(
            f"no halo is exact for this network: {field.unbounded_by} sees the whole input; "
            "use --halo auto, or a number of pixels, to blend windows"
        )
    windows = _windows(finder, need, window, halo)
    mode: Mode = "exact" if _is_exact(windows, need) else "blend"
    count = batch or _batch(windows, costs)
    largest = costs.held(windows.largest, shape)
    memory = costs.total(largest, count)
    if largest > costs.most(count):
        raise PlanError(_too_large(windows, costs, count, memory))
    reason = _reason(windows, mode, need, field, halo)
    keeps = costs.keeps(largest, count)
    memory = costs.total_kept(largest, count) if keeps else memory
    return Tiling(windows, mode, count, memory, need, reason, int(costs.sums), keeps)


class _Finder:
    """A search for the cheapest window among those that fit."""

    def __init__(self, shape: tuple[int, int], region: Rect, stride: int, costs: Costs, batch: int) -> None:
        self.shape, self.region, self.stride, self.costs, self.batch = shape, region, stride, costs, batch

    def whole_fits(self, window: tuple[int, int] | None) -> bool:
        """Return True if one window can hold the whole raster."""
        if window is not None:
            return window[0] >= self.shape[0] and window[1] >= self.shape[1]
        return self.shape[0] * self.shape[1] <= self.costs.most(self.batch)

    def best(self, halo: int, *, core: float = 0.0) -> tuple[int, int] | None:
        """Return the cheapest window with this halo, None where none fits; `core` is the least share to keep."""
        y_lengths, y_sums = self._axis(0, halo, core)
        x_lengths, x_sums = self._axis(1, halo, core)
        (height, width), more = self.shape, self.costs.grows
        heights, widths = np.minimum(height, y_lengths + more), np.minimum(width, x_lengths + more)
        pixels = heights[:, None].astype(np.float64) * widths.astype(np.float64)
        cost = y_sums[:, None].astype(float) * x_sums * slowdown(pixels, self.costs, self.batch)
        possible = pixels <= self.costs.most(self.batch)
        if not possible.any():
            return None
        cost[~possible] = np.inf
        pixels[cost > _CLOSE * cost.min()] = np.inf
        row, column = np.unravel_index(int(np.argmin(pixels)), pixels.shape)
        return round_up(int(y_lengths[row]), self.stride), round_up(int(x_lengths[column]), self.stride)

    def longest(self, below: int | None) -> int:
        """Return the longest halo, under a limit, with which a window fits and keeps half its length as core."""
        low, high = 0, (below or max(self.shape)) // self.stride
        while high - low > 1:
            middle = (low + high) // 2
            fits = self.best(middle * self.stride, core=0.5) is not None
            low, high = (middle, high) if fits else (low, middle)
        return low * self.stride

    def _axis(self, axis: int, halo: int, core: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return window lengths, and the summed length of all windows of the axis, for 1, 2, ... windows."""
        first = (self.region.top, self.region.left)[axis]
        last = (self.region.bottom, self.region.right)[axis]
        start = max(0, (first - halo) // self.stride * self.stride)
        extent = min(self.shape[axis], round_up(last + halo, self.stride)) - start
        least = max(2 * halo + self.stride, _SMALLEST, 2 * halo / max(1e-9, 1 - core))
        counts = np.arange(2, _MOST_PER_AXIS + 2)
        lengths = -(-(extent + 2 * halo * (counts - 1)) // counts)
        lengths = -(-lengths // self.stride) * self.stride
        lengths = np.unique(lengths[(lengths >= least) & (lengths < extent)])
        steps = lengths - 2 * halo
        numbers = 1 + -(-(extent - lengths) // steps)
        sums = extent + 2 * halo * (numbers - 1)
        return np.append(lengths, extent), np.append(sums, extent)


def _windows(
    finder: _Finder, need: int | None, window: tuple[int, int] | None, halo: int | Literal["auto", "exact"]
) -> WindowPlan:
    shape, region, stride = finder.shape, finder.region, finder.stride
    if window is not None:
        margin = halo if isinstance(halo, int) else _halo_of(window, shape, need, stride, exact=halo == "exact")
        return plan_windows(shape, window=window, halo=margin, stride=stride, region=region)
    if isinstance(halo, int):
        check_axis(stride, halo, stride, 1)
        margin, chosen = halo, finder.best(halo)
    elif need is not None and (chosen := finder.best(need)) is not None:
        margin = need
    elif need is None and finder.whole_fits(None):
        margin, chosen = 0, (round_up(shape[0], stride), round_up(shape[1], stride))
    elif halo == "exact":
        margin, chosen = need or 0, None
    else:
        margin = finder.longest(need)
        chosen = finder.best(margin, core=0.5)
    if chosen is None:
        least = max(2 * margin + stride, _SMALLEST)
        most = round_up(shape[0], stride), round_up(shape[1], stride)
        pixels = finder.costs.held((least, least), most)
        enough = finder.costs.total(pixels, finder.batch) * 16 / 15 / MIB + 1
        raise PlanError(
            f"no window with a halo of {margin} fits {finder.costs.limit / MIB:.0f} MiB; "
            f"use --memory {enough:.0f} or more{'' if halo == 'auto' else ', or a shorter --halo'}"
        )
    return plan_windows(shape, window=chosen, halo=margin, stride=stride, region=region)


def _halo_of(window: tuple[int, int], shape: tuple[int, int], need: int | None, stride: int, *, exact: bool) -> int:
    """Return the halo for a given window: the exact one if the window has room, else a quarter of it."""
    cut = [length for length, pixels in zip(window, shape, strict=True) if pixels > length]
    if not cut:
        return need or 0
    if need is not None and (exact or min(cut) > 2 * need):
        return need  # where it leaves no core, the plan says which window would
    return min(cut) // 4 // stride * stride


def _is_exact(windows: WindowPlan, need: int | None) -> bool:
    """Return True if along each axis the halo suffices, or one window holds the whole raster."""
    for spans, halo, pixels in zip((windows.y_spans, windows.x_spans), windows.halo, windows.shape, strict=True):
        one = len(spans) == 1 and spans[0].start == 0 and spans[0].stop == pixels
        if not one and (need is None or halo < need):
            return False
    return True


def _batch(windows: WindowPlan, costs: Costs) -> int:
    """Return the windows of a batch: one on a CPU, where more need more memory alone; up to 8 on a GPU."""
    if costs.device is None:
        return 1
    pixels = costs.held(windows.largest, windows.shape)
    most = min(8, len(windows.x_spans))
    return next((count for count in range(most, 0, -1) if pixels <= costs.most(count)), 1)


def _too_large(windows: WindowPlan, costs: Costs, batch: int, memory: float) -> str:
    height, width = windows.largest
    what = f"windows of {height} x {width}" + (f" in batches of {batch}" if batch > 1 else "")
    if costs.device is not None and costs.held(windows.largest, windows.shape) * batch * costs.network > costs.device:
        return f"{what} do not fit the device's {costs.device / MIB:.0f} MiB; use a smaller --window or --batch"
    enough = (memory - costs.sums) * 16 / 15 / MIB + 1
    return (
        f"{what} need {memory / MIB:.0f} MiB, more than --memory {costs.limit / MIB:.0f}; "
        f"use --memory {enough:.0f} or more, or a smaller --window"
    )


def _reason(
    windows: WindowPlan, mode: Mode, need: int | None, field: Field, halo: int | Literal["auto", "exact"]
) -> str:
    if mode == "exact":
        return (
            f"exact: the halo of {need} covers all that a pixel depends on"
            if need is not None and (len(windows) > 1)
            else "exact: one window holds the whole raster"
        )
    if need is None:
        return f"blend: {field.unbounded_by} sees the whole input, so no halo is exact"
    why = "asked for" if isinstance(halo, int) else "the longest that fits"
    return f"blend: an exact halo is {need}, {why} is {max(windows.halo)}"
