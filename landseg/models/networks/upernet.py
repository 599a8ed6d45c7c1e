"""UPerNet (Xiao et al. 2018, section 3.2): pyramid pooling over the last features, a feature pyramid, levels joined.

The layers are those of segmentation_models_pytorch's UPerNet, with its names, sizes and initial weights. Differences:
levels are aligned by the encoder's own geometry, while that library treats every unit as the middle of a cell; and
the scale of pyramid pooling with a single value a channel has no batch norm, since that value has no variance in a
batch of one.

Pyramid pooling averages the whole input, so that the receptive field is unbounded and windows are blended.
``pool_scales=[]`` leaves it out, and the network is exact in windows and rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landseg.errors import ModelError
from landseg.models.layers.aligned import ChannelNorm, check_whole
from landseg.models.networks.backbones import Encoder, decoder_class, initialize_as_the_library


class UPerNet(nn.Module):
    """A network from (N, bands, H, W) to logits (N, classes, H, W), for any H and W of at least 1.

    Args:
        encoder: an encoder at output stride 32.
        classes: number of classes.
        decoder_channels: channels of the pyramid's levels, of pyramid pooling and of the joined features.
        pool_scales: numbers of cells an axis of pyramid pooling; empty for no pooling, with which the receptive field
            is bounded.
        upsampler: upsampler of the levels, to stride 4, and of the scores. The top-down path, which has no weights in
            the paper either, is always interpolated.

    Raises:
        ModelError: an option is no whole number of at least 1.
    """

    def __init__(
        self, encoder: Encoder, *, classes: int, decoder_channels: int, pool_scales: Sequence[int], upsampler: str
    ) -> None:
        super().__init__()
        check_whole("decoder_channels", decoder_channels)
        if not isinstance(pool_scales, Sequence) or isinstance(pool_scales, str):
            raise ModelError(f"pool_scales must be a list of whole numbers such as [1, 2, 3, 6], got {pool_scales!r}")
        for scale in pool_scales:
            check_whole("pool_scales", scale)
        width = decoder_channels
        self.encoder = encoder
        levels = encoder.channels[1:]  # strides 4, 8, 16, 32
        made: Any = decoder_class("upernet.decoder", "UPerNetDecoder")((0, *encoder.channels), decoder_channels=width)
        self.feature_norms = nn.ModuleList([ChannelNorm(channels, eps=1e-6) for channels in levels])
        self.psp = PyramidPooling(levels[-1], width, pool_scales)
        self.laterals = nn.ModuleList([block.conv_norm_relu for block in made.fpn_lateral_blocks])
        self.fpn_conv_blocks, self.fusion_block = made.fpn_conv_blocks, made.fusion_block
        self.down = nn.ModuleList([encoder.upsampler(2) for _ in levels[1:]])
        self.ups = nn.ModuleList([encoder.upsampler(factor, upsampler, channels=width) for factor in (8, 4, 2)])
        self.score = nn.Conv2d(width, classes, 1)
        self.upsample = encoder.upsampler(4, upsampler, channels=classes)
        initialize_as_the_library(
            nn.ModuleList([self.feature_norms, self.psp, self.laterals, self.fpn_conv_blocks, self.fusion_block]),
            self.score,
        )

    def forward(self, x: Tensor) -> Tensor:
        features = [norm(feature) for norm, feature in zip(self.feature_norms, self.encoder(x)[1:], strict=True)]
        pyramid = [self.psp(features[-1])]
        for lateral, down, feature in zip(self.laterals, self.down, features[-2::-1], strict=True):
            pyramid.append(down(pyramid[-1], feature) + lateral(feature))
        pyramid[1:] = [block(level) for block, level in zip(self.fpn_conv_blocks, pyramid[1:], strict=True)]
        finest = pyramid[-1]
        joined = [finest, *[up(level, finest) for up, level in zip(self.ups, pyramid[:-1], strict=True)][::-1]]
        logits: Tensor = self.upsample(self.score(self.fusion_block(torch.cat(joined, dim=1))), x)
        return logits


class PyramidPooling(nn.Module):
    """Means over the cells of grids that span the whole input, beside the features: (N, C, h, w) to (N, width, h, w).

    Cells are spread evenly over the units at any size, and their means are interpolated between the middles of the
    cells, so that a mean lies on its own cell.
    """

    def __init__(self, inputs: int, width: int, scales: Sequence[int]) -> None:
        super().__init__()
        made: Any = decoder_class("upernet.decoder", "PSPModule")(inputs, width, sizes=tuple(scales))
        self.blocks, self.out_conv = made.blocks, made.out_conv
        for number, scale in enumerate(scales):
            if scale == 1:
                layers = nn.Conv2d(inputs, width, 1), nn.Identity(), nn.ReLU(inplace=True)
                self.blocks[number] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        means = [block(x) for block in self.blocks]
        means = [F.interpolate(mean, size=x.shape[-2:], mode="bilinear", align_corners=False) for mean in means]
        y: Tensor = self.out_conv(torch.cat([x, *means], dim=1))
        return y
