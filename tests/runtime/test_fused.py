"""A fused convolution is the convolution and the ReLU behind it, at any size and padding."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landseg.runtime import fused
from landseg.runtime.fused import FusedConv

INF = float("inf")
BOUNDS = [(-INF, INF), (0.0, INF), (0.0, 6.0)]


def layer_of(kind: str) -> nn.Conv2d:
    torch.manual_seed(0)
    layers = {
        "point": nn.Conv2d(8, 32, 1),
        "depthwise": nn.Conv2d(8, 8, 5, groups=8, dilation=2, bias=False),
        "strided": nn.Conv2d(8, 4, 3, stride=2),
    }
    return layers[kind].requires_grad_(False).to(memory_format=torch.channels_last)


def assert_fused(made: FusedConv, layer: nn.Conv2d, x: Tensor, bounds: tuple[float, float]) -> None:
    for padding in ((0, 0), (0, 4), (3, 1)):
        plain = F.conv2d(x, layer.weight, layer.bias, layer.stride, padding, layer.dilation, layer.groups)
        close = {torch.float32: 1e-5, torch.bfloat16: 1e-2}[x.dtype] * float(plain.abs().max())
        assert torch.allclose(made(x, padding), plain.clamp(*bounds), rtol=0, atol=close)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["point", "depthwise", "strided"])
@pytest.mark.parametrize("bounds", BOUNDS)
def test_sizes_and_paddings(dtype: torch.dtype, kind: str, bounds: tuple[float, float]) -> None:
    layer = layer_of(kind).to(dtype)
    made = FusedConv(layer, bounds)
    with torch.inference_mode():
        for size in ((9, 9), (9, 30), (17, 12), (9, 9), (20, 21), (9, 10), (11, 9), (9, 9)):
            x = 4 * torch.randn(1, 8, *size).to(dtype, memory_format=torch.channels_last)
            assert_fused(made, layer, x, bounds)


def test_without_the_library_it_is_the_plain_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "fused_convolution", lambda dtype: None)
    with torch.inference_mode():
        for bounds in BOUNDS:
            layer = layer_of("point")
            assert_fused(FusedConv(layer, bounds), layer, torch.randn(1, 8, 9, 9), bounds)


def test_twin_other_bounds_are_seen() -> None:
    layer = layer_of("point")
    with torch.inference_mode(), pytest.raises(AssertionError):
        assert_fused(FusedConv(layer, (0.0, 1.0)), layer, 9 * torch.randn(1, 8, 9, 9), (0.0, 6.0))
