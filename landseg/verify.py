"""Proof on one's own raster: tiled against whole-image inference on a crop of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landseg.dense.semantic import top
from landseg.errors import PlanError, RasterError
from landseg.geo.grid import Rect
from landseg.geo.rasters.address import file_names
from landseg.inference.match import ModelInput, log_warnings, match_options
from landseg.inference.options import PredictOptions
from landseg.models.named import named_model
from landseg.text.amounts import counted
from landseg.text.options import refuse_unknown
from landseg.tiling.placement import GridPlacement

if TYPE_CHECKING:  # they bring torch, which is not needed to refuse a raster
    from landseg.inference.engine import Engine
    from landseg.models.file import Model

TIE = 1e-4
"""Two top logits of fp32 that are this near count as equal: rounding may order them either way."""
SAME = 1e-4
"""How far logits of fp32 may differ, of the largest one, and still be the same."""
_STEPS = {"bf16": 2.0**-7, "fp16": 2.0**-10}  # a step of the number format at the largest logit: a tie there
_STRIP = 128  # rows at a time where rows are streamed
_CORE = 512  # what a chosen window keeps between its halos
OPTIONS = (
    "bands", "stack", "stored_values", "resolution", "source_resolution", "engine", "window", "halo", "batch", "tta",
    "device", "precision", "workers", "threads", "memory", "quiet",
)  # fmt: skip
"""Options of `predict` that `verify` takes as well: what is written, and where, means nothing to it."""


@dataclass(frozen=True)
class Verification:
    """How far tiled inference is from whole-image inference.

    Attributes:
        max_abs_diff: largest difference of a logit.
        class_disagreement: share of pixels whose class differs.
        relative_diff: the same, of the largest logit.
        ties: share of pixels whose class differs where the two top logits are within rounding of each other: 1e-4, in
            bf16 and fp16 one step of the format at the largest logit.
        exact: True where the plan promises it, no class differs but at ties, and, in fp32, no logit by more than
            1e-4 of the largest.
        mode: "exact" or "blend": what the plan promises.
        crop: (top, left, height, width) in pixels of the network's grid.
        engine: "stream" or "windows".
        window: (height, width); of a strip where rows are streamed.
        halo: pixels.
        windows: their number.
        pixels: compared.
        precision: of both.
        warnings: what the log said of the raster: see `Prediction`.
        tta: test-time augmentation of both.
    """

    max_abs_diff: float
    relative_diff: float
    class_disagreement: float
    ties: float
    exact: bool
    crop: tuple[int, int, int, int]
    pixels: int
    precision: str
    mode: str = "exact"
    engine: str = "windows"
    window: tuple[int, int] = (0, 0)
    halo: int = 0
    windows: int = 1
    warnings: tuple[str, ...] = ()
    tta: str = "none"

    def to_json(self) -> dict[str, Any]:
        """The comparison in JSON values."""
        return {**asdict(self), "crop": list(self.crop), "window": list(self.window), "warnings": list(self.warnings)}

    def lines(self) -> list[str]:
        """The comparison in words."""
        top_, left, height, width = self.crop
        what = "strips" if self.engine == "stream" else "windows"
        return [
            f"crop          {height} x {width} px from row {top_}, column {left}",
            f"{what:<13} {self.windows} of {self.window[0]} x {self.window[1]} px, halo {self.halo}, {self.mode}",
            *([] if self.tta == "none" else [f"tta           {self.tta}, of the crop, on both sides"]),
            f"max |dlogit|  {self.max_abs_diff:.3g}, {self.relative_diff:.1g} of the largest ({self.precision})",
            f"classes       {self.class_disagreement:.4%} of {counted(self.pixels, 'pixel')} "
            f"differ, {self.ties:.4%} at ties",
            f"tiled against whole image: {self.verdict}",
        ]

    @property
    def verdict(self) -> str:
        """The word "exact", or why it is not."""
        if self.exact:
            return "exact"
        if self.class_disagreement > self.ties:
            return "not exact, classes differ that are no ties"
        if self.mode != "exact":
            yet = "" if self.class_disagreement else "; yet no class differs"
            return f"not exact, the windows are blended{yet}"
        return f"not exact, logits differ by more than {SAME:g} of the largest"


def verify(
    sources: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    model: str | PathLike[str] | Model | None = None,
    size: int | tuple[int, int] | None = None,
    **options: Any,
) -> Verification:
    """Tiled and whole-image inference on the raster's centre, compared pixel by pixel.

    Args:
        sources: a raster, or several as one mosaic or stack.
        model: a file, a shipped name or a loaded model; None is the shipped one.
        size: (height, width) of the crop in pixels of the network's grid; None takes one and a half windows.
        **options: those of `predict` that `OPTIONS` names.

    Raises:
        LandsegError: the raster or the options do not fit, or the crop does not fit the memory.
    """
    refuse_unknown(options, OPTIONS, of="verify")
    wanted = PredictOptions.of(**{"precision": "fp32", **options})
    named = named_model(model)
    with match_options(file_names(sources), named.card, wanted) as matched:
        from landseg.inference.engine import Engine
        from landseg.inference.scope import Scope, refuse_too_large

        log_warnings(matched)
        engine = Engine(
            named.load(),
            device=wanted.device,
            precision=wanted.precision,
            tta=wanted.tta,
            threads=wanted.threads,
        )
        shape = matched.network.grid.shape
        window = _window(engine, wanted)
        length = _lengths(window, engine, size)
        height, width = min(length[0], shape[0]), min(length[1], shape[1])
        crop = Rect((shape[0] - height) // 2, (shape[1] - width) // 2, height, width)
        refuse_too_large((height, width), Scope(engine, matched, wanted, crop).costs())
        made = _compare(engine, matched, crop, PredictOptions.of(**{**vars(wanted), "window": window}), wanted)
        return replace(made, warnings=matched.warnings)


def _window(engine: Engine, options: PredictOptions) -> tuple[int, int]:
    """The window asked for, or the smallest sensible one for an exact halo."""
    if isinstance(options.window, int):
        return options.window, options.window
    if not isinstance(options.window, str):
        return options.window
    halo = options.halo if isinstance(options.halo, int) else engine.field.halo or 128
    stride = engine.field.stride
    length = 2 * halo + -(-_CORE // stride) * stride
    return length, length


def _lengths(window: tuple[int, int], engine: Engine, size: int | tuple[int, int] | None) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    return size or (window[0] + _CORE // 2, window[1] + _CORE // 2)


def _compare(
    engine: Engine, matched: ModelInput, crop: Rect, options: PredictOptions, asked: PredictOptions
) -> Verification:
    from landseg.inference.row_strategy import why_not_rows
    from landseg.inference.scope import Scope, whole_plan

    pixels, valid = matched.network.read(crop)
    if not valid.any():
        raise RasterError(f"{matched.source.name}: the centre holds no data; choose a larger --size or name a part")
    place = GridPlacement.same(crop.shape)
    cropped = ModelInput(matched.source, matched.network, place)
    scope, batch = Scope(engine, cropped, options, Rect(0, 0, *crop.shape)), options.batch or 1
    stitcher = scope.stitcher(whole_plan(crop.shape, engine.field.stride))
    whole = engine.collect(stitcher, pixels, valid, batch=batch)[:, valid]
    if why_not_rows(engine, asked) is None:
        tiled = _streamed(engine, pixels, valid)[:, valid]
        made = _verdict(tiled, whole, crop, engine.runner.precision)
        count = -(-crop.height // _STRIP)
        return replace(made, engine="stream", window=(_STRIP, crop.width), windows=count)
    if asked.engine == "stream":
        raise PlanError(why_not_rows(engine, asked) or "")
    tiling = scope.plan()
    stitcher = scope.stitcher(tiling.windows, tiling.mode, tiling.sums)
    tiled = engine.collect(stitcher, pixels, valid, batch=batch)[:, valid]
    made = _verdict(tiled, whole, crop, engine.runner.precision, mode=tiling.mode)
    windows, halo = tiling.windows, max(tiling.windows.halo)
    return replace(made, window=windows.largest, halo=halo, windows=len(windows), tta=options.tta)


def _streamed(engine: Engine, pixels: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Logits (K, h, w) of a picture in memory, in strips."""
    from landseg.inference.row_strategy import sections_of
    from landseg.tiling.rows.row_stream import Rows

    runner = engine.runner
    rows = Rows(
        engine.program(),
        valid.shape[-2:],
        bands=runner.bands,
        strip=_STRIP,
        sections=sections_of(engine),
        dtype=runner.dtype,
        device=runner.device,
    )
    prepared = runner.prepare(pixels, valid).to(runner.device)
    parts = [
        logits[0].float().cpu().numpy()
        for top_ in range(0, valid.shape[0], _STRIP)
        for _, logits in rows.push(prepared[:, :, top_ : top_ + _STRIP])
    ]
    return np.concatenate(parts, axis=1)


def _verdict(
    tiled: NDArray[np.float32], whole: NDArray[np.float32], crop: Rect, precision: str, *, mode: str = "exact"
) -> Verification:
    """Logits (K, n) of the valid pixels, compared."""
    largest = float(np.abs(whole).max())
    step = _STEPS.get(precision)
    differs = top(tiled[:, None])[0][0] != top(whole[:, None])[0][0]
    near = np.zeros_like(differs)
    if len(whole) > 1:
        second, first = np.sort(whole, axis=0)[-2:]
        near = first - second <= (TIE if step is None else step * largest)
    difference = float(np.abs(tiled - whole).max())
    relative = difference / largest if largest else difference
    same = step is not None or relative <= SAME
    return Verification(
        max_abs_diff=difference,
        relative_diff=relative,
        class_disagreement=float(differs.mean()),
        ties=float((differs & near).mean()),
        exact=mode == "exact" and same and not bool((differs & ~near).any()),
        crop=(crop.top, crop.left, crop.height, crop.width),
        pixels=int(tiled.shape[1]),
        precision=precision,
        mode=mode,
    )
