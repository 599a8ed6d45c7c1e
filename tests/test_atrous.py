"""Stride into dilation: the converted encoder, read at the original's positions, is the original."""

from __future__ import annotations

import copy

import pytest
import torch
from segmentation_models_pytorch.encoders import get_encoder
from segmentation_models_pytorch.encoders._utils import replace_strides_with_dilation
from torch import nn

from landseg.errors import ModelError
from landseg.models.atrous import convert_stride_to_dilation

NAMES = {"resnet18": "resnet18", "efficientnet-lite0": "tu-efficientnet_lite0"}


def _random_encoder(name: str) -> nn.Module:
    torch.manual_seed(3)
    encoder = get_encoder(NAMES[name], in_channels=3, depth=5, weights=None).double().eval()
    for layer in encoder.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, 0, 0.2)
    return encoder.requires_grad_(False)


def _check_same_function(
    original: nn.Module, converted: nn.Module, size: tuple[int, int], output_stride: int
) -> None:
    x = torch.randn(1, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for stride, a, b in zip((2, 4, 8, 16, 32), original(x)[1:], converted(x)[1:], strict=True):
        step = max(1, stride // output_stride)
        difference = (b[..., ::step, ::step] - a).abs().max() / a.abs().max()
        assert difference <= 1e-12, f"stride {stride}: {difference:.2g}"


@pytest.mark.parametrize("size", [(128, 128), (129, 97), (160, 161)])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("name", sorted(NAMES))
def test_same_function_at_the_original_positions(name: str, output_stride: int, size: tuple[int, int]) -> None:
    original = _random_encoder(name)
    converted = copy.deepcopy(original)
    convert_stride_to_dilation(converted, output_stride)
    _check_same_function(original, converted, size, output_stride)


@pytest.mark.parametrize("output_stride", [8, 16])
def test_twin_dilating_the_layer_that_lost_its_stride_makes_another_network(output_stride: int) -> None:
    original = _random_encoder("resnet18")
    converted = copy.deepcopy(original)
    replace_strides_with_dilation(converted.layer4, dilation_rate=2 if output_stride == 16 else 4)
    if output_stride == 8:
        replace_strides_with_dilation(converted.layer3, dilation_rate=2)
    with pytest.raises(AssertionError, match=r"stride (16|32)"):
        _check_same_function(original, converted, (128, 128), output_stride)


def test_layers_that_cannot_be_dilated_are_refused() -> None:
    pools = nn.Sequential(nn.Conv2d(1, 1, 3, stride=2, padding=1), nn.Conv2d(1, 1, 3, stride=2), nn.AvgPool2d(3, 1))
    with pytest.raises(ModelError, match="average pool"):
        convert_stride_to_dilation(pools, 2)
    with pytest.raises(ModelError, match="power of two"):
        convert_stride_to_dilation(pools, 12)
    shared = nn.Conv2d(1, 1, 3, stride=2, padding=1)
    with pytest.raises(ModelError, match="used twice"):
        convert_stride_to_dilation(nn.Sequential(shared, shared), 2)
