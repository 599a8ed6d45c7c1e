"""Axes of operators held against gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from landseg.models.graph.axes import Axis, Unbounded, part
from landseg.models.graph.rules import operator_at, traced_modules


def axis_of(layer: nn.Module) -> Axis:
    traced, modules = traced_modules(nn.Sequential(layer))
    node = next(n for n in traced.graph.nodes if n.op == "call_module")
    found = operator_at(node, modules)
    assert not isinstance(found, Unbounded)
    return found.columns


def reads(layer: nn.Module, units: int, *args: Tensor) -> list[tuple[int, int] | None]:
    """The first and last input unit with a gradient, for every output unit."""
    x = torch.ones(1, 1, units, units, dtype=torch.float64, requires_grad=True)
    y = layer.double()(x, *args)
    found: list[tuple[int, int] | None] = []
    for unit in range(y.shape[3]):
        (gradient,) = torch.autograd.grad(y[..., unit].sum(), x, retain_graph=True)
        seen = gradient[0, 0].abs().sum(0) > 1e-9  # less is rounding
        where = torch.nonzero(seen).flatten().tolist()
        found.append((where[0], where[-1]) if where else None)
    return found


def assert_reads(axis: Axis, layer: nn.Module, units: int, *args: Tensor) -> None:
    seen = reads(layer, units, *args)
    assert args or axis.size(units) == len(seen)
    for unit, span in enumerate(seen):
        here = part(axis, unit, unit + 1, units)
        if span is not None:
            assert here.first <= span[0] and span[1] < here.end
