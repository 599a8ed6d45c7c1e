"""Semantic FPN (Kirillov et al. 2019, Panoptic Feature Pyramid Networks, section 3.1): levels summed at stride 4.

Differences from the paper: batch norm by default, since group norm reads the whole image and cannot be tiled
exactly (``norm="group"`` is the paper's); and the top-down path is interpolated onto the finer units' centres: to
repeat the nearest unit would move the coarse levels by half a unit.
"""

from __future__ import annotations

from torch import Tensor, nn

from landseg.errors import ModelError
from landseg.models.layers.aligned import check_whole
from landseg.models.networks.backbones import Encoder

_GROUPS = 32


class SemanticFPN(nn.Module):
    """A network from (N, bands, H, W) to logits (N, classes, H, W), for any H and W of at least 1.

    Args:
        encoder: an encoder at output stride 32.
        classes: number of classes.
        pyramid_channels: channels of the pyramid's levels.
        head_channels: channels of the semantic branch.
        norm: "batch", or "group" as published, which has no bounded receptive field.
        upsampler: upsampler of the semantic branches and of the scores. The top-down path, which has no weights in
            the paper either, is always interpolated.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        classes: int,
        pyramid_channels: int,
        head_channels: int,
        norm: str,
        upsampler: str,
    ) -> None:
        super().__init__()
        check_whole("pyramid_channels", pyramid_channels)
        check_whole("head_channels", head_channels)
        if norm not in ("batch", "group"):
            raise ModelError(f"norm must be 'batch' or 'group', got {norm!r}")
        if norm == "group" and head_channels % _GROUPS:
            raise ModelError(f"group norm needs head_channels that {_GROUPS} divides, got {head_channels}")
        self.encoder = encoder
        levels = encoder.channels[1:]  # strides 4, 8, 16, 32
        self.lateral = nn.ModuleList([nn.Conv2d(channels, pyramid_channels, 1) for channels in levels])
        self.output = nn.ModuleList([nn.Conv2d(pyramid_channels, pyramid_channels, 3, padding=1) for _ in levels])
        self.down = nn.ModuleList([encoder.upsampler(2) for _ in levels[1:]])
        self.branches = nn.ModuleList(
            [_branch(pyramid_channels, head_channels, max(1, i), norm) for i in range(len(levels))]
        )
        self.up = nn.ModuleList(
            [
                nn.ModuleList([encoder.upsampler(2, upsampler, channels=head_channels) for _ in range(i)])
                for i in range(len(levels))
            ]
        )
        self.score = nn.Conv2d(head_channels, classes, 1)
        self.upsample = encoder.upsampler(4, upsampler, channels=classes)

    def forward(self, x: Tensor) -> Tensor:
        features = self.encoder(x)[1:]
        pyramid = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        for i in range(len(pyramid) - 2, -1, -1):
            pyramid[i] = pyramid[i] + self.down[i](pyramid[i + 1], pyramid[i])
        pyramid = [output(level) for output, level in zip(self.output, pyramid, strict=True)]
        total: Tensor | None = None
        for i, (branch, ups) in enumerate(zip(self.branches, self.up, strict=True)):
            y = pyramid[i]
            for step, block in enumerate(branch.children()):
                y = block(y)
                if i:
                    y = ups.get_submodule(str(step))(y, pyramid[i - step - 1])
            total = y if total is None else total + y
        logits: Tensor = self.upsample(self.score(total), x)
        return logits


def _branch(inputs: int, outputs: int, blocks: int, norm: str) -> nn.ModuleList:
    """Return ``blocks`` of a 3 x 3 convolution, a norm and a ReLU, between which the levels are upsampled by 2."""
    made = nn.ModuleList()
    for i in range(blocks):
        layer = nn.GroupNorm(_GROUPS, outputs) if norm == "group" else nn.BatchNorm2d(outputs)
        convolution = nn.Conv2d(outputs if i else inputs, outputs, 3, padding=1, bias=False)
        made.append(nn.Sequential(convolution, layer, nn.ReLU(inplace=True)))
    return made
