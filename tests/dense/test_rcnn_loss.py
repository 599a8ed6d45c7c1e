"""The losses of Mask R-CNN: targets and crops that lie where the detector has them, and a network that learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from landseg.dense.boxes import SUB, move_boxes
from landseg.dense.pyramid import FeatureRows, Level, Pyramid
from landseg.dense.rcnn import DetectionOptions, Detections, Detector, SecondStage
from landseg.dense.rcnn_loss import anchors_of, crop, object_targets, rcnn_losses
from landseg.models.networks.backbones import Encoder
from landseg.models.networks.mask_rcnn import MaskRCNN
from landseg.tiling.crop_heads import CropHeads

LEVEL = Level(8, 0.0, ((512, 256), (256, 512)))


def pyramid_of(network: MaskRCNN) -> Pyramid:
    levels = zip(network.strides, network.offsets, network.anchors, strict=True)
    return Pyramid(tuple(Level(*level) for level in levels), network.channels)


def small_network(seed: int = 0) -> MaskRCNN:
    torch.manual_seed(seed)
    options = {"pyramid_channels": 16, "box_channels": 32, "mask_channels": 16}
    return MaskRCNN(Encoder("resnet18", bands=1, output_stride=32), things=1, **options)


def squares() -> tuple[Tensor, Tensor, Tensor]:
    """Return an image (1, 160, 96), and the classes and ids (160, 96) of its three squares; stuff is class 0."""
    ids = torch.zeros(160, 96, dtype=torch.int32)
    ids[10:42, 8:40], ids[50:90, 30:70], ids[110:142, 20:52] = 1, 2, 3
    noise = torch.randn(ids.shape, generator=torch.Generator().manual_seed(0)) * 0.1
    return ((ids > 0) * 2.0 - 1 + noise)[None], (ids > 0).to(torch.uint8), ids


def test_objects_have_boxes_labels_and_masks() -> None:
    ids = torch.zeros(6, 7, dtype=torch.int32)
    ids[1:3, 2:6], ids[4:, :2], ids[0, 0], ids[5, 6] = 7, 3, 9, -1
    classes = torch.full(ids.shape, 1, dtype=torch.uint8)
    classes[4:, :2], classes[0, 0] = 2, 0
    found = object_targets(classes, ids, [1, 2])
    assert found["boxes"].tolist() == [[0, 4, 2, 6], [2, 1, 6, 3]] and found["labels"].tolist() == [2, 1]
    assert torch.equal(found["masks"].bool(), torch.stack([ids == 3, ids == 7]))
    assert torch.equal(found["known"], ids >= 0)


def test_a_crop_without_objects_has_none() -> None:
    nothing = torch.zeros(4, 5, dtype=torch.int32)
    found = object_targets(nothing.to(torch.uint8), nothing, [1])
    assert found["boxes"].shape == (0, 4) and found["masks"].shape == (0, 4, 5)


def test_anchors_are_those_of_the_detector() -> None:
    made = anchors_of(LEVEL, 3, 2).reshape(3, 2, 2, 4).numpy() * SUB
    for row in range(3):
        for column in range(2):
            centre = np.tile(np.array([column, row]) * LEVEL.step + LEVEL.first, (2, 1))
            expected = move_boxes(centre, np.array(LEVEL.anchors), np.zeros((2, 4), np.float32))
            np.testing.assert_array_equal(made[row, column], expected)


@pytest.mark.parametrize("offset", [0.0, 3.5])
def test_crops_are_those_of_the_detector(offset: float) -> None:
    random = np.random.default_rng(0)
    level, coarse = Level(8, offset, ()), Level(16, 2 * offset, ())
    features, rows = random.normal(size=(24, 24, 3)).astype(np.float32), FeatureRows(level, (192, 192))
    rows.add(features)
    start = random.integers(30 * SUB, 80 * SUB, (6, 2))
    box = np.concatenate([start, start + random.integers(8 * SUB, 60 * SUB, (6, 2))], axis=1)
    image = torch.tensor(features).permute(2, 0, 1)[None]
    found = crop([image, torch.zeros(1, 3, 12, 12)], [level, coarse], [torch.tensor(box / SUB).float()], 7).numpy()
    np.testing.assert_allclose(found, rows.crop(box, 7), atol=2e-5)
    moved = crop([image, torch.zeros(1, 3, 12, 12)], [level, coarse], [torch.tensor(box / SUB).float() + 0.5], 7)
    assert np.abs(moved.numpy() - rows.crop(box, 7)).max() > 0.01


def test_what_is_not_known_teaches_nothing() -> None:
    network = small_network().train()
    image, classes, ids = squares()
    unknown = object_targets(classes, torch.full_like(ids, -1), [1])
    losses = rcnn_losses(network, image[None], [unknown])
    known = rcnn_losses(network, image[None], [object_targets(classes * 0, ids * 0, [1])])
    assert not torch.nan_to_num(losses["objectness"]) and not torch.nan_to_num(losses["class"])
    assert known["objectness"] > 0 and known["class"] > 0


def detections(network: MaskRCNN, image: Tensor, strip: int) -> tuple[np.ndarray, Detections]:
    """Return the ids of pixels and the objects of an image whose maps come in strips."""
    shape, heads = (image.shape[1], image.shape[2]), CropHeads(network.box_head, network.mask_head)
    options = DetectionOptions(score=0.5, largest=96)
    found, labels = Detector(pyramid_of(network), shape, SecondStage(heads.boxes, heads.masks), options), []
    with torch.inference_mode():
        maps = network.eval()(image[None])[0].numpy()
    for top in range(0, maps.shape[1], strip):
        labels.append(found.add(maps[:, top : top + strip]))
    labels.append(found.end())
    return found.detections().table[np.concatenate(labels)], found.detections()


@pytest.mark.slow
def test_squares_are_learned_and_found_in_their_place() -> None:
    """The whole way: targets, losses, maps, proposals, crops, masks. Four pixels off, a unit, would give 0.6."""
    network, (image, classes, ids) = small_network().train(), squares()
    steps = torch.optim.AdamW(network.parameters(), 2e-3)
    for step in range(120):
        steps.param_groups[0]["lr"] = 2e-3 * (1 - step / 120)
        loss = sum(rcnn_losses(network, image[None], [object_targets(classes, ids, [1])]).values())
        assert isinstance(loss, Tensor)
        steps.zero_grad()
        loss.backward()
        steps.step()
    for layer in network.modules():  # the statistics of the one image, not of the steps before
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        network(image[None])
    found, objects = detections(network, image, 1)
    again, _ = detections(network, image, 100)
    np.testing.assert_array_equal(found, again)
    truth = ids.numpy()
    assert len(objects) == 3 and (objects.score > 0.5).all()
    for number in (1, 2, 3):
        other = np.bincount(found[truth == number]).argmax()
        one, two = truth == number, found == other
        assert other > 0 and (one & two).sum() / (one | two).sum() > 0.75
