"""The order of computing: one axis cut into pieces, every unit of every value in exactly one of them.

All cuts are cuts of the *output*, at multiples of the piece; the units that it needs of any other value follow by
going back through the steps. Cuts go on before the output's first unit, where early layers alone have work to do, so
that all pieces are alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import lcm

from landseg.models.graph.axes import Axis, Part, part
from landseg.tiling.rows.program import StepProgram


@dataclass(frozen=True)
class AxisPiece:
    """One piece of an axis.

    Attributes:
        parts: for each step, the units that it computes and reads.
        spans: for each value, the units (start, stop) that are new.
        keep: for each value, the first unit that a later piece reads; ``stop`` where none is.
    """

    parts: tuple[Part, ...]
    spans: tuple[tuple[int, int], ...]
    keep: tuple[int, ...]


class Schedule:
    """The pieces of one axis.

    Args:
        program: the steps of the network.
        axis: 0 rows, 1 columns.
        sizes: of every value along the axis.
        wanted: output units (start, stop).
        piece: output units a piece; cuts are at its multiples. None leaves the axis whole.
        readers: the steps that units are kept for; None is all.
    """

    def __init__(
        self,
        program: StepProgram,
        axis: int,
        sizes: Sequence[int],
        wanted: tuple[int, int],
        piece: int | None = None,
        readers: range | None = None,
    ) -> None:
        self.program, self.sizes, self.wanted = program, list(sizes), wanted
        self.readers = range(len(program.steps)) if readers is None else readers
        self.step = piece or wanted[1]
        self.whole = piece is None
        self.axes: list[Axis] = [step.operator.columns if axis else step.operator.rows for step in program.steps]
        self.starts = self._starts(wanted[0])
        unclipped = self._stops(wanted[1])
        self.ends = [max(low, min(stop, size)) for low, stop, size in zip(self.starts, unclipped, sizes, strict=True)]

    @property
    def reads(self) -> tuple[int, int]:
        """The input units (start, stop) that the wanted outputs depend on."""
        return self.starts[0], self.ends[0]

    @cached_property
    def first(self) -> int:
        """The number of the first piece in which anything happens."""
        if self.whole:
            return self.last
        number = self.wanted[0] // self.step + 1
        while any(stop > start for stop, start in zip(self._stops(number * self.step), self.starts, strict=True)):
            number -= 1
        return number

    @cached_property
    def last(self) -> int:
        """The number of the last piece."""
        return -(-self.wanted[1] // self.step) - 1

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __iter__(self) -> Iterator[AxisPiece]:
        before = self.starts
        for number in range(self.first, self.last + 1):
            after = self._bounds(number + 1)
            yield self._piece(before, after)
            before = after

    def depths(self) -> list[int]:
        """Return the number of units of each value that are kept between pieces, at most."""
        deepest = [0] * len(self.sizes)
        for piece in self.typical():
            for value, ((_, stop), keep) in enumerate(zip(piece.spans, piece.keep, strict=True)):
                deepest[value] = max(deepest[value], stop - keep)
        return deepest

    def typical(self) -> Iterator[AxisPiece]:
        """Yield enough pieces to see every size that occurs: to one period behind the last influence of the start."""
        enough = lcm(self.step, self.program.period) // self.step + 1
        for piece in self:
            yield piece
            if all(self._under_way(step, piece.spans[step + 1][1]) for step in range(len(self.axes))):
                enough -= 1
                if enough < 0:
                    return

    def _under_way(self, step: int, done: int) -> bool:
        """Return True if the units that the step reads next are beyond the padding at the start."""
        value = step + 1
        begun = self.starts[value] < done and self.axes[step].first(done) >= 0
        return begun or done == self.ends[value]

    def _starts(self, wanted: int) -> list[int]:
        """Return the first unit of every value that the output's units from ``wanted`` on depend on."""
        starts = [size for size in self.sizes]
        starts[self.program.output] = wanted
        for number in reversed(range(len(self.axes))):
            made = starts[number + 1]
            if made < self.sizes[number + 1]:
                for value in self.program.steps[number].inputs:
                    starts[value] = min(starts[value], max(0, self.axes[number].first(made)))
        return starts

    def _stops(self, wanted: int) -> list[int]:
        """Return the stop up to which outputs before ``wanted`` need each value, not clipped (it may be below 0)."""
        nothing = -(1 << 62)
        stops = [nothing] * len(self.sizes)
        stops[self.program.output] = wanted
        for number in reversed(range(len(self.axes))):
            made = stops[number + 1]
            if made > nothing:
                high = self.axes[number].last(made - 1) + 1
                for value in self.program.steps[number].inputs:
                    stops[value] = max(stops[value], high)
        return stops

    def _bounds(self, number: int) -> list[int]:
        """Return the stop of each value when the pieces before ``number`` are done."""
        if number > self.last:
            return self.ends
        stops = self._stops(number * self.step)
        return [max(low, min(stop, end)) for low, stop, end in zip(self.starts, stops, self.ends, strict=True)]

    def _piece(self, before: list[int], after: list[int]) -> AxisPiece:
        parts = tuple(
            part(axis, before[i + 1], after[i + 1], self.sizes[self.program.steps[i].inputs[0]])
            for i, axis in enumerate(self.axes)
        )
        keep = list(after)
        for i in self.readers:
            axis, following = self.axes[i], after[i + 1]
            if following < self.ends[i + 1]:
                first = max(0, axis.first(following))
                for value in self.program.steps[i].inputs:
                    keep[value] = min(keep[value], first)
        return AxisPiece(parts, tuple(zip(before, after, strict=True)), tuple(keep))
