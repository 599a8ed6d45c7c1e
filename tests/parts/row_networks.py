"""Networks of one operator, for rows."""

from __future__ import annotations

from functools import cache

from torch import nn

from landseg.models.layers.fold import fold_batch_norm
from landseg.models.networks.build import build_network
from tests.parts.streamed import lively

NETWORKS = [
    ("deeplab-v3plus", "efficientnet-lite0"),
    ("deeplab-v3plus", "resnet18"),
    ("fcn32s", "efficientnet-lite0"),
    ("fcn32s", "resnet18"),
]


@cache
def network_of(arch: str, encoder: str) -> nn.Module:
    options = {"decoder_channels": 16} if arch == "deeplab-v3plus" else {}
    network = build_network(arch, encoder=encoder, bands=3, channels=4, **options)
    return fold_batch_norm(lively(network))
