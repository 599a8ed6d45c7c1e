"""Tiled and whole-image inference on a crop in memory, and how far the two differ."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landseg.dense.tasks import task_of
from landseg.errors import PlanError, RasterError
from landseg.geo.grid import Rect
from landseg.inference.match import ModelInput
from landseg.inference.options import VerifyOptions
from landseg.models.card import Card
from landseg.text.amounts import counted, plural
from landseg.text.results import html_table, one_line
from landseg.tiling.placement import GridPlacement

if TYPE_CHECKING:  # it is not needed to refuse a raster
    from landseg.inference.engine import Engine

TIE = 1e-4
"""The difference below which the two top logits of fp32 count as equal: rounding may order them either way."""
SAME = 1e-4
"""The difference of logits of fp32, as a part of the largest logit, up to which they count as the same."""
_STEPS = {"bf16": 2.0**-7, "fp16": 2.0**-10}  # a step of the number format at the largest logit: a tie there
_STRIP = 128  # rows at a time where rows are streamed
_CORE = 512  # pixels that a window keeps between its halos, where no size is given


@dataclass(frozen=True, repr=False)
class Verification:
    """The difference between tiled and whole-image inference on a crop.

    Attributes:
        max_abs_diff: largest difference of a logit.
        relative_diff: largest difference of a logit, as a part of the largest logit.
        class_disagreement: share of pixels whose class differs.
        ties: share of pixels whose class differs and whose two top logits are within rounding of each other: 1e-4, in
            bf16 and fp16 one step of the format at the largest logit.
        exact: True where the plan promises it, no class differs but at ties, and, in fp32, no logit differs by more
            than 1e-4 of the largest.
        crop: (top, left, height, width) of the crop in pixels that the network gets.
        pixels: number of pixels with data that were compared.
        precision: the floating-point format of both inferences.
        mode: "exact" or "blend", as the plan promises.
        engine: "stream" or "windows".
        window: (height, width) of a window, or of a strip where rows are streamed.
        halo: pixels of context on each side of a window.
        windows: number of windows or strips.
        warnings: what the log says about the raster, see `Prediction`.
        tta: test-time augmentation of both inferences.
        runtime: the library that computed the tiled inference: "torch" or "onnx". PyTorch computed the whole image.
        noun: the name of the result of a pixel: "class", or that of another task, which `class_disagreement` and
            `ties` are about then.
        instances: number of objects in whole-image inference; None of a model without objects.
        instances_differing: number of these that do not have the same pixels in tiled inference.
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
    runtime: str = "torch"
    noun: str = "class"
    instances: int | None = None
    instances_differing: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON values: no noun where it is "class", no objects where there are none."""
        lists = {"crop": list(self.crop), "window": list(self.window), "warnings": list(self.warnings)}
        values = {**asdict(self), **lists}
        usual = {"noun": "class", "instances": None, "instances_differing": None}
        return {name: value for name, value in values.items() if name not in usual or value != usual[name]}

    def __repr__(self) -> str:
        differs = f"{self.class_disagreement:.4%} of {counted(self.pixels, 'pixel')} differ"
        return one_line("Verification", self.verdict, differs, f"max |dlogit| {self.max_abs_diff:.3g}")

    def _repr_html_(self) -> str:
        rows = [
            [f"pixels with another {self.noun}", f"{self.class_disagreement:.4%} of {self.pixels:,}"],
            ["of these, ties", f"{self.ties:.4%}"],
            *(
                []
                if self.instances is None
                else [["instances that differ", f"{self.instances_differing:,} of {self.instances:,}"]]
            ),
            ["largest difference of a logit", f"{self.max_abs_diff:.3g}"],
        ]
        return html_table(f"Verification: {self.verdict}", ["figure", self.precision], rows)

    @property
    def verdict(self) -> str:
        """The word "exact", or the reason why the two are not."""
        if self.exact:
            return "exact"
        if self.class_disagreement > self.ties:
            return f"not exact, {plural(self.noun)} differ that are no ties"
        if self.mode != "exact":
            yet = "" if self.class_disagreement else f"; yet no {self.noun} differs"
            return f"not exact, the windows are blended{yet}"
        return f"not exact, logits differ by more than {SAME:g} of the largest"


def refuse_whole_rows(card: Card) -> None:
    """Raise PlanError if a model has no windows that could be compared."""
    if task_of(card).whole_rows:
        raise PlanError(
            f"model {card.name} finds objects by boxes, in the rows of a whole raster: there are no windows to "
            "compare with one forward pass"
        )


def window_to_verify(engine: Engine, options: VerifyOptions) -> tuple[int, int]:
    """Return the (height, width) of the option, or those of the smallest useful window with an exact halo."""
    if isinstance(options.window, int):
        return options.window, options.window
    if not isinstance(options.window, str):
        return options.window
    halo = options.halo if isinstance(options.halo, int) else engine.field.halo or 128
    stride = engine.field.stride
    length = 2 * halo + -(-_CORE // stride) * stride
    return length, length


def crop_to_verify(shape: tuple[int, int], window: tuple[int, int], size: int | tuple[int, int] | None) -> Rect:
    """Return the crop at the centre of a raster of a (height, width), of the size or of one and a half windows."""
    asked = (size, size) if isinstance(size, int) else size or (window[0] + _CORE // 2, window[1] + _CORE // 2)
    height, width = min(asked[0], shape[0]), min(asked[1], shape[1])
    return Rect((shape[0] - height) // 2, (shape[1] - width) // 2, height, width)


def compare_on_crop(
    engine: Engine,
    matched: ModelInput,
    crop: Rect,
    window: tuple[int, int],
    options: VerifyOptions,
    *,
    reference: Engine | None = None,
) -> Verification:
    """Return the difference between tiled and whole-image inference on a crop.

    Args:
        engine: the model, ready to run tiled.
        matched: the raster as the model reads it.
        crop: the part of the raster, in pixels that the network gets.
        window: (height, width) of the windows, where windows are used.
        options: of the two inferences.
        reference: the model, ready to run on the whole crop; None takes the engine.

    Raises:
        RasterError: the crop holds no data.
        PlanError: rows are to be streamed and cannot be, or the options do not go together.
    """
    from landseg.inference.row_strategy import why_not_rows
    from landseg.inference.scope import Scope, whole_plan

    pixels, valid = matched.network.read(crop)
    if not valid.any():
        raise RasterError(f"{matched.source.name}: the centre holds no data; choose a larger --size or name a part")
    place = GridPlacement.same(crop.shape)
    cropped = ModelInput(matched.source, matched.network, place)
    tiles = replace(options, window=window)
    scope, batch = Scope(engine, cropped, tiles, Rect(0, 0, *crop.shape)), options.batch or 1
    stitcher = scope.stitcher(whole_plan(crop.shape, engine.field.stride))
    whole = (reference or engine).collect(stitcher, pixels, valid, batch=batch)
    if why_not_rows(engine, options) is None:
        tiled = _streamed(engine, pixels, valid)
        made = _compared(engine, tiled, whole, valid, crop)
        count = -(-crop.height // _STRIP)
        return replace(made, engine="stream", window=(_STRIP, crop.width), windows=count)
    if options.engine == "stream":
        raise PlanError(why_not_rows(engine, options) or "")
    tiling = scope.plan()
    stitcher = scope.stitcher(tiling.windows, tiling.mode, tiling.sums)
    tiled = engine.collect(stitcher, pixels, valid, batch=batch)
    made = _compared(engine, tiled, whole, valid, crop, mode=tiling.mode)
    windows, halo = tiling.windows, max(tiling.windows.halo)
    return replace(made, window=windows.largest, halo=halo, windows=len(windows), tta=options.tta)


def _streamed(engine: Engine, pixels: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the logits (K, h, w) of a picture in memory, whose rows are streamed in strips."""
    executor, shape = engine.executor, (valid.shape[0], valid.shape[1])
    copies, prepared = executor.copies(), executor.prepare(pixels, valid)
    with executor.rows(shape, strip=_STRIP) as rows:
        parts = [
            copies.fetched(copies.fetch(logits))[0]
            for top_ in range(0, shape[0], _STRIP)
            for _, logits in rows.push(copies.receive(copies.send(prepared[:, :, top_ : top_ + _STRIP])))
        ]
    return np.concatenate(parts, axis=1)


def _compared(
    engine: Engine,
    tiled: NDArray[np.float32],
    whole: NDArray[np.float32],
    valid: NDArray[np.bool_],
    crop: Rect,
    *,
    mode: str = "exact",
) -> Verification:
    """Return the comparison of two outputs (C, h, w) where pixels are valid (h, w)."""
    precision, task = engine.executor.precision, engine.task
    largest = float(np.abs(whole[:, valid]).max())
    step = _STEPS.get(precision)
    found = task.agreement(tiled, whole, valid, tie=TIE if step is None else step * largest)
    difference = float(np.abs(tiled[:, valid] - whole[:, valid]).max())
    relative = difference / largest if largest else difference
    same = step is not None or relative <= SAME
    return Verification(
        max_abs_diff=difference,
        relative_diff=relative,
        class_disagreement=float(found.differs.mean()),
        ties=float((found.differs & found.ties).mean()),
        exact=mode == "exact" and same and not bool((found.differs & ~found.ties).any()),
        crop=(crop.top, crop.left, crop.height, crop.width),
        pixels=int(valid.sum()),
        precision=precision,
        mode=mode,
        runtime=engine.executor.runtime,
        noun=task.noun,
        instances=found.objects,
        instances_differing=None if found.objects is None else found.objects_differing,
    )
