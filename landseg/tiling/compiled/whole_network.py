"""A network that sees the whole input, compiled for ONNX Runtime: one graph, for whole windows alone."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.errors import PlanError
from landseg.models.graph.axes import Axis, KernelAxis
from landseg.models.graph.recipe import WHOLE, Recipe, axes_of
from landseg.tiling.compiled.emit import write_graph
from landseg.tiling.compiled.graph import Graph
from landseg.tiling.compiled.kept_graphs import kept_or_written
from landseg.tiling.compiled.layers import refuse
from landseg.tiling.compiled.sections import Reading, Section, Shape, section
from landseg.tiling.compiled.sessions import Session, as_value

Array = NDArray[np.float32]
_NOTHING: Mapping[int, int] = {}


class WholeRows:
    """All rows of every value of a recipe at once: what a graph needs, see `landseg.tiling.compiled.emit.Rows`.

    Args:
        recipe: the network.

    Attributes:
        rows, columns: the geometry of each layer; a layer without any counts as one on each unit alone.
        period: 1.
        points: the values of a single unit at any size of the input.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.points, self.period = recipe, recipe.points, 1
        alone = KernelAxis(), KernelAxis()
        axes: list[tuple[Axis, Axis]] = [alone if one.kind in WHOLE else axes_of(one) for one in recipe.layers]
        self.rows, self.columns = [rows for rows, _ in axes], [columns for _, columns in axes]
        self._computed = _computed(recipe)

    def states(self, section: Section) -> Mapping[int, int]:
        """Return nothing: no rows are kept."""
        return _NOTHING

    def begins(self, section: Section, time: int) -> Mapping[int, int]:
        """Return the first row, 0, of every value that the result depends on."""
        return dict.fromkeys(self._computed, 0)

    def reading(self, section: Section, number: int, value: int) -> Reading:
        """Return the rows that a layer reads: all."""
        return Reading(0, 0)

    def surplus(self, section: Section, number: int, factor: int) -> tuple[int, int]:
        """Return no rows above and below."""
        return 0, 0

    def shapes(self, shape: Shape) -> list[Shape]:
        """Return the (height, width) of every value, for an input of this shape.

        Raises:
            PlanError: the input is too small for a layer, or branches of different sizes meet.
        """
        shapes = [shape]
        for number, layer in enumerate(self.recipe.layers):
            found = {shapes[value] for value in layer.inputs if value not in self.points} or {(1, 1)}
            if len(found) > 1:
                raise PlanError(f"{layer.name} joins features of different sizes; use --runtime torch")
            height, width = found.pop()
            size = self.rows[number].size(height), self.columns[number].size(width)
            if layer.kind == "mean":
                size = 1, 1
            elif layer.like is not None:
                size = shapes[layer.like]
            if min(size) < 1:
                raise PlanError(f"an image of {shape[0]} x {shape[1]} is too small for {layer.name}")
            shapes.append(size)
        return shapes


def _computed(recipe: Recipe) -> set[int]:
    """Return the values that the result is computed of; others at most lend their sizes."""
    found = {recipe.output}
    for value in range(len(recipe.layers), 0, -1):
        if value in found:
            found.update(recipe.layers[value - 1].inputs)
    return found


class WholeNetwork:
    """A network that sees the whole input, compiled.

    Args:
        recipe: the layers.
        weights: their arrays.
        threads: that compute a layer together.
        block: channels in a block of the processor's layout; 0 keeps to the plain layout.
        folder: where the graph is kept between processes; None writes it anew.

    Attributes:
        rows: of the values.
        section: that of all layers.

    Raises:
        NotCompilable: a layer cannot be compiled; it is named.
    """

    def __init__(
        self,
        recipe: Recipe,
        weights: Mapping[str, Array],
        *,
        threads: int = 1,
        block: int = 0,
        folder: Path | None = None,
    ) -> None:
        for layer in recipe.layers:
            refuse(layer)
        self.recipe, self.weights, self.threads, self.block = recipe, weights, threads, block
        self.rows = WholeRows(recipe)
        self.section = section(recipe, range(len(recipe.layers)))
        self._place = None if folder is None else folder / f"{block}-whole.graph"
        self._made: Session | None = None
        self._arrays: list[Array] = []
        self._lock = threading.Lock()

    def run(self, images: Array) -> Array:
        """Return logits (N, C, h, w) of images (N, bands, h, w).

        Raises:
            PlanError: the images are too small for the network.
        """
        session, shapes = self._session(), self.rows.shapes((images.shape[2], images.shape[3]))
        feeds: dict[str, NDArray[Any]] = {"v0": np.ascontiguousarray(images)}
        for name in session.inputs:
            for axis, kind in enumerate(("rows", "columns")):
                if name.startswith(kind):
                    feeds[name] = np.array([shapes[int(name.removeprefix(kind))][axis]], np.int64)
        return session.run(feeds)[f"v{self.recipe.output}_new"]

    def _session(self) -> Session:
        with self._lock:
            if self._made is None:
                kept = kept_or_written(
                    self._place,
                    self.weights,
                    lambda: write_graph(self.rows, self.section, "only", self.weights, {0: None}, Graph(self.block)),
                )
                packed = {packing.name: packing.pack(self.weights) for packing in kept.used}
                self._arrays = list(packed.values())  # the session reads their memory
                values = {name: as_value(array) for name, array in packed.items()}
                self._made = Session(kept.content, values, threads=self.threads, optimize=not self.block)
            return self._made


def agrees(network: WholeNetwork, other: WholeNetwork, *, nearly: float, sizes: Sequence[Shape]) -> bool:
    """Return True if two compiled networks give nearly the same logits for noise, relative to the largest."""
    noise = np.random.default_rng(0)
    for height, width in sizes:
        images = noise.standard_normal((2, network.recipe.channels[0], height, width)).astype(np.float32)
        one, two = network.run(images), other.run(images)
        if not np.abs(one - two).max() <= nearly * np.abs(two).max():
            return False
    return True
