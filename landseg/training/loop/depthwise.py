"""The backward pass of depthwise convolutions on a CPU, several times as fast as PyTorch's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["depthwise_gradients", "quick_depthwise"]

_BUILT_IN_TAPS = 9  # up to 3 x 3 without dilation the library's own gradient of bfloat16 weights is the faster one
_INPUT, _WEIGHT = [True, False, False], [False, True, False]


@contextmanager
def quick_depthwise(network: nn.Module) -> Iterator[None]:
    """Let a network's depthwise convolutions go backward by `depthwise_gradients` while the context is open.

    Forward passes, weights and names stay as they are. For networks on a CPU: other devices have good kernels.
    """
    changed = [module for module in network.modules() if _is_plain_depthwise(module)]
    for module in changed:
        module.__class__ = _Depthwise
    try:
        yield
    finally:
        for module in changed:
            module.__class__ = nn.Conv2d


def depthwise_gradients(
    gradient: Tensor, inputs: Tensor, weight: Tensor, *, stride: int, padding: int, dilation: int
) -> tuple[Tensor, Tensor]:
    """Return the gradients of a depthwise convolution's input (N, C, H, W) and weight (C, 1, k, k).

    What oneDNN does for large, dilated or strided kernels in bfloat16 is up to a hundred times as slow as its forward
    pass. So the input's gradient is a forward pass with the kernel turned around; where there is none, and for such
    weights, gradients are made in float32, image by image, so that they stay in the caches.

    Args:
        gradient: of the output, (N, C, h, w).
        inputs: what the convolution saw.
        weight: its kernel.
        stride, padding, dilation: its own, the same for rows and columns.
    """
    place = ([stride] * 2, [padding] * 2, [dilation] * 2)
    return _of_inputs(gradient, inputs, weight, place), _of_weight(gradient, inputs, weight, place)


Place = tuple[list[int], list[int], list[int]]


def _of_inputs(gradient: Tensor, inputs: Tensor, weight: Tensor, place: Place) -> Tensor:
    (stride, _), (padding, _), (dilation, _) = place
    channels, turned = inputs.shape[1], dilation * (weight.shape[-1] - 1) - padding
    if stride == 1 and turned >= 0:
        return F.conv2d(gradient, weight.flip(2, 3), None, 1, turned, dilation, channels)
    found, kernel = torch.empty_like(inputs), weight.float()
    for image, slope, of_image in zip(*(torch.split(part, 1) for part in (inputs, gradient, found)), strict=True):
        of_image.copy_(_built_in(slope.float(), image.float(), kernel, place, _INPUT)[0])
    return found


def _of_weight(gradient: Tensor, inputs: Tensor, weight: Tensor, place: Place) -> Tensor:
    if inputs.dtype is torch.float32 or (weight.shape[-1] ** 2 <= _BUILT_IN_TAPS and place[2] == [1, 1]):
        found: Tensor = _built_in(gradient, inputs, weight, place, _WEIGHT)[1]
        return found
    kernel = weight.float()
    found = torch.zeros_like(kernel)
    for image, slope in zip(torch.split(inputs, 1), torch.split(gradient, 1), strict=True):
        found += _built_in(slope.float(), image.float(), kernel, place, _WEIGHT)[1]
    return found.to(weight.dtype)


def _built_in(gradient: Tensor, inputs: Tensor, weight: Tensor, place: Place, wanted: list[bool]) -> Any:
    backward = torch.ops.aten.convolution_backward
    return backward(gradient, inputs, weight, None, *place, False, [0, 0], inputs.shape[1], wanted)


class _Gradient(torch.autograd.Function):
    """A depthwise convolution without a bias that goes backward by `depthwise_gradients`."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, place: Place) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.place = place
        return F.conv2d(inputs, weight, None, *place, inputs.shape[1])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        inputs, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_inputs = _of_inputs(gradient, inputs, weight, ctx.place) if ctx.needs_input_grad[0] else None
        of_weight = _of_weight(gradient, inputs, weight, ctx.place) if ctx.needs_input_grad[1] else None
        return of_inputs, of_weight, None


class _Depthwise(nn.Conv2d):
    """A plain depthwise convolution while it learns on a CPU."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not torch.is_grad_enabled() or not input.is_cpu:
            plain: Tensor = super()._conv_forward(input, weight, bias)
            return plain
        if torch.is_autocast_enabled("cpu"):
            input, weight = (part.to(torch.get_autocast_dtype("cpu")) for part in (input, weight))
        place = (list(self.stride), list(self.padding), list(self.dilation))
        found: Tensor = _Gradient.apply(input, weight, place)
        return found if bias is None else found + bias.to(found.dtype)[:, None, None]


def _is_plain_depthwise(module: nn.Module) -> bool:
    """Return whether a module is a convolution of each channel by itself, alike in rows and columns, zero-padded."""
    if type(module) is not nn.Conv2d or not module.groups == module.in_channels == module.out_channels > 1:
        return False
    if isinstance(module.padding, str) or module.padding_mode != "zeros" or module.kernel_size == (1, 1):
        return False
    return all(a == b for a, b in (module.stride, module.padding, module.dilation, module.kernel_size))
