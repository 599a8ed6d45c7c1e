"""COCO's files: masks equal to those of pycocotools, pixel by pixel, and the twelve figures from files."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import landseg
from landseg.errors import ClassError, LandsegError
from landseg.evaluation.objects import masks
from landseg.evaluation.objects.masks import area_of, read_mask, shared_by
from landseg.evaluation.objects.result import ObjectEvaluation
from tests.parts.objects import random_scene

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of rle.decode

SIZE = 120


def drawn(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """The pixels (H, W) of a mask as landseg holds it."""
    flat = np.zeros(height * width, bool)
    for start, end in mask.reshape(-1, 2).tolist():
        flat[start:end] = True
    return flat.reshape(width, height).T


def random_polygons(rng: np.random.Generator) -> list[list[float]]:
    """One to three polygons, some of which reach beyond the image or cross themselves."""
    rings = []
    for _ in range(rng.integers(1, 4)):
        count = int(rng.integers(3, 9))
        points = rng.uniform(-8, 8 + rng.integers(5, 60), (count, 2)) + rng.uniform(0, 40, 2)
        rings.append(np.round(points, int(rng.integers(0, 3))).reshape(-1).tolist())
    return rings


def by_tools(segmentation: Any, height: int, width: int) -> np.ndarray:
    """The mask that pycocotools draws of polygons."""
    return rle.decode(rle.merge(rle.frPyObjects(segmentation, height, width))).astype(bool)


def test_files_that_are_not_there_are_called_missing(tmp_path: Path) -> None:
    with pytest.raises(LandsegError, match=r"results\.json"):
        landseg.evaluate(tmp_path / "results.json", tmp_path / "truth.json")


@pytest.mark.parametrize("seed", range(60))
def test_polygons_are_drawn_as_by_pycocotools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(20, 70, 2).tolist()
    rings = random_polygons(rng)
    got = read_mask(rings, height, width)
    np.testing.assert_array_equal(drawn(got, height, width), by_tools(rings, height, width))
    assert area_of(got) == by_tools(rings, height, width).sum()


def test_twin_polygons_drawn_in_quarters_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "_FINER", 3)
    differs = 0
    for seed in range(20):
        rings = random_polygons(np.random.default_rng(seed))
        differs += (drawn(read_mask(rings, 50, 50), 50, 50) != by_tools(rings, 50, 50)).any()
    assert differs > 10


@pytest.mark.parametrize("seed", range(20))
def test_run_lengths_compressed_and_plain(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pair = [rng.random((37, 53)) < share for share in (rng.random(), 0.02)]
    got = []
    for pixels in pair:
        packed = rle.encode(np.asfortranarray(pixels.astype(np.uint8)))
        one = read_mask({"size": [37, 53], "counts": packed["counts"].decode()}, 37, 53)
        np.testing.assert_array_equal(drawn(one, 37, 53), pixels)
        flat = pixels.T.reshape(-1)
        ends = np.flatnonzero(np.diff(flat.astype(int))) + 1
        lengths = np.diff([0, *([] if not flat[0] else [0]), *ends, flat.size]).tolist()
        np.testing.assert_array_equal(read_mask({"size": [37, 53], "counts": lengths}, 37, 53), one)
        got.append(one)
    assert shared_by(got[0], got[1]) == shared_by(got[1], got[0]) == (pair[0] & pair[1]).sum()


def write_files(folder: Path, seed: int) -> tuple[Path, Path]:
    """Ground truth with crowds and polygons, and results with equal scores, of two classes in four images."""
    rng = np.random.default_rng(seed)
    true: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image in (7, 3, 11, 5):
        for kind in (1, 4):
            scene = random_scene(seed * 50 + image * 5 + kind, size=SIZE, most=9)
            base = {"image_id": image, "category_id": kind}
            for mask, crowd in zip(scene.true, scene.crowd, strict=True):
                packed = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
                packed["counts"] = packed["counts"].decode()
                more = {"segmentation": packed, "area": float(mask.sum()), "iscrowd": int(crowd)}
                true.append(base | more | {"id": len(true) + 1, "bbox": [0, 0, 1, 1]})
            rings = random_polygons(rng)
            area = float(by_tools(rings, SIZE, SIZE).sum())
            more = {"segmentation": rings, "area": area, "iscrowd": 0, "bbox": [0, 0, 1, 1]}
            true.append(base | more | {"id": len(true) + 1})
            found.append(base | {"segmentation": rle_text(by_tools(rings, SIZE, SIZE)), "score": 0.5})
            for mask, score in zip(scene.found, scene.scores, strict=True):
                found.append(base | {"segmentation": rle_text(mask), "score": float(score)})
    found.append({"image_id": 3, "category_id": 1, "segmentation": rle_text(np.zeros((SIZE, SIZE))), "score": 1.0})
    images = [{"id": image, "height": SIZE, "width": SIZE} for image in (7, 3, 11, 5)]
    kinds = [{"id": 4, "name": "shed"}, {"id": 1, "name": "house"}, {"id": 9, "name": "none"}]
    truth, results = folder / "truth.json", folder / "results.json"
    truth.write_text(json.dumps({"info": {}, "images": images, "annotations": true, "categories": kinds}))
    results.write_text(json.dumps(found))
    return results, truth


def rle_text(mask: np.ndarray) -> dict[str, Any]:
    packed = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": packed["size"], "counts": packed["counts"].decode()}


def by_pycocotools(results: Path, truth: Path) -> np.ndarray:
    with contextlib.redirect_stdout(io.StringIO()):
        whole = COCO(str(truth))
        run = COCOeval(whole, whole.loadRes(str(results)), "segm")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return np.where(run.stats < 0, np.nan, run.stats)


def evaluated(results: Path, truth: Path) -> ObjectEvaluation:
    found = landseg.evaluate(results, truth, samples=0)
    assert isinstance(found, ObjectEvaluation) and found.coco is not None
    return found


@pytest.mark.parametrize("seed", range(6))
def test_the_twelve_figures_of_files_are_those_of_pycocotools(tmp_path: Path, seed: int) -> None:
    files = write_files(tmp_path, seed)
    found = evaluated(*files)
    np.testing.assert_allclose(found.coco, by_pycocotools(*files), rtol=0, atol=1e-12)
    assert [one.name for one in found.classes] == ["house", "shed", "none"]


def test_twin_truth_without_its_crowds_has_other_figures(tmp_path: Path) -> None:
    results, truth = write_files(tmp_path, 0)
    expected = by_pycocotools(results, truth)
    table = json.loads(truth.read_text())
    assert sum(one["iscrowd"] for one in table["annotations"]) > 3
    table["annotations"] = [one | {"iscrowd": 0} for one in table["annotations"]]
    truth.write_text(json.dumps(table))
    assert not np.allclose(evaluated(results, truth).coco, expected, rtol=0, atol=1e-12)


BAD = {
    "the two swapped": (lambda r, t: (t, r), "expected COCO's results"),
    "two truths": (lambda r, t: (t, t), "expected COCO's results"),
    "another image": ({"image_id": 99}, "image 99"),
    "a score above 1": ({"score": 1.5}, "1.5"),
    "a box alone": ({"segmentation": [1, 2, 3, 4]}, "no masks"),
    "a mask of another size": ({"segmentation": {"size": [4, 4], "counts": [16]}}, r"\[4, 4\]"),
    "half a mask": ({"segmentation": {"size": [SIZE, SIZE], "counts": [16]}}, "16 pixels"),
    "no score": ({"score": None}, "lacks a field"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    results, truth = write_files(tmp_path, 0)
    change, words = BAD[name]
    if isinstance(change, dict):
        table = json.loads(results.read_text())
        table[0] |= change
        results.write_text(json.dumps(table))
    else:
        results, truth = change(results, truth)
    with pytest.raises(ClassError, match=words):
        landseg.evaluate(results, truth)
