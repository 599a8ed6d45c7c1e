"""Figures of kept-out scenes, against a tiny model whose mistakes are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from torch import Tensor, nn

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.errors import BandError
from landseg.geo.grid import Rect
from landseg.metrics.bootstrap import Blocks
from landseg.models.card import Band, Card, Field, Metrics
from landseg.models.file import Model
from landseg.models.graph.receptive_field import receptive_field
from landseg.scenes.scene import ArrayScene
from landseg.scenes.views import MaskedScene
from landseg.training.holdout import HoldoutScene, measure_holdout

CLASSES = ClassMap.from_json(
    {"classes": [{"value": 4, "name": "dark"}, {"value": 6, "name": "bright"}], "ignore": [9]}
)
SHAPE = (24, 40)


class Bright(nn.Module):
    """Class 1 where the first band is above its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(1, 2, 1)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1))
            self.head.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x)
        return logits


@pytest.fixture
def model(tmp_path: Path) -> Model:
    network = Bright().eval()
    card = Card(
        name="m", description="", arch="fcn32s", encoder="resnet18", bands=(Band("b", None, 100.0, 50.0),),
        classes=CLASSES, receptive_field=Field.of(receptive_field(network)), parameters=4, licence="CC0-1.0",
        dtypes=("uint8",),
    )  # fmt: skip
    return Model(network, card, tmp_path / "m.safetensors", "")


@pytest.fixture
def scene(write_raster: Callable[..., Path]) -> tuple[ArrayScene, Path]:
    """Bright from column 10 on, labelled bright from column 20 on; two columns without labels, two half known."""
    pixels = np.full(SHAPE, 30, np.uint8)
    pixels[:, 10:] = 220
    target = np.zeros(SHAPE, np.uint8)
    target[:, 20:] = 1
    target[:, :2] = IGNORE_INDEX
    target[:, 38:] = 2  # a partial label
    return ArrayScene("a", pixels[None], np.ones(SHAPE, bool), target), write_raster(pixels, "a.tif")


def found(model: Model, scene: tuple[ArrayScene, Path], folder: Path, mask: object = None) -> Metrics:
    whole, path = scene
    one = whole if mask is None else MaskedScene(whole, mask)  # type: ignore[arg-type]
    return measure_holdout(model, [HoldoutScene(one, path, (1,))], folder / "kept", measured_on="one scene")


def check(figures: Metrics) -> None:
    # Dark: 8 columns right, 10 called bright. Bright: 18 right.
    assert figures.measured_on == "one scene"
    assert figures.overall["mean_iou"] == pytest.approx((8 / 18 + 18 / 28) / 2)
    assert figures.overall["pixel_accuracy"] == pytest.approx(26 / 36)
    assert figures.overall["commonest_class_accuracy"] == pytest.approx(1 / 2)
    assert figures.per_class["dark"] == pytest.approx({"iou": 8 / 18, "precision": 1, "recall": 8 / 18})
    assert figures.per_class["bright"] == pytest.approx({"iou": 18 / 28, "precision": 18 / 28, "recall": 1})


def test_figures_by_hand(model: Model, scene: tuple[ArrayScene, Path], tmp_path: Path) -> None:
    check(found(model, scene, tmp_path))
    with rasterio.open(tmp_path / "kept/a.tif") as made:
        assert np.unique(made.read(1)[:, :10]) == [4] and np.unique(made.read(1)[:, 10:]) == [6]


def test_twin_labels_read_as_predictions_are_noticed(
    model: Model, scene: tuple[ArrayScene, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = Blocks.update
    monkeypatch.setattr(Blocks, "update", lambda self, t, p, **at: update(self, p, t, **at))
    with pytest.raises(AssertionError):
        check(found(model, scene, tmp_path))


def test_parts_are_measured_where_they_are_kept(model: Model, scene: tuple[ArrayScene, Path], tmp_path: Path) -> None:
    def left(rect: Rect) -> np.ndarray:
        return np.broadcast_to(np.arange(rect.left, rect.right) < 15, (rect.height, rect.width))

    figures = found(model, scene, tmp_path, left)
    assert figures.overall["pixel_accuracy"] == pytest.approx(8 / 13)  # columns 2 to 14, dark to the tenth
    assert figures.per_class["dark"]["iou"] == pytest.approx(8 / 13) and figures.per_class["bright"]["iou"] == 0
    assert figures.overall["pixel_accuracy"] != found(model, scene, tmp_path).overall["pixel_accuracy"]


def test_scenes_are_pooled_and_their_blocks_give_an_interval(
    model: Model, scene: tuple[ArrayScene, Path], tmp_path: Path, write_raster: Callable[..., Path]
) -> None:
    whole, path = scene
    right = ArrayScene("b/c", whole.pixels, whole.valid, (whole.pixels[0] > 100).astype(np.uint8))
    figures = measure_holdout(
        model,
        [HoldoutScene(whole, path, (1,)), HoldoutScene(right, path, (1,))],
        tmp_path / "kept",
        measured_on="two scenes",
    )
    pixels = 36 + 40
    assert figures.overall["pixel_accuracy"] == pytest.approx((26 + 40) / pixels)
    assert figures.overall["mean_iou_low"] <= figures.overall["mean_iou"] <= figures.overall["mean_iou_high"]
    assert sorted(file.name for file in (tmp_path / "kept").glob("*.tif")) == ["a.tif", "b_c.tif"]


def test_bands_are_chosen_as_in_training(
    model: Model, scene: tuple[ArrayScene, Path], tmp_path: Path, write_raster: Callable[..., Path]
) -> None:
    whole, _ = scene
    path = write_raster(np.stack([255 - whole.pixels[0], whole.pixels[0]]), "two.tif")
    check(measure_holdout(model, [HoldoutScene(whole, path, (2,))], tmp_path / "kept", measured_on="one scene"))
    wrong = measure_holdout(model, [HoldoutScene(whole, path, (1,))], tmp_path / "kept", measured_on="one scene")
    assert wrong.overall["pixel_accuracy"] == pytest.approx(10 / 36)


def test_a_model_of_stored_numbers_is_measured_on_them(
    model: Model, scene: tuple[ArrayScene, Path], tmp_path: Path
) -> None:
    whole, path = scene
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (0.1,), (-5.0,)
    check(
        measure_holdout(
            model, [HoldoutScene(whole, path, (1,), stored_values=True)], tmp_path / "a", measured_on="one scene"
        )
    )
    with pytest.raises(BandError, match="--stored-values"):
        measure_holdout(model, [HoldoutScene(whole, path, (1,))], tmp_path / "b", measured_on="one scene")
