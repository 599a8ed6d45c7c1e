"""The layers and calls that read the whole input and that recipes have a kind for."""

from __future__ import annotations

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from landseg.models.graph.recipe import Form

_BOTH = ({2, 3}, {-2, -1}, {2, -1}, {-2, 3})
_ONE: tuple[Any, ...] = (1, (1, 1), [1, 1])


def whole_form(layer: nn.Module) -> Form | None:
    """Return the form of a layer that reads its whole input; None where recipes have no kind for it."""
    if type(layer) is nn.AdaptiveAvgPool2d and layer.output_size in _ONE:
        return "mean", {}
    if type(layer) is nn.GroupNorm and layer.affine:
        return "group_norm", {"groups": int(layer.num_groups), "eps": float(layer.eps)}
    return None


def is_mean(node: fx.Node) -> bool:
    """Return True if a call takes the mean (N, C, 1, 1) over all rows and columns."""
    if node.op == "call_function" and node.target is F.adaptive_avg_pool2d:
        return node.args[1:] == (1,) or (len(node.args) == 2 and node.args[1] in _ONE)
    if (node.op, node.target) not in (("call_method", "mean"), ("call_function", torch.mean)):
        return False
    given = dict(zip(("dim", "keepdim"), node.args[1:], strict=False)) | dict(node.kwargs)
    dim: Any = given.pop("dim", None)
    axes = isinstance(dim, list | tuple) and all(isinstance(axis, int) for axis in dim) and set(dim) in _BOTH
    return axes and given == {"keepdim": True}


def expanded_like(node: fx.Node) -> fx.Node | None:
    """Return the node to whose size a call expands a single unit; None for any other call.

    That is `x.expand(-1, -1, y.shape[-2], y.shape[-1])`, and bilinear interpolation with `size=y.shape[-2:]`, which
    gives a single unit to every pixel. That there is a single unit is for the caller to see to.
    """
    if node.op == "call_method" and node.target == "expand" and node.args[1:3] == (-1, -1) and len(node.args) == 5:
        rows, columns = (_taken(arg, places) for arg, places in zip(node.args[3:], ((2, -2), (3, -1)), strict=True))
        return rows if rows is columns else None
    interpolates = node.op == "call_function" and node.target is F.interpolate and len(node.args) == 1
    options = {name: value for name, value in node.kwargs.items() if value}
    size = options.pop("size", None)
    if not interpolates or options != {"mode": "bilinear"}:
        return None
    return _taken(size, (slice(-2, None), slice(2, None)))


def _taken(value: Any, places: tuple[Any, ...]) -> fx.Node | None:
    """Return the node of whose shape a value is one of these entries; None for any other value."""
    if not isinstance(value, fx.Node) or value.target is not operator.getitem or value.args[1] not in places:
        return None
    shape = value.args[0]
    if not isinstance(shape, fx.Node) or shape.target is not getattr or shape.args[1] != "shape":
        return None
    lender = shape.args[0]
    return lender if isinstance(lender, fx.Node) else None
