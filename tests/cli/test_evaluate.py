"""`landseg evaluate` as a program: figures on standard output, and a sentence where rasters do not go together."""

import csv
import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from shapely.geometry import box

from landseg.labels.legend import class_tag
from tests.parts.class_rasters import CLASSES, plain, write
from tests.parts.commands import run

OURS = np.array([[1, 1, 2, 2], [1, 2, 2, 0]], np.uint8)
TRUE = np.array([[1, 1, 2, 1], [1, 1, 0, 2]], np.uint8)
KEYS = {"value", "name", "iou", "precision", "recall", "f1", "pixels"}


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    return write(tmp_path / "map.tif", OURS, model="m"), write(tmp_path / "truth.tif", TRUE)


def test_words(pair: tuple[str, str]) -> None:
    code, out, err = run("evaluate", *pair)
    assert code == 0 and "100.0 %" in err
    lines = {line.strip().rpartition("  ")[0].strip(): line for line in out.splitlines()}
    assert any(name.startswith("boundary IoU, 3 px (30 m)") for name in lines)
    assert "0.571" in next(line for line in out.splitlines() if "pixel accuracy" in line)
    assert "mean IoU (2 of 3 classes)      0.425" in out and "all called water" in out
    assert "1 labelled pixel has no prediction and counts as an error" in out
    wood = next(line for line in out.splitlines() if line.strip().startswith("wood"))
    assert wood.split()[1:4] == ["-", "-", "-"]  # in neither: it means nothing


def test_json_is_one_object_and_nothing_else(pair: tuple[str, str]) -> None:
    code, out, _ = run("evaluate", *pair, "--samples", 0, "--json")
    assert code == 0
    found: dict[str, Any] = json.loads(out)
    assert found["pixel_accuracy"] == 4 / 7 and found["mean_iou"] == 0.425
    assert found["confusion"] == [[3, 2, 0], [0, 1, 0], [0, 0, 0]]
    assert all(set(entry) >= KEYS for entry in found["classes"])
    water, road, wood = found["classes"]
    assert [water[key] for key in ("value", "name", "iou", "precision", "pixels")] == [1, "water", 0.6, 1.0, 5]
    assert (road["precision"], road["recall"], road["pixels"]) == (1 / 3, 0.5, 2)
    assert wood["iou"] is None and wood["f1"] is None and wood["pixels"] == 0
    assert (found["surface_tolerance_px"], found["scenes"]) == (3.0, ["map.tif"])


def test_the_table_says_what_json_says(pair: tuple[str, str], tmp_path: Path) -> None:
    table = tmp_path / "classes.csv"
    code, out, _ = run("evaluate", *pair, "--samples", 0, "--csv", table, "--json")
    assert code == 0
    rows = list(csv.DictReader(table.read_text().splitlines()))
    found = json.loads(out)
    for row, entry in zip(rows, found["classes"], strict=False):
        for key in KEYS:
            assert row[key] == ("" if entry[key] is None else str(entry[key]))
        assert row["iou_low"] == row["iou_high"] == row["pixel_accuracy"] == ""  # no intervals were asked for
    assert len(rows) == len(found["classes"]) + 1
    last = rows[-1]
    assert (last["value"], last["name"], last["iou"]) == ("", "all classes", str(found["mean_iou"]))
    assert (last["pixels"], last["kappa"]) == ("7", str(found["kappa"]))
    assert run("evaluate", *pair, "--csv", table)[0] == 1
    assert run("evaluate", *pair, "--csv", table, "--overwrite")[0] == 0


def test_the_table_has_the_intervals(tmp_path: Path) -> None:
    """Those of the classes and of the figures of all classes, as JSON has them."""
    truth = np.random.default_rng(1).integers(1, 4, (300, 600)).astype(np.uint8)
    ours = np.where(np.random.default_rng(2).random(truth.shape) < 0.2, 1, truth).astype(np.uint8)
    files = write(tmp_path / "map.tif", ours, model="m"), write(tmp_path / "truth.tif", truth)
    table = tmp_path / "t.csv"
    code, out, _ = run("evaluate", *files, "--boundary", "none", "--tolerance", "none", "--csv", table, "--json")
    assert code == 0
    found, rows = json.loads(out), list(csv.DictReader(table.read_text().splitlines()))
    for row, entry in zip(rows, found["classes"], strict=False):
        assert [float(row["iou_low"]), float(row["iou_high"])] == entry["iou_ci"]
        assert entry["iou_ci"][0] < entry["iou"] < entry["iou_ci"][1]
    for name in ("mean_iou", "pixel_accuracy", "frequency_weighted_iou", "kappa"):
        column = "iou" if name == "mean_iou" else name
        assert [float(rows[-1][f"{column}_{end}"]) for end in ("low", "high")] == found["intervals"][name]


def test_a_table_or_report_never_goes_over_what_is_read(pair: tuple[str, str], tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    truth, ours = Path(pair[1]), Path(pair[0])
    for option, path in (("--csv", truth), ("--csv", ours)):
        code, _, err = run("evaluate", *pair, option, path, "--overwrite")
        assert code == 1 and f"{path} is an input of this run" in err
    code, _, err = run("evaluate", *pair, "--csv", tmp_path / "r.html", "--report", tmp_path / "r.html")
    assert code == 1 and "is named for two outputs" in err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def refused(folder: Path, *arguments: object) -> str:
    """The one sentence with which a run is refused, that leaves nothing behind."""
    before = sorted(folder.rglob("*"))
    wanted = ("--csv", folder / "new.csv", "--report", folder / "new.html", "--errors", folder / "new.tif")
    code, out, err = run("evaluate", *arguments, *(() if "--errors" in arguments else wanted))
    assert (code, out) == (1, "")
    assert "Traceback" not in err and sorted(folder.rglob("*")) == before
    said = [line for line in err.splitlines() if line.strip() and "Mpx/s" not in line and "warning" not in line]
    assert len(said) == 1, said
    return said[0]


def test_what_does_not_go_together_is_one_sentence(pair: tuple[str, str], tmp_path: Path) -> None:
    ours, truth = pair
    said = refused(tmp_path, truth, ours)
    assert "was predicted by landseg (model m)" in said and "swap the two" in said
    far = write(tmp_path / "far.tif", TRUE, left=5000)
    assert "expected them to overlap" in refused(tmp_path, ours, far)
    strange = write(tmp_path / "strange.tif", np.array([[1, 7, 7, 9], [1, 1, 1, 1]], np.uint8))
    said = refused(tmp_path, ours, strange)
    assert "7 (2 px)" in said and "9 (1 px)" in said
    assert "no such file" in refused(tmp_path, ours, tmp_path / "gone.tif")
    unnamed = write(tmp_path / "unnamed.tif", OURS)
    assert "--classes" in refused(tmp_path, unnamed, truth)


@pytest.mark.parametrize(
    ("aoi", "sentence"),
    [
        ("0,0,10,10", "AOI 0,0,10,10 lies outside the raster"),
        ("300020,2999980,300030,2999990", "no labelled pixel of"),  # the truth knows nothing there
    ],
)
def test_an_empty_area_is_one_sentence(pair: tuple[str, str], tmp_path: Path, aoi: str, sentence: str) -> None:
    assert sentence in refused(tmp_path, *pair, "--aoi", aoi)


def test_usage_that_is_wrong(pair: tuple[str, str]) -> None:
    assert run("evaluate", pair[0])[0] == 2
    code, _, err = run("evaluate", *pair, "--boundary", "-3px")
    assert code == 1 and "expected pixels or metres above 0" in err


def test_polygons_are_the_truth(pair: tuple[str, str], tmp_path: Path) -> None:
    shapes = [box(300000, 2999980, 300020, 3000000), box(300020, 2999990, 300040, 3000000)]
    frame = gpd.GeoDataFrame({"cover": ["water", "road"]}, geometry=shapes, crs="EPSG:32645")
    truth = tmp_path / "truth.gpkg"
    frame.to_file(truth)
    assert "--class-field" in refused(tmp_path, pair[0], truth)
    assert "cover" in refused(tmp_path, pair[0], truth, "--class-field", "kind")
    assert "--class-field is a column of a vector file" in refused(tmp_path, *pair, "--class-field", "cover")
    code, out, _ = run("evaluate", pair[0], truth, "--class-field", "cover", "--json", "--samples", 0)
    assert code == 0 and json.loads(out)["confusion"] == [[3, 1, 0], [0, 2, 0], [0, 0, 0]]
    more = ("--class-field", "cover", "--background", "road")
    code, out, _ = run("evaluate", pair[0], truth, *more, "--json", "--samples", 0)
    assert code == 0 and json.loads(out)["confusion"] == [[3, 1, 0], [0, 3, 0], [0, 0, 0]]
    assert json.loads(out)["classes"][1]["missed"] == 1


def test_rasters_that_lie_nowhere(tmp_path: Path) -> None:
    ours = plain(tmp_path / "map.tif", OURS, LANDSEG_MODEL="m", LANDSEG_CLASSES=class_tag(CLASSES))
    code, out, _ = run("evaluate", ours, plain(tmp_path / "truth.png", TRUE))
    assert code == 0 and "pixel accuracy                 0.571" in out
    assert "boundary IoU, 3 px   " in out and "unknown resolution" not in out and "hectares" not in out
    said = refused(tmp_path, ours, plain(tmp_path / "small.png", TRUE[:1]))
    assert "small.png has 4 x 1 pixels, the prediction 4 x 2" in said and "expected equal sizes" in said


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """Folders of two scenes: maps, labels, imagery, probabilities; in the second scene a pixel less is right."""
    for number, name in enumerate(("north", "south")):
        for folder in ("maps", "labels", "images", "probs"):
            (tmp_path / folder).mkdir(exist_ok=True)
        left = 1000 * number
        ours = np.array([[1, 2], [2, 1]], np.uint8)
        write(tmp_path / f"maps/{name}.tif", ours, model="m", left=left)
        write(tmp_path / f"labels/{name}_labels.tif", np.array([[1, 2], [2, 1 + number]], np.uint8), left=left)
        write(tmp_path / f"images/{name}.tif", ours * 99, left=left)
        with rasterio.open(tmp_path / f"maps/{name}.tif") as file:
            profile = {**file.profile, "count": 3, "nodata": None}
        with rasterio.open(tmp_path / f"probs/{name}.tif", "w", **profile) as file:
            file.write(np.stack([np.full((2, 2), part, np.uint8) for part in (155, 70, 30)]))
    return tmp_path


def scenes_of(report: Path) -> list[dict[str, Any]]:
    text = report.read_text().partition('id="map-data">')[2].partition("</script>")[0]
    found: list[dict[str, Any]] = json.loads(text)["scenes"]
    return found


def test_a_report_over_several_scenes(several: Path) -> None:
    report, errors = several / "r.html", several / "errors"
    given = [several / "maps", several / "labels", "--report", report, "--image", several / "images"]
    given += ["--probs", several / "probs", "--errors", f"{errors}/"]
    code, out, err = run("evaluate", *given, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["pixel_accuracy"] == 7 / 8 and found["scenes"] == ["north.tif", "south.tif"]
    assert [(one["scene"], one["error_rate"]) for one in found["worst"]] == [(1, 0.25)]
    north, south = scenes_of(report)
    assert (north["name"], south["name"]) == ("north.tif", "south.tif")
    assert north["windows"] == [] and south["windows"] == [{"number": 1, "rect": [0, 0, 2, 2]}]
    layers = {"image", "truth", "prediction", "error", "confidence"}
    assert all(set(scene["pictures"][0]["layers"]) == layers for scene in (north, south))
    text = report.read_text()
    assert '<select id="scene">' in text and "south.tif (window 1)</option>" in text and "2 scenes" in text
    for name, values in (("north", [[1, 1], [1, 1]]), ("south", [[1, 1], [1, 2]])):
        with rasterio.open(errors / f"{name}.tif") as file:
            assert file.read(1).tolist() == values
    named = [several / f"images/{name}.tif" for name in ("south", "north")]  # in any order
    code, *_ = run(
        "evaluate", *given[:2], "--report", report, "--image", named[0], "--image", named[1], "--overwrite"
    )
    assert code == 0 and [scene["pictures"][0]["rect"] for scene in scenes_of(report)] == [[0, 0, 2, 2]] * 2


def test_several_scenes_that_do_not_go_together(several: Path) -> None:
    given = [several / "maps", several / "labels"]
    image = ("--report", several / "r.html", "--errors", f"{several}/e/", "--image")
    said = refused(several, *given, "--errors", several / "e.tif")
    assert "with several predictions this is a folder; write" in said
    said = refused(several, *given, *image, several / "images/north.tif")
    assert "--image: expected one raster named as south.tif is, got none" in said
    said = refused(several, *given, "--errors", f"{several}/e/", "--probs", several / "probs/south.tif")
    assert "--probs: expected one raster named as north.tif is" in said
    write(several / "images/south.tif", np.ones((3, 3), np.uint8))
    said = refused(several, *given, *image, several / "images")
    assert "south.tif has 3 x 3 pixels, the map has 2 x 2" in said
    assert "named as north.tif is, got none" in refused(several, *given, *image, several / "gone")
    (several / "e").mkdir()
    write(several / "e/south.tif", TRUE)
    assert "exists" in refused(several, *given, "--errors", several / "e")
