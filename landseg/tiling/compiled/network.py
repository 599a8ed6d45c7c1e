"""A network compiled for ONNX Runtime: its sections, and a session for each kind of step of each."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cached_property
from math import ceil
from statistics import median_low

import numpy as np
from numpy.typing import NDArray

from landseg.geo.grid import Rect
from landseg.models.graph.recipe import Recipe
from landseg.tiling.compiled.blocked import Blocks
from landseg.tiling.compiled.emit import write_graph
from landseg.tiling.compiled.graph import Graph
from landseg.tiling.compiled.sections import Rows, Section, Shape, cut
from landseg.tiling.compiled.sessions import Session, as_values

Array = NDArray[np.float32]
_FINE = 4  # input pixels a unit up to which a section takes as many rows as the strip has
_COARSE = 32  # rows of coarser units in a step


class CompiledNetwork:
    """A network whose recipe was compiled.

    Args:
        recipe: the layers.
        weights: their arrays.
        threads: that compute at the same time.
        block: channels in a block of the processor's layout; 0 keeps to the plain layout.

    Raises:
        PlanError: a layer cannot be compiled; it is named.
    """

    def __init__(self, recipe: Recipe, weights: Mapping[str, Array], *, threads: int = 1, block: int = 0) -> None:
        self.recipe, self.weights, self.threads, self.block = recipe, weights, threads, block
        self.rows = Rows(recipe)
        self.sections = cut(recipe, self.rows)
        self._packed: dict[str, Array] = {}
        self._sessions: dict[tuple[int, str], Session] = {}
        self._layouts: dict[int, Blocks | None] = {0: None}
        self._lock = threading.Lock()
        self.computing = threading.Semaphore(threads)
        for number in range(len(self.sections)):
            self.session(number, "only")

    def session(self, number: int, kind: str) -> Session:
        """Return the session of a section for one kind of step."""
        key = number, kind
        with self._lock:
            if key not in self._sessions:
                self._sessions[key] = self._compiled(self.sections[number], kind)
            return self._sessions[key]

    def _compiled(self, part: Section, kind: str) -> Session:
        graph = Graph(self.block, self._packed)
        written = write_graph(self.rows, part, kind, self.weights, self._layouts, graph)
        self._layouts.update(written.layouts)
        each = max(1, self.threads // len(self.sections))
        values = as_values(self._packed, written.used)
        return Session(written.content, values, threads=each, optimize=not self.block)

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
        return -(-most // self.rows.period) * self.rows.period

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
