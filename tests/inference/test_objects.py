"""Objects in predict: the same ids however the raster is cut or resumed; what is counted, refused and left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from PIL import Image

from landseg.cli.predict import lines
from landseg.dense.grouping import group
from landseg.dense.instances import Instances
from landseg.errors import OutputError, PlanError, ResumeError
from landseg.geo.rasters.raster import RasterFile
from landseg.labels.id_rasters import NODATA, is_id_raster
from landseg.models.file import Model
from landseg.output.outputs import Outputs
from landseg.predict import predict
from tests.parts.predicting import MODEL as CLASSES_ALONE
from tests.parts.predicting import QUICK, one, read
from tests.parts.things import GROUND, HOUSE, hills, things_model
from tests.parts.vrt import build_vrt

pytestmark = pytest.mark.usefixtures("quick_disk")
MODEL = things_model()
EXACT: dict[str, Any] = {"engine": "windows", "window": 64, "halo": "exact"}
Write = Callable[..., Path]


def whole(pixels: NDArray[np.uint8], model: Model = MODEL, valid: Any = None, **options: Any) -> Any:
    """Return the ids (h, w) of one pass over the whole picture, and the things."""
    with torch.inference_mode():
        output = model.network(torch.from_numpy(pixels[None].astype(np.float32)))[0].numpy()
    task = Instances(model.card.classes, model.card.task_options)
    valid = np.ones(output.shape[1:], bool) if valid is None else valid
    return group(task.maps(output, valid), task.classes.things, rise=task.options["rise"], **options)


def test_every_plan_gives_the_ids_of_the_whole_picture(tmp_path: Path, write_raster: Write) -> None:
    pixels = hills(230, 170)
    scene, plans = write_raster(pixels), {"stream": {}, "windows": EXACT, "tall": {**EXACT, "window": (128, 32)}}
    made = {}
    for name, options in plans.items():
        files = {"instances": tmp_path / f"{name}_ids.tif", "overwrite": True}
        made[name] = one(predict(scene, tmp_path / "map.tif", model=MODEL, **files, **options, **QUICK))
    ids, things = whole(pixels)
    assert len(things) > 50
    for name, result in made.items():
        assert np.array_equal(read(tmp_path / f"{name}_ids.tif"), ids), name
        assert result.counts == {"instances": len(things), "below_score": 0, "below_area": 0}
    assert made["stream"].engine == "stream" and made["windows"].windows > 4
    blended = {"engine": "windows", "window": 64, "halo": 0, "instances": tmp_path / "blended.tif"}
    predict(scene, tmp_path / "b.tif", model=MODEL, **blended, **QUICK)
    assert not np.array_equal(read(tmp_path / "blended.tif"), ids)  # twin: cut where the network sees no further


def test_a_raster_of_ids_says_what_it_is(tmp_path: Path, write_raster: Write) -> None:
    scene = write_raster(hills(60, 70))
    made = one(predict(scene, tmp_path / "m.tif", model=MODEL, instances=tmp_path / "ids.tif", **QUICK))
    assert made.files == (tmp_path / "m.tif", tmp_path / "ids.tif")
    with rasterio.open(tmp_path / "ids.tif") as ids, rasterio.open(tmp_path / "m.tif") as classes:
        assert (ids.dtypes, ids.nodata, ids.descriptions) == (("uint32",), NODATA, ("instance",))
        assert ids.tags()["LANDSEG_TASK"] == "instances" and "house" in ids.tags()["LANDSEG_CLASSES"]
        assert ids.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert classes.descriptions == ("class",)
        things = np.isin(classes.read(1), (3, 5))
        assert np.array_equal(ids.read(1) > 0, things)
    for name, found in (("ids.tif", True), ("m.tif", False)):
        raster = RasterFile(str(tmp_path / name))
        assert is_id_raster(raster) is found
        raster.close()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_without_objects_the_class_raster_is_the_same_and_alone(tmp_path: Path, write_raster: Write) -> None:
    scene, seen = write_raster(hills(60, 70)), []
    alone = one(predict(scene, tmp_path / "a.tif", model=MODEL, **QUICK))
    predict(scene, tmp_path / "b.tif", model=MODEL, instances=tmp_path / "ids.tif", **QUICK)
    assert np.array_equal(read(tmp_path / "a.tif"), read(tmp_path / "b.tif"))
    assert alone.counts == {} and "counts" not in alone.to_json()
    dry = [
        one(predict(scene, tmp_path / "c.tif", model=MODEL, dry_run=True, **files, **QUICK)).disk_mib
        for files in ({}, {"instances": tmp_path / "i.tif"})
    ]
    seen = (tmp_path / "map.tif", {"logits": tmp_path / "l.tif"})
    assert dry[1] - dry[0] > 60 * 70 * (2 + 2 + 4) / 2**20
    predict(scene, seen[0], model=MODEL, **seen[1], **QUICK)
    with rasterio.open(tmp_path / "l.tif") as logits:
        assert logits.descriptions == ("house", "ground", "tree", "interior", "boundary")


def test_a_thing_over_four_rasters_has_one_id(tmp_path: Path, write_raster: Write) -> None:
    pixels = np.full((3, 80, 100), 10, np.uint8)
    pixels[0, 20:60, 30:70] = 250  # one house over the corner where the four rasters meet
    whole_place = Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)
    quarters, corners = [], [(0, 0), (0, 50), (40, 0), (40, 50)]
    for number, (top, left) in enumerate(corners):
        place = whole_place @ Affine.translation(left, top)
        quarters.append(write_raster(pixels[:, top : top + 40, left : left + 50], f"q{number}.tif", transform=place))
    vrt, made = build_vrt(tmp_path / "all.vrt", quarters, corners, (80, 100)), {}
    for name, source in (("vrt", vrt), ("several", quarters)):
        ids = tmp_path / f"{name}_ids.tif"
        predict(source, tmp_path / f"{name}.tif", model=MODEL, instances=ids, **QUICK)
        made[name] = read(ids)
    assert np.array_equal(made["vrt"], made["several"])
    house = made["vrt"][22:58, 32:68]
    assert len(np.unique(house)) == 1 and house[0, 0] > 0
    alone = []
    for number, quarter in enumerate(quarters):  # twin: each by itself
        predict(quarter, tmp_path / f"a{number}.tif", model=MODEL, instances=tmp_path / f"a{number}_ids.tif", **QUICK)
        alone.append(int(read(tmp_path / f"a{number}_ids.tif").max()))
    assert sum(alone) >= 4


def test_a_preview_draws_objects_where_a_run_makes_them(tmp_path: Path, write_raster: Write) -> None:
    scene, pictures = write_raster(hills(120, 140)), {}
    for name, output, files in (
        ("classes", "a.tif", {}),
        ("ids", "b.tif", {"instances": tmp_path / "ids.tif"}),
        ("polygons alone", "c.gpkg", {}),
    ):
        path = tmp_path / f"{name}.png"
        predict(scene, tmp_path / output, model=MODEL, preview=path, **files, **QUICK)
        pictures[name] = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert np.array_equal(pictures["ids"], pictures["polygons alone"])
    many, few = (len(np.unique(hues(pictures[name]))) for name in ("ids", "classes"))
    assert many > 12 > few  # twin: classes alone


def hues(picture: NDArray[Any]) -> NDArray[np.int64]:
    """Return the hues, in steps of 10 degrees, of pixels with a strong colour."""
    red, green, blue = (picture[..., band].astype(float) for band in range(3))
    strong = np.ptp(picture, axis=-1) > 90
    angle = np.degrees(np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue))
    found: NDArray[np.int64] = np.rint(angle[strong] / 10).astype(np.int64)
    return found


def test_objects_do_not_go_through_pixels_without_data(tmp_path: Path, write_raster: Write) -> None:
    pixels, valid = hills(90, 80), np.ones((90, 80), bool)
    valid[40:43], valid[:, 30] = False, False
    scene = write_raster(pixels, valid=valid)
    predict(scene, tmp_path / "m.tif", model=MODEL, instances=tmp_path / "ids.tif", **QUICK)
    ids = read(tmp_path / "ids.tif")
    assert np.array_equal(ids == NODATA, ~valid)
    above, below = (set(np.unique(part[part != NODATA])) - {0} for part in (ids[:40], ids[43:]))
    assert above and below and not above & below


def test_an_area_of_interest_bounds_objects(tmp_path: Path, write_raster: Write) -> None:
    scene = write_raster(hills(90, 80))
    with rasterio.open(scene) as raster:
        left, top = raster.xy(20, 10, offset="ul")
        right, bottom = raster.xy(60, 70, offset="ul")
    box = (left, bottom, right, top)
    files = {"instances": tmp_path / "ids.tif", "aoi": box}
    predict(scene, tmp_path / "m.tif", model=MODEL, **files, **QUICK)
    ids = read(tmp_path / "ids.tif")
    assert ids.shape == (40, 60) and np.array_equal(np.unique(ids[ids > 0]), np.arange(1, ids.max() + 1))


def test_small_ones_are_left_out_before_those_of_low_score(tmp_path: Path, write_raster: Write) -> None:
    pixels = hills(120, 90)
    scene, files = write_raster(pixels), {"instances": tmp_path / "ids.tif"}  # pixels of 0.25 m2
    made = one(predict(scene, tmp_path / "m.tif", model=MODEL, score=0.4, min_area=3, **files, **QUICK))
    ids, things = whole(pixels, least_score=0.4, least_pixels=12)
    _, large = whole(pixels, least_pixels=12)
    _, every = whole(pixels)
    assert np.array_equal(read(tmp_path / "ids.tif"), ids)
    counts = {
        "instances": len(things),
        "below_score": len(large) - len(things),
        "below_area": len(every) - len(large),
    }
    assert made.counts == counts and min(counts.values()) > 0
    note = f"{counts['instances']} objects; {counts['below_score']} below --score 0.4, "
    note += f"{counts['below_area']} smaller than 3 m2 left out"
    assert made.objects_note == note and f"objects       {note}" in lines(made)
    with rasterio.open(tmp_path / "m.tif") as raster:
        assert json.loads(raster.tags()["LANDSEG_COUNTS"]) == counts
        assert raster.tags()["LANDSEG_COMMAND"].endswith("--score 0.4 --min-area 3")
    again = one(predict(scene, tmp_path / "m.tif", model=MODEL, score=0.4, min_area=3, resume=True, **files, **QUICK))
    assert again.skipped and (again.counts, again.objects_note) == (counts, note)


def test_small_ones_join_a_neighbour(tmp_path: Path, write_raster: Write) -> None:
    pixels = hills(120, 90)
    scene, files = write_raster(pixels), {"instances": tmp_path / "ids.tif", "overwrite": True}
    made = one(predict(scene, tmp_path / "m.tif", model=MODEL, min_area=3, join_small=True, **files, **QUICK))
    ids, things = whole(pixels, least_pixels=12, join=True)
    _, every = whole(pixels)
    _, large = whole(pixels, least_pixels=12)
    assert np.array_equal(read(tmp_path / "ids.tif"), ids) and (ids > 0).sum() > large.pixels.sum()
    counts = made.counts
    assert counts["joined"] == len(every) - len(things) - counts["below_area"] > 0
    assert f"{counts['joined']} smaller than 3 m2 joined to a neighbour" in (made.objects_note or "")
    with rasterio.open(tmp_path / "m.tif") as raster:
        assert raster.tags()["LANDSEG_COMMAND"].endswith("--min-area 3 --join-small")
    card = things_model(min_area_m2=3.0, join_small=True)
    again = one(predict(scene, tmp_path / "m.tif", model=card, **files, **QUICK))
    assert again.counts == counts
    dropped = one(predict(scene, tmp_path / "m.tif", model=card, join_small=False, **files, **QUICK))
    assert "joined" not in dropped.counts and dropped.counts["instances"] == len(large)


def test_the_card_says_what_is_left_out_and_pixels_count_without_a_place(tmp_path: Path, write_raster: Write) -> None:
    model = things_model(HOUSE, GROUND, score=0.3, min_area_m2=6.0)
    scene = write_raster(hills(90, 80), crs=None)
    made = one(predict(scene, tmp_path / "m.tif", model=model, instances=tmp_path / "i.tif", **QUICK))
    ids, things = whole(hills(90, 80), model, least_score=0.3, least_pixels=6)
    assert np.array_equal(read(tmp_path / "i.tif"), ids)
    assert made.objects_note is not None and made.objects_note.startswith(
        f"{len(things)} objects of the class house; "
    )
    assert "below --score 0.3" in made.objects_note and "smaller than 6 px left out" in made.objects_note


@pytest.mark.parametrize("plan", [EXACT, {"engine": "stream"}])
def test_a_killed_run_goes_on_to_the_same_bytes(
    tmp_path: Path, write_raster: Write, monkeypatch: pytest.MonkeyPatch, plan: dict[str, Any]
) -> None:
    scene = write_raster(hills(150, 120))

    def run(stem: str, **options: Any) -> tuple[bytes, bytes]:
        files = tmp_path / f"{stem}.tif", tmp_path / f"{stem}_ids.tif"
        predict(scene, files[0], model=MODEL, instances=files[1], **options, **plan, **QUICK)
        return files[0].read_bytes(), files[1].read_bytes()

    expected = run("whole")
    for name, at in (("commit", 1), ("write", 20), ("rewrite", 1), ("built", 1)):
        killed = stopping(getattr(Outputs, name), at, late=name == "write")
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Outputs, name, killed)
            run(name)
        assert not (tmp_path / f"{name}_ids.tif").exists()
        assert run(name, resume=True) == expected, name


def stopping(call: Any, at: int, *, late: bool) -> Any:
    """Return a method that ends the run after some calls; with ``late`` those count that write ids."""
    calls = 0

    def stopped(self: Outputs, *args: Any, **options: Any) -> Any:
        nonlocal calls
        made = call(self, *args, **options)
        calls += not late or args[0] == "instances"
        if calls >= (1 if late else at):
            raise KeyboardInterrupt
        return made

    return stopped


def test_a_resumed_run_has_the_options_of_its_start(tmp_path: Path, write_raster: Write) -> None:
    scene, files = write_raster(hills(60, 70)), {"instances": tmp_path / "ids.tif"}
    predict(scene, tmp_path / "m.tif", model=MODEL, score=0.4, **files, **QUICK)
    with pytest.raises(ResumeError, match=r"objects score 0\.4, now asked for is 0\.5"):
        predict(scene, tmp_path / "m.tif", model=MODEL, score=0.5, resume=True, **files, **QUICK)


def test_the_options_of_the_card_are_those_of_a_run_without_others(tmp_path: Path, write_raster: Write) -> None:
    scene, files = write_raster(hills(60, 70)), {"instances": tmp_path / "ids.tif"}
    predict(scene, tmp_path / "m.tif", model=MODEL, **files, **QUICK)
    least = MODEL.card.task_options["score"]
    assert one(predict(scene, tmp_path / "m.tif", model=MODEL, score=least, resume=True, **files, **QUICK)).skipped
    with pytest.raises(ResumeError, match=rf"objects score {least}, now asked for is 0\.7"):
        predict(scene, tmp_path / "m.tif", model=MODEL, score=0.7, resume=True, **files, **QUICK)


def test_finer_pixels_are_grouped_on_their_own_grid(tmp_path: Path, write_raster: Write) -> None:
    scene = write_raster(hills(120, 100))  # 0.5 m
    model = things_model(resolution_m=1.0)
    made = one(predict(scene, tmp_path / "m.tif", model=model, instances=tmp_path / "ids.tif", **QUICK))
    ids = read(tmp_path / "ids.tif")
    assert ids.shape == (120, 100) and made.counts["instances"] == ids.max() > 5
    predict(scene, tmp_path / "w.tif", model=model, instances=tmp_path / "w_ids.tif", **EXACT, **QUICK)
    assert np.array_equal(read(tmp_path / "w_ids.tif"), ids)


def test_scattered_rasters_have_one_numbering(tmp_path: Path, write_raster: Write) -> None:
    from affine import Affine

    first, second = hills(60, 50), hills(50, 60, seed=1)
    paths = [write_raster(first, "a.tif")]
    with rasterio.open(paths[0]) as raster:
        far = raster.transform @ Affine.translation(900, 20)
    paths.append(write_raster(second, "b.tif", transform=far))
    predict(paths, tmp_path / "m.tif", model=MODEL, instances=tmp_path / "i.tif", sparse=True, **QUICK)
    ids, picture, valid = read(tmp_path / "i.tif"), np.zeros((3, 70, 960), np.uint8), np.zeros((70, 960), bool)
    for pixels, top, left in ((first, 0, 0), (second, 20, 900)):
        here = slice(top, top + pixels.shape[1]), slice(left, left + pixels.shape[2])
        picture[:, *here], valid[here] = pixels, True
    expected, things = whole(picture, valid=valid)
    assert len(things) > 50 and np.array_equal(ids, np.where(valid, expected, NODATA))


def refusal(tmp_path: Path, scene: Path, model: Model = MODEL, **options: Any) -> str:
    with pytest.raises((OutputError, PlanError)) as error:
        predict(scene, tmp_path / "no.tif", model=model, **options, **QUICK)
    assert not any(path.name.startswith((".no", "no")) for path in tmp_path.iterdir())
    return str(error.value)


def test_what_cannot_be_is_refused_in_a_sentence(tmp_path: Path, write_raster: Write) -> None:
    scene, ids = write_raster(hills(60, 70)), tmp_path / "no_ids.tif"
    said = refusal(tmp_path, scene, CLASSES_ALONE, instances=ids)
    assert said == "--instances: the model has no class of things and finds no objects: leave out --instances"
    said = refusal(tmp_path, scene, CLASSES_ALONE, score=0.3)
    assert said == "--score: the model has no class of things and finds no objects: leave out --score"
    assert "--min-area is about objects" in (said := refusal(tmp_path, scene, min_area=3)), said
    assert "add --instances FILE.tif or --polygons" in said
    for name in ("instances", "logits"):  # the same file as the map, which would be lost
        said = refusal(tmp_path, scene, **{name: tmp_path / "no.tif"})
        assert said.endswith("no.tif is named for two outputs: give each its own file")
    assert "--holes is about the polygons of objects" in refusal(tmp_path, scene, instances=ids, holes=2)
    assert "--score 1.5: expected a number from 0 to 1" in refusal(tmp_path, scene, instances=ids, score=1.5)
    assert "--min-area -1: expected a number of square metres" in refusal(tmp_path, scene, min_area=-1)
    assert "leave out --tta" in refusal(tmp_path, scene, instances=ids, tta="flips")
