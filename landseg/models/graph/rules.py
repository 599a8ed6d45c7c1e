"""The table of operators: the reach of each layer, and the class that computes a piece of it.

Receptive fields and the streaming of rows both use it. A layer outside the table counts as a layer that reads its
whole input, and is named: landseg never claims exactness for an operator whose reach is not known. To support a new
layer, add it here, with a class in landseg.models.graph.operators if none of those fits.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from landseg.models.graph.axes import Unbounded, UnitReach
from landseg.models.graph.forms import function_form, itself
from landseg.models.graph.layer_operators import (
    CropOperator,
    CropStartOperator,
    DownsizeOperator,
    MaxMaskOperator,
    NailsOperator,
    NearestOperator,
    PadOperator,
    ShuffleOperator,
    UnshuffleOperator,
    UpsizeOperator,
)
from landseg.models.graph.operators import (
    AveragePool,
    Convolution,
    ForestOperator,
    LocalMeanOperator,
    MaxPool,
    Operator,
    Pointwise,
    Transposed,
    Upsample,
    pointwise_layer,
)
from landseg.models.graph.recipe import READS_ALL
from landseg.models.graph.whole import expanded_like, is_mean, whole_form
from landseg.models.layers.aligned import (
    AlignedDownsize,
    AlignedUpsize,
    ChannelNorm,
    Crop,
    GridMaxPool2d,
    PadToMultiple,
)
from landseg.models.layers.forest import Forest, LocalMean, Tones
from landseg.models.layers.trace import trace
from landseg.models.layers.upconv_parts import AlignedNearest, BedOfNails, CropStart, MaxMask
from landseg.models.layers.upsample import AlignedUpsample

Rule = Callable[[Any], Operator | Unbounded]


def _sliding(kind: Callable[[Any], Operator]) -> Rule:
    """Return the rule of convolutions and pools: padding with zeros (or ignored) of a fixed size, one stride."""

    def rule(layer: Any) -> Operator | Unbounded:
        mode = getattr(layer, "padding_mode", "zeros")
        if mode != "zeros" or isinstance(layer.padding, str):
            return Unbounded(f"padding {layer.padding!r} ({mode})")
        if getattr(layer, "return_indices", False):
            return Unbounded("a pool that returns positions in the whole input")
        made = kind(layer)
        if made.rows.reach.stride != made.columns.reach.stride:
            return Unbounded("strides that differ between rows and columns")
        return made

    return rule


def _whole(layer: Any) -> Unbounded:
    return Unbounded(READS_ALL, whole_form(layer))


def _attention(layer: Any) -> Unbounded:
    return Unbounded("attention, in which every unit of the input reads all others")


def _norm(layer: Any) -> Operator | Unbounded:
    if layer.running_mean is None:
        return Unbounded("a batch norm without running statistics")
    return pointwise_layer(layer)


_LAYERS: tuple[tuple[tuple[type[nn.Module], ...], Rule], ...] = (
    ((nn.Conv2d,), _sliding(Convolution)),
    ((nn.ConvTranspose2d,), _sliding(Transposed)),
    ((nn.MaxPool2d,), _sliding(MaxPool)),
    ((nn.AvgPool2d,), _sliding(AveragePool)),
    ((AlignedNearest,), NearestOperator),  # before its base class
    ((GridMaxPool2d,), _sliding(MaxPool)),
    ((Crop,), CropOperator),
    ((AlignedDownsize,), DownsizeOperator),
    ((AlignedUpsize,), UpsizeOperator),
    ((PadToMultiple,), PadOperator),
    ((AlignedUpsample,), Upsample),
    ((nn.PixelShuffle,), ShuffleOperator),
    ((nn.PixelUnshuffle,), UnshuffleOperator),
    ((BedOfNails,), NailsOperator),
    ((MaxMask,), MaxMaskOperator),
    ((CropStart,), CropStartOperator),
    ((Forest,), ForestOperator),
    ((LocalMean,), LocalMeanOperator),
    ((Tones,), pointwise_layer),
    ((nn.modules.batchnorm._BatchNorm,), _norm),
    ((ChannelNorm,), pointwise_layer),  # before its base class
    ((nn.Identity, nn.Dropout, nn.Dropout2d, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU), pointwise_layer),
    ((nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh, nn.Softplus), pointwise_layer),
    ((nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.GroupNorm, nn.InstanceNorm2d, nn.LayerNorm), _whole),
    ((nn.MultiheadAttention,), _attention),
    ((nn.Linear, nn.Flatten), _whole),
)

# Function or method -> the same function, never in place.
_FUNCTIONS: dict[Any, Callable[..., Tensor]] = {
    operator.add: torch.add,
    operator.iadd: torch.add,
    operator.mul: torch.mul,
    operator.imul: torch.mul,
    operator.sub: torch.sub,
    operator.isub: torch.sub,
    operator.truediv: torch.div,
    operator.itruediv: torch.div,
    operator.neg: torch.neg,
    torch.add: torch.add,
    torch.mul: torch.mul,
    torch.sub: torch.sub,
    torch.div: torch.div,
    torch.maximum: torch.maximum,
    torch.relu: torch.relu,
    torch.relu_: torch.relu,
    torch.sigmoid: torch.sigmoid,
    torch.tanh: torch.tanh,
    F.relu: F.relu,
    F.relu6: F.relu6,
    F.silu: F.silu,
    F.gelu: F.gelu,
    F.hardswish: F.hardswish,
    F.leaky_relu: F.leaky_relu,
    F.dropout: F.dropout,
    F.dropout2d: F.dropout2d,
}
_METHODS: dict[str, Callable[..., Tensor]] = {
    "add": torch.add,
    "add_": torch.add,
    "mul": torch.mul,
    "mul_": torch.mul,
    "sub": torch.sub,
    "sub_": torch.sub,
    "relu": torch.relu,
    "relu_": torch.relu,
    "sigmoid": torch.sigmoid,
    "contiguous": itself,
    "clone": itself,
}
_IN_PLACE = frozenset({operator.iadd, operator.imul, operator.isub, operator.itruediv, torch.relu_})
_NOTHING: dict[str, Any] = {}
_JOINS = frozenset({torch.cat, torch.concat, torch.concatenate})


def operator_at(node: fx.Node, modules: dict[str, nn.Module]) -> Operator | Unbounded:
    """Return the operator at ``node``, or the reason why it cannot be computed piece by piece."""
    if node.op == "call_module":
        layer = modules[str(node.target)]
        for kinds, rule in _LAYERS:
            if isinstance(layer, kinds):
                return rule(layer)
        return Unbounded("a layer whose reach landseg does not know")
    if node.op == "call_function" and node.target in _JOINS:
        return _join(node)
    if node.op == "call_function" and node.target in _FUNCTIONS:
        return _function(node, _FUNCTIONS[node.target])
    if node.op == "call_method" and str(node.target) in _METHODS:
        return _function(node, _METHODS[str(node.target)])
    if node.op in ("placeholder", "output", "get_attr"):
        return Pointwise(lambda x: x, form=("identity", {}))
    if is_mean(node):
        return Unbounded(READS_ALL, ("mean", {}))
    form = None if expanded_like(node) is None else ("expand", _NOTHING)
    return Unbounded("an operation whose reach landseg does not know", form)


def name_of(node: fx.Node) -> str:
    """Return the name of a layer, or of an operation behind that of the layer whose forward pass holds it.

    Examples: "encoder.stem", "encoder.block: split".
    """
    if node.op == "call_module":
        return str(node.target)
    target = node.target
    name = target if isinstance(target, str) else getattr(target, "__name__", type(target).__name__)
    around = next(reversed(node.meta.get("nn_module_stack") or {}), "")
    return f"{around}: {name}" if around else name


def reach(node: fx.Node, modules: dict[str, nn.Module]) -> UnitReach | Unbounded:
    """Return the reach of the operation at ``node`` in its data inputs (the larger of both axes)."""
    found = operator_at(node, modules)
    return found if isinstance(found, Unbounded) else found.reach


def writes_over_input(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Return True if the operation changes the value that it reads."""
    if node.op == "call_module":
        return bool(getattr(modules[str(node.target)], "inplace", False))
    if node.op == "call_method":
        return str(node.target).endswith("_")
    return node.target in _IN_PLACE or bool(node.kwargs.get("inplace", False))


def data_inputs(node: fx.Node, modules: dict[str, nn.Module]) -> list[fx.Node]:
    """Return the nodes whose values, not only sizes, the operation reads."""
    layer = modules.get(str(node.target)) if node.op == "call_module" else None
    if isinstance(layer, AlignedUpsample) or expanded_like(node) is not None:
        first = node.args[0]
        assert isinstance(first, fx.Node)
        return [first]
    return list(node.all_input_nodes)


def lender_of(node: fx.Node, modules: dict[str, nn.Module]) -> fx.Node | None:
    """Return the node that a layer takes its size from; None where it keeps its own."""
    layer = modules.get(str(node.target)) if node.op == "call_module" else None
    if not isinstance(layer, AlignedUpsample):
        return expanded_like(node)
    like = node.args[1] if len(node.args) > 1 else node.kwargs.get("like")
    assert like is None or isinstance(like, fx.Node)
    return like


def traced_modules(network: nn.Module) -> tuple[fx.GraphModule, dict[str, nn.Module]]:
    """Return the network's graph and its layers by name."""
    traced = trace(network)
    return traced, dict(traced.named_modules())


def _join(node: fx.Node) -> Operator | Unbounded:
    dim = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
    if dim not in (1, -3):
        return Unbounded(f"a concatenation along axis {dim}, not of channels")
    parts = node.args[0] if node.args else node.kwargs["tensors"]
    if not isinstance(parts, list | tuple):
        return Unbounded("a concatenation of all that another operation makes")
    order = [node.all_input_nodes.index(part) for part in parts]  # a part may be there twice

    def call(*inputs: Tensor) -> Tensor:
        return torch.cat([inputs[i] for i in order], 1)

    def into(*inputs: Tensor, out: Tensor) -> Tensor:
        done = 0
        for i in order:
            count = inputs[i].shape[1]
            out[:, done : done + count].copy_(inputs[i])
            done += count
        return out

    return Pointwise(call, into=into, order=order, form=("concat", {"order": tuple(order)}))


def _function(node: fx.Node, function: Callable[..., Tensor]) -> Operator:
    """Return the operator of a pixel-by-pixel function, with its constants filled in."""
    nodes, form = node.all_input_nodes, function_form(node, function)
    options = {key: value for key, value in node.kwargs.items() if key != "inplace"}
    if tuple(nodes) == node.args and not options:
        writes = function in (torch.add, torch.mul, torch.sub, torch.div)
        return Pointwise(function, into=function if writes else None, form=form)

    def call(*inputs: Tensor) -> Tensor:
        values = dict(zip(nodes, inputs, strict=True))
        args, kwargs = fx.node.map_arg((node.args, options), values.__getitem__)
        return function(*args, **kwargs)

    return Pointwise(call, form=form)
