"""Objects of several scenes: paired by name, and judged as if they were one map."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import landseg
from landseg.errors import LandsegError
from landseg.evaluation.objects.result import ObjectComparison
from tests.evaluation.test_objects import FOUND, TRUE, evaluated, outcome, raster, vector
from tests.parts.commands import run

FAR = 200.0
"""Metres between two scenes."""


def moved(rows: list[tuple[int, int, int, int]], by: float) -> list[tuple[float, ...]]:
    return [(a + by, b, c + by, d) for a, b, c, d in rows]


@pytest.fixture
def scenes(tmp_path: Path) -> tuple[Path, Path]:
    """Folders of predictions and truths: scene a as in `test_objects`, scene b with all found, far from it."""
    found, true = tmp_path / "found", tmp_path / "true"
    for folder, a, b in ((found, FOUND, TRUE), (true, TRUE, TRUE)):
        folder.mkdir()
        vector(folder / "a.gpkg", a, score=[0.5] * len(a))
        vector(folder / "b.gpkg", moved(b, FAR), score=[0.9] * len(b))
    return found, true


def test_two_scenes_are_as_one_map_of_both(tmp_path: Path, scenes: tuple[Path, Path]) -> None:
    made = evaluated(*scenes)
    scores = [0.5] * len(FOUND) + [0.9] * len(TRUE)
    one = evaluated(
        vector(tmp_path / "p.gpkg", [*FOUND, *moved(TRUE, FAR)], score=scores),
        vector(tmp_path / "t.gpkg", [*TRUE, *moved(TRUE, FAR)]),
    )
    assert outcome(made) == outcome(one) == [8, 1, 0, 1, 1]
    assert made.means == pytest.approx(one.means, nan_ok=True)
    assert made.notes[0] == "2 scenes"
    first = evaluated(scenes[0] / "a.gpkg", scenes[1] / "a.gpkg")
    assert outcome(first) != outcome(made)  # twin: the first scene alone


def test_files_are_paired_by_name_and_not_by_order(scenes: tuple[Path, Path]) -> None:
    found, true = scenes
    listed = landseg.evaluate([found / "b.gpkg", found / "a.gpkg"], [true / "a.gpkg", true / "b.gpkg"], samples=0)
    assert outcome(listed) == outcome(evaluated(found, true))  # type: ignore[arg-type]
    (true / "a.gpkg").rename(true / "c.gpkg")
    (true / "b.gpkg").rename(true / "a.gpkg")
    (true / "c.gpkg").rename(true / "b.gpkg")
    with pytest.raises(LandsegError, match="do not overlap"):  # twin: the other way round
        evaluated(found, true)


def test_rasters_of_ids_take_their_part_of_one_vector_file(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    ids.mkdir()
    raster(ids / "a_ids.tif", FOUND)
    raster(ids / "b_ids.tif", TRUE)
    truth = vector(tmp_path / "t.gpkg", TRUE)
    made = evaluated(ids, truth)
    assert outcome(made) == [8, 1, 0, 1, 1]
    apart = [evaluated(ids / f"{name}_ids.tif", truth) for name in "ab"]
    assert outcome(made) == [sum(pair) for pair in zip(*map(outcome, apart), strict=True)]


def test_truth_beside_its_imagery_is_that_of_the_vector_files(tmp_path: Path) -> None:
    folder = tmp_path / "town"
    folder.mkdir()
    raster(folder / "a.tif", [], dtype="uint8")  # imagery
    vector(folder / "a.gpkg", TRUE)
    ids = tmp_path / "ids"
    ids.mkdir()
    raster(ids / "a.tif", FOUND)
    assert outcome(evaluated(ids, folder)) == [3, 1, 0, 1, 1]


def test_scenes_without_objects_of_a_class_take_part(tmp_path: Path) -> None:
    found, true = tmp_path / "found", tmp_path / "true"
    for folder in (found, true):
        folder.mkdir()
        vector(folder / "a.gpkg", TRUE[:2], name=["house", "shed"], score=[0.5, 0.5])
    vector(true / "b.gpkg", TRUE[:2], name=["house", "shed"])
    vector(found / "b.gpkg", [], name=[], score=[])
    made = evaluated(found, true, class_field="name")
    assert {one.name: one.figures.recall for one in made.classes} == {"house": 0.5, "shed": 0.5}


def test_compare_takes_folders(scenes: tuple[Path, Path]) -> None:
    found, true = scenes
    made = landseg.compare([found, true], true, samples=0)
    assert isinstance(made, ObjectComparison)
    better = made.f1[0]["all objects"].difference
    assert better == pytest.approx(1 - evaluated(found, true).means["f1"]) and better > 0


def test_report_of_scenes_has_figures_and_no_map(tmp_path: Path, scenes: tuple[Path, Path]) -> None:
    evaluated(*scenes, report=tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "2 scenes" in text and 'id="map"' not in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("missing truth", "1 of 2 predictions has no truth of the same name: .*b.gpkg; name a truth for each"),
        ("one truth", "2 predictions against one file of truth: .*a.gpkg does not say which part of it is its own"),
        ("two truths", "a has several truths: .*; keep one"),
        ("same name", "two predictions are called a: expected one for each scene"),
        ("scores", "some predictions have scores and others have none: judge them apart"),
        ("report", "a.gpkg"),
    ],
)
def test_what_cannot_be_judged_is_a_sentence(
    tmp_path: Path, scenes: tuple[Path, Path], change: str, words: str
) -> None:
    found, true = scenes
    given = [str(found), str(true)]
    if change == "missing truth":
        (true / "b.gpkg").unlink()
        vector(true / "c.gpkg", TRUE)
    elif change == "one truth":
        given[1] = str(true / "a.gpkg")
    elif change == "two truths":
        vector(true / "a_labels.gpkg", TRUE)
    elif change == "same name":
        vector(found / "a_ids.gpkg", TRUE)
    elif change == "scores":
        (found / "b.gpkg").unlink()
        vector(found / "b.gpkg", moved(TRUE, FAR))
    else:
        given += ["--report", str(found / "a.gpkg")]
    code, printed, said = run("evaluate", *given)
    assert (code, printed) == (1, "") and len(said.strip().splitlines()) == 1
    assert re.search(words, said), said
