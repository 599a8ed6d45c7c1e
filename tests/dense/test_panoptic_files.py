"""COCO's panoptic format: out and in again is the identity, however the raster is cut into images and strips."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from numpy.typing import NDArray

from landseg.dense import instance_files, panoptic_files, stuff_pieces
from landseg.dense.instance_files import write_ids
from landseg.dense.instances import Instances
from landseg.dense.panoptic_files import FOLDER, SegmentIds, write_panoptic
from landseg.dense.row_grouping import RowGrouping
from landseg.dense.task import Request
from landseg.geo.grid import Rect
from landseg.labels import coco_panoptic
from landseg.labels.id_rasters import NODATA
from landseg.output.outputs import Outputs
from landseg.output.targets import Targets
from landseg.runtime.disk import work_folder
from tests.parts.coco_panoptic import VOID, Panoptic, read_panoptic
from tests.parts.panoptic_maps import GROUND, HOUSE, TABLE, THINGS, WATER, Map, partition_faults, place, random_map

pytestmark = pytest.mark.usefixtures("quick_disk")


def run(
    folder: Path, made: Map, *, tile: int = 4096, least: float = 0.0, parts: Sequence[Rect] | None = None,
    crs: str | None = "EPSG:32645",
) -> Panoptic:  # fmt: skip
    """Write a map in COCO's format through the outputs of a run, and read it back."""
    task = Instances(TABLE, {"stuff_area_m2": least})
    request = Request(folder / "map.tif", {"panoptic": folder / "pan"}, panoptic_tile=tile)
    layers = [layer for layer in task.layers(request) if layer.name not in ("energy", "evidence")]
    layers = [replace(layer, late=layer.name != "classes") for layer in layers]
    targets = Targets(layers, {folder / "pan": ()}, extra_folders={folder / "pan": FOLDER})
    with Outputs.begin(targets, place(made[0].shape, crs), signature={}, parts=parts) as outputs:
        for part in outputs.parts:
            for name, pixels in zip(("classes", "instances"), made, strict=True):
                outputs.write(name, part, pixels[part.slices])
        there = made[1][(made[1] > 0) & (made[1] != NODATA)]
        write_panoptic(outputs, request, TABLE, objects=int(there.max(initial=0)), least_stuff=least)
        found = read_panoptic(work_folder(folder / "pan") / "pan")
        outputs.discard()
    return found


def expected(made: Map) -> Map:
    """Return the values and ids that a panoptic map tells of: things without an object, and no data, are void."""
    values, ids = made[0].astype(np.int64), np.where(made[1] == NODATA, 0, made[1]).astype(np.int64)
    void = (values == TABLE.nodata) | (np.isin(values, THINGS) & (ids == 0))
    return np.where(void, VOID, values), ids  # type: ignore[return-value]


def same(found: Panoptic, made: Map) -> bool:
    values, ids = expected(made)
    return np.array_equal(found.values, values) and np.array_equal(found.ids, ids)


@settings(max_examples=25)
@given(
    some.integers(0, 10**6), some.integers(1, 40), some.integers(1, 40), some.integers(1, 50), some.integers(1, 400)
)
def test_out_and_in_again_is_the_identity(seed: int, height: int, width: int, tile: int, rows: int) -> None:
    made = random_map(np.random.default_rng(seed), (height, width))
    with (
        TemporaryDirectory() as folder,
        patch.object(os, "fsync", lambda _: None),
        patch.object(panoptic_files, "_PIXELS", rows),
        patch.object(panoptic_files, "_SEGMENTS", 1 + rows % 3),
    ):
        found = run(Path(folder), made, tile=tile)
    assert same(found, made)
    assert len(found.table["images"]) == -(-height // tile) * -(-width // tile)


def test_twin_an_offset_that_is_forgotten_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = random_map(np.random.default_rng(1), (30, 40))
    assert same(run(tmp_path, made, tile=16), made)
    (tmp_path / "twin").mkdir()
    draw = panoptic_files._Drawing.draw

    def shifted(self: Any, image: Rect, picture: Any, done: Any) -> Any:
        return draw(self, Rect(0, image.left, image.height, image.width), picture, done)

    monkeypatch.setattr(panoptic_files._Drawing, "draw", shifted)
    assert not same(run(tmp_path / "twin", made, tile=16), made)


def test_a_segment_that_the_grid_cuts_keeps_its_id(tmp_path: Path) -> None:
    values = np.full((4, 9), GROUND.value, np.uint16)
    ids = np.zeros(values.shape, np.uint32)
    values[1:3, 1:8], ids[1:3, 1:8] = HOUSE.value, 1
    found = run(tmp_path, (values, ids), tile=3)
    of_house = [image for image, number in found.segments() if number == 1]
    assert of_house == [1, 2, 3] and found.ids[1:3, 1:8].all()
    stuff = {number for _, number in found.segments()} - {1}
    assert len(stuff) == 1  # the id of a class is one too
    (row,) = [one for one in found.table["annotations"][0]["segments_info"] if one["id"] == 1]
    assert (row["area"], row["bbox"]) == (4, [1, 1, 2, 2])  # those in the image


def test_names_of_categories_and_images(tmp_path: Path) -> None:
    made = random_map(np.random.default_rng(2), (10, 12))
    table = run(tmp_path, made).table
    assert table["categories"][3] == {"id": 2, "name": 'ground "bare"', "isthing": 0, "color": [90, 90, 90]}
    assert [one["isthing"] for one in table["categories"]] == [1, 0, 1, 0]
    assert table["images"] == [{"id": 1, "file_name": "map.png", "width": 12, "height": 10, "row": 0, "column": 0}]
    (tmp_path / "cut").mkdir()
    images = run(tmp_path / "cut", made, tile=7).table["images"]
    assert images[3] == {"id": 4, "file_name": "map_7_7.png", "width": 5, "height": 3, "row": 7, "column": 7}


def test_more_segments_than_colours_go_into_several_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = random_map(np.random.default_rng(3), (30, 30))
    most = int(made[1][made[1] != NODATA].max())
    monkeypatch.setattr(coco_panoptic, "LARGEST", most + len(TABLE))
    assert SegmentIds(TABLE, most).fits and not SegmentIds(TABLE, most + 1).fits
    monkeypatch.setattr(coco_panoptic, "LARGEST", most + len(TABLE) - 1)
    monkeypatch.setattr(panoptic_files, "_MANY", 8)
    found = run(tmp_path, made)
    assert same(found, made) and len(found.table["images"]) == 16
    first = [number for image, number in found.segments() if image == 1]
    assert first == list(range(1, len(first) + 1))  # ids of its own


def small_stuff() -> tuple[Map, NDArray[np.bool_]]:
    """Return a map with a piece of 10 pixels of ground, one of 2, one of 3 pixels of water, and where the 2 are."""
    values = np.full((6, 8), HOUSE.value, np.uint16)
    values[0:5, 0:2], values[0, 6:8], values[5, 5:8] = GROUND.value, GROUND.value, WATER.value
    values[1, 5] = GROUND.value  # meets the two by a corner only
    ids = np.where(values == HOUSE.value, 1, 0).astype(np.uint32)
    small = np.zeros(values.shape, bool)
    small[0, 6:8], small[1, 5] = True, True
    return (values, ids), small


def test_small_pieces_of_stuff_are_void_however_the_raster_is_cut(tmp_path: Path) -> None:
    made, small = small_stuff()
    values, ids = expected(made)
    for number, tile in enumerate((4096, 2)):  # tiles of two rows cut the large pieces into small ones
        (tmp_path / str(number)).mkdir()
        found = run(tmp_path / str(number), made, tile=tile, least=0.6)  # of 0.25 m2 each
        assert np.array_equal(found.values, np.where(small, VOID, values)) and np.array_equal(found.ids, ids)
    for name, least, gone in (("all", 0.0, 0), ("exact", 0.5, 1), ("water", 0.76, 6), ("both", 2.6, 16)):
        (tmp_path / name).mkdir()
        assert (run(tmp_path / name, made, least=least).values == VOID).sum() == gone, name
    (tmp_path / "pixels").mkdir()
    found = run(tmp_path / "pixels", made, least=3, crs=None)
    assert np.array_equal(found.values == VOID, small)


def test_parts_that_nothing_is_written_to_are_void_and_no_images(tmp_path: Path) -> None:
    made = random_map(np.random.default_rng(4), (20, 64))
    parts = [Rect(0, 0, 9, 12), Rect(11, 40, 9, 24), Rect(9, 4, 3, 3)]
    written = np.zeros(made[0].shape, bool)
    for part in parts:
        written[part.slices] = True
    values, ids = expected(made)
    for least in (0.0, 0.6):
        (tmp_path / str(least)).mkdir()
        found = run(tmp_path / str(least), made, tile=10, parts=parts, least=least)
        there = found.values != VOID
        assert np.array_equal(found.values[there], values[there]) and not there[~written].any()
        assert np.array_equal(found.ids, np.where(written, ids, 0))
        assert least or np.array_equal(there, written & (values != VOID))
        assert [one["column"] for one in found.table["images"] if one["row"] == 0] == [0, 10]


def test_a_map_without_a_segment(tmp_path: Path) -> None:
    values = np.full((3, 4), TABLE.nodata, np.uint16)
    found = run(tmp_path, (values, np.full((3, 4), NODATA, np.uint32)))
    assert (found.values == VOID).all() and found.table["annotations"][0]["segments_info"] == []


def grouped(folder: Path, seed: int, shape: tuple[int, int], **options: Any) -> tuple[Any, Any, Any]:
    """Return the class values and ids (h, w) of random maps as a run groups them, and where there is data."""
    rng, grid, task = np.random.default_rng(seed), place(shape), Instances(TABLE, options)
    values, _ = random_map(rng, shape)
    valid = values != TABLE.nodata
    request = Request(folder / "map.tif", {"instances": folder / "ids.tif"})
    with Outputs.begin(Targets(task.layers(request)), grid, signature={}) as outputs:
        outputs.write("classes", grid.rect, values, valid)
        outputs.write("energy", grid.rect, rng.integers(0, 2 ** rng.integers(1, 17), shape).astype(np.uint16), valid)
        outputs.write("evidence", grid.rect, rng.integers(0, 256, (2, *shape)).astype(np.uint8), valid)
        write_ids(outputs, request, TABLE, task.options)
        made = outputs.read("classes", grid.rect)[0], outputs.read("instances", grid.rect)[0], valid
        outputs.discard()
    return made


@settings(max_examples=40)
@given(
    some.integers(0, 10**6), some.integers(1, 24), some.integers(1, 24), some.sampled_from([0.0, 0.5, 2.0]),
    some.sampled_from([0.0, 0.2]), some.sampled_from([0.0, 0.3, 2.0]), some.booleans(),
)  # fmt: skip
def test_classes_and_ids_of_a_run_are_a_partition(
    seed: int, height: int, width: int, area: float, score: float, rise: float, join: bool
) -> None:
    with TemporaryDirectory() as folder, patch.object(os, "fsync", lambda _: None):
        options = {"min_area_m2": area, "score": score, "rise": rise, "join_small": join}
        values, ids, valid = grouped(Path(folder), seed, (height, width), **options)
    assert partition_faults(values, ids, valid, TABLE) == []


def test_twin_classes_grouped_as_one_are_no_partition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Joined(RowGrouping):
        def add(self, maps: Any, units: Any = None) -> Any:
            things = np.isin(maps.classes, TABLE.things)
            return super().add(replace(maps, classes=np.where(things, 0, maps.classes).astype(np.uint8)), units)

    monkeypatch.setattr(instance_files, "RowGrouping", Joined)
    values, ids, valid = grouped(tmp_path, 0, (24, 24), rise=2.0)
    assert partition_faults(values, ids, valid, TABLE) == ["an object of two classes"]


def peak(folder: Path, height: int) -> int:
    """Return the peak of memory in bytes while a map of 64 columns and few objects is written."""
    rng = np.random.default_rng(0)
    values = np.kron(rng.choice([7, 0, 2], (height // 64, 4)), np.ones((64, 16), int)).astype(np.uint16)
    ids = (values == 7).astype(np.uint32)
    grid, task = place(values.shape), Instances(TABLE, {"stuff_area_m2": 10.0})
    request = Request(folder / "map.tif", {"panoptic": folder / "pan"}, panoptic_tile=1 << 20)
    layers = [layer for layer in task.layers(request) if layer.name not in ("energy", "evidence")]
    outputs = Outputs.begin(Targets(layers, {folder / "pan": ()}), grid, signature={})
    outputs.write("classes", grid.rect, values)
    outputs.write("instances", grid.rect, ids)
    tracemalloc.start()
    write_panoptic(outputs, request, TABLE, objects=1, least_stuff=10.0)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    outputs.discard()
    return most


def test_memory_is_that_of_a_few_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panoptic_files, "_PIXELS", 1 << 13)
    monkeypatch.setattr(stuff_pieces, "_PIXELS", 1 << 13)
    low, high = peak(tmp_path, 2048), peak(tmp_path, 16_384)
    assert high < 1.2 * low
    monkeypatch.setattr(panoptic_files, "_PIXELS", 1 << 30)  # twin: all rows at a time
    assert peak(tmp_path, 16_384) > 5 * high
