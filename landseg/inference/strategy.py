"""The two ways over a raster: rows streamed through the network once, or windows with a halo.

`Engine.walk` chooses; `Run` does not need to know which it was.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.geo.rasters.mosaic import open_source
from landseg.geo.rasters.source import Source
from landseg.geo.vectors.aoi import Aoi
from landseg.inference.engine import Engine
from landseg.inference.match import ModelInput
from landseg.inference.options import PredictOptions
from landseg.inference.prediction import Prediction, planned
from landseg.inference.row_strategy import RowStrategy, plan_rows, why_not_rows
from landseg.output.outputs import Outputs
from landseg.runtime.progress import Progress, Shown
from landseg.tiling.placement import Cuts
from landseg.tiling.plan import Tiling
from landseg.tiling.rows.one_pass import Encode
from landseg.tiling.sampling import Disagreement, Sample, disagreement
from landseg.tiling.stitch import WindowTarget
from landseg.tiling.windowed import stream
from landseg.tiling.windows import Window

_log = logging.getLogger(__name__)


class Strategy(Protocol):
    """One way over one region of one raster."""

    def planned(self, output: Path, disk: int) -> Prediction:
        """The facts that the plan already knows."""
        ...

    def note(self) -> dict[str, Any]:
        """What a resumed run must know to go the same way."""
        ...

    def cuts(self) -> Cuts:
        """Rows and columns of the region at which something was computed apart."""
        ...

    def seconds(self) -> float:
        """An estimate, from a measured warm-up."""
        ...

    def measured(self, made: Prediction, outputs: Outputs) -> Prediction:
        """The facts after the run, with the disagreement where exactness is not promised."""
        ...

    def run(self, outputs: Outputs, *, aoi: Aoi | None, encode: Encode, shown: Shown = Progress) -> None:
        """Fill the outputs, from where an earlier run stopped."""
        ...


def choose_strategy(engine: Engine, matched: ModelInput, options: PredictOptions, region: Rect) -> Strategy:
    """Rows in one pass where the network, the options and the memory allow it, otherwise windows, with why.

    Raises:
        PlanError: what was asked for does not go together.
    """
    reason = why_not_rows(engine, options)
    if reason is None:
        try:
            return RowStrategy(engine, matched, options, region, plan_rows(engine, matched, options, region))
        except PlanError as error:
            reason = str(error)
    if options.engine == "stream":
        raise PlanError(reason)
    tiling = engine.plan(matched, options, region)
    if options.engine == "auto":
        why = reason.partition(";")[0]  # what to do about it helps who asked for the stream
        tiling = replace(tiling, reason=f"{tiling.reason}; windows, because {why}")
    return WindowStrategy(engine, matched, options, region, tiling, engine.sample(matched, tiling, options))


def resume_strategy(
    engine: Engine, matched: ModelInput, options: PredictOptions, region: Rect, note: dict[str, Any]
) -> Strategy:
    """The walk that `note` describes, whatever memory is free now."""
    if options.threads not in (None, note["threads"]):
        _log.info(
            "the run was started with %d threads and ends with the same bytes on as many: --threads %d is left aside",
            note["threads"],
            options.threads,
        )
    engine.runner.threads = note["threads"]  # sums of floats depend on how they are shared out
    if note["engine"] == "windows":
        tiling = engine.replan(matched, region, note, options)
        noted = note.get("sample")
        sample = engine.sample(matched, tiling, options) if "sample" not in note else noted and Sample(**noted)
        return WindowStrategy(engine, matched, options, region, tiling, sample)
    edges, area = note["edges"], matched.placement.to_network(region)
    blocks = tuple(Rect(area.top, left, area.height, right - left) for left, right in pairwise(edges))
    plan = replace(
        plan_rows(engine, matched, replace(options, memory=1 << 40), region, strip=note["strip"]),
        blocks=blocks,
        chunk=note["chunk"],
        halo=note["halo"],
        cost=note["cost"],
    )
    return RowStrategy(engine, matched, options, region, plan)


@dataclass(frozen=True)
class WindowStrategy:
    """Windows with a halo: exact where it is long enough, blended otherwise."""

    engine: Engine
    matched: ModelInput
    options: PredictOptions
    region: Rect
    tiling: Tiling
    sample: Sample | None
    mapped: Rect | None = None  # what the outputs hold, where that is more than the region

    def planned(self, output: Path, disk: int) -> Prediction:
        made = planned(self.tiling, self.region, self.engine.runner, output, disk)
        return replace(made, tta=self.engine.views.name)

    def note(self) -> dict[str, Any]:
        tiling = self.tiling
        return {
            "engine": "windows",
            "window": list(tiling.windows.window),
            "halo": max(tiling.windows.halo),
            "batch": tiling.batch,
            "memory": tiling.memory,
            "reason": tiling.reason,
            "sums": tiling.sums,
            "threads": self.engine.runner.threads,
            "sample": None if self.sample is None else self.sample.to_json(),
        }

    def cuts(self) -> Cuts:
        return self.matched.placement.cuts(self.tiling.windows.cuts, self.region)

    def seconds(self) -> float:
        tiling, runner = self.tiling, self.engine.runner
        if tiling.keeps_memory:
            runner.keep_memory()
        height, width = tiling.windows.largest
        more = self.engine.views.grows
        taken = runner.seconds(height + more, width + more, batch=tiling.batch) * len(self.engine.views)
        return 1.1 * taken * tiling.windows.pixels / (tiling.batch * height * width)

    def measured(self, made: Prediction, outputs: Outputs) -> Prediction:
        """Return the facts with the disagreement of a blended plan, measured once a run on its finished classes."""
        if self.tiling.mode == "exact":
            return made
        noted = outputs.notes.get("disagreement")
        if noted is None:
            self.engine.runner.keep_memory(False)  # the windows that are compared with may be larger than the plan's
            with open_source(outputs.layer_reader("classes")) as source:
                written = _Written(self.engine, self.matched, self.region, source, self.mapped or self.region)
                noted = disagreement(written, self.tiling.windows, self.sample).to_json()
            outputs.note("disagreement", noted)
        found = Disagreement.from_json(noted)
        _log.info("disagreement: %s", found.sentence)
        return replace(made, **found.facts)

    def run(self, outputs: Outputs, *, aoi: Aoi | None, encode: Encode, shown: Shown = Progress) -> None:
        engine, matched, tiling, region = self.engine, self.matched, self.tiling, self.region
        if tiling.mode == "blend":
            _log.info("%s", tiling.reason)
        if tiling.keeps_memory:
            engine.runner.keep_memory()
        stitcher = engine.stitcher(matched, tiling.windows, tiling.mode, region, tiling.sums)
        steps = (step for step in stitcher.steps(outputs.done) if step.kept)
        left = sum(piece.target.area for step in steps for piece in step.pieces)
        before = 0 if tiling.mode == "blend" else region.area - left
        with shown(region.area, done=before) as progress:
            job = engine.job(matched, stitcher, options=self.options, batch=tiling.batch, aoi=aoi, encode=encode)
            job = replace(job, origin=(region.top, region.left), progress=progress.add)
            stream(job, outputs, done=outputs.done)


@dataclass(frozen=True)
class _Written:
    """The class raster of a run as it was written, for comparison with windows of a longer halo."""

    engine: Engine
    matched: ModelInput
    region: Rect
    source: Source
    mapped: Rect

    def valid(self, rect: Rect) -> NDArray[np.bool_]:
        """Return where the map holds data, of these pixels of the network's grid."""
        target = self._target(rect)
        if target is None:
            return np.zeros((0, 0), np.bool_)
        return self.source.read(target.relative_to(self.mapped))[1]

    def changed(self, window: Window) -> NDArray[np.bool_]:
        """Return where the class is another than what the window gives under its core."""
        target = self._target(window.core)
        if target is None:
            return np.zeros((0, 0), np.bool_)
        indices = self.engine.classes_of(self.matched, WindowTarget(window, target))
        if indices is None:
            return np.zeros(target.shape, np.bool_)
        values = self.source.read(target.relative_to(self.mapped))[0][0]
        differs: NDArray[np.bool_] = values != self.engine.model.card.classes.to_values(indices)
        return differs

    def _target(self, rect: Rect) -> Rect | None:
        target = self.matched.placement.to_source(rect).intersection(self.region)
        return target if target is not None and target.area else None
