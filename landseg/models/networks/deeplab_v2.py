"""DeepLab v2 (Chen et al. 2018, TPAMI): the sum of four atrous branches, each with scores; at several scales.

Differences from the paper: the encoder is stride-to-dilation of torchvision's ResNet, whose stride sits in the 3 x 3
convolution (the authors' sits in the 1 x 1 before it); batch norm is learned. The smaller copies of the input are
resized by fixed factors with unit 0 on pixel 0, like those of the authors at their sizes of 8 n + 1, so all scales
are aligned exactly at any size. A unit of the copy at 3/4 has a stride of 32/3 pixels: the units of all three scales
meet only every 32 pixels, which is the stride of windows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from landseg.errors import ModelError
from landseg.models.layers.aligned import AlignedDownsize, AlignedUpsize, check_whole
from landseg.models.networks.backbones import Encoder

_SCALES = ((3, 4), (1, 2))  # scales of the smaller copies


class SummedASPP(nn.Module):
    """The sum of atrous 3 x 3 branches with biases, each from features to scores directly or through 1 x 1 layers."""

    def __init__(self, inputs: int, classes: int, *, rates: Sequence[int], hidden: int) -> None:
        super().__init__()
        if not rates or any(rate < 1 for rate in rates):
            raise ModelError(f"rates must be whole numbers of at least 1, got {tuple(rates)}")
        self.branches = nn.ModuleList([_branch(inputs, classes, rate, hidden) for rate in rates])

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.branches[0](x)
        for branch in list(self.branches)[1:]:
            scores = scores + branch(x)
        return scores


def _branch(inputs: int, classes: int, rate: int, hidden: int) -> nn.Module:
    first = nn.Conv2d(inputs, hidden or classes, 3, padding=rate, dilation=rate)
    if not hidden:
        nn.init.normal_(first.weight, std=0.01)
        assert first.bias is not None
        nn.init.zeros_(first.bias)
        return first
    middle, last = nn.Conv2d(hidden, hidden, 1), nn.Conv2d(hidden, classes, 1)
    return nn.Sequential(first, nn.ReLU(), nn.Dropout(0.5), middle, nn.ReLU(), nn.Dropout(0.5), last)


class DeepLabV2(nn.Module):
    """Scores at the encoder's stride, upsampled in one step; with ``multi_scale`` the maximum over three scales.

    From (N, bands, H, W) to logits (N, classes, H, W), for any H and W of at least 1.

    Args:
        encoder: an encoder whose units sit at stride x index.
        classes: number of classes.
        rates: dilation of each branch.
        hidden: channels between a branch's 3 x 3 layer and its scores; 0 for none, None for the published 1024 with
            vgg16 and none otherwise.
        multi_scale: True if the network also runs on the input at 3/4 and 1/2 of its size.
        upsampler: upsampler of the scores, after the maximum over the scales.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        classes: int,
        rates: Sequence[int],
        hidden: int | None,
        multi_scale: bool,
        upsampler: str,
    ) -> None:
        super().__init__()
        width = (1024 if encoder.name == "vgg16" else 0) if hidden is None else hidden
        check_whole("hidden", width, least=0)
        if multi_scale and (encoder.halfway or encoder.fills):
            raise ModelError(
                f"multi_scale needs units at stride x index, which {encoder.name} does not have; leave multi_scale "
                "out, or use a ResNet"
            )
        self.encoder = encoder
        self.aspp = SummedASPP(encoder.channels[-1], classes, rates=rates, hidden=width)
        scales: tuple[tuple[int, int], ...] = _SCALES if multi_scale else ()
        self.shrink = nn.ModuleList([AlignedDownsize(*scale) for scale in scales])
        self.enlarge = nn.ModuleList([AlignedUpsize(*reversed(scale)) for scale in scales])
        self.upsample = encoder.upsampler(encoder.strides[-1], upsampler, channels=classes)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.aspp(self.encoder(x)[-1])
        for shrink, enlarge in zip(self.shrink, self.enlarge, strict=True):
            smaller = self.aspp(self.encoder(shrink(x))[-1])
            scores = torch.maximum(scores, enlarge(smaller, scores))
        logits: Tensor = self.upsample(scores, x)
        return logits
