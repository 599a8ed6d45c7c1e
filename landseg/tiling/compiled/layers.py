"""The layers of recipes as ONNX nodes, blocked where the processor has a kernel for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from landseg.models.graph.recipe import Layer, NotCompilable
from landseg.tiling.compiled.blocked import Blocks
from landseg.tiling.compiled.graph import BLOCKED, Graph, Value

Array = NDArray[np.float32]
Bounds = tuple[float, float]
_RELU: Bounds = (0.0, float("inf"))


class Place(Protocol):
    """A layer's place in the graph of a section, for one kind of step."""

    @property
    def graph(self) -> Graph: ...

    @property
    def layer(self) -> Layer: ...

    @property
    def spreads(self) -> bool:
        """True if the layer gives a single unit of one input to every unit of another."""
        ...

    def array(self, role: str) -> Array:
        """Return an array of the layer."""
        ...

    def weight(
        self, role: str, how: str = "as it is", blocks: Blocks | None = None, shape: tuple[int, ...] = ()
    ) -> str:
        """Return the name of an array of the layer in the graph, packed, for the arguments see `Packing`."""
        ...

    def size(self) -> str:
        """Return the name of the shape (1, 1, rows, columns) of the value that lends its size."""
        ...

    def pads(self) -> list[int]:
        """Return the padding above, on the left, below and on the right."""
        ...

    def cut(self, made: Value, *, factor: int, padding: int = 0, tail: int = 0) -> Value:
        """Return the rows and columns that the layer is to make, of all that follow from the rows that it read.

        Args:
            made: rows of which ``factor`` follow from each that was read.
            factor: see there.
            padding: rows that the layer leaves out at the input's two edges.
            tail: rows behind the ``factor`` that follow from the last row.
        """
        ...


def _conv(place: Place, inputs: list[Value]) -> Value:
    settings = place.layer.settings
    attributes: dict[str, Any] = {
        "kernel_shape": list(settings["kernel"]), "strides": list(settings["stride"]),
        "dilations": list(settings["dilation"]), "group": int(settings["groups"]), "pads": place.pads(),
    }  # fmt: skip
    return _convolved(place, inputs[0], ("weight", "bias"), attributes, place.array("weight").shape)


def _scale(place: Place, inputs: list[Value]) -> Value:
    """Write a factor and a summand for each channel: a convolution of each channel with a kernel of one number."""
    x = inputs[0]
    attributes: dict[str, Any] = {
        "kernel_shape": [1, 1], "strides": [1, 1], "dilations": [1, 1], "group": x.channels, "pads": [0, 0, 0, 0],
    }  # fmt: skip
    return _convolved(place, x, ("scale", "shift"), attributes, (x.channels, 1, 1, 1))


def _convolved(
    place: Place, x: Value, roles: tuple[str, str], attributes: dict[str, Any], shape: tuple[int, ...]
) -> Value:
    """Return a convolution with a kernel of a shape (O, I, kh, kw), blocked where there is an operator for it."""
    graph, groups, bounds, (weight, bias) = place.graph, int(attributes["group"]), bounds_of(place.layer), roles
    depthwise = groups == shape[0] == x.channels and groups > 1
    if not graph.block or not (groups == 1 or depthwise):
        arrays = [place.weight(weight, shape=shape), place.weight(bias)]
        made = graph.node("Conv", [graph.plain(x).name, *arrays], **attributes)
        return Value(_clamped(graph, made, bounds), shape[0])
    few = groups == 1 and x.blocks is None and x.channels < graph.block
    x = x if few else graph.blocked(x)
    outputs = x.blocks if depthwise and x.blocks else Blocks(graph.block, (shape[0],))
    how = "first" if few else "depthwise" if depthwise else "dense"
    arrays = [place.weight(weight, how, x.blocks or outputs, shape), place.weight(bias, "bias", outputs)]
    if depthwise:
        attributes = {**attributes, "group": outputs.padded}
    made = graph.node("Conv", [x.name, *arrays], domain=BLOCKED, **attributes, **_activation(bounds))
    return Value(made, shape[0], outputs)


def bounds_of(layer: Layer) -> Bounds | None:
    """Return the limits of a layer's results; None where there are none."""
    if layer.kind == "relu":
        return _RELU
    low, high = (layer.settings.get(name) for name in ("low", "high"))
    if low is None and high is None:
        return None
    return float("-inf") if low is None else float(low), float("inf") if high is None else float(high)


def _activation(bounds: Bounds | None) -> dict[str, Any]:
    if bounds is None or bounds == (float("-inf"), float("inf")):
        return {}
    return {"activation": "Relu"} if bounds == _RELU else {"activation": "Clip", "activation_params": list(bounds)}


def _clamped(graph: Graph, name: str, bounds: Bounds | None) -> str:
    if bounds is None or bounds == (float("-inf"), float("inf")):
        return name
    if bounds == _RELU:
        return graph.node("Relu", [name])
    return graph.node("Clip", [name, *(graph.floats(limit) for limit in bounds)])


def _clip(place: Place, inputs: list[Value]) -> Value:
    x = inputs[0]
    return x.named(_clamped(place.graph, x.name, bounds_of(place.layer)))


def _transposed(place: Place, inputs: list[Value]) -> Value:
    settings, graph = place.layer.settings, place.graph
    (rows, columns), (stride, _) = settings["padding"], settings["stride"]
    extra = settings["extra"]
    attributes: dict[str, Any] = {
        "kernel_shape": list(settings["kernel"]), "strides": list(settings["stride"]),
        "dilations": list(settings["dilation"]), "group": int(settings["groups"]),
        "pads": [0, columns, 0, columns], "output_padding": list(extra),
    }  # fmt: skip
    arrays = [place.weight("weight"), place.weight("bias")]
    made = graph.node("ConvTranspose", [graph.plain(inputs[0]).name, *arrays], **attributes)
    extent = (settings["kernel"][0] - 1) * settings["dilation"][0]
    channels = place.array("weight").shape[1] * int(settings["groups"])
    value = Value(_clamped(graph, made, bounds_of(place.layer)), channels)
    return place.cut(value, factor=stride, padding=rows, tail=extra[0] + extent + 1 - stride)


def _pool_attributes(place: Place) -> dict[str, Any]:
    settings = place.layer.settings
    return {"kernel_shape": list(settings["kernel"]), "strides": list(settings["stride"]), "pads": place.pads()}


def _max_pool(place: Place, inputs: list[Value]) -> Value:
    settings, x = place.layer.settings, inputs[0]
    attributes = _pool_attributes(place)
    attributes["dilations"] = list(settings.get("dilation", (1, 1)))
    attributes["ceil_mode"] = int(bool(settings.get("ceil", False)))
    plain = x.blocks is None or max(attributes["dilations"]) > 1
    x = place.graph.plain(x) if plain else x
    return x.named(place.graph.node("MaxPool", [x.name], domain="" if plain else BLOCKED, **attributes))


def _average_pool(place: Place, inputs: list[Value]) -> Value:
    settings, x = place.layer.settings, inputs[0]
    attributes = _pool_attributes(place)
    attributes["count_include_pad"] = int(bool(settings["count_include_pad"]))
    domain = "" if x.blocks is None else BLOCKED
    return x.named(place.graph.node("AveragePool", [x.name], domain=domain, **attributes))


def _one(operator: str, *, needs: tuple[str, ...] = (), **fixed: Any) -> Writer:
    """Return the writer of an operator on each number alone, with settings of the layer among its attributes."""

    def write(place: Place, inputs: list[Value]) -> Value:
        settings, x = place.layer.settings, inputs[0]
        attributes = {**fixed, **{to: settings[of] for of, to in (pair.split(">") for pair in needs)}}
        return x.named(place.graph.node(operator, [x.name], **attributes))

    return write


def _silu(place: Place, inputs: list[Value]) -> Value:
    x, graph = inputs[0], place.graph
    return x.named(graph.node("Mul", [x.name, graph.node("Sigmoid", [x.name])]))


def _channel_norm(place: Place, inputs: list[Value]) -> Value:
    x, graph = place.graph.plain(inputs[0]), place.graph
    arrays = [place.weight(role) for role in ("weight", "bias")]
    units = graph.node("Transpose", [x.name], perm=[0, 2, 3, 1])
    eps = float(place.layer.settings["eps"])
    normed = graph.node("LayerNormalization", [units, *arrays], axis=-1, epsilon=eps)
    return Value(graph.node("Transpose", [normed], perm=[0, 3, 1, 2]), x.channels)


def _prelu(place: Place, inputs: list[Value]) -> Value:
    x, graph = place.graph.plain(inputs[0]), place.graph
    slope = place.weight("weight", shape=(-1, 1, 1))
    return x.named(graph.node("PRelu", [x.name, slope]))


def _identity(place: Place, inputs: list[Value]) -> Value:
    return inputs[0]


_OF_TWO = {"add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "maximum": "Max"}


def _of_two(place: Place, inputs: list[Value]) -> Value:
    settings, graph, operator = place.layer.settings, place.graph, _OF_TWO[place.layer.kind]
    if "constant" in settings:
        x, constant = inputs[0], graph.floats(float(settings["constant"]))
        return x.named(graph.node(operator, [constant, x.name] if settings["constant_first"] else [x.name, constant]))
    one, other = inputs if len(inputs) == 2 else inputs * 2
    if one.blocks != other.blocks:
        one, other = graph.plain(one), graph.plain(other)
    wide = one if one.channels >= other.channels else other  # a single channel goes with each of the other's
    if place.spreads and wide.blocks is not None:
        units = [graph.units(one), graph.units(other)]
        return graph.from_units(graph.node(operator, units), wide)
    return wide.named(graph.node(operator, [one.name, other.name]))


def _concat(place: Place, inputs: list[Value]) -> Value:
    graph, parts = place.graph, [inputs[i] for i in place.layer.settings["order"]]
    channels = sum(part.channels for part in parts)
    if all(part.blocks is None for part in parts):
        return Value(graph.node("Concat", [part.name for part in parts], axis=1), channels)
    parts = [graph.blocked(part) for part in parts]
    blocks = Blocks(graph.block, tuple(count for part in parts if part.blocks for count in part.blocks.parts))
    return Value(graph.node("Concat", [part.name for part in parts], axis=1), channels, blocks)


def _upsample(place: Place, inputs: list[Value]) -> Value:
    factor, shift = int(place.layer.settings["factor"]), float(place.layer.settings["shift"])
    return place.cut(_resized(place.graph, inputs[0], factor, "linear", shifted=bool(shift)), factor=factor)


def _nearest(place: Place, inputs: list[Value]) -> Value:
    factor, shift = int(place.layer.settings["factor"]), float(place.layer.settings["shift"])
    # Halfway between two units that lie on pixels, their mean is taken: by 2 that is linear interpolation.
    return place.cut(_resized(place.graph, inputs[0], factor, "nearest" if shift else "linear"), factor=factor)


def _resized(graph: Graph, x: Value, factor: int, mode: str, *, shifted: bool = False) -> Value:
    if factor == 1:
        return x
    where = "half_pixel" if shifted else "asymmetric"
    attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": where}
    if mode == "linear" and x.blocks is not None and x.blocks.padded < 2 * x.channels:
        scales = [1, 1, factor, factor]
        return x.named(graph.node("Upsample", [x.name], domain=BLOCKED, scales=scales, **attributes))
    x, sizes = graph.plain(x), graph.floats(1, 1, factor, factor)
    more = {"nearest_mode": "floor"} if mode == "nearest" else {}
    return x.named(graph.node("Resize", [x.name, "", sizes], **attributes, **more))


def _crop(place: Place, inputs: list[Value]) -> Value:
    return place.cut(inputs[0], factor=1)


def _shuffle(place: Place, inputs: list[Value]) -> Value:
    factor, x = int(place.layer.settings["factor"]), place.graph.plain(inputs[0])
    made = place.graph.node("DepthToSpace", [x.name], blocksize=factor, mode="CRD")
    return place.cut(Value(made, x.channels // factor**2), factor=factor)


def _mean(place: Place, inputs: list[Value]) -> Value:
    """Write a mean over all units, one axis after the other: long sums in float32 lose digits."""
    graph, x = place.graph, inputs[0]
    units = graph.units(x)
    for axis in (3, 2):
        units = graph.node("ReduceMean", [units, graph.numbers(axis)], keepdims=1)
    return graph.from_units(units, x)


def _group_norm(place: Place, inputs: list[Value]) -> Value:
    graph, x, groups = place.graph, place.graph.plain(inputs[0]), int(place.layer.settings["groups"])
    parts = graph.node("Reshape", [x.name, graph.numbers(0, groups, -1, 0)])
    fixed = [graph.floats(*[number] * max(2, groups)) for number in (1.0, 0.0)]
    if groups == 1:
        fixed = [graph.node("Slice", [name, *(graph.numbers(n) for n in (0, 1))]) for name in fixed]
    eps = float(place.layer.settings["eps"])
    normed = graph.node("InstanceNormalization", [parts, *fixed], epsilon=eps)
    whole = graph.node("Reshape", [normed, graph.numbers(0, x.channels, -1, 0)])
    weight, bias = (place.weight(role, shape=(-1, 1, 1)) for role in ("weight", "bias"))
    return x.named(graph.node("Add", [graph.node("Mul", [whole, weight]), bias]))


def _expand(place: Place, inputs: list[Value]) -> Value:
    x = place.graph.plain(inputs[0])
    return x.named(place.graph.node("Expand", [x.name, place.size()]))


Writer = Callable[[Place, list[Value]], Value]
LAYERS: dict[str, Writer] = {
    "conv": _conv,
    "scale": _scale,
    "transposed": _transposed,
    "max_pool": _max_pool,
    "average_pool": _average_pool,
    "identity": _identity,
    "relu": _clip,
    "clip": _clip,
    "leaky_relu": _one("LeakyRelu", needs=("slope>alpha",)),
    "prelu": _prelu,
    "elu": _one("Elu", needs=("alpha>alpha",)),
    "gelu": _one("Gelu", needs=("approximate>approximate",)),
    "silu": _silu,
    "mish": _one("Mish"),
    "hardswish": _one("HardSwish"),
    "hardsigmoid": _one("HardSigmoid", alpha=1 / 6, beta=0.5),
    "sigmoid": _one("Sigmoid"),
    "tanh": _one("Tanh"),
    "softplus": _one("Softplus"),
    "channel_norm": _channel_norm,
    **dict.fromkeys(_OF_TWO, _of_two),
    "concat": _concat,
    "upsample": _upsample,
    "nearest": _nearest,
    "crop": _crop,
    "crop_start": _crop,
    "shuffle": _shuffle,
    "mean": _mean,
    "group_norm": _group_norm,
    "expand": _expand,
}
"""The writer of each kind of layer that compiled graphs can have."""


def refuse(layer: Layer) -> None:
    """Raise NotCompilable if no graph can have a layer; the sentence names it."""
    get, why = layer.settings.get, None
    if layer.kind not in LAYERS:
        why = f"compiled graphs have no layer of kind {layer.kind}"
    elif layer.kind == "average_pool" and (get("ceil") or get("divisor")):
        why = "it divides its sums by numbers of its own"
    elif layer.kind == "softplus" and get("beta") != 1:
        why = "it is a softplus with another beta than 1"
    elif layer.kind == "nearest" and not float(get("shift", 0)) and int(get("factor", 1)) > 2:
        why = "it takes the nearest of units that lie on pixels, by more than 2"
    if why is not None:
        raise NotCompilable(f"{layer.name} cannot be compiled: {why}")
