"""Where the evidence of an output pixel lies, measured by gradient: the oracle for receptive-field arithmetic."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


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
