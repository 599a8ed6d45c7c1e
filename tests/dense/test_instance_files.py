"""The objects of a finished run: sizes on the ground, what becomes of them as polygons, memory for a few rows."""

from __future__ import annotations

import sys
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from landseg.classes import ClassMap
from landseg.dense import instance_files
from landseg.dense.instance_files import IDS, PixelSizes, touching, write_ids
from landseg.dense.instances import Instances
from landseg.dense.row_grouping import Grouped
from landseg.dense.task import Request
from landseg.geo.grid import Grid, Rect
from landseg.geo.pieces import cut
from landseg.output.outputs import Outputs
from landseg.output.targets import Targets
from tests.parts.things import GROUND, HOUSE

pytestmark = pytest.mark.usefixtures("quick_disk")
TABLE = ClassMap((HOUSE, GROUND))


def begin(folder: Path, task: Instances, grid: Grid, **files: Path) -> tuple[Outputs, Request]:
    """Return the outputs of a run that writes objects."""
    request = Request(folder / "map.tif", files or {"instances": folder / "ids.tif"})
    layers = task.layers(request)
    extras = {path: () for name, path in files.items() if name == "polygons"}
    return Outputs.begin(Targets(layers, extras), grid, signature={}, tags=task.tags()), request


def put(outputs: Outputs, rect: Rect, house: NDArray[np.bool_], energy: NDArray[np.uint16]) -> None:
    """Write the maps of a rectangle, with houses where `house` (h, w) is."""
    outputs.write("classes", rect, np.where(house, HOUSE.value, GROUND.value).astype(np.uint8))
    outputs.write("energy", rect, energy)
    outputs.write("evidence", rect, np.stack([np.full(rect.shape, 255, np.uint8), np.zeros(rect.shape, np.uint8)]))


def grouped(folder: Path, grid: Grid, house: NDArray[np.bool_], **options: float) -> tuple[NDArray[Any], Grouped]:
    """Return the ids of a map whose energy is 1 everywhere, and its things."""
    task = Instances(TABLE, options)
    outputs, request = begin(folder, task, grid)
    put(outputs, grid.rect, house, np.full(grid.shape, 65535, np.uint16))
    found = write_ids(outputs, request, TABLE, task.options)
    ids = outputs.read(IDS, grid.rect)[0]
    outputs.discard()
    return ids, found


def test_smallest_areas_are_those_on_the_ground(tmp_path: Path) -> None:
    house = np.zeros((80, 30), bool)
    house[2::10, 5:8] = True  # of three pixels each, in rows from 79 degrees north down to the equator
    degrees = Grid(CRS.from_epsg(4326), Affine(1, 0, 0, 0, -1, 80), 30, 80)
    areas = [3 * float(PixelSizes(degrees)._areas.of(np.array([row]), np.array([0]))[0]) for row in range(2, 80, 10)]
    assert areas == sorted(areas) and areas[0] < 0.3 * areas[-1]
    ids, found = grouped(tmp_path, degrees, house, min_area_m2=(areas[3] + areas[4]) / 2)
    assert (found.below_area, len(found.things), int(ids.max())) == (4, 4, 4) and not ids[:40].any()
    ids, found = grouped(tmp_path, degrees, house, min_area_m2=3.0)  # twin: the same number, of pixels
    assert found.below_area == 0
    ids, found = grouped(tmp_path, Grid(None, Affine.identity(), 30, 80), house, min_area_m2=3.5)
    assert found.below_area == 8 and not ids.any()  # pixels where there is no CRS


def test_a_size_in_the_plane_is_the_area_of_the_polygon(tmp_path: Path) -> None:
    house = np.zeros((8, 9), bool)
    house[1:3, 1:4], house[5, 1:6] = True, True
    grid = Grid(CRS.from_epsg(32645), Affine(0.5, 0, 3e5, 0, -0.5, 3e6), 9, 8)
    ids, found = grouped(tmp_path, grid, house, min_area_m2=1.5)  # 6 x 0.25, and 5 x 0.25
    assert found.things.pixels.tolist() == [6] and ids[1, 1] == 1 and ids[5, 1] == 0


def test_parts_of_a_raster_are_grouped_together_where_they_touch() -> None:
    parts = [Rect(0, 0, 4, 4), Rect(4, 3, 2, 5), Rect(6, 8, 2, 2), Rect(20, 0, 1, 1), Rect(20, 1, 3, 3)]
    assert touching(parts) == [parts[:2], [parts[2]], parts[3:]]
    assert touching(parts[:1]) == [parts[:1]] and touching([]) == []


@dataclass(frozen=True)
class Shapes:
    holes: float = 0.0
    regularize: bool = False
    simplify: float = 0.0


def test_polygons_get_rasters_scores_and_shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []

    def drawn(classes: Path, ids: Path, out: Path, table: ClassMap, scores: NDArray[Any], **more: Any) -> int:
        with rasterio.open(classes) as one, rasterio.open(ids) as other:
            calls.append({"values": one.read(1), "ids": other.read(1), "scores": scores, "table": table, **more})
        out.write_text("shapes")
        return len(scores)

    double = SimpleNamespace(InstanceShapes=Shapes, polygonize_instances=drawn)
    monkeypatch.setitem(sys.modules, "landseg.vector.instance_polygons", double)
    house = np.array([[True, False, True, True]])
    task, grid = Instances(TABLE, {}), Grid(CRS.from_epsg(32645), Affine(0.5, 0, 3e5, 0, -0.5, 3e6), 4, 1)
    for output, name in ((tmp_path / "map.tif", "houses.gpkg"), (tmp_path / "only.gpkg", "only.gpkg")):
        request = Request(output, {"polygons": tmp_path / name}, shaping={"holes": 2.0})
        targets = Targets(task.layers(request), {tmp_path / name: ()})
        with Outputs.begin(targets, grid, signature={}, tags=task.tags()) as outputs:
            put(outputs, grid.rect, house, np.full((1, 4), 65535, np.uint16))
            assert task.finish(outputs, request) == {"instances": 2, "below_score": 0, "below_area": 0}
            outputs.finish()
        seen = calls.pop()
        assert (seen["values"].tolist(), seen["ids"].tolist()) == ([[3, 1, 3, 3]], [[1, 0, 2, 2]])
        assert seen["scores"].tolist() == [1, 1] and seen["scores"].dtype == np.float32
        assert (seen["options"], seen["called"], seen["table"]) == (Shapes(holes=2.0), tmp_path / name, TABLE)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [name for name in names if not name.endswith((".qml", ".xml"))] == ["houses.gpkg", "map.tif", "only.gpkg"]


def peak(folder: Path, height: int) -> tuple[int, Grouped]:
    """Return the peak of memory in bytes while a raster of 48 columns is grouped, and its things."""
    random = np.random.default_rng(0)
    grid, task = Grid(None, Affine.identity(), 48, height), Instances(TABLE, {})
    outputs, request = begin(folder, task, grid)
    house = np.kron(np.indices((64, 6)).sum(0) % 2 == 0, np.ones((8, 8), bool))
    energy = np.kron(random.integers(1, 65536, (128, 12)), np.ones((4, 4))).astype(np.uint16)
    for rect in cut(grid.rect, 512):
        put(outputs, rect, house[: rect.height], energy[: rect.height])
    tracemalloc.start()
    found = write_ids(outputs, request, TABLE, task.options)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    outputs.discard()
    return most, found


def test_memory_is_that_of_a_few_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance_files, "_PIXELS", 1 << 15)
    (low, few), (high, many) = (peak(tmp_path, height) for height in (8_192, 65_536))
    assert 7.9 < len(many.things) / len(few.things) < 8.1
    labels, things = len(many.table) - len(few.table), len(many.things) - len(few.things)
    assert high - low < 60 * labels + 200 * things  # these remain, and nothing else
    monkeypatch.setattr(instance_files, "_PIXELS", 1 << 30)  # twin: all rows at a time
    assert peak(tmp_path, 65_536)[0] > high + 48 * 57_344 * 8
