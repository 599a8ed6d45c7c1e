"""The forms of layers and functions on each pixel alone: how a recipe says them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from landseg.models.graph.recipe import Form
from landseg.models.layers.aligned import ChannelNorm

_IDENTITY: Form = ("identity", {})

_LAYERS: dict[type[nn.Module], Callable[[Any], Form]] = {
    nn.Identity: lambda layer: _IDENTITY,
    nn.Dropout: lambda layer: _IDENTITY,
    nn.Dropout2d: lambda layer: _IDENTITY,
    nn.LeakyReLU: lambda layer: ("leaky_relu", {"slope": float(layer.negative_slope)}),
    nn.PReLU: lambda layer: ("prelu", {}),
    nn.ELU: lambda layer: ("elu", {"alpha": float(layer.alpha)}),
    nn.GELU: lambda layer: ("gelu", {"approximate": str(layer.approximate)}),
    nn.SiLU: lambda layer: ("silu", {}),
    nn.Mish: lambda layer: ("mish", {}),
    nn.Hardswish: lambda layer: ("hardswish", {}),
    nn.Hardsigmoid: lambda layer: ("hardsigmoid", {}),
    nn.Sigmoid: lambda layer: ("sigmoid", {}),
    nn.Tanh: lambda layer: ("tanh", {}),
    nn.Softplus: lambda layer: ("softplus", {"beta": float(layer.beta), "threshold": float(layer.threshold)}),
    ChannelNorm: lambda layer: ("channel_norm", {"eps": float(layer.eps)}),
}

# Function -> kind, for functions of a tensor and of nothing else.
_PLAIN: Mapping[Any, str] = {
    torch.relu: "relu",
    F.relu: "relu",
    torch.sigmoid: "sigmoid",
    torch.tanh: "tanh",
    F.silu: "silu",
    F.hardswish: "hardswish",
}
_OF_TWO: Mapping[Any, str] = {
    torch.add: "add",
    torch.sub: "subtract",
    torch.mul: "multiply",
    torch.div: "divide",
    torch.maximum: "maximum",
}


def itself(x: Tensor, *_: Any, **__: Any) -> Tensor:
    """Return ``x``: the work of methods that change the layout in memory alone."""
    return x


def layer_form(layer: nn.Module) -> Form | None:
    """Return the form of a layer that works on each pixel alone; None where recipes have no kind for it.

    A batch norm has none: what it is depends on its statistics, and on the layer before it.
    """
    make = _LAYERS.get(type(layer))  # a subclass may compute something else
    return None if make is None else make(layer)


def function_form(node: fx.Node, function: Callable[..., Tensor]) -> Form | None:
    """Return the form of a function or method at a node; None where recipes have no kind for it.

    Args:
        node: the call, with its constants.
        function: the same function, never in place.
    """
    options = {key: value for key, value in node.kwargs.items() if key != "inplace"}
    constants = [value for value in node.args[1:] if not isinstance(value, fx.Node)]
    if function is itself:
        return _IDENTITY
    if function in (F.dropout, F.dropout2d):
        return _dropout(node)
    if function in _OF_TWO:
        return _of_two(node, _OF_TWO[function], options)
    if function is torch.neg:
        return "multiply", {"constant": -1.0, "constant_first": False}
    if function is F.leaky_relu:
        slope: Any = options.pop("negative_slope", constants[0] if constants else 0.01)
        return ("leaky_relu", {"slope": float(slope)}) if not options else None
    if function is F.gelu:
        return "gelu", {"approximate": str(options.get("approximate", "none"))}
    if function is F.relu6:
        return "clip", {"low": 0.0, "high": 6.0}
    return (_PLAIN[function], {}) if function in _PLAIN and not options else None


def _of_two(node: fx.Node, kind: str, options: Mapping[str, Any]) -> Form | None:
    """Return the form of a function of two tensors, or of one and a number."""
    if options.keys() - {"other"} or len(node.args) + len(options) != 2:  # a factor of its own, a kind of rounding
        return None
    pair: list[Any] = [*node.args, *options.values()]
    one, other = pair
    if isinstance(one, fx.Node) and isinstance(other, fx.Node):
        return kind, {}
    constant = other if isinstance(one, fx.Node) else one
    if isinstance(constant, bool) or not isinstance(constant, int | float):
        return None
    return kind, {"constant": float(constant), "constant_first": not isinstance(one, fx.Node)}


def _dropout(node: fx.Node) -> Form | None:
    """Return the form of a dropout, which does nothing outside training; unlike layers, it trains by default."""
    training = node.kwargs.get("training", node.args[2] if len(node.args) > 2 else True)
    return _IDENTITY if training is False else None
