"""The input units that an operator reads for an output unit, along one axis: integers only, no network is run.

Every class answers the same questions, so that receptive fields, schedules and buffers are computed from one
description. ``first`` and ``last`` are not clipped at the input's edges: units outside are padding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol


@dataclass(frozen=True)
class UnitReach:
    """The span of an output unit g along one axis: input units ``stride * g + low`` to ``stride * g + high``.

    ``stride`` is below 1 for upsampling; ``low`` and ``high`` are then the widest over the phases.
    ``centre`` is the middle of the span, relative to ``stride * g``.
    """

    stride: Fraction = Fraction(1)
    low: Fraction = Fraction(0)
    high: Fraction = Fraction(0)
    centre: Fraction = Fraction(0)


@dataclass(frozen=True)
class Unbounded:
    """The reach of a layer that reads its whole input, or whose reach is not known.

    Attributes:
        why: the reason.
        form: its kind and settings in a recipe; None where recipes have no kind for it.
    """

    why: str
    form: tuple[str, Mapping[str, Any]] | None = None


class Axis(Protocol):
    """The reading of an operator along one axis."""

    @property
    def reach(self) -> UnitReach: ...

    def first(self, unit: int) -> int:
        """Return the first input unit that output ``unit`` reads; below 0 in the padding."""

    def last(self, unit: int) -> int:
        """Return the last input unit that output ``unit`` reads, never before ``first``."""

    def size(self, units: int) -> int:
        """Return the number of output units for ``units`` input units; below 1 for too few units."""


@dataclass(frozen=True)
class KernelAxis:
    """The axis of convolutions and pools: a kernel moves by ``stride``; ``end`` is more padding behind the input.

    >>> axis = KernelAxis(3, stride=2, padding=1)
    >>> axis.first(5), axis.last(5), axis.size(11)
    (9, 11, 6)
    """

    kernel: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    ceil: bool = False
    end: int = 0

    @property
    def extent(self) -> int:
        """The distance from the first to the last unit under the kernel."""
        return (self.kernel - 1) * self.dilation

    @property
    def reach(self) -> UnitReach:
        low, high = -self.padding, self.extent - self.padding
        return UnitReach(Fraction(self.stride), Fraction(low), Fraction(high), Fraction(low + high, 2))

    def first(self, unit: int) -> int:
        return unit * self.stride - self.padding

    def last(self, unit: int) -> int:
        return self.first(unit) + self.extent

    def size(self, units: int) -> int:
        room = units + 2 * self.padding + self.end - self.extent - 1
        if not self.ceil:
            return room // self.stride + 1
        size = -(-room // self.stride) + 1
        # A kernel position that starts behind the input's end, in the padding, is left out.
        return size - 1 if (size - 1) * self.stride >= units + self.padding else size


@dataclass(frozen=True)
class TransposedAxis:
    """The axis of transposed convolutions: input units are spread over kernels, ``stride`` output units apart.

    >>> axis = TransposedAxis(4, stride=2, padding=1)
    >>> axis.first(5), axis.last(5), axis.size(11)
    (2, 3, 22)
    """

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    extra: int = 0

    @property
    def reach(self) -> UnitReach:
        # Phases between kernels that are shorter than the stride read nothing and are left out.
        reached = [phase for phase in range(self.stride) if self._begins(phase) <= self.last(phase)]
        lows = [Fraction(self.first(phase)) - Fraction(phase, self.stride) for phase in reached]
        highs = [Fraction(self.last(phase)) - Fraction(phase, self.stride) for phase in reached]
        centre = Fraction(2 * self.padding - (self.kernel - 1) * self.dilation, 2 * self.stride)
        return UnitReach(Fraction(1, self.stride), min(lows), max(highs), centre)

    def first(self, unit: int) -> int:
        # Outputs between kernels that are shorter than the stride read nothing: here they read one unit.
        return min(self._begins(unit), self.last(unit))

    def last(self, unit: int) -> int:
        return (unit + self.padding) // self.stride

    def _begins(self, unit: int) -> int:
        return -((self.extent - unit - self.padding) // self.stride)

    def size(self, units: int) -> int:
        return (units - 1) * self.stride - 2 * self.padding + self.extent + self.extra + 1

    @property
    def extent(self) -> int:
        """The distance from the first to the last unit under the kernel."""
        return (self.kernel - 1) * self.dilation


@dataclass(frozen=True)
class BilinearAxis:
    """The axis of bilinear upsampling by ``factor``: unit 0 at output pixel ``shift``, the end units held.

    >>> axis = BilinearAxis(4)
    >>> axis.first(5), axis.last(5), axis.last(4)
    (1, 2, 1)
    """

    factor: int
    shift: Fraction = Fraction(0)

    @property
    def reach(self) -> UnitReach:
        phases = range(self.factor)
        low = min(self.first(p) - Fraction(p, self.factor) for p in phases)
        high = max(self.last(p) - Fraction(p, self.factor) for p in phases)
        return UnitReach(Fraction(1, self.factor), low, high, -self.shift / self.factor)

    def first(self, unit: int) -> int:
        return int((unit - self.shift) // self.factor)

    def last(self, unit: int) -> int:
        return -int((self.shift - unit) // self.factor)

    def size(self, units: int) -> int:
        return units * self.factor


@dataclass(frozen=True)
class NearestAxis(BilinearAxis):
    """The axis of upsampling to the nearest unit, or to the mean of two where a pixel lies midway.

    >>> axis = NearestAxis(2)
    >>> axis.first(4), axis.last(4), axis.first(5), axis.last(5)
    (2, 2, 2, 3)
    """

    @property
    def reach(self) -> UnitReach:
        phases = [(Fraction(p, self.factor), self._nearest(p), self.last(p)) for p in range(self.factor)]
        low, high = min(first - at for at, first, _ in phases), max(last - at for at, _, last in phases)
        return UnitReach(Fraction(1, self.factor), low, high, -self.shift / self.factor)

    def first(self, unit: int) -> int:
        # The nearest unit may not exist; the unit before it is held there, so it must be read too.
        return self._nearest(unit) if self.shift else min(self._nearest(unit), unit // self.factor)

    def last(self, unit: int) -> int:
        return int((2 * (unit - self.shift) + self.factor) // (2 * self.factor))

    def _nearest(self, unit: int) -> int:
        return -int((self.factor - 2 * (unit - self.shift)) // (2 * self.factor))


@dataclass(frozen=True)
class CellAxis:
    """The axis of operators whose units read their whole cell, ``factor`` wide; cells begin at the first unit.

    >>> axis = CellAxis(2)
    >>> axis.first(5), axis.last(5), axis.size(11)
    (4, 5, 11)
    """

    factor: int

    @property
    def reach(self) -> UnitReach:
        return UnitReach(low=Fraction(1 - self.factor), high=Fraction(self.factor - 1))

    def first(self, unit: int) -> int:
        return unit // self.factor * self.factor

    def last(self, unit: int) -> int:
        return self.first(unit) + self.factor - 1

    def size(self, units: int) -> int:
        return units


@dataclass(frozen=True)
class SkippedAxis:
    """The axis of an operator that leaves out the first ``count`` units."""

    count: int

    @property
    def reach(self) -> UnitReach:
        count = Fraction(self.count)
        return UnitReach(low=count, high=count, centre=count)

    def first(self, unit: int) -> int:
        return unit + self.count

    def last(self, unit: int) -> int:
        return unit + self.count

    def size(self, units: int) -> int:
        return units - self.count


@dataclass(frozen=True)
class ResampledAxis:
    """The axis of linear resizing by ``up / down``: unit 0 on unit 0, the last unit held.

    >>> axis = ResampledAxis(3, 4)
    >>> axis.first(2), axis.last(2), axis.last(3), axis.size(10)
    (2, 3, 4, 8)
    """

    up: int
    down: int

    @property
    def reach(self) -> UnitReach:
        stride = Fraction(self.down, self.up)
        low = min(self.first(phase) - stride * phase for phase in range(self.up))
        high = max(self.last(phase) - stride * phase for phase in range(self.up))
        return UnitReach(stride, low, high)

    def first(self, unit: int) -> int:
        return unit * self.down // self.up

    def last(self, unit: int) -> int:
        return -(-unit * self.down // self.up)

    def size(self, units: int) -> int:
        return -(-units * self.up // self.down)


@dataclass(frozen=True)
class PaddedAxis:
    """The axis of padding behind the input, up to a multiple."""

    multiple: int

    @property
    def reach(self) -> UnitReach:
        return UnitReach()

    def first(self, unit: int) -> int:
        return unit

    def last(self, unit: int) -> int:
        return unit

    def size(self, units: int) -> int:
        return -(-units // self.multiple) * self.multiple


@dataclass(frozen=True)
class Part:
    """The output units that a step computes along an axis, and the input units that it reads.

    Attributes:
        start, stop: range of the output units.
        first, end: range of the input units read that exist.
        before, after: number of units read in the padding at either end.
        units: size of the input.
    """

    start: int
    stop: int
    first: int
    end: int
    before: int
    after: int
    units: int

    @property
    def count(self) -> int:
        return self.stop - self.start

    @property
    def unclipped(self) -> int:
        """The first unit read, with the padding counted."""
        return self.first - self.before


def part(axis: Axis, start: int, stop: int, units: int) -> Part:
    """Return the part of an axis for outputs ``start`` to ``stop`` from an input of ``units`` units.

    >>> part(KernelAxis(3, padding=1), 0, 4, 4)
    Part(start=0, stop=4, first=0, end=4, before=1, after=1, units=4)
    """
    if stop <= start:
        return Part(start, start, 0, 0, 0, 0, units)
    low, high = axis.first(start), axis.last(stop - 1) + 1
    first = min(max(low, 0), units)
    end = max(min(high, units), first)
    before = max(0, min(-low, high - low))
    return Part(start, stop, first, end, before, high - low - before - (end - first), units)
