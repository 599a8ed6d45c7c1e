"""Cleaned rasters, right-angled outlines, lines and points on their way through `landseg export`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from rasterio.features import rasterize

from landseg.errors import ClassError, OutputError, VectorError
from landseg.export import export
from landseg.geo.grid import Grid
from landseg.vector import classraster
from landseg.vector.topology.clean import majority, sieve
from tests.parts.vector import CLASSES, GRIDS, SUFFIXES, blocky, read, write_classes

pytestmark = pytest.mark.usefixtures("quick_disk")
QUIET: dict[str, Any] = {"quiet": True}
GRID = Grid(GRIDS["north-up"].crs, GRIDS["north-up"].transform, 60, 50)


def burnt(path: Path, grid: Grid = GRID) -> Any:
    frame = read(path)
    shapes = list(zip(frame.geometry, frame.value, strict=True))
    return rasterize(shapes, grid.shape, transform=grid.transform, dtype="uint8")


def town() -> Any:
    """A road of three pixels with a turn, slanted buildings, one of them cut by a corner of the other."""
    values = np.zeros(GRID.shape, "uint8")
    values[20:23, 5:50] = values[20:45, 47:50] = 2
    rows, columns = np.mgrid[0:50, 0:60]
    for row, column in ((9, 15), (10, 35)):
        u, v = (rows - row) * 0.9 + (columns - column) * 0.4, (columns - column) * 0.9 - (rows - row) * 0.4
        values[(np.abs(u) < 6) & (np.abs(v) < 8)] = 1
    return values


def test_cleaning_comes_first(tmp_path: Path, rng: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    values = blocky(rng, GRID)
    raster = write_classes(tmp_path / "map.tif", GRID, values)
    wanted = {
        "a": ({"majority": 3}, next(majority([values], 3, nodata=0))),
        "b": ({"sieve": 5}, np.concatenate(list(sieve([values], 5, nodata=0)))),
    }
    cleaned = np.concatenate(list(majority([values], 3, nodata=0)))
    wanted["c"] = ({"majority": 3, "sieve": 9}, np.concatenate(list(sieve([cleaned], 9, nodata=0))))
    for strip in (1000, 60 * 7):
        monkeypatch.setattr(classraster, "STRIP_PIXELS", strip)
        for name, (options, expected) in wanted.items():
            out = tmp_path / f"{name}.gpkg"
            export(raster, out, overwrite=True, **options, **QUIET)
            whole = expected if len(expected) == len(values) else cleaned
            assert np.array_equal(burnt(out), whole), name
            assert not np.array_equal(burnt(out), values), name


def test_confidences_go_with_the_pixels_of_a_cleaned_raster(tmp_path: Path, rng: Any, write_raster: Any) -> None:
    values = blocky(rng, GRID)
    raster = write_classes(tmp_path / "map.tif", GRID, values)
    sure = rng.random(GRID.shape).astype("float32")
    path = write_raster(sure, "sure.tif", transform=GRID.transform)
    export(raster, tmp_path / "p.gpkg", majority=5, sieve=4, confidence=path, **QUIET)
    frame = read(tmp_path / "p.gpkg")
    assert len(frame) > 5
    for row in frame.itertuples():
        inside = rasterize([row.geometry], GRID.shape, transform=GRID.transform, dtype="uint8") > 0
        assert row.confidence_mean == pytest.approx(sure[inside].mean(), abs=1e-6)
        assert row.confidence_min == pytest.approx(sure[inside].min(), abs=1e-6)


def right_angles(shape: Any) -> float:
    """Share of corners within a degree of a right angle."""
    points = shapely.get_coordinates(shape.exterior)[:-1]
    into, out = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    cosine = (into * out).sum(axis=1) / np.hypot(*into.T) / np.hypot(*out.T)
    return float((np.abs(cosine) < 0.0175).mean())


def test_buildings_get_right_angles_and_the_rest_stays(tmp_path: Path) -> None:
    raster = write_classes(tmp_path / "map.tif", GRID, town())
    export(raster, tmp_path / "plain.gpkg", **QUIET)
    done = export(raster, tmp_path / "square.gpkg", regularize="building", **QUIET)
    plain, square = read(tmp_path / "plain.gpkg"), read(tmp_path / "square.gpkg")
    assert sorted(square.id) == sorted(plain.id) and done.features == len(plain) == 3
    for row in square.itertuples():
        (before,) = plain[plain.id == row.id].geometry
        assert row.area_m2 == pytest.approx(row.geometry.area)
        if row.name == "road":
            assert row.geometry.equals(before)
            continue
        assert len(row.geometry.exterior.coords) < len(before.exterior.coords) / 3
        assert right_angles(row.geometry) == 1
        assert row.geometry.intersection(before).area / row.geometry.union(before).area > 0.8


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_roads_are_lines_and_buildings_points_beside_the_polygons(tmp_path: Path, suffix: str) -> None:
    raster = write_classes(tmp_path / "map.tif", GRID, town())
    done = export(raster, tmp_path / f"t{suffix}", centerlines="road", centroids="1", crs=None, **QUIET)
    assert [(f.output.name, f.name, f.kind) for f in done.further] == [
        (f"t_road_lines{suffix}", "road", "LineString"),
        (f"t_building_points{suffix}", "building", "Point"),
    ]
    assert done.to_json()["further"][1]["count"] == 2 and done.features == 3
    assert done.to_json()["further"][0]["output"] == str(tmp_path / f"t_road_lines{suffix}")
    polygons, lines, points = (
        read(tmp_path / f"t{part}{suffix}") for part in ("", "_road_lines", "_building_points")
    )
    assert set(lines.geom_type) == {"LineString"} and set(points.geom_type) == {"Point"}
    assert lines.value.tolist() == [2] and points.name.tolist() == ["building"] * 2
    if suffix != ".geojson":
        assert lines.crs == points.crs == polygons.crs
        (road,) = polygons[polygons.value == 2].geometry
        assert lines.geometry[0].within(road)
        assert lines.length_m[0] == pytest.approx(lines.geometry[0].length, rel=1e-3) == pytest.approx(33, abs=3)
        assert points.diameter_m.to_numpy() == pytest.approx(np.sqrt(points.area_m2 * 4 / np.pi).to_numpy())
    for row in points.itertuples():
        (mine,) = polygons[polygons.id == row.id].geometry
        assert row.geometry.within(mine)


def lengths_with(raster: Path, out: Path, **options: Any) -> Any:
    export(raster, out, centerlines="road", overwrite=True, **options, **QUIET)
    frame = read(out.with_name(f"{out.stem}_road_lines{out.suffix}"))
    return np.sort(frame["length_m" if "length_m" in frame else "length_px"].to_numpy())


@pytest.mark.parametrize("name", ["north-up", "geographic", "no CRS"])
def test_the_length_of_spurs_is_the_users(tmp_path: Path, name: str) -> None:
    grid = Grid(GRIDS[name].crs, GRIDS[name].transform, 60, 50)
    values = np.zeros(grid.shape, "uint8")
    values[20:23, 5:55], values[8:20, 30] = 2, 2  # a road with an arm of 13 pixels
    raster, out = write_classes(tmp_path / "map.tif", grid, values), tmp_path / "t.fgb"
    pixel = grid.resolution_m or 1.0
    longer, shorter = (lengths_with(raster, out, spur=spur * pixel) for spur in (18.0, 8.0))
    assert len(longer) == 1 and len(shorter) == 3
    assert shorter[0] == pytest.approx(13 * pixel, rel=0.35)
    plain = lengths_with(raster, out)  # 5 m, of half a metre, are ten pixels
    assert np.array_equal(plain, shorter) and not np.array_equal(plain, longer)


@pytest.mark.parametrize("spur", [0, -1.5, float("nan"), float("inf")])
def test_spurs_without_a_length_or_without_lines_are_refused(tmp_path: Path, spur: float) -> None:
    raster = write_classes(tmp_path / "map.tif", GRID, town())
    with pytest.raises(VectorError, match=f"--spur {spur}: expected metres, more than 0"):
        export(raster, tmp_path / "t.fgb", centerlines="road", spur=spur, **QUIET)
    with pytest.raises(VectorError, match=r"--spur 4\.5 is for lines: name their classes with --centerlines"):
        export(raster, tmp_path / "t.fgb", spur=4.5, **QUIET)
    assert [path.name for path in tmp_path.glob("t*")] == []


def test_an_aoi_and_another_crs_move_lines_too(tmp_path: Path) -> None:
    raster = write_classes(tmp_path / "map.tif", GRID, town())
    box = (500_000, 5_399_980, 500_020, 5_399_995)
    export(raster, tmp_path / "t.fgb", centerlines="road", aoi=box, crs="EPSG:4326", **QUIET)
    (line,) = read(tmp_path / "t_road_lines.fgb").to_crs(32633).geometry
    assert line.within(shapely.box(*box)) and line.length == pytest.approx(17, abs=2)


def test_what_is_made_beside_is_checked_before(tmp_path: Path) -> None:
    raster = write_classes(tmp_path / "map.tif", GRID, town())
    (tmp_path / "t_road_lines.gpkg").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"t_road_lines\.gpkg exists: .*--overwrite"):
        export(raster, tmp_path / "t.gpkg", centerlines="road", **QUIET)
    with pytest.raises(ClassError, match=r"no class 'rod': did you mean road"):
        export(raster, tmp_path / "t.gpkg", regularize="rod", **QUIET)
    with pytest.raises(ClassError, match="--centroids building is not among --classes"):
        export(raster, tmp_path / "t.gpkg", classes="road", centroids="building", **QUIET)
    for options, text in (
        ({"majority": 4}, "--majority 4: expected an odd"),
        ({"sieve": -1}, "--sieve -1: expected"),
    ):
        with pytest.raises(VectorError, match=text):
            export(raster, tmp_path / "t.gpkg", **options, **QUIET)
    assert sorted(path.name for path in tmp_path.glob("t*")) == ["t_road_lines.gpkg"]
    assert CLASSES.names == ("building", "road")


def assert_coverage(frame: Any) -> None:
    """No gaps, no overlaps, borders with the same corners on either side."""
    shapes = frame.geometry.to_numpy()
    assert shapely.is_valid(shapes).all()
    assert shapely.coverage_is_valid(shapes)
    whole = shapely.unary_union(shapes)
    assert whole.area == pytest.approx(shapely.area(shapes).sum(), rel=1e-9)


SHAPED: dict[str, dict[str, Any]] = {
    "as traced": {},
    "simplified": {"simplify": 1.0},
    "smooth": {"smooth": True},
    "both": {"simplify": 1.0, "smooth": True},
    "merged": {"min_area": 3.0, "simplify": 0.8},
    "elsewhere": {"simplify": 1.0, "crs": "EPSG:3035"},
}


@pytest.mark.parametrize("name", SHAPED)
@pytest.mark.parametrize("full", [True, False])
def test_borders_stay_shared(tmp_path: Path, rng: Any, name: str, full: bool) -> None:
    values = blocky(rng, GRID) + np.uint8(full)
    values[values > 2] = 1
    raster = write_classes(tmp_path / "map.tif", GRID, values)
    export(raster, tmp_path / "plain.fgb", min_area=SHAPED[name].get("min_area", 0), **QUIET)
    done = export(raster, tmp_path / "p.fgb", **SHAPED[name], **QUIET)
    plain, shaped = read(tmp_path / "plain.fgb"), read(tmp_path / "p.fgb")
    assert_coverage(shaped)
    assert sorted(shaped.id) == sorted(plain.id)
    if name in ("as traced", "elsewhere"):
        return
    corners = [len(shapely.get_coordinates(frame.geometry.to_numpy())) for frame in (plain, shaped)]
    assert shapely.total_bounds(shaped.geometry.to_numpy()).tolist() == pytest.approx(GRID.bounds, abs=1)
    assert corners[0] != corners[1] and ("smooth" in SHAPED[name] or corners[1] < corners[0])
    if full:
        assert sum(total.area_m2 or 0 for total in done.classes) == pytest.approx(plain.area_m2.sum(), rel=1e-2)


def test_twin_polygons_simplified_one_by_one_are_caught(tmp_path: Path, rng: Any) -> None:
    raster = write_classes(tmp_path / "map.tif", GRID, blocky(rng, GRID))
    export(raster, tmp_path / "p.fgb", **QUIET)
    frame = read(tmp_path / "p.fgb")
    assert_coverage(frame)
    frame["geometry"] = frame.geometry.simplify(1.0)
    with pytest.raises(AssertionError):
        assert_coverage(frame)


def test_metres_are_metres_in_every_system(tmp_path: Path, rng: Any) -> None:
    """The same pixels in degrees and in metres keep about as many corners."""
    counts = []
    for name in ("north-up", "geographic"):
        grid = Grid(GRIDS[name].crs, GRIDS[name].transform, 60, 50)
        raster = write_classes(tmp_path / f"{name}.tif", grid, town())
        export(raster, tmp_path / f"{name}.fgb", simplify=1.5 * (grid.resolution_m or 0), **QUIET)
        counts.append(len(shapely.get_coordinates(read(tmp_path / f"{name}.fgb").geometry.to_numpy())))
    assert abs(counts[0] - counts[1]) <= 4
    with pytest.raises(VectorError, match="--simplify -1: expected metres"):
        export(raster, tmp_path / "q.fgb", simplify=-1, **QUIET)
