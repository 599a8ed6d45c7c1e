"""The 13 convolutions and 5 pools of VGG-16 (Simonyan, Zisserman 2015, configuration D), without its classifier.

Layers have the numbers of torchvision's layers, so that its weights fit by name.
"""

from __future__ import annotations

from torch import Tensor, nn

from landseg.models.layers.aligned import GridMaxPool2d

CHANNELS = (64, 128, 256, 512, 512)
_CONVOLUTIONS = (2, 2, 3, 3, 3)


class VGG16(nn.Module):
    """An encoder from (N, bands, H, W) to the outputs of the five pools, at the strides 2, 4, 8, 16 and 32.

    Args:
        bands: input channels.
        pool: 2 for the published 2 x 2 pools, rounding sizes up, whose units sit half a cell beyond stride x index;
            3 for the padded 3 x 3 pools of DeepLab's VGG (Chen et al. 2015), whose units sit at stride x index.
    """

    def __init__(self, bands: int, *, pool: int = 2) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        pools: list[int] = []
        inputs = bands
        for channels, count in zip(CHANNELS, _CONVOLUTIONS, strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = channels
            layers.append(GridMaxPool2d(pool, 2))
            pools.append(len(layers) - 1)
        self.features = nn.Sequential(*layers)
        self._pools = frozenset(pools)
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self._pools:
                features.append(x)
        return features
