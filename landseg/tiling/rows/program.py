"""A network as a list of steps that can be run piece by piece, in the order of its forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from torch import fx, nn

from landseg.errors import PlanError
from landseg.models.graph.nodes import LiveNode, live_graph
from landseg.models.graph.operators import Pointwise
from landseg.models.graph.rules import name_of
from landseg.tiling.rows.fused_chain import ProgramStep, chained, strides

Shape = tuple[int, int]


@dataclass(frozen=True)
class StepProgram:
    """The steps of a network.

    Attributes:
        steps: in an order in which they can run.
        output: the value that is the network's result.
        users: for each value, the steps that read it.
    """

    steps: tuple[ProgramStep, ...]
    output: int
    users: tuple[tuple[int, ...], ...]

    def shapes(self, shape: Shape) -> list[Shape]:
        """Return the (height, width) of every value, for an input of this shape.

        Raises:
            PlanError: the input is too small for a layer, or branches of different sizes meet.
        """
        shapes = [shape]
        for step in self.steps:
            first = shapes[step.inputs[0]]
            if any(shapes[value] != first for value in step.inputs):
                raise PlanError(f"{step.name} joins features of different sizes; use --engine windows")
            size = step.operator.rows.size(first[0]), step.operator.columns.size(first[1])
            if step.like is not None:
                like = shapes[step.like]
                if any(have < want for have, want in zip(size, like, strict=True)):
                    raise PlanError(f"{step.name} makes {size}, less than the {like} it is to cover")
                size = like
            if min(size) < 1:
                raise PlanError(f"an image of {shape[0]} x {shape[1]} is too small for {step.name}")
            shapes.append(size)
        return shapes

    @property
    def period(self) -> int:
        """The number of output units after which the pattern of reading repeats, for every value."""
        scales = self.scales()
        return lcm(*((scale / scales[self.output]).numerator for scale in scales))

    def scales(self) -> list[Fraction]:
        """Return the number of input rows between two rows of every value."""
        return strides(self.steps)

    def full(self) -> list[bool]:
        """Return for every value whether it is in float32, whatever the network's precision."""
        full = [False]
        for step in self.steps:
            full.append(step.operator.full or any(full[value] for value in step.inputs))
        return full

    def sizes(self, bands: int, itemsize: int) -> list[int]:
        """Return the room that a unit of every value takes, counted in numbers of the network's precision."""
        more = max(1, 4 // itemsize)
        return [n * (more if full else 1) for n, full in zip(self.channels(bands), self.full(), strict=True)]

    def channels(self, bands: int) -> list[int]:
        """Return the channels of every value, for an input of so many bands."""
        channels = [bands]
        for step in self.steps:
            channels.append(step.operator.channels([channels[value] for value in step.inputs]))
        return channels


def program_of(network: nn.Module) -> StepProgram:
    """Return the steps of a network in evaluation mode; they share its parameters.

    Raises:
        PlanError: a layer is not known, or reads the whole of its input; the message names it.
        ModelError: the network cannot be traced.
    """
    graph = live_graph(network)
    value = {graph.input: 0}
    steps: list[ProgramStep] = []
    for live in graph.nodes:
        operator = live.operator
        if _continues(live, steps, value):
            last = steps[-1]
            assert isinstance(operator, Pointwise)
            if last.tail or not last.operator.absorb(operator):
                steps[-1] = ProgramStep(last.name, last.operator, (*last.tail, operator), last.inputs, last.like)
        else:
            like = None if live.like is None else value[live.like]
            inputs = tuple(value[node] for node in live.inputs)
            steps.append(ProgramStep(name_of(live.node), operator, (), inputs, like))
        value[live.node] = len(steps)
    return _with_users(*chained(steps, value[graph.result]))


def _with_users(steps: Sequence[ProgramStep], output: int) -> StepProgram:
    users: list[list[int]] = [[] for _ in range(len(steps) + 1)]
    for number, step in enumerate(steps):
        for read in set(step.inputs):
            users[read].append(number)
    return StepProgram(tuple(steps), output, tuple(map(tuple, users)))


def _continues(live: LiveNode, steps: list[ProgramStep], value: dict[fx.Node, int]) -> bool:
    """Return True if the node only finishes the value that the last step made."""
    operator, sources = live.operator, live.inputs
    return (
        isinstance(operator, Pointwise)
        and operator.order is None
        and len(sources) == 1
        and len(sources[0].users) == 1
        and bool(steps)
        and value[sources[0]] == len(steps)
    )
