"""Panoptic FPN's network: the maps of Mask R-CNN and the logits of Semantic FPN, the same in rows as at once."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from landseg.classes import ClassMap, LandClass
from landseg.dense.panoptic import PanopticTask
from landseg.errors import ModelError
from landseg.models.graph.receptive_field import receptive_field
from landseg.models.networks.backbones import Encoder
from landseg.models.networks.build import build_network
from landseg.models.networks.fpn import SemanticFPN
from landseg.models.networks.mask_rcnn import MaskRCNN
from landseg.models.networks.panoptic_fpn import PanopticFPN
from landseg.tiling.rows.program import program_of
from landseg.tiling.rows.row_stream import Rows
from tests.parts.streamed import lively

CHANNELS, STUFF = 6, 2
BOXES: dict[str, Any] = {"pyramid_channels": CHANNELS, "box_channels": 16, "mask_channels": 8}


@cache
def network_of(encoder: str) -> PanopticFPN:
    torch.manual_seed(0)
    made = PanopticFPN(Encoder(encoder, bands=2, output_stride=32), things=2, stuff=STUFF, head_channels=8, **BOXES)
    found = lively(made)
    assert isinstance(found, PanopticFPN)
    return found


def image(height: int, width: int) -> Tensor:
    return torch.randn(1, 2, height, width, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("encoder", ["resnet18", "vgg16"])
def test_levels_are_those_of_mask_rcnn_and_logits_those_of_semantic_fpn(encoder: str) -> None:
    network, weights = network_of(encoder), network_of(encoder).state_dict()
    boxes = MaskRCNN(Encoder(encoder, bands=2, output_stride=32), things=2, **BOXES)
    options: dict[str, Any] = {"pyramid_channels": CHANNELS, "head_channels": 8, "norm": "batch"}
    classes = SemanticFPN(
        Encoder(encoder, bands=2, output_stride=32), classes=STUFF + 1, upsampler="aligned", **options
    )
    for other in (boxes, classes):
        other.double().eval().load_state_dict({name: weights[name] for name in other.state_dict()})
    with torch.inference_mode():
        packed, levels = network(image(70, 101)), boxes(image(70, 101))
        assert torch.equal(packed[:, : levels.shape[1]], levels)
        logits = torch.nn.functional.pixel_shuffle(packed[:, levels.shape[1] :], 32)
        expected = classes(image(70, 101))
        assert logits.shape == (1, STUFF + 1, 96, 128) and torch.equal(logits[..., :70, :101], expected)


@pytest.mark.parametrize(("strip", "chunk", "sections"), [(1, None, 1), (2, 2, 2)])
def test_rows_are_those_of_the_whole_image(strip: int, chunk: int | None, sections: int) -> None:
    network, pixels, found = network_of("resnet18"), image(230, 110), []
    with torch.inference_mode():
        expected = network(pixels)
        options: dict[str, Any] = {"strip": strip, "chunk": chunk, "sections": sections}
        with Rows(program_of(network), (230, 110), bands=2, dtype=torch.float64, **options) as rows:
            for top in range(0, 230, 37):
                found += rows.push(pixels[:, :, top : top + 37])
    made = torch.cat([part for _, part in found], 2)
    torch.testing.assert_close(made, expected, atol=1e-9, rtol=1e-9)
    assert (made.roll(1, 2) - expected).abs().max() > 1e-3  # the twin: one row of units too low


def test_its_field_is_bounded_at_stride_32() -> None:
    field = receptive_field(network_of("resnet18"))
    assert (field.stride, field.unbounded_by) == (32, None) and field.halo is not None


def test_it_is_built_for_its_task() -> None:
    classes = [LandClass(1, "ground", (1, 1, 1)), LandClass(2, "house", (2, 2, 2), thing=True)]
    classes += [LandClass(3, "water", (3, 3, 3)), LandClass(4, "tree", (4, 4, 4), thing=True)]
    task = PanopticTask(ClassMap(tuple(classes)), {"features": 5})
    assert task.network_options == {"things": 2, "stuff": 2}
    built: dict[str, Any] = {"encoder": "resnet18", "bands": 1, "box_channels": 8, "mask_channels": 8}
    made = build_network("panoptic-fpn", channels=task.heads.total, head_channels=8, **task.network_options, **built)
    assert isinstance(made, PanopticFPN) and (made.channels, made.stuff, made.things) == (5, 2, 2)
    with torch.inference_mode():
        assert made.eval()(torch.zeros(1, 1, 64, 40)).shape == (1, task.heads.total, 2, 2)
    for channels in (3, task.heads.total + 1):
        with pytest.raises(ModelError, match=r"panoptic-fpn has .* use it for the task panoptic"):
            build_network("panoptic-fpn", channels=channels, **built)


@pytest.mark.parametrize(
    ("options", "stride", "sentence"),
    [
        ({"stuff": 0}, 32, "stuff"),
        ({"head_channels": 0}, 32, "head_channels"),
        ({}, 16, "panoptic-fpn needs an encoder at output stride 32"),
    ],
)
def test_options_that_make_no_network_are_refused(options: dict[str, Any], stride: int, sentence: str) -> None:
    encoder = Encoder("resnet18", bands=2, output_stride=stride)
    with pytest.raises(ModelError, match=sentence):
        PanopticFPN(encoder, **{"things": 1, "stuff": 1, **BOXES, **options})


def test_the_task_takes_the_logits_of_each_pixel() -> None:
    """The class of a pixel without an object is the best one of stuff, whatever the logit of things."""
    table = [LandClass(value, str(value), (0, 0, 0), thing=value == 2) for value in (1, 2, 3)]
    task = PanopticTask(ClassMap(tuple(table)), {"features": CHANNELS})
    network, pixels = network_of("resnet18"), image(70, 101)
    with torch.inference_mode():
        packed, (_, logits) = network(pixels)[0].float().numpy(), network.levels_and_logits(pixels)
    maps, others = task.split(packed, 101)
    expected = np.where(logits[0, 1] > logits[0, 0], 2, 0)
    assert maps.shape == (85 * (CHANNELS + 15), 3, 4) and others.shape == (96, 101)
    assert np.array_equal(others[:70], expected) and 0.1 < (expected == 2).mean() < 0.9
    assert (np.roll(others, 1, axis=1)[:70] != expected).mean() > 0.01  # the twin: one column off
