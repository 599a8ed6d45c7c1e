"""The nodes of a traced network that its result depends on, with their operators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import fx, nn

from landseg.errors import PlanError
from landseg.models.graph.axes import Unbounded
from landseg.models.graph.field import not_streamed
from landseg.models.graph.operators import Operator, WholeOperator
from landseg.models.graph.rules import data_inputs, lender_of, name_of, operator_at, traced_modules, writes_over_input


class Refused(PlanError):
    """The error of a network that cannot be run piece by piece.

    Attributes:
        layer: the name of the layer that cannot, or "the network".
        why: the reason, in a few words.
    """

    def __init__(self, layer: str, why: str, sentence: str) -> None:
        self.layer, self.why = layer, why
        super().__init__(sentence)


@dataclass(frozen=True)
class LiveNode:
    """A node of a network's graph with its operator.

    Attributes:
        node: the node.
        operator: what computes its value, piece by piece.
        inputs: the nodes whose values it reads.
        like: the node that lends its size; None where it keeps its own.
    """

    node: fx.Node
    operator: Operator
    inputs: tuple[fx.Node, ...]
    like: fx.Node | None


@dataclass(frozen=True)
class LiveGraph:
    """The part of a network that its result depends on.

    Attributes:
        nodes: in the order of the forward pass, without the input.
        input: the node of the network's input.
        result: the node of the network's result.
        modules: the layers by name.
    """

    nodes: tuple[LiveNode, ...]
    input: fx.Node
    result: fx.Node
    modules: Mapping[str, nn.Module]


def live_graph(network: nn.Module, *, whole: bool = False) -> LiveGraph:
    """Return the nodes that the result of a network in evaluation mode depends on; they share its parameters.

    Args:
        network: the network.
        whole: whether layers may read the whole of their input, where recipes have a kind for them.

    Raises:
        Refused: a layer is not known, or reads the whole of its input.
        ModelError: the network cannot be traced.
    """
    if network.training:
        why = "a network in training mode cannot be streamed; call eval() first"
        raise Refused("the network", "it is in training mode", why)
    traced, modules = traced_modules(network)
    nodes = list(traced.graph.nodes)
    result = next(node for node in nodes if node.op == "output").args[0]
    starts = [node for node in nodes if node.op == "placeholder"]
    if not isinstance(result, fx.Node) or len(starts) != 1:
        why = "only a network with one input and one output can be streamed; use --engine windows"
        raise Refused("the network", "it has several inputs or outputs", why)
    live = _live(result, modules)
    found: list[LiveNode] = []
    for node in nodes:
        if node not in live or node.op == "placeholder":
            continue
        operator = _operator(node, modules, whole)
        _refuse_later_readers(node, nodes, modules)
        found.append(LiveNode(node, operator, tuple(data_inputs(node, modules)), lender_of(node, modules)))
    return LiveGraph(tuple(found), starts[0], result, modules)


def _live(result: fx.Node, modules: dict[str, nn.Module]) -> set[fx.Node]:
    """Return the nodes whose values or sizes the result depends on."""
    live: set[fx.Node] = set()
    waiting = [result]
    while waiting:
        node = waiting.pop()
        if node not in live:
            live.add(node)
            waiting += data_inputs(node, modules)
            if (lender := lender_of(node, modules)) is not None:
                waiting.append(lender)
    return live


def _operator(node: fx.Node, modules: dict[str, nn.Module], whole: bool) -> Operator:
    """Return the operator of a node; raise Refused if it cannot be streamed, and is none of those that may not."""
    found = Unbounded("a constant of the network's own") if node.op == "get_attr" else operator_at(node, modules)
    if isinstance(found, Unbounded):
        if whole and found.form is not None:
            return WholeOperator(found.form)
        raise Refused(name_of(node), found.why, not_streamed(name_of(node), found.why))
    return found


def _refuse_later_readers(node: fx.Node, nodes: list[fx.Node], modules: dict[str, nn.Module]) -> None:
    """Raise Refused if a node writes over a value that is read later: steps never write over their inputs."""
    if not writes_over_input(node, modules):
        return
    source = node.all_input_nodes[0]
    if any(nodes.index(user) > nodes.index(node) for user in source.users):
        why = "writes over a value that is read again"
        raise Refused(name_of(node), f"it {why}", f"{name_of(node)} {why}; use --engine windows")
