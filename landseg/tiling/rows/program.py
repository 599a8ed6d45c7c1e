"""A network as a list of steps that can be run piece by piece, in the order of its forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from torch import fx, nn

from landseg.errors import PlanError
from landseg.models.graph.axes import Unbounded
from landseg.models.graph.operators import Operator, Pointwise, Upsample
from landseg.models.graph.rules import data_inputs, name_of, operator_at, traced_modules, writes_over_input
from landseg.models.layers.upsample import AlignedUpsample
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
    if network.training:
        raise PlanError("a network in training mode cannot be streamed; call eval() first")
    traced, modules = traced_modules(network)
    nodes = list(traced.graph.nodes)
    result = next(node for node in nodes if node.op == "output").args[0]
    if not isinstance(result, fx.Node) or sum(node.op == "placeholder" for node in nodes) != 1:
        raise PlanError("only a network with one input and one output can be streamed; use --engine windows")
    live = _live(result, modules)
    value = {node: 0 for node in nodes if node.op == "placeholder"}
    steps: list[ProgramStep] = []
    for node in nodes:
        if node not in live or node.op == "placeholder":
            continue
        operator = _streamed(node, modules)
        _refuse_later_readers(node, nodes, modules)
        inputs = tuple(value[n] for n in data_inputs(node, modules))
        if _continues(operator, node, modules, steps, value):
            last = steps[-1]
            assert isinstance(operator, Pointwise)
            if last.tail or not last.operator.absorb(operator):
                steps[-1] = ProgramStep(last.name, last.operator, (*last.tail, operator), last.inputs, last.like)
        else:
            lender = _lender(node) if isinstance(operator, Upsample) else None
            like = None if lender is None else value[lender]
            steps.append(ProgramStep(name_of(node), operator, (), inputs, like))
        value[node] = len(steps)
    return _with_users(*chained(steps, value[result]))


def _with_users(steps: Sequence[ProgramStep], output: int) -> StepProgram:
    users: list[list[int]] = [[] for _ in range(len(steps) + 1)]
    for number, step in enumerate(steps):
        for read in set(step.inputs):
            users[read].append(number)
    return StepProgram(tuple(steps), output, tuple(map(tuple, users)))


def _live(result: fx.Node, modules: dict[str, nn.Module]) -> set[fx.Node]:
    """Return the nodes whose values or sizes the result depends on."""
    live: set[fx.Node] = set()
    waiting = [result]
    while waiting:
        node = waiting.pop()
        if node not in live:
            live.add(node)
            waiting += data_inputs(node, modules)
            layer = modules.get(str(node.target)) if node.op == "call_module" else None
            if isinstance(layer, AlignedUpsample) and (lender := _lender(node)) is not None:
                waiting.append(lender)
    return live


def _lender(node: fx.Node) -> fx.Node | None:
    """Return the node that an upsampler takes its size from; None where it keeps its own."""
    like = node.args[1] if len(node.args) > 1 else node.kwargs.get("like")
    assert like is None or isinstance(like, fx.Node)
    return like


def _streamed(node: fx.Node, modules: dict[str, nn.Module]) -> Operator:
    """Return the operator of a node; raise PlanError if it cannot be streamed."""
    found = Unbounded("a constant of the network's own") if node.op == "get_attr" else operator_at(node, modules)
    if isinstance(found, Unbounded):
        raise PlanError(f"{name_of(node)} cannot be streamed ({found.why}); use --engine windows")
    return found


def _refuse_later_readers(node: fx.Node, nodes: list[fx.Node], modules: dict[str, nn.Module]) -> None:
    """Raise PlanError if a node writes over a value that is read later: steps never write over their inputs."""
    if not writes_over_input(node, modules):
        return
    source = node.all_input_nodes[0]
    if any(nodes.index(user) > nodes.index(node) for user in source.users):
        raise PlanError(f"{name_of(node)} writes over a value that is read again; use --engine windows")


def _continues(
    operator: Operator,
    node: fx.Node,
    modules: dict[str, nn.Module],
    steps: list[ProgramStep],
    value: dict[fx.Node, int],
) -> bool:
    """Return True if the node only finishes the value that the last step made."""
    sources = data_inputs(node, modules)
    return (
        isinstance(operator, Pointwise)
        and operator.order is None
        and len(sources) == 1
        and len(sources[0].users) == 1
        and bool(steps)
        and value[sources[0]] == len(steps)
    )
