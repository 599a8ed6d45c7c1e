"""Upsampling that puts every value back at the position of its evidence.

The units of a network made of odd, symmetrically padded kernels sit at input pixels ``S * f`` (S = stride,
f = unit index); units behind even, unpadded pools sit at ``S * f + (S - 1) / 2``. The common resizing calls do
not distinguish them: ``align_corners=False`` assumes the second, ``align_corners=True`` stretches the grid at most
sizes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landseg.errors import ModelError


class AlignedUpsample(nn.Module):
    """Upsample bilinearly by a whole factor so that unit ``f`` lands exactly on pixel ``factor * f + shift``.

    ``forward(x, like)`` takes ``x`` (N, C, h, w) and a tensor ``like`` (N, *, H, W) that lends only its size,
    with ``h == ceil(H / factor)`` and the same for the widths; it returns (N, C, H, W), and without ``like``
    (N, C, factor * h, factor * w). Beyond the first and the last unit the value of that unit is held (no
    extrapolation, no zeros), so a pixel depends on at most two units an axis at any size of the input: cutting a
    raster at multiples of the factor changes nothing.

    Args:
        factor: output pixels per unit.
        shift: position of unit 0 in output pixels: 0.0 (odd kernels) or ``(factor - 1) / 2`` (even pools).

    Attributes:
        full: True if values in half precision are converted to float32 first, so that the result is in float32. In
            bfloat16, rounding after interpolation makes two classes equal, or exchanges them, from pixel to pixel
            along a border. `compute_scores_in_float32` sets it for scores.

    Raises:
        ModelError: the factor is below 1, or the shift is neither of the two.
    """

    def __init__(self, factor: int, shift: float = 0.0) -> None:
        super().__init__()
        if factor < 1:
            raise ModelError(f"an upsampling factor must be a whole number of at least 1, got {factor}")
        if shift not in (0.0, (factor - 1) / 2):
            raise ModelError(f"shift {shift} fits no unit grid of factor {factor}; use 0.0 or {(factor - 1) / 2}")
        self.factor = factor
        self.shift = shift
        self.full = False

    def forward(self, x: Tensor, like: Tensor | None = None) -> Tensor:
        height, width = self.size(x, like)
        x = in_full(x) if self.full else x
        if self.factor == 1:
            return x[..., :height, :width]
        if self.shift:
            size = (x.shape[-2] * self.factor, x.shape[-1] * self.factor)
            return F.interpolate(x, size=size, mode="bilinear", align_corners=False)[..., :height, :width]
        # With a repeated unit past the end, align_corners=True steps by exactly 1 / factor at any size.
        x = torch.cat([x, x[..., -1:, :]], dim=-2)
        x = torch.cat([x, x[..., -1:]], dim=-1)
        size = ((x.shape[-2] - 1) * self.factor + 1, (x.shape[-1] - 1) * self.factor + 1)
        return F.interpolate(x, size=size, mode="bilinear", align_corners=True)[..., :height, :width]

    def size(self, x: Tensor, like: Tensor | None) -> tuple[int, int]:
        """Return (height, width) of the result."""
        if like is None:
            return x.shape[-2] * self.factor, x.shape[-1] * self.factor
        return like.shape[-2], like.shape[-1]

    def extra_repr(self) -> str:
        return f"factor={self.factor}, shift={self.shift}"


def in_full(x: Tensor) -> Tensor:
    """Return ``x`` in float32, or as it is in a higher precision."""
    return x.float() if x.dtype.itemsize < torch.float32.itemsize else x
