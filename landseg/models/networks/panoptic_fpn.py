"""Panoptic FPN (Kirillov et al. 2019): Mask R-CNN and a semantic branch on one feature pyramid.

Differences from the paper: batch norm in the semantic branch, since group norm reads the whole image; and those of
`landseg.models.networks.mask_rcnn`. As there, the branch tells the classes of stuff apart, and has one class more for
all things: which thing a pixel is, boxes say.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from landseg.errors import ModelError
from landseg.models.layers.aligned import check_whole
from landseg.models.networks.backbones import Encoder
from landseg.models.networks.mask_rcnn import STRIDES, Maps, MaskRCNN, packing
from landseg.models.networks.semantic_branch import make_branches, sum_branches


class PanopticFPN(MaskRCNN):
    """A network from (N, bands, H, W) to the maps of its levels and logits (N, C, ceil(H / 32), ceil(W / 32)).

    Behind the channels of `MaskRCNN` are the logits of each class of stuff, and of things, of 32 x 32 pixels.

    Args:
        encoder: an encoder at output stride 32.
        things: number of classes of things.
        stuff: number of classes of stuff.
        head_channels: channels of the semantic branch.
        **options: of `MaskRCNN`.
    """

    arch = "panoptic-fpn"
    task = "panoptic"

    def __init__(
        self, encoder: Encoder, *, things: int, stuff: int, head_channels: int = 128, **options: Any
    ) -> None:
        super().__init__(encoder, things=things, **options)
        check_whole("stuff", stuff)
        self.stuff = stuff
        self.branches, self.up = make_branches(encoder, inputs=self.channels, outputs=head_channels)
        self.score = nn.Conv2d(head_channels, stuff + 1, 1)
        self.upsample = encoder.upsampler(4)
        self.pack_logits = packing(STRIDES[-1])

    @classmethod
    def channels_beside(cls, total: int, stuff: int) -> int:
        """Return `channels_of` the part of an output of so many channels that is not the logits.

        Raises:
            ModelError: no network of this kind has such an output.
        """
        logits = (stuff + 1) * STRIDES[-1] ** 2
        if total <= logits:
            raise ModelError(
                f"{cls.arch} has {logits} channels for the logits of {stuff} classes of stuff alone, and not {total} "
                f"with all others: use it for the task {cls.task}"
            )
        return cls.channels_of(total - logits)

    def forward(self, x: Tensor) -> Tensor:
        levels, logits = self.levels_and_logits(x)
        return torch.cat([self.packed(levels), self.pack_logits(logits)], 1)

    def levels_and_logits(self, x: Tensor) -> tuple[list[Maps], Tensor]:
        """Return the maps of P2 to P5, and the logits (N, stuff + 1, H, W), that of things last."""
        pyramid = self.pyramid(x)
        logits = self.upsample(self.score(sum_branches(self.branches, self.up, pyramid)), x)
        return self.propose(pyramid), logits
