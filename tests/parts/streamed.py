"""Random small networks, and what streaming makes of an image: shared by the tests of the row engine."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from landseg.geo.grid import Rect
from landseg.models.layers.upsample import AlignedUpsample
from landseg.tiling.rows.program import program_of
from landseg.tiling.rows.row_stream import Rows

BANDS = 2


class Random(nn.Module):
    """A stem, a few layers and branches drawn at random, and an upsampler to the input's size.

    Activations are leaky and weights large enough, so that every pixel of the field leaves its trace.
    """

    def __init__(self, seed: int, *, layers: int = 5) -> None:
        super().__init__()
        draw = random.Random(seed)
        self.kinds: list[str] = []
        self.layers = nn.ModuleList()
        stride, channels = 1, BANDS
        for _ in range(layers):
            kind = draw.choice(["conv", "conv", "down", "max", "mean", "skip", "join", "up", "act", "norm", "double"])
            if kind in ("down", "max", "mean") and stride > 4:
                kind = "conv"
            if kind == "up" and stride == 1:
                kind = "skip"
            layer, factor, channels = _layer(kind, draw, channels)
            stride = stride * factor if factor > 0 else stride // -factor if stride % -factor == 0 else stride
            self.kinds.append(kind)
            self.layers.append(layer)
        self.out = nn.Conv2d(channels, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        before: list[Tensor] = [x]
        for kind, layer in zip(self.kinds, self.layers, strict=True):
            y = before[-1]
            if kind == "skip":
                y = layer(y) + y
            elif kind == "join":
                y = torch.cat([layer[0](y), y, layer[1](y)], 1)
            elif kind == "double":
                y = torch.mul(layer[0](y), layer[1](y)) * 0.5 - y
            else:
                y = layer(y)
            before.append(y)
        scores: Tensor = self.out(before[-1])
        return scores


def _layer(kind: str, draw: random.Random, channels: int) -> tuple[nn.Module, int, int]:
    """The layer, by how much it divides the size (below 0: multiplies it), and its channels."""
    kernel, dilation = draw.choice([1, 2, 3, 4, 5]), draw.choice([1, 1, 2, 3])
    stride = draw.choice([2, 2, 3])
    padding = draw.randint(0, (kernel - 1) * dilation)
    same = draw.choice([(1, 1), (3, 1), (3, 3), (5, 2)])
    groups = draw.choice([1, channels])

    def size_keeping(inputs: int, outputs: int) -> nn.Module:
        k, d = same
        return nn.Conv2d(inputs, outputs, k, padding=d * (k // 2), dilation=d, groups=groups)

    if kind == "conv":
        return nn.Conv2d(channels, channels, kernel, padding=padding, dilation=dilation, groups=groups), 1, channels
    if kind == "down":
        return nn.Conv2d(channels, 4, kernel, stride=stride, padding=kernel // 2), stride, 4
    if kind == "max":
        return nn.MaxPool2d(kernel, stride, min(1, kernel // 2), ceil_mode=draw.random() < 0.5), stride, channels
    if kind == "mean":
        count, ceil = draw.random() < 0.5, draw.random() < 0.5
        return nn.AvgPool2d(kernel, stride, min(1, kernel // 2), ceil, count), stride, channels
    if kind == "up":
        extra = draw.randint(0, stride - 1)
        padding = min(padding, (kernel - 1) * 1)
        return nn.ConvTranspose2d(channels, 4, kernel, stride, padding, extra), -stride, 4
    if kind == "act":
        return nn.Sequential(nn.BatchNorm2d(channels), nn.LeakyReLU(0.3, inplace=True)), 1, channels
    if kind == "norm":
        return nn.Sequential(nn.Identity(), nn.Tanh(), nn.PReLU()), 1, channels
    if kind == "skip":
        return size_keeping(channels, channels), 1, channels
    pair = nn.ModuleList([size_keeping(channels, channels), nn.Conv2d(channels, channels, 3, padding=1)])
    return pair, 1, 3 * channels if kind == "join" else channels


class UpAndDown(nn.Module):
    """Features at a coarse stride, upsampled back beside fine ones: the shape of every decoder."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = random.Random(seed)
        self.factor = draw.choice([2, 3, 4, 8])
        shifted = draw.random() < 0.5
        f = self.factor
        self.down: nn.Module = nn.AvgPool2d(f, ceil_mode=True) if shifted else nn.Conv2d(BANDS, BANDS, 1, stride=f)
        self.deep = nn.Conv2d(BANDS, 3, 3, padding=2, dilation=2)
        self.fine = nn.Conv2d(BANDS, 3, 3, padding=1)
        self.up = AlignedUpsample(f, (f - 1) / 2 if shifted else 0.0)
        last = nn.Conv2d(4, 2, 1)
        self.last = nn.Sequential(nn.ReLU(), nn.Conv2d(6, 4, 3, padding=1), nn.ReLU6(inplace=True), last)

    def forward(self, x: Tensor) -> Tensor:
        fine = torch.relu(self.fine(x))
        joined = torch.cat([self.up(self.deep(self.down(x)), fine), fine], dim=1)
        scores: Tensor = self.last(joined)
        return scores


def lively(network: nn.Module, seed: int = 0) -> nn.Module:
    """The network in float64 with weights that let the signal through, so that a wrong pixel shows."""
    generator = torch.Generator().manual_seed(seed)
    network = network.double().eval().requires_grad_(False)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            spread = (2.0 / layer.weight[0].numel()) ** 0.5
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator, dtype=torch.float64) * spread)
            if layer.bias is not None:
                layer.bias.copy_(torch.randn(layer.bias.shape, generator=generator, dtype=torch.float64) * 0.3)
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.copy_(torch.randn(layer.running_mean.shape, generator=generator) * 0.3)
            layer.running_var.copy_(torch.rand(layer.running_var.shape, generator=generator) + 0.5)
    return network


def image(height: int, width: int, *, bands: int = BANDS, dtype: torch.dtype = torch.float64) -> Tensor:
    """Noise (1, bands, height, width)."""
    return torch.randn(1, bands, height, width, generator=torch.Generator().manual_seed(5), dtype=dtype)


def whole(network: nn.Module, x: Tensor) -> Tensor:
    """What the network makes of the whole image."""
    with torch.inference_mode():
        result: Tensor = network(x)
    return result


def streamed(network: nn.Module, x: Tensor, *, pushes: Sequence[int] = (7,), **options: Any) -> Tensor:
    """The same from strips of rows, pushed in the heights of ``pushes`` by turns."""
    rows = Rows(program_of(network), (x.shape[2], x.shape[3]), bands=x.shape[1], dtype=x.dtype, **options)
    return collected(rows, x, pushes)


def collected(rows: Rows, x: Tensor, pushes: Sequence[int] = (7,)) -> Tensor:
    """The logits of the region, each row given exactly once and in order."""
    reads: Rect = rows.reads
    x = x[:, :, reads.top : reads.bottom, reads.left : reads.right]
    parts: list[Tensor] = []
    at, following, number = 0, rows.region.top, 0
    while number == 0 or at < x.shape[2]:
        height = pushes[number % len(pushes)]
        for row, logits in rows.push(x[:, :, at : at + height]):
            assert row == following
            following = row + logits.shape[2]
            parts.append(logits.clone())
        at, number = at + height, number + 1
    assert following == rows.region.bottom
    return torch.cat(parts, 2)


def difference(got: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    assert got.shape == expected.shape
    return float((got - expected).abs().max() / expected.abs().max().clamp(min=1e-30))
