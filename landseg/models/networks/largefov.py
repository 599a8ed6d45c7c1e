"""DeepLab-LargeFOV (Chen et al. 2015): VGG-16 at stride 8 with a dilated first fully connected layer.

The last two pools lose their stride, conv5 is dilated by 2, and fc6 becomes a dilated convolution. The pools are
3 x 3 with padding, as in the authors' network, so every unit sits at input pixel 8 x index. Published variants
by kernel and rate: 7 and 4, 4 and 4, 4 and 8 (4096 channels), 3 and 12 (1024 channels, "LargeFOV").
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from landseg.errors import ModelError
from landseg.models.layers.aligned import check_whole
from landseg.models.networks.backbones import Encoder


class LargeFOV(nn.Module):
    """A network from (N, bands, H, W) to logits (N, classes, H, W), for any H and W of at least 1.

    Args:
        encoder: vgg16 with 3 x 3 pools at output stride 8.
        classes: number of classes.
        kernel: kernel size of fc6.
        rate: dilation of fc6.
        head_channels: channels of fc6 and fc7; None for the published 1024 with a 3 x 3 kernel and 4096 with others.
        upsampler: upsampler of the scores.
    """

    def __init__(
        self, encoder: Encoder, *, classes: int, kernel: int, rate: int, head_channels: int | None, upsampler: str
    ) -> None:
        super().__init__()
        check_whole("kernel", kernel)
        check_whole("rate", rate)
        if (kernel - 1) * rate % 2:
            raise ModelError(
                f"a kernel of {kernel} at rate {rate} has its middle between two units; use an even rate or an odd "
                "kernel"
            )
        width = head_channels or (1024 if kernel == 3 else 4096)
        check_whole("head_channels", width)
        self.encoder = encoder
        last = encoder.get_submodule("body.features.30")
        # The published pool5 keeps its nine neighbours; the exact conversion of VGG-16 would spread them by 2.
        last.dilation = (1, 1)  # type: ignore[assignment]
        self.fc6 = nn.Conv2d(encoder.channels[-1], width, kernel, padding=(kernel - 1) * rate // 2, dilation=rate)
        self.fc7 = nn.Conv2d(width, width, 1)
        self.dropout6, self.dropout7 = nn.Dropout(0.5), nn.Dropout(0.5)
        self.score = nn.Conv2d(width, classes, 1)
        self.upsample = encoder.upsampler(8, upsampler, channels=classes)

    def forward(self, x: Tensor) -> Tensor:
        units = self.dropout6(torch.relu(self.fc6(self.encoder(x)[-1])))
        logits: Tensor = self.upsample(self.score(self.dropout7(torch.relu(self.fc7(units)))), x)
        return logits
