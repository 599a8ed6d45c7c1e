"""The way over a raster in one pass: the networks and options that allow it, its plan, and its run."""

from __future__ import annotations

import logging
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.geo.vectors.aoi import Aoi
from landseg.inference.engine import Engine
from landseg.inference.options import InferenceOptions
from landseg.inference.prediction import Prediction
from landseg.inference.scope import Scope, inside_of
from landseg.output.outputs import Outputs
from landseg.runtime.progress import Progress, Shown
from landseg.text.amounts import counted
from landseg.tiling.costs import MIB
from landseg.tiling.placement import Cuts
from landseg.tiling.rows.one_pass import Encode, Pass, one_pass
from landseg.tiling.stream_plan import StreamPlan

_log = logging.getLogger(__name__)
_WARM_UP = 1024  # edge of the square that a streamed run's speed is measured on, in pixels


def why_not_rows(engine: Engine, options: InferenceOptions) -> str | None:
    """Return the reason why rows cannot be streamed, as a sentence; None: they can."""
    asked = [name for name in ("window", "batch") if getattr(options, name) not in ("auto", None)]
    asked += ["halo"] if isinstance(options.halo, int) else []
    if options.engine == "windows":
        return "windows were asked for"
    if options.tta != "none":
        return "mirrored views (--tta) are not streamed; leave it out or use --engine windows"
    if asked:
        return f"--{asked[0]} is about windows; leave it out or use --engine windows"
    if options.engine == "auto" and engine.executor.device_name not in ("cpu", "cuda"):
        return "on this device windows are the choice that is known to be fast"
    return engine.executor.why_not_streamed


def plan_rows(scope: Scope, *, strip: int | None = None) -> StreamPlan:
    """Return the plan whose buffers fit the memory, with the strips that are being read, placed and written.

    Raises:
        PlanError: the network cannot be streamed, or no strip fits.
    """
    engine, costs = scope.engine, scope.costs()
    free = costs.limit - costs.base
    if costs.device is not None:  # the buffers lie there
        free = min(free, costs.device)
    share = free
    for _ in range(4):
        plan = engine.executor.plan_rows(
            scope.raster.placement.network, limit=share, region=scope.network_region, strip=strip
        )
        total = engine.executor.allocated(plan.memory) + _in_flight(plan, scope)
        if total <= free:
            return replace(plan, memory=replace(plan.memory, strip=int(total - plan.memory.kept - plan.memory.piece)))
        share = min(share, plan.memory.total) * free / total * 0.95
    raise PlanError(
        f"strips of rows do not fit {costs.limit / MIB:.0f} MiB; use a larger --memory or --engine windows"
    )


def _in_flight(plan: StreamPlan, scope: Scope) -> float:
    """Return the bytes of the strips between the reader and the writer."""
    costs = scope.costs()
    pixels = plan.strip * (max(block.width for block in plan.blocks) + 2 * plan.halo)
    return pixels * ((scope.options.workers + 2) * costs.waiting + 5 * costs.result)


@dataclass(frozen=True)
class RowStrategy:
    """Strips of rows, each pixel computed once."""

    scope: Scope
    plan: StreamPlan

    def planned(self, output: Path, disk: int) -> Prediction:
        plan = self.plan
        costs = self.scope.costs()
        width = max(block.width for block in plan.blocks)
        return Prediction(
            output=output,
            mode="exact",
            reason="exact: rows stream through the network in one pass, as the whole image would",
            window=(plan.strip, width),
            halo=plan.halo,
            windows=len(plan.blocks),
            batch=1,
            pixels=self.scope.region.area,
            overlap_cost=plan.cost,
            engine="stream",
            memory_mib=round((costs.base + plan.memory.total) / MIB, 1),
            disk_mib=round(disk / MIB, 3),
            **self.scope.engine.facts,
        )

    def state(self) -> dict[str, Any]:
        plan = self.plan
        return {
            "engine": "stream",
            "strip": plan.strip,
            "chunk": plan.chunk,
            "edges": [plan.blocks[0].left, *(block.right for block in plan.blocks)],
            "halo": plan.halo,
            "cost": plan.cost,
            "threads": self.scope.engine.executor.threads,
        }

    def cuts(self) -> Cuts:
        return self.scope.raster.placement.cuts(self.plan.cuts, self.scope.region)

    def seconds(self) -> float:
        executor, plan = self.scope.engine.executor, self.plan
        executor.keep_memory()
        height, width = shape = _WARM_UP, min(_WARM_UP, self.scope.raster.placement.network[1])
        pixels = executor.prepare(np.zeros((executor.bands, height, width), np.uint8), np.zeros(shape, np.bool_))
        copies, taken = executor.copies(), 0.0
        for _ in range(2):  # the first pass also puts the weights in order
            start = time.perf_counter()
            with self._computing(), executor.rows(shape, strip=plan.strip, chunk=plan.chunk) as rows:
                for _row, logits in rows.push(copies.receive(copies.send(pixels))):
                    copies.fetched(copies.fetch(logits))
            taken = time.perf_counter() - start
        computed = plan.cost * sum(block.area for block in plan.blocks)
        return 1.1 * taken * computed / (height * width)

    def _computing(self) -> AbstractContextManager[None]:
        width = max(block.width for block in self.plan.blocks)
        strips = f"strips of {self.plan.strip} x {width} and their buffers"
        advice = "use a smaller --memory, --engine windows or --device cpu"
        return self.scope.engine.executor.computing(too_little=f"{strips}; {advice}")

    def measured(self, made: Prediction, outputs: Outputs) -> Prediction:
        return made

    def run(self, outputs: Outputs, *, aoi: Aoi | None, encode: Encode, shown: Shown = Progress) -> None:
        scope, executor, plan = self.scope, self.scope.engine.executor, self.plan
        executor.keep_memory()
        shape = scope.raster.placement.network
        same = scope.raster.placement.factor == 1.0
        job = Pass(
            lambda region: executor.rows(shape, region=region, strip=plan.strip, chunk=plan.chunk),
            executor.copies(),
            executor.period,
            plan,
            scope.raster.placement,
            scope.region,
            read=lambda rect: self._read(rect, aoi),
            wanted=None if same else lambda rect: self._wanted(rect, aoi),
            encode=encode,
            workers=scope.options.workers,
            block=max(1, round(scope.raster.source.block[0] / scope.raster.placement.factor)),
            restarted=lambda rows: _log.info(
                "resuming: %s computed again", counted(rows, "row above is", "rows above are")
            ),
        )
        written = sum(job.reached(outputs.done))
        with shown(scope.region.area, done=written) as progress, self._computing():
            one_pass(replace(job, progress=progress.add), outputs, done=outputs.done)

    def _read(self, rect: Rect, aoi: Aoi | None) -> tuple[Any, NDArray[np.bool_]]:
        raster = self.scope.raster
        pixels, valid = raster.network.read(rect)
        prepared = self.scope.engine.executor.prepare(pixels, valid)
        if raster.placement.factor != 1.0:  # a coarse pixel may be nodata where a few of the source's pixels are not
            return prepared, self._wanted(raster.placement.to_source(rect), aoi)
        return prepared, inside_of(aoi, rect, valid)

    def _wanted(self, rect: Rect, aoi: Aoi | None) -> NDArray[np.bool_]:
        return inside_of(aoi, rect, self.scope.raster.source.read(rect)[1])
