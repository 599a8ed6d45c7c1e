"""A network cut into sections that work at the same time, each on another piece of the raster.

One section is a range of steps with buffers for the values that they read. Pieces go through the sections one
behind the other, as on an assembly line: each section has its own threads, and none waits for the others at every
layer. The places of the cuts decide speed alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from landseg.geo.grid import Rect
from landseg.models.graph.axes import Part, part
from landseg.models.layers.upsample import in_full
from landseg.tiling.rows.buffers import RowBuffer, Span
from landseg.tiling.rows.fused_chain import CACHE, ProgramStep
from landseg.tiling.rows.program import StepProgram
from landseg.tiling.rows.schedule import AxisPiece, Schedule


@dataclass(frozen=True)
class Made:
    """The result of a section for one piece: the new rectangle of each value that a later section reads."""

    rows: AxisPiece
    columns: AxisPiece
    values: Mapping[int, Tensor]
    last: bool = False  # of its strip


def cut(program: StepProgram, count: int, bands: int) -> list[range]:
    """Return the steps in at most so many ranges of about the same cost."""
    channels = program.channels(bands)
    scales = program.scales()
    costs = [
        step.operator.cost([channels[value] for value in step.inputs]) * float(scales[number + 1]) ** -2
        for number, step in enumerate(program.steps)
    ]
    done = list(accumulate(costs))
    ends = [min(range(len(done)), key=lambda n: abs(done[n] - done[-1] * i / count)) + 1 for i in range(1, count)]
    edges = sorted({0, *ends, len(done)})
    return [range(a, b) for a, b in pairwise(edges)]


class Section:
    """Consecutive steps of a network.

    Args:
        program: all steps.
        steps: the numbers of this section's.
        rows, columns: the schedules, which keep the units that this section's steps read.
        channels: of every value.
        like: an empty tensor that lends dtype and device.
        threads: that torch computes with in here.
    """

    def __init__(
        self,
        program: StepProgram,
        steps: range,
        rows: Schedule,
        columns: Schedule,
        *,
        channels: list[int],
        like: Tensor,
        threads: int,
    ) -> None:
        self._program, self._steps, self._cache = program, steps, threads * CACHE
        self._coming, self._columns, self._at = iter(rows), list(columns), 0
        self._rows: AxisPiece | None = None
        depths, full = rows.depths(), program.full()
        self._kept = {
            value: RowBuffer(
                channels[value],
                depths[value],
                (columns.starts[value], columns.ends[value]),
                in_full(like) if full[value] else like,
            )
            for value in reads(program, steps)
        }
        self._outer = {value for value in self._kept if value <= steps.start}
        later = reads(program, range(steps.stop, len(program.steps)))
        self._handed_on = {value for value in later if value <= steps.stop} | {program.output}
        self._last_use = last_use(program, steps)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows kept."""
        return sum(kept.nbytes for kept in self._kept.values())

    @torch.inference_mode()
    def run(self, given: Made) -> Made:
        """Compute the next piece from the result of earlier sections."""
        first = self._at == 0
        if first:
            self._rows = next(self._coming)
        rows, columns = self._rows, self._columns[self._at]
        assert rows is not None and rows.spans == given.rows.spans, "sections go through the pieces in one order"
        self._at = (self._at + 1) % len(self._columns)
        for value, store in self._kept.items():
            store.begin(rows.spans[value], columns.spans[value], first=first)
        for value in self._outer & given.values.keys():
            self._kept[value].put(given.values[value])
        handed_on = {value: given.values[value] for value in self._handed_on & given.values.keys()}
        for number in self._steps:
            if rows.parts[number].count and columns.parts[number].count:
                data = self._run(self._program.steps[number], number, rows, columns)
                if number + 1 in self._kept:
                    self._kept[number + 1].put(data)
                if number + 1 in self._handed_on:
                    handed_on[number + 1] = data
                del data  # its buffer holds it as long as it is read
            for value in self._last_use.get(number, ()):
                self._kept[value].end(rows.keep[value], columns.keep[value])
        return Made(rows, columns, handed_on, self._at == 0)

    def _run(self, step: ProgramStep, number: int, rows: AxisPiece, columns: AxisPiece) -> Tensor:
        ys, xs = rows.parts[number], columns.parts[number]
        inputs = [self._kept[value].take((ys.first, ys.end), (xs.first, xs.end)) for value in step.inputs]
        out = self._room(number + 1, rows, columns)
        if out is None or step.writes:
            return _compute(step, inputs, ys, xs, out)
        # Data that will be copied is computed a few rows at a time, to be copied while it is in the cache.
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

    def _room(self, value: int, rows: AxisPiece, columns: AxisPiece) -> Tensor | None:
        if value not in self._kept:
            return None
        around = wanted_around(self._program, self._steps, value, rows, columns)
        return None if around is None else self._kept[value].room(*around)


def reads(program: StepProgram, steps: range) -> list[int]:
    """Return the values that these steps read."""
    return sorted({value for number in steps for value in program.steps[number].inputs})


def last_use(program: StepProgram, steps: range) -> dict[int, list[int]]:
    """Return for a step the values that no later one of these steps reads."""
    last: dict[int, list[int]] = {}
    for value in reads(program, steps):
        last.setdefault(max(number for number in program.users[value] if number in steps), []).append(value)
    return last


def wanted_around(
    program: StepProgram, steps: range, value: int, rows: AxisPiece, columns: AxisPiece
) -> tuple[Span, Span] | None:
    """Return the largest rectangle that a step reads around a value's new piece; None: the piece alone."""
    (top, bottom), (left, right) = rows.spans[value], columns.spans[value]
    best, area = None, (bottom - top) * (right - left)
    for user in program.users[value]:
        ys, xs = rows.parts[user], columns.parts[user]
        if user in steps and ys.end == bottom and xs.end == right and ys.first <= top and xs.first <= left:
            size = (bottom - ys.first) * (right - xs.first)
            if size > area:
                best, area = ((ys.first, ys.end), (xs.first, xs.end)), size
    return best


def schedules(
    program: StepProgram,
    shape: tuple[int, int],
    region: Rect,
    strip: int,
    chunk: int | None,
    steps: range | None = None,
) -> tuple[Schedule, Schedule]:
    """Return the strips and the chunks of a region, which keep the units that these steps (None: all) read."""
    sizes = program.shapes(shape)
    heights, widths = [h for h, _ in sizes], [w for _, w in sizes]
    rows = Schedule(program, 0, heights, (region.top, region.bottom), strip, steps)
    return rows, Schedule(program, 1, widths, (region.left, region.right), chunk, steps)


def _compute(step: ProgramStep, inputs: list[Tensor], rows: Part, columns: Part, out: Tensor | None) -> Tensor:
    if not step.tail:
        return step.operator.run(inputs, rows, columns, out)
    data = step.operator.run(inputs, rows, columns)
    if any(data is x for x in inputs):
        data = data.clone()  # the tail may write over it
    for layer in step.tail[:-1]:
        data = layer.finish(data, None)
    return step.tail[-1].finish(data, out)
