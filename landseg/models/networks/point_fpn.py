"""Objects as Points (Zhou et al. 2019) on a feature pyramid (Lin et al. 2017): maps of centres at a fine stride.

Differences from the papers: the pyramid reaches down to stride 2 or 4, its way down is interpolated onto the finer
units' centres, and only its finest level has a head: crowns of trees are a few pixels wide.

The maps are not brought to pixels. For the stream they are packed: a unit of the output holds the units of the finest
level that lie in 32 x 32 pixels. Nothing is resampled, and nothing is there twice.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from landseg.errors import ModelError
from landseg.models.layers.aligned import check_whole
from landseg.models.networks.backbones import Encoder
from landseg.models.networks.mask_rcnn import packing

COARSEST = 32
RARE = 0.1
"""The value of every centre at the start: few units are centres (as in RetinaNet and Objects as Points)."""


class PointFPN(nn.Module):
    """A network from (N, bands, H, W) to maps (N, C f^2, ceil(H / 32), ceil(W / 32)), with f = 32 / stride.

    Args:
        encoder: an encoder at output stride 32, whose units sit on pixels.
        classes: channels of the output: C f^2.
        points: how many of the C channels are centres; they come first.
        stride: pixels between two units of the maps, 2 or 4.
        pyramid_channels: channels of the levels.
        head_channels: channels of the head's hidden layer.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        classes: int,
        points: int,
        stride: int = 2,
        pyramid_channels: int = 64,
        head_channels: int = 64,
    ) -> None:
        super().__init__()
        if stride not in (2, 4):
            raise ModelError(f"point-fpn has maps at stride 2 or 4, got {stride}")
        for name, value in (("pyramid_channels", pyramid_channels), ("head_channels", head_channels)):
            check_whole(name, value)
        if encoder.strides[-1] != COARSEST or encoder.halfway or stride not in encoder.strides:
            raise ModelError(
                f"point-fpn needs an encoder with units on pixels at strides {stride} to {COARSEST}, and "
                f"{encoder.name} has {encoder.strides}{' between pixels' if encoder.halfway else ''}: use another"
            )
        self.stride, self.points = stride, points
        self.maps, rest = divmod(classes, (COARSEST // stride) ** 2)
        if rest or self.maps <= points:
            raise ModelError(
                f"point-fpn has {(COARSEST // stride) ** 2} channels of output for each of its maps, of which "
                f"{points} are centres, and not {classes}: use it for the task points"
            )
        self.encoder, self._first = encoder, encoder.strides.index(stride)
        levels = encoder.channels[self._first :]
        self.lateral = nn.ModuleList([nn.Conv2d(inputs, pyramid_channels, 1) for inputs in levels])
        self.down = nn.ModuleList([encoder.upsampler(2) for _ in levels[1:]])
        self.output = nn.Conv2d(pyramid_channels, pyramid_channels, 3, padding=1)
        self.hidden = nn.Sequential(nn.Conv2d(pyramid_channels, head_channels, 3, padding=1), nn.ReLU())
        self.score = nn.Conv2d(head_channels, self.maps, 1)
        assert self.score.bias is not None
        nn.init.zeros_(self.score.bias)
        nn.init.constant_(self.score.bias[:points], -math.log(1 / RARE - 1))
        self.pack = packing(COARSEST // stride)

    def forward(self, x: Tensor) -> Tensor:
        packed: Tensor = self.pack(self.units(x))
        return packed

    def units(self, x: Tensor) -> Tensor:
        """Return the maps (N, C, h, w) of an image at their own stride."""
        features = self.encoder(x)[self._first :]
        levels = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        for i in range(len(levels) - 2, -1, -1):
            levels[i] = levels[i] + self.down[i](levels[i + 1], levels[i])
        maps: Tensor = self.score(self.hidden(torch.relu(self.output(levels[0]))))
        return maps
