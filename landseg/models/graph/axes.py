"""Which units of its input an operator's output unit reads, along one axis: integers only, nothing is run.

Every kind of reading answers the same questions, so that receptive fields, schedules and buffers are computed from
one description. ``first`` and ``last`` are not clipped at the input's edges: what lies outside is padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol


@dataclass(frozen=True)
class UnitReach:
    """Along one axis, output unit g reads input units from ``stride * g + low`` to ``stride * g + high``.

    ``stride`` is below 1 for upsampling; ``low`` and ``high`` are then the widest over the phases.
    ``centre`` is where the middle of that span lies, relative to ``stride * g``.
    """

    stride: Fraction = Fraction(1)
    low: Fraction = Fraction(0)
    high: Fraction = Fraction(0)
    centre: Fraction = Fraction(0)


@dataclass(frozen=True)
class Unbounded:
    """The layer reads the whole of its input (or what it reads is not known)."""

    why: str


class Axis(Protocol):
    """How an operator reads its input along one axis."""

    @property
    def reach(self) -> UnitReach: ...

    def first(self, unit: int) -> int:
        """The first input unit that output ``unit`` reads; below 0 in the padding."""

    def last(self, unit: int) -> int:
        """The last one, never before ``first``."""

    def size(self, units: int) -> int:
        """How many output units an input of so many has; below 1 where it is too small."""


@dataclass(frozen=True)
class KernelAxis:
    """Convolutions and pools: a kernel that moves by ``stride``; ``end`` is padding behind, on top of ``padding``.

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
        """From the first to the last unit under the kernel."""
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
        # A window that would start behind the input's end, in the padding, is left out.
        return size - 1 if (size - 1) * self.stride >= units + self.padding else size


@dataclass(frozen=True)
class TransposedAxis:
    """Transposed convolutions: every input unit is spread over a kernel, ``stride`` output units apart.

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
        # Phases between kernels shorter than the stride read nothing, and so nothing far away.
        reached = [phase for phase in range(self.stride) if self._begins(phase) <= self.last(phase)]
        lows = [Fraction(self.first(phase)) - Fraction(phase, self.stride) for phase in reached]
        highs = [Fraction(self.last(phase)) - Fraction(phase, self.stride) for phase in reached]
        centre = Fraction(2 * self.padding - (self.kernel - 1) * self.dilation, 2 * self.stride)
        return UnitReach(Fraction(1, self.stride), min(lows), max(highs), centre)

    def first(self, unit: int) -> int:
        # Where the kernel is shorter than the stride, some outputs read nothing: they are said to read one unit.
        return min(self._begins(unit), self.last(unit))

    def last(self, unit: int) -> int:
        return (unit + self.padding) // self.stride

    def _begins(self, unit: int) -> int:
        return -((self.extent - unit - self.padding) // self.stride)

    def size(self, units: int) -> int:
        return (units - 1) * self.stride - 2 * self.padding + self.extent + self.extra + 1

    @property
    def extent(self) -> int:
        """From the first to the last unit under the kernel."""
        return (self.kernel - 1) * self.dilation


@dataclass(frozen=True)
class BilinearAxis:
    """Bilinear upsampling by ``factor`` with unit 0 at output pixel ``shift``, the last units held.

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
class Part:
    """What one step computes of an axis, and what it reads for that.

    Attributes:
        start, stop: output units.
        first, end: the input units that exist among those read.
        before, after: how many it reads outside of the input, in the padding.
        units: the input's size.
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
        """The first unit read, counting padding."""
        return self.first - self.before


def part(axis: Axis, start: int, stop: int, units: int) -> Part:
    """What computing outputs ``start`` to ``stop`` reads of an input of so many units.

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
