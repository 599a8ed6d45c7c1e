"""A model on a raster: the plan, the stream's job, and how far a blended plan is from exact."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from landseg.dense.semantic import top
from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.geo.vectors.aoi import Aoi
from landseg.inference.match import ModelInput
from landseg.inference.options import PredictOptions
from landseg.models.file import Model
from landseg.models.graph.receptive_field import ReceptiveField, receptive_field
from landseg.runtime.memory import give_back_freed_memory, resident_bytes
from landseg.tiling.collect import collect
from landseg.tiling.costs import MIB, Costs
from landseg.tiling.plan import Tiling, plan_tiling
from landseg.tiling.rows.program import StepProgram, program_of
from landseg.tiling.runner import KEPT, Runner
from landseg.tiling.sampling import Sample, plan_sample
from landseg.tiling.stitch import Blend, Crop, Finished, Stitcher, WindowTarget
from landseg.tiling.views import Viewed, Views
from landseg.tiling.windowed import Job
from landseg.tiling.windows import WindowPlan, plan_windows

# What a process holds before its first window: libraries, weights, GDAL's block cache, the final copy to a COG. A
# constant wherever that is true, so that the same raster is cut the same way every time.
_BASE = 1280 * MIB
_CACHE = 320 * MIB

Read = Callable[[WindowTarget], tuple[Viewed | None, NDArray[np.bool_]]]


class Engine:
    """A loaded model, ready for any number of rasters."""

    def __init__(
        self,
        model: Model,
        *,
        device: str = "auto",
        precision: str = "auto",
        tta: str = "none",
        threads: int | None = None,
    ) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        card = model.card
        self.model = model
        self.field: ReceptiveField = receptive_field(model.network)
        self.runner = Runner(
            model.network, mean=card.means, std=card.stds, fill=card.fill, device=device, precision=precision
        )
        self.views = Views(tta, stride=self.field.stride, temperature=card.temperature)
        self._per_pixel = self.runner.bytes_per_pixel()
        self.against_rows: str | None = None
        try:
            self._flow: StepProgram | None = program_of(self.runner.network)
        except PlanError as error:
            self._flow, self.against_rows = None, str(error)

    @property
    def classes(self) -> int:
        """K."""
        return len(self.model.card.classes)

    def flow(self) -> StepProgram:
        """The network's steps, for streaming rows.

        Raises:
            PlanError: a layer cannot be streamed; it is named.
        """
        if self._flow is None:
            raise PlanError(self.against_rows or "the network cannot be streamed")
        return self._flow

    def costs(self, matched: ModelInput, options: PredictOptions) -> Costs:
        """The memory that windows of this raster take."""
        item = np.dtype(matched.network.dtype).itemsize
        bands, gpu = self.runner.bands, self.runner.device.type == "cuda"
        layers = 4 * self.classes * sum(x is not None for x in (options.probs, options.logits))
        # A mirrored copy of the window, and logits, probabilities and their sum beside the next view's.
        views = 0 if len(self.views) == 1 else bands * self.runner.item_bytes + 4 * 4 * self.classes
        return Costs(
            base=_base(),
            network=self._per_pixel + (0 if gpu else views),
            waiting=bands * (item + self.runner.item_bytes) + 2,
            result=4 * self.classes + layers + 4 + (views if gpu else 0),
            limit=options.memory * MIB,
            ahead=4 if gpu else 2,
            device=0.8 * torch.cuda.mem_get_info()[0] if gpu else None,
            kept=KEPT,
            grows=self.views.grows,
        )

    def plan(self, matched: ModelInput, options: PredictOptions, region: Rect) -> Tiling:
        """The windows for a region of the source.

        Raises:
            PlanError: what was asked for does not go together.
        """
        window = options.window
        return plan_tiling(
            matched.placement.network,
            field=self.field,
            costs=self.costs(matched, options),
            region=matched.placement.to_network(region),
            reach=matched.placement.reach,
            window=None if isinstance(window, str) else (window, window) if isinstance(window, int) else window,
            halo=options.halo,  # type: ignore[arg-type]
            batch=options.batch,
        )

    def replan(self, matched: ModelInput, region: Rect, note: dict[str, Any], options: PredictOptions) -> Tiling:
        """The windows of an earlier start of the same run, whatever memory is free now."""
        mine = self.costs(matched, options)
        costs = replace(mine, limit=float(1 << 60), device=None)
        tiling = plan_tiling(
            matched.placement.network,
            field=self.field,
            costs=costs,
            region=matched.placement.to_network(region),
            reach=matched.placement.reach,
            window=(note["window"][0], note["window"][1]),
            halo=note["halo"],
            batch=note["batch"],
        )
        keeps = mine.keeps(mine.held(tiling.windows.largest, tiling.windows.shape), tiling.batch)
        known = {name: note[name] for name in ("memory", "reason", "sums")}
        return replace(tiling, **known, keeps_memory=keeps)

    def stitcher(self, matched: ModelInput, windows: WindowPlan, mode: str, region: Rect, sums: int) -> Stitcher:
        """What makes pixels of the region of these windows."""
        if mode == "exact":
            return Crop(windows, matched.placement, region)
        return Blend(windows, matched.placement, region, classes=self.classes, budget=sums)

    def job(
        self,
        matched: ModelInput,
        stitcher: Stitcher,
        *,
        options: PredictOptions,
        batch: int = 1,
        aoi: Aoi | None = None,
        encode: Callable[[Finished], Any] = lambda _: {},
    ) -> Job:
        """What the stream needs."""
        ahead = self.costs(matched, options).ahead - 1
        read = self.reader(matched, aoi)
        return Job(stitcher, read, self.run, encode, batch, options.workers, max(ahead, batch))

    def reader(self, matched: ModelInput, aoi: Aoi | None = None) -> Read:
        """Reads a piece: its window scaled for the network, and which pixels of its target are wanted."""
        shape = matched.placement.network

        def read(piece: WindowTarget) -> tuple[Viewed | None, NDArray[np.bool_]]:
            window, target = piece.window.rect, piece.target
            around = self.views.reads(window, shape)
            pixels, valid = matched.network.read(around)
            if matched.placement.factor == 1.0:
                wanted = valid[target.relative_to(around).slices]
            else:
                wanted = matched.source.read(target)[1]
            inside = None if aoi is None else aoi.inside(target)
            if inside is not None:
                wanted = wanted & inside
            if not wanted.any():
                return None, wanted
            return self.views.prepared(self.runner.prepare(pixels, valid), window, shape), wanted

        return read

    def run(self, batch: list[Viewed]) -> NDArray[np.float32]:
        """Return logits (N, K, h, w) of windows of one shape: of the mean, where they have several views."""
        return self.views.run(self.runner.run, batch)

    def collect(
        self,
        stitcher: Stitcher,
        pixels: NDArray[Any],
        valid: NDArray[np.bool_],
        *,
        region: Rect,
        options: PredictOptions,
    ) -> NDArray[np.float32]:
        """Logits (K, h, w) of a picture in memory, (bands, h, w) with its validity (h, w)."""

        def read(piece: WindowTarget) -> tuple[Viewed | None, NDArray[np.bool_]]:
            y, x = self.views.reads(piece.window.rect, valid.shape).slices
            prepared = self.runner.prepare(pixels[:, y, x], valid[y, x])
            return self.views.prepared(prepared, piece.window.rect, valid.shape), valid[piece.target.slices]

        job = Job(stitcher, read, self.run, lambda _: {}, options.batch or 1, 1, 1)
        return collect(job, region, self.classes)[0]

    def sample(self, matched: ModelInput, tiling: Tiling, options: PredictOptions) -> Sample | None:
        """Return the squares on which a blended plan is compared with a longer halo.

        None for an exact plan, or where no longer halo fits the memory.
        """
        if tiling.mode == "exact":
            return None
        costs = replace(self.costs(matched, options), ahead=1)  # one window at a time is read, and computed
        most = max(0.0, costs.most() ** 0.5 - costs.grows) ** 2
        return plan_sample(tiling.windows, most=most, exact_halo=tiling.exact_halo)

    def classes_of(self, matched: ModelInput, piece: WindowTarget) -> NDArray[np.uint8] | None:
        """Return the class indices (h, w) of a piece's target from its window alone; None where it holds no data."""
        prepared, _ = self.reader(matched)(piece)
        if prepared is None:
            return None
        logits = self.run([prepared])[0]
        return top(matched.placement.resample(logits, piece.window.rect, piece.target))[0]


@functools.cache
def _base() -> float:
    """Bytes that the process holds without any window.

    Asked once: what an earlier run of the same process took and freed is kept for the next, and not lost to it.
    What others took and freed (a model that was trained, say) is given back first, or it would count as held.
    """
    held = resident_bytes() + _CACHE
    if held > _BASE:
        give_back_freed_memory()
        held = resident_bytes() + _CACHE
    return _BASE if held <= _BASE else -(-held // (512 * MIB)) * 512 * MIB


def whole_plan(shape: tuple[int, int], stride: int) -> WindowPlan:
    """One window that holds everything."""
    length = [-(-pixels // stride) * stride for pixels in shape]
    return plan_windows(shape, window=(length[0], length[1]), halo=0, stride=stride)


def refuse_too_large(shape: tuple[int, int], costs: Costs) -> None:
    """Nothing, if one window of this shape fits.

    Raises:
        PlanError: it does not, with the memory that it takes.
    """
    pixels = shape[0] * shape[1]
    if pixels > costs.most():
        raise PlanError(
            f"whole-image inference on {shape[0]} x {shape[1]} pixels does not fit {costs.limit / MIB:.0f} MiB; "
            f"use --memory {costs.total(pixels) * 16 / 15 / MIB + 1:.0f} or a smaller --size"
        )
