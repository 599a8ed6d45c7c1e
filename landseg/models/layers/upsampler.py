"""The upsampling of a decoder, chosen by the option ``upsampler`` of every network: resizing, or upconvolutions.

"aligned" is bilinear resizing without weights, in one step. Any other name is that of an upconvolution in steps of 2:
a factor of 16 in one step would need kernels 16 times as wide. Between the steps there are no norms or activations,
so the upsampling stays linear. Every step starts as bilinear resizing of each channel, for all operators: a network
begins as with "aligned", centred on its evidence at every phase of the stride and without a checkerboard, and learns
to differ.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from landseg.errors import ModelError
from landseg.models.layers.upconv import UPCONVOLUTIONS, Resize, Shuffle, bilinear_taps
from landseg.models.layers.upconv_parts import AlignedNearest
from landseg.models.layers.upsample import AlignedUpsample

UPSAMPLERS = ("aligned", *UPCONVOLUTIONS)


def upsampler(kind: str, channels: int, *, factor: int, halfway: bool) -> nn.Module:
    """Return the layer that brings units to a grid ``factor`` times finer, called as ``up(x, like)``.

    Args:
        kind: one of UPSAMPLERS.
        channels: number of channels of ``x`` and of the result; "aligned" takes any number.
        factor: a power of two where ``kind`` is not "aligned".
        halfway: True if units sit at ``factor * f + (factor - 1) / 2`` of the finer grid, not at ``factor * f``.

    Raises:
        ModelError: the kind is unknown, or is "unpool" for units between pixels.
    """
    if kind not in UPSAMPLERS:
        raise ModelError(f"there is no upsampler {kind!r}; use one of {', '.join(UPSAMPLERS)}")
    if kind == "aligned" or factor == 1:
        return AlignedUpsample(factor, (factor - 1) / 2 if halfway else 0.0)
    if kind == "unpool" and halfway:
        raise ModelError(
            "upsampler 'unpool' on units between pixels needs finer features of the same channels to find maxima in, "
            "which scores do not have; use 'shuffle' or 'transposed', or an encoder whose units sit on pixels"
        )
    assert factor & (factor - 1) == 0, "the strides of encoders are powers of two"
    make, shift = UPCONVOLUTIONS[kind], 0.5 if halfway else 0.0
    steps = factor.bit_length() - 1
    return Cascade([begin_bilinear_(make(channels, channels, 2, shift, None)) for _ in range(steps)])


class Cascade(nn.Module):
    """Upconvolutions one after the other; only the last upconvolution cuts its result to a size."""

    def __init__(self, steps: list[nn.Module]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)

    def forward(self, x: Tensor, like: Tensor) -> Tensor:
        *first, last = self.steps
        for step in first:
            x = step(x)
        y: Tensor = last(x, like)
        return y


def begin_bilinear_(up: nn.Module) -> nn.Module:
    """Fill the weights of an upconvolution by 2 so that it resizes each channel bilinearly, and return it."""
    conv = up.get_submodule("conv")
    assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d) and conv.bias is not None
    taps = bilinear_taps_of(up)  # (phases, kernel)
    each = torch.einsum("ai,bj->abij", taps, taps).flatten(0, 1).to(conv.weight.dtype)  # (phases^2, kernel, kernel)
    channels = conv.weight.shape[1]
    with torch.no_grad():
        conv.weight.zero_()
        for channel in range(channels):
            conv.weight[channel * len(each) : (channel + 1) * len(each), channel] = each
        conv.bias.zero_()
    return up


def bilinear_taps_of(up: nn.Module) -> Tensor:
    """Return the kernels (phases, kernel) of an axis that make an upconvolution by 2 bilinear resizing, in float64.

    All operators have a single phase, except a shuffle, whose phases have kernels of their own. On units that sit on
    pixels, both resizings by 2 and the moved shuffle interpolate without the convolution.
    """
    conv = up.get_submodule("conv")
    kernel = int(conv.kernel_size[0])  # type: ignore[index]
    if not isinstance(up, Resize | Shuffle):
        return bilinear_taps(kernel, 2)[None]
    middle = torch.eye(kernel, dtype=torch.float64)[kernel // 2]
    if isinstance(up, Shuffle):
        if len(up.move):
            return middle.expand(2, -1)
        beside = 0.25 * middle.roll(-1), 0.25 * middle.roll(1)
        return torch.stack([0.75 * middle + quarter for quarter in beside])
    if isinstance(up.resize, AlignedNearest) and up.resize.shift:
        return (0.5 * middle + 0.25 * middle.roll(-1) + 0.25 * middle.roll(1))[None]
    return middle[None]
