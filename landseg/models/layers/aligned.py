"""Layers that move no unit from its place, each with an operator of its own in landseg.models.graph.

A unit of stride S sits either at input pixel ``S * f`` ("whole" geometry: odd kernels, padded on both sides) or at
``S * f + (S - 1) / 2`` ("half": even kernels over cells of pixels). The pools of a network decide which of
the two it has; no layer here changes it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landseg.errors import ModelError
from landseg.models.layers.upsample import AlignedUpsample


class LeafLayer(nn.Module):
    """A layer that is a single node of the graph, because landseg has a rule for it."""


class GridMaxPool2d(LeafLayer):
    """A pool: the maximum around every ``stride``-th unit, ``ceil(h / stride)`` units at any size.

    An even kernel reads from its unit on (cells, of which the last may be smaller), an odd kernel on both sides.
    Padding is never the maximum. Without its stride, and dilated by any factor, the pool has the same values at the
    multiples of the stride as before; ``nn.MaxPool2d`` does not.
    """

    def __init__(self, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.dilation = (kernel_size, kernel_size), (stride, stride), (1, 1)

    @property
    def padding(self) -> int:
        """The number of units before the first unit that the kernel reaches."""
        return (self.kernel_size[0] - 1) // 2 * self.dilation[0]

    @property
    def end(self) -> int:
        """The number of units behind the last unit that the kernel reaches, beyond ``padding``."""
        return (self.kernel_size[0] - 1) * self.dilation[0] - 2 * self.padding

    def forward(self, x: Tensor) -> Tensor:
        before, after = self.padding, self.padding + self.end
        filled = F.pad(x, (before, after, before, after), value=float("-inf"))
        return F.max_pool2d(filled, self.kernel_size, self.stride, 0, self.dilation)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size[0]}, stride={self.stride[0]}, dilation={self.dilation[0]}"


class Crop(AlignedUpsample):
    """A layer that cuts (N, C, h, w) to the size of a second tensor, behind its first ``start`` rows and columns."""

    def __init__(self, start: int = 0) -> None:
        super().__init__(1)
        self.start = start

    def forward(self, x: Tensor, like: Tensor) -> Tensor:  # type: ignore[override]  # it has no size of its own
        height, width = like.shape[-2:]
        return x[..., self.start : self.start + height, self.start : self.start + width]

    def extra_repr(self) -> str:
        return f"start={self.start}"


class AlignedDownsize(LeafLayer):
    """Bilinear resizing by ``up / down`` <= 1: unit g of the result is the input at ``g * down / up``, no filter.

    The result has ``ceil(size * up / down)`` units an axis; the last units hold the input's last unit.
    """

    def __init__(self, up: int, down: int) -> None:
        super().__init__()
        self.up, self.down = up, down

    def forward(self, x: Tensor) -> Tensor:
        for axis in (-2, -1):
            x = sample(x, axis, self.up, self.down, units=(0, -(-x.shape[axis] * self.up // self.down)))
        return x

    def extra_repr(self) -> str:
        return f"{self.up}/{self.down}"


class AlignedUpsize(AlignedUpsample):
    """Bilinear resizing to the size of a second tensor: unit g of the result is the input at ``g * down / up``."""

    def __init__(self, up: int, down: int) -> None:
        super().__init__(1)
        self.up, self.down = up, down

    def forward(self, x: Tensor, like: Tensor) -> Tensor:  # type: ignore[override]  # it has no size of its own
        for axis in (-2, -1):
            x = sample(x, axis, self.up, self.down, units=(0, like.shape[axis]))
        return x

    def extra_repr(self) -> str:
        return f"{self.up}/{self.down}"


class PadToMultiple(LeafLayer):
    """A layer that pads (N, C, h, w) with zeros below and on the right, to a multiple of ``multiple``."""

    def __init__(self, multiple: int) -> None:
        super().__init__()
        self.multiple = multiple

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, -x.shape[-1] % self.multiple, 0, -x.shape[-2] % self.multiple))

    def extra_repr(self) -> str:
        return f"multiple={self.multiple}"


class ChannelNorm(LeafLayer, nn.LayerNorm):
    """Layer norm over the channels of each unit: (N, C, h, w) in and out, without any neighbour."""

    def forward(self, x: Tensor) -> Tensor:
        units = x.permute(0, 2, 3, 1)
        return F.layer_norm(units, self.normalized_shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


class BilinearDeconv(LeafLayer, nn.ConvTranspose2d):
    """A transposed convolution of each channel with a kernel of ``2 * factor``, bilinear at the start.

    Unit f is centred at output ``factor * f + factor - 1/2 - padding``. Beyond the first and the last unit there are
    zeros, while ``AlignedUpsample`` holds the last value; in between both are the same function.

    Args:
        channels: number of channels of input and result.
        factor: output pixels per unit.
        padding: number of outputs cut off at either end.
        learned: True if the weights are parameters; otherwise they stay bilinear, outside the model file.
    """

    def __init__(self, channels: int, factor: int, *, padding: int, learned: bool) -> None:
        super().__init__(channels, channels, 2 * factor, factor, padding, groups=channels, bias=False)
        weight = bilinear_kernel(2 * factor).expand(channels, 1, -1, -1).clone()
        if learned:
            self.weight = nn.Parameter(weight)
        else:
            del self.weight
            self.register_buffer("weight", weight, persistent=False)


def bilinear_kernel(size: int) -> Tensor:
    """Return the filter (size, size) of Long et al.'s bilinear upsampling: a tent around the middle, 1 at its top.

    >>> bilinear_kernel(4)[0]
    tensor([0.0625, 0.1875, 0.1875, 0.0625])
    """
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    tent = 1 - (torch.arange(size) - centre).abs() / factor
    return tent[:, None] * tent


def sample(x: Tensor, axis: int, up: int, down: int, *, units: tuple[int, int], first: int = 0) -> Tensor:
    """Return units ``units[0]`` to ``units[1]`` of ``x`` resized linearly along an axis, -2 or -1.

    Args:
        x: the input; its first entry along the axis is unit ``first``.
        axis: -2 or -1.
        up, down: unit g of the result lies at ``g * down / up`` of the input.
        units: range of the units of the result.
        first: number of the first unit in ``x``.
    """
    at = torch.arange(*units, device=x.device) * down
    before = torch.div(at, up, rounding_mode="floor") - first
    share = (at % up).to(x.dtype) / up
    most = x.shape[axis] - 1
    low = x.index_select(axis, before.clamp(max=most))
    if down % up == 0:
        return low
    high = x.index_select(axis, (before + 1).clamp(max=most))
    return torch.lerp(low, high, share[:, None] if axis == -2 else share)


def check_whole(name: str, value: int, least: int = 1) -> None:
    """Raise ModelError if an option of a network is no whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ModelError(f"{name} must be a whole number of at least {least}, got {value!r}")
