"""Operators for the layers of landseg.models.align, which move no unit from its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from landseg.models.align import sample
from landseg.tiling.geometry import Part, Window
from landseg.tiling.operators import Operator, Upsample
from landseg.tiling.resizing import Filled, Resample


class Cut(Upsample):
    """Crop: nothing to compute but where to read."""

    def __init__(self, layer: Any) -> None:
        self.rows = self.columns = Window(padding=-layer.start, end=layer.start)

    def run(self, inputs: Sequence[Tensor], rows: Part, columns: Part, out: Tensor | None = None) -> Tensor:
        return inputs[0]


class Smaller(Operator):
    """Shrink: linear resizing by a fixed factor."""

    def __init__(self, layer: Any) -> None:
        self.up, self.down = layer.up, layer.down
        self.rows = self.columns = Resample(layer.up, layer.down)

    def run(self, inputs: Sequence[Tensor], rows: Part, columns: Part, out: Tensor | None = None) -> Tensor:
        x = inputs[0]
        for axis, piece in ((-2, rows), (-1, columns)):
            x = sample(x, axis, self.up, self.down, units=(piece.start, piece.stop), first=piece.first)
        return x


class Larger(Smaller, Upsample):
    """Enlarge: the same, as large as the tensor that lends its size."""


class Padded(Operator):
    """Fill: zeros behind the input."""

    def __init__(self, layer: Any) -> None:
        self.rows = self.columns = Filled(layer.multiple)

    def run(self, inputs: Sequence[Tensor], rows: Part, columns: Part, out: Tensor | None = None) -> Tensor:
        return F.pad(inputs[0], (0, columns.after, 0, rows.after))
