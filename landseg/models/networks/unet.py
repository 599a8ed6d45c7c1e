"""U-Net (Ronneberger et al. 2015) on an encoder: features upsampled by 2, beside the encoder's own, up to stride 1.

The blocks are those of segmentation_models_pytorch's Unet, with its names, sizes and initial weights. The difference:
that library repeats the nearest unit, which moves the evidence of a pixel away from it (the units of a ResNet sit at
stride x index, not in the middle of the pixels on which they are repeated). Here units are brought to their own
places in the finer grid. Every layer reads a bounded part of its input, so that windows and rows are exact; the
optional attention reads the whole input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from landseg.errors import ModelError
from landseg.models.layers.aligned import check_whole
from landseg.models.networks.backbones import Encoder, decoder_class, initialize_as_the_library
from landseg.text.amounts import counted

_ATTENTION = {"none": None, "scse": "scse"}
_REDUCTION = 16  # factor by which scse reduces channels


class UNet(nn.Module):
    """A network from (N, bands, H, W) to logits (N, classes, H, W), for any H and W of at least 1.

    Args:
        encoder: an encoder at output stride 32.
        classes: number of classes.
        decoder_channels: channels of the blocks at the strides 16, 8, 4, 2 and 1.
        attention: "none", or "scse": concurrent spatial and channel squeeze and excitation (Roy et al. 2018) in every
            block, whose mean over the whole input leaves the receptive field without bound.
        upsampler: upsampler in front of every block.

    Raises:
        ModelError: there are not five channels, or the attention is unknown.
    """

    def __init__(
        self, encoder: Encoder, *, classes: int, decoder_channels: Sequence[int], attention: str, upsampler: str
    ) -> None:
        super().__init__()
        given = decoder_channels if isinstance(decoder_channels, Sequence) else (decoder_channels,)
        if len(given) != len(encoder.strides):
            raise ModelError(
                f"decoder_channels takes {counted(len(encoder.strides), 'number')}, those of the blocks at the "
                f"strides 16, 8, 4, 2 and 1, such as [256, 128, 64, 32, 16], got {list(given)}"
            )
        for channels in given:
            check_whole("decoder_channels", channels)
        if attention not in _ATTENTION:
            raise ModelError(f"attention must be 'none' or 'scse', got {attention!r}")
        if attention == "scse" and min(given) < _REDUCTION:
            raise ModelError(
                f"attention 'scse' squeezes channels to a {_REDUCTION}th of them and needs decoder_channels of at "
                f"least {_REDUCTION}, got {list(given)}"
            )
        self.encoder = encoder
        # In an encoder that begins with stride 4 the first feature is the input, which no block takes.
        self.skips = [number for number in range(len(given) - 1) if encoder.strides[number] > 1][::-1]
        skipped = [*(encoder.channels[number] for number in self.skips), *[0] * (len(given) - len(self.skips))]
        inputs = (encoder.channels[-1], *given[:-1])
        block: Any = decoder_class("unet.decoder", "UnetDecoderBlock")
        self.blocks = nn.ModuleList(
            [
                block(*channels, attention_type=_ATTENTION[attention])
                for channels in zip(inputs, skipped, given, strict=True)
            ]
        )
        for unused in self.blocks[len(self.skips) :]:
            unused.attention1 = nn.Identity()  # the library's never runs: its weights would have no gradient
        self.ups = nn.ModuleList([encoder.upsampler(2, upsampler, channels=channels) for channels in inputs])
        self.score = nn.Conv2d(given[-1], classes, 3, padding=1)
        initialize_as_the_library(self.blocks, self.score)

    def forward(self, x: Tensor) -> Tensor:
        features = self.encoder(x)
        finer = [features[number] for number in self.skips]
        y = features[-1]
        block: Any  # a block of the library, which no type describes
        for number, (up, block) in enumerate(zip(self.ups, self.blocks, strict=True)):
            if number < len(finer):
                y = block.attention1(torch.cat([up(y, finer[number]), finer[number]], dim=1))
            else:
                y = up(y, x) if number == len(self.ups) - 1 else up(y, None)
            y = block.attention2(block.conv2(block.conv1(y)))
        logits: Tensor = self.score(y)
        return logits
