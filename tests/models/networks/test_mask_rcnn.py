"""Mask R-CNN's network: levels that lie where they should, packed without loss, the same in rows as at once."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from landseg.dense.pyramid import Level, Pyramid
from landseg.errors import ModelError
from landseg.models.graph.receptive_field import receptive_field
from landseg.models.networks.backbones import Encoder
from landseg.models.networks.mask_rcnn import RATIOS, STRIDES, MaskRCNN
from landseg.tiling.rows.program import program_of
from landseg.tiling.rows.row_stream import Rows
from tests.parts.streamed import lively

CHANNELS = 6


@cache
def network_of(encoder: str) -> MaskRCNN:
    torch.manual_seed(0)
    options = {"pyramid_channels": CHANNELS, "box_channels": 16, "mask_channels": 8}
    network = MaskRCNN(Encoder(encoder, bands=2, output_stride=32), things=2, **options)
    made = lively(network)
    assert isinstance(made, MaskRCNN)
    return made


def pyramid_of(network: MaskRCNN) -> Pyramid:
    levels = zip(STRIDES, network.offsets, network.anchors, strict=True)
    return Pyramid(tuple(Level(*level) for level in levels), network.channels)


def image(height: int, width: int) -> Tensor:
    return torch.randn(1, 2, height, width, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("encoder", ["resnet18", "efficientnet-lite0", "vgg16"])
@pytest.mark.parametrize("shape", [(70, 101), (64, 33)])
def test_packed_maps_hold_every_unit_of_every_level(encoder: str, shape: tuple[int, int]) -> None:
    network = network_of(encoder)
    with torch.inference_mode():
        packed, levels = network(image(*shape)), network.levels(image(*shape))
    assert packed.shape[2:] == (-(-shape[0] // 32), -(-shape[1] // 32))
    found = pyramid_of(network).unpack(packed[0].numpy(), shape[1])
    for maps, level, stride in zip(found, levels, STRIDES, strict=True):
        expected = torch.cat(level, 1)[0].permute(1, 2, 0).numpy()
        assert expected.shape[1] == -(-shape[1] // stride)
        np.testing.assert_array_equal(maps[: len(expected)], expected)


@pytest.mark.parametrize("encoder", ["resnet18", "efficientnet-lite0"])
@pytest.mark.parametrize(("strip", "chunk", "sections"), [(1, None, 1), (2, 2, 1), (3, None, 2)])
def test_rows_are_those_of_the_whole_image(encoder: str, strip: int, chunk: int | None, sections: int) -> None:
    network, pixels, found = network_of(encoder), image(230, 110), []
    with torch.inference_mode():
        expected = network(pixels)
        options: dict[str, Any] = {"strip": strip, "chunk": chunk, "sections": sections}
        with Rows(program_of(network), (230, 110), bands=2, dtype=torch.float64, **options) as rows:
            for top in range(0, 230, 37):
                found += rows.push(pixels[:, :, top : top + 37])
    torch.testing.assert_close(torch.cat([part for _, part in found], 2), expected, atol=1e-9, rtol=1e-9)
    wrong = torch.cat([part for _, part in found], 2).roll(1, 2)
    assert (wrong - expected).abs().max() > 1e-3


def test_units_sit_at_their_stride() -> None:
    """Move the image by 32 pixels and every level moves by as many units, away from the edges."""
    network, pixels = network_of("resnet18"), image(1600, 64)
    with torch.inference_mode():
        here, there = network.levels(pixels), network.levels(pixels[:, :, 32:])
    for stride, (one, *_), (other, *_) in zip(STRIDES, here, there, strict=True):
        units, middle = 32 // stride, 800 // stride
        torch.testing.assert_close(one[:, :, middle + units], other[:, :, middle])
        assert (one[:, :, middle] - other[:, :, middle]).abs().max() > 1e-3


def test_the_receptive_field_is_bounded_and_begins_every_32_pixels() -> None:
    field = receptive_field(network_of("resnet18"))
    assert field.size is not None and field.stride == 32


def test_heads_have_an_output_for_every_class_and_the_background() -> None:
    network = network_of("resnet18")
    logits, deltas = network.box_head(torch.zeros(5, CHANNELS, 7, 7).double())
    assert logits.shape == (5, 3) and deltas.shape == (5, 12)
    assert network.mask_head(torch.zeros(5, CHANNELS, 14, 14).double()).shape == (5, 3, 28, 28)


def test_anchors_have_the_area_of_their_level() -> None:
    for stride, anchors in zip(STRIDES, network_of("resnet18").anchors, strict=True):
        areas = [width * height / (128 * stride) ** 2 for width, height in anchors]
        assert areas == pytest.approx([1, 1, 1], abs=0.01)
        assert [height / width for width, height in anchors] == pytest.approx(RATIOS, abs=0.02)


def test_units_of_vgg_sit_between_pixels() -> None:
    assert network_of("vgg16").offsets == (1.5, 3.5, 7.5, 15.5) and network_of("resnet18").offsets == (0, 0, 0, 0)


@pytest.mark.parametrize("options", [{"things": 0}, {"things": 1, "pyramid_channels": 0}])
def test_numbers_below_1_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ModelError, match="at least 1"):
        MaskRCNN(Encoder("resnet18", bands=2, output_stride=32), **options)


def test_an_encoder_of_a_finer_output_stride_is_refused() -> None:
    with pytest.raises(ModelError, match="output stride 32"):
        MaskRCNN(Encoder("resnet18", bands=2, output_stride=16), things=1)
