"""One step of a network that runs piece by piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from landseg.models.graph.operators import Operator, Pointwise


@dataclass(frozen=True)
class Step:
    """One operator and the pointwise layers right behind it. Step i makes value i + 1; value 0 is the input.

    Attributes:
        name: the layer's, for messages.
        operator: what is run.
        tail: layers that work on its result alone, before anything else sees it.
        inputs: the values that it reads.
        like: the value that lends its size, for upsamplers.
    """

    name: str
    operator: Operator
    tail: tuple[Pointwise, ...]
    inputs: tuple[int, ...]
    like: int | None = None

    @property
    def writes(self) -> bool:
        """Whether the result is written to a given place in one pass, without a copy."""
        return isinstance(self.operator, Pointwise) and not self.tail and self.operator.into is not None


def strides(steps: Sequence[Step]) -> list[Fraction]:
    """Input rows between two rows of every value."""
    made = [Fraction(1)]
    for step in steps:
        made.append(made[step.inputs[0]] * step.operator.rows.reach.stride)
    return made
