"""Every architecture on every encoder: predictions sit on their evidence, in a field that arithmetic knows."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from landseg.errors import ModelError
from landseg.models.graph.receptive_field import receptive_field
from landseg.models.layers.upconv import UPCONVOLUTIONS
from landseg.models.layers.upsample import AlignedUpsample
from landseg.models.layers.upsampler import Cascade, upsampler
from landseg.models.networks.backbones import ENCODERS
from landseg.models.networks.build import ARCHITECTURES, build_network
from tests.parts.evidence import centroid, evidence_of, thin
from tests.parts.networks import BOUNDED, LEARNT, _Moved, check_alignment, small

CASES: list[tuple[str, str, dict[str, Any]]] = [
    (arch, encoder, BOUNDED.get(arch, {}))
    for arch, entry in ARCHITECTURES.items()
    for encoder in sorted(ENCODERS)
    if entry.encoders is None or encoder in entry.encoders
]
CASES += [
    ("deeplab-v2", "resnet18", {"multi_scale": True}),
    ("deeplab-v2", "vgg16", {"multi_scale": True}),
    ("deeplab-v3plus", "resnet18", {"output_stride": 8}),
    ("deeplab-v3plus", "resnet18", {"output_stride": 32, "separable": False}),
    ("deeplab-v3", "resnet18", {"output_stride": 8}),
    ("fcn32s", "resnet18", {"output_stride": 8}),
    ("fcn32s", "vgg16", {"padding": 100}),
    ("fcn16s", "vgg16", {"padding": 100}),
    ("fcn8s", "vgg16", {"padding": 100}),
    ("fcn8s", "vgg16", {"at_once": True}),
    ("fcn16s", "vgg16", {"padding": 100, "upsampler": "transposed"}),
    ("deeplab-v3plus", "resnet18", {"output_stride": 32, "upsampler": "shuffle"}),
    ("deeplab-v2", "resnet18", {"multi_scale": True, "upsampler": "nearest"}),
    ("deeplab-largefov", "vgg16", {"kernel": 7, "rate": 4}),
    ("deeplab-largefov", "vgg16", {"kernel": 4, "rate": 4}),
    ("deeplab-largefov", "vgg16", {"kernel": 4, "rate": 8}),
    ("deeplab-v3plus", "timm:mobileone_s0", {}),
]
CASES += LEARNT
QUICK = {"resnet18", "vgg16", "efficientnet-lite0"}


@pytest.mark.parametrize(
    ("arch", "encoder", "options"),
    [pytest.param(*case, marks=pytest.mark.slow if case[1] not in QUICK else (), id=str(case)) for case in CASES],
)
def test_predictions_sit_on_their_evidence(arch: str, encoder: str, options: dict[str, Any]) -> None:
    network = small(arch, encoder, **options)
    field = receptive_field(network)
    low, high = check_alignment(network)
    assert field.offset == 0.0
    assert field.radius is not None and field.size is not None
    if options.get("multi_scale"):  # the widest phases of two resizings in a row need not meet
        assert field.radius - 4 <= high <= field.radius and field.radius - 4 <= -low <= field.radius
    else:
        assert -low == high == field.radius and field.size == 2 * field.radius + 1


@pytest.mark.parametrize(
    ("arch", "encoder", "options", "branch", "units"),
    [
        ("deeplab-v3plus", "vgg16", {}, "to_low_level", 1),  # 4 px
        ("fpn", "resnet18", {}, "up.3.2", 1),
        ("deeplab-v2", "resnet18", {"multi_scale": True}, "enlarge.1", 1),
        ("deeplab-v3", "resnet18", {}, "upsample", 4),
        ("deeplab-largefov", "vgg16", {}, "upsample", 4),
        ("fcn8s", "vgg16", {}, "upsamplers.1", 1),
        ("fcn16s", "vgg16", {"padding": 100}, "upsample", 1),
        ("fcn32s", "vgg16", {}, "upsample", 1),
        ("unet", "resnet18", {}, "ups.2", 1),
        ("unet", "vgg16", {}, "ups.4", 1),
        ("upernet", "resnet18", {"pool_scales": ()}, "down.0", 1),
        ("upernet", "resnet18", {"pool_scales": ()}, "ups.0", 1),
        ("deeplab-v3plus", "resnet18", {"upsampler": "shuffle"}, "to_low_level.steps.1.conv", 1),
        ("fpn", "resnet18", {"upsampler": "transposed"}, "up.3.2.steps.0.conv", 1),
        ("fpn", "vgg16", {"upsampler": "fractional"}, "upsample.steps.1.conv", 1),
        ("deeplab-v2", "resnet18", {"upsampler": "unpool"}, "upsample.steps.2.conv", 1),
        ("fcn8s", "vgg16", {"upsampler": "nearest"}, "upsamplers.1.steps.0.conv", 1),
        ("fcn32s", "vgg16", {"upsampler": "bilinear"}, "upsample.steps.4.conv", 1),
    ],
)
def test_twin_a_moved_branch_is_found_out(
    arch: str, encoder: str, options: dict[str, Any], branch: str, units: int
) -> None:
    network = small(arch, encoder, **options)
    field = receptive_field(network)
    probe = thin(network)
    parent, _, name = branch.rpartition(".")
    setattr(probe.get_submodule(parent), name, _Moved(probe.get_submodule(branch), units))
    start = -(-(field.radius or 0) // field.stride + 2) * field.stride
    (weights,) = evidence_of(probe, [start], width=2 * start + 64)
    assert abs(centroid(weights) - start) > 0.5


def test_twin_the_wrong_geometry_of_units_is_found_out() -> None:
    """VGG's units upsampled as if they sat at stride x index, which is what ResNet's do."""
    network = small("fpn", "vgg16")
    network.upsample = AlignedUpsample(4)
    with pytest.raises(AssertionError, match="phase"):
        check_alignment(network)


@pytest.mark.parametrize("kind", [kind for kind in UPCONVOLUTIONS if kind != "unpool"])
def test_twin_upconvolutions_for_the_other_geometry_are_found_out(kind: str) -> None:
    network = small("fpn", "vgg16")
    network.upsample = upsampler(kind, 2, factor=4, halfway=False)
    with pytest.raises(AssertionError, match="phase"):
        check_alignment(network)
    network.upsample = upsampler(kind, 2, factor=4, halfway=True)
    check_alignment(network)


@pytest.mark.parametrize("kind", ["transposed", "shuffle"])
def test_twin_upconvolutions_that_begin_at_random_or_nearest_are_found_out(kind: str) -> None:
    """What is proved at every phase is the start: layers alone only fix the mean over the phases."""
    network = small("fpn", "vgg16")
    first, last = (UPCONVOLUTIONS[kind](2, 2, 2, 0.5, None) for _ in range(2))
    if kind == "transposed":
        for layer in (first, last):
            layer.conv.weight.data.uniform_(generator=torch.Generator().manual_seed(1))  # type: ignore[union-attr]
    network.upsample = Cascade([first, last])
    with pytest.raises(AssertionError, match="phase"):
        check_alignment(network)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arch": "fcn8s", "encoder": "resnet18"}, "fcn8s is a network on vgg16, not on resnet18"),
        ({"arch": "fcn8s", "padding": 50}, "padding must be 1 .* or 100 .*, got 50"),
        ({"arch": "fcn32s", "output_stride": 8}, "has no option output_stride"),
        ({"arch": "deeplab-v3plus", "upsampler": "deconv"}, "there is no upsampler 'deconv'; use one of aligned, n"),
        ({"arch": "fcn8s", "upsampler": "deconv", "padding": 100}, "there is no upsampler 'deconv'"),
        ({"arch": "fcn8s", "upsampler": ["aligned"]}, r"there is no upsampler \['aligned'\]"),
        (
            {"arch": "fcn8s", "upsampler": "shuffle", "padding": 100},
            "got padding 100; leave it out, or use upsampler",
        ),
        ({"arch": "fcn32s", "upsampler": "unpool"}, "units between pixels needs .* use 'shuffle' or 'transposed'"),
        ({"arch": "fpn", "upsampler": "unpool"}, "an encoder whose units sit on pixels"),
        ({"arch": "deeplab-largefov", "kernel": 4, "rate": 1}, "its middle between two units"),
        ({"arch": "deeplab-largefov", "kernel": 0}, "kernel must be a whole number of at least 1, got 0"),
        ({"arch": "fpn", "norm": "layer"}, "norm must be 'batch' or 'group'"),
        ({"arch": "fpn", "norm": "group", "head_channels": 20}, "32 divides, got 20"),
        ({"arch": "deeplab-v2", "rates": ()}, "rates must be"),
        ({"arch": "unet", "decoder_channels": (64, 32)}, r"takes 5 numbers, .* such as .*, got \[64, 32\]"),
        ({"arch": "unet", "decoder_channels": 256}, r"takes 5 numbers, .*, got \[256\]"),
        ({"arch": "unet", "decoder_channels": (64, 32, 16, 8, 0)}, "whole number of at least 1, got 0"),
        ({"arch": "unet", "attention": "cbam"}, "attention must be 'none' or 'scse', got 'cbam'"),
        ({"arch": "unet", "attention": "scse", "decoder_channels": (64, 64, 32, 16, 8)}, "at least 16, got"),
        ({"arch": "unet", "output_stride": 16}, "unet has no option output_stride; it takes decoder_channels, atten"),
        ({"arch": "unet", "upsampler": "unpool"}, "an encoder whose units sit on pixels"),
        ({"arch": "upernet", "decoder_channels": 0}, "whole number of at least 1, got 0"),
        ({"arch": "upernet", "pool_scales": (1, 0)}, "pool_scales must be a whole number of at least 1, got 0"),
        ({"arch": "upernet", "pool_scales": 6}, "pool_scales must be a list of whole numbers such as"),
        ({"arch": "deeplab-v3", "encoder": "timm:nosuch"}, "timm has no encoder 'nosuch'"),
        ({"arch": "deeplab-v3", "encoder": "timm:hf-hub:who/what"}, "there is no encoder"),
        ({"arch": "deeplab-v3plus", "encoder": "timm:convnext_atto"}, "use output_stride 32"),
        ({"arch": "fpn", "encoder": "timm:densenet121"}, "no grid that landseg aligns"),
        ({"arch": "fpn", "encoder": "timm:tf_efficientnet_lite0"}, "cannot be traced"),
    ],
)
def test_what_does_not_go_together_gets_a_sentence(change: dict[str, Any], message: str) -> None:
    chosen = {"encoder": "vgg16", "bands": 3, "channels": 2, **change}
    with pytest.raises(ModelError, match=message):
        build_network(chosen.pop("arch"), **chosen)


def test_unbounded_networks_name_their_layer() -> None:
    for options, layer in (({"norm": "group", "head_channels": 32}, "branches.0.0.1"), ({}, None)):
        field = receptive_field(small("fpn", "resnet18", **options))
        assert (field.unbounded_by or "").startswith(layer or "") and (field.radius is None) == (layer is not None)
    assert "pool" in (receptive_field(small("deeplab-v3", "resnet18", image_pooling=True)).unbounded_by or "")
    attentive = {"attention": "scse", "decoder_channels": (16,) * 5}
    for arch, options, layer in (("unet", attentive, "blocks.0.attention1"), ("upernet", {}, "psp.bl")):
        field = receptive_field(small(arch, "resnet18", **options))
        assert (field.unbounded_by or "").startswith(layer) and field.halo is None and field.stride == 32
