"""A network of points with random weights that finds many in noise, and its points of a whole picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from landseg.classes import ClassMap, LandClass
from landseg.dense.point_rows import Points
from landseg.dense.points import PointTask
from landseg.models.card import Band, Card, Field
from landseg.models.file import Model
from landseg.models.graph.receptive_field import receptive_field
from landseg.models.networks.build import build_network
from landseg.models.networks.point_fpn import PointFPN
from tests.parts.streamed import lively

TREE, POLE = LandClass(3, "tree", (0, 160, 0), thing=True), LandClass(5, "pole", (160, 0, 0), thing=True)
GROUND = LandClass(1, "ground", (90, 90, 90))


def point_model(*classes: LandClass, **options: Any) -> Model:
    """Return a model of points with a table of classes; ``options`` are the task's."""
    task = PointTask(ClassMap(classes or (TREE, GROUND, POLE)), options)
    sizes = {"pyramid_channels": 8, "head_channels": 8, **task.network_options}
    torch.manual_seed(0)
    network = lively(build_network("point-fpn", encoder="resnet18", bands=1, channels=task.heads.total, **sizes))
    assert isinstance(network, PointFPN) and network.score.bias is not None
    network.score.bias.zero_()
    with torch.no_grad():
        made = network.units((torch.from_numpy(grey_noise(192, 192)[None].astype(np.float64)) - 128) / 64)
        spread = made.std((0, 2, 3))
        network.score.weight /= spread[:, None, None, None]
        network.score.bias -= made.mean((0, 2, 3)) / spread
        network.score.weight[network.points :] *= 0.3  # offsets of less than a unit
        network.score.bias[network.points :] *= 0.3
    card = Card(
        name="points",
        description="for tests",
        arch="point-fpn",
        encoder="resnet18",
        options=sizes,
        bands=(Band("grey", None, 128.0, 64.0),),
        classes=task.classes,
        receptive_field=Field.of(receptive_field(network)),
        parameters=1,
        licence="none",
        task=task.name,
        heads=task.heads,
        task_options=task.options,
    )
    return Model(network.float(), card, Path("points.safetensors"), f"hash of points {sorted(options.items())}")


def grey_noise(height: int, width: int) -> NDArray[np.uint8]:
    """Return a picture (1, h, w) of noise that changes over a few pixels."""
    random = np.random.default_rng(1)
    coarse = random.integers(0, 200, (1, height // 4 + 1, width // 4 + 1))
    grown = np.kron(coarse, np.ones((1, 4, 4), np.int64))[:, :height, :width]
    made: NDArray[np.uint8] = (grown + random.integers(0, 56, grown.shape)).astype(np.uint8)
    return made


def whole_points(model: Model, pixels: NDArray[np.uint8], valid: NDArray[np.bool_] | None = None) -> Points:
    """Return the points of one forward pass over the whole picture."""
    task = PointTask(model.card.classes, model.card.task_options)
    valid = np.ones(pixels.shape[1:], bool) if valid is None else valid
    inputs = np.where(valid, (pixels.astype(np.float32) - 128) / 64, 0).astype(np.float32)
    with torch.inference_mode():
        output = model.network(torch.from_numpy(inputs[None]))[0].numpy()
    found: Points = task.found(output, valid)
    return found
