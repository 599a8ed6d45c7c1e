"""The ONNX graphs of a section, one for each kind of step: the first, those in the middle, the last, or all in one.

Every graph takes the new rows of the section's inputs, and behind the first step the rows that were kept; it gives
the new rows of the section's results, and but for the last step the rows to keep. The network's own padding is added
on top in the first step and below in the last alone, and on both sides in all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from landseg.models.graph.axes import Axis, KernelAxis
from landseg.models.graph.recipe import Layer, Recipe
from landseg.tiling.compiled.blocked import Blocks, Packing
from landseg.tiling.compiled.graph import Graph, Value
from landseg.tiling.compiled.layers import LAYERS
from landseg.tiling.compiled.sections import Reading, Section

KINDS = ("first", "mid", "last", "only")
Weights = Mapping[str, NDArray[np.float32]]
Layouts = Mapping[int, Blocks | None]
"""The blocks of the channels of values; None where they are plain."""


class Rows(Protocol):
    """The rows of a recipe that a graph is about: see `landseg.tiling.compiled.sections.Rows`."""

    @property
    def recipe(self) -> Recipe: ...

    @property
    def rows(self) -> Sequence[Axis]: ...

    @property
    def columns(self) -> Sequence[Axis]: ...

    @property
    def period(self) -> int: ...

    @property
    def points(self) -> frozenset[int]:
        """The values of a single unit at any size of the input."""
        ...

    def states(self, section: Section) -> Mapping[int, int]:
        """Return the number of rows that are kept of each value between steps."""
        ...

    def begins(self, section: Section, time: int) -> Mapping[int, int]:
        """Return from which row on each value is computed in the step behind a time; others are not computed."""
        ...

    def reading(self, section: Section, number: int, value: int) -> Reading:
        """Return the rows of a value that a layer reads in a step."""
        ...

    def surplus(self, section: Section, number: int, factor: int) -> tuple[int, int]:
        """Return the rows above and below those of a layer in a step, of ``factor`` for each that it reads."""
        ...


@dataclass(frozen=True)
class Written:
    """The graph of a section for one kind of step.

    Attributes:
        content: the serialized model.
        used: the weights that it refers to.
        layouts: of the section's results.
    """

    content: bytes
    used: tuple[Packing, ...]
    layouts: Layouts


def write_graph(rows: Rows, section: Section, kind: str, weights: Weights, layouts: Layouts, graph: Graph) -> Written:
    """Return the graph of a section.

    Args:
        rows: the recipe's rows over time.
        section: the section.
        kind: one of `KINDS`.
        weights: the recipe's arrays.
        layouts: of the section's inputs.
        graph: an empty one, whose block is the processor's.
    """
    made = SectionWriter(rows, section, kind, weights, graph).write(layouts)
    return Written(graph.model().SerializeToString(), tuple(graph.weights), made)


class SectionWriter:
    """The writer of the graph of one section for one kind of step; for the arguments see `write_graph`."""

    def __init__(self, rows: Rows, section: Section, kind: str, weights: Weights, graph: Graph) -> None:
        self.rows, self.section, self.weights, self.graph = rows, section, weights, graph
        self.begins, self.ends = kind in ("first", "only"), kind in ("last", "only")
        self._states = rows.states(section)
        self._values: dict[int, Value] = {}

    def write(self, layouts: Layouts) -> dict[int, Blocks | None]:
        """Write all layers, and return the layouts of the section's results."""
        graph, recipe = self.graph, self.rows.recipe
        for value in self.section.inputs:
            self._put(value, graph.take(f"v{value}", Value("", recipe.channels[value], layouts[value])))
        computed = self.rows.begins(self.section, self.rows.period)
        made: dict[int, Blocks | None] = {}
        for number in self.section.layers:
            layer = recipe.layers[number]
            if number + 1 not in computed:  # it lends its size to another layer, and no number
                continue
            new = LAYERS[layer.kind](LayerPlace(self, number), [self.read(number, v) for v in layer.inputs])
            if number + 1 in self.section.outputs:
                new = graph.plain(new) if number + 1 == recipe.output else new
                graph.give(f"v{number + 1}_new", new)
                made[number + 1] = new.blocks
            self._put(number + 1, new)
        return made

    def _put(self, value: int, new: Value) -> None:
        """Take the new rows of a value: what its readers see is these behind the rows that were kept."""
        graph, depth = self.graph, self._states.get(value, 0)
        if depth and not self.begins:
            new = graph.rows_joined(graph.take(f"s{value}", new), new)
        if depth and not self.ends:
            graph.give(f"s{value}_new", graph.cut(new, (-depth, None)))
        self._values[value] = new

    def read(self, number: int, value: int) -> Value:
        """Return the rows of a value that a layer reads."""
        reading = self.rows.reading(self.section, number, value)
        start = max(0, self.rows.rows[number].first(0)) if self.begins else reading.skipped
        return self.graph.cut(self._values[value], (start, None if self.ends else -reading.left))


@dataclass(frozen=True)
class LayerPlace:
    """The place of a layer in a graph.

    Attributes:
        writer: of the graph.
        number: of the layer.
    """

    writer: SectionWriter
    number: int

    @property
    def graph(self) -> Graph:
        return self.writer.graph

    @property
    def layer(self) -> Layer:
        return self.writer.rows.recipe.layers[self.number]

    @property
    def spreads(self) -> bool:
        """True if the layer gives a single unit of one input to every unit of another."""
        points = self.writer.rows.points
        return len({value in points for value in self.layer.inputs}) > 1

    def array(self, role: str) -> NDArray[np.float32]:
        """Return an array of the layer."""
        return self.writer.weights[self.layer.arrays[role]]

    def weight(
        self, role: str, how: str = "as it is", blocks: Blocks | None = None, shape: tuple[int, ...] = ()
    ) -> str:
        """Return the name of an array of the layer in the graph, packed, for the arguments see `Packing`."""
        parts, block = ((), 0) if blocks is None else (blocks.parts, blocks.block)
        packing = Packing(self.layer.arrays[role], how, parts, block, shape)
        return self.graph.weight(packing, self.writer.weights)

    def size(self) -> str:
        """Return the name of the shape (1, 1, rows, columns) of the value that lends its size."""
        rows, columns = (self.graph.take_number(f"{axis}{self.number + 1}") for axis in ("rows", "columns"))
        return self.graph.node("Concat", [self.graph.numbers(1, 1), rows, columns], axis=0)

    def pads(self) -> list[int]:
        """Return the padding above, on the left, below and on the right."""
        rows, columns = self.writer.rows.rows[self.number], self.writer.rows.columns[self.number]
        assert isinstance(rows, KernelAxis) and isinstance(columns, KernelAxis)
        top = rows.padding if self.writer.begins else 0
        bottom = rows.padding + rows.end if self.writer.ends else 0
        return [top, columns.padding, bottom, columns.padding + columns.end]

    def cut(self, made: Value, *, factor: int, padding: int = 0, tail: int = 0) -> Value:
        """Return the rows and columns that the layer is to make, of all that follow from the rows that it read."""
        graph, rows, writer, value = self.graph, self.writer.rows, self.writer, self.number + 1
        above, below = rows.surplus(writer.section, self.number, factor)
        left = max(0, rows.columns[self.number].first(0))
        columns = left, None if self.layer.like is None else graph.take_number(f"columns{value}")
        start = padding if writer.begins else above + padding
        if not writer.ends:
            return graph.cut(made, (start, -(below + tail - padding)), columns)
        if self.layer.like is None:
            return graph.cut(made, (start, -padding), columns)
        stop = graph.take_number(f"rows{value}")
        if start:
            stop = graph.node("Add", [stop, graph.numbers(start)])
        return graph.cut(made, (start, stop), columns)
