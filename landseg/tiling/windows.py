"""The plan of windows: cores that partition a raster, windows = cores + halo.

Pure arithmetic on integers. Along each axis the windows have one length, start on multiples of the
network's total stride and are clipped at the raster's edge, so that the network's own padding falls where it
falls for the whole image. A core ends one halo before its window does, except at the raster's edge, where no
halo is needed. A plan is per-axis cuts: its size grows with the raster's edges, not with its area.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from landseg.errors import PlanError
from landseg.geo.grid import Rect


@dataclass(frozen=True)
class Window:
    """One window: `rect` is read, `core` is kept, `index` counts row by row from 0."""

    index: int
    core: Rect
    rect: Rect


@dataclass(frozen=True)
class Span:
    """One axis of a window, in pixels: [start, stop) is read, [core_start, core_stop) is kept."""

    start: int
    core_start: int
    core_stop: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start

    @property
    def core_length(self) -> int:
        return self.core_stop - self.core_start


@dataclass(frozen=True)
class WindowPlan:
    """Every window of a raster of `shape` (or of one `region` of it), row by row, computed when asked for."""

    shape: tuple[int, int]
    region: Rect
    window: tuple[int, int]
    halo: tuple[int, int]
    stride: int
    y_spans: tuple[Span, ...]
    x_spans: tuple[Span, ...]

    def __len__(self) -> int:
        return len(self.y_spans) * len(self.x_spans)

    def __iter__(self) -> Iterator[Window]:
        return (self.at(row, column) for row in range(len(self.y_spans)) for column in range(len(self.x_spans)))

    def __getitem__(self, index: int) -> Window:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.at(*divmod(index, len(self.x_spans)))

    def at(self, row: int, column: int) -> Window:
        """Return the window in this row and column of the plan."""
        y, x = self.y_spans[row], self.x_spans[column]
        return Window(
            index=row * len(self.x_spans) + column,
            core=Rect(y.core_start, x.core_start, y.core_length, x.core_length),
            rect=Rect(y.start, x.start, y.length, x.length),
        )

    @property
    def rows(self) -> Iterator[tuple[Window, ...]]:
        """The windows strip by strip: one tuple for each row of windows."""
        columns = range(len(self.x_spans))
        return (tuple(self.at(row, column) for column in columns) for row in range(len(self.y_spans)))

    @property
    def cuts(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The rows and columns where cores meet: the first of each core but the first."""
        return tuple(s.core_start for s in self.y_spans[1:]), tuple(s.core_start for s in self.x_spans[1:])

    @property
    def pixels(self) -> int:
        """The pixels that the network computes, all windows together."""
        return sum(span.length for span in self.y_spans) * sum(span.length for span in self.x_spans)

    @property
    def overlap_cost(self) -> float:
        """The pixels computed over pixels kept: 1.0 when nothing is computed twice."""
        return self.pixels / self.region.area

    @property
    def largest(self) -> tuple[int, int]:
        """The height and width of the largest window after clipping."""
        return max(span.length for span in self.y_spans), max(span.length for span in self.x_spans)


def plan_windows(
    shape: tuple[int, int],
    *,
    window: int | tuple[int, int],
    halo: int | tuple[int, int],
    stride: int,
    region: Rect | None = None,
) -> WindowPlan:
    """Return the windows of a raster of `shape` (height, width), or those that a `region` of it needs.

    A region's windows read beyond it wherever the raster goes on, so that a region's result is the whole
    result cropped.

    Raises:
        PlanError: the window or the halo is not a multiple of the stride, or the halos leave no core.

    >>> [(w.core.left, w.core.right, w.rect.left, w.rect.right)
    ...  for w in plan_windows((1, 100), window=48, halo=8, stride=8)]
    [(0, 40, 0, 48), (40, 72, 32, 80), (72, 100, 64, 100)]
    """
    window, halo = _pair(window), _pair(halo)
    if shape[0] < 1 or shape[1] < 1:
        raise PlanError(f"a raster has at least one pixel, got {shape[0]} x {shape[1]}")
    region = region or Rect(0, 0, *shape)
    if not Rect(0, 0, *shape).contains(region) or region.area < 1:
        raise PlanError(f"the region {region} is not inside the raster of {shape[0]} x {shape[1]} pixels")
    wanted = (region.top, region.bottom), (region.left, region.right)
    y_spans, x_spans = (
        _spans(pixels, own, length, margin, stride)
        for pixels, own, length, margin in zip(shape, wanted, window, halo, strict=True)
    )
    return WindowPlan(shape, region, window, halo, stride, y_spans, x_spans)


def check_axis(window: int, halo: int, stride: int, pixels: int) -> None:
    """Raise PlanError if windows of this length and halo cannot cut an axis of so many pixels; it names what can."""
    if stride < 1:
        raise PlanError(f"a network's stride is at least 1, got {stride}")
    if halo < 0 or halo % stride:
        fix = round_up(max(halo, 0), stride)
        wrong = "is below 0" if halo < 0 else f"is not a multiple of the stride {stride}"
        raise PlanError(f"halo {halo} {wrong}; use {fix}")
    if window < 1 or window % stride:
        fix = round_up(max(window, 1), stride)
        wrong = "holds no pixel" if window < 1 else f"is not a multiple of the stride {stride}"
        raise PlanError(f"window {window} {wrong}; use {fix} or more")
    if pixels > window and window <= 2 * halo:
        raise PlanError(
            f"a window of {window} with a halo of {halo} on both sides keeps no core; "
            f"use a window of at least {2 * halo + stride}"
        )


def round_up(number: int, multiple: int) -> int:
    """Return the smallest multiple that is not below the number.

    >>> round_up(24, 16), round_up(32, 16)
    (32, 32)
    """
    return -(-number // multiple) * multiple


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _spans(pixels: int, wanted: tuple[int, int], window: int, halo: int, stride: int) -> tuple[Span, ...]:
    """Return the cuts of one axis: cores partition `wanted`, reads stay inside [0, pixels).

    Raises:
        PlanError: see `check_axis`.
    """
    first, last = wanted
    check_axis(window, halo, stride, 1)
    base = max(0, (first - halo) // stride * stride)
    end = min(pixels, round_up(last + halo, stride))
    check_axis(window, halo, stride, end - base)  # a few pixels at the raster's edge may need no full window
    if end - base <= window:
        return (Span(base, first, last, end),)
    step = window - 2 * halo
    count = 1 + -(-(end - base - window) // step)
    spans = []
    for number in range(count):
        start = base + number * step
        core_start = first if number == 0 else start + halo
        is_last = number == count - 1
        stop = end if is_last else start + window
        spans.append(Span(start, core_start, last if is_last else stop - halo, stop))
    return tuple(spans)
