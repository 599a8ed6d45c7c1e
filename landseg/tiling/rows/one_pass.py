"""The one-pass engine: strips are read, streamed through the network, placed on the source's grid and written.

Reader threads run ahead, the network runs in the caller's thread, one thread brings logits onto the source's grid
and encodes them, one writes and syncs. Long stretches of rows without a wanted pixel are left out, which changes
nothing elsewhere: a region that is cut out of the raster gives the raster's own values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.geo.grid import Rect
from landseg.geo.pieces import cut, in_order
from landseg.runtime.pipeline import FirstError, Stage
from landseg.tiling.executor import Copies, RowStream
from landseg.tiling.placement import GridPlacement, ResampledRows
from landseg.tiling.rows.readers import Readers
from landseg.tiling.stitch import Finished
from landseg.tiling.stream_plan import StreamPlan
from landseg.tiling.windowed import Arrays, Sink, Written, write

Valid = NDArray[np.bool_]
Logits = NDArray[np.float32]
Encode = Callable[[Finished], Arrays]


@dataclass(frozen=True)
class Pass:
    """A region that is streamed, and everything that the stream needs for it.

    Attributes:
        rows: returns the stream over a region of the network's grid.
        copies: to the network's device, and back.
        period: the number of the network's rows after which the pattern of streaming repeats.
        plan: strips, chunks and blocks, on the network's grid.
        placement: of that grid on the source's.
        region: source pixels to fill.
        read: returns the prepared pixels (1, bands, h, w) of a rectangle of the network's grid, which only `rows` and
            `copies` look into, and the wanted pixels (h, w) there, which have data and are to be mapped; on the
            source's grid where the grids differ.
        wanted: returns the wanted pixels (h, w) of a rectangle of the source's grid; None where both grids are one,
            as `read` has returned them.
        encode: turns finished pixels into arrays by layer.
        workers: reader threads.
        block: rows of the network's grid in a block of the raster.
        progress: called with the number of source pixels that are written.
        restarted: called with the number of rows that a resumed run computes again.
    """

    rows: Callable[[Rect], RowStream]
    copies: Copies
    period: int
    plan: StreamPlan
    placement: GridPlacement
    region: Rect
    read: Callable[[Rect], tuple[Any, Valid]]
    wanted: Callable[[Rect], Valid] | None
    encode: Encode
    workers: int = 1
    block: int = 1
    progress: Callable[[int], None] = lambda pixels: None
    restarted: Callable[[int], None] = lambda rows: None

    def targets(self) -> list[Rect]:
        """Return the source pixels of every block, side by side: a partition of the region."""
        edges = [self.placement.to_source(Rect(0, b.left, 1, b.width)).left for b in self.plan.blocks[1:]]
        edges = [self.region.left, *edges, self.region.right]
        top, height = self.region.top, self.region.height
        return [Rect(top, left, height, right - left) for left, right in pairwise(edges) if right > left]

    def reached(self, done: Collection[str]) -> list[int]:
        """Return the number of source pixels of each block that are written."""
        return [(_reached(i, t, done) - t.top) * t.width for i, t in enumerate(self.targets())]

    def network_rect(self, target: Rect) -> Rect:
        """Return the network's pixels that source pixels are interpolated from."""
        reach, (height, width) = self.placement.reach, self.placement.network
        rect = self.placement.to_network(target)
        top, left = max(0, rect.top - reach), max(0, rect.left - reach)
        bottom, right = min(height, rect.bottom + reach), min(width, rect.right + reach)
        return Rect(top, left, bottom - top, right - left)


def one_pass(job: Pass, sink: Sink, *, done: Collection[str] = ()) -> None:
    """Fill the region block by block, from top to bottom, and commit as rows are written.

    Raises:
        Whatever any stage raises; nothing is committed after it.
    """
    fault = FirstError()
    origin = job.region.top, job.region.left
    writer = Stage[Written]("write", lambda item: write(item, sink, origin, job.progress), fault, size=2)
    place = Stage[tuple[Any, ...]]("place", _Placer(job, writer).work, fault, size=1)
    readers = Readers(job.workers, strip=job.plan.strip, block=job.block)
    try:
        for number, target in enumerate(job.targets()):
            _Block(job, number, target, readers, place).fill(_reached(number, target, done))
        place.close()
        writer.close()
    finally:
        fault.stop()
        readers.shutdown()
        place.join()
        writer.join()
    fault.check()


def _reached(number: int, target: Rect, done: Collection[str]) -> int:
    """Return the first source row of a block that is not written yet."""
    prefix = f"block {number} to row "
    rows = [int(step.removeprefix(prefix)) for step in done if step.startswith(prefix)]
    return max(rows, default=target.top)


@dataclass(frozen=True)
class _Block:
    """One block of columns on its way, in the caller's thread."""

    job: Pass
    number: int
    target: Rect
    readers: Readers
    place: Stage[tuple[Any, ...]]

    def fill(self, start: int) -> None:
        """Compute and hand on the rows from ``start`` on; long stretches without a wanted pixel are left out."""
        row, target = start, self.target
        while row < target.bottom:
            first = self._first_wanted(row)
            if first > row:
                nothing = Rect(row, target.left, first - row, target.width)
                self.place.put(("none", self.number, nothing, None))
            if first < target.bottom:
                if row == start > target.top:
                    region, rows = self._rows(first)
                    self.job.restarted(region.top - rows.reads.top)
                first = self._stretch(first)
            row = first

    def _first_wanted(self, row: int) -> int:
        """Return the first source row from ``row`` on near which a pixel is wanted, to the height of a strip."""
        job, rest = self.job, self._rest(row)
        for rect in cut(rest, job.plan.strip):
            if self.readers.submit(job.read, rect).result()[1].any():
                margin = 0 if job.placement.factor == 1.0 else job.placement.reach + 2
                return max(row, int(max(0, rect.top - margin) * job.placement.factor))
        return self.target.bottom

    def _stretch(self, first: int) -> int:
        """Stream from source row ``first`` on; return the row where a long stretch without a wanted pixel begins."""
        job = self.job
        region, rows = self._rows(first)
        needed = Rect(first, self.target.left, self.target.bottom - first, self.target.width)
        placed = ResampledRows(job.placement, region, needed)
        self.place.put(("open", self.number, None, placed))
        enough = rows.reads.bottom  # further than this no wanted pixel lets the stretch end
        last = region.top
        with rows:
            for rect, (pixels, wanted) in self._read_ahead(rows.reads):
                self.place.put(("wanted", self.number, rect, wanted))
                if wanted.any():
                    last = rect.bottom
                self._hand_on(rows.push(job.copies.receive(pixels)), region.top)
                idle = rect.bottom - last
                if rect.bottom < enough and idle > self._pause(rows) and rows.due >= last + job.placement.reach + 2:
                    self._hand_on(rows.rest(), region.top)
                    return placed.ready(rows.due)
        return self.target.bottom

    def _hand_on(self, finished: list[tuple[int, Any]], top: int) -> None:
        """Put strips of logits into the next stage, without the rows above ``top``."""
        for row, logits in finished:
            skip = max(0, top - row)
            if skip < logits.shape[2]:
                self.place.put(("rows", self.number, row + skip, self.job.copies.fetch(logits[0, :, skip:])))

    def _rows(self, first: int) -> tuple[Rect, RowStream]:
        """Return the rectangle of the network's output for the source rows from ``first`` on, and its stream.

        Strips are cut at the same rows whatever row a stretch begins at. It begins some strips early, so that every
        piece from its first row on has the shape, and with that the last bits, of an undisturbed run.
        """
        job = self.job
        region = self._rest(first)
        top = max(0, region.top - 2 * job.plan.strip - job.period)
        return region, job.rows(Rect(top, region.left, region.bottom - top, region.width))

    def _pause(self, rows: RowStream) -> int:
        """Return the number of rows without a wanted pixel after which starting anew is cheaper than going on."""
        return 2 * (self.job.plan.strip + rows.reads.height - rows.region.height) + 4 * self.job.plan.strip

    def _rest(self, row: int) -> Rect:
        """Return the network's pixels that the block's source rows from ``row`` on need."""
        target = self.target
        return self.job.network_rect(Rect(row, target.left, target.bottom - row, target.width))

    def _read(self, rect: Rect) -> tuple[Any, Valid]:
        pixels, wanted = self.job.read(rect)
        return self.job.copies.send(pixels), wanted

    def _read_ahead(self, reads: Rect) -> Iterator[tuple[Rect, tuple[Any, Valid]]]:
        """Return the input in strips, read early by as many strips as there are threads."""
        strips = cut(reads, self.job.plan.strip)
        return in_order(self.readers, lambda rect: (rect, self._read(rect)), strips, ahead=self.job.workers + 1)


class _Placer:
    """The thread that brings logits onto the source's grid and hands finished pixels to the writer."""

    def __init__(self, job: Pass, writer: Stage[Written]) -> None:
        self._job, self._writer = job, writer
        self._placed: ResampledRows | None = None
        self._held: list[tuple[Rect, Valid]] = []  # of rows that were read and are not finished

    def work(self, item: tuple[Any, ...]) -> None:
        """Handle a message: ("open", block, _, placed), ("wanted", block, rect, valid), ("rows", block, row, logits)
        or ("none", block, rect, _)."""
        kind, number, subject, content = item
        if kind == "open":
            self._placed, self._held = content, []
        elif kind == "wanted":
            self._held.append((subject, content))
        elif kind == "none":
            self._nothing(subject)
            self._commit(number, subject.bottom)
        else:
            assert self._placed is not None, "rows follow an opening"
            for rect, logits in self._placed.push(subject, self._job.copies.fetched(content)):
                self._finish(rect, logits)
                self._commit(number, rect.bottom)

    def _finish(self, rect: Rect, logits: Logits) -> None:
        wanted = self._job.wanted
        finished = Finished(rect, logits, self._was_read(rect) if wanted is None else wanted(rect))
        arrays = self._job.encode(finished)
        self._writer.put(("pixels", rect, (arrays, np.array(finished.valid))))

    def _was_read(self, rect: Rect) -> Valid:
        """Return the wanted pixels (h, w) that `read` gave for a rectangle; the rows above it are forgotten."""
        self._held = [(strip, valid) for strip, valid in self._held if strip.bottom > rect.top]
        parts = []
        for strip, valid in self._held:
            shared = strip.intersection(rect)
            if shared is not None:
                parts.append(valid[shared.relative_to(strip).slices])
        return np.concatenate(parts)

    def _nothing(self, rect: Rect) -> None:
        empty = Finished(rect, None, np.zeros(rect.shape, np.bool_))
        self._writer.put(("pixels", rect, (self._job.encode(empty), empty.valid)))

    def _commit(self, number: int, row: int) -> None:
        self._writer.put(("commit", f"block {number} to row {row}", None))
