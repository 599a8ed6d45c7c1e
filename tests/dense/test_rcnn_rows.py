"""The network and the detector together: rows of pixels in, objects out, those of one forward pass."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from landseg.dense.pyramid import Level, Pyramid
from landseg.dense.rcnn import DetectionOptions, Detections, Detector, SecondStage
from landseg.models.graph.recipe import NotCompilable
from landseg.models.graph.write_recipe import recipe_of
from landseg.models.networks.backbones import Encoder
from landseg.models.networks.mask_rcnn import STRIDES, MaskRCNN
from landseg.tiling.crop_heads import CropHeads
from landseg.tiling.rows.program import program_of
from landseg.tiling.rows.row_stream import Rows
from tests.parts.streamed import lively

SHAPE = (600, 100)


@pytest.fixture(scope="module")
def network() -> MaskRCNN:
    torch.manual_seed(0)
    options = {"pyramid_channels": 6, "box_channels": 16, "mask_channels": 8}
    made = lively(MaskRCNN(Encoder("resnet18", bands=1, output_stride=32), things=1, **options))
    assert isinstance(made, MaskRCNN)
    for layer in made.output:  # features, logits and differences as large as those of a network that has learned
        assert isinstance(layer, torch.nn.Conv2d) and layer.bias is not None
        layer.weight.mul_(0.01)
        layer.bias.mul_(0.01)
    made.objectness.bias.fill_(0)
    made.deltas.weight.mul_(0.1)
    made.deltas.bias.mul_(0.1)
    made.box_head.move.weight.mul_(0.3)
    return made


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.randn(1, 1, *SHAPE, generator=torch.Generator().manual_seed(0)).double()


def in_rows(network: MaskRCNN, image: Tensor, strip: int, push: int) -> Iterator[NDArray[np.float64]]:
    with Rows(program_of(network), SHAPE, bands=1, strip=strip, dtype=torch.float64) as rows:
        for top in range(0, SHAPE[0], push):
            for _, part in rows.push(image[:, :, top : top + push]):
                yield part[0].numpy()


def detect(network: MaskRCNN, parts: Iterator[NDArray[np.float64]]) -> tuple[NDArray[np.uint32], Detections]:
    levels = zip(STRIDES, network.offsets, network.anchors, strict=True)
    heads = CropHeads(network.box_head, network.mask_head)
    options = DetectionOptions(objectness=0.5, score=0.5, largest=96)
    pyramid = Pyramid(tuple(Level(*level) for level in levels), network.channels)
    found = Detector(pyramid, SHAPE, SecondStage(heads.boxes, heads.masks), options)
    labels = [*(found.add(part) for part in parts), found.end()]
    objects = found.detections()
    return objects.table[np.concatenate(labels)], objects


def same(one: Detections, other: Detections) -> bool:
    """Return True if boxes are equal to a sixteenth of a pixel, and scores but for the last bits."""
    return np.array_equal(one.box, other.box) and np.allclose(one.score, other.score, atol=1e-5)


@pytest.mark.parametrize(("strip", "push"), [(1, 50), (3, 128)])
def test_objects_are_those_of_one_forward_pass(network: MaskRCNN, image: Tensor, strip: int, push: int) -> None:
    with torch.inference_mode():
        pixels, whole = detect(network, iter([network(image)[0].numpy()]))
        found, objects = detect(network, in_rows(network, image, strip, push))
        _, moved = detect(network, in_rows(network, image.roll(1, 2), strip, push))
    assert len(whole) > 50
    assert same(objects, whole)
    assert (found != pixels).mean() < 1e-4
    assert not same(moved, whole)  # the twin: one row too low


def test_graphs_of_other_libraries_are_refused(network: MaskRCNN) -> None:
    with pytest.raises(NotCompilable, match="pack"):
        recipe_of(network, bands=1)
