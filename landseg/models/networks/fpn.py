"""Semantic FPN (Kirillov et al. 2019, Panoptic Feature Pyramid Networks, section 3.1): levels summed at stride 4.

Differences from the paper: batch norm by default, since group norm reads the whole image and cannot be tiled
exactly (``norm="group"`` is the paper's); and the pyramid's, see `landseg.models.networks.pyramid`.
"""

from __future__ import annotations

from torch import Tensor, nn

from landseg.models.networks.backbones import Encoder
from landseg.models.networks.pyramid import PyramidNetwork
from landseg.models.networks.semantic_branch import make_branches, sum_branches


class SemanticFPN(PyramidNetwork):
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
        super().__init__(encoder, channels=pyramid_channels)
        self.branches, self.up = make_branches(
            encoder, inputs=pyramid_channels, outputs=head_channels, norm=norm, upsampler=upsampler
        )
        self.score = nn.Conv2d(head_channels, classes, 1)
        self.upsample = encoder.upsampler(4, upsampler, channels=classes)

    def forward(self, x: Tensor) -> Tensor:
        pyramid = self.pyramid(x)
        logits: Tensor = self.upsample(self.score(sum_branches(self.branches, self.up, pyramid)), x)
        return logits
