"""How each layer reads its input: the one table of operators that receptive fields are computed from.

A layer that is not in the table is treated as reading everything, and named: exactness is never claimed for an
operator whose reach is not known. To teach landseg a new layer, add one rule here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from landseg.models.trace import trace
from landseg.models.upsample import AlignedUpsample


@dataclass(frozen=True)
class Reach:
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


_POINTWISE_MODULES: tuple[type[nn.Module], ...] = (
    nn.modules.batchnorm._BatchNorm,
    nn.Identity,
    nn.Dropout,
    nn.Dropout2d,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Sigmoid,
    nn.Tanh,
    nn.Softplus,
)
_POINTWISE_FUNCTIONS: frozenset[Any] = frozenset(
    {operator.add, operator.iadd, operator.mul, operator.sub, operator.truediv, operator.neg}
    | {torch.add, torch.mul, torch.sub, torch.cat, torch.relu, torch.sigmoid, torch.tanh}
    | {F.relu, F.relu6, F.silu, F.gelu, F.hardswish, F.leaky_relu, F.dropout, F.dropout2d}
)
_POINTWISE_METHODS = frozenset({"add", "add_", "mul", "mul_", "relu", "relu_", "sigmoid", "contiguous", "clone"})
_GLOBAL_MODULES: tuple[type[nn.Module], ...] = (
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.GroupNorm,
    nn.InstanceNorm2d,
    nn.LayerNorm,
    nn.MultiheadAttention,
    nn.Linear,
    nn.Flatten,
)


def reach(node: fx.Node, modules: dict[str, nn.Module]) -> Reach | Unbounded:
    """Return how the operation at ``node`` reads its data inputs (the larger of both axes)."""
    if node.op == "call_module":
        return _module_reach(modules[str(node.target)])
    if node.op == "call_function" and node.target in _POINTWISE_FUNCTIONS:
        return Reach()
    if node.op == "call_method" and str(node.target) in _POINTWISE_METHODS:
        return Reach()
    if node.op in ("placeholder", "output", "get_attr"):
        return Reach()
    return Unbounded("an operation whose reach landseg does not know")


def _module_reach(layer: nn.Module) -> Reach | Unbounded:
    if isinstance(layer, _POINTWISE_MODULES):
        return Reach()
    for kinds, rule in _RULES:
        if isinstance(layer, kinds):
            return rule(layer)
    if isinstance(layer, _GLOBAL_MODULES):
        return Unbounded("a layer that reads the whole input")
    return Unbounded("a layer whose reach landseg does not know")


def _sliding_window(layer: Any) -> Reach | Unbounded:
    """Convolutions and pools with zero (or ignored) padding."""
    if getattr(layer, "padding_mode", "zeros") != "zeros" or isinstance(layer.padding, str):
        return Unbounded(f"padding {layer.padding!r} ({getattr(layer, 'padding_mode', 'zeros')})")
    spans = []
    for axis in (0, 1):
        kernel, stride = _at(layer.kernel_size, axis), _at(layer.stride, axis)
        padding, dilation = _at(layer.padding, axis), _at(getattr(layer, "dilation", 1), axis)
        spans.append((stride, -padding, (kernel - 1) * dilation - padding))
    if spans[0][0] != spans[1][0]:
        return Unbounded("strides that differ between rows and columns")
    low, high = min(s[1] for s in spans), max(s[2] for s in spans)
    return Reach(Fraction(spans[0][0]), Fraction(low), Fraction(high), Fraction(low + high, 2))


def _aligned_upsample(layer: Any) -> Reach:
    """Output x reads the two units around (x - shift) / factor; widest over the phases of the factor."""
    factor, shift = layer.factor, Fraction(layer.shift)
    if factor == 1:
        return Reach()
    lows, highs = [], []
    for phase in range(factor):
        position = (phase - shift) / factor
        first = position.__floor__()
        last = first if position == first else first + 1
        lows.append(first - Fraction(phase, factor))
        highs.append(last - Fraction(phase, factor))
    return Reach(Fraction(1, factor), min(lows), max(highs), -shift / factor)


_RULES: tuple[tuple[tuple[type[nn.Module], ...], Callable[[Any], Reach | Unbounded]], ...] = (
    ((nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d), _sliding_window),
    ((AlignedUpsample,), _aligned_upsample),
)


def _at(value: Any, axis: int) -> int:
    return int(value) if isinstance(value, int) else int(value[axis])


def data_inputs(node: fx.Node, modules: dict[str, nn.Module]) -> list[fx.Node]:
    """Return the nodes whose values (not merely whose sizes) the operation reads."""
    layer = modules.get(str(node.target)) if node.op == "call_module" else None
    if isinstance(layer, AlignedUpsample):
        first = node.args[0]
        assert isinstance(first, fx.Node)
        return [first]
    return list(node.all_input_nodes)


def traced_modules(network: nn.Module) -> tuple[fx.GraphModule, dict[str, nn.Module]]:
    """Return the network's graph and its layers by name."""
    traced = trace(network)
    return traced, dict(traced.named_modules())
