"""What `evaluate` says of areas, and of outlines that the truth does not have."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX
from landseg.cli.evaluate import lines
from landseg.evaluate import evaluate
from landseg.evaluation.result import Evaluation
from landseg.geo.distance import Distance
from landseg.metrics.area import area_shares
from landseg.metrics.bootstrap import Blocks, interval, replicates
from landseg.metrics.boundary import BoundaryIoU
from landseg.metrics.surface import SurfaceDice, SurfaceDiceByRows
from tests.parts.class_rasters import write

PLAIN: dict[str, Any] = {"boundary": None, "tolerance": None, "samples": 200, "block": Distance(32)}


def sparse() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A truth in which water and road touch and wood lies by itself, and a map that draws outlines in all three."""
    truth = np.zeros((20, 20), np.uint8)
    truth[2:6, 2:6], truth[2:6, 6:10], truth[12:18, 12:18] = 1, 2, 3
    ours = np.where(truth == 0, np.uint8(1), truth)
    ours[12:18, 15:18] = 1
    return truth, ours


def test_a_class_without_an_outline_between_known_classes_has_no_figure_of_outlines(tmp_path: Path) -> None:
    truth, ours = sparse()
    files = write(tmp_path / "map.tif", ours, model="m"), write(tmp_path / "truth.tif", truth)
    found = evaluate(*files, samples=0, csv=tmp_path / "t.csv", report=tmp_path / "r.html")
    water, road, wood = found.to_json()["classes"]
    assert wood["boundary_iou"] is None and wood["surface_dice"] is None and wood["iou"] == 0.5
    assert water["boundary_iou"] is not None and road["surface_dice"] is not None
    assert found.mean_boundary_iou == np.mean([water["boundary_iou"], road["boundary_iou"]])
    rows = {row["name"]: row for row in csv.DictReader((tmp_path / "t.csv").read_text().splitlines())}
    assert rows["wood"]["boundary_iou"] == rows["wood"]["surface_dice"] == "" != rows["water"]["boundary_iou"]
    line = next(line for line in lines(found) if line.strip().startswith("wood"))
    assert line.split()[-2] == "-"
    row = (tmp_path / "r.html").read_text().partition('data-value="wood"')[2].partition("</tr>")[0]
    assert row.count('<td data-value="">–</td>') == 2
    assert "outlines of wood are not judged: nowhere in the truth do they meet another class" in found.notes


def test_twin_where_it_meets_another_class_there_is_one(tmp_path: Path) -> None:
    truth, ours = sparse()
    truth[12:18, 9:12] = 2
    files = write(tmp_path / "map.tif", ours, model="m"), write(tmp_path / "truth.tif", truth)
    found = evaluate(*files, samples=0)
    assert found.classes[2].boundary_iou is not None and found.classes[2].boundary_iou >= 0
    assert not any("not judged" in note for note in found.notes)


@pytest.mark.parametrize("border", [False, True])
def test_outlines_of_the_prediction_alone_are_0_by_the_authors_rule_only(border: bool) -> None:
    truth, ours = np.zeros((6, 6), np.uint8), np.zeros((6, 6), np.uint8)
    truth[:3], ours[:, :2] = 1, 2
    bands, surface = BoundaryIoU(3, 1, border=border), SurfaceDice(3, 1.0, border=border)
    for measure in (bands, surface):
        measure.update(truth, ours)
        assert measure.compute()[2] == 0 if border else np.isnan(measure.compute()[2])
        assert measure.compute()[0] > 0 and np.isfinite(measure.mean())


def test_so_they_are_by_rows() -> None:
    truth, ours = np.zeros((6, 6), np.uint8), np.zeros((6, 6), np.uint8)
    truth[4:], ours[:, :2] = 1, 2
    found = SurfaceDiceByRows(3, 1.0, [(3, (1.0, 1.0)), (6, (1.0, 0.9))])
    found.update(truth, ours)
    assert found.true.tolist() == [True, True, False] and np.isfinite(found.compute()).tolist() == [True, True, False]


def patches(tmp_path: Path, pixel: float = 10) -> tuple[str, str, NDArray[np.uint8], NDArray[np.uint8]]:
    """A map whose errors come in patches, and a truth of which half is known."""
    rng = np.random.default_rng(5)
    ours = np.kron(rng.integers(1, 3, (10, 10)), np.ones((16, 16))).astype(np.uint8)
    truth = np.kron(rng.integers(1, 3, (5, 5)), np.ones((32, 32))).astype(np.uint8)
    truth = np.where(np.kron(rng.random((10, 10)) < 0.7, np.ones((16, 16))) > 0, ours, truth).astype(np.uint8)
    truth[np.kron(rng.random((5, 5)) < 0.4, np.ones((32, 32))) > 0] = 0
    files = write(tmp_path / "map.tif", ours, model="m"), write(tmp_path / "truth.tif", truth)
    return *files, ours, truth


def check_interval(found: Evaluation, ours: NDArray[np.uint8], truth: NDArray[np.uint8], *, edge: int) -> None:
    """It is that of the shares of blocks drawn again and again, counted here."""
    blocks = Blocks(3, edge)
    true = np.where(truth == 0, IGNORE_INDEX, truth - 1).astype(np.uint8)
    blocks.update(true, (ours - 1).astype(np.uint8))
    mapped = np.bincount(ours.ravel() - 1, minlength=3)
    whole = mapped[: np.count_nonzero(mapped)].sum() * (found.pixel_ha or 0)
    shares = {"area": lambda matrices: area_shares(matrices, mapped)}
    low, high = interval(replicates(blocks.tiles.stacked(), shares, count=200)["area"]) * whole
    for index, one in enumerate(found.classes):
        assert one.estimated_ha_ci == pytest.approx((low[index], high[index]))


def test_areas_have_the_interval_of_the_blocks(tmp_path: Path) -> None:
    *files, ours, truth = patches(tmp_path)
    found = evaluate(*files, **PLAIN)
    check_interval(found, ours, truth, edge=32)
    water = found.classes[0]
    assert water.estimated_ha_ci is not None and water.estimated_ha_ci_random is not None
    assert water.estimated_ha_ci[0] < (water.estimated_ha or 0) < water.estimated_ha_ci[1]
    wide, narrow = (high - low for low, high in (water.estimated_ha_ci, water.estimated_ha_ci_random))
    assert wide > 3 * narrow  # patches are no random sample of pixels
    with pytest.raises(AssertionError):  # twin: blocks of another size have another interval
        check_interval(found, ours, truth, edge=64)


def test_without_draws_there_is_none_and_with_one_block_nothing_is_shown(tmp_path: Path) -> None:
    *files, _, _ = patches(tmp_path)
    assert evaluate(*files, samples=0).classes[0].estimated_ha_ci is None
    one = evaluate(*files, samples=20, report=tmp_path / "r.html")
    assert one.to_json()["classes"][0]["estimated_ha_ci"] == [None, None]
    assert "–––" not in (tmp_path / "r.html").read_text()


def test_where_every_pixel_is_labelled_there_is_none(tmp_path: Path) -> None:
    ours = np.kron(np.array([[1, 2], [2, 1]]), np.ones((64, 64))).astype(np.uint8)
    files = write(tmp_path / "map.tif", ours, model="m"), write(tmp_path / "truth.tif", ours)
    found = evaluate(*files, **PLAIN)
    assert found.classes[0].estimated_ha_ci is None and found.classes[0].estimated_ha == found.classes[0].mapped_ha


def test_the_table_says_that_its_hectares_are_those_of_labelled_pixels(tmp_path: Path) -> None:
    *files, _, _ = patches(tmp_path)
    told = list(lines(evaluate(*files, **PLAIN)))
    head = next(line for line in told if line.strip().startswith("class"))
    assert head.endswith(" labelled ha")


def test_scenes_of_almost_one_pixel_size_are_summed_by_their_own(tmp_path: Path) -> None:
    values: Any = np.array([[1, 2], [2, 1]], np.uint8)
    sizes = {"a": 10.0, "b": 10.04}
    files = [write(tmp_path / f"{n}.tif", values, model="m", left=1000 * i, pixel=p)
             for i, (n, p) in enumerate(sizes.items())]  # fmt: skip
    truths = [write(tmp_path / f"{n}_truth.tif", values, left=1000 * i, pixel=p)
              for i, (n, p) in enumerate(sizes.items())]  # fmt: skip
    each = [evaluate(*pair, **PLAIN).classes[0].mapped_ha or 0 for pair in zip(files, truths, strict=True)]
    both = evaluate(files, truths, **PLAIN).classes[0].mapped_ha
    assert both == pytest.approx(sum(each), rel=1e-6) and both != pytest.approx(2 * each[0], rel=1e-3)


def test_where_pixels_differ_in_size_the_interval_is_around_the_estimate_by_area(tmp_path: Path) -> None:
    from tests.parts.pixel_sizes import HALVES, evaluated

    truth, ours = np.zeros((120, 20), int), np.ones((120, 20), int)
    truth[:60, :4], truth[60:, :4], truth[5:70:7, 1], ours[::6] = 1, 2, 2, 2
    found = evaluated(tmp_path, truth, ours, HALVES, samples=200, block=Distance(4))
    for one in found.classes:
        assert one.estimated_ha_ci is not None and one.estimated_ha is not None
        assert one.estimated_ha_ci[0] < one.estimated_ha < one.estimated_ha_ci[1]
        assert one.estimated_ha_ci[1] - one.estimated_ha_ci[0] < one.estimated_ha
