"""Mask R-CNN (He et al. 2017) on a feature pyramid (Lin et al. 2017): maps of proposals, and two heads on boxes.

Differences from the papers: the pyramid's, see `landseg.models.networks.pyramid`; and each anchor is three boxes at
the unit's own pixel, ``anchor_scale`` units large (8 as there: 32 pixels at stride 4).

The maps of all levels are one output, so that a network of this kind streams and runs on windows like any other: a
unit of it holds the 8 x 8, 4 x 4, 2 x 2 and 1 units of the levels that lie in 32 x 32 pixels. Nothing is resampled,
and nothing is there twice. The heads on boxes are no part of that output: they read it (see
`landseg.dense.rcnn.Detector`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from landseg.errors import ModelError
from landseg.models.layers.aligned import PadToMultiple, check_whole
from landseg.models.networks.backbones import Encoder
from landseg.models.networks.pyramid import PyramidNetwork

STRIDES = (4, 8, 16, 32)
RATIOS = (0.5, 1.0, 2.0)
"""Heights of anchors over their widths."""
Maps = tuple[Tensor, Tensor, Tensor]
"""Features (N, C, h, w), objectness (N, A, h, w) and differences (N, 4 A, h, w) of a level."""


class MaskRCNN(PyramidNetwork):
    """A network from (N, bands, H, W) to the maps of its levels (N, C, ceil(H / 32), ceil(W / 32)).

    Channels of a level, before they are packed: the features, an objectness logit for each anchor, and four
    differences (x, y, width, height) for each anchor. `box_head` and `mask_head` read crops of the features.

    Args:
        encoder: an encoder at output stride 32.
        things: number of classes of things.
        pyramid_channels: channels of the features of a level.
        box_channels: channels of the two hidden layers of the head that scores and moves boxes.
        mask_channels: channels of the four hidden layers of the head that makes masks.
        anchor_scale: side of the square anchor, in units of its level.
    """

    arch: ClassVar[str] = "mask-rcnn"
    task: ClassVar[str] = "detections"

    def __init__(
        self,
        encoder: Encoder,
        *,
        things: int,
        pyramid_channels: int = 128,
        box_channels: int = 512,
        mask_channels: int = 128,
        anchor_scale: int = 8,
    ) -> None:
        if encoder.strides[1:] != STRIDES:
            raise ModelError(f"{self.arch} needs an encoder at output stride 32, got strides {encoder.strides}")
        super().__init__(encoder, channels=pyramid_channels)
        check_whole("things", things)
        check_whole("box_channels", box_channels)
        check_whole("mask_channels", mask_channels)
        check_whole("anchor_scale", anchor_scale)
        self.things, self.channels, self.anchor_scale = things, pyramid_channels, anchor_scale
        self.proposal = nn.Sequential(nn.Conv2d(pyramid_channels, pyramid_channels, 3, padding=1), nn.ReLU())
        self.objectness = nn.Conv2d(pyramid_channels, len(RATIOS), 1)
        self.deltas = nn.Conv2d(pyramid_channels, 4 * len(RATIOS), 1)
        self.pack = nn.ModuleList([packing(STRIDES[-1] // stride) for stride in STRIDES])
        self.box_head = BoxHead(pyramid_channels, box_channels, things + 1)
        self.mask_head = MaskHead(pyramid_channels, mask_channels, things + 1)
        for layer in (self.proposal[0], self.objectness, self.deltas):
            nn.init.normal_(layer.weight, std=0.01)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    @classmethod
    def channels_of(cls, total: int) -> int:
        """Return the channels of the features of a level in an output of so many channels.

        Raises:
            ModelError: no network of this kind has such an output.
        """
        units = sum((STRIDES[-1] // stride) ** 2 for stride in STRIDES)
        channels, rest = divmod(total, units)
        channels -= 5 * len(RATIOS)
        if rest or channels < 1:
            raise ModelError(
                f"{cls.arch} has {units} channels of output for each of its features and {5 * len(RATIOS)} more, and "
                f"not {total}: use it for the task {cls.task}"
            )
        return channels

    @property
    def strides(self) -> tuple[int, ...]:
        """The stride of each level, in pixels."""
        return STRIDES

    @property
    def offsets(self) -> tuple[float, ...]:
        """The pixel at which the first unit of each level sits; the others follow at its stride."""
        return tuple((stride - 1) / 2 if self.encoder.halfway else 0.0 for stride in STRIDES)

    @property
    def anchors(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """The width and height of each anchor of each level, in whole sixteenths of a pixel."""
        sides = [16 * stride * self.anchor_scale for stride in STRIDES]
        return tuple(
            tuple((round(side / math.sqrt(ratio)), round(side * math.sqrt(ratio))) for ratio in RATIOS)
            for side in sides
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.packed(self.levels(x))

    def packed(self, levels: Sequence[Maps]) -> Tensor:
        """Return the maps of all levels as one (N, C, h, w), at the coarsest stride."""
        return torch.cat([pack(torch.cat(maps, 1)) for pack, maps in zip(self.pack, levels, strict=True)], 1)

    def levels(self, x: Tensor) -> list[Maps]:
        """Return the maps of P2 to P5 of an image (N, bands, H, W)."""
        return self.propose(self.pyramid(x))

    def propose(self, pyramid: Sequence[Tensor]) -> list[Maps]:
        """Return the maps of levels (N, C, h, w)."""
        found = []
        for level in pyramid:
            hidden = self.proposal(level)
            found.append((level, self.objectness(hidden), self.deltas(hidden)))
        return found


class BoxHead(nn.Module):
    """A head from crops (n, C, 7, 7) to logits (n, K) and differences (n, 4 K); class 0 is background."""

    def __init__(self, inputs: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Flatten(), nn.Linear(inputs * 49, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
        )
        self.score = nn.Linear(hidden, classes)
        self.move = nn.Linear(hidden, 4 * classes)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.hidden(crops)
        return self.score(hidden), self.move(hidden)


class MaskHead(nn.Sequential):
    """A head from crops (n, C, 14, 14) to logits of masks (n, K, 28, 28)."""

    def __init__(self, inputs: int, hidden: int, classes: int) -> None:
        layers: list[nn.Module] = []
        for i in range(4):
            layers += [nn.Conv2d(hidden if i else inputs, hidden, 3, padding=1), nn.ReLU()]
        layers += [nn.ConvTranspose2d(hidden, hidden, 2, 2), nn.ReLU(), nn.Conv2d(hidden, classes, 1)]
        super().__init__(*layers)
        for layer in layers:
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)


def packing(factor: int) -> nn.Sequential:
    """Return layers that make the factor x factor units of a cell channels of one unit: (N, C f^2, h / f, w / f)."""
    return nn.Sequential(PadToMultiple(factor), nn.PixelUnshuffle(factor))
