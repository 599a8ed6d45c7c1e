"""Every network, small, and the check of where its outputs lie."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from landseg.models.graph.receptive_field import receptive_field
from landseg.models.layers.upconv import UPCONVOLUTIONS
from landseg.models.networks.build import ARCHITECTURES, architecture, build_network
from tests.parts.evidence import centroid, evidence_of, span, thin

NARROW = {"head_channels": 4, "decoder_channels": 4, "pyramid_channels": 4, "hidden": 4}


# What an architecture that sees the whole input by default is bounded by.
BOUNDED: dict[str, dict[str, Any]] = {"upernet": {"pool_scales": ()}}


# Every architecture with every upconvolution, on the smallest encoder of either geometry that it goes with.
SMALLEST = [
    *((arch, "resnet18") for arch, entry in ARCHITECTURES.items() if entry.encoders is None),
    *((arch, "vgg16") for arch in ("fcn32s", "fcn16s", "fcn8s", "fpn", "deeplab-largefov")),
]


HALFWAY = {("unet", "vgg16"), ("fcn32s", "vgg16"), ("fcn16s", "vgg16"), ("fcn8s", "vgg16"), ("fpn", "vgg16")}


LEARNT = [
    (arch, encoder, {**BOUNDED.get(arch, {}), "upsampler": kind})
    for arch, encoder in SMALLEST
    for kind in UPCONVOLUTIONS
    if kind != "unpool" or (arch, encoder) not in HALFWAY
]


def small(arch: str, encoder: str, **options: Any) -> nn.Module:
    """The network for three bands and two classes, as narrow as its options let it be."""
    taken = architecture(arch, encoder).options
    narrow: dict[str, Any] = {name: value for name, value in NARROW.items() if name in taken}
    if arch == "unet":
        narrow["decoder_channels"] = (4,) * 5
    return build_network(arch, encoder=encoder, bands=3, channels=2, **{**narrow, **options})


def check_alignment(network: nn.Module) -> tuple[int, int]:
    """The widest reach over all phases; the evidence's centroid must be the pixel at each of them."""
    field = receptive_field(network)
    size = field.radius if field.radius is not None else 0
    start = -(-(size + 40) // field.stride) * field.stride  # the first phase whose whole field lies inside
    width, probe, low, high = start + field.stride + size + 40, thin(network), 0, 0
    for first in range(start, start + field.stride, 8):
        columns = range(first, first + 8)
        found = evidence_of(probe, columns, width=width)
        for column, weights in zip(columns, found, strict=True):
            error = centroid(weights) - column
            assert abs(error) <= 0.1, f"phase {column - start}: {error:+.2f} px"
            left, right = span(weights)
            low, high = min(low, left - column), max(high, right - column)
    return low, high


class _Moved(nn.Module):
    """A layer whose result is moved by some units."""

    def __init__(self, layer: nn.Module, units: int) -> None:
        super().__init__()
        self.layer, self.units = layer, units

    def forward(self, *inputs: Tensor) -> Tensor:
        moved: Tensor = self.layer(*inputs).roll(self.units, dims=-1)
        return moved
