"""Networks of boxes with random weights that find many objects in noise, and their result for a whole picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from landseg.classes import ClassMap, LandClass
from landseg.dense.detections import DetectionTask
from landseg.dense.tasks import make_task, task_of
from landseg.labels.id_rasters import NODATA
from landseg.models.card import Band, Card, Field
from landseg.models.file import Model
from landseg.models.graph.receptive_field import receptive_field
from landseg.models.networks.build import build_network
from landseg.models.networks.catalogue import detector_task
from landseg.models.networks.mask_rcnn import MaskRCNN
from landseg.models.networks.panoptic_fpn import PanopticFPN
from tests.parts.streamed import lively

HOUSE, GROUND = LandClass(3, "house", (200, 0, 0), thing=True), LandClass(1, "ground", (90, 90, 90))
OPTIONS = {"features": 6, "largest": 96, "objectness": 0.5}


def detector_model(arch: str, *classes: LandClass, **sizes: int) -> Model:
    """Return a model of an architecture with a table of classes; ``sizes`` are further options of the network."""
    task = make_task(str(detector_task(arch)), ClassMap(classes), OPTIONS)
    options = {"box_channels": 16, "mask_channels": 8, **task.network_options, **sizes}
    torch.manual_seed(0)
    network = lively(build_network(arch, encoder="resnet18", bands=1, channels=task.heads.total, **options))
    assert isinstance(network, MaskRCNN)
    for layer in network.output:
        assert isinstance(layer, torch.nn.Conv2d) and layer.bias is not None
        layer.weight.mul_(0.01)
        layer.bias.mul_(0.01)
    network.objectness.bias.fill_(0)
    network.deltas.weight.mul_(0.1)
    network.deltas.bias.mul_(0.1)
    network.box_head.move.weight.mul_(0.3)
    if isinstance(network, PanopticFPN):
        _spread_classes(network)
    card = Card(
        name="boxes",
        description="for tests",
        arch=arch,
        encoder="resnet18",
        options=options,
        bands=(Band("grey", None, 128.0, 64.0),),
        classes=task.classes,
        receptive_field=Field.of(receptive_field(network)),
        parameters=1,
        licence="none",
        task=task.name,
        heads=task.heads,
        task_options=task.options,
    )
    return Model(network.float(), card, Path("boxes.safetensors"), "hash of boxes")


def _spread_classes(network: PanopticFPN) -> None:
    """Let each class of stuff, and each of things, be the best one somewhere."""
    noise = torch.from_numpy((grey_noise(256, 130)[None] - 128.0) / 64).to(network.score.weight)
    with torch.no_grad():
        levels, logits = network.levels_and_logits(noise)
        network.score.bias -= logits.mean((0, 2, 3))
        crops = torch.cat([level[0].unfold(2, 7, 2).unfold(3, 7, 2).flatten(2, 3) for level in levels[1:3]], 2)
        head = network.box_head.score
        head.weight *= 30
        head.bias -= network.box_head(crops[0].permute(1, 0, 2, 3))[0].mean(0)
        head.bias[1:] += 1


def grey_noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (1, height, width)).astype(np.uint8)


def detection_task(model: Model) -> DetectionTask:
    """Return the task of a model, with its heads."""
    return cast(DetectionTask, task_of(model.card).of_network(model.network))


def whole_result(model: Model, pixels: NDArray[np.uint8], valid: NDArray[np.bool_] | None = None) -> Any:
    """Return the layers of one forward pass over the whole picture."""
    valid = np.ones(pixels.shape[1:], bool) if valid is None else valid
    inputs = np.where(valid, (pixels.astype(np.float32) - 128) / 64, 0).astype(np.float32)
    with torch.inference_mode():
        output = model.network(torch.from_numpy(inputs[None]))[0].numpy()
    return detection_task(model).result(output, valid)


def numbered(ids: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return ids numbered anew from 1 without those that no pixel has."""
    there = ids != NODATA
    found = np.where(there, np.searchsorted(np.unique(np.append(ids[there], 0)), ids), ids)
    return found.astype(np.uint32)
