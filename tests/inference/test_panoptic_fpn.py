"""Panoptic FPN in predict: objects and stuff of the whole raster, through strips, nodata and other pixel sizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from landseg.classes import LandClass
from landseg.dense.panoptic import PanopticTask
from landseg.errors import ModelError, PlanError
from landseg.geo.grid import Rect
from landseg.inference import whole_rows
from landseg.inference.match import match_options
from landseg.inference.options import PredictOptions
from landseg.labels.id_rasters import NODATA
from landseg.models.file import Model, load_model, save_model
from landseg.models.networks.panoptic_fpn import PanopticFPN
from landseg.predict import predict
from landseg.verify import verify
from tests.parts.coco_panoptic import read_panoptic
from tests.parts.detectors import (
    GROUND,
    HOUSE,
    OPTIONS,
    detection_task,
    detector_model,
    grey_noise,
    numbered,
    whole_result,
)  # fmt: skip
from tests.parts.panoptic_maps import partition_faults
from tests.parts.predicting import QUICK, one, read

pytestmark = pytest.mark.usefixtures("quick_disk")
Write = Callable[..., Path]
WATER, TREE = LandClass(2, "water", (0, 0, 200)), LandClass(7, "tree", (0, 200, 0), thing=True)


@pytest.fixture(scope="module")
def model() -> Model:
    return detector_model("panoptic-fpn", GROUND, HOUSE, WATER, TREE, head_channels=8)


def test_every_pixel_has_a_class_and_things_have_an_id(model: Model, tmp_path: Path, write_raster: Write) -> None:
    pixels, valid = grey_noise(500, 130), np.ones((500, 130), bool)
    valid[200:230, 40:], valid[:, 120:] = False, False
    files = {"instances": tmp_path / "ids.tif", "polygons": tmp_path / "p.gpkg", "panoptic": tmp_path / "pan"}
    made = one(predict(write_raster(pixels, valid=valid), tmp_path / "m.tif", model=model, **files, **QUICK))
    classes, ids = read(tmp_path / "m.tif"), read(tmp_path / "ids.tif")
    expected = whole_result(model, pixels, valid)
    assert np.array_equal(ids == NODATA, ~valid) and np.array_equal(classes == 0, ~valid)
    assert (classes != expected["classes"]).mean() < 1e-3 and (ids != numbered(expected["instances"])).mean() < 1e-3
    assert made.counts["instances"] == ids[valid].max() > 20
    assert {1, 2, 3, 7} == set(np.unique(classes[valid]))
    assert partition_faults(classes, ids, valid, model.card.classes) == []
    drawn = read_panoptic(tmp_path / "pan")
    assert np.array_equal(drawn.values[valid], classes[valid]) and np.array_equal(drawn.ids[valid], ids[valid])
    faults = partition_faults(classes, np.roll(ids, 1, axis=1), valid, model.card.classes)
    assert "an object of two classes" in faults  # the twin: ids one column off
    moved = whole_result(model, np.roll(pixels, 1, axis=1), np.roll(valid, 1, axis=0))
    assert (classes != moved["classes"]).mean() > 0.05  # the twin: one row too low


def test_strips_of_any_height_give_the_same(
    model: Model, tmp_path: Path, write_raster: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, found = write_raster(grey_noise(400, 130)), []
    for strip in (1, 3, 8):
        monkeypatch.setattr(whole_rows, "_STRIPS", (strip,))
        predict(scene, tmp_path / f"{strip}.tif", model=model, instances=tmp_path / f"{strip}_ids.tif", **QUICK)
        found.append((read(tmp_path / f"{strip}.tif"), read(tmp_path / f"{strip}_ids.tif")))
    for classes, ids in found[1:]:
        assert np.array_equal(classes, found[0][0]) and np.array_equal(ids, found[0][1])


def test_twin_parts_that_are_searched_alone_differ(model: Model) -> None:
    pixels = grey_noise(256, 130)
    whole = whole_result(model, pixels)
    parts = [whole_result(model, pixels[:, top : top + 128])["classes"] for top in (0, 128)]
    assert (np.concatenate(parts) != whole["classes"]).mean() > 0.01


@pytest.mark.parametrize("strip", [1, 2, 5])
def test_the_same_maps_in_strips_give_the_same_labels(model: Model, strip: int) -> None:
    """The maps are those of one forward pass here, so that every id and class is equal."""
    pixels, valid = grey_noise(330, 130), np.ones((330, 130), bool)
    with torch.inference_mode():
        output = model.network(torch.from_numpy((pixels[None].astype(np.float32) - 128) / 64))[0].numpy()
    task = detection_task(model)
    expected, detector, labels, others = task.result(output, valid), task.detector((330, 130)), [], []
    for top in range(0, output.shape[1], strip):
        maps, free = task.split(output[:, top : top + strip], 130)
        labels.append(detector.add(maps))
        others.append(free)
    labels.append(detector.end())
    found, objects = np.concatenate(labels), detector.detections()
    classes = task.class_values(found, detector.kinds, np.concatenate(others)[:330], valid)
    np.testing.assert_array_equal(objects.table[found], expected["instances"])
    np.testing.assert_array_equal(classes, expected["classes"])
    assert len(objects) > 10


def test_objects_share_no_pixel_and_keep_at_least_half_of_their_masks(model: Model) -> None:
    """An object that is mostly hidden is dropped, which Mask R-CNN's rule, the best claims each pixel, would keep."""
    pixels, valid = grey_noise(256, 130), np.ones((256, 130), bool)
    with torch.inference_mode():
        output = model.network(torch.from_numpy((pixels[None].astype(np.float32) - 128) / 64))[0].numpy()
    task = detection_task(model)
    merged = task.result(output, valid)["scores"]
    every = task.with_options({"taken": 0.999}).result(output, valid)["scores"]
    none = task.with_options({"taken": 0.0}).result(output, valid)["scores"]
    assert 0 < len(none) < len(merged) < len(every)


@pytest.mark.parametrize("metres", [0.81, 0.4])
def test_pixels_of_another_size_take_the_class_they_lie_in(
    model: Model, tmp_path: Path, write_raster: Write, metres: float
) -> None:
    scene = write_raster(grey_noise(300, 140))  # of half a metre
    predict(scene, tmp_path / "m.tif", model=model, resolution=metres, **QUICK)
    with match_options([str(scene)], model.card, PredictOptions(resolution=metres)) as raster:
        pixels, _ = raster.network.read(Rect(0, 0, *raster.placement.network))
        factor = raster.placement.factor
    classes, expected = read(tmp_path / "m.tif"), whole_result(model, pixels)["classes"]
    rows, columns = (
        np.clip(((np.arange(length) + 0.5) / factor).astype(int), 0, most - 1)
        for length, most in zip(classes.shape, expected.shape, strict=True)
    )
    assert (classes != expected[rows[:, None], columns]).mean() < 0.02
    assert (classes != expected[np.maximum(rows - 2, 0)[:, None], columns]).mean() > 0.05  # the twin: too low


def test_verify_is_refused(model: Model, write_raster: Write) -> None:
    with pytest.raises(PlanError, match="no windows to"):
        verify(write_raster(grey_noise(64, 64)), model=model)
    with pytest.raises(PlanError, match="no windows to"):
        verify(write_raster(grey_noise(64, 64)), model=model, memory=64)  # before anything is computed or planned


def test_a_model_file_holds_all_of_it(model: Model, tmp_path: Path) -> None:
    save_model(tmp_path / "boxes.safetensors", model.network, model.card, dtype="float32")
    back = load_model(tmp_path / "boxes.safetensors")
    assert back.card == model.card and back.card.task_options["taken"] == 0.5
    assert isinstance(back.network, PanopticFPN) and back.network.stuff == 2
    assert torch.equal(back.network.score.weight, model.network.score.weight)  # type: ignore[union-attr]


def test_a_network_for_other_classes_is_refused(model: Model) -> None:
    task = PanopticTask(detector_model("panoptic-fpn", GROUND, HOUSE, TREE).card.classes, OPTIONS)
    with pytest.raises(ModelError, match="as many classes of things and stuff"):
        task.of_network(model.network)
