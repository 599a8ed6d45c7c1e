"""Fully convolutional networks (Long, Shelhamer, Darrell 2015, section 4): coarse scores, and finer ones added.

The authors pad the input by 100 pixels so that a 7 x 7 convolution without padding still fits the smallest image,
and cut off the excess behind each deconvolution: 19 pixels (32s), 5 and 27 (16s), 5, 9 and 31 (8s). These numbers
put every unit's score on the centre of its own receptive field, and so follow from the layers (``unit_positions``).
With ordinary padding the same arithmetic gives scores that need no margin, which is landseg's default;
``padding=100`` is the authors' network.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from landseg.errors import ModelError
from landseg.models.layers.aligned import BilinearDeconv, Crop, check_whole
from landseg.models.networks.backbones import Encoder

_AT_ONCE = (0.01, 0.0001)  # factors of pool4 and pool3 if all stages are learned at once


class FCN32s(nn.Module):
    """Scores at stride 32, upsampled in one step to the input's pixels.

    From (N, bands, H, W) to logits (N, classes, H, W), for any H and W of at least 1. The receptive field is the
    encoder's plus one coarse cell of the upsampler. ``upsampler`` is that of the scores.
    """

    def __init__(self, encoder: Encoder, *, classes: int, upsampler: str) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout2d(0.1)
        self.score = nn.Conv2d(encoder.channels[-1], classes, kernel_size=1)
        self.upsample = encoder.upsampler(encoder.strides[-1], upsampler, channels=classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.upsample(self.score(self.dropout(self.encoder(x)[-1])), x)
        return logits


class VGGFCN(nn.Module):
    """FCN-32s, -16s and -8s on VGG-16 as published; any H and W of at least 1.

    All score layers start at zero, so that a stage begins as the stage before it (see ``start_from``).

    Args:
        encoder: the encoder vgg16.
        classes: number of classes.
        skips: 0 for 32s, 1 adds scores of pool4 (16s), 2 those of pool3 too (8s).
        head_channels: channels of fc6 and fc7.
        padding: padding of the first convolution: 1, or 100 as in the authors' network.
        at_once: multiply pool4 by 0.01 and pool3 by 0.0001, to learn 8s without stages.
        upsampler: upsampler of all scores: "aligned" keeps the published deconvolutions bilinear, "transposed" learns
            them from that start; any other uses its own layers, and needs a ``padding`` of 1.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        classes: int,
        skips: int,
        head_channels: int,
        padding: int,
        at_once: bool = False,
        upsampler: str,
    ) -> None:
        super().__init__()
        check_whole("head_channels", head_channels)
        if padding not in (1, 100):
            raise ModelError(f"padding must be 1 (landseg's) or 100 (the authors'), got {padding}")
        self.encoder = encoder
        first = encoder.get_submodule("body.features.0")
        first.padding = (padding, padding)  # type: ignore[assignment]
        self.fc6 = nn.Conv2d(encoder.channels[-1], head_channels, 7, padding=0 if padding > 1 else 3)
        self.fc7 = nn.Conv2d(head_channels, head_channels, 1)
        self.dropout6, self.dropout7 = nn.Dropout(0.5), nn.Dropout(0.5)
        self.score = _zeros(head_channels, classes)
        self.scales = _AT_ONCE[:skips] if at_once else (1.0,) * skips
        self.skips = nn.ModuleList([_zeros(encoder.channels[3 - i], classes) for i in range(skips)])
        stages, last = cuts(padding, skips)
        factors = [2] * skips + [32 >> skips]
        self.published = upsampler in ("aligned", "transposed")
        if self.published:
            learned, cut = upsampler == "transposed", [cut for cut, _ in stages] + [last]
            ups: list[nn.Module] = [
                BilinearDeconv(classes, factor, padding=pixels, learned=learned)
                for factor, pixels in zip(factors, cut, strict=True)
            ]
        else:
            ups = [encoder.upsampler(factor, upsampler, channels=classes) for factor in factors]
            _check_padding(padding, upsampler)
        self.upsamplers, self.upsample = nn.ModuleList(ups[:-1]), ups[-1]
        self.crops = nn.ModuleList([Crop(start) for _, start in stages])
        self.crop = Crop()

    def forward(self, x: Tensor) -> Tensor:
        features = self.encoder(x)
        scores = self.dropout6(torch.relu(self.fc6(features[-1])))
        scores = self.score(self.dropout7(torch.relu(self.fc7(scores))))
        for i, (up, crop, skip) in enumerate(zip(self.upsamplers, self.crops, self.skips, strict=True)):
            finer = features[3 - i] if self.scales[i] == 1 else features[3 - i] * self.scales[i]
            finer = skip(finer)
            scores = _fuse(up(scores), finer, crop) if self.published else up(scores, finer) + finer
        logits: Tensor = self.crop(self.upsample(scores), x) if self.published else self.upsample(scores, x)
        return logits

    def take_classifier(self, state: Mapping[str, Tensor]) -> None:
        """Begin fc6 and fc7 with the layers of an ImageNet VGG-16, where the state dict holds them and they fit."""
        for layer, name in ((self.fc6, "classifier.0"), (self.fc7, "classifier.3")):
            weight, bias = state.get(f"{name}.weight"), state.get(f"{name}.bias")
            if weight is None or bias is None or weight.numel() != layer.weight.numel():
                return
            layer.load_state_dict({"weight": linear_to_conv(weight, layer.kernel_size[0]), "bias": bias})


def _check_padding(padding: int, upsampler: str) -> None:
    if padding > 1:
        raise ModelError(
            f"upsampler {upsampler!r} needs units at the positions of padding 1, got padding {padding}; leave it "
            "out, or use upsampler 'aligned' or 'transposed'"
        )


def _fuse(coarse: Tensor, fine: Tensor, crop: nn.Module) -> Tensor:
    """Return the sum of two score maps on the grid of the map that begins later."""
    summed: Tensor = coarse + crop(fine, coarse) if crop.start else crop(coarse, fine) + fine
    return summed


def _zeros(inputs: int, outputs: int) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, 1)
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def unit_positions(padding: int) -> dict[int, float]:
    """Return the centre of unit 0 of pool3 (key 8), pool4 (16) and fc7 (32), in pixels of the input.

    >>> unit_positions(100)
    {8: -95.5, 16: -91.5, 32: 12.5}
    """
    pools = {stride: (stride - 1) / 2 - (padding - 1) for stride in (8, 16, 32)}
    fc6_padding = 0 if padding > 1 else 3
    return {**pools, 32: pools[32] + 32 * (3 - fc6_padding)}


def cuts(padding: int, skips: int) -> tuple[list[tuple[int, int]], int]:
    """Return the pixels to cut off so that all scores lie on the centres of their fields.

    The first result holds for each 2x deconvolution its own pixels and those of the finer scores, the second the
    pixels of the last deconvolution.

    >>> cuts(100, 0), cuts(100, 1), cuts(100, 2)
    (([], 19), ([(0, 5)], 27), ([(0, 5), (0, 9)], 31))
    """
    at = unit_positions(padding)
    here, stages = at[32], []
    for stride in (16, 8)[:skips]:
        start = here - 1.5 * stride  # start of the deconvolution, whose unit 0 is centred on its output 1.5
        cut = int((at[stride] - start) // stride) if at[stride] > start else 0
        drop = int((start - at[stride]) // stride) if start > at[stride] else 0
        stages.append((cut, drop))
        here = start + cut * stride
    factor = 32 >> skips
    return stages, int(factor - 0.5 - here)


def start_from(network: VGGFCN, earlier: VGGFCN) -> None:
    """Fill a stage with the weights of the stage before it; new layers stay zero, and so its scores are the same.

    The scores of 32s and of a new 16s agree except for the upsampling: a step of 32, or steps of 2 and 16.

    Raises:
        ModelError: the networks differ in more than their stage.
    """
    own, given = network.state_dict(), earlier.state_dict()
    common = [name for name in given if not name.startswith(("upsample", "upsamplers"))]
    if any(name not in own or own[name].shape != given[name].shape for name in common):
        raise ModelError("these are not two stages of one FCN; build both with the same bands, classes and channels")
    network.load_state_dict({**own, **{name: given[name] for name in common}})


def linear_to_conv(weight: Tensor, size: int) -> Tensor:
    """Return the weights (O, C * size * size) of a layer over flattened (C, size, size) maps as those of a kernel."""
    return weight.reshape(weight.shape[0], -1, size, size)
