"""The two ways over a raster: rows streamed through the network once, or windows with a halo.

`Engine.walk` chooses; `Run` does not need to know which it was.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from landseg.engine import Engine
from landseg.errors import PlanError
from landseg.geo.aoi import Aoi
from landseg.geo.grid import Rect
from landseg.geo.sink import Outputs
from landseg.inputs import Matched
from landseg.options import Options
from landseg.prediction import Prediction, planned
from landseg.rowwalk import RowWalk, against_rows, plan_rows
from landseg.tiling.onepass import Encode
from landseg.tiling.place import Cuts
from landseg.tiling.plan import Tiling
from landseg.tiling.progress import Progress
from landseg.tiling.stream import stream

_log = logging.getLogger(__name__)


class Walk(Protocol):
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
        """The facts, with the disagreement where exactness is not promised."""
        ...

    def run(self, outputs: Outputs, *, aoi: Aoi | None, encode: Encode) -> None:
        """Fill the outputs, from where an earlier run stopped."""
        ...


def choose_walk(engine: Engine, matched: Matched, options: Options, region: Rect) -> Walk:
    """Rows in one pass where the network, the options and the memory allow it, otherwise windows, with why.

    Raises:
        PlanError: what was asked for does not go together.
    """
    reason = against_rows(engine, options)
    if reason is None:
        try:
            return RowWalk(engine, matched, options, region, plan_rows(engine, matched, options, region))
        except PlanError as error:
            reason = str(error)
    if options.engine == "stream":
        raise PlanError(reason)
    tiling = engine.plan(matched, options, region)
    if options.engine == "auto":
        why = reason.partition(";")[0]  # what to do about it helps who asked for the stream
        tiling = replace(tiling, reason=f"{tiling.reason}; windows, because {why}")
    return WindowWalk(engine, matched, options, region, tiling)


def walk_again(engine: Engine, matched: Matched, options: Options, region: Rect, note: dict[str, Any]) -> Walk:
    """The walk that `note` describes, whatever memory is free now."""
    engine.runner.threads = note["threads"]  # sums of floats depend on how they are shared out
    if note["engine"] == "windows":
        return WindowWalk(engine, matched, options, region, engine.replan(matched, region, note, options))
    edges, area = note["edges"], matched.placement.to_network(region)
    blocks = tuple(Rect(area.top, left, area.height, right - left) for left, right in pairwise(edges))
    plan = replace(
        plan_rows(engine, matched, replace(options, memory=1 << 40), region, strip=note["strip"]),
        blocks=blocks,
        chunk=note["chunk"],
        halo=note["halo"],
        cost=note["cost"],
    )
    return RowWalk(engine, matched, options, region, plan)


@dataclass(frozen=True)
class WindowWalk:
    """Windows with a halo: exact where it is long enough, blended otherwise."""

    engine: Engine
    matched: Matched
    options: Options
    region: Rect
    tiling: Tiling

    def planned(self, output: Path, disk: int) -> Prediction:
        return planned(self.tiling, self.region, self.engine.runner, output, disk)

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
        }

    def cuts(self) -> Cuts:
        return self.matched.placement.cuts(self.tiling.windows.cuts, self.region)

    def seconds(self) -> float:
        tiling, runner = self.tiling, self.engine.runner
        if tiling.keeps_memory:
            runner.keep_memory()
        height, width = tiling.windows.largest
        rate = runner.seconds(height, width, batch=tiling.batch) / (tiling.batch * height * width)
        return 1.1 * rate * tiling.windows.pixels

    def measured(self, made: Prediction, outputs: Outputs) -> Prediction:
        """With the disagreement of a blended plan, measured once a run."""
        if self.tiling.mode == "exact":
            return made
        noted = outputs.notes.get("disagreement")
        if noted is None:
            share, sentence = self.engine.disagreement(self.matched, self.tiling, self.options)
            noted = {"share": share, "sentence": sentence}
            outputs.note("disagreement", noted)
        _log.info("%s; %s", made.reason, noted["sentence"])
        return replace(made, disagreement=noted["share"], disagreement_note=noted["sentence"])

    def run(self, outputs: Outputs, *, aoi: Aoi | None, encode: Encode) -> None:
        engine, matched, tiling, region = self.engine, self.matched, self.tiling, self.region
        if tiling.keeps_memory:  # only now: the samples' windows may be larger than the plan's
            engine.runner.keep_memory()
        stitcher = engine.stitcher(matched, tiling.windows, tiling.mode, region, tiling.sums)
        steps = (step for step in stitcher.steps(outputs.done) if step.kept)
        left = sum(piece.target.area for step in steps for piece in step.pieces)
        before = 0 if tiling.mode == "blend" else region.area - left
        with Progress(region.area, done=before, quiet=self.options.quiet) as progress:
            job = engine.job(matched, stitcher, options=self.options, batch=tiling.batch, aoi=aoi, encode=encode)
            job = replace(job, origin=(region.top, region.left), progress=progress.add)
            stream(job, outputs, done=outputs.done)
