"""`landseg compare` as a program."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from test_cli_evaluate import plain, run
from test_evaluate import CLASSES, write

from landseg.geo.legend import class_tag


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
    code, out, _ = run("compare", target, *files)
    assert code == 0
    lines = out.splitlines()
    assert "bad.tif" in lines[1] and "good.tif" in lines[2] and "+0." in lines[2]
    assert [line.split()[0] for line in lines[4:]] == ["water", "road", "wood"]
    code, out, _ = run("compare", target, *files, "--json", "--samples", 0)
    found = json.loads(out)
    (difference,) = found["differences"]
    bad, good = found["evaluations"]
    assert difference["mean_iou"]["difference"] == pytest.approx(good["mean_iou"] - bad["mean_iou"])
    assert difference["mean_iou"]["low"] is None and good["mean_iou"] > bad["mean_iou"] + 0.2


def test_without_intervals_none_are_printed(tmp_path: Path, truth: NDArray[np.uint8]) -> None:
    truth = np.tile(truth, (2, 2))  # of several blocks
    target = write(tmp_path / "truth.tif", truth)
    files = [write(tmp_path / f"{share}.tif", worse(truth, share), model="m") for share in (0.3, 0.1)]
    code, out, _ = run("compare", target, *files, "--samples", 0)
    assert code == 0 and "nan" not in out and " to " not in out
    assert " to " in run("compare", target, *files)[1]  # twin: with intervals they are


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
    code, out, err = run("compare", target, first, fine, moved, "--json", "--samples", 0)
    assert code == 0, err
    one, same, part = json.loads(out)["evaluations"]
    assert same["confusion"] == one["confusion"] and same["mean_iou"] == one["mean_iou"]
    missed = sum(entry["missed"] for entry in part["classes"])
    assert missed == 192**2 - 189**2 and part["mean_iou"] < one["mean_iou"]
    # Twin: at a place of its own the same values are another map.
    write(tmp_path / "wrong.tif", worse(truth, 0.2), model="m", left=160)
    out = run("compare", target, first, tmp_path / "wrong.tif", "--json", "--samples", 0)[1]
    assert json.loads(out)["evaluations"][1]["mean_iou"] < 0.6 * one["mean_iou"]


def test_rasters_that_lie_nowhere_match_by_their_pixels(tmp_path: Path, truth: NDArray[np.uint8]) -> None:
    tags = {"LANDSEG_MODEL": "m", "LANDSEG_CLASSES": class_tag(CLASSES)}
    files = [plain(tmp_path / f"{s}.tif", worse(truth, s), **tags) for s in (0.3, 0.1)]
    target = plain(tmp_path / "truth.png", truth)
    code, out, _ = run("compare", target, *files, "--json", "--samples", 0)
    assert code == 0
    for entry, share in zip(json.loads(out)["evaluations"], (0.3, 0.1), strict=True):
        assert entry["pixel_accuracy"] == (worse(truth, share) == truth).mean()
    small = plain(tmp_path / "small.tif", truth[:50], **tags)
    code, out, err = run("compare", target, files[0], small)
    assert code == 1 and out == "" and "expected" in err and "Traceback" not in err


def test_what_cannot_be_compared_is_one_sentence(tmp_path: Path, truth: NDArray[np.uint8]) -> None:
    target = write(tmp_path / "truth.tif", truth)
    files = [write(tmp_path / f"{name}.tif", truth, model="m") for name in "ab"]
    before = sorted(tmp_path.iterdir())
    code, _, err = run("compare", target, files[0])
    assert code == 1 and "name two or more" in err
    code, _, err = run("compare", files[0], target, files[1])
    assert code == 1 and "was predicted by landseg (model m)" in err
    far = write(tmp_path / "far.tif", truth, model="m", left=9000)
    code, out, err = run("compare", target, files[0], far)
    assert (code, out) == (1, "") and "expected them to overlap" in err and err.count("\n") == 1
    (tmp_path / "far.tif").unlink()
    assert sorted(tmp_path.iterdir()) == before
    assert run("compare", target)[0] == 2
