"""EfficientNet-Lite 0, 1 and 2 (Tan, Le 2019, without squeeze-and-excitation and with ReLU6), without the classifier.

Layers have the names of timm's layers, so that its weights fit by name, and a seed gives the weights that it gives
timm. The network is here because timm imports torchvision, and that torch's compiler: more than a second before the
first pixel, for layers that torch has.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

VARIANTS = {"efficientnet-lite0": 0, "efficientnet-lite1": 1, "efficientnet-lite2": 2}
"""The number of each network, by the name of its encoder."""

_STEM = 32
_EXPANSION = 6
_KERNELS = (3, 3, 5, 3, 5, 5, 3)  # of the depthwise convolutions, by stage
_STRIDES = (1, 2, 2, 2, 1, 2, 1)
# Stages of a variant: their channels, and how many blocks each has.
_WIDTHS = ((16, 24, 40, 80, 112, 192, 320), (16, 24, 40, 80, 112, 192, 320), (16, 24, 48, 88, 120, 208, 352))
_DEPTHS = ((1, 2, 2, 3, 3, 4, 1), (1, 3, 3, 4, 4, 5, 1), (1, 3, 3, 4, 4, 5, 1))
_FEATURES = (0, 1, 2, 4, 6)  # the last stages at the strides 2, 4, 8, 16 and 32
_EPSILON = 1e-3  # of the batch norms in the training of the published weights


class BatchNormAct2d(nn.BatchNorm2d):
    """A batch norm with the activation behind it, as one layer; the activation has no weights."""

    def __init__(self, channels: int, *, active: bool = True) -> None:
        super().__init__(channels, eps=_EPSILON)
        self.act: nn.Module = nn.ReLU6(inplace=True) if active else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.act(super().forward(x))
        return result


class SeparableBlock(nn.Module):
    """A depthwise and a pointwise convolution: the first stage."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = _depthwise(inputs, kernel, stride)
        self.bn1 = BatchNormAct2d(inputs)
        self.conv_pw = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn2 = BatchNormAct2d(outputs, active=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.bn2(self.conv_pw(self.bn1(self.conv_dw(x))))
        return result


class InvertedResidual(nn.Module):
    """Six times as many channels, a depthwise convolution among them, and back; added to the input where it fits."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = inputs * _EXPANSION
        self.adds = stride == 1 and inputs == outputs
        self.conv_pw = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = BatchNormAct2d(inner)
        self.conv_dw = _depthwise(inner, kernel, stride)
        self.bn2 = BatchNormAct2d(inner)
        self.conv_pwl = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = BatchNormAct2d(outputs, active=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.bn3(self.conv_pwl(self.bn2(self.conv_dw(self.bn1(self.conv_pw(x))))))
        return result + x if self.adds else result


class EfficientNetLite(nn.Module):
    """An encoder from (N, bands, H, W) to features at the strides 2, 4, 8, 16 and 32, whose sizes are rounded up.

    Args:
        variant: 0, 1 or 2.
        bands: input channels.

    Attributes:
        channels: of the five features.
    """

    def __init__(self, variant: int, bands: int) -> None:
        super().__init__()
        widths, depths = _WIDTHS[variant], _DEPTHS[variant]
        self.channels = tuple(widths[stage] for stage in _FEATURES)
        stem = nn.Conv2d(bands, _STEM, 3, 2, padding=1, bias=False)
        for _ in range(2):  # timm tries a layer out here: drawn likewise, a seed goes on to the same weights
            nn.Conv2d(8, 8, 1)
        stages: list[nn.Module] = []
        inputs = _STEM
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            block = InvertedResidual if stage else SeparableBlock
            blocks: list[nn.Module] = []
            for number in range(depth):
                blocks.append(block(inputs, width, _KERNELS[stage], 1 if number else _STRIDES[stage]))
                inputs = width
            stages.append(nn.Sequential(*blocks))
        # The names that the weights have in model files.
        self.model = nn.ModuleDict(
            {"conv_stem": stem, "bn1": BatchNormAct2d(_STEM), "blocks": nn.Sequential(*stages)}
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                fan_out = math.prod(layer.kernel_size) * layer.out_channels // layer.groups
                nn.init.normal_(layer.weight, 0.0, math.sqrt(2.0 / fan_out))

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.model["bn1"](self.model["conv_stem"](x))
        features = []
        for number, stage in enumerate(self.model["blocks"].children()):
            x = stage(x)
            if number in _FEATURES:
                features.append(x)
        return features


def _depthwise(channels: int, kernel: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel, stride, padding=kernel // 2, groups=channels, bias=False)
