"""DeepLabV3 (Chen et al. 2017) and V3+ (Chen et al. 2018): atrous spatial pyramid pooling, and a decoder at stride 4.

Differences from the papers, for exact tiling and speed: image pooling is off by default (it makes the
receptive field unbounded), every resize is aligned to the units' centres, and the last stage is not multi-grid, since
an encoder keeps its own weights' dilation. In V3+ the 3x3 convolutions of the pyramid and the decoder are depthwise
separable by default (section 3.2 of the paper offers both).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from landseg.errors import ModelError
from landseg.models.layers.aligned import check_whole
from landseg.models.networks.backbones import Encoder

_LOW_LEVEL_CHANNELS = 48  # the best of the paper's table 1


def _conv(inputs: int, outputs: int, kernel: int = 1, *, dilation: int = 1, separable: bool = True) -> nn.Sequential:
    """Return convolution, batch norm and ReLU; ``separable``: a depthwise convolution and a pointwise convolution."""
    layers: list[nn.Module] = []
    pad = dilation * (kernel - 1) // 2
    if kernel > 1 and separable:
        layers.append(nn.Conv2d(inputs, inputs, kernel, padding=pad, dilation=dilation, groups=inputs, bias=False))
        kernel, pad, dilation = 1, 0, 1
    layers.append(nn.Conv2d(inputs, outputs, kernel, padding=pad, dilation=dilation, bias=False))
    return nn.Sequential(*layers, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class ImagePooling(nn.Module):
    """The mean over the whole input at every unit: unbounded context, which makes exact tiling impossible."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        # No batch norm: with a single value a channel, a batch of one has no variance.
        self.conv = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = torch.relu(self.conv(self.pool(x)))
        return pooled.expand(-1, -1, x.shape[-2], x.shape[-1])


class ASPP(nn.Module):
    """Parallel 1x1 and atrous 3x3 convolutions over one feature map, joined by a 1x1 (DeepLabV3, section 3.3)."""

    def __init__(
        self, inputs: int, outputs: int, *, rates: Sequence[int], image_pooling: bool, separable: bool = True
    ) -> None:
        super().__init__()
        if not rates or any(rate < 1 for rate in rates):
            raise ModelError(f"rates must be whole numbers of at least 1, got {tuple(rates)}")
        branches: list[nn.Module] = [_conv(inputs, outputs)]
        branches += [_conv(inputs, outputs, 3, dilation=rate, separable=separable) for rate in rates]
        if image_pooling:
            branches.append(ImagePooling(inputs, outputs))
        self.branches = nn.ModuleList(branches)
        self.project = _conv(outputs * len(branches), outputs)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        joined = torch.cat([branch(x) for branch in self.branches], dim=1)
        projected: Tensor = self.dropout(self.project(joined))
        return projected


class DeepLabV3(nn.Module):
    """ASPP features, scores at the encoder's stride, aligned upsampling to 1.

    From (N, bands, H, W) to logits (N, classes, H, W), for any H and W of at least 1. ``rates`` None takes those of
    the paper: 6, 12, 18 at output stride 16 (and 32), twice that at 8. ``upsampler`` is that of the scores.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        classes: int,
        rates: Sequence[int] | None,
        image_pooling: bool,
        head_channels: int,
        separable: bool,
        upsampler: str,
    ) -> None:
        super().__init__()
        check_whole("head_channels", head_channels)
        chosen = rates or tuple(rate * (2 if max(encoder.strides) == 8 else 1) for rate in (6, 12, 18))
        self.encoder = encoder
        self.aspp = ASPP(
            encoder.channels[-1], head_channels, rates=chosen, image_pooling=image_pooling, separable=separable
        )
        self.score = nn.Conv2d(head_channels, classes, kernel_size=1)
        self.upsample = encoder.upsampler(encoder.strides[-1], upsampler, channels=classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.upsample(self.score(self.aspp(self.encoder(x)[-1])), x)
        return logits


class DeepLabV3Plus(nn.Module):
    """ASPP features and stride-4 features, two 3x3 convolutions, scores at stride 4, aligned upsampling to 1.

    From (N, bands, H, W) to logits (N, classes, H, W), for any H and W of at least 1. ``upsampler`` brings the ASPP
    features to stride 4, and the scores to 1.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        classes: int,
        rates: Sequence[int],
        image_pooling: bool,
        decoder_channels: int,
        separable: bool,
        upsampler: str,
    ) -> None:
        super().__init__()
        check_whole("decoder_channels", decoder_channels)
        width = decoder_channels
        self.encoder = encoder
        self.aspp = ASPP(encoder.channels[-1], width, rates=rates, image_pooling=image_pooling, separable=separable)
        self.low_level = _conv(encoder.channels[1], _LOW_LEVEL_CHANNELS)
        factor = encoder.strides[-1] // encoder.strides[1]
        self.to_low_level = encoder.upsampler(factor, upsampler, channels=width)
        self.refine = nn.Sequential(
            _conv(width + _LOW_LEVEL_CHANNELS, width, 3, separable=separable),
            _conv(width, width, 3, separable=separable),
        )
        self.score = nn.Conv2d(width, classes, kernel_size=1)
        self.upsample = encoder.upsampler(encoder.strides[1], upsampler, channels=classes)

    def forward(self, x: Tensor) -> Tensor:
        features = self.encoder(x)
        low = self.low_level(features[1])
        high = self.to_low_level(self.aspp(features[-1]), low)
        logits: Tensor = self.upsample(self.score(self.refine(torch.cat([high, low], dim=1))), x)
        return logits
