"""Encoders: pyramids of features with exact dilation and known geometry, landseg's own and those of libraries.

No other module imports segmentation_models_pytorch, and this one does only for networks that need it: the library
takes over a second to import. Weights are in landseg.models.networks.pretrained.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from landseg.errors import ModelError
from landseg.models.layers.aligned import PadToMultiple
from landseg.models.layers.upsampler import upsampler
from landseg.models.networks.atrous import convert_stride_to_dilation
from landseg.models.networks.catalogue import ENCODERS, check_encoder
from landseg.models.networks.efficientnet_lite import VARIANTS, EfficientNetLite
from landseg.models.networks.pretrained import load_encoder_weights
from landseg.models.networks.vgg import CHANNELS, VGG16

__all__ = ["ENCODERS", "Encoder", "decoder_class", "initialize_as_the_library", "load_encoder_weights"]

_STRIDES = (2, 4, 8, 16, 32)


def decoder_class(module: str, name: str) -> Any:
    """Return a class of segmentation_models_pytorch's decoders, by its module and name."""
    return getattr(import_module(f"segmentation_models_pytorch.decoders.{module}"), name)


def initialize_as_the_library(decoder: nn.Module, head: nn.Module) -> None:
    """Fill a decoder and its last layer with the initial weights that segmentation_models_pytorch gives them."""
    from segmentation_models_pytorch.base import initialization

    initialization.initialize_decoder(decoder)
    initialization.initialize_head(head)


class Encoder(nn.Module):
    """Features at the strides 2, 4, 8, 16 and 32, none of them above ``output_stride``.

    ``forward`` takes (N, bands, H, W) and returns five tensors; the one at nominal stride s has
    ``ceil(H / min(s, output_stride))`` rows, or more where ``fills``. ``channels`` and ``strides`` describe them in
    that order. If a timm encoder begins with stride 4, the first tensor is the input itself.

    Attributes:
        halfway: False if a unit of stride s sits at input pixel ``s * f``, True if at ``s * f + (s - 1) / 2``.
        fills: True if the encoder floors sizes, so that the input is filled with zeros to a multiple of 32.

    Args:
        name: one of ``ENCODERS``, or "timm:NAME".
        bands: input channels.
        output_stride: 8, 16 or 32.
        pool: pools of `VGG16`; other encoders ignore it.

    Raises:
        ModelError: the name is unknown, or the network cannot be an encoder of landseg; with the reason.
    """

    def __init__(self, name: str, *, bands: int, output_stride: int, pool: int = 2) -> None:
        super().__init__()
        check_encoder(name)
        if output_stride not in (8, 16, 32):
            raise ModelError(f"output_stride must be 8, 16 or 32, got {output_stride}")
        self.name, self.halfway, self.fills = name, name == "vgg16" and pool == 2, False
        if self.halfway and output_stride != 32:
            raise ModelError(
                f"the 2 x 2 pools of vgg16 leave its units between pixels at output_stride {output_stride}; use "
                "output_stride 32, or an architecture of the deeplab family, whose vgg16 has 3 x 3 pools"
            )
        self.strides = tuple(min(s, output_stride) for s in _STRIDES)
        self.channels: tuple[int, ...]
        self._headless = False
        self.body: nn.Module
        self._own = not ENCODERS.get(name, "of a library")
        if name == "vgg16":
            self.body, self.channels = VGG16(bands, pool=pool), CHANNELS
        elif name in VARIANTS:
            self.body = made = EfficientNetLite(VARIANTS[name], bands)
            self.channels = made.channels
        else:
            self._wrap(name, bands)
        convert_stride_to_dilation(self._core, output_stride)
        self.fill: nn.Module = nn.Identity()
        if name.startswith("timm:"):
            self._measure()

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.fill(x)
        if self._headless:
            return [x, *self._core(x)]
        features = self.body(x)
        return list(features if self._own else features[1:])

    def upsampler(self, factor: int, kind: str = "aligned", *, channels: int = 0) -> nn.Module:
        """Return the layer that brings so many ``channels`` of units to a grid ``factor`` times finer."""
        return upsampler(kind, channels, factor=factor, halfway=self.halfway)

    def downloaded(self) -> dict[str, Tensor]:
        """Return timm's state dict for three bands, from its hub."""
        from segmentation_models_pytorch.encoders import get_encoder

        wrapped = f"tu-{self.name.removeprefix('timm:')}"
        return dict(get_encoder(wrapped, in_channels=3, depth=5, weights=True).state_dict())

    @property
    def _core(self) -> nn.Module:
        return self.body.get_submodule("model") if self._headless else self.body

    def _wrap(self, name: str, bands: int) -> None:
        from segmentation_models_pytorch.encoders import get_encoder

        wrapped = ENCODERS.get(name) or f"tu-{name.removeprefix('timm:')}"
        try:
            self.body = get_encoder(wrapped, in_channels=bands, depth=5, weights=None)
        except Exception as error:
            raise ModelError(
                f"timm has no encoder {name.removeprefix('timm:')!r} that gives features at the strides 4 to 32 "
                f"({error}); choose another"
            ) from error
        self._headless = bool(getattr(self.body, "_is_transformer_style", False))
        if self._headless and getattr(self.body, "_is_channel_last", False):
            raise ModelError(f"{name} works on windows of its own; choose a convolutional encoder")
        self.channels = tuple(self.body.out_channels[1:])  # type: ignore[index]
        if self._headless:
            self.channels, self.strides = (bands, *self.channels[1:]), (1, *self.strides[1:])

    def _measure(self) -> None:
        """Measure the positions of units and the rounding of sizes of a timm encoder; refuse what fits no grid."""
        from landseg.models.graph.receptive_field import feature_fields

        found = feature_fields(self)[-len(self.strides) + self._headless :]
        expected = self.strides[self._headless :]
        places = [field.offset for field in found]
        self.halfway = places == [(stride - 1) / 2 for stride in expected]
        strides = [field.stride for field in found]
        if len(found) != len(expected):
            raise ModelError(
                f"{self.name} gives its features in a form that landseg cannot follow ({len(found)} of "
                f"{len(expected)} found in its graph); choose another encoder"
            )
        if strides != list(expected) or not (self.halfway or not any(places)):
            raise ModelError(
                f"{self.name} puts its units at pixels {places} + {strides} x index, which is no grid that landseg "
                "aligns; choose an encoder with odd kernels, padded on both sides"
            )
        if apart := max(field.apart for field in found):
            raise ModelError(
                f"{self.name} adds up units that sit up to {apart:g} pixels apart (such as a pool over pairs and a "
                "convolution around every second unit), which no upsampling puts right; choose an encoder whose "
                "shortcuts have no pools, such as timm:resnet18 for timm:resnet18d"
            )
        if self.halfway and max(self.strides) < 32:
            raise ModelError(f"{self.name} has even kernels and cannot be dilated exactly; use output_stride 32")
        if not (self._fits(33, 47) and self._fits(1, 1)):
            self.fill, self.fills = PadToMultiple(32), True
            if not self._fits(33, 47):
                raise ModelError(f"{self.name} cannot take images of every size; choose another encoder")

    def _fits(self, height: int, width: int) -> bool:
        """Return True if the features of an image of this size cover the image."""
        was, bands = self.training, next(p for p in self.parameters() if p.ndim == 4).shape[1]
        try:
            with torch.inference_mode():
                features = self.eval()(torch.zeros(1, bands, height, width))
        except RuntimeError:
            return False
        finally:
            self.train(was)
        if self.fills:
            height, width = height + -height % 32, width + -width % 32
        sizes = [tuple(feature.shape[2:]) for feature in features]
        return sizes == [(-(-height // s), -(-width // s)) for s in self.strides]
