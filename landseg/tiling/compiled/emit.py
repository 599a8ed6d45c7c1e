"""The ONNX graphs of a section: one each for its first step, for those in the middle, for the last, and for all in one.

Every graph takes the new rows of the section's inputs, and behind the first step the rows that were kept; it gives
the new rows of the section's results, and but for the last step the rows to keep. The network's own padding is added
on top in the first step and below in the last alone, and on both sides in all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.errors import PlanError
from landseg.models.graph.axes import KernelAxis
from landseg.models.graph.recipe import Layer
from landseg.tiling.compiled.blocked import Blocks, dense_kernel, depthwise_kernel, first_kernel, padded_bias
from landseg.tiling.compiled.graph import BLOCKED, Graph, Value
from landseg.tiling.compiled.sections import Rows, Section

KINDS = ("first", "mid", "last", "only")
Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Written:
    """The graph of a section for one kind of step.

    Attributes:
        content: the serialized model.
        used: the names of the weights that it refers to.
        layouts: of the section's results: the blocks of their channels; None where they are plain.
    """

    content: bytes
    used: tuple[str, ...]
    layouts: Mapping[int, Blocks | None]


def write_graph(
    rows: Rows, section: Section, kind: str, weights: Weights, layouts: Mapping[int, Blocks | None], graph: Graph
) -> Written:
    """Return the graph of a section.

    Args:
        rows: the recipe's rows over time.
        section: the section.
        kind: one of `KINDS`.
        weights: the recipe's arrays.
        layouts: of the section's inputs, by value.
        graph: an empty one, whose block is the processor's.

    Raises:
        PlanError: a layer cannot be compiled; it is named.
    """
    writer = _Writer(rows, section, kind, weights, graph)
    made = writer.write(layouts)
    return Written(graph.model().SerializeToString(), graph.used, made)


class _Writer:
    """The writer of one graph."""

    def __init__(self, rows: Rows, section: Section, kind: str, weights: Weights, graph: Graph) -> None:
        self._rows, self._section, self._weights, self._graph = rows, section, weights, graph
        self._recipe = rows.recipe
        self._begins, self._ends = kind in ("first", "only"), kind in ("last", "only")
        self._states = rows.states(section)
        self._values: dict[int, Value] = {}

    def write(self, layouts: Mapping[int, Blocks | None]) -> dict[int, Blocks | None]:
        graph = self._graph
        for value in self._section.inputs:
            like = Value("", self._recipe.channels[value], layouts[value])
            self._put(value, graph.take(f"v{value}", like))
        made: dict[int, Blocks | None] = {}
        for number in self._section.layers:
            layer = self._recipe.layers[number]
            new = self._layer(number, layer)
            if number + 1 in self._section.outputs:
                new = graph.plain(new) if number + 1 == self._recipe.output else new
                graph.give(f"v{number + 1}_new", new)
                made[number + 1] = new.blocks
            self._put(number + 1, new)
        return made

    def _put(self, value: int, new: Value) -> None:
        """Take the new rows of a value: what its readers see is these behind the rows that were kept."""
        graph, depth = self._graph, self._states.get(value, 0)
        if depth and not self._begins:
            new = graph.rows_joined(graph.take(f"s{value}", new), new)
        if depth and not self._ends:
            graph.give(f"s{value}_new", graph.cut(new, (-depth, None)))
        self._values[value] = new

    def _read(self, number: int, value: int) -> Value:
        """Return the rows of a value that a layer reads."""
        reading = self._rows.reading(self._section, number, value)
        start = 0 if self._begins else reading.skipped
        return self._graph.cut(self._values[value], (start, None if self._ends else -reading.left))

    def _layer(self, number: int, layer: Layer) -> Value:
        inputs = [self._read(number, value) for value in layer.inputs]
        write = _LAYERS.get(layer.kind)
        if write is None:
            raise PlanError(f"{layer.name} is a layer that cannot be compiled ({layer.kind})")
        return write(self, number, layer, inputs)

    # --- kernels

    def _pads(self, number: int) -> list[int]:
        """Return the padding of a layer above, on the left, below and on the right."""
        rows, columns = self._rows.rows[number], self._rows.columns[number]
        assert isinstance(rows, KernelAxis) and isinstance(columns, KernelAxis)
        top = rows.padding if self._begins else 0
        bottom = rows.padding + rows.end if self._ends else 0
        return [top, columns.padding, bottom, columns.padding + columns.end]

    def _conv(self, number: int, layer: Layer, inputs: list[Value]) -> Value:
        settings, x = layer.settings, inputs[0]
        weight, bias = (self._weights[layer.arrays[role]] for role in ("weight", "bias"))
        attributes: dict[str, Any] = {
            "kernel_shape": list(settings["kernel"]), "strides": list(settings["stride"]),
            "dilations": list(settings["dilation"]), "group": int(settings["groups"]), "pads": self._pads(number),
        }  # fmt: skip
        return self.convolved(layer.name, x, weight, bias, attributes, bounds_of(layer))

    def convolved(
        self,
        name: str,
        x: Value,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32],
        attributes: dict[str, Any],
        bounds: tuple[float, float] | None = None,
    ) -> Value:
        """Return a convolution with clamped results, blocked where the processor has a kernel for it."""
        graph, groups, count = self._graph, int(attributes["group"]), len(weight)
        depthwise = groups == count == x.channels and groups > 1
        if not graph.block or not (groups == 1 or depthwise):
            plain = graph.plain(x)
            arrays = [graph.weight(f"{name}:weight", weight), graph.weight(f"{name}:bias", bias)]
            made = graph.node("Conv", [plain.name, *arrays], **attributes)
            return Value(self._clamped(made, bounds), count)
        few = groups == 1 and x.blocks is None and x.channels < graph.block
        x = x if few else graph.blocked(x)
        blocks = Blocks(graph.block, (count,))
        if few:
            packed, how = first_kernel(weight, graph.block), "first"
        elif depthwise:
            assert x.blocks is not None
            packed, how, blocks = depthwise_kernel(weight, x.blocks), "each", x.blocks
            attributes = {**attributes, "group": x.blocks.padded}
        else:
            assert x.blocks is not None
            packed, how = dense_kernel(weight, x.blocks), "all"
        arrays = [graph.weight(f"{name}:weight:{how}{graph.block}", packed)]
        arrays.append(graph.weight(f"{name}:bias:{how}{graph.block}", padded_bias(bias, blocks)))
        made = graph.node("Conv", [x.name, *arrays], domain=BLOCKED, **attributes, **_activation(bounds))
        return Value(made, count, blocks)

    def _clamped(self, name: str, bounds: tuple[float, float] | None) -> str:
        if bounds is None:
            return name
        if bounds == (0.0, float("inf")):
            return self._graph.node("Relu", [name])
        limits = [self._graph.floats(limit) for limit in bounds]
        return self._graph.node("Clip", [name, *limits])

    def _max_pool(self, number: int, layer: Layer, inputs: list[Value]) -> Value:
        settings = layer.settings
        attributes: dict[str, Any] = {
            "kernel_shape": list(settings["kernel"]), "strides": list(settings["stride"]),
            "dilations": list(settings.get("dilation", (1, 1))), "pads": self._pads(number),
            "ceil_mode": int(bool(settings.get("ceil", False))),
        }  # fmt: skip
        x = inputs[0]
        if x.blocks is None:
            return Value(self._graph.node("MaxPool", [x.name], **attributes), x.channels)
        return Value(self._graph.node("MaxPool", [x.name], domain=BLOCKED, **attributes), x.channels, x.blocks)

    # --- pointwise

    def _unary(self, operator: str, **attributes: Any) -> None:
        raise NotImplementedError

    def _clip(self, number: int, layer: Layer, inputs: list[Value]) -> Value:
        x = inputs[0]
        return Value(self._clamped(x.name, bounds_of(layer)), x.channels, x.blocks)

    def _binary(self, number: int, layer: Layer, inputs: list[Value]) -> Value:
        names = {"add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "maximum": "Max"}
        if "constant" in layer.settings:
            constant = self._graph.floats(float(layer.settings["constant"]))
            x = inputs[0]
            order = [constant, x.name] if layer.settings.get("constant_first") else [x.name, constant]
            return Value(self._graph.node(names[layer.kind], order), x.channels, x.blocks)
        one, other = inputs if len(inputs) == 2 else inputs * 2
        if one.blocks != other.blocks:
            one, other = self._graph.plain(one), self._graph.plain(other)
        return Value(self._graph.node(names[layer.kind], [one.name, other.name]), one.channels, one.blocks)

    def _concat(self, number: int, layer: Layer, inputs: list[Value]) -> Value:
        parts = [inputs[i] for i in layer.settings["order"]]
        channels = sum(part.channels for part in parts)
        if any(part.blocks is None for part in parts):
            if not self._graph.block or all(part.blocks is None for part in parts):
                names = [self._graph.plain(part).name for part in parts]
                return Value(self._graph.node("Concat", names, axis=1), channels)
            parts = [self._graph.blocked(part) for part in parts]
        blocks = Blocks(self._graph.block, tuple(n for part in parts if part.blocks for n in part.blocks.parts))
        return Value(self._graph.node("Concat", [part.name for part in parts], axis=1), channels, blocks)

    # --- size

    def _upsample(self, number: int, layer: Layer, inputs: list[Value]) -> Value:
        factor, shift = int(layer.settings["factor"]), float(layer.settings["shift"])
        x, graph = inputs[0], self._graph
        if factor == 1:
            return self._trimmed(number, layer, x, 1)
        how = "half_pixel" if shift else "asymmetric"
        if x.blocks is not None:
            attributes = {"mode": "linear", "coordinate_transformation_mode": how, "scales": [1, 1, factor, factor]}
            name = graph.node("Upsample", [x.name], domain=BLOCKED, **attributes)
        else:
            scales = graph.floats(1, 1, factor, factor)
            attributes = {"mode": "linear", "coordinate_transformation_mode": how}
            name = graph.node("Resize", [x.name, "", scales], **attributes)
        return self._trimmed(number, layer, Value(name, x.channels, x.blocks), factor)

    def _trimmed(self, number: int, layer: Layer, x: Value, factor: int, origin: int = 0) -> Value:
        """Return the rows and columns that a layer is to make, of all that follow from the rows that it read."""
        value, graph = number + 1, self._graph
        start, left = self._surplus(number, factor)
        start = 0 if self._begins else start
        columns = graph.take_number(f"columns{value}") if layer.like is not None else None
        if not self._ends:
            return graph.cut(x, (start, -left), columns)
        if layer.like is None:
            return graph.cut(x, (start, None), columns)
        stop = graph.take_number(f"rows{value}")
        if start:
            stop = graph.node("Add", [stop, graph.numbers(start)])
        return graph.cut(x, (start, stop), columns)

    def _surplus(self, number: int, factor: int) -> tuple[int, int]:
        """Return the rows above and below those that a layer makes in a step, of ``factor`` for each that it read."""
        return self._rows.surplus(self._section, number, factor)


def bounds_of(layer: Layer) -> tuple[float, float] | None:
    """Return the limits of a layer's results; None where there are none."""
    low, high = (layer.settings.get(name) for name in ("low", "high"))
    if low is None and high is None:
        return None
    return float("-inf") if low is None else float(low), float("inf") if high is None else float(high)


def _activation(bounds: tuple[float, float] | None) -> dict[str, Any]:
    if bounds is None:
        return {}
    if bounds == (0.0, float("inf")):
        return {"activation": "Relu"}
    return {"activation": "Clip", "activation_params": list(bounds)}


Writer = Callable[[_Writer, int, Layer, list[Value]], Value]
_LAYERS: dict[str, Writer] = {
    "conv": _Writer._conv,
    "max_pool": _Writer._max_pool,
    "clip": _Writer._clip,
    "add": _Writer._binary,
    "subtract": _Writer._binary,
    "multiply": _Writer._binary,
    "divide": _Writer._binary,
    "maximum": _Writer._binary,
    "concat": _Writer._concat,
    "upsample": _Writer._upsample,
}
