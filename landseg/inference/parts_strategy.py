"""A region that holds data in some parts alone: each part is gone over by itself, into the same outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from landseg.geo.grid import Rect
from landseg.geo.vectors.aoi import Aoi
from landseg.inference.engine import Engine
from landseg.inference.match import ModelInput
from landseg.inference.options import PredictOptions
from landseg.inference.prediction import Prediction
from landseg.inference.row_strategy import RowStrategy
from landseg.inference.strategy import Strategy, WindowStrategy
from landseg.inference.strategy import choose_strategy as choose_one
from landseg.inference.strategy import resume_strategy as one_again
from landseg.output.outputs import Outputs
from landseg.runtime.progress import Progress, Shown
from landseg.tiling.placement import Cuts
from landseg.tiling.rows.one_pass import Encode


def choose_strategy(
    engine: Engine, matched: ModelInput, options: PredictOptions, region: Rect, parts: Sequence[Rect] | None = None
) -> Strategy:
    """Return the way over a region, or over those parts of it that hold data.

    Raises:
        PlanError: what was asked for does not go together.
    """
    if parts is None:
        return choose_one(engine, matched, options, region)
    walks = tuple(_in(choose_one(engine, matched, options, part), region) for part in parts)
    return PartsStrategy(walks, tuple(parts), region)


def resume_strategy(
    engine: Engine, matched: ModelInput, options: PredictOptions, region: Rect, note: dict[str, Any]
) -> Strategy:
    """Return the walk that `note` describes, whatever memory is free now."""
    if note["engine"] != "parts":
        return one_again(engine, matched, options, region, note)
    parts = tuple(Rect(*rect) for rect in note["parts"])
    pairs = zip(parts, note["walks"], strict=True)
    walks = tuple(_in(one_again(engine, matched, options, part, one), region) for part, one in pairs)
    return PartsStrategy(walks, parts, region)


def _in(walk: Strategy, region: Rect) -> Strategy:
    return replace(walk, mapped=region) if isinstance(walk, WindowStrategy) else walk


@dataclass(frozen=True)
class PartsStrategy:
    """Several parts of one region, one after the other: what each gives is what the whole region would give there."""

    walks: tuple[Strategy, ...]
    parts: tuple[Rect, ...]
    region: Rect

    def planned(self, output: Path, disk: int) -> Prediction:
        every = [walk.planned(output, disk) for walk in self.walks]
        first = max(every, key=lambda plan: (plan.mode == "blend", plan.pixels))
        pixels = sum(plan.pixels for plan in every)
        share = 100 * pixels / self.region.area
        return replace(
            first,
            reason=f"{first.reason}; in {len(every)} part{'s' * (len(every) > 1)} with {share:.2g} % of the mosaic",
            windows=sum(plan.windows for plan in every),
            pixels=self.region.area,
            overlap_cost=sum(map(_computed, self.walks)) / pixels,
            memory_mib=max(plan.memory_mib for plan in every),
        )

    def note(self) -> dict[str, Any]:
        rects = [[part.top, part.left, part.height, part.width] for part in self.parts]
        return {"engine": "parts", "parts": rects, "walks": [walk.note() for walk in self.walks]}

    def cuts(self) -> Cuts:
        return (), ()  # cuts are lines through the whole raster, and no part's are

    def seconds(self) -> float:
        largest = max(self.walks, key=_computed)
        plan = largest.planned(Path(), 0)
        rate = largest.seconds() / (plan.overlap_cost * plan.pixels)
        return rate * sum(map(_computed, self.walks))

    def measured(self, made: Prediction, outputs: Outputs) -> Prediction:
        """Return the facts with the disagreement of the largest part that is blended."""
        blended = [walk for walk in self.walks if isinstance(walk, WindowStrategy) and walk.tiling.mode == "blend"]
        if not blended:
            return made
        found = max(blended, key=lambda walk: walk.region.area).measured(made, outputs)
        if len(self.walks) == 1 or found.disagreement_note is None:
            return found
        where = f"in the largest of {len(self.walks)} parts"
        return replace(found, disagreement_note=f"{where}, {found.disagreement_note}")

    def run(self, outputs: Outputs, *, aoi: Aoi | None, encode: Encode, shown: Shown = Progress) -> None:
        with shown(sum(part.area for part in self.parts)) as progress:
            for number, (walk, part) in enumerate(zip(self.walks, self.parts, strict=True)):
                own = _Part(outputs, part.relative_to(self.region), f"part {number} ")
                if f"{own.prefix}whole" not in outputs.done:
                    walk.run(cast(Outputs, own), aoi=aoi, encode=encode, shown=_Counted.of(progress))
                    own.commit("whole")
                else:
                    progress.add(part.area)


def _computed(walk: Strategy) -> float:
    """Pixels of the source that are computed for a part: with what the network sees around it, which is not kept."""
    if isinstance(walk, RowStrategy):
        rect = walk.matched.placement.to_network(walk.region)
        reach, above = walk.engine.field.halo or 0, 2 * walk.plan.strip
        rows = min(rect.bottom + reach, walk.matched.placement.network[0]) - max(0, rect.top - reach - above)
        columns = min(rect.right + reach, walk.matched.placement.network[1]) - max(0, rect.left - reach)
        return walk.plan.cost * rows * columns * walk.matched.placement.factor**2
    plan = walk.planned(Path(), 0)
    return plan.overlap_cost * plan.pixels


@dataclass(frozen=True)
class _Part:
    """The outputs as a walk over one part sees them: its pixels are counted from the part, its steps are its own."""

    outputs: Outputs
    at: Rect
    prefix: str

    @property
    def done(self) -> frozenset[str]:
        steps = self.outputs.done
        return frozenset(step.removeprefix(self.prefix) for step in steps if step.startswith(self.prefix))

    def write(
        self, name: str, rect: Rect, pixels: NDArray[Any] | None, valid: NDArray[np.bool_] | None = None
    ) -> None:
        self.outputs.write(name, rect.shifted(self.at.top, self.at.left), pixels, valid)

    def commit(self, step: str) -> None:
        self.outputs.commit(self.prefix + step)


@dataclass(frozen=True)
class _Counted:
    """The progress of one part, counted in that of the whole."""

    whole: Progress

    @classmethod
    def of(cls, whole: Progress) -> Shown:
        """What makes it, for a walk."""

        def shown(total: int, *, done: int = 0) -> Any:
            whole.add(done)
            return cls(whole)

        return shown

    def add(self, pixels: int) -> None:
        self.whole.add(pixels)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None
