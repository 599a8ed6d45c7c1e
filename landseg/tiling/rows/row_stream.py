"""The whole-image result at the price of one pass: strips of rows go in, finished rows of logits come out.

A bounded network needs no overlap. Every layer keeps the last few rows of its own input until the next strip arrives,
so each unit of each layer is computed once, but for a few rows inside a chain; the network's own padding falls only
at the raster's true edges, and memory depends on the width alone. Inside a strip the same is done along the columns,
in chunks that fit the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import TracebackType

import torch
from torch import Tensor

from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.runtime.pipeline import FirstError, Stage
from landseg.tiling.rows.program import StepProgram
from landseg.tiling.rows.schedule import AxisPiece
from landseg.tiling.rows.sections import Made, Section, cut, schedules


class Rows:
    """One pass over a raster, or over a region of it and the rows and columns that it depends on.

    ``reads`` is the rectangle of the raster to push: the region with the pixels that it depends on, so that a region
    that is cut out of the raster gives the same values as the whole.

    With several sections the network runs in as many threads, each with its share of torch's. To leave before all
    is pushed, leave through ``with`` or call ``stop``.

    Args:
        program: the network's steps.
        shape: (height, width) of the raster.
        bands: channels of the input.
        region: the logits to compute, in the network's output; None is all.
        strip: rows of logits computed at a time. It decides speed and memory, never the result.
        chunk: columns computed at a time; None is the whole width.
        sections: parts of the network that work at the same time, at most.
        dtype: of the input and the network.
        device: likewise.

    Raises:
        PlanError: the raster is too small for the network.
    """

    def __init__(
        self,
        program: StepProgram,
        shape: tuple[int, int],
        *,
        bands: int,
        region: Rect | None = None,
        strip: int = 128,
        chunk: int | None = None,
        sections: int = 1,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.program, self.dtype, self.device = program, dtype, device
        whole = Rect(0, 0, *program.shapes(shape)[program.output])
        self.region = region = region or whole
        if region.area == 0 or not whole.contains(region):
            raise PlanError(f"{region} is not a region of logits of {whole.height} x {whole.width} pixels")
        self._rows, columns = schedules(program, shape, region, strip, chunk)
        self._columns, self._across = list(columns), columns.reads
        channels = program.channels(bands)
        like = torch.empty(0, dtype=dtype, device=device)
        ranges = cut(program, sections, bands)
        self._all_threads = torch.get_num_threads()
        self._threads = max(1, self._all_threads // len(ranges))
        self._sections = [
            Section(
                program,
                steps,
                *schedules(program, shape, region, strip, chunk, steps),
                channels=channels,
                like=like,
                threads=self._threads,
            )
            for steps in ranges
        ]
        self._coming = iter(self._rows)
        self._next: AxisPiece | None = next(self._coming)
        self._waiting: list[Tensor] = []
        self._at = self.reads.top  # the raster's row that waiting input begins with
        self._due = region.top
        self._classes = channels[program.output]
        self._out_left = columns.wanted[0]
        self._strip: Tensor | None = None  # the logits of the strip that comes out
        self._finished: list[tuple[int, Tensor]] = []
        self._fault = FirstError()
        self._stages: list[Stage[Made]] = []

    @property
    def reads(self) -> Rect:
        """The rectangle of the raster to be pushed, from its first row to its last."""
        (top, bottom), (left, right) = self._rows.reads, self._across
        return Rect(top, left, bottom - top, right - left)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows kept."""
        return sum(section.nbytes for section in self._sections)

    def push(self, pixels: Tensor) -> list[tuple[int, Tensor]]:
        """Take the next rows (1, bands, any height, ``reads.width``) and return the finished logits, in order.

        Each item is the raster's row, and logits (1, classes, rows, ``region.width``) from it on. After the last
        row of ``reads`` everything has come out.

        Raises:
            Whatever a layer raises, in any thread.
        """
        assert pixels.shape[3] == self.reads.width, "rows are as wide as the rectangle to be read"
        if len(self._sections) > 1 and not self._stages and self._next is not None:
            self._start()
        self._waiting.append(pixels.contiguous(memory_format=torch.channels_last))
        end = self._at + sum(x.shape[2] for x in self._waiting)
        while self._next is not None and self._next.spans[0][1] <= end:
            self._feed(self._next)
            self._next = next(self._coming, None)
        return self.rest() if self._next is None else self._out()

    @property
    def due(self) -> int:
        """The row up to which logits are out or on their way."""
        return self._due

    def rest(self) -> list[tuple[int, Tensor]]:
        """Wait for the logits that are on their way and return them; nothing can be pushed any more."""
        for stage in self._stages:
            stage.close()
        self._restore()
        return self._out()

    def _out(self) -> list[tuple[int, Tensor]]:
        finished = []
        while self._finished:  # the last section may add to it meanwhile
            finished.append(self._finished.pop(0))
        return finished

    def stop(self) -> None:
        """End all threads; logits that are still on their way are lost."""
        self._fault.stop()
        for stage in self._stages:
            stage.join()
        self._restore()

    def __enter__(self) -> Rows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        """Start one thread a section; each hands its pieces on to the next."""
        last = len(self._sections) - 1
        for number, section in reversed(list(enumerate(self._sections))):
            hand_on = self._collect if number == last else self._stages[0].put
            work = partial(self._work, section, hand_on)
            self._stages.insert(0, Stage(f"network-{number}", work, self._fault, size=1))

    def _work(self, section: Section, hand_on: Callable[[Made], None], given: Made) -> None:
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)  # this thread's own
        hand_on(section.run(given))

    def _restore(self) -> None:
        """Set torch's number of threads again: threads that start later take the number that was set last."""
        if self._stages:
            torch.set_num_threads(self._all_threads)
        self._stages = []

    def _feed(self, rows: AxisPiece) -> None:
        """Hand on the input of one strip, chunk by chunk."""
        fresh = self._input(*rows.spans[0])
        self._due = max(self._due, rows.spans[self.program.output][1])
        for columns in self._columns:
            left, right = columns.spans[0]
            values = {0: fresh[..., left - self.reads.left : right - self.reads.left]}
            given = Made(rows, columns, values if fresh.shape[2] and right > left else {})
            if self._stages:
                self._stages[0].put(given)
                continue
            for section in self._sections:
                given = section.run(given)
            self._collect(given)

    def _collect(self, made: Made) -> None:
        """Put the chunks of a strip side by side."""
        start, stop = made.rows.spans[self.program.output]
        piece = made.values.get(self.program.output)
        if piece is not None and len(self._columns) == 1:
            self._strip = piece
        elif piece is not None:
            if self._strip is None:
                self._strip = piece.new_empty(1, self._classes, stop - start, self.region.width)
            left = made.columns.spans[self.program.output][0] - self._out_left
            self._strip[..., left : left + piece.shape[3]].copy_(piece)
        if made.last and self._strip is not None:
            self._finished.append((start, self._strip))
            self._strip = None

    def _input(self, start: int, stop: int) -> Tensor:
        """Return the input's rows from start to stop; rows before them are freed."""
        joined = self._waiting[0] if len(self._waiting) == 1 else torch.cat(self._waiting, 2)
        taken = joined[:, :, start - self._at : stop - self._at]
        self._waiting = [joined[:, :, stop - self._at :]]
        self._at = stop
        return taken
