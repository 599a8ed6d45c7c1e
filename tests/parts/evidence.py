"""Where the evidence of an output pixel lies, measured by gradient: the oracle for receptive-field arithmetic."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from landseg.models.layers.aligned import ChannelNorm, Crop, GridMaxPool2d, LeafLayer
from landseg.models.layers.trace import trace
from landseg.models.layers.upconv import Fractional, NailUnpool, Resize, Shuffle, Transposed
from landseg.models.layers.upconv_parts import BedOfNails, CropStart, MaxMask

_UPCONVOLUTIONS = (Resize, Transposed, Fractional, Shuffle, NailUnpool)
_EVERYWHERE = 1e-4  # of every tap: what an upconvolution may learn to see is seen


def linearised(network: nn.Module) -> nn.Module:
    """Return a float64 copy in which every path passes a positive gradient: what the gradient shows is geometry.

    Max pools become average pools of the same window, convolution weights one positive constant (also transposed
    ones'), batch norms the identity; pixels that win in max unpooling are taken for all, as any may.
    Random weights with ReLU and max pools would under-report.
    """
    network = copy.deepcopy(network).double().eval()
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.MaxPool2d):
                setattr(parent, name, _average_pool(child))
            if isinstance(child, MaxMask):
                setattr(parent, name, nn.ReLU())
            if isinstance(child, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.constant_(child.weight, 1.0 / child.weight[0].numel())
                if child.bias is not None:
                    nn.init.zeros_(child.bias)
            if isinstance(child, nn.modules.batchnorm._BatchNorm):
                child.reset_running_stats()
                child.reset_parameters()
    return network.requires_grad_(False)


def _average_pool(pool: nn.MaxPool2d) -> nn.AvgPool2d:
    assert pool.dilation in (1, (1, 1)), "a dilated max pool has no average twin"
    return nn.AvgPool2d(pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)


class _Thin(nn.Module):
    """A mean between single channels, where a convolution or a pool was; along rows alone, as wide as that was."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.kernel, self.stride = _column(layer, "kernel_size"), _column(layer, "stride")
        self.dilation = _column(layer, "dilation") if hasattr(layer, "dilation") else 1
        self.before = _column(layer, "padding")
        self.after = self.before + getattr(layer, "end", 0)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x.mean(1, keepdim=True), (self.before, self.after))
        weight = x.new_full((1, 1, 1, self.kernel), 1 / self.kernel)
        return F.conv2d(x, weight, stride=(1, self.stride), dilation=(1, self.dilation))


class _ThinDeconv(nn.Module):
    """The first channel of a deconvolution by channels, its middle row taken for all of it."""

    def __init__(self, layer: nn.ConvTranspose2d) -> None:
        super().__init__()
        self.weight = layer.weight.detach()[:1].double().sum(2, keepdim=True)
        self.stride, self.padding = _column(layer, "stride"), _column(layer, "padding")

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self.weight, None, (1, self.stride), (0, self.padding))


class _ThinUp(LeafLayer):
    """The first channel of an upconvolution's convolution with the weights that it has, and a little everywhere.

    A kernel of its own for each phase along the columns, where a shuffle follows.
    """

    def __init__(self, layer: nn.Conv2d | nn.ConvTranspose2d, phases: int) -> None:
        super().__init__()
        self.weight = layer.weight.detach()[: phases**2, :1].double().sum(2, keepdim=True)
        if phases > 1:
            self.weight = self.weight.unflatten(0, (phases, phases)).mean(0)
        self.weight = self.weight + _EVERYWHERE
        self.stride, self.padding = _column(layer, "stride"), _column(layer, "padding")
        self.extra = _column(layer, "output_padding") if isinstance(layer, nn.ConvTranspose2d) else None

    def forward(self, x: Tensor) -> Tensor:
        if self.extra is None:
            return F.conv2d(x, self.weight, None, 1, (0, self.padding))
        return F.conv_transpose2d(x, self.weight, None, (1, self.stride), (0, self.padding), (0, self.extra))


class _ThinShuffle(nn.Module):
    """Channels to columns alone."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).flatten(2)[:, None]


class _ThinNails(nn.Module):
    """Columns of zeros between the columns."""

    def __init__(self, layer: BedOfNails) -> None:
        super().__init__()
        self.factor = layer.factor

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[..., None], (0, self.factor - 1)).flatten(3)


class _ThinSkip(nn.Module):
    """The first columns left out."""

    def __init__(self, layer: CropStart) -> None:
        super().__init__()
        self.count = layer.count

    def forward(self, x: Tensor) -> Tensor:
        return x[..., self.count :]


class _ThinCrop(nn.Module):
    """A crop of columns alone."""

    def __init__(self, layer: Crop) -> None:
        super().__init__()
        self.start = layer.start

    def forward(self, x: Tensor, like: Tensor) -> Tensor:
        return x[..., self.start : self.start + like.shape[-1]]


def _column(layer: nn.Module, name: str) -> int:
    value = getattr(layer, name)
    return int(value if isinstance(value, int) else value[1])


def thin(network: nn.Module) -> fx.GraphModule:
    """Return the network's graph with one channel, one row and means everywhere: its geometry along the columns.

    What ``linearised`` is to small networks; a thousand times less to compute. Upconvolutions keep the weights that
    they have: where those put a pixel is a matter of weights, not of layers alone.
    """
    network = copy.deepcopy(network).eval()
    for up in [module for module in network.modules() if isinstance(module, _UPCONVOLUTIONS)]:
        up.conv = _ThinUp(up.conv, up.shuffle.upscale_factor if isinstance(up, Shuffle) else 1)  # type: ignore[assignment]
    traced = trace(network)
    for parent in list(traced.modules()):
        for name, child in list(parent.named_children()):
            if type(child) in _THIN:
                setattr(parent, name, _THIN[type(child)](child))
            elif isinstance(child, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d | GridMaxPool2d):
                setattr(parent, name, _Thin(child))
            elif isinstance(child, nn.ConvTranspose2d):
                setattr(parent, name, _ThinDeconv(child))
            elif isinstance(child, nn.modules.batchnorm._BatchNorm):
                setattr(parent, name, getattr(child, "act", nn.Identity()))  # timm's norms carry their activation
    return traced.requires_grad_(False)


_THIN: dict[type[nn.Module], Callable[..., nn.Module]] = {
    BedOfNails: _ThinNails,
    ChannelNorm: lambda layer: nn.Identity(),
    Crop: _ThinCrop,
    CropStart: _ThinSkip,
    nn.PixelShuffle: lambda layer: _ThinShuffle(),
}


class _Even(fx.Interpreter):
    """Runs a graph with the mean in place of every sum and maximum: each branch counts, however deep it is."""

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target in (operator.add, operator.iadd, torch.add, torch.maximum):
            return (args[0] + args[1]) / 2
        return super().call_function(target, args, kwargs)


def evidence_of(network: fx.GraphModule, columns: Sequence[int], *, width: int) -> Tensor:
    """Return |gradient| by input column, (len(columns), width), of a thin network's values at ``columns``."""
    x = torch.full((len(columns), 1, 1, width), 1e-3, dtype=torch.float64, requires_grad=True)
    y = _Even(network).run(x)
    picked = [y[i, :, 0, column].sum() for i, column in enumerate(columns)]
    (gradient,) = torch.autograd.grad(torch.stack(picked).sum(), x)
    return gradient.abs().sum(dim=(1, 2))


def evidence(network: nn.Module, column: int, *, bands: int, width: int, height: int = 64) -> Tensor:
    """Return |gradient| by input column (width,) of the middle output row's value at ``column``.

    The input is small, positive and constant, so that no ReLU6 clips.
    """
    x = torch.full((1, bands, height, width), 1e-3, dtype=torch.float64, requires_grad=True)
    y = network(x)
    (gradient,) = torch.autograd.grad(y[0, :, y.shape[-2] // 2, column].sum(), x)
    return gradient.abs().sum(dim=(0, 1, 2))


def centroid(weights: Tensor) -> float:
    """Return the mean column, weighted."""
    columns = torch.arange(len(weights), dtype=torch.float64)
    return float((weights * columns).sum() / weights.sum())


def span(weights: Tensor) -> tuple[int, int]:
    """Return the first and the last column that matter at all."""
    found = torch.nonzero(weights).flatten()
    return int(found[0]), int(found[-1])
