"""The feature pyramid (Lin et al. 2017) that several networks stand on.

Differences from the paper: the way down is interpolated onto the finer units' centres, since repeating the nearest
unit would move the coarse levels by half a unit; and there are four levels, P2 to P5.
"""

from __future__ import annotations

from torch import Tensor, nn

from landseg.models.layers.aligned import check_whole
from landseg.models.networks.backbones import Encoder


class PyramidNetwork(nn.Module):
    """The part of a network that makes the levels of a pyramid, at strides 4, 8, 16 and 32.

    Args:
        encoder: an encoder at output stride 32.
        channels: of each level.
    """

    def __init__(self, encoder: Encoder, *, channels: int) -> None:
        super().__init__()
        check_whole("pyramid_channels", channels)
        self.encoder = encoder
        levels = encoder.channels[1:]
        self.lateral = nn.ModuleList([nn.Conv2d(inputs, channels, 1) for inputs in levels])
        self.output = nn.ModuleList([nn.Conv2d(channels, channels, 3, padding=1) for _ in levels])
        self.down = nn.ModuleList([encoder.upsampler(2) for _ in levels[1:]])

    def pyramid(self, x: Tensor) -> list[Tensor]:
        """Return the levels (N, channels, h, w) of an image (N, bands, H, W), the finest first."""
        features = self.encoder(x)[1:]
        levels = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        for i in range(len(levels) - 2, -1, -1):
            levels[i] = levels[i] + self.down[i](levels[i + 1], levels[i])
        return [output(level) for output, level in zip(self.output, levels, strict=True)]
