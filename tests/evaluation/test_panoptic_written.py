"""Panoptic maps of predict, in COCO's format and as rasters: the same figures from both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

import landseg
from landseg.evaluation.panoptic.result import PanopticEvaluation
from landseg.predict import predict
from tests.parts.predicting import QUICK
from tests.parts.things import hills, things_model

pytestmark = pytest.mark.usefixtures("quick_disk")
MODEL = things_model()


def evaluated(found: Path, truth: Path, **options: object) -> PanopticEvaluation:
    made = landseg.evaluate(found, truth, samples=0, **options)  # type: ignore[arg-type]
    assert isinstance(made, PanopticEvaluation)
    return made


def test_folder_and_rasters_have_the_same_figures(tmp_path: Path, write_raster: Callable[..., Path]) -> None:
    pixels = hills(190, 150)
    sides = []
    for name, values in (("truth", pixels), ("found", np.roll(pixels, 2, -1))):
        scene = write_raster(values, f"{name}_scene.tif")
        files = tmp_path / f"{name}.tif", tmp_path / f"{name}_ids.tif"
        predict(
            scene, files[0], model=MODEL, instances=files[1], panoptic=tmp_path / name, min_area=0, score=0, **QUICK
        )
        sides.append((*files, tmp_path / name))
    (true, true_ids, truth), (found, found_ids, folder) = sides
    plain = tmp_path / "plain.tif"  # without the tags of a prediction, which is no truth
    with rasterio.open(true) as file:
        profile, values = file.profile, file.read(1)
    profile.update(driver="GTiff")
    with rasterio.open(plain, "w", **profile) as file:
        file.write(values, 1)
    assert [one.pq for one in evaluated(truth, truth).groups.values()] == [1, 1, 1]
    by_folder = evaluated(folder, truth)
    by_rasters = evaluated(found, plain, ids=[found_ids, true_ids])
    for group, one in by_folder.groups.items():
        assert one == by_rasters.groups[group]
    assert (
        0.05 < by_folder.groups["things"].pq < 1 and sum(one.figures.tp for one in by_folder.classes if one.thing) > 5
    )
