"""Panoptic maps of predict: a class and at most one object for every pixel, and the same in COCO's format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from landseg.dense import panoptic_files
from landseg.errors import LandsegError, ResumeError
from landseg.inference.prediction import Predictions
from landseg.labels.id_rasters import NODATA
from landseg.output.outputs import Outputs
from landseg.output.png import PngWriter
from landseg.predict import predict
from tests.parts.coco_panoptic import VOID, read_panoptic
from tests.parts.panoptic_maps import partition_faults
from tests.parts.predicting import MODEL as CLASSES_ALONE
from tests.parts.predicting import QUICK, one, read
from tests.parts.things import GROUND, HOUSE, TREE, hills, things_model

pytestmark = pytest.mark.usefixtures("quick_disk")
MODEL = things_model()
SMALL_STUFF = things_model(stuff_area_m2=3.0)
TABLE = MODEL.card.classes
Write = Callable[..., Path]


def expected(values: NDArray[Any], ids: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the values and ids (h, w) that a panoptic map is to hold of those of the rasters."""
    ids = np.where(ids == NODATA, 0, ids).astype(np.int64)
    void = (values == TABLE.nodata) | (np.isin(values, (HOUSE.value, TREE.value)) & (ids == 0))
    return np.where(void, VOID, values.astype(np.int64)), ids


@pytest.fixture
def scene(write_raster: Write) -> Path:
    valid = np.ones((190, 150), bool)
    valid[40:43], valid[:, 30], valid[100:, 120:] = False, False, False
    return write_raster(hills(190, 150), "scene.tif", valid=valid)


def test_classes_and_ids_are_a_partition(tmp_path: Path, scene: Path) -> None:
    with rasterio.open(scene) as raster:
        valid = raster.dataset_mask() > 0
    for number, options in enumerate(({}, {"min_area": 3.0, "score": 0.3})):
        files = tmp_path / f"{number}.tif", tmp_path / f"{number}_ids.tif"
        predict(scene, files[0], model=MODEL, instances=files[1], **options, **QUICK)
        values, ids = map(read, files)
        assert partition_faults(values, ids, valid, TABLE) == [] and ids[valid].max() > 20
    house, ground = np.argwhere((values == HOUSE.value) & (ids > 0))[0], np.argwhere(values == GROUND.value)[0]
    for name, at, value, number in (  # twins
        ("a pixel without a class", house, 77, None),
        ("an object of two classes", house, TREE.value, None),
        ("an object of stuff", ground, None, int(ids[tuple(house)])),
        ("no data in one of both alone", ground, None, NODATA),
        ("a gap between ids", house, None, int(ids[valid].max()) + 2),
    ):
        broken = values.copy(), ids.copy()
        for layer, wrong in zip(broken, (value, number), strict=True):
            layer[tuple(at)] = layer[tuple(at)] if wrong is None else wrong
        assert name in partition_faults(*broken, valid, TABLE), name


@pytest.mark.parametrize("tile", [4096, 64])
def test_the_folder_holds_what_the_rasters_hold(tmp_path: Path, scene: Path, tile: int) -> None:
    files: dict[str, Any] = {"instances": tmp_path / "ids.tif", "panoptic": tmp_path / "pan", "panoptic_tile": tile}
    made = one(predict(scene, tmp_path / "m.tif", model=MODEL, min_area=1.0, **files, **QUICK))
    assert made.files == (tmp_path / "m.tif", tmp_path / "ids.tif", tmp_path / "pan")
    found = read_panoptic(tmp_path / "pan")
    values, ids = expected(read(tmp_path / "m.tif"), read(tmp_path / "ids.tif"))
    assert np.array_equal(found.values, values) and np.array_equal(found.ids, ids)
    assert (found.values == VOID).sum() > (read(tmp_path / "m.tif") == TABLE.nodata).sum()  # things without an object
    assert len(found.table["images"]) == (1 if tile == 4096 else 9)
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_it_needs_no_other_file_and_changes_none(tmp_path: Path, scene: Path) -> None:
    predict(scene, tmp_path / "m.tif", model=MODEL, instances=tmp_path / "ids.tif", **QUICK)
    predict(scene, tmp_path / "alone.tif", model=MODEL, panoptic=tmp_path / "alone", **QUICK)
    predict(scene, tmp_path / "h.gpkg", model=MODEL, panoptic=tmp_path / "h/", **QUICK)
    assert read_panoptic(tmp_path / "h").table["images"][0]["file_name"] == "h.png"
    values, ids = expected(read(tmp_path / "m.tif"), read(tmp_path / "ids.tif"))
    for name in ("alone", "h"):
        found = read_panoptic(tmp_path / name)
        assert np.array_equal(found.values, values) and np.array_equal(found.ids, ids), name
    assert np.array_equal(read(tmp_path / "m.tif"), read(tmp_path / "alone.tif"))


def test_small_stuff_is_void_in_the_folder_alone(tmp_path: Path, scene: Path) -> None:
    for name, model in (("a", MODEL), ("b", SMALL_STUFF)):
        files = {"instances": tmp_path / f"{name}_ids.tif", "panoptic": tmp_path / name}
        predict(scene, tmp_path / f"{name}.tif", model=model, **files, **QUICK)
    for name in ("", "_ids"):
        assert np.array_equal(read(tmp_path / f"a{name}.tif"), read(tmp_path / f"b{name}.tif"))
    every, large = (read_panoptic(tmp_path / name).values for name in "ab")
    gone = every != large
    assert gone.any() and (large[gone] == VOID).all() and (every[gone] == GROUND.value).all()
    assert (large == GROUND.value).any()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(name: str, **options: Any) -> dict[str, bytes]:
        (tmp_path / name).mkdir(exist_ok=True)
        files: dict[str, Any] = {"panoptic": tmp_path / name / "pan", "panoptic_tile": 64}
        predict(scene, tmp_path / name / "m.tif", model=SMALL_STUFF, **files, **options, **QUICK)
        return contents(tmp_path / name / "pan")

    whole = run("whole")
    for name, of in (("write", Outputs), ("close", PngWriter), ("built", Outputs)):
        call = getattr(of, name)

        def stopped(self: Any, *args: Any, call: Any = call, name: str = name, **options: Any) -> Any:
            made = call(self, *args, **options)
            if name != "write" or args[0] == "pieces":
                raise KeyboardInterrupt
            return made

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(of, name, stopped)
            run(name)
        assert not (tmp_path / name / "pan").exists()
        assert run(name, resume=True) == whole, name
    with pytest.raises(ResumeError, match="panoptic_tile 64, now asked for is 100"):
        predict(
            scene, tmp_path / "whole/m.tif", model=SMALL_STUFF, panoptic=tmp_path / "whole/pan", panoptic_tile=100,
            resume=True, **QUICK,
        )  # fmt: skip
    assert one(predict(
        scene, tmp_path / "whole/m.tif", model=SMALL_STUFF, panoptic=tmp_path / "whole/pan", panoptic_tile=64,
        resume=True, **QUICK,
    )).skipped  # fmt: skip


def test_an_older_folder_is_replaced_as_a_whole(tmp_path: Path, scene: Path) -> None:
    files: dict[str, Any] = {"panoptic": tmp_path / "pan", **QUICK}
    predict(scene, tmp_path / "m.tif", model=MODEL, panoptic_tile=64, **files)
    before = contents(tmp_path / "pan")
    with pytest.raises(LandsegError, match="pan exists: choose another output"):
        predict(scene, tmp_path / "n.tif", model=MODEL, **files)
    assert contents(tmp_path / "pan") == before
    predict(scene, tmp_path / "m.tif", model=MODEL, overwrite=True, **files)
    assert sorted(contents(tmp_path / "pan")) == ["m.png", "panoptic.json"]


def test_a_map_of_each_raster_has_a_folder_of_its_own(tmp_path: Path, scene: Path, write_raster: Write) -> None:
    other = write_raster(hills(60, 70, seed=1), "other.tif")
    (tmp_path / "maps").mkdir()
    made = predict([scene, other], tmp_path / "maps", model=MODEL, panoptic=tmp_path / "pan", **QUICK)
    assert isinstance(made, Predictions) and not made.failures
    found = {path.name: read_panoptic(path).table["images"][0]["file_name"] for path in (tmp_path / "pan").iterdir()}
    assert found == {"scene": "scene.png", "other": "other.png"}


def test_an_area_of_interest_and_scattered_rasters(tmp_path: Path, scene: Path, write_raster: Write) -> None:
    from affine import Affine

    with rasterio.open(scene) as raster:
        far = raster.transform @ Affine.translation(900, 20)
    second = write_raster(hills(50, 60, seed=1), "b.tif", transform=far)
    files = {"instances": tmp_path / "i.tif", "panoptic": tmp_path / "pan", "overwrite": True}
    for model in (MODEL, SMALL_STUFF):
        predict([scene, second], tmp_path / "m.tif", model=model, sparse=True, panoptic_tile=100, **files, **QUICK)
        found = read_panoptic(tmp_path / "pan")
        values, ids = expected(read(tmp_path / "m.tif"), read(tmp_path / "i.tif"))
        there = found.values != VOID
        assert np.array_equal(found.ids, ids) and np.array_equal(found.values[there], values[there])
        assert model is SMALL_STUFF or np.array_equal(there, values != VOID)
        assert {one["column"] for one in found.table["images"]} == {0, 100, 900}  # none of the gap between
    with rasterio.open(scene) as raster:
        box = (*raster.xy(60, 10, offset="ul"), *raster.xy(20, 70, offset="ul"))
    predict(scene, tmp_path / "m.tif", model=MODEL, aoi=(box[0], box[1], box[2], box[3]), **files, **QUICK)
    found = read_panoptic(tmp_path / "pan")
    assert found.values.shape == (40, 60)
    assert np.array_equal(found.ids, expected(read(tmp_path / "m.tif"), read(tmp_path / "i.tif"))[1])


def test_a_dry_run_counts_the_folder(tmp_path: Path, scene: Path) -> None:
    ways: tuple[dict[str, Any], ...] = ({"instances": "i.tif"}, {"instances": "i.tif", "panoptic": "pan"})
    disk = [
        one(
            predict(
                scene, tmp_path / "m.tif", model=MODEL, dry_run=True,
                **{name: tmp_path / file for name, file in files.items()}, **QUICK,
            )
        ).disk_mib
        for files in ways
    ]  # fmt: skip
    assert disk[1] - disk[0] == pytest.approx(3 * 190 * 150 / 2**20, abs=0.002)
    assert not (tmp_path / "pan").exists()


def refusal(tmp_path: Path, scene: Path, model: Any = MODEL, **options: Any) -> str:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(LandsegError) as error:
        predict(scene, tmp_path / "no.tif", model=model, **options, **QUICK)
    assert sorted(tmp_path.rglob("*")) == before
    return str(error.value).replace(str(tmp_path), "F")


def test_what_cannot_be_is_refused_in_a_sentence(tmp_path: Path, scene: Path) -> None:
    pan = tmp_path / "pan"
    said = refusal(tmp_path, scene, CLASSES_ALONE, panoptic=pan)
    assert said == "--panoptic: the model has no class of things and finds no objects: leave out --panoptic"
    assert refusal(tmp_path, scene, panoptic=scene) == "F/scene.tif is a file: name a new folder, which the run makes"
    said = refusal(tmp_path, scene, panoptic=tmp_path)
    assert said == "F/no.tif lies in F, which the run makes as a whole: put it elsewhere"
    said = refusal(tmp_path, scene, panoptic=tmp_path / "pan.json")
    assert said.startswith("--panoptic F/pan.json: expected a folder, in which panoptic.json and its pictures")
    assert said.endswith("write --panoptic F/pan")
    said = refusal(tmp_path, scene, panoptic=tmp_path / "none" / "pan")
    assert said == "F/none/pan has no folder: make F/none first, or choose another output"
    pan.mkdir()
    (pan / "notes.txt").write_text("mine")
    for options in ({}, {"overwrite": True}):
        said = refusal(tmp_path, scene, panoptic=pan, **options)
        assert said == "F/pan holds notes.txt, which is not of an earlier panoptic.json: choose another folder"
    said = refusal(tmp_path, scene, panoptic=pan, instances=pan / "ids.tif")
    assert said == "F/pan/ids.tif lies in F/pan, which the run makes as a whole: put it elsewhere"
    for wrong in (-1, 63):
        said = refusal(tmp_path, scene, panoptic=pan, panoptic_tile=wrong)
        assert said == f"--panoptic-tile {wrong!r}: expected a whole number of pixels from 64 on, such as 4096"
    assert refusal(tmp_path, scene, panoptic=pan, panoptic_tile=99.5) == "panoptic_tile 99.5: expected a whole number"
    said = refusal(tmp_path, scene, panoptic_tile=100)
    assert said == "--panoptic-tile is about COCO's panoptic format: add --panoptic DIR, or leave it out"


def test_a_full_disk_leaves_no_folder(tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Any, kind: bytes, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PngWriter, "_chunk", full)
    with pytest.raises(LandsegError, match="is full"):
        predict(scene, tmp_path / "m.tif", model=MODEL, panoptic=tmp_path / "pan", **QUICK)
    assert not (tmp_path / "pan").exists() and not (tmp_path / "m.tif").exists()
    monkeypatch.undo()
    predict(scene, tmp_path / "m.tif", model=MODEL, panoptic=tmp_path / "pan", resume=True, **QUICK)
    assert json.loads((tmp_path / "pan/panoptic.json").read_text())["images"]


def test_twin_stuff_whose_id_is_one_of_an_object_is_caught(
    tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_stuff = panoptic_files.SegmentIds.of_stuff
    monkeypatch.setattr(panoptic_files.SegmentIds, "of_stuff", lambda self: np.minimum(of_stuff(self), 1))
    predict(scene, tmp_path / "m.tif", model=MODEL, panoptic=tmp_path / "pan", **QUICK)
    predict(scene, tmp_path / "n.tif", model=MODEL, instances=tmp_path / "i.tif", **QUICK)
    found = read_panoptic(tmp_path / "pan")
    assert not np.array_equal(found.ids, expected(read(tmp_path / "n.tif"), read(tmp_path / "i.tif"))[1])
