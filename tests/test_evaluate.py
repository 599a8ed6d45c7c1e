"""Evaluation of files: figures by hand, any cut the same, and a sentence for what cannot be compared."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from landseg.cli.evaluate import lines
from landseg.compare import compare
from landseg.errors import ClassError, GridError, LandsegError, OutputError
from landseg.evaluate import evaluate
from landseg.geo.distance import Distance
from tests.parts.class_rasters import PLAIN, write


@pytest.fixture
def small(tmp_path: Path) -> tuple[str, str]:
    ours = write(tmp_path / "map.tif", np.array([[1, 1, 2, 2], [1, 2, 2, 0]], np.uint8), model="m")
    truth = write(tmp_path / "truth.tif", np.array([[1, 1, 2, 1], [1, 1, 0, 2]], np.uint8))
    return ours, truth


def test_figures_by_hand(small: tuple[str, str]) -> None:
    found = evaluate(*small, **PLAIN)
    assert found.confusion.tolist() == [[3, 2, 0], [0, 1, 0], [0, 0, 0]]
    water, road, wood = found.classes
    assert (water.iou, road.iou) == (3 / 5, 1 / 4) and math.isnan(wood.iou)
    assert road.missed == 1 and road.pixels == 2 and water.predicted == 3
    assert found.mean_iou == (3 / 5 + 1 / 4) / 2 and found.averaged_over == 2
    assert found.pixel_accuracy == 4 / 7 and found.commonest_class == "water"
    assert found.commonest_class_accuracy == 5 / 7
    assert water.area_ha is not None and water.area_ha == pytest.approx(0.05, rel=2e-3)
    assert any("1 labelled pixel has no prediction" in note for note in found.notes)
    assert found.to_json()["classes"][2]["iou"] is None


def test_samples_with_nothing_known_around_them_judge_no_outlines(tmp_path: Path) -> None:
    apart = np.zeros((9, 9), np.uint8)
    apart[:3, :3], apart[6:, 6:] = 1, 2
    ours, truth = write(tmp_path / "ours.tif", apart.clip(1), model="m"), write(tmp_path / "truth.tif", apart)
    found = evaluate(ours, truth)
    assert found.mean_boundary_iou is found.mean_surface_dice is found.classes[0].boundary_iou is None
    assert any("nowhere in the truth do two classes meet" in note for note in found.notes)
    apart[3:6] = 2  # twin: now they do
    found = evaluate(ours, write(tmp_path / "meeting.tif", apart))
    assert found.mean_boundary_iou is not None and found.mean_surface_dice is not None
    assert any(line.startswith("  surface Dice, 3 px (30 m)") for line in lines(found))
    assert not any("two classes meet" in note for note in found.notes)


def test_any_strips_and_workers_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    truth = np.kron(rng.integers(0, 4, (20, 16)), np.ones((9, 9))).astype(np.uint8)
    ours = np.where(rng.random(truth.shape) < 0.2, rng.integers(1, 4, truth.shape), np.maximum(truth, 1)).astype(
        np.uint8
    )
    files = write(tmp_path / "map.tif", ours, model="m"), write(tmp_path / "truth.tif", truth)
    options: dict[str, Any] = {
        "boundary": Distance(2),
        "tolerance": Distance(15, True),
        "samples": 50,
        "block": Distance(32),
    }
    whole = evaluate(*files, **options).to_json()
    monkeypatch.setattr("landseg.geo.pieces._PIXELS", 1000)
    assert evaluate(*files, **options).to_json() == whole
    assert whole["mean_boundary_iou"] > 0 and whole["intervals"]["mean_iou"][0] < whole["mean_iou"]


def test_twin_a_halo_too_short_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    truth = np.kron(rng.integers(1, 4, (20, 16)), np.ones((9, 9))).astype(np.uint8)
    files = write(tmp_path / "map.tif", np.roll(truth, 1, 0), model="m"), write(tmp_path / "truth.tif", truth)
    options: dict[str, Any] = {"boundary": Distance(3), "tolerance": None, "samples": 0}
    whole = evaluate(*files, **options).mean_boundary_iou
    monkeypatch.setattr("landseg.geo.pieces._PIXELS", 1000)
    monkeypatch.setattr("landseg.evaluation.counts.EvaluationCounts.halo", 0)
    assert evaluate(*files, **options).mean_boundary_iou != whole


def test_the_area_that_counts_and_ignored_values(small: tuple[str, str]) -> None:
    left: dict[str, Any] = {"aoi": "300000,2999980,300020,3000000", "boundary": None, "tolerance": None, "samples": 0}
    assert evaluate(*small, **left).confusion.sum() == 4
    ignoring: dict[str, Any] = {"ignore": (2,), "boundary": None, "tolerance": None, "samples": 0}
    found = evaluate(*small, **ignoring)
    assert [one.name for one in found.classes] == ["water", "wood"] and found.classes[0].pixels == 5


def test_an_error_raster_and_a_table_appear_and_are_not_overwritten(small: tuple[str, str], tmp_path: Path) -> None:
    products: dict[str, Any] = {
        "csv": tmp_path / "t.csv",
        "errors": tmp_path / "e.tif",
        "report": tmp_path / "r.html",
    }
    evaluate(*small, **PLAIN, **products)
    with rasterio.open(tmp_path / "e.tif") as file:
        assert file.read(1).tolist() == [[1, 1, 1, 2], [1, 2, 0, 2]]
    assert (tmp_path / "t.csv").read_text().splitlines()[1].startswith("1,water,0.6,")
    assert "How good is" in (tmp_path / "r.html").read_text()
    for one in (
        {"csv": products["csv"]},
        {"errors": products["errors"]},
        {"report": products["report"]},
    ):
        with pytest.raises(OutputError, match="exists"):
            evaluate(*small, **PLAIN, **one)
    evaluate(*small, **PLAIN, csv=products["csv"], errors=products["errors"], overwrite=True)


def test_several_predictions_and_a_folder(tmp_path: Path) -> None:
    maps, labels = tmp_path / "maps", tmp_path / "labels"
    maps.mkdir()
    labels.mkdir()
    values = np.array([[1, 2], [2, 1]], np.uint8)
    for number, name in enumerate("ab"):
        write(maps / f"{name}.tif", values, model="m", left=1000 * number)
        write(labels / f"{name}_labels.tif", np.array([[1, 2], [2, 2]], np.uint8), left=1000 * number)
    found = evaluate(str(maps), str(labels), **PLAIN)
    assert found.confusion.sum() == 8 and found.pixel_accuracy == 0.75


def test_scenes_with_pixels_of_two_sizes_have_no_areas_in_common(tmp_path: Path) -> None:
    values = np.array([[1, 2], [2, 1]], np.uint8)
    files = [write(tmp_path / f"{p}.tif", values, model="m", left=1000 * p, pixel=p) for p in (5, 10)]
    targets = [write(tmp_path / f"{p}_truth.tif", values, left=1000 * p, pixel=p) for p in (5, 10)]
    found = evaluate(files, targets, samples=0)
    assert found.pixel_accuracy == 1 and found.pixel_ha is None and found.classes[0].area_ha is None
    assert found.surface_tolerance_px == 3 and found.surface_tolerance_m is None
    assert "scenes have pixels of different sizes, so no areas are given" in found.notes
    with pytest.raises(GridError, match="need scenes whose pixels are of one size"):
        evaluate(files, targets, tolerance=Distance(20, True))
    same = evaluate(files[:1] * 2, targets[:1], samples=0)
    assert same.pixel_ha is not None and same.classes[0].area_ha == pytest.approx(4 * same.pixel_ha)


def test_swapped_arguments_and_other_misfits_get_a_sentence(small: tuple[str, str], tmp_path: Path) -> None:
    ours, truth = small
    with pytest.raises(ClassError, match=r"was predicted by landseg \(model m\).*swap the two"):
        evaluate(truth, ours, **PLAIN)
    with pytest.raises(ClassError, match="name labels in its place"):
        evaluate(ours, ours, **PLAIN)
    with pytest.raises(GridError, match="expected them to overlap"):
        evaluate(ours, write(tmp_path / "far.tif", np.ones((2, 2), np.uint8), left=5000), **PLAIN)
    strange = write(tmp_path / "strange.tif", np.array([[1, 7, 7, 1], [1, 1, 1, 1]], np.uint8))
    with pytest.raises(ClassError, match=r"values without a class: 7 \(2 px\)"):
        evaluate(ours, strange, **PLAIN)
    empty = write(tmp_path / "empty.tif", np.zeros((2, 4), np.uint8))
    with pytest.raises(ClassError, match="no labelled pixel"):
        evaluate(ours, empty, **PLAIN)
    plain = write(tmp_path / "plain.tif", np.ones((2, 4), np.uint8))
    with pytest.raises(ClassError, match="name a class table with --classes"):
        evaluate(plain, truth, **PLAIN)
    with pytest.raises(LandsegError, match="no such file"):
        evaluate(ours, str(tmp_path / "gone.tif"), **PLAIN)
    with pytest.raises(OutputError, match="--image is for the map"):
        evaluate(ours, truth, **PLAIN, image="x.tif")


def test_distances_are_pixels_or_metres() -> None:
    for text in ("", "x", "-3px", "0m", "nan"):
        with pytest.raises(GridError, match="expected pixels or metres above 0"):
            Distance.of(text)


def test_compared_with_the_first(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    truth = np.kron(rng.integers(1, 4, (12, 12)), np.ones((16, 16))).astype(np.uint8)
    files = []
    for wrong in (0.3, 0.1, 0.3):
        noisy = np.where(rng.random(truth.shape) < wrong, rng.integers(1, 4, truth.shape), truth).astype(np.uint8)
        files.append(write(tmp_path / f"{len(files)}.tif", noisy, model="m"))
    options: dict[str, Any] = {"boundary": None, "tolerance": None, "samples": 200, "block": Distance(32)}
    found = compare(files, write(tmp_path / "truth.tif", truth), **options)
    better, same = found.mean_iou
    assert better.low > 0.1 and better.low < better.difference < better.high
    assert same.low < 0 < same.high
    assert set(found.iou[0]) == {"water", "road", "wood"} and len(found.to_json()["differences"]) == 2
    with pytest.raises(ClassError, match="name two or more"):
        compare(files[:1], files[0])


def test_worst_windows_need_a_number_of_labelled_pixels_not_a_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One block with 400 labelled pixels, 19 % of them wrong, one labelled throughout with 1 %, one with 4 pixels."""
    truth = np.zeros((256, 768), np.uint8)
    truth[:20, :20], truth[:, 256:512], truth[:2, 600:602] = 1, 1, 1
    ours = np.ones_like(truth)
    ours[:4, :19], ours[:10, 256:321], ours[:2, 600:602] = 2, 2, 2
    paths = write(tmp_path / "map.tif", ours, model="m"), write(tmp_path / "truth.tif", truth)
    found = evaluate(*paths, **PLAIN).worst
    assert [(one.rect.left, one.pixels, round(one.error_rate, 2)) for one in found] == [
        (0, 400, 0.19),
        (256, 256 * 256, 0.01),
    ]
    monkeypatch.setattr("landseg.evaluation.figures._FEWEST", 256 * 256)  # as it was: a quarter of the window
    assert [one.rect.left for one in evaluate(*paths, **PLAIN).worst] == [256]
