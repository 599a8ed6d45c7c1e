"""Receptive fields by arithmetic over a network's graph (Araujo, Norris, Sim 2019, Distill)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor, lcm

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from landseg.models.graph.axes import Unbounded
from landseg.models.graph.rules import data_inputs, name_of, reach, traced_modules

_ZERO = Fraction(0)


@dataclass(frozen=True)
class LayerField:
    """The field of one layer's units: ``size`` and ``offset`` in input pixels, None where unbounded.

    ``apart`` is how far apart, in input pixels, the paths to these units are centred: 0.0 where all agree.
    """

    name: str
    kind: str
    size: int | None
    stride: float
    offset: float | None
    apart: float = 0.0


@dataclass(frozen=True)
class ReceptiveField:
    """What one output unit sees, in input pixels.

    Attributes:
        size: rows (and columns) of the field, over all phases of the upsampling; None = unbounded.
        stride: the network's total stride: window origins must be multiples of it.
        offset: input pixel at which output unit 0 is centred: 0.0 for full-resolution networks, 15.5 for VGG's
            stride-32 units.
        radius: the farthest input pixel an output reads, on the farther side; None = unbounded.
        unbounded_by: the layer that makes the field unbounded, with the reason.
        layers: every layer that changes the field, in order.
    """

    size: int | None
    stride: int
    offset: float
    radius: int | None
    unbounded_by: str | None
    layers: tuple[LayerField, ...]

    @property
    def halo(self) -> int | None:
        """The smallest halo for exact results: the radius rounded up to the stride; None = there is none."""
        return None if self.radius is None else -(-self.radius // self.stride) * self.stride


@dataclass(frozen=True)
class _Field:
    """Unit f reads pixels ``stride * f + low`` to ``stride * f + high`` and is centred at ``stride * f + centre``.

    That is the centre of the widest path; all of them are centred between ``early`` and ``late``.
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

    Where paths of different reach meet, the widest counts. The walk is over the layers, so it holds for any
    input size; nothing is run.

    Raises:
        ModelError: when the network cannot be traced.
    """
    fields, layers, output = _walk(*traced_modules(network))
    # Also a stride such as 32/3 has to begin on whole units: after every 32 pixels it does.
    total = lcm(*(field.stride.numerator for field in fields.values()))
    radius = None if output.unbounded_by else floor(max(-output.low, output.high))
    return ReceptiveField(output.size, total, float(output.centre), radius, output.unbounded_by, tuple(layers))


def feature_fields(network: nn.Module) -> list[LayerField]:
    """Return the fields of a network's outputs, where it has several, in their order.

    ``offset`` is given for unbounded ones as well: that of their bounded paths.

    Raises:
        ModelError: when the network cannot be traced.
    """
    traced, modules = traced_modules(network)
    fields, _, _ = _walk(traced, modules)
    result = next(node for node in traced.graph.nodes if node.op == "output").args[0]
    features = result if isinstance(result, list | tuple) else [result]
    named = [(str(node), fields[node]) for node in features if isinstance(node, fx.Node) and node in fields]
    return [
        LayerField(name, "output", f.size, float(f.stride), float(f.centre), float(f.late - f.early))
        for name, f in named
    ]


def _walk(
    traced: fx.GraphModule, modules: dict[str, nn.Module]
) -> tuple[dict[fx.Node, _Field], list[LayerField], _Field]:
    """The field of every value, the layers that change it, and that of the last value."""
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
    """The union of what several inputs see; bounded paths give the geometry."""
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
    """Reading a tensor's shape moves no pixel."""
    return node.op == "call_function" and node.target is getattr and node.args[1] in ("shape", "ndim", "dtype")


def _describe(node: fx.Node, modules: dict[str, nn.Module], field: _Field) -> LayerField:
    layer = modules.get(str(node.target)) if node.op == "call_module" else None
    kind = type(layer).__name__ if layer is not None else name_of(node).rpartition(": ")[2]
    offset = None if field.unbounded_by else float(field.centre)
    name = str(node.target) if layer is not None else node.name
    return LayerField(name, kind, field.size, float(field.stride), offset, float(field.late - field.early))


def evidence_at(network: nn.Module, inputs: Tensor, at: tuple[int, int]) -> tuple[NDArray[np.float32], int]:
    """Return how strongly the top class's logit at one pixel depends on every input pixel, and that class's index.

    Args:
        network: in eval mode; maps (1, C, H, W) to logits (1, K, H, W).
        inputs: (1, C, H, W), scaled as the network expects it.
        at: (row, column) of the pixel.

    Returns:
        (H, W), the absolute gradient summed over the bands; nothing is normalised.
    """
    with torch.enable_grad():
        seen = inputs.detach().clone().requires_grad_()
        logits = network(seen)[0, :, at[0], at[1]]
        best = int(logits.argmax())
        (gradient,) = torch.autograd.grad(logits[best], seen)
    return gradient[0].abs().sum(0).numpy(), best


def side_holding(weights: NDArray[np.floating], at: tuple[int, int], share: float) -> int:
    """Return the side of the smallest square around a pixel that holds a share of all weights, edges or not.

    >>> side_holding(np.ones((5, 5)), (2, 2), 0.3)
    3
    """
    rows, columns = np.ogrid[: weights.shape[0], : weights.shape[1]]
    ring = np.maximum(abs(rows - at[0]), abs(columns - at[1]))
    held = np.cumsum(np.bincount(ring.ravel(), weights.ravel().astype(np.float64)))
    return 2 * int(np.searchsorted(held, share * held[-1])) + 1
