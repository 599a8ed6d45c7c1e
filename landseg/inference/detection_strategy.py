"""The way of a network that finds objects by boxes: rows of the whole raster go through it and a detector."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from landseg.dense.detection_files import LABELS, STATE, state_of
from landseg.dense.detections import DetectionTask
from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.geo.pieces import cut
from landseg.geo.vectors.aoi import Aoi
from landseg.inference.options import PredictOptions
from landseg.inference.prediction import Prediction
from landseg.inference.row_strategy import why_not_rows
from landseg.inference.scope import Scope, inside_of
from landseg.output.outputs import Outputs
from landseg.runtime.progress import Progress, Shown
from landseg.tiling.costs import MIB
from landseg.tiling.placement import Cuts
from landseg.tiling.rows.one_pass import Encode
from landseg.tiling.stream_plan import StreamPlan

_STRIPS = (8, 4, 2, 1)  # rows of units, of 32 pixels each
_DETECTED = "detected"  # the one step of a run
_WARM_UP = 1024  # edge of the square that the speed is measured on, in pixels


def plan_detections(scope: Scope, *, strip: int | None = None) -> StreamPlan:
    """Return the plan of a pass over the whole raster, in one block.

    Raises:
        PlanError: options or a raster that this way does not take, or nothing fits the memory.
    """
    engine, costs = scope.engine, scope.costs()
    name, shape = engine.card.name, scope.raster.placement.network
    if (reason := why_not_rows(engine, scope.options)) is not None:
        raise PlanError(
            f"model {name} finds objects by boxes, in the rows of a whole raster, and not in windows: {reason}"
        )
    units = Rect(0, 0, *(-(-length // engine.field.stride) for length in shape))
    own = cast(DetectionTask, engine.task).bytes_of_column() * shape[1]
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


@dataclass(frozen=True)
class DetectionStrategy:
    """Rows of the whole raster in one pass, and objects that are those of the whole raster.

    Nothing is kept of a run that is stopped before its objects are found: it starts anew.
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
        if _DETECTED in outputs.done:
            return
        scope, executor, task = self.scope, self.scope.engine.executor, self._task()
        executor.keep_memory()
        shape, stride = scope.raster.placement.network, int(scope.engine.field.stride)
        detector, copies = task.detector(shape), executor.copies()
        valid, others, packed = _PixelRows(shape[1], np.bool_), _PixelRows(shape[1], np.uint8), 0
        writer = _Writer(outputs, scope, task, aoi, valid, others)
        with (
            shown(scope.region.area) as progress,
            self._computing(),
            executor.rows(shape, strip=self.plan.strip, chunk=self.plan.chunk) as rows,
        ):
            for rect in cut(rows.reads, self.plan.strip * stride):
                pixels, there = scope.raster.network.read(rect)
                valid.add(there)
                for _, maps in rows.push(copies.receive(copies.send(executor.prepare(pixels, there)))):
                    made, free = task.split(copies.fetched(copies.fetch(maps))[0], shape[1])
                    bottom = min(shape[0], (packed + made.shape[1]) * stride)
                    others.add(free[: bottom - packed * stride])
                    labels = detector.add(made, valid.between(packed * stride, bottom))
                    packed += made.shape[1]
                    progress.add(writer.write(labels, detector.kinds))
        labels = detector.end()
        writer.write(labels, detector.kinds)
        outputs.set_state(STATE, state_of(detector.detections()))
        outputs.commit(_DETECTED)

    def _task(self) -> DetectionTask:
        """Return the model's task, with the options of the run."""
        options = self.scope.options
        task = cast(DetectionTask, self.scope.engine.task)
        return task.with_options(options.objects) if isinstance(options, PredictOptions) else task

    def _computing(self) -> AbstractContextManager[None]:
        advice = "use a smaller --memory or --device cpu"
        return self.scope.engine.executor.computing(too_little=f"strips of {self.plan.strip} rows of units; {advice}")


class _PixelRows:
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


@dataclass
class _Writer:
    """Finished rows of labels on their way to the layers of a region.

    Where the network has pixels of another size, a pixel of the source takes the label of the one that its centre
    lies in.

    Attributes:
        outputs: of the run.
        scope: the region.
        task: makes classes of labels.
        aoi: the area of interest; None is all of the region.
        valid: the pixels with data, of the network.
        others: the class index of each pixel without an object, likewise.
        top: the next row of the network.
        next: the next row of the source.
    """

    outputs: Outputs
    scope: Scope
    task: DetectionTask
    aoi: Aoi | None
    valid: _PixelRows
    others: _PixelRows
    top: int = 0
    next: int = 0

    def write(self, labels: NDArray[np.uint32], kinds: NDArray[np.int64]) -> int:
        """Write the next rows (n, width) of labels where they lie in the region; return the number of pixels."""
        rows = Rect(self.top, 0, *labels.shape)
        there, others = (part.between(rows.top, rows.bottom) for part in (self.valid, self.others))
        self.valid.forget(rows.bottom)
        self.others.forget(rows.bottom)
        self.top = rows.bottom
        target = Rect(self.next, 0, self._ready() - self.next, self.scope.raster.placement.source[1])
        self.next = target.bottom
        rect = target.intersection(self.scope.region)
        if rect is None or not rect.area:
            return 0
        if self.scope.raster.placement.factor == 1.0:
            part: Any = rect.relative_to(rows).slices
            there = there[part]
        else:
            part, there = self._nearest(rows, rect), self.scope.raster.source.read(rect)[1]
        found, others = labels[part], others[part]
        inside, place = inside_of(self.aoi, rect, there), rect.relative_to(self.scope.outputs)
        self.outputs.write("classes", place, self.task.class_values(found, kinds, others, inside), inside)
        if any(layer.name == LABELS for layer in self.outputs.layers):
            self.outputs.write(LABELS, place, found, inside)
        return rect.area

    def _ready(self) -> int:
        """Return the row of the source up to which centres lie in the network's rows so far."""
        placement = self.scope.raster.placement
        if self.top >= placement.network[0]:
            return placement.source[0]
        return min(placement.source[0], max(self.next, ceil(self.top * placement.factor - 0.5)))

    def _nearest(self, rows: Rect, rect: Rect) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the rows (h, 1) and columns (w,), in rows of the network, of a rectangle of the source."""
        factor = self.scope.raster.placement.factor
        row = ((np.arange(rect.top, rect.bottom) + 0.5) / factor).astype(np.int64) - rows.top
        column = ((np.arange(rect.left, rect.right) + 0.5) / factor).astype(np.int64)
        return np.clip(row, 0, rows.height - 1)[:, None], np.clip(column, 0, rows.width - 1)
