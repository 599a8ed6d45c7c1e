"""The networks, built by name and options."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from landseg.errors import ModelError
from landseg.models.layers.upconv import uneven
from landseg.models.networks.backbones import Encoder, load_encoder_weights
from landseg.models.networks.catalogue import ARCHITECTURES, architecture, check_options
from landseg.models.networks.deeplab import DeepLabV3, DeepLabV3Plus
from landseg.models.networks.deeplab_v2 import DeepLabV2
from landseg.models.networks.fcn import VGGFCN, FCN32s
from landseg.models.networks.fpn import SemanticFPN
from landseg.models.networks.largefov import LargeFOV
from landseg.models.networks.mask_rcnn import MaskRCNN
from landseg.models.networks.panoptic_fpn import PanopticFPN
from landseg.models.networks.pixel_forest import PixelForest
from landseg.models.networks.point_fpn import PointFPN
from landseg.models.networks.unet import UNet
from landseg.models.networks.upernet import UPerNet

__all__ = ["ARCHITECTURES", "architecture", "build_network"]

_log = logging.getLogger(__name__)


_CLASSES: dict[str, Callable[..., nn.Module]] = {
    made.__name__: made
    for made in (DeepLabV3Plus, DeepLabV3, DeepLabV2, LargeFOV, FCN32s, VGGFCN, SemanticFPN, UNet, UPerNet, PointFPN)
}


def _mask_rcnn(encoder: Encoder, *, classes: int, **options: Any) -> MaskRCNN:
    return MaskRCNN(encoder, pyramid_channels=MaskRCNN.channels_of(classes), **options)


def _panoptic_fpn(encoder: Encoder, *, classes: int, stuff: int, **options: Any) -> PanopticFPN:
    channels = PanopticFPN.channels_beside(classes, stuff)
    return PanopticFPN(encoder, stuff=stuff, pyramid_channels=channels, **options)


_CLASSES |= {"MaskRCNN": _mask_rcnn, "PanopticFPN": _panoptic_fpn}


def build_network(
    arch: str,
    *,
    encoder: str,
    bands: int,
    channels: int,
    encoder_weights: str | Path | None = None,
    warn: bool = True,
    **options: Any,
) -> nn.Module:
    """Return a network: from floats (N, bands, H, W) to (N, channels, H, W), for any H and W of at least 1.

    If an upsampler covers pixels unevenly, the log has a warning, once for the network.

    Args:
        arch: one of ``ARCHITECTURES``.
        encoder: one of ``ENCODERS``, or "timm:NAME"; "none" for "pixel-forest".
        bands: number of input channels.
        channels: number of channels of the output, for example one for each class.
        encoder_weights: None (random), "imagenet" or a state-dict file; see ``landseg.models.networks.pretrained``.
        warn: False for a network that gets trained weights, for which the warning comes too late.
        **options: options of the architecture, see ``ARCHITECTURES`` (defaults) and the classes (meaning).

    Raises:
        ModelError: a name or option is unknown, a combination does not exist, or weights are missing or do not fit.
    """
    for what, number in (("bands", bands), ("channels", channels)):
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
        return PixelForest(bands, classes=channels, **chosen)
    stride = chosen.pop("output_stride", entry.output_stride)
    backbone = Encoder(encoder, bands=bands, output_stride=stride, pool=entry.pool)
    network = _CLASSES[entry.network](backbone, classes=channels, **chosen)
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
