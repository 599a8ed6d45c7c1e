"""Logits of windows in, finished pixels out, in bounded memory.

`CoreStitcher` keeps every window's core and nothing else: right wherever the halo covers the receptive field, and no
sums are needed. `Blend` is for halos that do not: windows overlap with smooth weights that are nowhere 0, are
normalised by their sum and are added in float32; it holds one strip of a block of columns and no more.

Both cross the raster in *steps* (strips of windows) that are the same in every run, so the journal records
steps. All rectangles that leave here are on the source's grid (see `placement`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from landseg.geo.grid import Rect
from landseg.tiling.placement import GridPlacement
from landseg.tiling.windows import Window, WindowPlan

Array = NDArray[np.float32]
Valid = NDArray[np.bool_]
_ROWS_AT_ONCE = 256  # blended rows handed on together, so that the encoder needs little memory
_BAND = 1 << 16  # pixels blended at a time


@dataclass(frozen=True)
class WindowTarget:
    """One window and the source pixels that it is for."""

    window: Window
    target: Rect


@dataclass(frozen=True)
class WindowRow:
    """One strip of windows.

    Attributes:
        name: recorded in the journal.
        pieces: its windows, from left to right.
        kept: False where the strip only refills the sums of a resumed run.
        start: (top, left) in source pixels where sums start afresh, None where they go on.
    """

    name: str
    pieces: tuple[WindowTarget, ...]
    kept: bool = True
    start: tuple[int, int] | None = None


@dataclass(frozen=True)
class Finished:
    """Final logits (K, h, w) of source pixels `rect`, None where the network was not needed; use before the next."""

    rect: Rect
    logits: Array | None
    valid: Valid


class Stitcher(Protocol):
    """A way to turn windows into finished pixels: `CoreStitcher` or `Blend`."""

    def steps(self, done: Collection[str] = ()) -> Iterator[WindowRow]:
        """Yield the steps that are left to do, in order."""
        ...

    def begin(self, step: WindowRow) -> None:
        """Open a step: its pieces follow."""
        ...

    def add(self, piece: WindowTarget, logits: Array | None, valid: Valid) -> Iterator[Finished]:
        """Take a window's logits (K, h, w) and yield finished pixels; `valid` covers the piece's target."""
        ...

    def end(self, step: WindowRow) -> Iterator[Finished]:
        """Close a step and yield its finished pixels."""
        ...


class CoreStitcher:
    """Every window's core, cut out of its window: stateless, so the order of the windows cannot matter."""

    def __init__(self, plan: WindowPlan, placement: GridPlacement, region: Rect) -> None:
        self._plan, self._placement, self._region = plan, placement, region

    def steps(self, done: Collection[str] = ()) -> Iterator[WindowRow]:
        for number, row in enumerate(self._plan.rows):
            name = f"strip {number}"
            if name not in done:
                yield WindowRow(name, tuple(_pieces(row, self._placement, self._region, cores=True)))

    def begin(self, step: WindowRow) -> None:
        pass

    def add(self, piece: WindowTarget, logits: Array | None, valid: Valid) -> Iterator[Finished]:
        if logits is not None:
            logits = self._placement.resample(logits, piece.window.rect, piece.target)
        yield Finished(piece.target, logits, valid)

    def end(self, step: WindowRow) -> Iterator[Finished]:
        return iter(())


class Blend:
    """The weighted mean of all windows that cover a pixel.

    Args:
        plan: on the network's grid.
        placement: of that grid on the source's.
        region: source pixels to fill.
        classes: K.
        budget: bytes that the sums may take; wide rasters are cut into blocks of columns that fit it. The
            result does not depend on it: windows on a block's border are computed for both blocks.
    """

    def __init__(
        self, plan: WindowPlan, placement: GridPlacement, region: Rect, *, classes: int, budget: int = 256 << 20
    ) -> None:
        self._plan, self._placement, self._region, self._classes = plan, placement, region, classes
        rows = [self._target(row, 0) for row in range(len(plan.y_spans))]
        columns = [self._target(0, column) for column in range(len(plan.x_spans))]
        self._tops = [*(rect.top for rect in rows), region.bottom]
        self._tops[0] = region.top
        self._bottoms = [rect.bottom for rect in rows]
        self._y_weights = Weights([(r.top, r.bottom) for r in rows])
        self._x_weights = Weights([(r.left, r.right) for r in columns])
        self._height = max(bottom - top for top, bottom in zip(self._tops, self._bottoms, strict=False))
        width = max(1, budget // (self._height * (4 * classes + 1)))
        self._block = min(region.width, max(width, max(r.width for r in columns) // 2))
        self._left, self._top = region.left, region.top
        self._sums: Array = np.zeros((classes, self._height, self._block), np.float32)
        self._valid: Valid = np.zeros((self._height, self._block), np.bool_)

    def steps(self, done: Collection[str] = ()) -> Iterator[WindowRow]:
        count = len(self._plan.y_spans)
        for number, left in enumerate(range(self._region.left, self._region.right, self._block)):
            names = [f"block {number} strip {strip}" for strip in range(count)]
            todo = next((strip for strip, name in enumerate(names) if name not in done), count)
            if todo == count:
                continue
            # A strip of a finer grid may hold no pixel of the source's: nothing is left to refill then.
            first = next((strip for strip in range(count) if self._bottoms[strip] > self._tops[todo]), todo)
            for strip in range(first, count):
                start = (self._tops[first], left) if strip == first else None
                yield WindowRow(names[strip], tuple(self._strip(strip, left)), strip >= todo, start)

    def begin(self, step: WindowRow) -> None:
        if step.start is not None:
            self._top, self._left = step.start
            self._sums[:] = 0
            self._valid[:] = False

    def add(self, piece: WindowTarget, logits: Array | None, valid: Valid) -> Iterator[Finished]:
        row, column = divmod(piece.window.index, len(self._plan.x_spans))
        target = piece.target
        top, x = target.top - self._top, slice(target.left - self._left, target.right - self._left)
        self._valid[top : top + target.height, x] = valid
        if logits is None:
            return iter(())
        logits = self._placement.resample(logits, piece.window.rect, target)
        y_weights = self._y_weights.of(row, target.top, target.bottom)[:, None]
        x_weights = self._x_weights.of(column, target.left, target.right)
        rows = max(1, _BAND // target.width)
        for start in range(0, target.height, rows):  # the classes of a pixel lie side by side: while they are cached
            stop = min(target.height, start + rows)
            weights = y_weights[start:stop] * x_weights
            for band, total in zip(logits, self._sums, strict=True):
                total[top + start : top + stop, x] += band[start:stop] * weights
        return iter(())

    def end(self, step: WindowRow) -> Iterator[Finished]:
        strip = int(step.name.rpartition(" ")[2])
        rows = self._tops[strip + 1] - self._top
        width = min(self._block, self._region.right - self._left)
        if step.kept:
            for start in range(0, rows, _ROWS_AT_ONCE):
                stop = min(rows, start + _ROWS_AT_ONCE)
                rect = Rect(self._top + start, self._left, stop - start, width)
                yield Finished(rect, self._sums[:, start:stop, :width], self._valid[start:stop, :width])
        keep = self._height - rows
        for buffer in (*self._sums, self._valid):
            buffer[:keep] = buffer[rows:]
            buffer[keep:] = 0
        self._top += rows

    def _strip(self, strip: int, left: int) -> Iterator[WindowTarget]:
        region = self._region
        block = Rect(region.top, left, region.height, min(self._block, region.right - left))
        row = (self._plan.at(strip, column) for column in range(len(self._plan.x_spans)))
        return _pieces(row, self._placement, block, cores=False)

    def _target(self, row: int, column: int) -> Rect:
        rect = self._placement.to_source(self._plan.at(row, column).rect)
        region = self._region
        top, left = max(rect.top, region.top), max(rect.left, region.left)
        bottom, right = min(rect.bottom, region.bottom), min(rect.right, region.right)
        return Rect(top, left, max(0, bottom - top), max(0, right - left))  # empty where rounding leaves nothing


class Weights:
    """Blending weights of one axis: smooth ramps over the overlaps, normalised to sum to 1 at every pixel.

    A weight is above 0 wherever its window is, the raster's outermost pixels included, where it is 1.

    Args:
        spans: [start, stop) of every window, in order.

    >>> [round(weight, 3) for weight in Weights([(0, 4), (2, 6)]).of(0, 0, 6)[2:4].tolist()]
    [0.995, 0.005]
    """

    def __init__(self, spans: Sequence[tuple[int, int]]) -> None:
        self._spans = spans

    def of(self, number: int, start: int, stop: int) -> Array:
        """Return the weights of window `number` at pixels [start, stop); 0 where they lie outside it."""
        pixels = np.arange(start, stop)
        total = np.zeros(len(pixels))
        for other in self._meeting(number):
            total += self._raw(other, pixels)
        own = self._raw(number, pixels)
        return np.divide(own, total, out=np.zeros_like(own), where=total > 0).astype(np.float32)

    def _meeting(self, number: int) -> Iterator[int]:
        """Return the windows that share pixels with this one, itself among them."""
        first = last = number
        while first > 0 and self._spans[first - 1][1] > self._spans[number][0]:
            first -= 1
        while last + 1 < len(self._spans) and self._spans[last + 1][0] < self._spans[number][1]:
            last += 1
        return iter(range(first, last + 1))

    def _raw(self, number: int, pixels: NDArray[np.int64]) -> NDArray[np.float64]:
        start, stop = self._spans[number]
        weights = ((pixels >= start) & (pixels < stop)).astype(np.float64)
        if number > 0 and (overlap := self._spans[number - 1][1] - start) > 0:
            weights *= _ramp((pixels - start + 0.5) / overlap)
        if number + 1 < len(self._spans) and (overlap := stop - self._spans[number + 1][0]) > 0:
            weights *= _ramp((stop - pixels - 0.5) / overlap)
        return weights


def _ramp(along: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 0 to 1 over the unit interval: a raised cosine, cubed so that outermost pixels count little."""
    rise: NDArray[np.float64] = np.sin(np.pi / 2 * np.clip(along, 0, 1)) ** 6
    return rise


def _pieces(
    row: Iterator[Window] | tuple[Window, ...], placement: GridPlacement, region: Rect, *, cores: bool
) -> Iterator[WindowTarget]:
    for window in row:
        target = placement.to_source(window.core if cores else window.rect).intersection(region)
        if target is not None and target.area > 0:
            yield WindowTarget(window, target)
