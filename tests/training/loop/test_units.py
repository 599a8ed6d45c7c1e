"""A loss at units in place of pixels: both learn the same toy set, and targets a stride off are worse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landseg.dense.target_grid import UnitGrid, target_at_units
from landseg.models.layers.upsample import AlignedUpsample
from tests.parts.training import SCALING, Batches, train


class Toy(nn.Module):
    """Units of 4 pixels that see 7, scores of two classes, and a bilinear way up."""

    def __init__(self) -> None:
        super().__init__()
        stages = [nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Conv2d(8, 8, 3, stride=2, padding=1)]
        self.encoder = nn.Sequential(*stages, nn.BatchNorm2d(8), nn.ReLU())
        self.score, self.upsample = nn.Conv2d(8, 2, 1), AlignedUpsample(4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.upsample(self.score(self.encoder(x)), x)
        return y


def accuracy(folder: Path, **options: Any) -> float:
    """Return the share of pixels that are right, at full resolution, after a run on bright halves of crops."""
    torch.manual_seed(0)
    network = train(folder, network=Toy(), steps=40, **options)
    batch = Batches(size=16)[1000]
    with torch.no_grad():
        logits = network(SCALING.apply(batch.pixels, batch.valid))
    assert logits.shape[-2:] == batch.targets["class"].shape[-2:]
    return float((logits.argmax(1) == batch.targets["class"]).float().mean())


@pytest.fixture(scope="module")
def at_units(tmp_path_factory: pytest.TempPathFactory) -> float:
    return accuracy(tmp_path_factory.mktemp("units"), at="units")


def test_both_grids_learn_the_same_toy_set(tmp_path: Path, at_units: float) -> None:
    assert at_units > 0.9 and accuracy(tmp_path, at="pixels") > 0.9


def test_twin_targets_a_stride_off_teach_something_else(
    tmp_path: Path, at_units: float, monkeypatch: pytest.MonkeyPatch
) -> None:

    def a_stride_off(target: Tensor, units: UnitGrid, size: tuple[int, int]) -> Tensor:
        return target_at_units(target, UnitGrid(units.stride, units.shift - units.stride), size)

    monkeypatch.setattr("landseg.training.loop.learner.target_at_units", a_stride_off)
    assert accuracy(tmp_path, at="units") < at_units - 0.1
