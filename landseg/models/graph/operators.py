"""The operators that landseg can run piece by piece: the geometry of each, and the computation of a piece.

A piece is a rectangle of an operator's output. Units beyond the input's true edges are padding, which is added here
and only here; at a cut inside the raster no padding is ever added.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landseg.models.graph.axes import Axis, KernelAxis, Part, TransposedAxis, UnitReach
from landseg.models.graph.forms import layer_form
from landseg.models.graph.recipe import Form, geometry
from landseg.models.layers.forest import CHUNK, counted, square_sums
from landseg.models.layers.upsample import in_full
from landseg.runtime.fused import FusedConv

_IDENTITY = KernelAxis()
_FEW_CHANNELS = 16
_PRODUCTS = 50  # products of a convolution in the time of writing one value
_DECISION = 12  # values written in the time of one step down a tree: four look-ups at scattered places


class Operator:
    """An operator that reads a bounded part of its inputs.

    Attributes:
        form: its kind and settings in a recipe; None where recipes have no kind for it.
        rows, columns: the geometry along each axis, which is that of the form.
        full: True if values in half precision are converted to float32 first, so that the result is in float32.
    """

    form: Form | None = None
    rows: Axis = _IDENTITY
    columns: Axis = _IDENTITY
    full = False

    def take(self, kind: str, **settings: Any) -> None:
        """Take a kind and settings as the operator's form, and its geometry."""
        self.form = kind, settings
        self.rows, self.columns = geometry(kind, settings)

    @property
    def reach(self) -> UnitReach:
        """The larger of both axes."""
        ys, xs = self.rows.reach, self.columns.reach
        low, high = min(ys.low, xs.low), max(ys.high, xs.high)
        centre = ys.centre if ys == xs else (low + high) / 2
        return UnitReach(ys.stride, low, high, centre)

    def channels(self, inputs: Sequence[int]) -> int:
        """Return the number of channels of the output from those of the inputs."""
        return inputs[0]

    def absorb(self, layer: Operator) -> bool:
        """Take over the work of the layer right behind this one and return True; return False if it cannot."""
        return False

    def cost(self, channels: Sequence[int]) -> float:
        """Return the relative time of a unit of the output: writing a value takes as long as 50 products."""
        return float(self.channels(channels))

    def scratch(self, channels: int, rows: Part, columns: Part, itemsize: int) -> int:
        """Return the number of values in memory at once, besides the inputs, the result and their padding."""
        return 0

    def run(self, inputs: Sequence[Tensor], rows: Part, columns: Part, out: Tensor | None = None) -> Tensor:
        """Return the piece (N, C, rows.count, columns.count) from the inputs' rows ``rows.first`` to ``rows.end`` and
        columns ``columns.first`` to ``columns.end``; it is written to ``out`` only where that saves a copy."""
        raise NotImplementedError


class WholeOperator(Operator):
    """An operator that reads the whole of its input: it has no geometry, and is in recipes alone."""

    def __init__(self, form: Form) -> None:
        self.form = form


class _Sliding(Operator):
    """An operator whose kernel moves over a padded input; ``fill`` is the value of the padding."""

    kind = "average_pool"
    fill = 0.0
    most_padding = 1 << 30  # a wider padding is added to the input

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.take(
            self.kind,
            kernel=_pair(layer.kernel_size),
            stride=_pair(layer.stride),
            padding=_pair(layer.padding),
            dilation=_pair(getattr(layer, "dilation", 1)),
            **self.own_settings(layer),
        )

    def own_settings(self, layer: Any) -> dict[str, Any]:
        """Return the settings of this kind alone."""
        return {"ceil": bool(getattr(layer, "ceil_mode", False)), "end": int(getattr(layer, "end", 0))}

    def run(self, inputs: Sequence[Tensor], rows: Part, columns: Part, out: Tensor | None = None) -> Tensor:
        x, padding = inputs[0], (0, 0)
        if rows.before or rows.after or columns.before or columns.after:
            few = max(rows.before, columns.before) <= self.most_padding
            if few and _symmetric(self.rows, rows) and _symmetric(self.columns, columns):
                padding = (rows.before, columns.before)
            else:
                x = F.pad(x, (columns.before, columns.after, rows.before, rows.after), value=self.fill)
        return self.apply(x, padding)

    def apply(self, x: Tensor, padding: tuple[int, int]) -> Tensor:
        raise NotImplementedError


class Convolution(_Sliding):
    """The operator of nn.Conv2d (strided, dilated, grouped), together with a ReLU right behind it."""

    kind = "conv"

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        self._run = FusedConv(layer)
        self._clamped, self.full = False, bool(getattr(layer, "full", False))
        if layer.groups > 1:
            # With a wide padding oneDNN leaves its depthwise kernels for a loop over pixels, 5 to 40 times slower.
            self.most_padding = 8

    def own_settings(self, layer: Any) -> dict[str, Any]:
        return {"groups": int(layer.groups)}

    def absorb(self, layer: Operator) -> bool:
        if self._clamped or not isinstance(layer, Clamp):
            return False
        self._run, self._clamped = FusedConv(self.layer, layer.bounds), True
        return True

    def channels(self, inputs: Sequence[int]) -> int:
        return int(self.layer.out_channels)

    def cost(self, channels: Sequence[int]) -> float:
        layer = self.layer
        products = math.prod(layer.weight.shape[1:])
        return float(layer.out_channels * (1 + products / _PRODUCTS))

    def scratch(self, channels: int, rows: Part, columns: Part, itemsize: int) -> int:
        if not self.full or itemsize >= 4:
            return 0
        return (rows.end - rows.first) * (columns.end - columns.first) * channels * 4 // itemsize

    def apply(self, x: Tensor, padding: tuple[int, int]) -> Tensor:
        return self._run(in_full(x) if self.full else x, padding)


class MaxPool(_Sliding):
    """The operator of nn.MaxPool2d and GridMaxPool2d, whose padding is never the maximum."""

    kind = "max_pool"
    fill = float("-inf")

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        self.most_padding = min(_pair(layer.kernel_size)) // 2  # PyTorch's own pools take no more

    def apply(self, x: Tensor, padding: tuple[int, int]) -> Tensor:
        layer = self.layer
        return F.max_pool2d(x, layer.kernel_size, layer.stride, padding, layer.dilation)


class AveragePool(_Sliding):
    """The operator of nn.AvgPool2d; a sum over padding is divided by the number of units that PyTorch counts."""

    def own_settings(self, layer: Any) -> dict[str, Any]:
        divisor = {"divisor": int(layer.divisor_override)} if layer.divisor_override else {}
        return {**super().own_settings(layer), "count_include_pad": bool(layer.count_include_pad), **divisor}

    def run(self, inputs: Sequence[Tensor], rows: Part, columns: Part, out: Tensor | None = None) -> Tensor:
        layer, x = self.layer, inputs[0]
        if not (rows.before or rows.after or columns.before or columns.after):
            return F.avg_pool2d(x, layer.kernel_size, layer.stride, divisor_override=layer.divisor_override)
        x = F.pad(x, (columns.before, columns.after, rows.before, rows.after))
        sums = F.avg_pool2d(x, layer.kernel_size, layer.stride, divisor_override=1)
        if layer.divisor_override:
            divided: Tensor = sums / layer.divisor_override
            return divided
        means: Tensor = sums / (self._counts(self.rows, rows, x)[:, None] * self._counts(self.columns, columns, x))
        return means

    def _counts(self, axis: Any, piece: Part, like: Tensor) -> Tensor:
        low, high = (-axis.padding, piece.units + axis.padding) if self.layer.count_include_pad else (0, piece.units)
        starts: Tensor = torch.arange(piece.start, piece.stop, device=like.device) * axis.stride - axis.padding
        counts: Tensor = (starts + axis.kernel).clamp(max=high) - starts.clamp(min=low)
        return counts.to(like.dtype)


class LocalMeanOperator(_Sliding):
    """The operator of LocalMean: sums and divisions in the order of the layer, so that all bits are equal."""

    def own_settings(self, layer: Any) -> dict[str, Any]:
        return {**super().own_settings(layer), "count_include_pad": False}

    def run(self, inputs: Sequence[Tensor], rows: Part, columns: Part, out: Tensor | None = None) -> Tensor:
        x, size = inputs[0], self.layer.size
        if rows.before or rows.after or columns.before or columns.after:
            x = F.pad(x, (columns.before, columns.after, rows.before, rows.after))
        down, across = (counted(p.units, p.start, p.stop, size, device=x.device) for p in (rows, columns))
        return square_sums(x, size, (0, 0)) / (down[:, None] * across)


class Transposed(Operator):
    """The operator of nn.ConvTranspose2d."""

    def __init__(self, layer: Any) -> None:
        self.layer, self.full = layer, bool(getattr(layer, "full", False))
        self.take(
            "transposed",
            kernel=_pair(layer.kernel_size),
            stride=_pair(layer.stride),
            padding=_pair(layer.padding),
            dilation=_pair(layer.dilation),
            extra=_pair(layer.output_padding),
            groups=int(layer.groups),
        )

    def channels(self, inputs: Sequence[int]) -> int:
        return int(self.layer.out_channels)

    def run(self, inputs: Sequence[Tensor], rows: Part, columns: Part, out: Tensor | None = None) -> Tensor:
        layer, skips, extra = self.layer, [], []
        x = F.pad(inputs[0], (columns.before, columns.after, rows.before, rows.after))
        x = in_full(x) if self.full else x
        for axis, piece, units in zip((self.rows, self.columns), (rows, columns), x.shape[2:], strict=True):
            assert isinstance(axis, TransposedAxis)
            skips.append(piece.start - (piece.unclipped * axis.stride - axis.padding))
            length = (units - 1) * axis.stride + axis.extent + 1
            extra.append(max(0, skips[-1] + piece.count - length))  # outputs that no unit reaches
        y = F.conv_transpose2d(
            x, layer.weight, layer.bias, layer.stride, 0, tuple(extra), layer.groups, layer.dilation
        )
        return y[..., skips[0] : skips[0] + rows.count, skips[1] : skips[1] + columns.count]


class Upsample(Operator):
    """The operator of AlignedUpsample: its result has the size of a second tensor."""

    kind = "upsample"

    def __init__(self, layer: Any) -> None:
        self.factor, self.shifted, self.full = layer.factor, bool(layer.shift), layer.full
        self.take(self.kind, factor=int(layer.factor), shift=float(layer.shift))

    def run(self, inputs: Sequence[Tensor], rows: Part, columns: Part, out: Tensor | None = None) -> Tensor:
        x, factor = in_full(inputs[0]) if self.full else inputs[0], self.factor
        if factor == 1:
            return x
        if self.shifted:  # interpolation holds the last unit beyond the ends, which are true edges here
            size = (x.shape[-2] * factor, x.shape[-1] * factor)
            y = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
        else:
            held = [max(0, -(-piece.stop // factor) + 1 - piece.end) for piece in (columns, rows)]
            if any(held):  # at a true edge, or where the last pixel lies right on the last unit
                x = F.pad(x, (0, held[0], 0, held[1]), mode="replicate")
            y = self._between(x)
        top, left = rows.start - rows.first * factor, columns.start - columns.first * factor
        return y[..., top : top + rows.count, left : left + columns.count]

    def _between(self, x: Tensor) -> Tensor:
        """Return the pixels from the first unit up to the last, in the order NCHW where channels are few."""
        factor, few = self.factor, x.shape[1] < _FEW_CHANNELS
        if not few:
            size = ((x.shape[-2] - 1) * factor + 1, (x.shape[-1] - 1) * factor + 1)
            return F.interpolate(x, size=size, mode="bilinear", align_corners=True)
        # One axis after the other is 3 to 6 times faster here, and rounds once like the interpolation of both.
        exact = torch.float64 if x.dtype == torch.float64 else torch.float32
        y = x.to(exact).contiguous()
        weights = torch.arange(factor, dtype=exact, device=x.device) / factor
        y = torch.lerp(y[..., :-1, None], y[..., 1:, None], weights).flatten(3)
        y = torch.lerp(y[:, :, :-1, None], y[:, :, 1:, None], weights[:, None]).flatten(2, 3)
        return y.to(x.dtype)


class Pointwise(Operator):
    """An operator on each pixel alone; several inputs are added, multiplied, ... pixel by pixel.

    Args:
        call: computes the result from the inputs.
        into: does the same and writes to a given tensor in one pass; None if there is no such function.
        changes: True if ``call`` may write over its input.
        order: the indices of the inputs in the order of their channels, for a concatenation.
        form: see `Operator`.
    """

    def __init__(
        self,
        call: Callable[..., Tensor],
        *,
        into: Callable[..., Tensor] | None = None,
        changes: bool = False,
        order: Sequence[int] | None = None,
        form: Form | None = None,
    ) -> None:
        self.call, self.into, self.changes, self.order, self.form = call, into, changes, order, form

    def channels(self, inputs: Sequence[int]) -> int:
        return max(inputs) if self.order is None else sum(inputs[i] for i in self.order)

    def run(self, inputs: Sequence[Tensor], rows: Part, columns: Part, out: Tensor | None = None) -> Tensor:
        if out is not None and self.into is not None:
            return self.into(*inputs, out=out)
        return self.call(*(x.clone() for x in inputs) if self.changes else inputs)

    def finish(self, x: Tensor, out: Tensor | None) -> Tensor:
        """Return the result for a tensor that no other operator reads, which may be written over."""
        if out is not None and self.into is not None:
            return self.into(x, out=out)
        return self.call(x)


class Clamp(Pointwise):
    """The operator of ReLU and ReLU6."""

    def __init__(self, low: float, high: float) -> None:
        self.bounds = low, high
        form: Form = ("relu", {}) if self.bounds == (0.0, math.inf) else ("clip", {"low": low, "high": high})
        super().__init__(lambda x: x.clamp_(low, high), into=self._into, changes=True, form=form)

    def _into(self, x: Tensor, out: Tensor) -> Tensor:
        return torch.clamp(x, *self.bounds, out=out)


class ForestOperator(Operator):
    """The operator of Forest: every pixel goes down all trees and gets a value for each class."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    def channels(self, inputs: Sequence[int]) -> int:
        return int(self.layer.classes)

    def cost(self, channels: Sequence[int]) -> float:
        return float(self.layer.trees * self.layer.depth * _DECISION)

    def scratch(self, channels: int, rows: Part, columns: Part, itemsize: int) -> int:
        pixels = min(CHUNK, rows.count * columns.count)
        return pixels * (channels + 2 * int(self.layer.classes) + 5)

    def run(self, inputs: Sequence[Tensor], rows: Part, columns: Part, out: Tensor | None = None) -> Tensor:
        result: Tensor = self.layer(inputs[0])
        return result


def pointwise_layer(layer: nn.Module) -> Pointwise:
    """Return the operator of a layer that works on each pixel alone."""
    if isinstance(layer, nn.ReLU):
        return Clamp(0.0, math.inf)
    if type(layer) is nn.ReLU6:
        return Clamp(0.0, 6.0)
    changes = bool(getattr(layer, "inplace", False)) or hasattr(layer, "act")
    return Pointwise(layer, changes=changes, form=layer_form(layer))


def _symmetric(axis: Axis, piece: Part) -> bool:
    """Return True if padding both ends by ``piece.before`` gives exactly the outputs of the piece."""
    assert isinstance(axis, KernelAxis)
    if piece.after > piece.before or 2 * piece.before > max(axis.extent + 1, 0):
        return not (piece.after or piece.before)
    units = piece.end - piece.first
    return (units + 2 * piece.before - axis.extent - 1) // axis.stride + 1 == piece.count


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))
