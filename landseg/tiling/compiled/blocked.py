"""The blocked layout of ONNX Runtime's convolutions: channels in blocks as wide as the processor's registers.

A tensor (N, C, H, W) of the layout has C padded to whole blocks of B channels and lies in memory as
(N, C / B, H, W, B). So its rows can be cut and joined on a view of the shape (N, C / B, H, W * B), which costs no
more than on plain tensors. Kernels are padded with zeros likewise: channels that pad a value never reach another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Blocks:
    """The channels of a value in the blocked layout, which may have been joined from several.

    Attributes:
        block: channels in a block, B.
        parts: numbers of channels, each padded to whole blocks.
    """

    block: int
    parts: tuple[int, ...]

    @property
    def channels(self) -> int:
        """The number of channels without padding."""
        return sum(self.parts)

    @property
    def padded(self) -> int:
        """The number of channels with padding."""
        return sum(map(self._whole, self.parts))

    @property
    def places(self) -> NDArray[np.int64]:
        """The place of each channel among the padded."""
        starts = np.cumsum([0, *map(self._whole, self.parts[:-1])])
        return np.concatenate([np.arange(part) + start for part, start in zip(self.parts, starts, strict=True)])

    def _whole(self, count: int) -> int:
        return -(-count // self.block) * self.block


@dataclass(frozen=True)
class Packing:
    """An array of a recipe in the order in which a graph reads it.

    Attributes:
        array: its name in the recipe's weights.
        how: "as it is", "first" (a kernel over a plain value with fewer channels than a block), "dense", "depthwise"
            or "bias".
        parts: channels of the blocked value that it goes with, as in `Blocks`.
        block: channels in a block; 0 where the order is that of the recipe.
        shape: that the array is brought to first; empty for its own.
    """

    array: str
    how: str = "as it is"
    parts: tuple[int, ...] = ()
    block: int = 0
    shape: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The name in graphs, another one for each order."""
        return ":".join([self.array, self.how, "-".join(map(str, self.parts)), str(self.block)])

    def pack(self, weights: Mapping[str, Array]) -> Array:
        """Return the array of a recipe's weights, packed."""
        array = weights[self.array]
        array = array.reshape(self.shape) if self.shape else array
        if self.how == "as it is":
            return np.ascontiguousarray(array, np.float32)
        if self.how == "first":
            return first_kernel(array, self.block)
        return _PACKED[self.how](array, Blocks(self.block, self.parts))


def dense_kernel(weight: Array, inputs: Blocks) -> Array:
    """Return the kernel (O, I, kh, kw) of a convolution of a blocked value, in the order that it is read in."""
    block, (count, _, height, width) = inputs.block, weight.shape
    outputs = Blocks(block, (count,)).padded
    whole = np.zeros((outputs, inputs.padded, height, width), np.float32)
    whole[:count, inputs.places] = weight
    shape = outputs // block, block, inputs.padded // block, block, height, width
    ordered = np.ascontiguousarray(whole.reshape(shape).transpose(0, 2, 4, 5, 3, 1))
    return ordered.reshape(whole.shape)


def first_kernel(weight: Array, block: int) -> Array:
    """Return the kernel (O, I, kh, kw) of a convolution of a plain value with fewer channels than a block."""
    count, inputs, height, width = weight.shape
    whole = np.zeros((Blocks(block, (count,)).padded, inputs, height, width), np.float32)
    whole[:count] = weight
    ordered = whole.reshape(-1, block, inputs, height, width).transpose(0, 2, 3, 4, 1)
    return np.ascontiguousarray(ordered).reshape(whole.shape)


def depthwise_kernel(weight: Array, inputs: Blocks) -> Array:
    """Return the kernel (C, 1, kh, kw) of a convolution of each channel of a blocked value."""
    whole = np.zeros((inputs.padded, *weight.shape[1:]), np.float32)
    whole[inputs.places] = weight
    ordered = whole.reshape(-1, inputs.block, *weight.shape[1:]).transpose(0, 2, 3, 4, 1)
    return np.ascontiguousarray(ordered).reshape(whole.shape)


def padded_bias(bias: Array, channels: Blocks) -> Array:
    """Return the bias (C,) of a blocked value, zero in padding."""
    whole = np.zeros(channels.padded, np.float32)
    whole[channels.places] = bias
    return whole


_PACKED = {"dense": dense_kernel, "depthwise": depthwise_kernel, "bias": padded_bias}
