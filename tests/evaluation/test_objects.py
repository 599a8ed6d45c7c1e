"""Objects of vector files and rasters of ids: their figures, and what is refused."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image
from rasterio.features import rasterize

import landseg
from landseg.errors import LandsegError
from landseg.evaluation.objects import rasters
from landseg.evaluation.objects.result import ObjectComparison, ObjectEvaluation
from landseg.evaluation.objects.sides import open_objects
from landseg.evaluation.options import EvaluateOptions
from landseg.geo.pieces import cut
from landseg.labels.object_files import read_scores
from landseg.report.html.object_map import COLORS
from tests.parts.commands import run
from tests.parts.places import HALF_METRE, UTM

X, Y = HALF_METRE.c, HALF_METRE.f
TRUE = [(0, 0, 10, 10), (10, 0, 20, 10), (30, 0, 40, 20), (60, 60, 70, 70), (0, 40, 10, 50)]
"""Left, top, right, bottom in metres from the corner of the rasters."""
FOUND = [(0, 0, 20, 10), (30, 0, 40, 9), (30, 9, 40, 20), (60, 61, 70, 71), (40, 60, 50, 70)]
"""Two truths merged, one split, one found, one missed; and one invented."""


def boxes(rows: Sequence[tuple[float, ...]]) -> list[shapely.Geometry]:
    return [shapely.box(X + a, Y - d, X + c, Y - b) for a, b, c, d in rows]


def vector(path: Path, rows: Sequence[tuple[float, ...]] | list[Any], crs: str | None = UTM, **columns: Any) -> Path:
    shapes = list(rows) if rows and not isinstance(rows[0], tuple) else boxes(rows)
    frame = geopandas.GeoDataFrame(columns, geometry=shapes, crs=UTM)
    (frame.to_crs(crs) if crs else frame.set_crs(None, allow_override=True)).to_file(path)
    return path


def raster(
    path: Path, rows: Sequence[tuple[float, ...]], dtype: str = "uint32", crs: str | None = UTM, **tags: str
) -> Path:
    pairs = [(shape, number) for number, shape in enumerate(boxes(rows), 1)]
    ids = rasterize(pairs, (160, 160), transform=HALF_METRE, dtype="int32").astype(dtype)
    profile: dict[str, Any] = {"driver": "GTiff", "count": 1, "height": 160, "width": 160, "dtype": dtype}
    with rasterio.open(path, "w", crs=crs, transform=HALF_METRE, **profile) as file:
        file.write(ids, 1)
        file.update_tags(**tags)
    return path


def evaluated(prediction: Path, truth: Path, **options: Any) -> ObjectEvaluation:
    found = landseg.evaluate(prediction, truth, **{"samples": 0, **options})
    assert isinstance(found, ObjectEvaluation)
    return found


def outcome(found: ObjectEvaluation) -> list[int]:
    return [int(found.counts[name]) for name in ("found", "merged", "split", "missed", "invented")]


SIDES: dict[str, tuple[Callable[..., Path], Callable[..., Path]]] = {
    "vector, vector": (vector, vector),
    "raster, vector": (raster, vector),
    "vector, raster": (vector, raster),
    "raster, raster": (raster, raster),
}


@pytest.mark.parametrize("sides", SIDES)
def test_each_kind_of_side_gives_the_same_figures(tmp_path: Path, sides: str) -> None:
    make_found, make_true = SIDES[sides]
    prediction = make_found(tmp_path / ("p.gpkg" if make_found is vector else "p.tif"), FOUND)
    truth = make_true(tmp_path / ("t.gpkg" if make_true is vector else "t.tif"), TRUE)
    found = evaluated(prediction, truth)
    # The second part of what was split has an IoU of 110 / 200 and is a match; the merged one of 100 / 200 as well.
    assert outcome(found) == [3, 1, 0, 1, 1]
    one = found.classes[0].figures
    assert (one.precision, one.recall, one.f1) == pytest.approx((3 / 5, 3 / 5, 3 / 5))
    assert (one.true_count, one.found_count) == (5, 5)
    assert (one.true_size, one.found_size) == pytest.approx((600, 600), rel=2e-3)
    assert one.sq == pytest.approx(np.mean([110 / 200, 90 / 110]), rel=1e-9)  # above one half: not the merged one
    assert math.isnan(one.ap) and any("no scores" in note for note in found.notes)


def test_polygons_in_another_crs_and_by_strips_are_the_same(tmp_path: Path) -> None:
    truth = vector(tmp_path / "t.gpkg", TRUE)
    scores = [0.9, 0.8, 0.7, 0.6, 0.5]
    own = evaluated(vector(tmp_path / "p.gpkg", FOUND, score=scores), truth, areas="150")
    for crs in ("EPSG:4326", "EPSG:3857"):
        other = evaluated(vector(tmp_path / f"{crs[5:]}.gpkg", FOUND, crs, score=scores), truth, areas=[150])
        assert outcome(other)[3:] == outcome(own)[3:]
        assert other.counts["found_size"] == pytest.approx(own.counts["found_size"], rel=1e-5)
    small, large = own.classes[0].figures.ap_by_area
    # The large truth is taken by its part of IoU 0.55; before it, but for IoU 0.5, comes the one that merges two.
    assert any(math.isclose(large, value) for value in (1 / 10, 1.5 / 10)) and small > 0


def test_average_precision_follows_the_scores(tmp_path: Path) -> None:
    truth = vector(tmp_path / "t.gpkg", TRUE)
    best = evaluated(vector(tmp_path / "a.gpkg", TRUE, score=[0.9] * 5), truth)
    assert best.means["ap"] == best.means["ap50"] == best.means["f1"] == best.means["pq"] == pytest.approx(1)
    rows = [TRUE[0], (40, 60, 50, 70)]
    right_first = evaluated(vector(tmp_path / "b.gpkg", rows, score=[0.9, 0.2]), truth)
    wrong_first = evaluated(vector(tmp_path / "c.gpkg", rows, score=[0.2, 0.9]), truth)
    assert right_first.means["ap50"] == pytest.approx(21 / 101) and wrong_first.means["ap50"] < 11 / 101
    assert right_first.means["best_f1"] == pytest.approx(2 / 6) and right_first.classes[0].figures.best_score == 0.9
    at = evaluated(tmp_path / "b.gpkg", truth, score=0.5)
    assert at.means["precision"] == 1 and at.counts["invented"] == 0 and right_first.counts["invented"] == 1


@pytest.mark.parametrize("kind", [vector, raster])
def test_truth_mostly_outside_the_area_is_ignored(tmp_path: Path, kind: Callable[..., Path]) -> None:
    truth = kind(tmp_path / ("t.gpkg" if kind is vector else "t.tif"), TRUE)
    prediction = vector(tmp_path / "p.gpkg", TRUE[:3], score=[1, 1, 1])
    for right, ignored in ((14, 1), (16, 0)):
        found = evaluated(prediction, truth, aoi=(X, Y - 30, X + right, Y))
        assert found.counts["true_count"] == 2 - ignored and found.means["f1"] == 1
        assert any("ignored" in note for note in found.notes) == bool(ignored)


def test_polygons_beyond_the_raster_are_ignored(tmp_path: Path) -> None:
    truth = vector(tmp_path / "t.gpkg", [*TRUE, (70, 20, 200, 30)])  # of 130 m, 10 m lie on the raster
    found = evaluated(raster(tmp_path / "p.tif", TRUE), truth)
    assert found.counts["true_count"] == 5 and found.means["f1"] == 1


def test_boundary_ap_of_polygons_is_that_of_their_bands(tmp_path: Path) -> None:
    truth = vector(tmp_path / "t.gpkg", [(0, 0, 10, 10)])
    prediction = vector(tmp_path / "p.gpkg", [(0, 0, 10, 9.5)], score=[1.0])
    pair = open_objects([str(prediction)], [str(truth)], EvaluateOptions.of({"boundary": "1m"}, verb="evaluate"))
    overlaps = pair.images[0].overlaps
    true, found = 100 - 64, 95 - 8 * 7.5
    shared = found - 8 * 0.5 + 0  # the band at the lower edge of the prediction begins half a metre higher
    assert overlaps.true.rim[0] == pytest.approx(true, rel=1e-3)
    assert overlaps.found.rim[0] == pytest.approx(found, rel=1e-3)
    assert overlaps.shared_rim is not None and overlaps.shared_rim[0] == pytest.approx(shared, rel=1e-3)
    assert evaluated(prediction, truth, boundary="1m").boundary == "1 m"
    assert any("--boundary 0.5m" in note for note in evaluated(prediction, truth).notes)


def test_classes_by_name_and_stuff_left_out(tmp_path: Path) -> None:
    names = ["house", "house", "shed", "shed", "pool"]
    truth = vector(tmp_path / "t.gpkg", TRUE, kind=names)
    values = [1, 1, 2, 2, 9]
    scores = [0.9, 0.8, 0.7, 0.6, None]
    prediction = vector(tmp_path / "p.gpkg", TRUE, name=[*names[:4], "grass"], value=values, score=scores)
    found = evaluated(prediction, truth, class_field="kind")
    assert [one.name for one in found.classes] == ["house", "pool", "shed"]
    assert [one.figures.f1 for one in found.classes] == [1, 0, 1] and found.means["f1"] == pytest.approx(2 / 3)
    said = "1 of 5 polygons has no score, is taken for an area without objects, and is left out"
    assert f"{prediction}: {said}" in found.notes
    alone = evaluated(prediction, truth)
    assert len(alone.classes) == 1 and any("only the prediction has classes" in note for note in alone.notes)


def test_an_empty_truth_means_nothing_and_says_so(tmp_path: Path) -> None:
    truth = tmp_path / "t.gpkg"
    geopandas.GeoDataFrame(geometry=[], crs=UTM).to_file(truth, geometry_type="Polygon")
    for prediction in (vector(tmp_path / "p.gpkg", FOUND, score=[1] * 5), raster(tmp_path / "p.tif", FOUND)):
        found = evaluated(prediction, truth)
        assert math.isnan(found.means["f1"]) and found.counts["invented"] == 5
        assert any("no object that counts" in note for note in found.notes)
    nothing = evaluated(truth, vector(tmp_path / "full.gpkg", TRUE))
    assert nothing.means["f1"] == 0 and nothing.counts["missed"] == 5


def test_overlapping_polygons_on_pixels_go_by_score(tmp_path: Path) -> None:
    truth = raster(tmp_path / "t.tif", TRUE[:1])
    rows = [TRUE[0], (0, 0, 12, 12)]
    for scores, iou in (([0.9, 0.5], 1.0), ([0.5, 0.9], 100 / 144)):
        found = evaluated(vector(tmp_path / "p.gpkg", rows, score=scores), truth)
        assert found.means["sq"] == pytest.approx(iou)


def test_the_comparison_has_differences_of_blocks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [(x, y, x + 6, y + 6) for x in range(0, 76, 10) for y in range(0, 76, 10)]
    truth = vector(tmp_path / "t.gpkg", rows)
    good = vector(tmp_path / "good.gpkg", rows[8:], score=rng.random(len(rows) - 8))
    bad = vector(tmp_path / "bad.gpkg", rows[24:], score=rng.random(len(rows) - 24))
    found = landseg.compare([bad, good, bad], truth, samples=200, block="10m", csv=tmp_path / "c.csv")
    assert isinstance(found, ObjectComparison)
    above, same = found.f1[0]["all objects"], found.f1[1]["all objects"]
    expected = found.evaluations[1].means["f1"] - found.evaluations[0].means["f1"]
    assert above.difference == pytest.approx(expected) and 0 < above.low < expected < above.high
    assert (same.difference, same.low, same.high) == (0, 0, 0)
    assert found.ap50[0]["all objects"].excludes_zero and "above_first" in (tmp_path / "c.csv").read_text()
    json.dumps(found.to_json(), allow_nan=False)


def test_results_are_json_and_tables(tmp_path: Path) -> None:
    truth = vector(tmp_path / "t.gpkg", TRUE)
    prediction = vector(tmp_path / "p.gpkg", FOUND, score=[0.9] * 5, id=[5, 4, 3, 2, 1])
    found = evaluated(prediction, truth, samples=20, block="20m", csv=tmp_path / "f.csv")
    text = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert text["classes"][0]["f1"] == found.means["f1"] and len(text["classes"][0]["intervals"]["f1"]) == 2
    assert repr(found).startswith("<ObjectEvaluation of") and "<table>" in found._repr_html_()
    assert len((tmp_path / "f.csv").read_text().splitlines()) == 3
    ids, scores = read_scores(prediction)
    assert ids.tolist() == [5, 4, 3, 2, 1] and scores.tolist() == [0.9] * 5


def test_strips_of_any_height_give_the_same_overlaps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = vector(tmp_path / "t.gpkg", TRUE)
    ids = raster(tmp_path / "i.tif", [*FOUND, (0, 38, 11, 47)])
    options = EvaluateOptions.of({"boundary": "3px"}, verb="evaluate")

    def overlaps() -> list[Any]:
        one = open_objects([str(ids)], [str(truth)], options).images[0].overlaps
        return [one.shared, one.shared_rim, one.true.area, one.true.rim, one.found.rim, one.true.place]

    whole = overlaps()
    monkeypatch.setattr(rasters, "strips", lambda region, *, halo: cut(region, 7))
    for one, other in zip(whole, overlaps(), strict=True):
        np.testing.assert_array_equal(one, other)
    monkeypatch.setattr(rasters, "grown", lambda core, halo, grid: core)  # twin: strips that see nothing around them
    assert not np.array_equal(whole[3], overlaps()[3])


def test_wide_numbers_with_a_class_table_stay_classes(tmp_path: Path) -> None:
    wide, truth = raster(tmp_path / "a.tif", TRUE), raster(tmp_path / "t.tif", TRUE)
    table = tmp_path / "c.json"
    names = [{"value": value, "name": f"c{value}", "color": [value, 2, 3]} for value in range(6)]
    table.write_text(json.dumps({"classes": names}))
    found = landseg.evaluate(wide, truth, classes=table, samples=0)
    assert isinstance(found, landseg.Evaluation) and found.mean_iou == 1
    labels = raster(tmp_path / "k.tif", TRUE, "uint8", LANDSEG_CLASSES=json.dumps({"classes": names}))
    assert isinstance(landseg.evaluate(wide, labels, samples=0), landseg.Evaluation)
    assert isinstance(landseg.evaluate(wide, truth, samples=0), ObjectEvaluation)  # twin: nothing names classes


def test_ids_that_landseg_wrote_are_no_truth_of_classes(tmp_path: Path) -> None:
    ids = raster(tmp_path / "i.tif", TRUE, LANDSEG_TASK="instances")
    with rasterio.open(ids, "r+") as file:
        file.set_band_description(1, "instance")
    table = [{"value": value, "name": f"c{value}", "color": [value, 2, 3]} for value in range(6)]
    classes = raster(tmp_path / "k.tif", TRUE, "uint8", LANDSEG_CLASSES=json.dumps({"classes": table}))
    with pytest.raises(LandsegError, match="holds ids of objects"):
        landseg.evaluate(classes, ids)
    with pytest.raises(LandsegError, match="holds classes"):
        landseg.evaluate(vector(tmp_path / "p.gpkg", TRUE), classes)
    assert evaluated(ids, vector(tmp_path / "t.gpkg", TRUE)).means["f1"] == 1


def refused(tmp_path: Path) -> dict[str, tuple[Path, Path, dict[str, Any], str]]:
    true, found = vector(tmp_path / "t.gpkg", TRUE), vector(tmp_path / "p.gpkg", FOUND)
    ids = raster(tmp_path / "i.tif", TRUE)
    bare = vector(tmp_path / "bare.gpkg", TRUE, None)
    far = vector(tmp_path / "far.gpkg", [(9000, 0, 9010, 10)])
    points = vector(tmp_path / "points.gpkg", [shapely.Point(X, Y), shapely.Point(X + 1, Y)])
    classes = raster(tmp_path / "c.tif", TRUE, "uint8")
    table = [{"value": 1, "name": "a", "color": [1, 2, 3]}]
    classed = raster(tmp_path / "k.tif", TRUE, "uint32", LANDSEG_CLASSES=json.dumps({"classes": table}))
    return {
        "a truth without a CRS beside a raster": (ids, bare, {}, "has no CRS"),
        "a raster without a CRS": (raster(tmp_path / "n.tif", TRUE, crs=None), true, {}, "has no CRS"),
        "a truth without a CRS beside polygons": (found, bare, {}, "has no CRS"),
        "polygons elsewhere": (found, far, {}, "do not overlap"),
        "polygons beside the raster": (ids, far, {}, "no polygon of"),
        "points": (
            points,
            true,
            {},
            "points.gpkg holds points, .* holds Polygon: name a layer of points on both sides",
        ),
        "a score above 1": (vector(tmp_path / "s.gpkg", TRUE[:1], score=[1.5]), true, {}, "1.5"),
        "scores of texts": (vector(tmp_path / "x.gpkg", TRUE[:1], score=["a"]), true, {}, "expected numbers"),
        "ids that are floats": (found, raster(tmp_path / "f.tif", TRUE, "float32"), {}, "whole numbers"),
        "a truth of classes": (found, classed, {}, "holds classes"),
        "no such column": (found, true, {"class_field": "kind"}, "no column 'kind'"),
        "an option of rasters": (found, true, {"probs": "a.tif"}, "--probs is for rasters"),
        "areas that fall": (found, true, {"areas": "50,5"}, "ascending order"),
        "a score that is none": (found, true, {"score": 2.0}, "from 0 to 1"),
        "an option of objects": (classes, true, {"score": 0.5}, "--score is for objects"),
        "an area without area": (found, true, {"aoi": (1, 1, 1, 1)}, "no area"),
    }


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
@pytest.mark.parametrize("number", range(16))
def test_bad_input_is_refused_in_a_sentence(tmp_path: Path, number: int) -> None:
    cases = refused(tmp_path)
    assert len(cases) == 16
    name = list(cases)[number]
    prediction, truth, options, words = cases[name]
    with pytest.raises(LandsegError, match=words):
        landseg.evaluate(prediction, truth, **{"csv": tmp_path / "out.csv", **options})
    assert not (tmp_path / "out.csv").exists()


def layers_of(report: Path) -> list[dict[str, Any]]:
    """The pictures of a report's map: overview, then the worst windows, each with its layers as arrays."""
    text = report.read_text()
    data = json.loads(re.search(r'id="map-data">(.*?)</script>', text).group(1))  # type: ignore[union-attr]
    pictures = []
    for picture in data["scenes"][0]["pictures"]:
        files = {name: base64.b64decode(url.split(",")[1]) for name, url in picture["layers"].items()}
        pixels = {name: np.asarray(Image.open(io.BytesIO(file)).convert("RGBA")) for name, file in files.items()}
        pictures.append({"rect": picture["rect"], **pixels})
    return pictures


def test_the_report_of_pixels_shows_each_outcome_in_its_place(tmp_path: Path) -> None:
    truth, prediction = vector(tmp_path / "t.gpkg", TRUE), raster(tmp_path / "p.tif", FOUND)
    image = tmp_path / "image.tif"
    with rasterio.open(
        image, "w", driver="GTiff", count=3, height=160, width=160, dtype="uint8", crs=UTM, transform=HALF_METRE
    ) as file:
        file.write(np.full((3, 160, 160), 90, np.uint8))
    report = tmp_path / "r.html"
    evaluated(prediction, truth, report=report, image=[image])
    overview = layers_of(report)[0]
    assert set(overview) == {"rect", "image", *COLORS}
    seen = {name: overview[name][..., 3] > 0 for name in COLORS}
    # One of the two truths that are merged is found, at an IoU of one half.
    inside = {"found": (130, 130), "merged": None, "missed": (90, 10), "invented": (130, 90), "split": None}
    for name, place in inside.items():
        if place is not None:
            assert seen[name][place], name
            assert not any(seen[other][place] for other in COLORS if other != name), name
    assert seen["found"][5, 5] != seen["merged"][5, 5] and seen["found"][5, 25] != seen["merged"][5, 25]
    assert seen["missed"].sum() == pytest.approx(400, abs=45) and not seen["split"].any()
    assert "Where it is worst" in report.read_text()


def test_the_report_of_polygons_has_a_map_of_its_own(tmp_path: Path) -> None:
    truth = vector(tmp_path / "t.gpkg", TRUE)
    report = tmp_path / "r.html"
    evaluated(vector(tmp_path / "p.gpkg", FOUND, "EPSG:4326", score=[0.5] * 5), truth, report=report)
    seen = {name: (layers_of(report)[0][name][..., 3] > 0).mean() for name in COLORS}
    assert seen["missed"] == pytest.approx(100 / 70**2, rel=0.15) and seen["found"] > seen["missed"]
    evaluated(tmp_path / "p.gpkg", truth, report=report, overwrite=True, score=0.6)  # twin: nothing counts
    assert (layers_of(report)[0]["found"][..., 3] == 0).all()


def test_the_command_prints_a_table_and_refuses_without_a_trace(tmp_path: Path) -> None:
    truth = vector(tmp_path / "t.gpkg", TRUE)
    prediction = vector(tmp_path / "p.gpkg", FOUND, score=[0.9] * 5)
    code, out, _ = run("evaluate", prediction, truth, "--areas", "50,500", "--boundary", "0.5m", "--score", "0.5")
    for words in ("AP50", "F1 at IoU 0.5", "chosen on this truth", "AP 50 to 500 m²", "1 merged", "1 invented"):
        assert words in out and code == 0, words
    code, out, _ = run("compare", prediction, truth, truth)
    assert "F1 at IoU 0.5" in out and "+0." in out and code == 0
    code, out, told = run(
        "evaluate", prediction, tmp_path / "t.gpkg", "--probs", "a.tif", "--csv", tmp_path / "x.csv"
    )
    assert code == 1 and "--probs is for rasters of classes" in told.replace("\n", " ")
    assert not (tmp_path / "x.csv").exists()
