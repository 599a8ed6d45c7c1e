"""A region that holds data in a few parts alone: each is mapped by its own strategy, into the same outputs."""

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
from landseg.inference import strategy
from landseg.inference.prediction import Prediction
from landseg.inference.row_strategy import RowStrategy
from landseg.inference.scope import Scope
from landseg.inference.strategy import Strategy, WindowStrategy
from landseg.output.outputs import Outputs
from landseg.runtime.progress import Progress, Shown
from landseg.tiling.placement import Cuts
from landseg.tiling.rows.one_pass import Encode


def choose_strategy(scope: Scope, parts: Sequence[Rect] | None = None) -> Strategy:
    """Return the strategy for a region, or for those parts of it that hold data.

    Raises:
        PlanError: the options do not go together.
    """
    if parts is None or scope.engine.task.whole_rows:  # these take the whole raster, and know no parts
        return strategy.choose_strategy(scope)
    strategies = tuple(strategy.choose_strategy(scope.part(part)) for part in parts)
    return PartsStrategy(scope.region, tuple(parts), strategies)


def resume_strategy(scope: Scope, state: dict[str, Any]) -> Strategy:
    """Return the strategy whose state was recorded, whatever memory is free now."""
    if state["engine"] != "parts":
        return strategy.resume_strategy(scope, state)
    parts = tuple(Rect(*rect) for rect in state["parts"])
    pairs = zip(parts, state["walks"], strict=True)
    strategies = tuple(strategy.resume_strategy(scope.part(part), own) for part, own in pairs)
    return PartsStrategy(scope.region, parts, strategies)


@dataclass(frozen=True)
class PartsStrategy:
    """Several parts of one region, one after the other: each gives the pixels that the whole region would give there.

    Attributes:
        region: in pixels of the source.
        parts: rectangles of it.
        strategies: one for each part.
    """

    region: Rect
    parts: tuple[Rect, ...]
    strategies: tuple[Strategy, ...]

    def planned(self, output: Path, disk: int) -> Prediction:
        every = [one.planned(output, disk) for one in self.strategies]
        first = max(every, key=lambda plan: (plan.mode == "blend", plan.pixels))
        pixels = sum(plan.pixels for plan in every)
        share = 100 * pixels / self.region.area
        return replace(
            first,
            reason=f"{first.reason}; in {len(every)} part{'s' * (len(every) > 1)} with {share:.2g} % of the mosaic",
            windows=sum(plan.windows for plan in every),
            pixels=self.region.area,
            overlap_cost=sum(map(_computed, self.strategies)) / pixels,
            memory_mib=max(plan.memory_mib for plan in every),
        )

    def state(self) -> dict[str, Any]:
        rects = [[part.top, part.left, part.height, part.width] for part in self.parts]
        return {"engine": "parts", "parts": rects, "walks": [one.state() for one in self.strategies]}

    def cuts(self) -> Cuts:
        return (), ()  # cuts are lines through the whole raster, and no part's are

    def seconds(self) -> float:
        largest = max(self.strategies, key=_computed)
        plan = largest.planned(Path(), 0)
        rate = largest.seconds() / (plan.overlap_cost * plan.pixels)
        return rate * sum(map(_computed, self.strategies))

    def measured(self, made: Prediction, outputs: Outputs) -> Prediction:
        """Return the facts with the disagreement of the largest part that is blended."""
        blended = [one for one in self.strategies if isinstance(one, WindowStrategy) and one.tiling.mode == "blend"]
        if not blended:
            return made
        found = max(blended, key=lambda one: one.scope.region.area).measured(made, outputs)
        if len(self.strategies) == 1 or found.disagreement_note is None:
            return found
        where = f"in the largest of {len(self.strategies)} parts"
        return replace(found, disagreement_note=f"{where}, {found.disagreement_note}")

    def run(self, outputs: Outputs, *, aoi: Aoi | None, encode: Encode, shown: Shown = Progress) -> None:
        with shown(sum(part.area for part in self.parts)) as progress:
            for number, (one, part) in enumerate(zip(self.strategies, self.parts, strict=True)):
                own = _Part(outputs, part.relative_to(self.region), f"part {number} ")
                if f"{own.prefix}whole" not in outputs.done:
                    one.run(cast(Outputs, own), aoi=aoi, encode=encode, shown=_Counted.of(progress))
                    own.commit("whole")
                else:
                    progress.add(part.area)


def _computed(one: Strategy) -> float:
    """Return the pixels of the source that are computed for a part, with those around it that are not kept."""
    if isinstance(one, RowStrategy):
        rect, placement = one.scope.network_region, one.scope.raster.placement
        reach, above = one.scope.engine.field.halo or 0, 2 * one.plan.strip
        rows = min(rect.bottom + reach, placement.network[0]) - max(0, rect.top - reach - above)
        columns = min(rect.right + reach, placement.network[1]) - max(0, rect.left - reach)
        return one.plan.cost * rows * columns * placement.factor**2
    plan = one.planned(Path(), 0)
    return plan.overlap_cost * plan.pixels


@dataclass(frozen=True)
class _Part:
    """The outputs as the strategy of one part sees them: pixels count from the part, steps have its prefix."""

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
        """Return the function that makes it, for the strategy of a part."""

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
