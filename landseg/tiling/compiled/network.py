"""A network compiled for ONNX Runtime: its sections, and a session for each kind of step of each."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cached_property
from math import ceil
from pathlib import Path
from statistics import median_low
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.geo.grid import Rect
from landseg.models.graph.recipe import Recipe
from landseg.tiling.compiled.blocked import Blocks, Packing
from landseg.tiling.compiled.emit import Written, write_graph
from landseg.tiling.compiled.graph import Graph
from landseg.tiling.compiled.interpolation import split_off
from landseg.tiling.compiled.kept_graphs import kept_or_written
from landseg.tiling.compiled.layers import refuse
from landseg.tiling.compiled.sections import Rows, Shape, cut
from landseg.tiling.compiled.sessions import Session, as_value

Array = NDArray[np.float32]
_FINE = 4  # input pixels a unit up to which a section takes as many rows as the strip has
_COARSE = 16  # rows of coarser units in a step


class CompiledNetwork:
    """A network whose recipe was compiled.

    Args:
        recipe: the layers.
        weights: their arrays.
        threads: that compute at the same time.
        block: channels in a block of the processor's layout; 0 keeps to the plain layout.
        folder: where graphs are kept between processes; None writes them anew.

    Attributes:
        whole: the layers.
        recipe: those in graphs.
        factor: of the upsampling behind them; 1 where there is none.
        rows: the rows of every value over time.
        sections: of the network.
        together: the number of sections that compute at the same time, at most.
        computing: lets no more of them compute.

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
        self.whole = recipe
        self.recipe, self.factor = split_off(recipe)
        self.weights, self.threads, self.block = weights, threads, block
        self.rows = Rows(self.recipe)
        self.sections = cut(self.recipe, self.rows)
        self._folder = folder
        self._values: dict[Packing, tuple[Array, Any]] = {}
        self._sessions: dict[tuple[int, str], Session] = {}
        self._layouts: dict[int, Blocks | None] = {0: None}
        self._lock = threading.Lock()
        self._each = max(1, threads // len(self.sections))
        self.together = min(len(self.sections), max(1, threads // self._each))
        self.computing = threading.Semaphore(self.together)

    def session(self, number: int, kind: str) -> Session:
        """Return the session of a section for one kind of step; those of earlier sections come before."""
        key = number, kind
        with self._lock:
            if key not in self._sessions:
                written = self._written(number, kind)
                self._layouts.update(written.layouts)
                values = {packing.name: self._value(packing) for packing in written.used}
                self._sessions[key] = Session(written.content, values, threads=self._each, optimize=not self.block)
            return self._sessions[key]

    def _written(self, number: int, kind: str) -> Written:
        """Return the graph of a section for one kind of step, kept from an earlier process or written now."""
        place = None if self._folder is None else self._folder / f"{self.block}-{number}-{kind}.graph"
        part = self.sections[number]
        layouts = {value: self._layouts[value] for value in part.inputs}
        return kept_or_written(
            place,
            self.weights,
            lambda: write_graph(self.rows, part, kind, self.weights, layouts, Graph(self.block)),
        )

    def _value(self, packing: Packing) -> Any:
        """Return an array as all sessions share it."""
        if packing not in self._values:
            array = packing.pack(self.weights)
            self._values[packing] = array, as_value(array)
        return self._values[packing][1]

    def output(self, shape: Shape) -> Shape:
        """Return the (height, width) of the logits of an image.

        Raises:
            PlanError: the image is too small for the network.
        """
        made = self.rows.shapes(shape)[self.recipe.output]
        return made if self.factor == 1 else shape

    def step_of(self, number: int, strip: int) -> int:
        """Return the rows of the input in a step of a section, where the finest takes ``strip``.

        Rows that are kept are copied in every step: coarse sections take many at once.
        """
        usual = median_low(self.rows.scales[layer + 1] for layer in self.sections[number].layers)
        return strip * max(1, ceil(usual * _COARSE / strip)) if usual > _FINE else strip

    def read_later(self, value: int, number: int) -> bool:
        """Return True if a section behind this one reads a value."""
        return any(value in part.inputs for part in self.sections[number + 1 :])

    @cached_property
    def halo(self) -> int:
        """The pixels of the input around a region that its logits depend on, in whole periods."""
        most = max(max(self.rows.margins(axes)) for axes in (self.rows.rows, self.rows.columns))
        return -(-(most + self.factor - 1) // self.rows.period) * self.rows.period

    def reads(self, shape: Shape, region: Rect, strip: int) -> Rect:
        """Return the rectangle of the input to compute, so that a region of logits gets its values.

        It begins where all sections end a step, whatever the region: so steps end at the same rows in every run.
        """
        period, halo = self.rows.period, self.halo
        grid = max(self.step_of(number, strip) for number in range(len(self.sections)))
        top = max(0, region.top - halo) // grid * grid
        left = max(0, region.left - halo) // period * period
        bottom, right = min(shape[0], region.bottom + halo), min(shape[1], region.right + halo)
        return Rect(top, left, bottom - top, right - left)
