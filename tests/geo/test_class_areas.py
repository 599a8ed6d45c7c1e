"""Areas that are counted while a map is written: as `landseg areas` counts them, and the same after a resume."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window, bounds

from landseg.areas import areas
from landseg.cli.predict import lines as predict_lines
from landseg.geo.class_areas import ClassArea
from landseg.geo.grid import Grid, Rect
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.output.targets import Targets
from landseg.predict import predict
from landseg.runtime.disk import work_folder
from tests.parts.outputs import CLASSES, GRID, STRIPS, pixels
from tests.parts.predicting import MODEL, QUICK, noise, one

pytestmark = pytest.mark.usefixtures("quick_disk")
GRIDS = {"metres": GRID, "degrees": Grid(CRS.from_epsg(4326), Affine(0.5, 0, 10, 0, -0.5, 60), 30, 40)}


def write(folder: Path, grid: Grid, rects: tuple[Rect, ...], *, stop: int = 99, resume: bool = False) -> Any:
    """Some steps of a run; the areas of a whole one, else nothing."""
    layer = Layer.of_classes("classes", folder / "map.tif", CLASSES)
    with Outputs.begin(Targets([layer], resume=resume), grid, signature={}) as outputs:
        for number, rect in enumerate(rects):
            if str(rect.top) in outputs.done:
                continue
            values, _, valid = pixels(rect)
            outputs.write("classes", rect, values, valid)
            if number >= stop:
                return None  # killed before it is durable
            outputs.commit(str(rect.top))
        found = outputs.areas
        outputs.finish()
    return found


@pytest.mark.parametrize("place", GRIDS)
def test_they_are_those_of_the_finished_map_however_it_was_written(tmp_path: Path, place: str) -> None:
    found = []
    for name, rects, stop in (("a", STRIPS, 99), ("b", STRIPS, 1), ("c", (Rect(0, 0, 40, 30),), 99)):
        (tmp_path / name).mkdir()
        made = write(tmp_path / name, GRIDS[place], rects, stop=stop)
        found.append(write(tmp_path / name, GRIDS[place], rects, resume=True) if made is None else made)
    assert found[0] == found[1] == found[2] == areas(tmp_path / "a/map.tif", quiet=True).whole.classes
    values, _, valid = pixels(GRID.rect)
    assert [row.pixels for row in found[0]] == [int((valid & (values == value)).sum()) for value in (1, 3)]


def test_twin_a_step_that_was_lost_would_be_missed(tmp_path: Path) -> None:
    whole = write(tmp_path, GRID, STRIPS)
    (tmp_path / "map.tif").unlink()
    for beside in ("map.qml", "map.tif.aux.xml"):
        (tmp_path / beside).unlink()
    write(tmp_path, GRID, STRIPS, stop=1)
    journal = work_folder(tmp_path / "map.tif") / "journal"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines[1:]:
        line["areas"] = {}
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert write(tmp_path, GRID, STRIPS, resume=True) != whole


def test_a_journal_that_does_not_tell_leaves_them_unknown(tmp_path: Path) -> None:
    write(tmp_path, GRID, STRIPS, stop=1)
    journal = work_folder(tmp_path / "map.tif") / "journal"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines[1:]:
        del line["areas"]
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert write(tmp_path, GRID, STRIPS, resume=True) == ()


def test_a_prediction_tells_what_its_map_holds(write_raster: Callable[..., Path], tmp_path: Path) -> None:
    raster, output = write_raster(noise(90, 90)), tmp_path / "o.tif"
    options: dict[str, Any] = {"model": MODEL, "aoi": _part(raster), **QUICK}
    first = one(predict(raster, output, **options))
    assert first.areas == areas(output, quiet=True).whole.classes and sum(row.pixels for row in first.areas) == 4000
    assert any(line.startswith("areas         ") and " ha (" in line for line in predict_lines(first))
    again = one(predict(raster, output, resume=True, **options))
    assert again.skipped and again.areas == first.areas
    assert again.to_json()["areas"] == [row.to_json() for row in first.areas]
    plan = one(predict(raster, tmp_path / "p.tif", dry_run=True, **options))
    assert plan.areas == () and not any(line.startswith("areas") for line in predict_lines(plan))


def _part(raster: Path) -> str:
    """80 x 50 pixels of it."""
    with rasterio.open(raster) as file:
        left, bottom, right, top = bounds(Window(10, 20, 80, 50), file.transform)
    return f"{left},{bottom},{right},{top}"


def test_a_share_of_nothing_is_null() -> None:
    row = ClassArea(1, "a", 0, 0.0, float("nan"))
    assert row.to_json()["share"] is None and replace(row, share=0.5).to_json()["share"] == 0.5
    assert np.isnan(row.share)
