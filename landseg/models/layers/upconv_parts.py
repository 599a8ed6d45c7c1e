"""The parts of upconvolutions that PyTorch lacks: each is a single node of a network's graph.

Their operators, for running piece by piece, are in landseg.models.graph, like those of all other layers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from landseg.errors import ModelError
from landseg.models.layers.aligned import LeafLayer
from landseg.models.layers.upsample import AlignedUpsample


class AlignedNearest(AlignedUpsample):
    """Upsampling to the nearest unit so that unit ``f`` lands exactly on pixel ``factor * f + shift``.

    ``forward(x, like)`` as in AlignedUpsample. A pixel midway between two units (even factors with a shift of 0)
    takes the mean of both: the value of either would move everything by half a pixel. For a factor of 2 this is
    bilinear upsampling.
    """

    def forward(self, x: Tensor, like: Tensor | None = None) -> Tensor:
        height, width = self.size(x, like)
        return nearest(nearest(x, self, 0, height, axis=-2), self, 0, width, axis=-1)


def nearest(x: Tensor, layer: AlignedUpsample, start: int, stop: int, *, axis: int, first: int = 0) -> Tensor:
    """Return pixels ``start`` to ``stop`` along an axis; ``x`` holds the units from ``first`` on."""
    # Twice the position of each pixel among the units, so that halves are whole numbers.
    twice = 2 * torch.arange(start, stop, device=x.device) - round(2 * layer.shift)
    step, last = 2 * layer.factor, x.shape[axis] - 1
    low = -((layer.factor - twice).div(step, rounding_mode="floor")) - first
    high = (twice + layer.factor).div(step, rounding_mode="floor") - first
    below = x.index_select(axis, low.clamp(0, last))
    if torch.equal(low, high):
        return below
    return torch.lerp(below, x.index_select(axis, high.clamp(0, last)), 0.5)


class BedOfNails(LeafLayer):
    """Unpooling onto zeros: unit ``f`` at pixel ``factor * f``, (N, C, h, w) to (N, C, h * factor, w * factor)."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        y = x.new_zeros(n, channels, height * self.factor, width * self.factor)
        y[..., :: self.factor, :: self.factor] = x
        return y

    def extra_repr(self) -> str:
        return f"factor={self.factor}"


class MaxMask(LeafLayer):
    """A mask: 1 at the largest pixel of each cell of ``factor`` x ``factor``, the first if equal, and 0 elsewhere.

    Input and result are (N, C, H, W); cells at the far edges may be cut off. Multiplied with pooled values held over
    their cells this is max unpooling (Badrinarayanan, Kendall, Cipolla 2017) without stored positions.
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous()
        _, index = F.max_pool2d(x, self.factor, ceil_mode=True, return_indices=True)
        flat = torch.zeros_like(x).flatten(2)
        return flat.scatter(2, index.flatten(2), 1.0).view(x.shape)

    def extra_repr(self) -> str:
        return f"factor={self.factor}"


class CropStart(LeafLayer):
    """A layer that leaves out the first ``count`` rows and columns."""

    def __init__(self, count: int) -> None:
        super().__init__()
        if count < 0:
            raise ModelError(f"{count} rows cannot be left out; use 0 or more")
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        return x[..., self.count :, self.count :]

    def extra_repr(self) -> str:
        return f"count={self.count}"
