"""More ways to read along one axis: layers that resize, cut or fill by fixed factors."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from landseg.models.graph.axes import BilinearAxis, UnitReach


@dataclass(frozen=True)
class NearestAxis(BilinearAxis):
    """Upsampling to the nearest unit, to both where a pixel lies midway.

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
        # The nearest unit may be one that does not exist; the one before it is held there, so it must be at hand.
        return self._nearest(unit) if self.shift else min(self._nearest(unit), unit // self.factor)

    def last(self, unit: int) -> int:
        return int((2 * (unit - self.shift) + self.factor) // (2 * self.factor))

    def _nearest(self, unit: int) -> int:
        return -int((self.factor - 2 * (unit - self.shift)) // (2 * self.factor))


@dataclass(frozen=True)
class Cells:
    """Every unit reads all units of its cell; cells are ``factor`` wide and begin at the input's first unit.

    >>> axis = Cells(2)
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
class Skipped:
    """The first ``count`` units are left out."""

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
class Resample:
    """Linear resizing by ``up / down`` with unit 0 on unit 0, the last unit held.

    >>> axis = Resample(3, 4)
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
    """Padding behind the input, up to a multiple."""

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
