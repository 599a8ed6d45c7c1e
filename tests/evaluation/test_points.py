"""Points of vector files: their figures, distances in metres wherever they lie, and what is refused."""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from pyproj import Geod

import landseg
from landseg.errors import LandsegError
from landseg.evaluation.points.result import PointEvaluation
from landseg.geo.vectors.layers import geometry_types
from tests.parts.commands import run
from tests.parts.places import HALF_METRE, UTM

X, Y = HALF_METRE.c, HALF_METRE.f
TRUE = [(0, 0), (10, 0), (20, 0), (60, 60), (300, 60)]
"""Metres to the right and up from a place."""
FOUND = [(3, 0), (13, 0), (20, 5), (24, 0), (60, 67)]


def points(
    path: Path,
    rows: Sequence[Any],
    crs: str | None = UTM,
    own: str = UTM,
    at: tuple[float, float] = (X, Y),
    **columns: Any,
) -> Path:
    """Write points, or shapes, that lie in a CRS, into a file in another."""
    shapes = [shapely.Point(at[0] + one[0], at[1] + one[1]) if isinstance(one, tuple) else one for one in rows]
    frame = geopandas.GeoDataFrame(columns, geometry=shapes, crs=own)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")
        (frame.to_crs(crs) if crs else frame.set_crs(None, allow_override=True)).to_file(path)
    return path


def evaluated(found: Any, true: Any, **options: Any) -> PointEvaluation:
    made = landseg.evaluate(found, true, **{"samples": 0, **options})
    assert isinstance(made, PointEvaluation)
    return made


def refused(found: Any, true: Any, **options: Any) -> str:
    with pytest.raises(LandsegError) as caught:
        landseg.evaluate(found, true, **options)
    return str(caught.value)


def counts(made: PointEvaluation) -> tuple[int, ...]:
    return tuple(made.counts[name] for name in ("matched", "missed", "invented"))


@pytest.mark.parametrize("ending", [".gpkg", ".geojson", ".shp"])
def test_by_hand(tmp_path: Path, ending: str) -> None:
    found = points(tmp_path / f"found{ending}", FOUND, score=[0.9, 0.8, 0.7, 0.6, 0.5])
    made = evaluated(found, points(tmp_path / f"true{ending}", TRUE))
    # 3, 3 and 4 metres; 5 is farther than 4, and 7 beyond the radius.
    assert counts(made) == (3, 2, 2) and made.unit == "m" and made.scored
    figures = made.classes[0].figures
    assert (figures.precision, figures.recall, figures.f1) == (3 / 5, 3 / 5, 3 / 5)
    # Millimetres of GeoJSON's seven digits of a degree.
    assert figures.rmse == pytest.approx(np.sqrt((9 + 9 + 16) / 3), abs=0.01)
    assert made.means["f1"] == figures.f1 and made.classes[0].name == "all points"
    assert any("1 of 5 points of the truth lies beyond all that is predicted" in note for note in made.notes)
    wider = evaluated(found, tmp_path / f"true{ending}", radius="7.5m")
    assert counts(wider) == (4, 1, 1) and wider.radius == 7.5
    better = evaluated(found, tmp_path / f"true{ending}", score=0.65)
    assert counts(better) == (3, 2, 0) and better.classes[0].figures.rmse > figures.rmse


PLACES = [("EPSG:4326", (85.5, 27.6)), ("EPSG:4326", (18.0, 69.6)), ("EPSG:3857", (2_000_000.0, 8_000_000.0))]


@pytest.mark.parametrize(("crs", "at"), PLACES)
def test_distances_are_metres_on_the_ground(tmp_path: Path, crs: str, at: tuple[float, float]) -> None:
    start = geopandas.GeoSeries([shapely.Point(at)], crs=crs).to_crs("EPSG:4326").iloc[0]
    geod = Geod(ellps="WGS84")
    ends = [geod.fwd(start.x, start.y, azimuth, 5.9)[:2] for azimuth in (0, 40, 90)]
    for number, end in enumerate(ends):
        true = points(tmp_path / f"true{number}.gpkg", [shapely.Point(start.x, start.y)], crs, "EPSG:4326")
        found = points(tmp_path / f"found{number}.gpkg", [shapely.Point(end)], crs, "EPSG:4326")
        made = evaluated(found, true)
        assert counts(made) == (1, 0, 0)
        assert made.means["rmse"] == pytest.approx(5.9, rel=1e-4)
        assert counts(evaluated(found, true, radius=5.8)) == (0, 1, 1)


def test_files_in_other_coordinate_systems_are_brought_together(tmp_path: Path) -> None:
    true, found = points(tmp_path / "true.gpkg", TRUE), points(tmp_path / "found.gpkg", FOUND)
    want = evaluated(found, true)
    other = evaluated(points(tmp_path / "degrees.gpkg", FOUND, "EPSG:4326"), true)
    assert counts(other) == counts(want) and other.means["rmse"] == pytest.approx(want.means["rmse"], rel=1e-6)
    turned = evaluated(found, points(tmp_path / "web.gpkg", TRUE, "EPSG:3857"))
    # A UTM metre is one of the ground to 0.04 %.
    assert counts(turned) == counts(want) and turned.means["rmse"] == pytest.approx(want.means["rmse"], rel=1e-3)


def test_without_a_coordinate_system_units_count(tmp_path: Path) -> None:
    sides = [points(tmp_path / f"{name}.gpkg", rows, crs=None) for name, rows in (("found", FOUND), ("true", TRUE))]
    made = evaluated(*sides)
    assert counts(made) == (3, 2, 2) and made.unit == "unit"
    assert "without a CRS the radius and distances are in units of the coordinates" in made.notes
    one = refused(points(tmp_path / "placed.gpkg", FOUND), sides[1])
    assert "true.gpkg has no CRS, " in one and "expected both or neither" in one


def test_points_near_the_border_of_the_area_count_in_pairs_alone(tmp_path: Path) -> None:
    found, true = points(tmp_path / "found.gpkg", FOUND), points(tmp_path / "true.gpkg", TRUE)
    area = points(tmp_path / "area.gpkg", [shapely.box(X - 1, Y - 20, X + 65, Y + 68)])
    made = evaluated(found, true, aoi=area)
    # The truth at 300 m is outside. The detection 1 m from the border is ignored; the truth 5 m from it too.
    assert counts(made) == (3, 0, 1) and (made.counts["true_count"], made.counts["found_count"]) == (4, 5)
    assert "2 points within 6 m of the area's border without a partner are ignored" in made.notes
    wide = f"{X - 50},{Y - 50},{X + 350},{Y + 150}"
    assert counts(evaluated(found, true, aoi=wide)) == (3, 2, 2)  # twin: nothing near the border
    degrees = geopandas.read_file(area).to_crs("EPSG:4326")
    degrees.to_file(tmp_path / "degrees.gpkg")
    assert counts(evaluated(found, true, aoi=tmp_path / "degrees.gpkg")) == (3, 0, 1)
    none = evaluated(found, true, aoi=f"{X + 1000},{Y},{X + 1001},{Y + 1}")
    assert "the truth holds no point in the area: no figure but the counts means anything" in none.notes


def test_scenes_are_paired_by_name_and_count_together(tmp_path: Path) -> None:
    for side, rows in (("maps", FOUND), ("truth", TRUE)):
        (tmp_path / side).mkdir()
        points(tmp_path / side / "a.geojson", rows)
        points(tmp_path / side / "b.gpkg", rows[:3], "EPSG:4326")
    points(tmp_path / "truth" / "c.gpkg", TRUE)
    made = evaluated(tmp_path / "maps", tmp_path / "truth", samples=20)
    assert counts(made) == (3 + 3, 2, 2)  # the second has 3, 3 and 5 metres
    assert "2 scenes" in made.notes and any(n.endswith("c.gpkg") for n in made.notes)
    ends = made.classes[0].intervals["f1"]
    assert ends[0] < made.means["f1"] < ends[1]
    points(tmp_path / "maps" / "b.gpkg", FOUND[:3], score=[1.0, 0.5, 0.1])
    assert "some predictions have scores and others have none" in refused(tmp_path / "maps", tmp_path / "truth")
    points(tmp_path / "maps" / "b.gpkg", FOUND[:3], crs=None)
    points(tmp_path / "truth" / "b.gpkg", FOUND[:3], crs=None)
    assert "some scenes have a CRS and others have none" in refused(tmp_path / "maps", tmp_path / "truth")


def test_each_class_by_itself(tmp_path: Path) -> None:
    kinds = ["oak", "oak", "elm", "elm", "oak"]
    true = points(tmp_path / "true.gpkg", TRUE, kind=kinds)
    found = points(tmp_path / "found.gpkg", FOUND, value=[1, 2, 2, 1, 1], name=["oak", "elm", "elm", "oak", "oak"])
    made = evaluated(found, true, class_field="kind")
    names = [one.name for one in made.classes]
    each = {one.name: (one.figures.matched, one.figures.missed, one.figures.invented) for one in made.classes}
    assert names == ["elm", "oak"] and each == {"elm": (1, 1, 1), "oak": (1, 2, 2)}
    f1 = {one.name: one.figures.f1 for one in made.classes}
    assert made.means["f1"] == pytest.approx((f1["elm"] + f1["oak"]) / 2)
    other = points(tmp_path / "named.gpkg", TRUE, value=[1, 1, 2, 2, 1], name=kinds)
    one = evaluated(points(tmp_path / "bare.gpkg", FOUND), other)
    assert counts(one) == (3, 2, 2) and any("only the truth has classes" in note for note in one.notes)
    assert "no class in common" in refused(
        found, points(tmp_path / "x.gpkg", TRUE, kind=["ash"] * 5), class_field="kind"
    )


def test_scenes_with_a_point_each_are_no_other_place(tmp_path: Path) -> None:
    made = evaluated(points(tmp_path / "found.gpkg", [(900, 0)]), points(tmp_path / "true.gpkg", [(0, 0)]))
    assert counts(made) == (0, 1, 1)


def test_empty_sides(tmp_path: Path) -> None:
    none, true = points(tmp_path / "none.gpkg", []), points(tmp_path / "true.gpkg", TRUE)
    made = evaluated(none, true)
    assert counts(made) == (0, 5, 0) and made.means["f1"] == made.means["ap"] == 0
    empty = evaluated(true, none)
    assert counts(empty) == (0, 0, 5) and np.isnan(empty.means["f1"])
    assert "the truth holds no point: no figure but the counts means anything" in empty.notes
    unknown = tmp_path / "empty.geojson"
    unknown.write_text('{"type": "FeatureCollection", "features": []}')
    assert counts(evaluated(unknown, points(tmp_path / "degrees.gpkg", TRUE, "EPSG:4326"))) == (0, 5, 0)


def test_features_that_do_not_count(tmp_path: Path) -> None:
    single = [shapely.MultiPoint([(X + a, Y + b)]) for a, b in FOUND]
    heights = [shapely.Point(X + a, Y + b, 7) for a, b in TRUE]
    true = points(tmp_path / "true.gpkg", [*heights, heights[0], None])
    made = evaluated(
        points(tmp_path / "found.gpkg", [*single, single[1]], score=[0.9, 0.8, None, 0.7, 0.6, 0.9]), true
    )
    text = " ".join(made.notes)
    # Twice the same point is one of the truth, and two detections.
    assert counts(made) == (3, 2, 2)
    assert "1 of 6 points lies at the place of another and is left out" in text
    assert "1 of 7 features without a geometry left out" in text
    assert "1 of 6 points has no score, and is left out" in text


SQUARE = shapely.box(X, Y, X + 9, Y + 9)
BAD: dict[str, tuple[list[Any], list[Any], str]] = {
    "polygons as truth": (
        FOUND,
        [SQUARE],
        "found.gpkg holds points, {}true.gpkg holds Polygon: name a layer of points",
    ),
    "polygons as prediction": ([SQUARE], TRUE, "true.gpkg holds points, {}found.gpkg holds Polygon"),
    "points and lines": (FOUND, [shapely.LineString([(X, Y), (X, Y + 1)])], "holds LineString"),
    "several in one": (FOUND, [shapely.MultiPoint([(X, Y), (X + 1, Y)])], "1 of 1 feature holds several points"),
    "far apart": (FOUND, [(9000, 0), (9010, 0)], "do not overlap"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(tmp_path: Path, name: str) -> None:
    found, true, text = BAD[name]
    sides = points(tmp_path / "found.gpkg", found), points(tmp_path / "true.gpkg", true)
    assert text.replace("{}", f"{tmp_path}/") in refused(*sides)


def test_options_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    sides = points(tmp_path / "found.gpkg", FOUND), points(tmp_path / "true.gpkg", TRUE)
    for option, value in (("report", "r.html"), ("areas", "5"), ("buffer", 3)):
        text = refused(*sides, **{option: tmp_path / value if option == "report" else value})
        assert f"--{option} is for other predictions, and these are points" in text
    for radius in (0, -1, "5px", "nan", "x"):
        assert f"radius {radius!r}: expected metres above 0, such as 6m" in refused(*sides, radius=radius)
    boxes = points(tmp_path / "a.gpkg", [SQUARE]), points(tmp_path / "b.gpkg", [SQUARE])
    assert "--radius is for points, and the prediction holds none" in refused(*boxes, radius=3)
    scored = points(tmp_path / "scored.gpkg", FOUND, score=[2.0] * 5)
    assert "the column 'score' holds 2, expected scores from 0 to 1" in refused(scored, sides[1])
    assert "has no column 'kind'" in refused(*sides, class_field="kind")
    with pytest.raises(LandsegError, match="holds points, which compare does not take: evaluate each prediction"):
        landseg.compare([sides[0], sides[0]], sides[1])


def test_the_command(tmp_path: Path) -> None:
    found = points(tmp_path / "found.gpkg", FOUND, score=[0.9, 0.8, 0.7, 0.6, 0.5])
    true = points(tmp_path / "true.gpkg", TRUE)
    table = tmp_path / "table.csv"
    code, out, err = run("evaluate", str(found), str(true), "--radius", "6m", "--samples", "50", "--csv", str(table))
    assert (code, err) == (0, "")
    assert "F1 at 6 m          0.600   95 %:" in out and "RMSE of distances  3.368 m" in out
    assert "truth: 3 matched, 2 missed" in out and "counts in 3 blocks of 96 m: bias" in out
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["name"] for row in rows] == ["all points", "all classes"]
    assert float(rows[0]["f1"]) == 0.6 and rows[1]["matched"] == "3" and rows[0]["f1_low"]
    code, out, _ = run("evaluate", str(found), str(true), "--json")
    told = json.loads(out)
    assert code == 0 and told["radius"] == 6 and told["classes"][0]["matched"] == 3
    assert told["means"]["rmse"] == pytest.approx(3.368, abs=1e-3)
    code, out, err = run("evaluate", str(found), str(true), "--csv", str(true), "--overwrite")
    assert code == 1 and "true.gpkg" in err and len(geopandas.read_file(true)) == 5
    code, _, err = run("evaluate", str(found), str(true), "--radius", "0")
    assert code == 1 and err == "landseg: radius '0': expected metres above 0, such as 6m\n"


def test_the_result_says_what_it_is(tmp_path: Path) -> None:
    made = evaluated(points(tmp_path / "found.gpkg", FOUND), points(tmp_path / "true.gpkg", TRUE))
    assert repr(made).endswith("F1 0.600 at 6 m, 5 points for 5>") and repr(made).startswith("<PointEvaluation of ")
    assert '<td style="text-align:right">0.600</td>' in made._repr_html_()
    assert "the prediction has no scores, so AP is not given" in " ".join(made.notes) and np.isnan(made.means["ap"])


def test_types_of_geometries(tmp_path: Path) -> None:
    for name, rows, want in (
        ("a.gpkg", TRUE, {"Point"}),
        ("b.shp", [SQUARE], {"Polygon"}),
        ("c.geojson", [SQUARE, shapely.Point(X, Y)], {"Polygon", "Point"}),
        ("d.gpkg", [shapely.Point(X, Y, 1)], {"Point"}),
    ):
        assert geometry_types(points(tmp_path / name, rows)) == want
    frame = geopandas.read_file(tmp_path / "a.gpkg")
    frame.to_parquet(tmp_path / "e.parquet")
    assert geometry_types(tmp_path / "e.parquet") == {"Point"}
    assert geometry_types(tmp_path / "missing.gpkg") == set()
