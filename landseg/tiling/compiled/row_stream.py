"""Rows of a raster streamed through a compiled network: the whole image's result at the price of one pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.models.graph.recipe import NotCompilable
from landseg.runtime.pipeline import FirstError, Stage
from landseg.tiling.compiled.interpolation import Interpolation
from landseg.tiling.compiled.network import CompiledNetwork
from landseg.tiling.compiled.sections import Section, Shape

Array = NDArray[Any]
Rows = Mapping[int, Array]
"""New rows of values, by value."""


class RowQueue:
    """Rows that have come and were not taken yet, of one value."""

    def __init__(self) -> None:
        self._parts: list[Array] = []
        self._at = 0  # the row that the first part begins with
        self.end = 0

    def put(self, rows: Array) -> None:
        """Add rows (1, C, rows, columns) below those that came before."""
        if rows.shape[2]:
            self._parts.append(rows)
            self.end += rows.shape[2]

    def take(self, stop: int) -> Array:
        """Return the rows up to one of them, and forget them."""
        parts, row = [], self._at
        while row < stop:
            part = self._parts[0]
            count = min(part.shape[2], stop - row)
            parts.append(part[:, :, :count])
            if count == part.shape[2]:
                self._parts.pop(0)
            else:
                self._parts[0] = part[:, :, count:]
            row += count
        self._at = stop
        return np.ascontiguousarray(parts[0]) if len(parts) == 1 else np.concatenate(parts, 2)


class SectionRun:
    """One section on its way over an input.

    Args:
        network: the network.
        number: of the section.
        shapes: of every value.
        strip: rows of the input in a step.
    """

    def __init__(self, network: CompiledNetwork, number: int, shapes: list[Shape], strip: int) -> None:
        self._network, self._number, self._shapes = network, number, shapes
        self._section: Section = network.sections[number]
        times = network.rows.steps(self._section, shapes[0][0], strip).times
        self._stops = [network.rows.stops(self._section, time) for time in times]
        self._stops.append({value: shapes[value][0] for value in range(len(shapes))})
        self._step = 0
        self._queues = {value: RowQueue() for value in self._section.inputs}
        self._states: dict[str, Array] = {}

    def run(self, given: Rows, hand_on: Callable[[Rows], None]) -> None:
        """Take new rows of values from before the section, and compute every step that they are enough for."""
        for value in self._queues.keys() & given.keys():
            self._queues[value].put(given[value])
        while self._step < len(self._stops) and self._enough():
            hand_on(self._compute())

    def _enough(self) -> bool:
        stops = self._stops[self._step]
        return all(queue.end >= stops[value] for value, queue in self._queues.items())

    def _compute(self) -> Rows:
        last = len(self._stops) - 1
        kind = "only" if last == 0 else "first" if self._step == 0 else "last" if self._step == last else "mid"
        session, stops = self._network.session(self._number, kind), self._stops[self._step]
        feeds: dict[str, Array] = {f"v{value}": queue.take(stops[value]) for value, queue in self._queues.items()}
        for name in session.inputs:
            if name.startswith("columns"):
                feeds[name] = np.array([self._shapes[int(name[7:])][1]], np.int64)
            elif name.startswith("rows"):
                value = int(name[4:])
                before = self._stops[self._step - 1][value] if self._step else 0
                feeds[name] = np.array([stops[value] - before], np.int64)
        with self._network.computing:
            made = session.run({**feeds, **self._states})
        self._states = {name.removesuffix("_new"): rows for name, rows in made.items() if name.startswith("s")}
        self._step += 1
        return {value: made[f"v{value}_new"] for value in self._section.outputs}


class CompiledRows:
    """One pass over a raster, or over a region of it and the pixels that it depends on.

    ``reads`` is the rectangle of the raster to push: a region that is cut out of the raster gives the same values as
    the whole. Each section runs in a thread of its own; to leave before all is pushed, leave through ``with`` or call
    ``stop``.

    Args:
        network: the network.
        shape: (height, width) of the raster.
        region: the logits to compute; None is all.
        strip: rows of the raster in a step of the finest section, a multiple of the network's period.

    Raises:
        PlanError: the raster is too small for the network.
        NotCompilable: the network's logits are of another size than the raster.
    """

    def __init__(
        self, network: CompiledNetwork, shape: Shape, *, region: Rect | None = None, strip: int = 64
    ) -> None:
        self.network = network
        whole = Rect(0, 0, *network.output(shape))
        if (whole.height, whole.width) != tuple(shape):
            raise NotCompilable(
                f"logits of {whole.height} x {whole.width} for an image of {shape[0]} x {shape[1]} pixels cannot be "
                "streamed through compiled graphs"
            )
        self.region = region = region or whole
        if region.area == 0 or not whole.contains(region):
            raise PlanError(f"{region} is not a region of logits of {whole.height} x {whole.width} pixels")
        self.reads = network.reads(shape, region, strip)
        shapes = network.rows.shapes(self.reads.shape)
        self._runs = [
            SectionRun(network, number, shapes, network.step_of(number, strip))
            for number in range(len(network.sections))
        ]
        self._upsampled = None if network.factor == 1 else Interpolation(network.factor, self.reads.shape)
        self._row = self.reads.top  # of the logits that come out next
        self._pushed = 0
        self._due = region.top
        self._finished: list[tuple[int, Array]] = []
        self._fault = FirstError()
        self._stages: list[Stage[Rows]] = []

    def push(self, pixels: Array) -> list[tuple[int, Array]]:
        """Take the next rows (1, bands, any height, ``reads.width``) and return the finished logits, in order.

        Each item is the raster's row, and logits (1, classes, rows, ``region.width``) from it on. After the last
        row of ``reads`` everything has come out.

        Raises:
            Whatever a section raises, in any thread.
        """
        assert pixels.shape[3] == self.reads.width, "rows are as wide as the rectangle to be read"
        if len(self._runs) > 1 and self.network.threads > 1 and not self._stages:
            self._start()
        self._pushed += pixels.shape[2]
        if self._stages:
            self._stages[0].put({0: pixels})
        else:
            self._work(0, {0: pixels})
        return self.rest() if self._pushed >= self.reads.height else self._out()

    @property
    def due(self) -> int:
        """The row up to which logits are out or on their way."""
        return self._due

    def rest(self) -> list[tuple[int, Array]]:
        """Wait for the logits that are on their way and return them; nothing can be pushed any more."""
        for stage in self._stages:
            stage.close()
        self._stages = []
        return self._out()

    def stop(self) -> None:
        """End all threads; logits that are still on their way are lost."""
        self._fault.stop()
        for stage in self._stages:
            stage.join()
        self._stages = []

    def __enter__(self) -> CompiledRows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        for number in reversed(range(len(self._runs))):
            self._stages.insert(0, Stage(f"section-{number}", partial(self._work, number), self._fault, size=1))

    def _work(self, number: int, given: Rows) -> None:
        """Run a section on what has come, and hand on its results with what later sections read of earlier ones."""
        run = self._runs[number]

        def hand_on(rows: Rows) -> None:
            if number + 1 == len(self._runs):
                self._collect(rows[self.network.recipe.output])
            elif self._stages:
                self._stages[number + 1].put(rows)
            else:
                self._work(number + 1, rows)

        through = {value: rows for value, rows in given.items() if self.network.read_later(value, number)}
        if through:
            hand_on(through)
        run.run(given, hand_on)

    def _collect(self, logits: Array) -> None:
        """Keep the rows and columns of the region."""
        logits = logits if self._upsampled is None else self._upsampled.push(logits)
        top, bottom = self._row, self._row + logits.shape[2]
        self._row = bottom
        first, stop = max(top, self.region.top), min(bottom, self.region.bottom)
        if stop > first:
            left = self.region.left - self.reads.left
            self._finished.append((first, logits[:, :, first - top : stop - top, left : left + self.region.width]))

    def _out(self) -> list[tuple[int, Array]]:
        finished = []
        while self._finished:  # the last section may add to it meanwhile
            finished.append(self._finished.pop(0))
            self._due = max(self._due, finished[-1][0] + finished[-1][1].shape[2])
        return finished
