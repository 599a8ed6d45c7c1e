"""The way of a network whose output is no map of pixels: the rows of a whole raster go through it and a finder."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.geo.pieces import cut
from landseg.geo.vectors.aoi import Aoi
from landseg.inference.prediction import Prediction
from landseg.inference.row_strategy import why_not_rows
from landseg.inference.scope import Scope
from landseg.output.outputs import Outputs
from landseg.runtime.progress import Progress, Shown
from landseg.tiling.costs import MIB
from landseg.tiling.placement import Cuts
from landseg.tiling.rows.one_pass import Encode
from landseg.tiling.stream_plan import StreamPlan

_STRIPS = (8, 4, 2, 1)  # rows of units, of 32 pixels each
_FOUND = "detected"  # the one step of a run
_WARM_UP = 1024  # edge of the square that the speed is measured on, in pixels


class WholeRowsTask(Protocol):
    """A task whose output is read in rows of a whole raster."""

    def bytes_of_column(self) -> float:
        """Return the bytes that are kept for each column of pixels."""


def plan_whole_rows(scope: Scope, task: WholeRowsTask, *, strip: int | None = None) -> StreamPlan:
    """Return the plan of a pass over the whole raster, in one block.

    Raises:
        PlanError: options or a raster that this way does not take, or nothing fits the memory.
    """
    engine, costs = scope.engine, scope.costs()
    name, shape = engine.card.name, scope.raster.placement.network
    if (reason := why_not_rows(engine, scope.options)) is not None:
        raise PlanError(
            f"model {name} finds {engine.task.found_by}, in the rows of a whole raster, and not in windows: {reason}"
        )
    units = Rect(0, 0, *(-(-length // engine.field.stride) for length in shape))
    own = task.bytes_of_column() * shape[1]
    free = costs.limit - costs.base
    share = min(free, costs.device or free)
    for height in _STRIPS if strip is None else (strip,):
        limit = max(0.0, share if costs.device is not None else share - own)
        try:
            plan = engine.executor.plan_rows(shape, limit=limit, region=units, strip=height)
        except PlanError:
            continue
        memory = replace(plan.memory, strip=int(plan.memory.strip + own))
        if len(plan.blocks) == 1 and engine.executor.allocated(plan.memory) + own <= free:
            return replace(plan, memory=memory)
    raise PlanError(
        f"the rows of the whole raster, {shape[1]} pixels wide, do not fit {costs.limit / MIB:.0f} MiB: use a larger "
        "--memory, or a raster of fewer columns"
    )


class Finder(Protocol):
    """Take the output of rows of a whole raster, and finish what is found in it."""

    def see(self, valid: NDArray[np.bool_]) -> None:
        """Take where the next rows of pixels have data (h, w); they go into the network next."""

    def take(self, output: NDArray[np.float32]) -> int:
        """Take the next rows of units (C, h, w); return the number of pixels that are finished."""

    def end(self) -> None:
        """Finish the run: no row comes any more."""


@dataclass(frozen=True)
class WholeRows(ABC):
    """Rows of the whole raster in one pass, and a finder whose results are those of the whole raster.

    Nothing is kept of a run that is stopped before all rows were seen: it starts anew.
    """

    scope: Scope
    plan: StreamPlan

    def planned(self, output: Path, disk: int) -> Prediction:
        plan, stride = self.plan, self.scope.engine.field.stride
        return Prediction(
            output=output,
            mode="exact",
            reason="exact: the rows of the whole raster stream through the network, and objects know no window",
            window=(int(plan.strip * stride), self.scope.raster.placement.network[1]),
            windows=1,
            batch=1,
            pixels=self.scope.region.area,
            overlap_cost=plan.cost,
            engine="stream",
            memory_mib=round((self.scope.costs().base + plan.memory.total) / MIB, 1),
            disk_mib=round(disk / MIB, 3),
            **self.scope.engine.facts,
        )

    def state(self) -> dict[str, Any]:
        threads = self.scope.engine.executor.threads
        return {"engine": "detections", "strip": self.plan.strip, "chunk": self.plan.chunk, "threads": threads}

    def cuts(self) -> Cuts:
        return (), ()  # objects have no seams

    def seconds(self) -> float:
        """Return the estimated duration of the network on rows; the heads, whose work objects make, are not in it."""
        executor, shape = self.scope.engine.executor, self.scope.raster.placement.network
        height, width = size = _WARM_UP, min(_WARM_UP, shape[1])
        pixels = executor.prepare(np.zeros((executor.bands, height, width), np.uint8), np.zeros(size, np.bool_))
        copies, taken = executor.copies(), 0.0
        for _ in range(2):  # the first pass also puts the weights in order
            start = time.perf_counter()
            with self._computing(), executor.rows(size, strip=self.plan.strip, chunk=self.plan.chunk) as rows:
                for _row, maps in rows.push(copies.receive(copies.send(pixels))):
                    copies.fetched(copies.fetch(maps))
            taken = time.perf_counter() - start
        return 1.1 * taken * shape[0] * shape[1] / (height * width)

    def measured(self, made: Prediction, outputs: Outputs) -> Prediction:
        return made

    def run(self, outputs: Outputs, *, aoi: Aoi | None, encode: Encode, shown: Shown = Progress) -> None:
        if _FOUND in outputs.done:
            return
        scope, executor = self.scope, self.scope.engine.executor
        executor.keep_memory()
        shape, stride = scope.raster.placement.network, int(scope.engine.field.stride)
        finder, copies = self.finder(outputs, aoi), executor.copies()
        with (
            shown(scope.region.area) as progress,
            self._computing(),
            executor.rows(shape, strip=self.plan.strip, chunk=self.plan.chunk) as rows,
        ):
            for rect in cut(rows.reads, self.plan.strip * stride):
                pixels, there = scope.raster.network.read(rect)
                finder.see(there)
                for _, maps in rows.push(copies.receive(copies.send(executor.prepare(pixels, there)))):
                    progress.add(finder.take(copies.fetched(copies.fetch(maps))[0]))
        finder.end()
        outputs.commit(_FOUND)

    @abstractmethod
    def finder(self, outputs: Outputs, aoi: Aoi | None) -> Finder:
        """Return the finder of a run."""

    def _computing(self) -> AbstractContextManager[None]:
        advice = "use a smaller --memory or --device cpu"
        return self.scope.engine.executor.computing(too_little=f"strips of {self.plan.strip} rows of units; {advice}")


class PixelRows:
    """A value of each pixel of rows that have come and are not written yet."""

    def __init__(self, width: int, dtype: type[np.generic]) -> None:
        self._top, self._rows = 0, np.zeros((0, width), dtype)

    def add(self, rows: NDArray[Any]) -> None:
        """Take the next rows."""
        self._rows = np.concatenate([self._rows, rows])

    def between(self, top: int, bottom: int) -> NDArray[Any]:
        """Return the rows from top to bottom."""
        assert top >= self._top, "rows are asked for that are forgotten"
        return self._rows[top - self._top : bottom - self._top]

    def forget(self, above: int) -> None:
        """Forget the rows above a row."""
        self._rows, self._top = self._rows[above - self._top :].copy(), above
