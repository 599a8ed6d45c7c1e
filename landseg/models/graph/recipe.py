"""The recipe of a network: its layers as data, in the order of the forward pass, beside arrays of folded weights.

A recipe is all that computing plans, fields and compiled graphs need, without torch. `landseg.models.graph.rules` has
the table of operators that writes one; `axes_of` gives the geometry of each kind of layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from landseg.errors import PlanError
from landseg.models.graph.axes import (
    Axis,
    BilinearAxis,
    CellAxis,
    KernelAxis,
    NearestAxis,
    PaddedAxis,
    ResampledAxis,
    SkippedAxis,
    TransposedAxis,
)

VERSION = 1
"""The number of this layout: recipes of another are written anew."""

POINTWISE = (
    "identity", "relu", "clip", "leaky_relu", "prelu", "elu", "gelu", "silu", "mish", "hardswish", "hardsigmoid",
    "sigmoid", "tanh", "softplus", "scale", "channel_norm", "add", "subtract", "multiply", "divide", "maximum",
    "concat",
)  # fmt: skip
"""The kinds of layers that compute each unit from the same unit of their inputs."""


WHOLE = ("mean", "group_norm", "expand")
"""The kinds of layers that read their whole input, or give it to a whole output; they have no geometry."""

READS_ALL = "a layer that reads the whole input"
"""The reason why a layer has no bounded receptive field."""

ARRAYS: Mapping[str, tuple[str, ...]] = {
    "conv": ("weight", "bias"),  # (outputs, inputs / groups, rows, columns), (outputs,)
    "transposed": ("weight", "bias"),  # (inputs, outputs / groups, rows, columns), (outputs,)
    "channel_norm": ("weight", "bias"),
    "group_norm": ("weight", "bias"),
    "prelu": ("weight",),
    "scale": ("scale", "shift"),
}
"""The arrays of each kind by role; kinds that are not named have none. Vectors have an entry for each channel."""

Form = tuple[str, Mapping[str, Any]]
"""The kind and the settings of a layer."""


class NotCompilable(PlanError):
    """The error of a network that no recipe can say, or that no graphs can be made of; it runs on torch."""


@dataclass(frozen=True)
class Layer:
    """One layer of a recipe. Layer i makes value i + 1; value 0 is the network's input.

    Attributes:
        name: of the layer in the network, for messages.
        kind: the operator; one of `POINTWISE`, `WHOLE`, "conv", "transposed", "max_pool", "average_pool", "upsample",
            "nearest", "upsize", "downsize", "crop", "crop_start", "pad_to_multiple", "shuffle", "nails", "max_mask".
        inputs: the values that it reads.
        like: the value that lends its size; None where the layer keeps its own.
        settings: numbers of the layer by name, pairs as [rows, columns].
        arrays: the names of its arrays in the weights, by role ("weight", "bias", "scale", "shift").
    """

    name: str
    kind: str
    inputs: tuple[int, ...]
    like: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """The layers of a network.

    Attributes:
        layers: in an order in which they can run.
        output: the value that is the network's result.
        channels: of every value, the input's first.
    """

    layers: tuple[Layer, ...]
    output: int
    channels: tuple[int, ...]

    @property
    def unbounded_by(self) -> str | None:
        """The name of the first layer that reads its whole input; None where every layer's reach is bounded."""
        return next((layer.name for layer in self.layers if layer.kind in WHOLE), None)

    @property
    def points(self) -> frozenset[int]:
        """The values of a single unit at any size of the input: means, and what is made of nothing else."""
        found: set[int] = set()
        for value, layer in enumerate(self.layers, 1):
            if layer.kind == "mean" or (found.issuperset(layer.inputs) and _keeps_a_point(layer)):
                found.add(value)
        return frozenset(found)


def _keeps_a_point(layer: Layer) -> bool:
    """Return True if a layer makes a single unit of a single unit."""
    if layer.kind in WHOLE or layer.like is not None:
        return layer.kind == "group_norm"
    return all(axis.size(1) == 1 for axis in axes_of(layer))


def axes_of(layer: Layer) -> tuple[Axis, Axis]:
    """Return the geometry of a layer along rows and columns."""
    return geometry(layer.kind, layer.settings)


def geometry(kind: str, settings: Mapping[str, Any]) -> tuple[Axis, Axis]:
    """Return the geometry along rows and columns of a kind of layer with these settings."""
    if kind in POINTWISE:
        return KernelAxis(), KernelAxis()
    if kind in ("conv", "max_pool", "average_pool"):
        return tuple(  # type: ignore[return-value]
            KernelAxis(
                settings["kernel"][i],
                settings["stride"][i],
                settings["padding"][i],
                settings.get("dilation", (1, 1))[i],
                bool(settings.get("ceil", False)),
                int(settings.get("end", 0)),
            )
            for i in (0, 1)
        )
    if kind == "transposed":
        return tuple(  # type: ignore[return-value]
            TransposedAxis(
                settings["kernel"][i],
                settings["stride"][i],
                settings["padding"][i],
                settings["dilation"][i],
                settings["extra"][i],
            )
            for i in (0, 1)
        )
    axis = _own(kind, settings)
    return axis, axis


def _own(kind: str, settings: Mapping[str, Any]) -> Axis:
    """Return the geometry of one of landseg's own layers, which is that of both axes."""
    if kind in ("upsample", "nearest"):
        factor, shift = int(settings["factor"]), Fraction(settings["shift"])
        if factor == 1:
            return KernelAxis()
        return BilinearAxis(factor, shift) if kind == "upsample" else NearestAxis(factor, shift)
    if kind in ("upsize", "downsize"):
        return ResampledAxis(int(settings["up"]), int(settings["down"]))
    if kind == "crop":
        return KernelAxis(padding=-int(settings["start"]), end=int(settings["start"]))
    if kind == "crop_start":
        return SkippedAxis(int(settings["count"]))
    if kind == "pad_to_multiple":
        return PaddedAxis(int(settings["multiple"]))
    if kind == "shuffle":
        factor = int(settings["factor"])
        return NearestAxis(factor, Fraction(factor - 1, 2))
    if kind == "nails":
        factor = int(settings["factor"])
        return TransposedAxis(1, factor, extra=factor - 1)
    if kind == "max_mask":
        return CellAxis(int(settings["factor"]))
    raise ValueError(f"a recipe has no layer of kind {kind!r}")
