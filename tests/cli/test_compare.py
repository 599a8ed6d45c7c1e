"""`landseg compare` as a program."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from landseg.labels.legend import class_tag
from tests.parts.class_rasters import CLASSES, plain, write
from tests.parts.commands import run


@pytest.fixture
def truth() -> NDArray[np.uint8]:
    rng = np.random.default_rng(8)
    return np.kron(rng.integers(1, 4, (12, 12)), np.ones((16, 16))).astype(np.uint8)


def worse(truth: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    rng = np.random.default_rng(int(100 * share))
    return np.where(rng.random(truth.shape) < share, rng.integers(1, 4, truth.shape), truth).astype(np.uint8)


def test_words_and_json(tmp_path: Path, truth: NDArray[np.uint8]) -> None:
    files = [write(tmp_path / f"{name}.tif", worse(truth, s), model="m") for name, s in (("bad", 0.4), ("good", 0.1))]
    target = write(tmp_path / "truth.tif", truth)
    code, out, _ = run("compare", *files, target)
    assert code == 0
    rows = out.splitlines()[2:]
    titles = ["pixel accuracy", "mean IoU", "frequency-weighted IoU", "Cohen's kappa"]
    titles += ["IoU water", "IoU road", "IoU wood"]
    assert [row.split("  ")[1] for row in rows[:14:2]] == titles
    assert all("bad.tif" in row and "above" not in row for row in rows[:14:2])
    assert all("good.tif" in row for row in rows[1:14:2]) and "+0." in rows[1] and "+0." in rows[13]
    code, out, _ = run("compare", *files, target, "--json", "--samples", 0)
    found = json.loads(out)
    (difference,) = found["differences"]
    bad, good = found["evaluations"]
    assert difference["mean_iou"]["difference"] == pytest.approx(good["mean_iou"] - bad["mean_iou"])
    assert difference["mean_iou"]["low"] is None and good["mean_iou"] > bad["mean_iou"] + 0.2


def test_without_intervals_none_are_printed(tmp_path: Path, truth: NDArray[np.uint8]) -> None:
    truth = np.tile(truth, (2, 2))  # of several blocks
    target = write(tmp_path / "truth.tif", truth)
    files = [write(tmp_path / f"{share}.tif", worse(truth, share), model="m") for share in (0.3, 0.1)]
    code, out, _ = run("compare", *files, target, "--samples", 0)
    assert code == 0 and "nan" not in out and " to " not in out
    assert " to " in run("compare", *files, target)[1]  # twin: with intervals they are


def test_predictions_on_other_grids_are_brought_to_the_first(tmp_path: Path, truth: NDArray[np.uint8]) -> None:
    """The same map at half the pixels, and one shifted by three of them, where it lies."""
    target = write(tmp_path / "truth.tif", truth)
    first = write(tmp_path / "first.tif", worse(truth, 0.2), model="m")
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": 0, "crs": "EPSG:32645"}
    fine, moved = tmp_path / "fine.tif", tmp_path / "moved.tif"
    for path, values, place in (
        (fine, worse(truth, 0.2).repeat(2, 0).repeat(2, 1), Affine(5, 0, 300_000, 0, -5, 3_000_000)),
        (moved, worse(truth, 0.2)[3:, 3:], Affine(10, 0, 300_030, 0, -10, 2_999_970)),
    ):
        height, width = values.shape
        with rasterio.open(path, "w", height=height, width=width, transform=place, **profile) as file:
            file.write(values, 1)
            file.update_tags(LANDSEG_MODEL="m", LANDSEG_CLASSES=class_tag(CLASSES))
    code, out, err = run("compare", first, fine, moved, target, "--json", "--samples", 0)
    assert code == 0, err
    one, same, part = json.loads(out)["evaluations"]
    assert same["confusion"] == one["confusion"] and same["mean_iou"] == one["mean_iou"]
    missed = sum(entry["missed"] for entry in part["classes"])
    assert missed == 192**2 - 189**2 and part["mean_iou"] < one["mean_iou"]
    # Twin: at a place of its own the same values are another map.
    write(tmp_path / "wrong.tif", worse(truth, 0.2), model="m", left=160)
    out = run("compare", first, tmp_path / "wrong.tif", target, "--json", "--samples", 0)[1]
    assert json.loads(out)["evaluations"][1]["mean_iou"] < 0.6 * one["mean_iou"]


def test_rasters_that_lie_nowhere_match_by_their_pixels(tmp_path: Path, truth: NDArray[np.uint8]) -> None:
    tags = {"LANDSEG_MODEL": "m", "LANDSEG_CLASSES": class_tag(CLASSES)}
    files = [plain(tmp_path / f"{s}.tif", worse(truth, s), **tags) for s in (0.3, 0.1)]
    target = plain(tmp_path / "truth.png", truth)
    code, out, _ = run("compare", *files, target, "--json", "--samples", 0)
    assert code == 0
    for entry, share in zip(json.loads(out)["evaluations"], (0.3, 0.1), strict=True):
        assert entry["pixel_accuracy"] == (worse(truth, share) == truth).mean()
    small = plain(tmp_path / "small.tif", truth[:50], **tags)
    code, out, err = run("compare", files[0], small, target)
    assert code == 1 and out == "" and "expected" in err and "Traceback" not in err


def test_what_cannot_be_compared_is_one_sentence(tmp_path: Path, truth: NDArray[np.uint8]) -> None:
    target = write(tmp_path / "truth.tif", truth)
    files = [write(tmp_path / f"{name}.tif", truth, model="m") for name in "ab"]
    before = sorted(tmp_path.iterdir())
    code, _, err = run("compare", files[0], target)
    assert code == 1 and "name two or more" in err
    far = write(tmp_path / "far.tif", truth, model="m", left=9000)
    code, out, err = run("compare", files[0], far, target)
    assert (code, out) == (1, "") and "expected them to overlap" in err and err.count("\n") == 1
    (tmp_path / "far.tif").unlink()
    assert sorted(tmp_path.iterdir()) == before
    assert run("compare", target)[0] == 2


def test_the_table_says_what_json_says(tmp_path: Path, truth: NDArray[np.uint8]) -> None:
    """A row a figure and prediction, with intervals, and the paired difference where it is estimated."""
    truth = np.tile(truth, (2, 2))  # of several blocks
    target = write(tmp_path / "truth.tif", truth)
    files = [write(tmp_path / f"{share}.tif", worse(truth, share), model="m") for share in (0.3, 0.1)]
    table = tmp_path / "t.csv"
    code, out, _ = run("compare", *files, target, "--csv", table, "--json")
    assert code == 0
    found, rows = json.loads(out), list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == 2 * (4 + 3)
    for row in rows:
        number = files.index(row["prediction"])
        one, difference = found["evaluations"][number], found["differences"][0]
        if row["figure"] == "iou":
            entry = next(entry for entry in one["classes"] if str(entry["value"]) == row["value"])
            wanted, ends, above = (entry["iou"], entry["iou_ci"], difference["iou"][row["name"]])
        else:
            wanted, ends = one[row["figure"]], one["intervals"][row["figure"]]
            above = difference.get(row["figure"])
        assert float(row["estimate"]) == wanted and [float(row["low"]), float(row["high"])] == ends
        said = [row[f"above_first{end}"] for end in ("", "_low", "_high")]
        estimated = [above[key] for key in ("difference", "low", "high")] if number and above else [""] * 3
        assert said == [str(value) for value in estimated]
    before = table.read_bytes()
    code, _, err = run("compare", *files, target, "--csv", table)
    assert code == 1 and "exists" in err and table.read_bytes() == before
    code, _, err = run("compare", *files, target, "--csv", files[1], "--overwrite")
    assert code == 1 and "is an input of this run" in err and Path(files[1]).read_bytes()[:2] in (b"II", b"MM")


def test_the_report_has_every_figure(tmp_path: Path, truth: NDArray[np.uint8]) -> None:
    truth = np.tile(truth, (2, 2))
    target = write(tmp_path / "truth.tif", truth)
    files = [write(tmp_path / f"{share}.tif", worse(truth, share), model="m") for share in (0.4, 0.4, 0.1)]
    files[1] = write(tmp_path / "same.tif", worse(truth, 0.4), model="m")
    page = tmp_path / "r.html"
    code, out, _ = run("compare", *files, target, "--report", page, "--json")
    found, text = json.loads(out), page.read_text()
    assert code == 0 and "0.4.tif" in text and " src=" not in text and "landsegMap = " not in text
    for one in found["evaluations"]:
        for value, (low, high) in (
            (one["mean_iou"], one["intervals"]["mean_iou"]),
            *((entry["iou"], entry["iou_ci"]) for entry in one["classes"]),
        ):
            assert f">{value:.3f}<small>{low:.3f}–{high:.3f}</small>" in text
    same, better = (one["mean_iou"] for one in found["differences"])
    assert f"<strong>{better['difference']:+.3f}</strong><small>{better['low']:+.3f} to" in text
    assert same["difference"] == 0 and "<strong>+0.000" not in text and ">+0.000<small>" in text


def test_folders_are_compared_by_name(tmp_path: Path, truth: NDArray[np.uint8]) -> None:
    """Two scenes, of which each prediction lies in a folder; counted together, each with its own truth."""
    for folder in ("bad", "good", "labels"):
        (tmp_path / folder).mkdir()
    scenes = {"a": (truth, 0), "b": (np.rot90(truth), 5000)}
    for name, (values, left) in scenes.items():
        write(tmp_path / "bad" / f"{name}.tif", worse(values, 0.4), model="m", left=left)
        write(tmp_path / "good" / f"{name}.tif", worse(values, 0.1), model="m", left=left)
        write(tmp_path / "labels" / f"{name}_labels.tif", np.ascontiguousarray(values), left=left)
    folders = [tmp_path / name for name in ("bad", "good", "labels")]
    code, out, err = run("compare", *folders, "--json", "--samples", 50)
    assert code == 0, err
    found = json.loads(out)
    for one, share in zip(found["evaluations"], (0.4, 0.1), strict=True):
        right = [(worse(values, share) == values).mean() for values, _ in scenes.values()]
        assert one["pixel_accuracy"] == pytest.approx(np.mean(right)) and one["scenes"] == ["a.tif", "b.tif"]
    assert found["differences"][0]["mean_iou"]["low"] > 0
    code, out, err = run("compare", folders[0] / "a.tif", folders[1] / "a.tif", folders[2] / "a_labels.tif", "--json")
    assert json.loads(out)["evaluations"][0]["scenes"] == ["a.tif"]  # twin: one scene is not both
    (tmp_path / "good" / "b.tif").unlink()
    code, _, err = run("compare", *folders)
    assert code == 1 and "expected one raster named as b.tif of" in err and "got none" in err
    code, _, err = run("compare", folders[1], folders[0], folders[2])
    assert code == 1 and "has no raster named as b.tif of" in err


def test_the_order_of_before_is_refused_where_it_can_be_seen(tmp_path: Path, truth: NDArray[np.uint8]) -> None:
    """TARGET PREDICTION PREDICTION: the truth stands first, and what landseg predicted stands last."""
    target = write(tmp_path / "truth.tif", truth)
    files = [write(tmp_path / f"{name}.tif", worse(truth, 0.1), model="m") for name in "ab"]
    code, _, err = run("compare", target, *files)
    assert code == 1 and "b.tif was predicted by landseg (model m)" in err and "PREDICTION... TARGET" in err
    assert run("compare", *files, target)[0] == 0  # twin
    (tmp_path / "fields.gpkg").write_bytes(b"")
    code, _, err = run("compare", tmp_path / "fields.gpkg", *files)
    assert code == 1 and "fields.gpkg is a vector file" in err and "the truth comes last" in err
    (tmp_path / "labels").mkdir()
    (tmp_path / "maps").mkdir()
    write(tmp_path / "labels" / "a.tif", truth)
    write(tmp_path / "maps" / "a.tif", truth, model="m")
    code, _, err = run("compare", tmp_path / "labels", tmp_path / "maps", tmp_path / "maps")
    assert code == 1 and "the truth, which comes last" in err and err.count("\n") == 1


def test_what_is_not_so_for_all_names_its_prediction(tmp_path: Path, truth: NDArray[np.uint8]) -> None:
    target = write(tmp_path / "truth.tif", truth)
    holed = truth.copy()
    holed[:2, :5] = 0
    files = [write(tmp_path / "whole.tif", truth, model="m"), write(tmp_path / "holed.tif", holed, model="m")]
    lines = run("compare", *files, target)[1].splitlines()
    assert any(line.strip().startswith("holed.tif: 10 labelled pixels have no prediction") for line in lines)
    assert sum("bootstrap" in line for line in lines) == 1 and not any("whole.tif:" in line for line in lines)
