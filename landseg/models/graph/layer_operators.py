"""The operators of landseg's own layers, which move no unit from its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from landseg.models.graph.axes import KernelAxis, Part
from landseg.models.graph.operators import Operator, Upsample
from landseg.models.layers.aligned import sample
from landseg.models.layers.upconv_parts import AlignedNearest, BedOfNails, CropStart, MaxMask, nearest


class CropOperator(Upsample):
    """The operator of Crop: it computes nothing, and reads behind the first ``start`` units."""

    def __init__(self, layer: Any) -> None:
        self.take("crop", start=int(layer.start))

    def run(self, inputs: Sequence[Tensor], rows: Part, columns: Part, out: Tensor | None = None) -> Tensor:
        return inputs[0]


class DownsizeOperator(Operator):
    """The operator of AlignedDownsize: linear resizing by a fixed factor."""

    kind = "downsize"

    def __init__(self, layer: Any) -> None:
        self.up, self.down = layer.up, layer.down
        self.take(self.kind, up=int(layer.up), down=int(layer.down))

    def run(self, inputs: Sequence[Tensor], rows: Part, columns: Part, out: Tensor | None = None) -> Tensor:
        x = inputs[0]
        for axis, piece in ((-2, rows), (-1, columns)):
            x = sample(x, axis, self.up, self.down, units=(piece.start, piece.stop), first=piece.first)
        return x


class UpsizeOperator(DownsizeOperator, Upsample):
    """The operator of AlignedUpsize: linear resizing to the size of a second tensor."""

    kind = "upsize"


class PadOperator(Operator):
    """The operator of PadToMultiple: zeros behind the input."""

    def __init__(self, layer: Any) -> None:
        self.take("pad_to_multiple", multiple=int(layer.multiple))

    def run(self, inputs: Sequence[Tensor], rows: Part, columns: Part, out: Tensor | None = None) -> Tensor:
        return F.pad(inputs[0], (0, columns.after, 0, rows.after))


class NearestOperator(Upsample):
    """The operator of AlignedNearest."""

    kind = "nearest"

    def __init__(self, layer: AlignedNearest) -> None:
        super().__init__(layer)
        self.layer = layer

    def run(self, inputs: Sequence[Tensor], rows: Part, columns: Part, out: Tensor | None = None) -> Tensor:
        y = nearest(inputs[0], self.layer, rows.start, rows.stop, axis=-2, first=rows.first)
        return nearest(y, self.layer, columns.start, columns.stop, axis=-1, first=columns.first)


class _CellOperator(Operator):
    """An operator that makes whole cells of its output from single units; units beyond the piece are cut off."""

    factor: int

    def run(self, inputs: Sequence[Tensor], rows: Part, columns: Part, out: Tensor | None = None) -> Tensor:
        top, left = rows.start - rows.first * self.factor, columns.start - columns.first * self.factor
        return self.cells(inputs[0])[..., top : top + rows.count, left : left + columns.count]

    def cells(self, x: Tensor) -> Tensor:
        """Return all cells (N, C, h * factor, w * factor) of units (N, C', h, w)."""
        raise NotImplementedError


class ShuffleOperator(_CellOperator):
    """The operator of nn.PixelShuffle: each unit becomes a cell and sits in its middle."""

    def __init__(self, layer: nn.PixelShuffle) -> None:
        self.factor = int(layer.upscale_factor)
        self.take("shuffle", factor=self.factor)

    def channels(self, inputs: Sequence[int]) -> int:
        return inputs[0] // self.factor**2

    def cells(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(x, self.factor)


class UnshuffleOperator(Operator):
    """The operator of nn.PixelUnshuffle: the units of a cell become channels of one. Recipes have no kind for it."""

    def __init__(self, layer: nn.PixelUnshuffle) -> None:
        self.factor, self.form = int(layer.downscale_factor), None
        self.rows = self.columns = KernelAxis(self.factor, self.factor)

    def channels(self, inputs: Sequence[int]) -> int:
        return inputs[0] * self.factor**2

    def run(self, inputs: Sequence[Tensor], rows: Part, columns: Part, out: Tensor | None = None) -> Tensor:
        return F.pixel_unshuffle(inputs[0], self.factor)


class NailsOperator(_CellOperator):
    """The operator of BedOfNails."""

    def __init__(self, layer: BedOfNails) -> None:
        self.factor, self.cells = layer.factor, layer.forward  # type: ignore[method-assign]
        self.take("nails", factor=int(layer.factor))


class MaxMaskOperator(Operator):
    """The operator of MaxMask: it reads whole cells, and returns the pixels of the piece."""

    def __init__(self, layer: MaxMask) -> None:
        self.layer: Any = layer
        self.take("max_mask", factor=int(layer.factor))

    def run(self, inputs: Sequence[Tensor], rows: Part, columns: Part, out: Tensor | None = None) -> Tensor:
        top, left = rows.start - rows.first, columns.start - columns.first
        y: Tensor = self.layer(inputs[0])
        return y[..., top : top + rows.count, left : left + columns.count]


class CropStartOperator(Operator):
    """The operator of CropStart: it leaves out the first units."""

    def __init__(self, layer: CropStart) -> None:
        self.take("crop_start", count=int(layer.count))

    def run(self, inputs: Sequence[Tensor], rows: Part, columns: Part, out: Tensor | None = None) -> Tensor:
        return inputs[0]
