"""An ONNX graph while it is written: its nodes, values in plain and blocked layout, and what weights it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landseg.tiling.compiled.blocked import Blocks, Packing

if TYPE_CHECKING:
    import onnx

BLOCKED = "com.microsoft.nchwc"
"""The domain of ONNX Runtime's operators on blocked values: not public, so their use is checked."""
_OPSET, _IR = 20, 9
_END = 1 << 60


@dataclass(frozen=True)
class Value:
    """A tensor of a graph.

    Attributes:
        name: in the graph.
        channels: how many it has, without padding.
        blocks: of its channels; None in the plain layout.
    """

    name: str
    channels: int
    blocks: Blocks | None = None

    def named(self, name: str) -> Value:
        """Return a value of the same channels in the same layout under another name."""
        return Value(name, self.channels, self.blocks)


@dataclass
class Graph:
    """Nodes, inputs and outputs, and the names of weights, which lie outside.

    Attributes:
        block: channels in a block of the blocked layout; 0 leaves all values plain.
        weights: the arrays that the graph refers to, with their shapes.
    """

    block: int
    weights: dict[Packing, tuple[int, ...]] = field(default_factory=dict)
    nodes: list[Any] = field(default_factory=list)
    inputs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    _numbers: dict[tuple[int, ...], str] = field(default_factory=dict)
    _floats: dict[tuple[float, ...], str] = field(default_factory=dict)
    _given: dict[str, str] = field(default_factory=dict)
    _plain: dict[str, Value] = field(default_factory=dict)
    _blocked: dict[str, Value] = field(default_factory=dict)

    def node(self, operator: str, inputs: Sequence[str], *, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        from onnx import helper

        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], domain=domain, **attributes))
        return name

    def take(self, name: str, like: Value) -> Value:
        """Add an input that holds a value in the layout of another, as rows that can be cut, and return the value."""
        from onnx import TensorProto, helper

        shape = ["n", *(f"{axis}_{name}" for axis in "chw")]
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        if like.blocks is None:
            return Value(name, like.channels)
        return Value(self._from_rows(name, like.blocks), like.channels, like.blocks)

    def take_number(self, name: str) -> str:
        """Add an input that holds a whole number, and return its name."""
        from onnx import TensorProto, helper

        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.INT64, [1]))
        return name

    def give(self, name: str, value: Value) -> None:
        """Add an output that holds a value, blocked ones as rows that can be cut."""
        from onnx import TensorProto, helper

        rows = value.name if value.blocks is None else self._rows(value.name, value.blocks)
        self._rename(rows, name)
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))

    def _rename(self, old: str, new: str) -> None:
        """Let a tensor have the name of an output; one that has come in, or is an output already, is copied."""
        from onnx import helper

        given = {entry.name for entry in (*self.inputs, *self.outputs)}
        if old in given or old in self._given:
            self.nodes.append(helper.make_node("Identity", [self._given.get(old, old)], [new]))
            return
        self._given[old] = new

    def weight(self, packing: Packing, weights: Mapping[str, NDArray[np.float32]]) -> str:
        """Return the name of an array of a recipe's weights, which stays outside of the graph."""
        self.weights.setdefault(packing, packing.pack(weights).shape)
        return packing.name

    def numbers(self, *values: int) -> str:
        """Return the name of a constant vector of whole numbers."""
        return self._numbers.setdefault(values, "i" + "_".join(map(str, values)).replace("-", "m"))

    def floats(self, *values: float) -> str:
        """Return the name of a constant in float32: a scalar, or a vector of several numbers."""
        return self._floats.setdefault(values, f"f{len(self._floats)}")

    def plain(self, value: Value) -> Value:
        """Return a value in the plain layout."""
        if value.blocks is None:
            return value
        if value.name not in self._plain:
            if len(value.blocks.parts) > 1:
                self._plain[value.name] = self._joined(value)
            else:
                name = self.node("ReorderOutput", [value.name], domain=BLOCKED, channels=value.channels)
                self._plain[value.name] = Value(name, value.channels)
        return self._plain[value.name]

    def _joined(self, value: Value) -> Value:
        """Return the plain value of a blocked one that was joined, whose padding lies between its parts."""
        assert value.blocks is not None
        whole = self.node("ReorderOutput", [value.name], domain=BLOCKED, channels=value.blocks.padded)
        places = self.numbers(*value.blocks.places.tolist())
        return Value(self.node("Gather", [whole, places], axis=1), value.channels)

    def blocked(self, value: Value) -> Value:
        """Return a value in the blocked layout."""
        if value.blocks is not None:
            return value
        if value.name not in self._blocked:
            blocks = Blocks(self.block, (value.channels,))
            name = value.name
            if value.channels % 4:  # what the reordering takes at once
                more = self.numbers(0, 0, 0, 0, 0, -value.channels % 4, 0, 0)
                name = self.node("Pad", [name, more])
            made = self.node("ReorderInput", [name], domain=BLOCKED)
            self._blocked[value.name] = Value(made, value.channels, blocks)
        return self._blocked[value.name]

    def rows_joined(self, first: Value, second: Value) -> Value:
        """Return the rows of two values of one layout, one above the other."""
        assert first.blocks == second.blocks, "both have one layout"
        if first.blocks is None:
            return Value(self.node("Concat", [first.name, second.name], axis=2), first.channels)
        parts = [self._rows(value.name, first.blocks) for value in (first, second)]
        return Value(self._from_rows(self.node("Concat", parts, axis=2), first.blocks), first.channels, first.blocks)

    def cut(
        self, value: Value, rows: tuple[str | int, str | int | None], columns: tuple[int, str | None] = (0, None)
    ) -> Value:
        """Return rows and columns of a value.

        Args:
            value: the value.
            rows: the first row, and that behind the last (None: all; below 0: from the end): numbers, or names of
                numbers in the graph.
            columns: the first column, and the name of the number of columns; None leaves all.
        """
        start, stop = rows[0], rows[1] or _END
        left, count = columns
        if start == 0 and stop == _END and left == 0 and count is None:
            return value
        blocks, wide = value.blocks, 1 if value.blocks is None else value.blocks.block
        source = value.name if blocks is None else self._rows(value.name, blocks)
        starts, ends, axes = [self._number(start)], [self._number(stop)], [2]
        if left or count is not None:
            starts, ends, axes = [*starts, self.numbers(left * wide)], [*ends, self._right(columns, wide)], [2, 3]
        cut = [self._vector(starts), self._vector(ends), self.numbers(*axes)]
        made = self.node("Slice", [source, *cut])
        return value.named(made if blocks is None else self._from_rows(made, blocks))

    def _right(self, columns: tuple[int, str | None], wide: int) -> str:
        """Return the name of the number of the column behind the last one, of columns ``wide`` numbers wide."""
        left, count = columns
        if count is None:
            return self.numbers(_END)
        stop = count if not left else self.node("Add", [count, self.numbers(left)])
        return stop if wide == 1 else self.node("Mul", [stop, self.numbers(wide)])

    def _vector(self, names: list[str]) -> str:
        return names[0] if len(names) == 1 else self.node("Concat", names, axis=0)

    def _number(self, value: str | int) -> str:
        return value if isinstance(value, str) else self.numbers(value)

    def units(self, value: Value) -> str:
        """Return a tensor whose axes 2 and 3 are those of units: of a blocked value a view with its channels last."""
        if value.blocks is None:
            return value.name
        block = value.blocks.block
        return self.node("Reshape", [value.name, self.numbers(0, value.blocks.padded // block, 0, 0, block)])

    def from_units(self, name: str, like: Value) -> Value:
        """Return the value of such a tensor, of the channels and layout of another."""
        if like.blocks is None:
            return like.named(name)
        return like.named(self.node("Reshape", [name, self.numbers(0, like.blocks.padded, 0, 0)]))

    def _rows(self, name: str, blocks: Blocks) -> str:
        """Return a blocked tensor as the view whose rows can be cut: no number moves."""
        return self.node("Reshape", [name, self.numbers(0, blocks.padded // blocks.block, 0, -1)])

    def _from_rows(self, name: str, blocks: Blocks) -> str:
        return self.node("Reshape", [name, self.numbers(0, blocks.padded, 0, -1)])

    def model(self) -> onnx.ModelProto:
        """Return the graph as a model whose weights are looked up outside of it."""
        from onnx import TensorProto, helper

        constants = [
            helper.make_tensor(name, TensorProto.INT64, [len(values)], list(values))
            for values, name in self._numbers.items()
        ]
        constants += [
            helper.make_tensor(name, TensorProto.FLOAT, [len(values)] if len(values) > 1 else [], list(values))
            for values, name in self._floats.items()
        ]
        constants += [_outside(packing.name, shape) for packing, shape in self.weights.items()]
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [self._given.get(name, name) for name in names]
        graph = helper.make_graph(self.nodes, "section", self.inputs, self.outputs, constants)
        domains = [helper.make_opsetid("", _OPSET)] + ([helper.make_opsetid(BLOCKED, 1)] if self.block else [])
        return helper.make_model(graph, opset_imports=domains, ir_version=_IR, producer_name="landseg")


def _outside(name: str, shape: Sequence[int]) -> Any:
    """Return the declaration of an array that is not stored in the model."""
    import onnx

    tensor = onnx.TensorProto(name=name, data_type=onnx.TensorProto.FLOAT, dims=shape)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    places: Mapping[str, str] = {"location": "weights", "offset": "0", "length": str(4 * int(np.prod(shape)))}
    for key, value in places.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor
