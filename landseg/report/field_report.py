"""The use case behind ``landseg info --receptive-field``: what a model sees by its layers, and what it looks at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.errors import GridError, RasterError
from landseg.geo.grid import Rect
from landseg.geo.rasters.source import Source
from landseg.inference.match import log_warnings, match_raster
from landseg.models.file import Model, load_model
from landseg.models.graph.receptive_field import ReceptiveField, evidence_at, receptive_field, side_holding
from landseg.output.checks import files_behind
from landseg.report.receptive_field import Ground, Heat, draw_field, picture_side
from landseg.runtime.target_checks import check_target
from landseg.tiling.runner import Runner

_WINDOW = 513  # pixels that the gradient is taken over, but for the stride: memory is bounded, evidence is near


@dataclass(frozen=True)
class Effective:
    """What one pixel's top class depends on, measured by its gradient on a raster.

    Attributes:
        column, row: the pixel, on the network's grid.
        class_name: the top class there.
        half: side of the square around it that holds half of the gradient.
        nine_tenths: and nine tenths.
        window: (height, width) that the gradient was taken over.
    """

    column: int
    row: int
    class_name: str
    half: int
    nine_tenths: int
    window: tuple[int, int]


@dataclass(frozen=True)
class FieldReport:
    """What a model sees; ``effective`` where a raster was given, and ``warnings`` that the log gave of it."""

    field: ReceptiveField
    effective: Effective | None = None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the layers and what was measured as plain JSON values."""
        made: dict[str, Any] = {"layers": [asdict(layer) for layer in self.field.layers]}
        if self.effective is not None:
            made["effective"] = {**asdict(self.effective), "window": list(self.effective.window)}
            made["warnings"] = list(self.warnings)
        return made


def effective_field(
    model: str | Path | None = None,
    *,
    draw: Path | None = None,
    over: str | Path | None = None,
    at: tuple[int, int] | None = None,
    overwrite: bool = False,
    stored_values: bool = False,
) -> FieldReport:
    """Return what a model's layers see, from its graph; draw it, and measure on a raster what it looks at.

    Args:
        model: a file or a shipped name; None is the default one.
        draw: a PNG to write.
        over: the raster to draw it over, which the model must be able to read.
        at: (column, row) of the raster's pixel to draw it around, on the network's grid; None is the middle.
        overwrite: replace a picture that exists.
        stored_values: take the numbers that the raster stores, whatever scale and offset it declares.

    Raises:
        ModelError: no model by that name, or a file that is none.
        OutputError: the picture exists, is no PNG, or cannot be written.
        LandsegError: the raster cannot be read, does not fit the model, or has no data or no pixel there.
    """
    if draw is not None:
        inputs = [] if over is None else files_behind([str(over)])
        check_target(draw, (".png",), kind="the picture of a receptive field", overwrite=overwrite, inputs=inputs)
    loaded = load_model(model)
    field = receptive_field(loaded.network)
    if over is None:
        if draw is not None:
            draw_field(field, draw, title=loaded.card.name)
        return FieldReport(field)
    with match_raster(str(over), loaded.card, stored_values=stored_values) as matched:
        log_warnings(matched)
        source, warnings = matched.network, matched.warnings
        pixel = _pixel(source, at)
        effective, heat = _measure(loaded, field, source, pixel)
        if draw is not None:
            ground = Ground.of(source, pixel, picture_side(field))
            draw_field(field, draw, title=loaded.card.name, ground=ground, heat=heat)
    return FieldReport(field, effective, warnings)


def _pixel(source: Source, at: tuple[int, int] | None) -> tuple[int, int]:
    """(row, column), inside the raster."""
    height, width = source.grid.shape
    if at is None:
        return height // 2, width // 2
    column, row = at
    if not (0 <= column < width and 0 <= row < height):
        raise GridError(
            f"{source.name} has no pixel at column {column}, row {row}: columns go from 0 to {width - 1}, "
            f"rows from 0 to {height - 1}"
        )
    return row, column


def _measure(model: Model, field: ReceptiveField, source: Source, at: tuple[int, int]) -> tuple[Effective, Heat]:
    """The gradient at a pixel of a raster, over a window that begins on the network's stride."""
    rect = _window(field, source.grid.rect, at)
    pixels, valid = source.read(rect)
    inside = at[0] - rect.top, at[1] - rect.left
    if not valid[inside]:
        raise RasterError(
            f"{source.name} has no data at column {at[1]}, row {at[0]}: choose another pixel with --at COLUMN,ROW"
        )
    card = model.card
    runner = Runner(model.network, mean=card.means, std=card.stds, fill=card.fill, device="cpu", precision="fp32")
    found, best = evidence_at(model.network, runner.prepare(pixels, valid).contiguous(), inside)
    weights: NDArray[np.float32] = np.where(valid, found, np.float32(0))
    name = card.classes.names[best]
    effective = Effective(
        column=at[1],
        row=at[0],
        class_name=name,
        half=side_holding(weights, inside, 0.5),
        nine_tenths=side_holding(weights, inside, 0.9),
        window=rect.shape,
    )
    return effective, Heat(weights, rect, name, effective.half, effective.nine_tenths)


def _window(field: ReceptiveField, raster: Rect, at: tuple[int, int]) -> Rect:
    reach = _WINDOW // 2 if field.radius is None else min(field.radius, _WINDOW // 2)
    top, left = ((place - reach) // field.stride * field.stride for place in at)
    rect = Rect(top, left, at[0] + reach + 1 - top, at[1] + reach + 1 - left).intersection(raster)
    assert rect is not None, "the pixel lies inside the raster"
    return rect
