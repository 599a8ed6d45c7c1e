"""Upconvolutions: layers from features of a coarse grid to features of a fine grid, with learned weights.

Each is called as ``up(x, like)``: ``x`` (N, inputs, h, w), ``like`` (N, *, H, W) with ``h == ceil(H / factor)`` and
the same for the widths; it returns (N, outputs, H, W). Without ``like`` nothing is cut off at the far edges.
Unit ``f`` of ``x`` sits at pixel ``factor * f + shift``, where ``shift`` is 0.0 (odd kernels, ResNet-like encoders)
or ``(factor - 1) / 2`` (even pools, VGG-like encoders); every operator is centred on that position, and an operator
that cannot be centred is refused. docs/upconvolution.md compares them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor, nn

from landseg.errors import ModelError
from landseg.models.layers.upconv_parts import AlignedNearest, BedOfNails, CropStart, MaxMask
from landseg.models.layers.upsample import AlignedUpsample

_log = logging.getLogger(__name__)


def upconvolution(
    name: str, inputs: int, outputs: int, *, factor: int, shift: float = 0.0, kernel: int | None = None
) -> nn.Module:
    """Return the upconvolution of a name in UPCONVOLUTIONS.

    Args:
        name: "nearest" and "bilinear" resize, then convolve; "fractional" convolves between inserted zeros;
            "transposed" does the same in one step; "shuffle" convolves on the coarse grid and rearranges channels;
            "unpool" puts values back where ``like`` (with ``inputs`` channels) has its maxima if ``shift`` is half a
            cell, and onto a bed of nails if it is 0, then convolves.
        inputs: channels of ``x``.
        outputs: channels of the result.
        factor: output pixels per unit.
        shift: position of unit 0 in output pixels.
        kernel: size of the convolution; None takes a centred size that covers pixels evenly where there is one.

    Raises:
        ModelError: the name is unknown, or the kernel cannot be centred on the units.
    """
    if name not in UPCONVOLUTIONS:
        raise ModelError(f"there is no upconvolution {name!r}; use one of {', '.join(UPCONVOLUTIONS)}")
    if factor < 1 or shift not in (0.0, (factor - 1) / 2):
        raise ModelError(
            f"factor {factor} with shift {shift} fits no grid of units; use a factor of 1 or more and a shift of 0.0 "
            f"or {max(factor - 1, 0) / 2}"
        )
    made = UPCONVOLUTIONS[name](inputs, outputs, factor, shift, kernel)
    if covers := uneven(made):
        _log.warning("%s: %s; use a multiple of %d where the units allow one, or resize and convolve",
                     name, covers, factor)  # fmt: skip
    return made


def overlaps(kernel: int, stride: int) -> tuple[int, ...]:
    """Return the number of units that reach an output pixel of a transposed convolution, by phase, along one axis.

    Unequal numbers force a pattern on the output (Odena, Dumoulin, Olah 2016); they are equal exactly where the
    stride divides the kernel. With equal numbers, learned weights can still make a pattern.

    >>> overlaps(3, 2), overlaps(4, 2), overlaps(5, 3)
    ((2, 1), (2, 2), (2, 2, 1))
    """
    return tuple(len(range(phase, kernel, stride)) for phase in range(stride))


def uneven(network: nn.Module) -> str:
    """Return the text about the first upconvolution of a network that covers pixels unevenly; "" if there is none."""
    for layer in network.modules():
        kernel, stride = layer.spread if isinstance(layer, _SPREADING) else (1, 1)
        counts = sorted(set(overlaps(kernel, stride)))
        if len(counts) > 1:
            times = " or ".join(map(str, counts))
            return (
                f"a kernel of {kernel} with stride {stride} covers pixels {times} times, unevenly, and tends to draw "
                "a checkerboard"
            )
    return ""


def bilinear_taps(kernel: int, factor: int) -> Tensor:
    """Return the kernel (kernel,) of linear interpolation, in float64; each phase sums to 1.

    For ``kernel = 2 * factor - factor % 2`` it is FCN's initial deconvolution filter, for ``kernel == factor`` the
    nearest unit.

    >>> bilinear_taps(4, 2).tolist(), bilinear_taps(3, 2).tolist()
    ([0.25, 0.75, 0.75, 0.25], [0.5, 1.0, 0.5])
    """
    away = (torch.arange(kernel, dtype=torch.float64) - (kernel - 1) / 2).abs()
    taps = (1 - away / factor).clamp(min=0)
    for phase in range(min(factor, kernel)):
        taps[phase::factor] /= taps[phase::factor].sum()
    return taps


def icnr_(weight: Tensor, factor: int) -> Tensor:
    """Fill and return a convolution's weight (outputs * factor^2, inputs, k, k) for a shuffle to the nearest unit.

    The filters of an output channel start equal (Aitken et al. 2017): all phases are the same.
    """
    with torch.no_grad():
        few = weight.new_empty(weight.shape[0] // factor**2, *weight.shape[1:])
        nn.init.kaiming_uniform_(few, a=5**0.5)
        weight.copy_(few.repeat_interleave(factor**2, dim=0))
    return weight


class Resize(nn.Module):
    """Resizing to the aligned grid, then a convolution: always even, but fewer functions can be learned."""

    def __init__(self, resize: nn.Module, inputs: int, outputs: int, kernel: int | None) -> None:
        super().__init__()
        kernel = _odd(kernel or 3)
        self.resize = resize
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)

    def forward(self, x: Tensor, like: Tensor | None = None) -> Tensor:
        y: Tensor = self.conv(self.resize(x, like))
        return y


class Transposed(nn.Module):
    """A transposed convolution that starts as a 1x1 convolution with bilinear upsampling.

    On units at ``factor * f``, an even factor has no kernel that is centred and covers pixels evenly.
    """

    def __init__(self, inputs: int, outputs: int, factor: int, shift: float, kernel: int | None) -> None:
        super().__init__()
        kernel = kernel or _centred_kernel(factor, shift)
        padding, extra = _padding(kernel, factor, shift)
        self.spread = kernel, factor
        self.conv = nn.ConvTranspose2d(inputs, outputs, kernel, factor, padding, extra)
        self.crop = AlignedUpsample(1)
        _spread_(self.conv.weight.data, bilinear_taps(kernel, factor))

    def forward(self, x: Tensor, like: Tensor | None = None) -> Tensor:
        y: Tensor = self.conv(x)
        return y if like is None else self.crop(y, like)


class Fractional(nn.Module):
    """A convolution with a fractional stride: zeros between the units, then a convolution of stride 1.

    Its functions are those of Transposed with the kernel rotated by 180 degrees, and it starts as the same function.
    """

    def __init__(self, inputs: int, outputs: int, factor: int, shift: float, kernel: int | None) -> None:
        super().__init__()
        kernel = kernel or _centred_kernel(factor, shift)
        padding, _ = _padding(kernel, factor, shift)
        self.spread = kernel, factor
        self.nails = BedOfNails(factor)
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel - 1 - padding)
        self.crop = AlignedUpsample(1)
        _spread_(self.conv.weight.data.transpose(0, 1), bilinear_taps(kernel, factor))

    def forward(self, x: Tensor, like: Tensor | None = None) -> Tensor:
        y: Tensor = self.conv(self.nails(x))
        return y if like is None else self.crop(y, like)


class Shuffle(nn.Module):
    """A convolution on the coarse grid and a periodic shuffle of its channels (Shi et al. 2016), with ICNR weights.

    The shuffle's own grid is the half-pixel one. On units at ``factor * f`` the result is moved by whole pixels and,
    for even factors, by the mean of two neighbours, which also removes the finest checkerboard.
    """

    def __init__(self, inputs: int, outputs: int, factor: int, shift: float, kernel: int | None) -> None:
        super().__init__()
        kernel = _odd(kernel or 3)
        move = shift != (factor - 1) / 2  # by (factor - 1) / 2 pixels up and left, so one more unit on each side
        self.conv = nn.Conv2d(inputs, outputs * factor**2, kernel, padding=kernel // 2 + move)
        self.shuffle = nn.PixelShuffle(factor)
        moves: list[nn.Module] = []
        if move:
            moves.append(CropStart(factor + (factor - 1) // 2))
            if factor % 2 == 0:
                moves.append(nn.AvgPool2d(2, stride=1))
        self.move = nn.Sequential(*moves)
        self.crop = AlignedUpsample(1)
        icnr_(self.conv.weight.data, factor)
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor, like: Tensor | None = None) -> Tensor:
        y: Tensor = self.move(self.shuffle(self.conv(x)))
        return y if like is None else self.crop(y, like)


class MaxUnpool(nn.Module):
    """Each value goes to the maximum of ``like``, the features before the pool, in its cell; then a convolution."""

    def __init__(self, inputs: int, outputs: int, factor: int, kernel: int | None) -> None:
        super().__init__()
        kernel = _odd(kernel or 3)
        self.hold = AlignedNearest(factor, (factor - 1) / 2)
        self.winners = MaxMask(factor)
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)

    def forward(self, x: Tensor, like: Tensor) -> Tensor:
        y: Tensor = self.conv(self.hold(x, like) * self.winners(like))
        return y


class NailUnpool(nn.Module):
    """Each value goes to its unit's pixel, with zeros between; then a convolution."""

    def __init__(self, inputs: int, outputs: int, factor: int, kernel: int | None) -> None:
        super().__init__()
        kernel = _odd(kernel or _centred_kernel(factor, 0.0))
        self.spread = kernel, factor
        self.nails, self.crop = BedOfNails(factor), AlignedUpsample(1)
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        _spread_(self.conv.weight.data.transpose(0, 1), bilinear_taps(kernel, factor))

    def forward(self, x: Tensor, like: Tensor | None = None) -> Tensor:
        nailed = self.nails(x)
        y: Tensor = self.conv(nailed if like is None else self.crop(nailed, like))
        return y


_SPREADING = (Transposed, Fractional, NailUnpool)


def _nearest(inputs: int, outputs: int, factor: int, shift: float, kernel: int | None) -> nn.Module:
    return Resize(AlignedNearest(factor, shift), inputs, outputs, kernel)


def _bilinear(inputs: int, outputs: int, factor: int, shift: float, kernel: int | None) -> nn.Module:
    return Resize(AlignedUpsample(factor, shift), inputs, outputs, kernel)


def _unpool(inputs: int, outputs: int, factor: int, shift: float, kernel: int | None) -> nn.Module:
    return (MaxUnpool if shift else NailUnpool)(inputs, outputs, factor, kernel)


UPCONVOLUTIONS: dict[str, Callable[[int, int, int, float, int | None], nn.Module]] = {
    "nearest": _nearest,
    "bilinear": _bilinear,
    "fractional": Fractional,
    "transposed": Transposed,
    "shuffle": Shuffle,
    "unpool": _unpool,
}


def _odd(kernel: int) -> int:
    if kernel < 1 or kernel % 2 == 0:
        raise ModelError(f"a kernel of {kernel} has no middle pixel; use {max(kernel, 0) + 1}")
    return kernel


def _centred_kernel(factor: int, shift: float) -> int:
    """Return the size of a centred kernel that can interpolate linearly; a multiple of the factor if possible."""
    if factor % 2:
        return 3 * factor
    return 2 * factor if shift else 2 * factor - 1


def _padding(kernel: int, factor: int, shift: float) -> tuple[int, int]:
    """Return padding and output padding of a transposed convolution with unit f centred at ``factor * f + shift``."""
    padding = (kernel - 1) / 2 - shift
    if kernel < factor or padding < 0 or padding != int(padding):
        fix = _centred_kernel(factor, shift)
        raise ModelError(
            f"a kernel of {kernel} cannot be centred on units at {factor} * f + {shift} without gaps; use {fix}"
        )
    return int(padding), int(factor - 1 - 2 * shift)


def _spread_(weight: Tensor, taps: Tensor) -> None:
    """Fill a transposed convolution's weight (inputs, outputs, k, k) with a 1x1 convolution spread over ``taps``."""
    mix = weight.new_empty(weight.shape[1], weight.shape[0])
    nn.init.kaiming_uniform_(mix, a=5**0.5)
    weight.copy_(mix.T[:, :, None, None] * torch.outer(taps, taps).to(weight.dtype))
