"""Networks run in windows."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from landseg.models.layers.aligned import ChannelNorm
from landseg.models.layers.fold import fold_batch_norm
from landseg.models.layers.upsampler import Cascade
from landseg.tiling.windows import plan_windows
from tests.parts.networks import LEARNT, small
from tests.parts.streamed import lively, whole

NETWORKS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "fcn32s": ("fcn32s", "vgg16", {}),
    "fcn16s": ("fcn16s", "vgg16", {"padding": 100}),
    "fcn8s": ("fcn8s", "vgg16", {"at_once": True}),
    "largefov": ("deeplab-largefov", "vgg16", {}),
    "v2": ("deeplab-v2", "resnet18", {}),
    "v2, three scales": ("deeplab-v2", "resnet18", {"multi_scale": True}),
    "v3": ("deeplab-v3", "mobilenet-v2", {"output_stride": 8}),
    "v3plus": ("deeplab-v3plus", "vgg16", {"output_stride": 32}),
    "fpn": ("fpn", "resnet18", {}),
    "fpn on half-way units": ("fpn", "vgg16", {}),
    "unet": ("unet", "resnet18", {}),
    "unet on half-way units": ("unet", "vgg16", {}),
    "upernet without pooling": ("upernet", "resnet18", {"pool_scales": ()}),
}


learnt = [f"{arch} on {encoder}, {options['upsampler']}" for arch, encoder, options in LEARNT]


def slim(network: nn.Module) -> nn.Module:
    """The same graph with a few channels everywhere and no norms: what is tested is where, not what.

    Activations are leaky, so that these are enough to let every pixel through.
    """
    learnt = {up for ups in network.modules() if isinstance(ups, Cascade) for up in ups.modules()}
    for parent in [module for module in network.modules() if module not in learnt]:
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d):
                how = {key: getattr(child, key) for key in ("stride", "padding", "dilation")}
                setattr(parent, name, nn.LazyConv2d(2 if child.out_channels == 2 else 4, child.kernel_size, **how))  # type: ignore[arg-type]
            elif isinstance(child, nn.modules.batchnorm._BatchNorm | ChannelNorm | nn.ReLU | nn.ReLU6):
                setattr(parent, name, nn.LeakyReLU(0.4))
    network.eval()(torch.zeros(1, 3, 8, 8))
    return network


@cache
def network_of(name: str) -> nn.Module:
    arch, encoder, options = NETWORKS[name]
    network = small(arch, encoder, **options)
    # A U-Net's learned upsamplers work on the encoder's own features, which then have to stay as many as they are.
    whole_encoder = arch == "unet" and any(isinstance(module, Cascade) for module in network.modules())
    return fold_batch_norm(lively(network if whole_encoder else slim(network)))


def windowed(network: nn.Module, x: Tensor, *, halo: int, stride: int) -> Tensor:
    """Logits put together from windows as narrow as the halo lets them be."""
    height, width = x.shape[2:]
    made = torch.empty(1, 2, height, width, dtype=x.dtype)
    window = (height + -height % stride, 2 * halo + stride)
    plan = plan_windows((height, width), window=window, halo=halo, stride=stride)
    for piece in plan:
        at, core = piece.rect, piece.core
        logits = whole(network, x[:, :, at.top : at.bottom, at.left : at.right])
        inside = core.relative_to(at)
        made[(..., *core.slices)] = logits[(..., *inside.slices)]
    assert len(plan) > 1
    return made
