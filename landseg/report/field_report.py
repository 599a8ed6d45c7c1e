"""The receptive fields of a model's layers, and the surroundings that the class of a pixel depends on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.errors import GridError, RasterError
from landseg.geo.grid import Rect
from landseg.geo.rasters.address import File, file_name
from landseg.geo.rasters.source import Source
from landseg.inference.match import log_warnings, match_raster
from landseg.models.file import Model
from landseg.models.graph.field import ReceptiveField
from landseg.models.graph.receptive_field import evidence_at, receptive_field, side_holding
from landseg.models.named import named_model
from landseg.output.checks import files_behind
from landseg.report.receptive_field import FieldImagery, Heat, draw_field, picture_side
from landseg.runtime.target_checks import check_target
from landseg.text.results import html_table, one_line
from landseg.tiling.runner import Runner

_WINDOW = 513  # pixels that the gradient is taken over, but for the stride: memory is bounded, evidence is near


@dataclass(frozen=True)
class Effective:
    """The surroundings that the top class of one pixel depends on, measured by its gradient on a raster.

    Attributes:
        column, row: the pixel, on the grid that the network gets.
        class_name: the top class of the pixel.
        half: side in pixels of the square around it that holds half of the gradient.
        nine_tenths: side in pixels of the square around it that holds nine tenths of the gradient.
        window: (height, width) in pixels over which the gradient was measured.
    """

    column: int
    row: int
    class_name: str
    half: int
    nine_tenths: int
    window: tuple[int, int]


@dataclass(frozen=True, repr=False)
class FieldReport:
    """The receptive field of a model.

    Attributes:
        field: the fields of the layers, and of the whole network.
        effective: the measurement on a raster; None without a raster.
        warnings: what the log says about the raster.
    """

    field: ReceptiveField
    effective: Effective | None = None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the layers and the measurement as JSON values."""
        made: dict[str, Any] = {"layers": [asdict(layer) for layer in self.field.layers]}
        if self.effective is not None:
            made["effective"] = {**asdict(self.effective), "window": list(self.effective.window)}
            made["warnings"] = list(self.warnings)
        return made

    def __repr__(self) -> str:
        size = "unbounded" if self.field.size is None else f"{self.field.size} px"
        seen = None if self.effective is None else f"half of the gradient in {self.effective.half} px"
        return one_line("FieldReport", size, f"stride {self.field.stride}", seen)

    def _repr_html_(self) -> str:
        rows = [
            (layer.name, layer.kind, "unbounded" if layer.size is None else f"{layer.size} px", f"{layer.stride:.4g}")
            for layer in self.field.layers
        ]
        return html_table(repr(self).strip("<>"), ["layer", "kind", "size", "stride"], rows)


def effective_field(
    model: File | Model | None = None,
    *,
    draw: File | None = None,
    over: File | None = None,
    at: tuple[int, int] | None = None,
    overwrite: bool = False,
    stored_values: bool = False,
) -> FieldReport:
    """Return the receptive fields of a model's layers, and measure on a raster the surroundings that a pixel needs.

    Args:
        model: a model file, the name of a shipped model, or a loaded model; None takes the default model.
        draw: a PNG to write with the receptive field.
        over: a raster to measure on and to draw over, which the model can read.
        at: (column, row) of the pixel to measure at, on the grid that the network gets; None takes the centre.
        overwrite: replace a picture that exists.
        stored_values: take the numbers that the raster stores, whatever scale and offset it declares.

    Raises:
        ModelError: there is no model of that name, or the file is no model.
        OutputError: the picture exists, is no PNG, or cannot be written.
        LandsegError: the raster cannot be read, does not fit the model, or has no data or no pixel there.
    """
    over, draw = (None if file is None else file_name(file) for file in (over, draw))
    picture = None if draw is None else Path(draw)
    if picture is not None:
        kind, inputs = "the picture of a receptive field", [] if over is None else files_behind([str(over)])
        check_target(picture, (".png",), kind=kind, overwrite=overwrite, inputs=inputs)
    loaded = named_model(model).load()
    field = receptive_field(loaded.network)
    if over is None:
        if picture is not None:
            draw_field(field, picture, title=loaded.card.name)
        return FieldReport(field)
    with match_raster(str(over), loaded.card, stored_values=stored_values) as matched:
        log_warnings(matched)
        source, warnings = matched.network, matched.warnings
        pixel = _pixel(source, at)
        effective, heat = _measure(loaded, field, source, pixel)
        if picture is not None:
            ground = FieldImagery.of(source, pixel, picture_side(field))
            draw_field(field, picture, title=loaded.card.name, ground=ground, heat=heat)
    return FieldReport(field, effective, warnings)


def _pixel(source: Source, at: tuple[int, int] | None) -> tuple[int, int]:
    """Return a pixel as (row, column); None is the middle of the raster."""
    height, width = source.grid.shape
    if at is None:
        return height // 2, width // 2
    if len(at) != 2 or not all(isinstance(number, Integral) for number in at):
        raise GridError(f"at {at!r}: expected the column and the row of a pixel, such as (0, 0)")
    column, row = at
    if not (0 <= column < width and 0 <= row < height):
        raise GridError(
            f"{source.name} has no pixel at column {column}, row {row}: columns go from 0 to {width - 1}, "
            f"rows from 0 to {height - 1}"
        )
    return row, column


def _measure(model: Model, field: ReceptiveField, source: Source, at: tuple[int, int]) -> tuple[Effective, Heat]:
    """Return the gradient at a pixel of a raster, over a window that begins on the network's stride."""
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
    name = card.channel_names[best]
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
