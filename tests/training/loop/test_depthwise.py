"""Gradients of depthwise convolutions: those of float64, whatever way they are made."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landseg.models.networks.build import build_network
from landseg.training.loop import depthwise
from landseg.training.loop.depthwise import depthwise_gradients, quick_depthwise

ROUNDING = {torch.bfloat16: 0.01, torch.float32: 1e-5}
CASES = [
    {"kernel": kernel, "stride": stride, "dilation": dilation, "padding": padding}
    for kernel, stride, dilation, padding in product((3, 5), (1, 2), (1, 2), (0, 1, 2, 4))
    if (padding == dilation * (kernel // 2)) or (stride == 1 and padding < 2) or padding == 4 * (dilation == 1)
]


def made(kernel: int, stride: int, dilation: int, padding: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """A gradient, inputs and a kernel."""
    generator = torch.Generator().manual_seed(kernel + 10 * stride + 100 * dilation)
    inputs = torch.randn(3, 6, 15, 13, generator=generator).to(dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(6, 1, kernel, kernel, generator=generator).to(dtype)
    out = F.conv2d(inputs, weight, None, stride, padding, dilation, 6)
    return torch.randn(out.shape, generator=generator).to(dtype), inputs, weight


def expected(gradient: Tensor, inputs: Tensor, weight: Tensor, place: dict[str, int]) -> tuple[Tensor, ...]:
    """By PyTorch itself, in float64."""
    leaves = [part.double().requires_grad_() for part in (inputs, weight)]
    out = F.conv2d(*leaves, None, place["stride"], place["padding"], place["dilation"], inputs.shape[1])
    return torch.autograd.grad(out, leaves, gradient.double())


def apart(found: Tensor, true: Tensor) -> float:
    return float((found.double() - true).norm() / true.norm())


@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_gradients_are_those_of_float64(case: dict[str, int], dtype: torch.dtype) -> None:
    gradient, inputs, weight = made(**case, dtype=dtype)
    place = {name: case[name] for name in ("stride", "padding", "dilation")}
    found = depthwise_gradients(gradient, inputs, weight, **place)
    for mine, true in zip(found, expected(gradient, inputs, weight, place), strict=True):
        assert mine.dtype is dtype
        assert apart(mine, true) < ROUNDING[dtype]


def test_twin_a_kernel_that_is_not_turned_around_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    case = {"kernel": 5, "stride": 1, "dilation": 2, "padding": 4}
    monkeypatch.setattr(Tensor, "flip", lambda self, *_: self)
    with pytest.raises(AssertionError):
        test_gradients_are_those_of_float64(case, torch.float32)


def small() -> nn.Module:
    torch.manual_seed(0)
    options: dict[str, Any] = {"rates": (2, 4), "decoder_channels": 16, "output_stride": 16, "image_pooling": False}
    return build_network("deeplab-v3plus", encoder="efficientnet-lite0", bands=3, channels=2, **options).train()


def gradients(network: nn.Module) -> list[Tensor]:
    torch.manual_seed(1)  # dropout's
    out = network(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2)))
    out.square().mean().backward()
    return [part.grad.clone() for part in network.parameters() if part.grad is not None]


def test_a_network_learns_the_same() -> None:
    plain = gradients(small())
    network = small()
    with quick_depthwise(network):
        quick = gradients(network)
    assert len(plain) == len(quick)
    mine, true = (torch.cat([part.flatten() for part in parts]).double() for parts in (quick, plain))
    assert apart(mine, true) < 1e-4


def test_mixed_precision_reaches_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    def stack() -> nn.Module:
        torch.manual_seed(0)
        layers = [nn.Conv2d(6, 6, 5, groups=6, padding=4, dilation=2), nn.Conv2d(6, 6, 3, 2, 1, groups=6, bias=False)]
        return nn.Sequential(*layers)

    def found(network: nn.Module, *, bf16: bool) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            out = network(torch.randn(2, 6, 32, 32, generator=torch.Generator().manual_seed(2)))
        assert out.dtype is (torch.bfloat16 if bf16 else torch.float32)
        out.float().square().mean().backward()
        return torch.cat([part.grad.flatten() for part in network.parameters() if part.grad is not None])

    true = found(stack(), bf16=False).double()
    network = stack()
    with quick_depthwise(network):
        assert apart(found(network, bf16=True), true) < 0.02
    # The twin: weights without a gradient are noticed.
    monkeypatch.setattr(depthwise, "_of_weight", lambda gradient, inputs, weight, place: torch.zeros_like(weight))
    network = stack()
    with quick_depthwise(network):
        assert apart(found(network, bf16=True), true) > 0.02


def test_only_what_is_plain_is_changed_and_all_of_it_comes_back() -> None:
    network = nn.Sequential(
        nn.Conv2d(4, 4, 3, groups=4, padding=1),
        nn.Conv2d(4, 8, 3, groups=4),
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, (3, 5), groups=4),
        nn.Conv2d(4, 4, 3, groups=4, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 3, groups=4, padding="same"),
    )
    before = list(network.state_dict())
    with pytest.raises(KeyboardInterrupt), quick_depthwise(network):
        assert [type(module) is nn.Conv2d for module in network] == [False, True, True, True, True, True]
        assert list(network.state_dict()) == before
        raise KeyboardInterrupt
    assert all(type(module) is nn.Conv2d for module in network)


def test_a_bias_learns_too() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 3, 3, groups=3, padding=1, bias=True)
    assert layer.bias is not None
    with quick_depthwise(layer):
        layer(torch.randn(2, 3, 8, 8)).sum().backward()
    assert layer.bias.grad is not None
    torch.testing.assert_close(layer.bias.grad, torch.full((3,), 2.0 * 64))
