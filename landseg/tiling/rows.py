"""The whole-image result at the price of one pass: strips of rows go in, finished rows of logits come out.

A bounded network needs no overlap. Every layer keeps the last few rows of its own input until the next strip arrives,
so each unit of each layer is computed once; the network's own padding falls only at the raster's true edges, and
memory depends on the width alone. Inside a strip the same is done along the columns, in chunks that fit the cache.
"""

from __future__ import annotations

import torch
from torch import Tensor

from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.tiling.flow import Flow
from landseg.tiling.geometry import Part, part
from landseg.tiling.kept import Kept, Span
from landseg.tiling.schedule import Piece, Schedule
from landseg.tiling.step import Step

_CACHE = 1 << 20  # bytes of second-level cache that a core has, about


class Rows:
    """One pass over a raster, or over what a region of it depends on.

    ``reads`` says which rectangle of the raster to push: the region and what it depends on, so that a region that
    is cut out of the raster gives the same values as the whole.

    Args:
        flow: the network's steps.
        shape: (height, width) of the raster.
        bands: channels of the input.
        region: whose logits are wanted, in the network's output; None is all.
        strip: rows of logits computed at a time. It decides speed and memory, never the result.
        chunk: columns computed at a time; None is the whole width.
        dtype: of the input and the network.
        device: likewise.

    Raises:
        PlanError: the raster is too small for the network.
    """

    def __init__(
        self,
        flow: Flow,
        shape: tuple[int, int],
        *,
        bands: int,
        region: Rect | None = None,
        strip: int = 128,
        chunk: int | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.flow, self.dtype, self.device = flow, dtype, device
        whole = Rect(0, 0, *flow.shapes(shape)[flow.output])
        self.region = region = region or whole
        if region.area == 0 or not whole.contains(region):
            raise PlanError(f"{region} is not a region of logits of {whole.height} x {whole.width} pixels")
        self._rows, self._pieces = schedules(flow, shape, region, strip, chunk)
        channels = flow.channels(bands)
        like = torch.empty(0, dtype=dtype, device=device)
        self._kept = [
            Kept(count, depth, (low, high), like)
            for count, depth, low, high in zip(
                channels, self._rows.depths(), self._pieces.starts, self._pieces.ends, strict=True
            )
        ]
        self._columns = list(self._pieces)
        self._last_use = last_use(flow)
        self._coming = iter(self._rows)
        self._next: Piece | None = next(self._coming)
        self._cache = torch.get_num_threads() * _CACHE
        self._waiting: list[Tensor] = []
        self._at = self.reads.top  # the raster's row that waiting input begins with
        self._classes = channels[flow.output]
        self._out_left = self._pieces.wanted[0]

    @property
    def reads(self) -> Rect:
        """The rectangle of the raster to be pushed, from its first row to its last."""
        (top, bottom), (left, right) = self._rows.reads, self._pieces.reads
        return Rect(top, left, bottom - top, right - left)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows kept."""
        return sum(kept.nbytes for kept in self._kept)

    @torch.inference_mode()
    def push(self, pixels: Tensor) -> list[tuple[int, Tensor]]:
        """Take the next rows (1, bands, any height, ``reads.width``) and return what they finish, in order.

        Each item is the raster's row, and logits (1, classes, rows, ``region.width``) from it on. After the last
        row of ``reads`` everything has come out.
        """
        assert pixels.shape[3] == self.reads.width, "rows are as wide as what is to be read"
        self._waiting.append(pixels.contiguous(memory_format=torch.channels_last))
        end = self._at + sum(x.shape[2] for x in self._waiting)
        finished = []
        while self._next is not None and self._next.spans[0][1] <= end:
            strip = self._strip(self._next)
            self._next = next(self._coming, None)
            if strip is not None:
                finished.append(strip)
        return finished

    def _strip(self, rows: Piece) -> tuple[int, Tensor] | None:
        """Compute one strip, chunk by chunk."""
        start, stop = rows.spans[self.flow.output]
        logits = None
        fresh = self._input(*rows.spans[0])
        for number, columns in enumerate(self._columns):
            piece = self._piece(rows, columns, fresh, first=number == 0)
            if piece is None:
                continue
            if len(self._columns) == 1:
                logits = piece
                break
            if logits is None:
                logits = piece.new_empty(1, self._classes, stop - start, self.region.width)
            left = columns.spans[self.flow.output][0] - self._out_left
            logits[..., left : left + piece.shape[3]].copy_(piece)
        return None if logits is None else (start, logits)

    def _input(self, start: int, stop: int) -> Tensor:
        """The input's rows from start to stop; what lies before them is let go."""
        joined = self._waiting[0] if len(self._waiting) == 1 else torch.cat(self._waiting, 2)
        taken = joined[:, :, start - self._at : stop - self._at]
        self._waiting = [joined[:, :, stop - self._at :]]
        self._at = stop
        return taken

    def _piece(self, rows: Piece, columns: Piece, fresh: Tensor, *, first: bool) -> Tensor | None:
        """Run every step on one chunk of one strip; the finished logits, if any."""
        kept, result = self._kept, None
        for value, store in enumerate(kept):
            store.begin(rows.spans[value], columns.spans[value], first=first)
        left, right = columns.spans[0]
        if fresh.shape[2] and right > left:
            kept[0].put(fresh[..., left - self.reads.left : right - self.reads.left])
        for number, step in enumerate(self.flow.steps):
            made = number + 1
            if rows.parts[number].count and columns.parts[number].count:
                data = self._run(step, number, rows, columns)
                kept[made].put(data)
                if made == self.flow.output:
                    result = data
            for value in self._last_use[number]:
                kept[value].end(rows.keep[value], columns.keep[value])
        return result

    def _run(self, step: Step, number: int, rows: Piece, columns: Piece) -> Tensor:
        ys, xs = rows.parts[number], columns.parts[number]
        inputs = [self._kept[value].take((ys.first, ys.end), (xs.first, xs.end)) for value in step.inputs]
        out = self._room(number + 1, rows, columns)
        if out is None or step.writes:
            return _compute(step, inputs, ys, xs, out)
        # What is to be copied is computed a few rows at a time, to be copied while it is in the cache.
        parts = -(-out.numel() * out.element_size() // self._cache)
        few = -(-ys.count // parts)
        axis, size = step.operator.rows, ys.units
        for start in range(ys.start, ys.stop, few):
            some = part(axis, start, min(start + few, ys.stop), size)
            data = [x[:, :, some.first - ys.first : some.end - ys.first] for x in inputs]
            target = out[:, :, start - ys.start : some.stop - ys.start]
            made = _compute(step, data, some, xs, target)
            if made is not target:
                target.copy_(made)
        return out

    def _room(self, value: int, rows: Piece, columns: Piece) -> Tensor | None:
        around = wanted_around(self.flow, value, rows, columns)
        return None if around is None else self._kept[value].room(*around)


def wanted_around(flow: Flow, value: int, rows: Piece, columns: Piece) -> tuple[Span, Span] | None:
    """The largest rectangle that a reader takes of a value's new piece and what is kept around it, if one does."""
    (top, bottom), (left, right) = rows.spans[value], columns.spans[value]
    best, area = None, (bottom - top) * (right - left)
    for user in flow.users[value]:
        ys, xs = rows.parts[user], columns.parts[user]
        if ys.end == bottom and xs.end == right and ys.first <= top and xs.first <= left:
            size = (bottom - ys.first) * (right - xs.first)
            if size > area:
                best, area = ((ys.first, ys.end), (xs.first, xs.end)), size
    return best


def _compute(step: Step, inputs: list[Tensor], rows: Part, columns: Part, out: Tensor | None) -> Tensor:
    if not step.tail:
        return step.operator.run(inputs, rows, columns, out)
    data = step.operator.run(inputs, rows, columns)
    if any(data is x for x in inputs):
        data = data.clone()  # the tail may write over it
    for layer in step.tail[:-1]:
        data = layer.finish(data, None)
    return step.tail[-1].finish(data, out)


def schedules(
    flow: Flow, shape: tuple[int, int], region: Rect, strip: int, chunk: int | None
) -> tuple[Schedule, Schedule]:
    """The strips and the chunks of a region."""
    sizes = flow.shapes(shape)
    rows = Schedule(flow, 0, [h for h, _ in sizes], (region.top, region.bottom), strip)
    return rows, Schedule(flow, 1, [w for _, w in sizes], (region.left, region.right), chunk)


def last_use(flow: Flow) -> list[list[int]]:
    """For each step, the values that no later step reads."""
    last: list[list[int]] = [[] for _ in flow.steps]
    for value, users in enumerate(flow.users):
        last[max(users) if users else value - 1].append(value)
    return last
