"""LeftOut: what did not count and why, in every command, whatever the strips."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import landseg.evaluation.pair
import landseg.geo.pieces
from landseg.geo.grid import Rect
from landseg.labels.left_out import LeftOut, Reason, left_out_line, parts_of
from tests.parts.labelled import NETWORK, QUICK, place, write
from tests.parts.left_out import found, run

Write = Callable[..., Path]
TABLE = '[[classes]]\nvalue = 0\nname = "ground"\n[[classes]]\nvalue = 1\nname = "building"\n'
SHAPE = (48, 64)


def mask() -> np.ndarray:
    """Buildings in a quarter of the pixels."""
    made = np.zeros(SHAPE, np.uint8)
    made[:, :16] = 1
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three scenes of noise with masks of 0 and 255, maps of 0 and 1, and a table of 0 and 1."""
    for number, name in enumerate("abc"):
        at = place(number)
        pixels = np.random.default_rng(number).integers(1, 255, (3, *SHAPE)).astype(np.uint8)
        write(tmp_path / f"images/{name}.tif", pixels, at=at)
        write(tmp_path / f"masks/{name}.tif", mask() * 255, at=at)
        write(tmp_path / f"right/{name}.tif", mask(), at=at)
        write(tmp_path / f"maps/{name}.tif", mask(), at=at)
    (tmp_path / "table.toml").write_text(TABLE)
    return tmp_path


def test_reasons_add_up_and_become_a_sentence() -> None:
    one, two = LeftOut(), LeftOut()
    one.add(Reason.NO_DATA, 5)
    one.add(Reason.IGNORED, 0)
    two.add_masks({Reason.NO_DATA: np.array([True, False]), Reason.OUTSIDE_LABELS: np.array([False, True])})
    one.merge(two)
    assert one.to_json() == {"outside_labels": 1, "no_data": 6} and one.total == 7
    line = "left out: 1 px where no labels lie, 6 px that are nodata or masked in the class raster"
    assert one.line() == line == left_out_line(one.to_json())
    assert LeftOut().line() is None and not LeftOut() and one


def test_outside_an_area_that_is_the_only_reason() -> None:
    masks = {Reason.NO_DATA: np.array([[True, True, False]])}
    inside = np.array([[True, False, False]])
    cut = {reason: mask.tolist() for reason, mask in parts_of(masks, np.s_[:, :2], inside).items()}
    assert cut == {Reason.OUTSIDE_AOI: [[False, True]], Reason.NO_DATA: [[True, False]]}
    assert parts_of(masks, np.s_[:, 2:], None)[Reason.NO_DATA].tolist() == [[False]]


# --- a value that happens to be the table's own nodata ------------------------------------------------------------

STRAY = r"values without a class: 255 (768 px); expected 0, 1"


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "maps/a.tif", "masks/a.tif"),
        ("compare", "maps/a.tif", "right/a.tif", "masks/a.tif"),
        ("calibrate", "probs.tif", "masks/a.tif"),
        ("evaluate", "masks/a.tif", "right/a.tif"),
    ],
)
def test_a_stray_255_is_refused_as_a_stray_7_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(folder)
    write(folder / "probs.tif", np.full((2, *SHAPE), 0.5, np.float32), at=place(0))
    code, _, err = run(*command, "--classes", "table.toml")
    assert code == 1 and STRAY in err and "(ignore = [255]; or --ignore 255)" in err
    if command[:2] in (("evaluate", "maps/a.tif"), ("compare", "maps/a.tif")):  # twin: once it is named, it is said
        assert "left out: 768 px of ignored values" in run(*command, "--classes", "table.toml", "--ignore", 255)[1]


def test_export_and_data_and_train_know_no_undeclared_nodata(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    code, _, err = run("export", "masks/a.tif", "a.fgb", "--classes", "table.toml")
    assert code == 1 and STRAY in err and "--ignore" not in err and not Path("a.fgb").exists()
    code, out, _ = run("data", "images", "masks", "--classes", "table.toml")
    assert code == 0 and "values: values without a class in 3 files: 255 (2,304 px); the table has 0, 1" in out
    trained = ("train", "images", "masks", "--classes", "table.toml", "-o", "m.safetensors", *NETWORK, *QUICK)
    code, _, err = run(*trained, "--keep-out", "c")
    assert code == 1 and "values without a class: 255 (1536 px)" in err and not Path("m.safetensors").exists()


def test_twin_a_declared_nodata_is_no_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    write(folder / "masks/a.tif", mask() * 255, at=place(0), nodata=255)
    one = found("evaluate", "maps/a.tif", "masks/a.tif", "--classes", "table.toml", "--samples", 0)
    assert one["left_out"] == {"no_data": 768} and one["pixel_accuracy"] == 1.0
    assert "left out: 768 px that are nodata or masked in the class raster" in one["notes"]
    made = found("export", "masks/a.tif", "a.fgb", "--classes", "table.toml")
    assert made["left_out"] == {"no_data": 768}


def test_twin_the_old_rule_would_count_nothing_of_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the table's own nodata for no data, the figures are those of the ground alone: what this is about."""
    monkeypatch.chdir(folder)
    table = landseg.classes.ClassMap._table

    def old(self: Any) -> Any:
        made = table(self)
        made[self.nodata] = 255
        return made

    monkeypatch.setattr(landseg.classes.ClassMap, "_table", old)
    one = found("evaluate", "maps/a.tif", "masks/a.tif", "--classes", "table.toml", "--samples", 0)
    assert one["confusion"] == [[2304, 0], [0, 0]]


def test_values_without_any_table_stand_for_themselves(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names = {one["name"]: one["pixels"] for one in found("data", "images", "masks")["classes"]}
    assert names == {"value 0": 6912, "value 255": 2304}
    made = found("export", "masks/a.tif", "a.fgb")
    assert [(one["value"], one["area_m2"]) for one in made["classes"]] == [(0, 576.0), (255, 192.0)]
    assert made["left_out"] == {}


# --- every command says what was left out -------------------------------------------------------------------------


def holed() -> np.ndarray:
    """Right but for 10 px of 9, which are ignored, and 20 of 8, which are no data."""
    made = mask()
    made[0, :10] = 9
    made[1, :20] = 8
    return made


EACH = {"no_data": 20, "ignored": 10}


def test_evaluate_and_compare_count_by_reason(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    write(folder / "t.tif", holed(), at=place(0), nodata=8)
    how = ("--classes", "table.toml", "--ignore", 9, "--samples", 0)
    assert found("evaluate", "maps/a.tif", "t.tif", *how)["left_out"] == EACH
    both = found("compare", "maps/a.tif", "right/a.tif", "t.tif", *how)
    assert both["left_out"] == EACH and both["evaluations"][1]["left_out"] == EACH
    said = run("compare", "maps/a.tif", "right/a.tif", "t.tif", *how)[1]
    (line,) = (line for line in said.splitlines() if "left out" in line)
    assert line.startswith("  left out: 20 px")  # once, for it is the same for both
    # An area of ten rows of half a metre, 6 of the ignored columns wide, goes before the other reasons.
    left, top = place(0) @ (4, 0)
    right, bottom = place(0) @ (64, 10)
    part = found("evaluate", "maps/a.tif", "t.tif", *how, "--aoi", f"{left},{bottom},{right},{top}")
    assert part["left_out"] == {"outside_aoi": 48 * 64 - 600, "no_data": 16, "ignored": 6}
    # Labels that end before the map does.
    write(folder / "half.tif", mask()[:40], at=place(0))
    assert found("evaluate", "maps/a.tif", "half.tif", *how)["left_out"] == {"outside_labels": 8 * 64}


def test_counts_do_not_depend_on_strips(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(folder)
    truth = mask()
    truth[14:20, :10] = 9  # on both sides of where strips of 16 rows meet, within the halo of the outlines
    truth[15, 40] = 7
    write(folder / "t.tif", truth, at=place(0))
    how = ("evaluate", "maps/a.tif", "t.tif", "--classes", "table.toml", "--samples", 0)
    monkeypatch.setattr("landseg.geo.pieces._PIXELS", 16 * 64)
    assert found(*how, "--ignore", 9, "--ignore", 7)["left_out"] == {"ignored": 61}
    assert "values without a class: 7 (1 px), 9 (60 px)" in run(*how)[2]
    # Twin: counted over all that is read, halos would be counted twice.
    whole = landseg.evaluation.pair.Pair.read_counted
    monkeypatch.setattr(
        landseg.evaluation.pair.Pair, "read_counted", lambda pair, rect, core: whole(pair, rect, rect)
    )
    assert found(*how, "--ignore", 9, "--ignore", 7)["left_out"]["ignored"] > 61


def test_calibrate_counts_by_reason(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    rng = np.random.default_rng(1)
    first = rng.uniform(0.2, 0.9, SHAPE).astype(np.float32)
    probs = np.stack([first, 1 - first])
    probs[:, 40:] = np.nan
    write(folder / "p.tif", probs, at=place(0), nodata=np.nan)
    write(folder / "t.tif", holed(), at=place(0), nodata=8)
    one = found("calibrate", "p.tif", "t.tif", "--classes", "table.toml", "--ignore", 9)
    assert one["left_out"] == EACH | {"no_probabilities": 8 * 64} and one["pixels"] == 48 * 64 - 30 - 8 * 64
    also = found("calibrate", "p.tif", "t.tif", "--classes", "table.toml", "--ignore", 9, "--ignore", 1)
    buildings = int((holed()[:40] == 1).sum()) + 16 * 8
    assert also["left_out"] == {"no_data": 20, "ignored": 10 + buildings, "no_probabilities": 8 * 48}
    assert (
        "left out: 20 px that are nodata"
        in run("calibrate", "p.tif", "t.tif", "--classes", "table.toml", "--ignore", 9)[1]
    )


def test_export_counts_by_reason(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    write(folder / "t.tif", holed(), at=place(0), nodata=8)
    (folder / "more.toml").write_text("ignore = [9]\n" + TABLE)
    assert found("export", "t.tif", "a.fgb", "--classes", "more.toml")["left_out"] == EACH
    left, top = place(0) @ (4, 0)
    right, bottom = place(0) @ (64, 10)
    box = f"{left},{bottom},{right},{top}"
    part = found("export", "t.tif", "b.fgb", "--classes", "more.toml", "--aoi", box)
    assert part["left_out"] == {"outside_aoi": 48 * 64 - 600, "no_data": 16, "ignored": 6}
    alone = ("export", "t.tif", "c.fgb", "--classes", "1", "--min-area", 1, "--simplify", 1)
    assert found(*alone)["left_out"] == {"no_data": 20, "unwanted_classes": 48 * 64 - 20 - int((holed() == 1).sum())}
    assert "left out: 20 px that are nodata or masked" in run("export", "t.tif", "d.fgb")[1]
    assert "left out" not in run("export", "right/a.tif", "e.fgb")[1]


def test_data_and_train_count_by_reason(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for number, name in enumerate("abc"):
        write(folder / f"holed/{name}.tif", holed(), at=place(number), nodata=8)
        with rasterio.open(folder / f"images/{name}.tif", "r+") as image:
            pixels = image.read()
            pixels[:, 40:] = 0
            image.write(pixels)
            image.nodata = 0
    named = ("images", "holed", "--classes", "table.toml", "--ignore", 9)
    every = {"no_data": 60, "ignored": 30, "no_imagery": 3 * 8 * 64}
    looked = found("data", *named)
    assert looked["left_out"] == every and looked["files"][0]["left_out"] == EACH | {"no_imagery": 8 * 64}
    assert "  left out: 60 px that are nodata" in run("data", *named)[1]
    two = {"no_data": 40, "ignored": 20, "no_imagery": 2 * 8 * 64}
    for memory in (64, 0.001):  # scenes in memory, and on disk
        trained = ("train", *named, "-o", f"m{memory}.safetensors", *NETWORK, *QUICK, "--keep-out", "c")
        code, out, err = run(*trained, "--set", f"sampling.memory_mib={memory}", "--json")
        assert code == 0, err
        assert json.loads(out)["left_out"] == two
        assert "note: left out: 40 px that are nodata or masked in the class raster, 20 px of ignored values" in err


def test_polygons_leave_out_what_lies_outside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import geopandas
    from shapely.geometry import box

    monkeypatch.chdir(folder)
    left, top = place(0) @ (0, 0)
    right, bottom = place(0) @ (16, 10)
    shapes = geopandas.GeoDataFrame(
        {"kind": ["building"]}, geometry=[box(left, bottom, right, top)], crs="EPSG:32633"
    )
    shapes.to_file("v.gpkg")
    how = ("--classes", "table.toml", "--class-field", "kind")
    one = found("evaluate", "maps/a.tif", "v.gpkg", *how, "--samples", 0)
    assert one["left_out"] == {"outside_labels": 48 * 64 - 160}
    looked = found("data", "images/a.tif", "v.gpkg", *how)
    assert looked["left_out"] == {"outside_labels": 48 * 64 - 160}
    full = found("evaluate", "maps/a.tif", "v.gpkg", *how, "--background", "ground", "--samples", 0)
    assert full["left_out"] == {}


def test_a_finer_or_turned_raster_says_where_it_lies(write_raster: Write) -> None:
    from affine import Affine

    from landseg.classes import ClassMap
    from landseg.labels.raster_labels import ClassLabels, open_labels

    classes = ClassMap.from_json([{"value": 1, "name": "a"}])
    fine = write_raster(np.ones((20, 20), np.uint8), "f.tif", transform=Affine(0.25, 0, 500_000, 0, -0.25, 5_400_000))
    with rasterio.open(write_raster(np.ones((12, 12), np.uint8), "g.tif")) as raster:
        from landseg.geo.grid import Grid

        grid = Grid(raster.crs, raster.transform, 12, 12)
    truth = ClassLabels(open_labels(fine, grid), classes)
    indices, why = truth.read_reasons(Rect(0, 0, 12, 12))
    assert (indices == 0).sum() == 100 and why[Reason.OUTSIDE_LABELS].sum() == 44
    assert not why[Reason.NO_DATA].any()
    truth.close()


def test_a_raster_with_landsegs_own_table_says_what_is_no_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its table is a tag of the raster itself; a table that lies elsewhere says nothing, and a class is data."""
    from landseg.classes import ClassMap
    from landseg.labels.legend import class_tag

    monkeypatch.chdir(folder)
    with rasterio.open(folder / "masks/a.tif", "r+") as raster:
        raster.update_tags(LANDSEG_CLASSES=class_tag(ClassMap.from_json([{"value": 0, "name": "g"}])))
    how = ("--classes", "table.toml", "--samples", 0)
    assert found("evaluate", "maps/a.tif", "masks/a.tif", *how)["left_out"] == {"no_data": 768}
    assert run("export", "masks/a.tif", "a.fgb")[0] == 0
    (folder / "table.toml").write_text(TABLE.replace("value = 1", "value = 255"))
    write(folder / "maps/a.tif", mask() * 255, at=place(0))
    one = found("evaluate", "maps/a.tif", "masks/a.tif", *how)
    assert one["left_out"] == {} and one["confusion"] == [[2304, 0], [0, 768]]
    made = found("export", "masks/a.tif", "b.fgb", "--classes", "table.toml")
    assert made["left_out"] == {} and [entry["area_m2"] for entry in made["classes"]] == [576.0, 192.0]
