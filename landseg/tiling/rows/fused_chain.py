"""Pointwise, depthwise, pointwise: convolutions in a row that run as one step, a few rows at a time.

The data between them is the widest of a mobile network, and nothing else reads it. Made and used up while it
is in the cache, it is neither kept nor copied; the first convolution's rows under the next one's kernel are
computed again where two pieces meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import torch
from torch import Tensor

from landseg.models.graph.axes import KernelAxis, Part, part
from landseg.models.graph.operators import Convolution, Operator, Pointwise
from landseg.models.layers.upsample import in_full
from landseg.runtime.cpu_cache import second_level_cache

_FINEST = 8  # input pixels a unit: at coarser strides computing rows again costs more than keeping them
CACHE = second_level_cache()  # in bytes; how many rows run at a time follows from it, and no value


class Chain(Operator):
    """Convolutions in a row of which one alone, the slider, reads more than one unit.

    Args:
        layers: in their order.
        slider: which of them slides; the geometry is its own.
    """

    def __init__(self, layers: Sequence[Convolution], slider: int) -> None:
        self._layers, self._slider = list(layers), slider
        self.rows, self.columns = layers[slider].rows, layers[slider].columns
        self.full = any(layer.full for layer in layers)

    def channels(self, inputs: Sequence[int]) -> int:
        return self._layers[-1].channels(inputs)

    def cost(self, channels: Sequence[int]) -> float:
        total, each = 0.0, float(self.rows.reach.stride * self.columns.reach.stride)
        for number, layer in enumerate(self._layers):
            total += layer.cost(channels) * (each if number < self._slider else 1.0)
            channels = [layer.channels(channels)]
        return total

    def scratch(self, channels: int, rows: Part, columns: Part, itemsize: int) -> int:
        few = self._few(channels, rows, columns, itemsize)
        under = self.rows.last(few - 1) - self.rows.first(0) + 1
        widths = self._widths(channels, rows, columns)
        sizes = [values * (few if number > self._slider else under) for number, (_, values) in enumerate(widths)]
        return sum(sorted(sizes[1:])[-2:])

    def run(self, inputs: Sequence[Tensor], rows: Part, columns: Part, out: Tensor | None = None) -> Tensor:
        x = inputs[0]
        if out is None:
            shape = x.shape[0], rows.count, columns.count, self.channels([x.shape[1]])
            out = (in_full(x[:0]) if self.full else x).new_empty(shape).permute(0, 3, 1, 2)
        few = self._few(x.shape[1], rows, columns, x.element_size()) if x.device.type == "cpu" else rows.count
        for start in range(rows.start, rows.stop, few):
            some = part(self.rows, start, min(start + few, rows.stop), rows.units)
            data = x[:, :, some.first - rows.first : some.end - rows.first]
            for number, layer in enumerate(self._layers):
                if number == self._slider:
                    data = layer.run([data], some, columns)
                else:
                    data = layer.run([data], _all(data.shape[2]), _all(data.shape[3]))
            out[:, :, start - rows.start : some.stop - rows.start].copy_(data)
        return out

    def _widths(self, channels: int, rows: Part, columns: Part) -> list[tuple[float, int]]:
        """Return for the input and every layer's result: rows for one of the output, and values in each."""
        tall = (rows.end - rows.first + rows.before + rows.after) / rows.count
        wide = columns.end - columns.first + columns.before + columns.after
        sizes = [(tall, wide * channels)]
        for number, layer in enumerate(self._layers):
            channels = layer.channels([channels])
            sizes.append((1.0, columns.count * channels) if number >= self._slider else (tall, wide * channels))
        return sizes

    def _few(self, channels: int, rows: Part, columns: Part, itemsize: int) -> int:
        """Return the rows to run at a time, in equal parts, so that the data between two layers fits the cache."""
        most = max(tall * values for tall, values in self._widths(channels, rows, columns)[1:-1])
        parts = -(-rows.count * most * itemsize // (CACHE * torch.get_num_threads()))
        return -(-rows.count // max(1, int(parts)))


def _all(units: int) -> Part:
    return Part(0, units, 0, units, 0, 0, units)


def chained(steps: Sequence[ProgramStep], output: int) -> tuple[list[ProgramStep], int]:
    """Return the same steps with convolutions in a row as one, and the number of the output's value among them."""
    readers = [0] * (len(steps) + 1)
    for step in steps:
        for value in {*step.inputs, step.inputs[0] if step.like is None else step.like}:
            readers[value] += 1
    readers[output] += 1
    scales = strides(steps)
    made: list[ProgramStep] = []
    number = {0: 0}
    at = 0
    while at < len(steps):
        count, slider = _chain(steps, at, readers, scales)
        members = steps[at : at + count]
        step = members[0] if count == 1 else _as_one(members, slider)
        like = None if step.like is None else number[step.like]
        made.append(replace(step, inputs=tuple(number[value] for value in step.inputs), like=like))
        at += count
        number[at] = len(made)
    return made, number[output]


def _chain(
    steps: Sequence[ProgramStep], at: int, readers: Sequence[int], scales: Sequence[Fraction]
) -> tuple[int, int]:
    """Return the number of steps of the chain from this one on, and the index of the one that slides."""

    def handed_on(number: int) -> bool:
        """Return True if the next step, and nothing else, reads the value that this one makes."""
        return number + 1 < len(steps) and readers[number + 1] == 1 and steps[number + 1].inputs == (number + 1,)

    def widens(number: int) -> bool:
        """Return True if the step is pointwise before one that slides, and cheap enough to be computed again."""
        fine = _pointwise(steps[number]) and scales[number + 1] <= _FINEST
        return fine and handed_on(number) and _depthwise(steps[number + 1])

    slider = int(widens(at))
    last = at + slider
    if not _depthwise(steps[last]):
        return 1, 0
    while handed_on(last) and _pointwise(steps[last + 1]) and not widens(last + 1):
        last += 1
    return last - at + 1, slider


def _as_one(members: Sequence[ProgramStep], slider: int) -> ProgramStep:
    layers = [step.operator for step in members]
    assert all(isinstance(layer, Convolution) for layer in layers)
    name = f"{members[0].name} to {members[-1].name}"
    return ProgramStep(name, Chain(layers, slider), (), members[0].inputs)  # type: ignore[arg-type]


def _pointwise(step: ProgramStep) -> bool:
    operator = step.operator
    if not isinstance(operator, Convolution) or step.tail:
        return False
    return operator.rows == operator.columns == KernelAxis() and operator.layer.groups == 1


def _depthwise(step: ProgramStep) -> bool:
    operator = step.operator
    return isinstance(operator, Convolution) and not step.tail and operator.layer.groups == operator.layer.in_channels


@dataclass(frozen=True)
class ProgramStep:
    """One operator and the pointwise layers right behind it. Step i makes value i + 1; value 0 is the input.

    Attributes:
        name: the layer's, for messages.
        operator: the operator to run.
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
        """True if the result is written to a given place in one pass, without a copy."""
        return isinstance(self.operator, Pointwise) and not self.tail and self.operator.into is not None


def strides(steps: Sequence[ProgramStep]) -> list[Fraction]:
    """Return the number of input rows between two rows of every value."""
    made = [Fraction(1)]
    for step in steps:
        made.append(made[step.inputs[0]] * step.operator.rows.reach.stride)
    return made
