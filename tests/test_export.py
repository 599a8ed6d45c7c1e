"""From a class raster to files: what is in them is what was in the raster, and nothing half-written is seen."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.features import rasterize

from landseg.classes import ClassMap, LandClass
from landseg.cli.export import lines as export_lines
from landseg.errors import ClassError, GridError, LandsegError, OutputError, VectorError
from landseg.export import export
from landseg.geo.grid import Grid
from landseg.vector import classraster, outlines
from landseg.vector.dissolve import Dissolver
from landseg.vector.exporter import polygonize
from landseg.vector.topology import rings
from tests.parts.vector import CLASSES, GRIDS, SUFFIXES, blocky, read, write_classes

pytestmark = pytest.mark.usefixtures("quick_disk")

QUIET: dict[str, Any] = {"quiet": True}


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlines, "build_polygons", partial(rings.build_polygons, chunk=370))
    monkeypatch.setattr(classraster, "STRIP_PIXELS", 31 * 7)


def assert_same_map(out: Path, grid: Grid, values: Any) -> None:
    """Rasterising the file gives the raster back, and its columns say what there is."""
    frame = read(out)
    if out.suffix == ".geojson" and grid.crs is not None:
        frame = frame.to_crs(grid.crs.to_wkt())
    shapes = list(zip(frame.geometry, frame.value, strict=True))
    burnt = rasterize(shapes, grid.shape, transform=grid.map_transform, dtype="uint8")
    assert np.array_equal(burnt, values)
    assert set(zip(frame.value, frame.name, strict=True)) == {(1, "building"), (2, "road")}
    assert frame.id.is_unique
    rows, columns = np.divmod(frame.id.to_numpy() - 1, grid.width)
    assert np.array_equal(values[rows, columns], frame.value)
    if grid.crs is None:
        assert frame.area_px.sum() == pytest.approx((values > 0).sum())
        return
    if out.suffix != ".geojson":
        assert frame.crs == pyproj.CRS.from_user_input(grid.crs)
    pixel = abs(grid.transform.determinant)
    if grid.crs.to_epsg() in (4326, 3857):
        assert grid.resolution_m is not None
        pixel = grid.resolution_m**2
    assert frame.area_m2.sum() == pytest.approx((values > 0).sum() * pixel, rel=1e-5)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.usefixtures("small_steps")
def test_rasterising_the_file_gives_the_raster_back(tmp_path: Path, rng: Any, name: str, suffix: str) -> None:
    grid = GRIDS[name]
    values = blocky(rng, grid)
    raster = write_classes(tmp_path / "map.tif", grid, values)
    out = tmp_path / f"polygons{suffix}"
    done = export(raster, out, quiet=True)
    assert_same_map(out, grid, values)
    assert done.features == len(read(out)) > 37
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(".")]


def test_twin_another_map_is_caught(tmp_path: Path, rng: Any) -> None:
    grid = GRIDS["north-up"]
    values = blocky(rng, grid)
    raster = write_classes(tmp_path / "map.tif", grid, values)
    export(raster, tmp_path / "p.gpkg", **QUIET)
    assert_same_map(tmp_path / "p.gpkg", grid, values)
    shifted = Grid(grid.crs, grid.transform @ Affine.translation(0.6, 0), grid.width, grid.height)
    with pytest.raises(AssertionError):
        assert_same_map(tmp_path / "p.gpkg", shifted, values)
    values[7, 7] = 3 - values[7, 7]
    with pytest.raises(AssertionError):
        assert_same_map(tmp_path / "p.gpkg", grid, values)


def test_the_summary_counts_what_the_file_holds(tmp_path: Path, rng: Any) -> None:
    grid = GRIDS["mercator"]
    values = blocky(rng, grid)
    raster = write_classes(tmp_path / "map.tif", grid, values)
    done = export(raster, tmp_path / "p.gpkg", quiet=True)
    record = json.loads(json.dumps(done.to_json()))
    frame = read(tmp_path / "p.gpkg")
    assert record["features"] == len(frame) and record["output"] == str(tmp_path / "p.gpkg")
    assert record["files"] == [record["output"]] and record["crs"] == "EPSG:3857"
    for total in record["classes"]:
        mine = frame[frame.value == total["value"]]
        assert (total["name"], total["count"]) == (mine.name.iloc[0], len(mine))
        assert total["area_m2"] == pytest.approx(mine.area_m2.sum(), abs=1e-3)
    assert "building" in "\n".join(export_lines(done)) and "EPSG:3857" in export_lines(done)[-1]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_data_gives_an_empty_file_that_is_valid(tmp_path: Path, suffix: str) -> None:
    grid = GRIDS["north-up"]
    raster = write_classes(tmp_path / "map.tif", grid, np.zeros(grid.shape, "uint8"))
    out = tmp_path / f"empty{suffix}"
    done = export(raster, out, **QUIET)
    assert done.features == 0 and [(c.name, c.count, c.area_m2) for c in done.classes] == [
        ("building", 0, 0),
        ("road", 0, 0),
    ]
    frame = read(out)
    assert len(frame) == 0
    if suffix != ".geojson":  # which has no columns without features, and a CRS by definition
        assert frame.crs == pyproj.CRS.from_user_input(grid.crs)
        assert list(frame.columns)[:4] == ["id", "value", "name", "area_m2"]


def test_without_a_crs_sizes_are_in_pixels_and_that_is_said_once(tmp_path: Path, caplog: Any) -> None:
    grid = Grid(None, Affine(0.25, 0, 3, 0, -0.25, 9), 31, 23)
    raster = write_classes(tmp_path / "map.tif", grid, np.ones(grid.shape, "uint8"))
    with caplog.at_level("WARNING", "landseg"):
        done = export(raster, tmp_path / "p.gpkg", **QUIET)
    assert [record.message for record in caplog.records if "coordinate system" in record.message] == [
        f"{raster} has no coordinate system: sizes are in pixels"
    ]
    frame = read(tmp_path / "p.gpkg")
    assert (frame.area_px[0], frame.perimeter_px[0]) == (31 * 23, 2 * (31 + 23))
    assert "area_m2" not in frame.columns
    assert done.to_json()["classes"][0]["area_px"] == 31 * 23 and done.crs is None
    assert " px" in "\n".join(export_lines(done))


def test_another_crs_and_geodesic_areas(tmp_path: Path, rng: Any) -> None:
    grid = GRIDS["north-up"]
    values = blocky(rng, grid)
    raster = write_classes(tmp_path / "map.tif", grid, values)
    export(raster, tmp_path / "own.gpkg", **QUIET)
    export(raster, tmp_path / "far.gpkg", crs="EPSG:4326", geodesic=True, **QUIET)
    own, far = read(tmp_path / "own.gpkg"), read(tmp_path / "far.gpkg")
    assert far.crs == pyproj.CRS.from_epsg(4326) and far.id.tolist() == own.id.tolist()
    back = far.to_crs(own.crs)
    assert max(a.hausdorff_distance(b) for a, b in zip(back.geometry, own.geometry, strict=True)) < 1e-6
    ratio = far.area_m2 / own.area_m2
    assert ratio.to_numpy() == pytest.approx(1 / 0.9996**2, rel=1e-5)


@pytest.mark.parametrize(
    ("wanted", "names"), [("road", {"road"}), ("2", {"road"}), ("building,2", {"building", "road"})]
)
def test_classes_are_picked_by_name_or_value(tmp_path: Path, rng: Any, wanted: str, names: set[str]) -> None:
    grid = GRIDS["north-up"]
    raster = write_classes(tmp_path / "map.tif", grid, blocky(rng, grid))
    done = export(raster, tmp_path / "p.gpkg", classes=wanted, **QUIET)
    assert set(read(tmp_path / "p.gpkg").name) == names == {total.name for total in done.classes}


def test_an_aoi_crops_and_does_not_rename(tmp_path: Path, rng: Any) -> None:
    grid = GRIDS["north-up"]
    values = blocky(rng, grid)
    raster = write_classes(tmp_path / "map.tif", grid, values)
    export(raster, tmp_path / "all.gpkg", **QUIET)
    x, y = 500_000, 5_400_000
    export(raster, tmp_path / "box.gpkg", aoi=(x + 2, y - 9, x + 12, y - 1), **QUIET)
    every, part = read(tmp_path / "all.gpkg"), read(tmp_path / "box.gpkg")
    assert part.geometry.union_all().within(shapely.box(x + 2, y - 9, x + 12, y - 1))
    inside = every[every.within(shapely.box(x + 2.5, y - 8.5, x + 11.5, y - 1.5))]
    assert len(inside) > 2
    for row in inside.itertuples():  # the same pieces have the same ids
        (same,) = part[part.id == row.id].geometry
        assert same.equals(row.geometry)
    triangle = shapely.Polygon([(x, y), (x + 15, y), (x, y - 11)])
    geopandas.GeoDataFrame(geometry=[triangle], crs=32633).to_file(tmp_path / "aoi.fgb")
    export(raster, tmp_path / "cut.gpkg", aoi=tmp_path / "aoi.fgb", **QUIET)
    burnt = rasterize(
        list(zip(read(tmp_path / "cut.gpkg").geometry, read(tmp_path / "cut.gpkg").value, strict=True)),
        grid.shape,
        transform=grid.transform,
        dtype="uint8",
    )
    inside_triangle = rasterize([triangle], grid.shape, transform=grid.transform, dtype="uint8") > 0
    assert np.array_equal(burnt, np.where(inside_triangle, values, 0))


def assert_dissolved(dissolved: Any, every: Any) -> None:
    assert dissolved.value.tolist() == [1, 2] and dissolved.geometry.is_valid.all()
    for row in dissolved.itertuples():
        mine = every[every.value == row.value]
        assert row.geometry.equals(mine.geometry.union_all())
        assert row.id == mine.id.min()
        assert row.area_m2 == pytest.approx(mine.area_m2.sum())
        assert row.perimeter_m == pytest.approx(mine.perimeter_m.sum())


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".parquet"])
def test_dissolved_there_is_one_feature_a_class(tmp_path: Path, rng: Any, suffix: str) -> None:
    grid = GRIDS["north-up"]
    raster = write_classes(tmp_path / "map.tif", grid, blocky(rng, grid))
    export(raster, tmp_path / "every.gpkg", **QUIET)
    done = export(raster, tmp_path / f"one{suffix}", dissolve=True, **QUIET)
    dissolved, every = read(tmp_path / f"one{suffix}").sort_values("value"), read(tmp_path / "every.gpkg")
    assert done.features == 2
    assert_dissolved(dissolved, every)
    with pytest.raises(AssertionError):
        assert_dissolved(dissolved, every[1:])


def test_dissolved_confidences_are_weighed_by_pixels(tmp_path: Path) -> None:
    pile = Dissolver(tmp_path)
    squares = shapely.box(np.arange(3) * 2, 0, np.arange(3) * 2 + 1, 1)
    for part in (slice(0, 2), slice(2, 3)):
        columns = {
            "id": np.array([9, 4, 7])[part],
            "value": np.array([1, 1, 1])[part],
            "name": np.array(["a", "a", "a"], dtype=object)[part],
            "confidence_mean": np.array([0.5, np.nan, 0.8])[part],
            "confidence_min": np.array([0.4, np.nan, 0.3])[part],
        }
        pile.add(columns, squares[part], np.array([1, 5, 3])[part])
    ((columns, (shape,)),) = pile.features()
    assert shape.equals(shapely.MultiPolygon(list(squares)))
    assert [columns[name][0] for name in ("id", "value", "name", "confidence_min")] == [4, 1, "a", 0.3]
    assert columns["confidence_mean"][0] == pytest.approx((0.5 * 1 + 0.8 * 3) / 4)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".shp.zip"])
def test_a_file_for_each_class(tmp_path: Path, rng: Any, suffix: str) -> None:
    grid = GRIDS["north-up"]
    table = ClassMap((*CLASSES.classes, LandClass(5, "bare soil / rock", (1, 2, 3))))
    raster = write_classes(tmp_path / "map.tif", grid, blocky(rng, grid), table)
    done = export(raster, tmp_path / f"p{suffix}", by_class_files=True, **QUIET)
    names = [f"p_building{suffix}", f"p_road{suffix}", f"p_bare_soil_rock{suffix}"]
    assert [file.name for file in done.files] == names
    for file, value in zip(done.files, (1, 2, 5), strict=True):
        frame = read(file)
        assert set(frame.value) == ({value} if value != 5 else set())
    assert not (tmp_path / f"p{suffix}").exists()
    with pytest.raises(OutputError, match=r"p_building.* exists.*--overwrite"):
        export(raster, tmp_path / f"p{suffix}", by_class_files=True, **QUIET)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_equal_rasters_give_equal_bytes_however_they_are_cut(
    tmp_path: Path, rng: Any, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    grid = GRIDS["north-up"]
    raster = write_classes(tmp_path / "map.tif", grid, blocky(rng, grid))
    found = []
    for rows in (1000, 1000, 3, 8):
        monkeypatch.setattr(classraster, "STRIP_PIXELS", 31 * rows)
        folder = tmp_path / str(len(found))
        folder.mkdir()
        export(raster, folder / f"p{suffix}", min_area=1, **QUIET)
        found.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert found[0] == found[1] == found[2] == found[3]
    export(raster, tmp_path / f"p{suffix}", **QUIET)
    assert (tmp_path / f"p{suffix}").read_bytes() != found[0][f"p{suffix}"]


def test_the_style_lies_beside_and_the_rasters_own_stays(tmp_path: Path, rng: Any, caplog: Any) -> None:
    grid = GRIDS["north-up"]
    raster = write_classes(tmp_path / "town.tif", grid, blocky(rng, grid))
    palette = (tmp_path / "town.qml").read_text()
    assert "paletted" in palette and "renderer-v2" not in palette
    export(raster, tmp_path / "town.fgb", **QUIET)
    both = (tmp_path / "town.qml").read_text()
    assert "paletted" in both and "renderer-v2" in both and "200,30,30" in both
    export(raster, tmp_path / "town.geojson", **QUIET)
    assert (tmp_path / "town.qml").read_text() == both and not caplog.records
    mine = both.replace("200,30,30", "1,1,1")
    (tmp_path / "town.qml").write_text(mine)
    export(raster, tmp_path / "town.parquet", **QUIET)
    assert (tmp_path / "town.qml").read_text() == mine
    assert "town.qml is there and stays as it is" in caplog.text


def test_polygons_of_a_run_replace_and_leave_no_style(tmp_path: Path, rng: Any) -> None:
    grid = GRIDS["north-up"]
    values = blocky(rng, grid)
    raster = write_classes(tmp_path / "map.tif", grid, values)
    (tmp_path / "p.fgb").write_text("old")
    assert polygonize(raster, tmp_path / "p.fgb", CLASSES) == len(read(tmp_path / "p.fgb"))
    assert_same_map(tmp_path / "p.fgb", grid, values)
    assert not (tmp_path / "p.qml").exists()


def refused(raster: Path, out: Path, error: type[LandsegError], text: str, **options: Any) -> None:
    """A sentence, and nothing else is there than before."""
    before = {path: path.read_bytes() for path in out.parent.rglob("*") if path.is_file()}
    with pytest.raises(error, match=text) as caught:
        export(raster, out, quiet=True, **options)
    assert "\n" not in str(caught.value) and ".landseg" not in str(caught.value)
    assert before == {path: path.read_bytes() for path in out.parent.rglob("*") if path.is_file()}


REFUSED: dict[str, tuple[str, dict[str, Any], type[LandsegError], str]] = {
    "suffix": ("p.xyz", {}, VectorError, r"not written with this suffix; use one of \.gpkg"),
    "no folder": ("no/p.gpkg", {}, OutputError, "has no folder: make"),
    "is there": ("there.gpkg", {}, OutputError, r"there\.gpkg exists: .*--overwrite"),
    "a part is there": ("part.shp", {}, OutputError, r"part\.dbf exists"),
    "no class": ("p.gpkg", {"classes": "raod"}, ClassError, "no class 'raod': did you mean road?"),
    "no value": ("p.gpkg", {"classes": "x,1"}, ClassError, "no class 'x': expected 1 building, 2 road"),
    "nodata": ("p.gpkg", {"classes": "0"}, ClassError, "no class '0'"),
    "aoi": ("p.gpkg", {"aoi": "0,0,1,1"}, GridError, "lies outside the raster"),
    "crs": ("p.gpkg", {"crs": "utm somewhere"}, GridError, "--crs utm somewhere: expected .* EPSG:32633"),
    "crs of heights": ("p.gpkg", {"crs": "EPSG:5773"}, GridError, "is no map"),
    "geojson": ("p.geojson", {"crs": "EPSG:3857"}, VectorError, "GeoJSON is in WGS 84 by its definition"),
    "option": ("p.gpkg", {"crss": 1}, LandsegError, "export has no option 'crss': did you mean crs"),
    "table": ("p.gpkg", {"classes": "none.toml"}, ClassError, "class table none.toml cannot be read"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    raster = write_classes(tmp_path / "map.tif", GRIDS["north-up"], np.ones((23, 31), "uint8"))
    (tmp_path / "there.gpkg").write_bytes(b"mine")
    (tmp_path / "part.dbf").write_bytes(b"mine")
    out, options, error, text = REFUSED[name]
    refused(raster, tmp_path / out, error, text, **options)


def test_inputs_are_not_written(tmp_path: Path) -> None:
    raster = write_classes(tmp_path / "map.tif", GRIDS["north-up"], np.ones((23, 31), "uint8"))
    box = geopandas.GeoDataFrame(geometry=[shapely.box(5e5, 54e5 - 5, 5e5 + 9, 54e5)], crs=32633)
    box.to_file(tmp_path / "aoi.gpkg")
    options = {"aoi": tmp_path / "aoi.gpkg", "overwrite": True}
    refused(raster, tmp_path / "aoi.gpkg", OutputError, "is an input of this run", **options)


def test_what_lies_nowhere_cannot_be_placed(tmp_path: Path) -> None:
    grid = GRIDS["no CRS"]
    raster = write_classes(tmp_path / "map.tif", grid, np.ones(grid.shape, "uint8"))
    refused(raster, tmp_path / "p.gpkg", GridError, "no coordinate system to turn into EPSG:4326", crs="EPSG:4326")
    refused(raster, tmp_path / "p.gpkg", GridError, "leave --geodesic out", geodesic=True)


def test_overwriting_replaces_every_part(tmp_path: Path, rng: Any) -> None:
    grid = GRIDS["north-up"]
    values = blocky(rng, grid)
    raster = write_classes(tmp_path / "map.tif", grid, values)
    for suffix in (".shp", ".gpkg"):
        out = tmp_path / f"p{suffix}"
        export(raster, out, classes="road", **QUIET)
        export(raster, out, overwrite=True, **QUIET)
        assert_same_map(out, grid, values)


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raster = write_classes(tmp_path / "map.tif", GRIDS["north-up"], np.ones((23, 31), "uint8"))

    def fail(*_: Any, **__: Any) -> None:
        raise pyogrio.errors.DataSourceError("no")

    monkeypatch.setattr(pyogrio, "write_arrow", fail)
    refused(raster, tmp_path / "p.shp", VectorError, "cannot hold the polygons: no")

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pyogrio, "write_arrow", stop)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        export(raster, tmp_path / "p.shp", **QUIET)
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raster = write_classes(tmp_path / "map.tif", GRIDS["north-up"], np.ones((23, 31), "uint8"))
    made = Path.mkdir

    def mkdir(path: Path, *args: Any, **kwargs: Any) -> None:
        if path.name.endswith(".landseg"):
            raise PermissionError(13, "Permission denied")
        made(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    text = r"cannot write .*p\.gpkg \(Permission denied\): choose a folder that you may write to"
    refused(raster, tmp_path / "p.gpkg", OutputError, text)


def test_two_runs_do_not_share_an_output(tmp_path: Path) -> None:
    from landseg.runtime.disk import claimed

    raster = write_classes(tmp_path / "map.tif", GRIDS["north-up"], np.ones((23, 31), "uint8"))
    with claimed(tmp_path / "p.gpkg"), pytest.raises(OutputError, match="another run is writing"):
        export(raster, tmp_path / "p.gpkg", **QUIET)
    (tmp_path / ".p.gpkg.landseg").mkdir()
    (tmp_path / ".p.gpkg.landseg" / "left").write_text("by a run that was killed")
    export(raster, tmp_path / "p.gpkg", **QUIET)
    assert not (tmp_path / ".p.gpkg.landseg").exists()


def test_a_rotated_degenerate_raster_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "flat.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=4,
        height=3,
        count=1,
        dtype="uint8",
        crs=32633,
        transform=Affine(1, 1, 5, 1, 1, 9),
    ) as file:
        file.write(np.ones((1, 3, 4), "uint8"))
    refused(path, tmp_path / "p.gpkg", GridError, "has no inverse: georeference it anew")


def test_pixels_that_touch_by_a_corner_are_one_piece_if_asked_for(tmp_path: Path) -> None:
    grid = GRIDS["north-up"]
    values = np.zeros(grid.shape, "uint8")
    values[3, 3] = values[4, 4] = values[5, 5] = 2
    raster = write_classes(tmp_path / "map.tif", grid, values)
    for suffix in SUFFIXES:
        four, eight = tmp_path / f"four{suffix}", tmp_path / f"eight{suffix}"
        export(raster, four, **QUIET)
        export(raster, eight, connectivity=8, **QUIET)
        apart, (whole,) = read(four), read(eight).geometry
        assert len(apart) == 3 and whole.geom_type == "MultiPolygon" and whole.is_valid
        assert len(whole.geoms) == 3 and read(eight).id.tolist() == [3 * 31 + 3 + 1]
    with pytest.raises(VectorError, match="--connectivity 6: expected 4, or 8"):
        export(raster, tmp_path / "p.gpkg", connectivity=6, **QUIET)


@pytest.mark.parametrize("name", ["north-up", "geographic", "mercator", "no CRS"])
def test_small_pieces_go_into_their_longest_neighbour(tmp_path: Path, name: str) -> None:
    grid = GRIDS[name]
    values = np.ones(grid.shape, "uint8")
    values[:, 20:] = 2
    values[5:8, 5:8] = 2  # nine pixels
    values[10, 10:13] = 2  # three
    raster = write_classes(tmp_path / "map.tif", grid, values)
    pixel = 1.0 if grid.crs is None else float((grid.resolution_m or 0) ** 2)
    export(raster, tmp_path / "p.gpkg", min_area=9.5 * pixel, **QUIET)
    export(raster, tmp_path / "q.gpkg", min_area=8.5 * pixel, **QUIET)
    sizes = {"p": [1, 2], "q": [1, 2, 2]}
    for out, wanted in sizes.items():
        frame = read(tmp_path / f"{out}.gpkg")
        assert sorted(frame.value) == wanted
        column = frame["area_px" if grid.crs is None else "area_m2"]
        assert column.min() > 8.5 * pixel and column.sum() == pytest.approx(23 * 31 * pixel, rel=1e-3)
    with pytest.raises(VectorError, match="--min-area -1: expected square metres"):
        export(raster, tmp_path / "r.gpkg", min_area=-1, **QUIET)


def assert_confidences(frame: Any, values: Any, part: Any, grid: Grid) -> None:
    for row in frame.itertuples():
        burnt = rasterize([row.geometry], grid.shape, transform=grid.transform, dtype="uint8") > 0
        known = part[burnt][np.isfinite(part[burnt])]
        if not known.size:
            assert np.isnan(row.confidence_mean) and np.isnan(row.confidence_min)
            continue
        assert row.confidence_mean == pytest.approx(known.mean(), abs=1e-6)
        assert row.confidence_min == pytest.approx(known.min(), abs=1e-6)


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("min_area", [0, 1.1])
def test_confidences_are_those_of_the_pixels(tmp_path: Path, rng: Any, write_raster: Any, min_area: float) -> None:
    grid = GRIDS["north-up"]
    values = blocky(rng, grid)
    raster = write_classes(tmp_path / "map.tif", grid, values)
    part = np.rint(rng.uniform(0, 255, grid.shape)).astype("uint8")
    valid = rng.random(grid.shape) < 0.8
    sure = write_raster(part, "sure.tif", transform=grid.transform, valid=valid)
    export(raster, tmp_path / "p.gpkg", confidence=sure, min_area=min_area, **QUIET)
    frame = read(tmp_path / "p.gpkg")
    wanted = np.where(valid, part / 255, np.nan)
    assert_confidences(frame, values, wanted, grid)
    with pytest.raises(AssertionError):
        assert_confidences(frame, values, np.where(wanted > 0.5, wanted, wanted + 0.01), grid)
    box = (500_002, 5_399_990, 500_010, 5_399_998)
    export(raster, tmp_path / "box.gpkg", confidence=sure, aoi=box, **QUIET)
    assert_confidences(read(tmp_path / "box.gpkg"), values, wanted, grid)


def test_a_geopackage_with_its_styles_is_read_as_an_area_and_as_labels(tmp_path: Path, rng: Any) -> None:
    from landseg.geo.vectors.layers import read_layer

    grid = GRIDS["north-up"]
    raster = write_classes(tmp_path / "map.tif", grid, blocky(rng, grid))
    export(raster, tmp_path / "road.gpkg", classes="road", **QUIET)
    export(raster, tmp_path / "on_roads.fgb", aoi=tmp_path / "road.gpkg", **QUIET)
    assert set(read(tmp_path / "on_roads.fgb").name) == {"road"}
    assert len(read_layer(tmp_path / "road.gpkg")) == len(read(tmp_path / "road.gpkg"))


@pytest.mark.parametrize("options", [{"simplify": 8.0}, {"smooth": True}, {"simplify": 2.0, "smooth": True}])
def test_parts_of_a_map_that_are_exported_apart_meet(options: dict[str, Any], tmp_path: Path) -> None:
    """Each keeps its frame: what is drawn of both halves is as large as they are, without a gap at the seam."""
    grid = replace(GRIDS["north-up"], width=40, height=32)
    values = np.where(np.add.outer(np.arange(32), np.arange(40)) % 37 < 18, 1, 2).astype(np.uint8)
    raster = write_classes(tmp_path / "classes.tif", grid, values)
    left, bottom, right, top = grid.bounds
    middle = left + 17 * 0.5
    drawn = []
    for name, box in (("west", (left, bottom, middle, top)), ("east", (middle, bottom, right, top))):
        export(raster, tmp_path / f"{name}.gpkg", aoi=box, quiet=True, **options)
        frame = read(tmp_path / f"{name}.gpkg")
        assert frame.is_valid.all()
        assert frame["area_m2"].sum() == pytest.approx((box[2] - box[0]) * (top - bottom), rel=1e-9)
        drawn.append(shapely.union_all(frame.geometry.to_numpy()))
    whole = shapely.union_all(drawn)
    assert shapely.equals(whole, shapely.box(left, bottom, right, top))
