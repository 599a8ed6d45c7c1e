"""The two ways over a raster: rows streamed through the network once, or windows with a halo.

`choose_strategy` chooses; `Run` does not need to know which it was.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from landseg.dense.detections import DetectionTask
from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.geo.rasters.source import Source
from landseg.geo.vectors.aoi import Aoi
from landseg.inference.detection_strategy import DetectionStrategy
from landseg.inference.disagreement import disagreement_once
from landseg.inference.point_strategy import PointStrategy
from landseg.inference.prediction import Prediction, planned
from landseg.inference.row_strategy import RowStrategy, plan_rows, why_not_rows
from landseg.inference.scope import Scope
from landseg.inference.whole_rows import WholeRows, WholeRowsTask, plan_whole_rows
from landseg.output.outputs import Outputs
from landseg.runtime.progress import Progress, Shown
from landseg.tiling.placement import Cuts
from landseg.tiling.plan import Tiling
from landseg.tiling.rows.one_pass import Encode
from landseg.tiling.sampling import Sample, WrittenMap
from landseg.tiling.stream_plan import StreamPlan
from landseg.tiling.windowed import stream
from landseg.tiling.windows import Window

_log = logging.getLogger(__name__)


class Strategy(Protocol):
    """One way over one region of one raster."""

    def planned(self, output: Path, disk: int) -> Prediction:
        """Return the facts that the plan already has; `disk` is in bytes."""
        ...

    def state(self) -> dict[str, Any]:
        """Return everything that a resumed run needs to go the same way, in JSON values."""
        ...

    def cuts(self) -> Cuts:
        """Return the rows and columns of the region at which windows or strips meet."""
        ...

    def seconds(self) -> float:
        """Return the estimated duration of the run, from a measured warm-up."""
        ...

    def measured(self, made: Prediction, outputs: Outputs) -> Prediction:
        """Return the facts after the run, with the disagreement where exactness is not promised."""
        ...

    def run(self, outputs: Outputs, *, aoi: Aoi | None, encode: Encode, shown: Shown = Progress) -> None:
        """Fill the outputs, from where an earlier run stopped."""
        ...


def choose_strategy(scope: Scope) -> Strategy:
    """Return rows in one pass where the network, the options and the memory allow it; windows, with why, otherwise.

    Raises:
        PlanError: the options do not go together.
    """
    if scope.engine.task.whole_rows:
        return _whole_rows(scope, plan_whole_rows(scope, cast(WholeRowsTask, scope.engine.task)))
    reason = why_not_rows(scope.engine, scope.options)
    if reason is None:
        try:
            return RowStrategy(scope, plan_rows(scope))
        except PlanError as error:
            reason = str(error)
    if scope.options.engine == "stream":
        raise PlanError(reason)
    tiling = scope.plan()
    if scope.options.engine == "auto":
        why = reason.partition(";")[0]  # the advice after it is for a user who chose the stream
        tiling = replace(tiling, reason=f"{tiling.reason}; windows, because {why}")
    return WindowStrategy(scope, tiling, scope.sample(tiling))


def resume_strategy(scope: Scope, state: dict[str, Any]) -> Strategy:
    """Return the strategy whose state was recorded, whatever memory is free now."""
    threads = scope.options.threads
    if threads not in (None, state["threads"]):
        _log.info(
            "the run was started with %d threads and ends with the same bytes on as many: --threads %d is left aside",
            state["threads"],
            threads,
        )
    scope.engine.executor.threads = state["threads"]  # sums of floats depend on how they are shared out
    if state["engine"] == "detections":
        unlimited = replace(scope, options=replace(scope.options, memory=1 << 40))
        plan = plan_whole_rows(unlimited, cast(WholeRowsTask, scope.engine.task), strip=state["strip"])
        return _whole_rows(scope, replace(plan, chunk=state["chunk"]))
    if state["engine"] == "windows":
        tiling = scope.replan(state)
        recorded = state.get("sample")
        sample = scope.sample(tiling) if "sample" not in state else recorded and Sample(**recorded)
        return WindowStrategy(scope, tiling, sample)
    area = scope.network_region
    blocks = tuple(Rect(area.top, left, area.height, right - left) for left, right in pairwise(state["edges"]))
    unlimited = replace(scope, options=replace(scope.options, memory=1 << 40))
    plan = replace(
        plan_rows(unlimited, strip=state["strip"]),
        blocks=blocks,
        chunk=state["chunk"],
        halo=state["halo"],
        cost=state["cost"],
    )
    return RowStrategy(scope, plan)


def _whole_rows(scope: Scope, plan: StreamPlan) -> WholeRows:
    """Return the strategy of a task that reads the rows of a whole raster."""
    kind = DetectionStrategy if isinstance(scope.engine.task, DetectionTask) else PointStrategy
    return kind(scope, plan)


@dataclass(frozen=True)
class WindowStrategy:
    """Windows with a halo: exact where it is long enough, blended otherwise."""

    scope: Scope
    tiling: Tiling
    sample: Sample | None

    def planned(self, output: Path, disk: int) -> Prediction:
        engine = self.scope.engine
        made = planned(self.tiling, self.scope.region, engine.facts, output, disk)
        return replace(made, tta=engine.views.name)

    def state(self) -> dict[str, Any]:
        tiling = self.tiling
        return {
            "engine": "windows",
            "window": list(tiling.windows.window),
            "halo": max(tiling.windows.halo),
            "batch": tiling.batch,
            "memory": tiling.memory,
            "reason": tiling.reason,
            "sums": tiling.sums,
            "threads": self.scope.engine.executor.threads,
            "sample": None if self.sample is None else self.sample.to_json(),
        }

    def cuts(self) -> Cuts:
        return self.scope.raster.placement.cuts(self.tiling.windows.cuts, self.scope.region)

    def seconds(self) -> float:
        tiling, engine = self.tiling, self.scope.engine
        if tiling.keeps_memory:
            engine.executor.keep_memory()
        height, width = tiling.windows.largest
        more = engine.views.grows
        taken = engine.executor.seconds(height + more, width + more, batch=tiling.batch) * len(engine.views)
        return 1.1 * taken * tiling.windows.pixels / (tiling.batch * height * width)

    def measured(self, made: Prediction, outputs: Outputs) -> Prediction:
        """Return the facts with the disagreement of a blended plan."""
        if self.tiling.mode == "exact":
            return made
        noun = self.scope.engine.task.noun
        found = disagreement_once(outputs, self.tiling.windows, self.sample, self._written, noun=noun)
        return replace(made, **found.facts)

    def _written(self, source: Source) -> WrittenMap:
        """Return the map that is written, for comparison with windows of a longer halo."""
        scope = self.scope
        scope.engine.executor.keep_memory(False)  # the windows that are compared with may be larger than the plan's

        def target_of(rect: Rect) -> Rect | None:
            target = scope.raster.placement.to_source(rect).intersection(scope.region)
            return target if target is not None and target.area else None

        def read(rect: Rect) -> tuple[NDArray[Any], NDArray[np.bool_]]:
            target = target_of(rect)
            if target is None:
                return np.zeros((0, 0), np.uint8), np.zeros((0, 0), np.bool_)
            values, valid = source.read(target.relative_to(scope.outputs))
            return values[0], valid

        def compute(window: Window) -> NDArray[Any] | None:
            target = target_of(window.core)
            return None if target is None else scope.result(window, target)

        return WrittenMap(read, compute, scope.engine.task.changed)

    def run(self, outputs: Outputs, *, aoi: Aoi | None, encode: Encode, shown: Shown = Progress) -> None:
        scope, tiling = self.scope, self.tiling
        if tiling.mode == "blend":
            _log.info("%s", tiling.reason)
        if tiling.keeps_memory:
            scope.engine.executor.keep_memory()
        stitcher = scope.stitcher(tiling.windows, tiling.mode, tiling.sums)
        steps = (step for step in stitcher.steps(outputs.done) if step.kept)
        left = sum(piece.target.area for step in steps for piece in step.pieces)
        before = 0 if tiling.mode == "blend" else scope.region.area - left
        with shown(scope.region.area, done=before) as progress:
            job = scope.job(stitcher, batch=tiling.batch, aoi=aoi, encode=encode)
            stream(replace(job, progress=progress.add), outputs, done=outputs.done)
