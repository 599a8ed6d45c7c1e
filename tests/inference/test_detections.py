"""Detections in predict: the objects of the whole raster, through strips, kills and nodata; what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import torch

from landseg.classes import ClassMap, LandClass
from landseg.dense import detections
from landseg.dense.detections import DetectionTask
from landseg.dense.rcnn import Detector
from landseg.errors import LandsegError, ModelError, PlanError
from landseg.geo.grid import Rect
from landseg.inference import detection_strategy
from landseg.inference.match import match_options
from landseg.inference.options import PredictOptions
from landseg.labels.id_rasters import NODATA
from landseg.models.file import Model, load_model, save_model
from landseg.models.networks.mask_rcnn import MaskRCNN
from landseg.predict import predict
from landseg.verify import verify
from tests.parts.coco_panoptic import VOID, read_panoptic
from tests.parts.detectors import GROUND, HOUSE, detection_task, detector_model, grey_noise, numbered, whole_result
from tests.parts.predicting import QUICK, one, read

pytestmark = pytest.mark.usefixtures("quick_disk")
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def model() -> Model:
    return detector_model("mask-rcnn", GROUND, HOUSE)


def test_objects_of_rows_are_those_of_the_whole_picture(model: Model, tmp_path: Path, write_raster: Write) -> None:
    pixels = grey_noise(500, 130)
    files = {"instances": tmp_path / "ids.tif", "polygons": tmp_path / "h.gpkg"}
    made = one(predict(write_raster(pixels), tmp_path / "m.tif", model=model, **files, **QUICK))
    ids, expected = read(tmp_path / "ids.tif"), numbered(whole_result(model, pixels)["instances"])
    assert made.counts["instances"] == expected.max() > 20
    assert (ids != expected).mean() < 1e-3
    moved = numbered(whole_result(model, np.roll(pixels, 1, axis=1))["instances"])
    assert (ids != moved).mean() > 0.1  # the twin: one row too low
    assert np.array_equal(read(tmp_path / "m.tif") == 3, ids > 0)
    assert (made.engine, made.mode) == ("stream", "exact")
    houses = geopandas.read_file(tmp_path / "h.gpkg", layer="h").query("value == 3")
    assert set(houses["id"]) == set(range(1, ids.max() + 1))
    assert houses["score"].between(0.5, 1).all()


def test_objects_and_the_rest_in_cocos_format(model: Model, tmp_path: Path, write_raster: Write) -> None:
    files = {"instances": tmp_path / "ids.tif", "panoptic": tmp_path / "pan"}
    predict(write_raster(grey_noise(300, 130)), tmp_path / "m.tif", model=model, min_area=25.0, **files, **QUICK)
    values, ids, found = read(tmp_path / "m.tif"), read(tmp_path / "ids.tif"), read_panoptic(tmp_path / "pan")
    gone = (values == HOUSE.value) & (ids == 0)  # by --min-area
    assert gone.any() and np.array_equal(found.values, np.where(gone, VOID, values.astype(int)))
    assert np.array_equal(found.ids, ids) and ids.max() > 5


def test_pixels_without_data_propose_and_get_nothing(model: Model, tmp_path: Path, write_raster: Write) -> None:
    pixels, valid = grey_noise(320, 130), np.ones((320, 130), bool)
    valid[130:], valid[:, 100:] = False, False
    options = {"instances": tmp_path / "ids.tif", **QUICK}
    predict(write_raster(pixels, valid=valid), tmp_path / "m.tif", model=model, **options)
    ids = read(tmp_path / "ids.tif")
    assert np.array_equal(ids == NODATA, ~valid) and ids[valid].max() > 0
    assert (ids != numbered(whole_result(model, pixels, valid)["instances"])).mean() < 1e-3
    task = detection_task(model)
    with torch.inference_mode():
        output = model.network(torch.zeros(1, 1, 320, 130) + 1)[0].numpy()
    found = {name: task.detector((320, 130)) for name in ("all", "none")}
    found["all"].add(output)
    found["none"].add(output, np.zeros((320, 130), bool))
    for detector in found.values():
        detector.end()
    assert len(found["none"].detections()) == 0 < len(found["all"].detections())


def test_small_objects_are_left_out_and_the_rest_is_numbered(
    model: Model, tmp_path: Path, write_raster: Write
) -> None:
    scene = write_raster(grey_noise(200, 130))  # pixels of 0.25 m2
    files = {"instances": tmp_path / "i.tif", "overwrite": True, **QUICK}
    made = [
        one(predict(scene, tmp_path / "m.tif", model=model, **files, **more))
        for more in ({}, {"min_area": 25.0}, {"score": 0.9})
    ]
    assert made[2].counts["instances"] < made[0].counts["instances"]
    predict(scene, tmp_path / "m.tif", model=model, min_area=25.0, **files)
    ids = read(tmp_path / "i.tif")
    kept, sizes = np.unique(ids[ids > 0], return_counts=True)
    assert np.array_equal(kept, np.arange(1, len(kept) + 1)) and sizes.min() >= 100
    assert made[1].counts["below_area"] > 0 < len(kept)
    assert made[0].counts["instances"] == len(kept) + made[1].counts["below_area"]


def test_a_run_that_is_stopped_starts_anew_or_goes_on_with_its_objects(
    model: Model, tmp_path: Path, write_raster: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, out = write_raster(grey_noise(400, 130)), tmp_path / "m.tif"
    files = {"instances": tmp_path / "ids.tif", "resume": True, **QUICK}
    predict(scene, tmp_path / "other.tif", model=model, instances=tmp_path / "others.tif", **QUICK)
    expected, passes = read(tmp_path / "others.tif"), []

    def stop(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    whole_end = Detector.end
    monkeypatch.setattr(detection_strategy, "state_of", stop)  # all rows are written, and no object is recorded
    with pytest.raises(KeyboardInterrupt):
        predict(scene, out, model=model, **files)
    monkeypatch.undo()
    monkeypatch.setattr(Detector, "end", lambda self: passes.append(1) or whole_end(self))
    monkeypatch.setattr(detections, "write_detected_ids", stop)
    with pytest.raises(KeyboardInterrupt):
        predict(scene, out, model=model, **files)
    monkeypatch.undo()
    assert passes == [1]
    monkeypatch.setattr(Detector, "end", stop)  # what is found is not found again
    assert one(predict(scene, out, model=model, **files)).counts["instances"] == expected.max()
    assert np.array_equal(read(tmp_path / "ids.tif"), expected)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_an_area_of_interest_has_the_objects_of_the_whole_raster(
    model: Model, tmp_path: Path, write_raster: Write
) -> None:
    scene = write_raster(grey_noise(300, 130))
    predict(scene, tmp_path / "w.tif", model=model, **QUICK)
    with rasterio.open(scene) as raster:
        left, top = raster.xy(100, 30, offset="ul")
        right, bottom = raster.xy(220, 110, offset="ul")
    predict(scene, tmp_path / "a.tif", model=model, aoi=(left, bottom, right, top), **QUICK)
    assert np.array_equal(read(tmp_path / "a.tif"), read(tmp_path / "w.tif")[100:220, 30:110])


@pytest.mark.parametrize("metres", [0.81, 0.4])
def test_pixels_of_another_size_take_the_label_they_lie_in(
    model: Model, tmp_path: Path, write_raster: Write, metres: float
) -> None:
    scene = write_raster(grey_noise(300, 140))  # of half a metre
    predict(scene, tmp_path / "m.tif", model=model, instances=tmp_path / "i.tif", resolution=metres, **QUICK)
    with match_options([str(scene)], model.card, PredictOptions(resolution=metres)) as raster:
        pixels, _ = raster.network.read(Rect(0, 0, *raster.placement.network))
        factor = raster.placement.factor
    ids, expected = read(tmp_path / "i.tif"), whole_result(model, pixels)["instances"]
    rows, columns = (
        np.clip(((np.arange(length) + 0.5) / factor).astype(int), 0, most - 1)
        for length, most in zip(ids.shape, expected.shape, strict=True)
    )
    assert ids.shape == (300, 140) and ids.max() > 3
    assert (ids != numbered(expected[rows[:, None], columns])).mean() < 0.02
    assert (ids != numbered(expected[np.maximum(rows - 2, 0)[:, None], columns])).mean() > 0.05  # the twin: too low


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"engine": "windows"}, "in the rows of a whole raster"),
        ({"window": 256}, "in the rows of a whole raster"),
        ({"tta": "flips"}, "leave out --tta"),
        ({"probs": "p.tif"}, "leave out --probs"),
        ({"score": 1.0}, "score"),
    ],
)
def test_what_boxes_do_not_take_is_refused(
    model: Model, tmp_path: Path, write_raster: Write, options: dict[str, Any], sentence: str
) -> None:
    scene = write_raster(grey_noise(64, 64))
    if "probs" in options:
        options = {"probs": tmp_path / "p.tif"}
    if "score" in options:
        options = {**options, "instances": tmp_path / "i.tif"}
    with pytest.raises(LandsegError, match=sentence):
        predict(scene, tmp_path / "m.tif", model=model, **options, **QUICK)
    assert [path.name for path in tmp_path.iterdir()] == ["raster.tif"]


def test_verify_is_refused(model: Model, write_raster: Write) -> None:
    with pytest.raises(PlanError, match="no windows to"):
        verify(write_raster(grey_noise(64, 64)), model=model)


def test_a_table_needs_things_and_one_other_class() -> None:
    with pytest.raises(ModelError, match="one class beside those of things"):
        DetectionTask(ClassMap((HOUSE,)), {})
    with pytest.raises(ModelError, match="one class beside those of things"):
        DetectionTask(ClassMap((HOUSE, GROUND, LandClass(4, "road", (9, 9, 9)))), {})
    for options in ({"largest": "far"}, {"features": 1.5}, {"score": 1.0}, {"overlap": 2.0}):
        with pytest.raises(ModelError, match="detections"):
            DetectionTask(ClassMap((HOUSE, GROUND)), options)


def test_a_model_file_holds_both_stages(model: Model, tmp_path: Path) -> None:
    save_model(tmp_path / "boxes.safetensors", model.network, model.card, dtype="float32")
    back = load_model(tmp_path / "boxes.safetensors")
    assert back.card.task == "detections" and isinstance(back.network, MaskRCNN)
    assert torch.equal(back.network.mask_head[0].weight, model.network.mask_head[0].weight)  # type: ignore[index]
