"""Name and options to network."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from landseg.errors import ModelError
from landseg.models.backbones import Encoder, load_encoder_weights
from landseg.models.card import check_options
from landseg.models.deeplab import DeepLabV3, DeepLabV3Plus
from landseg.models.deeplab_v2 import DeepLabV2
from landseg.models.fcn import VGGFCN, FCN32s
from landseg.models.forest import DEPTH, LEAVES, TREES, WINDOWS, PixelForest
from landseg.models.fpn import SemanticFPN
from landseg.models.largefov import LargeFOV
from landseg.models.unet import UNet
from landseg.models.upconv import uneven
from landseg.models.upernet import UPerNet

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Architecture:
    """One entry of the table of networks.

    Attributes:
        make: the network on an encoder; takes ``classes`` and the options.
        options: with their defaults; ``output_stride`` is the encoder's.
        encoders: the only ones it goes with; None for any.
        output_stride: where it is no option.
        pool: of vgg16 in this architecture.
        on_vgg16: the entry for vgg16, where that is another network.
        fixed: what else ``make`` takes.
        fitted: whether it has no encoder and its weights are fitted at once, not learned in steps; ``make`` then
            takes the number of bands.
    """

    make: Callable[..., nn.Module]
    options: Mapping[str, Any]
    encoders: tuple[str, ...] | None = None
    output_stride: int = 32
    pool: int = 2
    on_vgg16: Architecture | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    fitted: bool = False


NO_ENCODER = "none"
"""What stands for the encoder of an architecture that has none."""
PIXEL_FOREST = "pixel-forest"
_UP = {"upsampler": "aligned"}
_FCN = {"head_channels": 4096, "padding": 1, **_UP}
_VGG = ("vgg16",)

ARCHITECTURES: dict[str, Architecture] = {
    "deeplab-v3plus": Architecture(
        DeepLabV3Plus,
        {
            "output_stride": 16,
            "rates": (6, 12, 18),
            "image_pooling": False,
            "decoder_channels": 256,
            "separable": True,
            **_UP,
        },
        pool=3,
    ),
    "deeplab-v3": Architecture(
        DeepLabV3,
        {"output_stride": 16, "rates": None, "image_pooling": False, "head_channels": 256, "separable": False, **_UP},
        pool=3,
    ),
    "deeplab-v2": Architecture(
        DeepLabV2,
        {"output_stride": 8, "rates": (6, 12, 18, 24), "hidden": None, "multi_scale": False, **_UP},
        pool=3,
    ),
    "deeplab-largefov": Architecture(
        LargeFOV, {"kernel": 3, "rate": 12, "head_channels": None, **_UP}, encoders=_VGG, output_stride=8, pool=3
    ),
    "fcn32s": Architecture(
        FCN32s, {"output_stride": 32, **_UP}, on_vgg16=Architecture(VGGFCN, _FCN, encoders=_VGG, fixed={"skips": 0})
    ),
    "fcn16s": Architecture(VGGFCN, {**_FCN, "at_once": False}, encoders=_VGG, fixed={"skips": 1}),
    "fcn8s": Architecture(VGGFCN, {**_FCN, "at_once": False}, encoders=_VGG, fixed={"skips": 2}),
    "fpn": Architecture(SemanticFPN, {"pyramid_channels": 256, "head_channels": 128, "norm": "batch", **_UP}),
    "unet": Architecture(UNet, {"decoder_channels": (256, 128, 64, 32, 16), "attention": "none", **_UP}),
    "upernet": Architecture(UPerNet, {"decoder_channels": 256, "pool_scales": (1, 2, 3, 6), **_UP}),
    PIXEL_FOREST: Architecture(
        PixelForest,
        {"trees": TREES, "leaves": LEAVES, "depth": DEPTH, "windows": WINDOWS},
        encoders=(NO_ENCODER,),
        fitted=True,
    ),
}


def build_network(
    arch: str,
    *,
    encoder: str,
    bands: int,
    classes: int,
    encoder_weights: str | Path | None = None,
    warn: bool = True,
    **options: Any,
) -> nn.Module:
    """Return a network: (N, bands, H, W) float in, logits (N, classes, H, W) out, any H and W of at least 1.

    Where an upsampler covers pixels unevenly, the log says so, once for the network.

    Args:
        arch: one of ``ARCHITECTURES``.
        encoder: one of ``landseg.models.backbones.ENCODERS``, or "timm:NAME"; "none" for "pixel-forest".
        bands: input channels.
        classes: output channels.
        encoder_weights: None (random), "imagenet" or a state-dict file; see ``landseg.models.pretrained``.
        warn: False for a network whose weights are given: it was chosen long ago, and what it learnt is learnt.
        **options: the architecture's, see ``ARCHITECTURES`` for their defaults and the classes for their meaning.

    Raises:
        ModelError: for an unknown name or option, a combination that does not exist, or weights that are missing or
            do not fit.
    """
    for what, number in (("bands", bands), ("classes", classes)):
        if number < 1:
            raise ModelError(f"{what} must be at least 1, got {number}")
    entry = architecture(arch, encoder)
    check_options(options)
    unknown = sorted(set(options) - set(entry.options))
    if unknown:
        raise ModelError(f"{arch} has no option {', '.join(unknown)}; it takes {', '.join(entry.options)}")
    chosen = {**entry.options, **options, **entry.fixed}
    if entry.fitted:
        if encoder_weights is not None:
            raise ModelError(f"{arch} has no encoder that {encoder_weights} could be the weights of; use none")
        return entry.make(bands, classes=classes, **chosen)
    stride = chosen.pop("output_stride", entry.output_stride)
    backbone = Encoder(encoder, bands=bands, output_stride=stride, pool=entry.pool)
    network = entry.make(backbone, classes=classes, **chosen)
    if warn and (covers := uneven(network)):
        _log.warning(
            "%s on %s with upsampler %r: %s; it starts out even and may unlearn that: \"bilinear\" and \"nearest\" "
            "cannot, nor can \"shuffle\" on units that sit on pixels",
            arch, encoder, chosen["upsampler"], covers,
        )  # fmt: skip
    if encoder_weights is not None:
        state = load_encoder_weights(backbone, encoder, encoder_weights)
        if isinstance(network, VGGFCN):
            network.take_classifier(state)
    return network


def is_fitted(arch: str) -> bool:
    """Return whether an architecture is fitted at once, without an encoder; False for names that are none."""
    return arch in ARCHITECTURES and ARCHITECTURES[arch].fitted


def architecture(arch: str, encoder: str) -> Architecture:
    """Return the entry that an architecture has for an encoder.

    Raises:
        ModelError: there is none of that name, or it does not go with the encoder.
    """
    if arch not in ARCHITECTURES:
        raise ModelError(f"there is no architecture {arch!r}; use one of {', '.join(ARCHITECTURES)}")
    entry = ARCHITECTURES[arch]
    if encoder == "vgg16" and entry.on_vgg16 is not None:
        return entry.on_vgg16
    if entry.fitted and encoder != NO_ENCODER:
        raise ModelError(f"{arch} has no encoder, got {encoder}; leave it out, or write {NO_ENCODER!r}")
    if entry.encoders is not None and encoder not in entry.encoders:
        raise ModelError(
            f"{arch} is a network on {' or '.join(entry.encoders)}, not on {encoder}; use it, or another architecture"
        )
    return entry
