"""Where the evidence of an output pixel lies, measured by gradient: the oracle for receptive-field arithmetic."""

from __future__ import annotations

import copy
import operator
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from landseg.models.align import Crop, GridMaxPool2d
from landseg.models.trace import trace


def linearised(network: nn.Module) -> nn.Module:
    """Return a float64 copy in which every path passes a positive gradient: what the gradient shows is geometry.

    Max pools become average pools of the same window, convolution weights one positive constant, batch norms
    the identity. Random weights with ReLU and max pools would under-report.
    """
    network = copy.deepcopy(network).double().eval()
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.MaxPool2d):
                setattr(parent, name, _average_pool(child))
            if isinstance(child, nn.Conv2d):
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
        self.kernel, self.stride, self.dilation = (
            _column(layer, name) for name in ("kernel_size", "stride", "dilation")
        )
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

    What ``linearised`` is to small networks; a thousand times less to compute.
    """
    traced = trace(copy.deepcopy(network).eval())
    for parent in list(traced.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d | nn.MaxPool2d | GridMaxPool2d):
                setattr(parent, name, _Thin(child))
            elif isinstance(child, nn.ConvTranspose2d):
                setattr(parent, name, _ThinDeconv(child))
            elif isinstance(child, Crop):
                setattr(parent, name, _ThinCrop(child))
            elif isinstance(child, nn.modules.batchnorm._BatchNorm):
                setattr(parent, name, getattr(child, "act", nn.Identity()))  # timm's norms carry their activation
    return traced.requires_grad_(False)


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
