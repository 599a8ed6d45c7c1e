"""Receptive fields, computed by arithmetic over a network's graph (Araujo, Norris, Sim 2019, Distill)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor, lcm

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from landseg.models.graph.axes import Unbounded
from landseg.models.graph.field import LayerField, ReceptiveField
from landseg.models.graph.rules import data_inputs, name_of, reach, traced_modules

_ZERO = Fraction(0)


@dataclass(frozen=True)
class _Field:
    """The field of a unit f: pixels ``stride * f + low`` to ``stride * f + high``, centre ``stride * f + centre``.

    The centre is that of the widest path; the centres of all paths lie between ``early`` and ``late``.
    """

    stride: Fraction
    low: Fraction
    high: Fraction
    centre: Fraction
    early: Fraction
    late: Fraction
    unbounded_by: str | None = None

    @property
    def size(self) -> int | None:
        return None if self.unbounded_by else floor(self.high) - ceil(self.low) + 1


def receptive_field(network: nn.Module) -> ReceptiveField:
    """Return the receptive field of the network's output, computed from its graph as built.

    Where paths of different reach meet, the widest counts. The field follows from the layers alone, so it holds for
    any input size; the network is not run.

    Raises:
        ModelError: the network cannot be traced.
    """
    fields, layers, output = _fields(*traced_modules(network))
    # A stride such as 32/3 must begin on whole units too: it does so after every 32 pixels.
    total = lcm(*(field.stride.numerator for field in fields.values()))
    radius = None if output.unbounded_by else floor(max(-output.low, output.high))
    return ReceptiveField(output.size, total, float(output.centre), radius, output.unbounded_by, tuple(layers))


def feature_fields(network: nn.Module) -> list[LayerField]:
    """Return the fields of all outputs of a network, in their order.

    An unbounded field has an ``offset`` too: that of its bounded paths.

    Raises:
        ModelError: the network cannot be traced.
    """
    traced, modules = traced_modules(network)
    fields, _, _ = _fields(traced, modules)
    result = next(node for node in traced.graph.nodes if node.op == "output").args[0]
    features = result if isinstance(result, list | tuple) else [result]
    named = [(str(node), fields[node]) for node in features if isinstance(node, fx.Node) and node in fields]
    return [
        LayerField(name, "output", f.size, float(f.stride), float(f.centre), float(f.late - f.early))
        for name, f in named
    ]


def _fields(
    traced: fx.GraphModule, modules: dict[str, nn.Module]
) -> tuple[dict[fx.Node, _Field], list[LayerField], _Field]:
    """Return the field of every value, the layers that change the field, and the field of the last value."""
    fields: dict[fx.Node, _Field] = {}
    layers: list[LayerField] = []
    output: _Field | None = None
    for node in traced.graph.nodes:
        inputs = [fields[n] for n in data_inputs(node, modules) if n in fields]
        if node.op == "placeholder":
            fields[node] = _Field(Fraction(1), _ZERO, _ZERO, _ZERO, _ZERO, _ZERO)
            continue
        if node.op == "output" or not inputs or _only_a_size(node):
            continue
        field = _through(node, modules, _join(inputs))
        fields[node] = output = field
        if field != inputs[0]:
            layers.append(_describe(node, modules, field))
    assert output is not None, "a traced network has an output"
    return fields, layers, output


def _through(node: fx.Node, modules: dict[str, nn.Module], field: _Field) -> _Field:
    step = reach(node, modules)
    if isinstance(step, Unbounded):
        return replace(field, unbounded_by=field.unbounded_by or f"{name_of(node)} ({step.why})")
    moved = field.stride * step.centre
    return _Field(
        field.stride * step.stride,
        field.low + field.stride * step.low,
        field.high + field.stride * step.high,
        field.centre + moved,
        field.early + moved,
        field.late + moved,
        field.unbounded_by,
    )


def _join(fields: list[_Field]) -> _Field:
    """Return the union of the fields of several inputs; bounded paths give the geometry."""
    bounded = [f for f in fields if not f.unbounded_by] or fields
    first = max(bounded, key=lambda f: f.high - f.low)
    why = next((f.unbounded_by for f in fields if f.unbounded_by), None)
    if any(f.stride != first.stride for f in bounded):
        why = why or "a sum or concatenation of features of different strides"
    return _Field(
        first.stride,
        min(f.low for f in bounded),
        max(f.high for f in bounded),
        first.centre,
        min(f.early for f in bounded),
        max(f.late for f in bounded),
        why,
    )


def _only_a_size(node: fx.Node) -> bool:
    """Return True if a node reads a tensor's shape or dtype, not its values."""
    return node.op == "call_function" and node.target is getattr and node.args[1] in ("shape", "ndim", "dtype")


def _describe(node: fx.Node, modules: dict[str, nn.Module], field: _Field) -> LayerField:
    layer = modules.get(str(node.target)) if node.op == "call_module" else None
    kind = type(layer).__name__ if layer is not None else name_of(node).rpartition(": ")[2]
    offset = None if field.unbounded_by else float(field.centre)
    name = str(node.target) if layer is not None else node.name
    return LayerField(name, kind, field.size, float(field.stride), offset, float(field.late - field.early))


def evidence_at(network: nn.Module, inputs: Tensor, at: tuple[int, int]) -> tuple[NDArray[np.float32], int]:
    """Return the dependence of the top class's logit at a pixel on every input pixel, and the index of that class.

    Args:
        network: in eval mode, from (1, C, H, W) to logits (1, K, H, W).
        inputs: (1, C, H, W), scaled for the network.
        at: (row, column) of the pixel.

    Returns:
        The absolute gradient (H, W), summed over the bands and not normalised, and the index.
    """
    with torch.enable_grad():
        pixels = inputs.detach().clone().requires_grad_()
        logits = network(pixels)[0, :, at[0], at[1]]
        best = int(logits.argmax())
        (gradient,) = torch.autograd.grad(logits[best], pixels)
    return gradient[0].abs().sum(0).numpy(), best


def side_holding(weights: NDArray[np.floating], at: tuple[int, int], share: float) -> int:
    """Return the side in pixels of the smallest square around a pixel that holds a share of all weights (H, W).

    >>> side_holding(np.ones((5, 5)), (2, 2), 0.3)
    3
    """
    rows, columns = np.ogrid[: weights.shape[0], : weights.shape[1]]
    ring = np.maximum(abs(rows - at[0]), abs(columns - at[1]))
    held = np.cumsum(np.bincount(ring.ravel(), weights.ravel().astype(np.float64)))
    return 2 * int(np.searchsorted(held, share * held[-1])) + 1
