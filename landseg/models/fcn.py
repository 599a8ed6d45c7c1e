"""Fully convolutional networks with one coarse score map (Long, Shelhamer, Darrell 2015, section 4)."""

from __future__ import annotations

from torch import Tensor, nn

from landseg.models.backbones import Encoder
from landseg.models.upsample import AlignedUpsample


class FCN32s(nn.Module):
    """Scores at stride 32, upsampled in one step to the input's pixels.

    (N, bands, H, W) in, logits (N, classes, H, W) out, any H and W of at least 1. The receptive field is the
    encoder's plus one coarse cell of the upsampler.
    """

    def __init__(self, encoder: Encoder, *, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout2d(0.1)
        self.score = nn.Conv2d(encoder.channels[-1], classes, kernel_size=1)
        self.upsample = AlignedUpsample(encoder.strides[-1])

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.upsample(self.score(self.dropout(self.encoder(x)[-1])), x)
        return logits
