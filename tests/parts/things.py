"""A model of things whose results are exact: its sums are of numbers that float32 holds, in whatever order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from landseg.classes import ClassMap, LandClass
from landseg.dense.instances import Instances
from landseg.models.card import Band, Card, Field
from landseg.models.file import Model
from landseg.models.graph.receptive_field import receptive_field

HOUSE, TREE = LandClass(3, "house", (200, 0, 0), thing=True), LandClass(5, "tree", (0, 200, 0), thing=True)
GROUND = LandClass(1, "ground", (90, 90, 90))
OPTIONS = {"rise": 0.1, "score": 0.0, "min_area_m2": 0.0}


class Hills(nn.Module):
    """Sums of 3 x 3 pixels twice, mixed to a logit for each class, one for the interior and one for the boundary."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.second = nn.Conv2d(3, classes + 2, 3, padding=1)
        mix = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
        last = torch.tensor([[2, -2, 0], [-1, 0, 1], [0, 2, -2], [1, 1, -2], [-1, 2, -1]])
        with torch.no_grad():
            self.first.weight.copy_(mix[:, :, None, None].expand(3, 3, 3, 3) / 8)
            self.second.weight.copy_(last[[*range(classes), 3, 4], :, None, None].expand(classes + 2, 3, 3, 3) / 256)
            self.second.bias.copy_(torch.tensor([*(0.5, 0.0, 0.25)[:classes], 0.0, -2.0]))

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.second(self.first(x))
        return made


def things_model(*classes: LandClass, resolution_m: float | None = None, **options: Any) -> Model:
    """Return the model, with a table of these classes: by default the things and the ground."""
    table = ClassMap(classes or (HOUSE, GROUND, TREE))
    network = Hills(len(table)).eval()
    task = Instances(table, {**OPTIONS, **options})
    card = Card(
        name="things",
        description="for tests",
        arch="small",
        encoder="none",
        bands=tuple(Band(name, name, 0.0, 1.0) for name in ("red", "green", "blue")),
        classes=table,
        receptive_field=Field.of(receptive_field(network)),
        parameters=1,
        licence="none",
        task="instances",
        heads=task.heads,
        task_options=task.options,
        resolution_m=resolution_m,
    )
    return Model(network, card, Path("things.safetensors"), f"hash of {sorted(options.items())} {table.values}")


def hills(height: int, width: int, *, seed: int = 0) -> NDArray[np.uint8]:
    """Return a picture (3, h, w) in which the model finds things: values that change over a few pixels, and noise."""
    random = np.random.default_rng(seed)
    coarse = random.integers(-40, 41, (3, height // 4 + 2, width // 4 + 2))
    grown = np.kron(coarse, np.ones((1, 4, 4), np.int64))[:, :height, :width]
    made: NDArray[np.uint8] = (grown + random.integers(100, 117, grown.shape)).clip(0, 255).astype(np.uint8)
    return made
