"""COCO's results of keypoints: the figures of pycocotools from files, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import landseg
from landseg.errors import LandsegError
from landseg.evaluation.points.keypoint_result import KeypointEvaluation
from landseg.metrics.oks import COCO_SIGMAS
from tests.parts.coco_keypoints import by_pycocotools, classes_of, coco_files
from tests.parts.commands import run


def written(folder: Path, seed: int, joints: int, **category: Any) -> tuple[Path, Path]:
    true, found = coco_files(classes_of(seed, joints))
    true["categories"] = [{"id": one["id"], "name": f"kind {one['id']}", **category} for one in true["categories"]]
    paths = folder / "results.json", folder / "truth.json"
    for path, content in zip(paths, (found, true), strict=True):
        path.write_text(json.dumps(content))
    return paths


def evaluated(paths: tuple[Path, Path], **options: Any) -> KeypointEvaluation:
    made = landseg.evaluate(*paths, **{"samples": 0, **options})
    assert isinstance(made, KeypointEvaluation)
    return made


def refused(paths: tuple[Path, Path], **options: Any) -> str:
    with pytest.raises(LandsegError) as caught:
        landseg.evaluate(*paths, **options)
    return str(caught.value)


PEOPLE = [f"joint {number}" for number in range(17)]
CORNERS = [0.05, 0.04, 0.1, 0.02]


def test_people_have_cocos_sigmas(tmp_path: Path) -> None:
    made = evaluated(written(tmp_path, 3, 17, keypoints=PEOPLE))
    np.testing.assert_allclose(made.coco, by_pycocotools(classes_of(3, 17), COCO_SIGMAS)[0], rtol=0, atol=1e-12)
    assert [one.name for one in made.classes] == ["kind 1", "kind 2"]


def test_a_category_names_its_sigmas(tmp_path: Path) -> None:
    made = evaluated(written(tmp_path, 4, 4, sigmas=CORNERS))
    want = by_pycocotools(classes_of(4, 4), np.array(CORNERS))[0]
    np.testing.assert_allclose(made.coco, want, rtol=0, atol=1e-12)
    other = evaluated(written(tmp_path, 4, 4, sigmas=[0.02] * 4))  # twin
    assert not np.allclose(other.coco, want, equal_nan=True)


def test_the_command(tmp_path: Path) -> None:
    paths = written(tmp_path, 4, 4, keypoints=PEOPLE[:4], sigmas=CORNERS)
    made, table = evaluated(paths, score=0.3, samples=20), tmp_path / "table.csv"
    arguments = ("--score", "0.3", "--samples", "20", "--csv", str(table))
    code, out, err = run("evaluate", *map(str, paths), *arguments)
    assert (code, err) == (0, "")
    assert f"COCO AP          {made.coco[0]:.3f}" in out and f"COCO AP medium   {made.coco[3]:.3f}" in out
    figures = made.classes[0].figures
    assert f"kind 1: {figures.found_count} for {figures.true_count} objects" in out
    assert f"{figures.matched_keypoints} of {figures.keypoints} keypoints matched" in out
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["name"] for row in rows] == ["kind 1", "kind 2", "all classes"]
    assert float(rows[0]["ap50"]) == figures.ap50 and rows[0]["f1_low"]
    code, out, _ = run("evaluate", *map(str, paths), "--json", "--samples", "0")
    told = json.loads(out)
    assert code == 0 and told["coco"][0] == pytest.approx(made.coco[0]) and told["classes"][0]["within"] == [2, 5, 10]
    assert repr(made).startswith("<KeypointEvaluation of ") and "kind 2" in made._repr_html_()


def change(path: Path, where: str, **fields: Any) -> None:
    content = json.loads(path.read_text())
    one = (content if where == "results" else content[where])[0]
    one |= {key: value for key, value in fields.items() if value is not None}
    for key in (key for key, value in fields.items() if value is None):
        del one[key]
    path.write_text(json.dumps(content))


BAD: dict[str, tuple[int, str, dict[str, Any], str]] = {
    "no sigmas": (1, "categories", {"sigmas": None}, "kind 1 has 4 keypoints and no sigmas: expected 'sigmas'"),
    "other sigmas": (1, "categories", {"sigmas": [0.1]}, "not a number above 0 for each 4 keypoints"),
    "a sigma of 0": (1, "categories", {"sigmas": [0, 1, 1, 1]}, "not a number above 0 for each"),
    "other keypoints": (0, "results", {"keypoints": [1, 2, 2]}, "has 3 numbers as keypoints: expected x, y and"),
    "another image": (
        0,
        "results",
        {"image_id": 99},
        "has results of image 99, which the ground truth does not have",
    ),
    "a score": (0, "results", {"score": 2}, "a result has the score 2: expected scores from 0 to 1"),
    "no area": (1, "annotations", {"area": None}, "an entry lacks a field"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(tmp_path: Path, name: str) -> None:
    side, where, fields, text = BAD[name]
    paths = written(tmp_path, 4, 4, keypoints=PEOPLE[:4], sigmas=CORNERS)
    change(paths[side], where, **fields)
    assert text in refused(paths)


def test_other_files_and_options_are_refused(tmp_path: Path) -> None:
    paths = written(tmp_path, 4, 4, keypoints=PEOPLE[:4], sigmas=CORNERS)
    assert "--radius is for other predictions, and these are COCO's keypoints" in refused(paths, radius=3)
    assert "expected COCO's results (a list) and then its ground truth" in refused((paths[0], paths[0]))
    with pytest.raises(LandsegError, match="name one of results and one of ground truth"):
        landseg.evaluate([paths[0], paths[0]], paths[1])
    bare = written(tmp_path, 4, 4)
    assert "no category has keypoints" in refused(bare)
