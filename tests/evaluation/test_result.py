"""The results of a comparison: as JSON that any reader takes, with null for what means nothing."""

from __future__ import annotations

import json
from dataclasses import fields

import numpy as np

from landseg.evaluation.result import BorderBin, ClassFigures, Evaluation, WorstWindow
from landseg.geo.grid import Rect
from landseg.metrics.calibration import ReliabilityCounts

NAN = float("nan")


def _evaluation() -> Evaluation:
    calibration = ReliabilityCounts(2, bins=2)
    calibration.update(np.array([[0.9, 0.2], [0.1, 0.8]]), np.array([0, 0]))
    water = ClassFigures(1, "water", (0, 0, 255), 0.5, 1.0, 0.5, 2 / 3, np.int64(4), 2, iou_ci=(0.25, 0.75))  # type: ignore[arg-type]
    road = ClassFigures(4, "road", (9, 9, 9), NAN, NAN, NAN, NAN, 0, 0, area_ha=0.0, surface_dice=NAN)
    return Evaluation(
        prediction="map.tif",
        target="truth.tif",
        classes=(water, road),
        confusion=np.array([[2, 0], [0, 0]]),
        pixel_accuracy=0.5,
        mean_iou=0.5,
        averaged_over=1,
        frequency_weighted_iou=0.5,
        kappa=NAN,
        commonest_class_accuracy=1.0,
        commonest_class="water",
        intervals={"mean_iou": (0.25, 0.75), "kappa": (NAN, NAN)},
        reliability=calibration.compute(),
        border=(BorderBin(0, 1, 7, 0.5), BorderBin(2, None, 0, NAN)),
        worst=(WorstWindow(Rect(0, 8, 16, 32), 9, np.float32(0.25)),),  # type: ignore[arg-type]
        notes=("pixel to pixel",),
    )


def test_json_has_the_agreed_keys_and_null_for_nan() -> None:
    found = json.loads(json.dumps(_evaluation().to_json(), allow_nan=False))
    assert set(found) == {field.name for field in fields(Evaluation)}
    assert (found["pixel_accuracy"], found["mean_iou"], found["confusion"]) == (0.5, 0.5, [[2, 0], [0, 0]])
    water, road = found["classes"]
    assert {"value", "name", "iou", "precision", "recall", "f1", "pixels"} <= set(water)
    assert (water["value"], water["pixels"], water["color"], water["iou_ci"]) == (1, 4, [0, 0, 255], [0.25, 0.75])
    assert road["iou"] is None and road["surface_dice"] is None and road["area_ha"] == 0 and road["mapped_ha"] is None
    assert found["kappa"] is None and found["intervals"] == {"mean_iou": [0.25, 0.75], "kappa": [None, None]}
    assert found["border"][1] == {"distance_px_from": 2, "distance_px_to": None, "pixels": 0, "error_rate": None}
    assert found["worst"][0]["rect"] == {"top": 0, "left": 8, "height": 16, "width": 32}
    assert found["worst"][0]["error_rate"] == 0.25 and found["notes"] == ["pixel to pixel"]
    assert found["reliability"]["bins"][1]["count"] == 2 and found["reliability"]["bins"][0]["accuracy"] is None


def test_every_field_is_documented() -> None:
    for noun in (ClassFigures, Evaluation):
        documented = {line.split(":")[0].strip() for line in (noun.__doc__ or "").splitlines()}
        assert {field.name for field in fields(noun)} <= documented
