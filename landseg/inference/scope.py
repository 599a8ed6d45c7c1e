"""A region of a raster that an engine maps: memory, plan of windows, reading and stitching of it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.geo.vectors.aoi import Aoi
from landseg.inference.engine import Engine
from landseg.inference.match import ModelInput
from landseg.inference.options import InferenceOptions
from landseg.runtime.memory import give_back_freed_memory, resident_bytes
from landseg.tiling.costs import MIB, Costs
from landseg.tiling.plan import Tiling, plan_tiling
from landseg.tiling.sampling import Sample, plan_sample
from landseg.tiling.stitch import Blend, CoreStitcher, Finished, Stitcher, WindowTarget
from landseg.tiling.views import Viewed
from landseg.tiling.windowed import Job
from landseg.tiling.windows import Window, WindowPlan, plan_windows

# GDAL's block cache, the final copy to a COG.
_CACHE = 320 * MIB
_SPARE = 0.4  # of the usual base: with less left beside what is held already, the base is counted anew
_MAPS = 4  # bytes of a pixel in the maps from which objects are made


@dataclass(frozen=True)
class Scope:
    """A region of a raster that an engine maps, by the options of a run.

    Attributes:
        engine: the model, ready to run.
        raster: the raster as the model reads it.
        options: of the run.
        region: the rectangle to map, in pixels of the source.
        whole: the rectangle that the outputs hold, where it is larger than the region.
    """

    engine: Engine
    raster: ModelInput
    options: InferenceOptions
    region: Rect
    whole: Rect | None = None

    @property
    def outputs(self) -> Rect:
        """The rectangle that the outputs hold, in pixels of the source."""
        return self.whole or self.region

    @property
    def network_region(self) -> Rect:
        """The region on the network's grid."""
        return self.raster.placement.to_network(self.region)

    def part(self, region: Rect) -> Scope:
        """Return the scope of a part of the region, for the same outputs."""
        return replace(self, region=region, whole=self.outputs)

    def costs(self) -> Costs:
        """Return the memory that windows of the raster take."""
        engine, options = self.engine, self.options
        item = np.dtype(self.raster.network.dtype).itemsize
        executor = engine.executor
        bands, device = executor.bands, executor.device_bytes()
        layers = 4 * engine.channels * options.class_layers
        layers += _MAPS if "instances" in engine.task.files else 0
        # A mirrored copy of the window, and logits, probabilities and their sum beside the next view's.
        views = 0 if len(engine.views) == 1 else bands * executor.item_bytes + 4 * 4 * engine.channels
        return Costs(
            base=_base(executor.base),
            network=engine.bytes_per_pixel + (0 if device is not None else views),
            waiting=bands * (item + executor.item_bytes) + 2,
            result=4 * engine.channels + layers + 4 + (0 if device is None else views),
            limit=options.memory * MIB,
            ahead=2 if device is None else 4,
            device=device,
            kept=executor.kept,
            grows=engine.views.grows,
        )

    def plan(self) -> Tiling:
        """Return the windows of the region.

        Raises:
            PlanError: the options do not go together.
        """
        window, options = self.options.window, self.options
        size = None if isinstance(window, str) else (window, window) if isinstance(window, int) else window
        return self._plan(self.costs(), window=size, halo=options.halo, batch=options.batch)

    def replan(self, state: dict[str, Any]) -> Tiling:
        """Return the windows of an earlier start of the same run, whatever memory is free now."""
        now = self.costs()
        unlimited = replace(now, limit=float(1 << 60), device=None)
        size = (state["window"][0], state["window"][1])
        tiling = self._plan(unlimited, window=size, halo=state["halo"], batch=state["batch"])
        keeps = now.keeps(now.held(tiling.windows.largest, tiling.windows.shape), tiling.batch)
        recorded = {name: state[name] for name in ("memory", "reason", "sums")}
        return replace(tiling, **recorded, keeps_memory=keeps)

    def _plan(self, costs: Costs, *, window: tuple[int, int] | None, halo: int | str, batch: int | None) -> Tiling:
        return plan_tiling(
            self.raster.placement.network,
            field=self.engine.field,
            costs=costs,
            region=self.network_region,
            reach=self.raster.placement.reach,
            window=window,
            halo=halo,  # type: ignore[arg-type]
            batch=batch,
        )

    def sample(self, tiling: Tiling) -> Sample | None:
        """Return the squares on which a blended plan is compared with a longer halo.

        None for an exact plan, or where no longer halo fits the memory.
        """
        if tiling.mode == "exact":
            return None
        costs = replace(self.costs(), ahead=1)  # one window at a time is read, and computed
        most = max(0.0, costs.most() ** 0.5 - costs.grows) ** 2
        return plan_sample(tiling.windows, most=most, exact_halo=tiling.exact_halo)

    def stitcher(self, windows: WindowPlan, mode: str = "exact", sums: int = 0) -> Stitcher:
        """Return the stitcher that makes pixels of the region of these windows; `sums` bytes are for blending."""
        if mode == "exact":
            return CoreStitcher(windows, self.raster.placement, self.region)
        return Blend(windows, self.raster.placement, self.region, classes=self.engine.channels, budget=sums)

    def job(self, stitcher: Stitcher, *, batch: int, aoi: Aoi | None, encode: Callable[[Finished], Any]) -> Job:
        """Return the job of the stream over these windows."""
        ahead = self.costs().ahead - 1
        return Job(
            stitcher, self.reader(aoi), self.engine.run, encode, batch, self.options.workers, max(ahead, batch),
            origin=(self.region.top, self.region.left),
        )  # fmt: skip

    def reader(self, aoi: Aoi | None = None) -> Callable[[WindowTarget], tuple[Viewed | None, NDArray[np.bool_]]]:
        """Return a function that reads a window for the network, and the pixels (h, w) of its target to be mapped."""
        raster, engine = self.raster, self.engine
        shape = raster.placement.network

        def read(piece: WindowTarget) -> tuple[Viewed | None, NDArray[np.bool_]]:
            window, target = piece.window.rect, piece.target
            around = engine.views.reads(window, shape)
            pixels, valid = raster.network.read(around)
            if raster.placement.factor == 1.0:
                wanted = valid[target.relative_to(around).slices]
            else:
                wanted = raster.source.read(target)[1]
            wanted = inside_of(aoi, target, wanted)
            if not wanted.any():
                return None, wanted
            return engine.views.prepared(engine.executor.prepare(pixels, valid), window, shape), wanted

        return read

    def result(self, window: Window, target: Rect) -> NDArray[Any] | None:
        """Return the main layer (h, w) of a target from a window alone; None where it holds no data."""
        prepared, _ = self.reader()(WindowTarget(window, target))
        if prepared is None:
            return None
        output = self.raster.placement.resample(self.engine.run([prepared])[0], window.rect, target)
        finished = Finished(target, output, np.ones(target.shape, np.bool_))
        return self.engine.task.main(finished, temperature=self.engine.card.temperature)


def inside_of(aoi: Aoi | None, rect: Rect, valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the valid pixels (h, w) of a rectangle of the source that lie in an area of interest; None is all."""
    inside = None if aoi is None else aoi.inside(rect)
    return valid if inside is None else valid & inside


@functools.cache
def _base(usual: float) -> float:
    """Return the bytes that the process holds without any window: libraries, weights, what GDAL keeps.

    These are the usual ones of the runtime wherever that is true, so that the same raster is cut the same way every
    time.

    Measured once: what an earlier run of the same process took and freed is kept for the next, and not lost to it.
    Memory that other work took and freed (the training of a model, say) is given back first: it would count as held.
    """
    most = usual - min(_CACHE, _SPARE * usual)
    if resident_bytes() > most:
        give_back_freed_memory()
    held = resident_bytes()
    return usual if held <= most else -(-(held + _CACHE) // (512 * MIB)) * 512 * MIB


def whole_plan(shape: tuple[int, int], stride: int) -> WindowPlan:
    """Return the plan of one window that holds a whole grid of (height, width) pixels."""
    length = [-(-pixels // stride) * stride for pixels in shape]
    return plan_windows(shape, window=(length[0], length[1]), halo=0, stride=stride)


def refuse_too_large(shape: tuple[int, int], costs: Costs) -> None:
    """Raise PlanError if one window of (height, width) pixels does not fit the memory; it names what would."""
    pixels = shape[0] * shape[1]
    if pixels > costs.most():
        raise PlanError(
            f"whole-image inference on {shape[0]} x {shape[1]} pixels does not fit {costs.limit / MIB:.0f} MiB; "
            f"use --memory {costs.total(pixels) * 16 / 15 / MIB + 1:.0f} or a smaller --size"
        )
