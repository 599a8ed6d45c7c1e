"""Polygons to class rasters: by the pixel's centre, back to the raster they came from, however the raster is cut."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from rasterio.features import shapes
from shapely.geometry import box

from landseg.classes import IGNORE_INDEX
from landseg.errors import ClassError, GridError, LandsegError, OutputError, VectorError
from landseg.geo.grid import Grid, Rect
from landseg.geo.rasters.raster import RasterFile
from landseg.labels.legend import read_legend
from landseg.labels.polygons import PolygonLabels, pixel_grid
from landseg.rasterize import rasterize
from tests.parts.commands import run
from tests.parts.places import HALF_METRE, UTM

Write = Callable[..., Path]
ODD = Affine(0.149, 0, 533_333.3, 0, -0.149, 3_201_987.6)  # corners that have no exact number
TABLE = """
classes = [
  {value = 3, name = "house", color = "#ff0000"},
  {value = 7, name = "road", color = "#808080"},
]
"""


def read(path: Path) -> NDArray[Any]:
    file = RasterFile(path)
    try:
        return file.read([1], file.info.grid.rect, file.info.dtypes[0])[0]
    finally:
        file.close()


def write_polygons(path: Path, geometry: Sequence[Any], crs: Any = UTM, **columns: Any) -> Path:
    geopandas.GeoDataFrame(columns, geometry=list(geometry), crs=crs).to_file(path)
    return path


def boxes(*places: tuple[int, int, int, int]) -> list[shapely.Polygon]:
    """Rectangles of the half-metre grid by (left, top, right, bottom) pixel corners."""
    corners = [(HALF_METRE @ (left, top), HALF_METRE @ (right, bottom)) for left, top, right, bottom in places]
    return [box(x0, y1, x1, y0) for (x0, y0), (x1, y1) in corners]


def check_round_trip(values: NDArray[np.uint8], folder: Path, shift: float = 0.0) -> None:
    """The outlines of a raster's regions, burnt on its grid, are the raster."""
    like = folder / "like.tif"
    grid = Grid(None, ODD, values.shape[1], values.shape[0])
    regions = list(shapes(values, mask=values != 0, transform=ODD @ Affine.translation(shift, shift)))
    path = folder / "p.gpkg"
    named = {"value": [int(v) for _, v in regions], "name": [f"class {v:g}" for _, v in regions]}
    write_polygons(path, [shapely.geometry.shape(one) for one, _ in regions], **named)
    _write_like(like, grid)
    rasterize(path, folder / "out.tif", like=like, overwrite=True, quiet=True)
    assert np.array_equal(read(folder / "out.tif"), values)


def _write_like(path: Path, grid: Grid) -> None:
    import rasterio

    size = {"width": grid.width, "height": grid.height, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", crs=UTM, transform=grid.transform, **size):
        pass


classes = arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(classes.filter(np.any))
def test_round_trip(quick_disk: None, tmp_path: Path, values: NDArray[np.uint8]) -> None:
    check_round_trip(values, tmp_path)


def test_round_trip_fails_by_half_a_pixel(quick_disk: None, tmp_path: Path) -> None:
    values = np.array([[1, 1, 2], [1, 2, 2], [3, 3, 0]], np.uint8)
    check_round_trip(values, tmp_path)
    with pytest.raises(AssertionError):
        check_round_trip(values, tmp_path, shift=0.6)


def burn_strips(labels: PolygonLabels, grid: Grid, values: dict[str, int], rows: int) -> NDArray[np.uint8]:
    """A grid burnt in strips of so many rows."""
    tops = range(0, grid.height, rows)
    rects = [Rect(top, 0, min(rows, grid.height - top), grid.width) for top in tops]
    return np.concatenate([labels.burn_names(grid.crop(rect), values, IGNORE_INDEX) for rect in rects])


def check_any_cut(labels: PolygonLabels, grid: Grid, values: dict[str, int]) -> None:
    whole = burn_strips(labels, grid, values, grid.height)
    for rows in (1, 2, 3, 7):
        assert np.array_equal(burn_strips(labels, grid, values, rows), whole)


def ties(folder: Path, number: int = 60) -> tuple[PolygonLabels, Grid, dict[str, int]]:
    """Triangles whose corners and many of whose edges lie on pixel centres, where rounding decides."""
    rng = np.random.default_rng(5)
    corners = rng.integers(0, 24, (number, 3, 2)) + 0.5
    triangles = [shapely.Polygon([ODD @ tuple(point) for point in corner]) for corner in corners.tolist()]
    names = [str(index % 5) for index in range(number)]
    path = write_polygons(folder / "ties.gpkg", triangles, kind=names)
    return PolygonLabels(path, "kind"), Grid(None, ODD, 24, 24), {str(index): index for index in range(5)}


def test_the_cut_makes_no_difference(tmp_path: Path) -> None:
    labels, grid, values = ties(tmp_path)
    check_any_cut(labels.in_pixels(grid), pixel_grid(grid), values)


def test_the_cut_makes_a_difference_in_coordinates_of_the_crs(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        check_any_cut(*ties(tmp_path))


def test_strips_of_a_run(quick_disk: None, tmp_path: Path) -> None:
    _, grid, _ = ties(tmp_path)
    _write_like(tmp_path / "like.tif", grid)
    made = []
    for pixels in (1, 24 * 5, 1 << 22):
        with mock.patch("landseg.vector.burn.STRIP_PIXELS", pixels):
            options = dict(like=tmp_path / "like.tif", class_field="kind", quiet=True, overwrite=True)
            summary = rasterize(tmp_path / "ties.gpkg", tmp_path / "out.tif", **options)
        made.append(read(tmp_path / "out.tif"))
        assert summary.polygons == 60 and summary.empty == int((made[-1] == 0).sum())
        for entry in summary.classes.values():
            assert entry["pixels"] == int((made[-1] == entry["value"]).sum())
    assert (made[0] == made[1]).all() and (made[0] == made[2]).all() and len(np.unique(made[0])) == 6


def test_later_covers_earlier_and_centres_decide(write_raster: Write, tmp_path: Path) -> None:
    like = write_raster(np.zeros((4, 6), np.uint8))
    first, second = boxes((0, 0, 4, 4), (2, 0, 6, 4))
    narrow = shapely.affinity.translate(boxes((0, 0, 1, 1))[0], 0.3, 0)  # holds no centre of column 0, nor of 1
    path = write_polygons(tmp_path / "p.geojson", [narrow, first, second], cover=["c", "a", "b"])
    rasterize(path, tmp_path / "o.tif", like=like, class_field="cover", quiet=True)
    assert read(tmp_path / "o.tif").tolist() == [[1, 1, 2, 2, 2, 2]] * 4
    options = dict(like=like, class_field="cover", all_touched=True, quiet=True, overwrite=True)
    alone = write_polygons(tmp_path / "n.gpkg", [narrow], cover=["c"])
    assert rasterize(alone, tmp_path / "o.tif", **options).classes == {"c": {"value": 1, "pixels": 2}}


def test_classes_names_and_colours_are_written(write_raster: Write, tmp_path: Path) -> None:
    like = write_raster(np.zeros((4, 6), np.uint8))
    (tmp_path / "classes.toml").write_text(TABLE)
    path = write_polygons(tmp_path / "p.fgb", boxes((0, 0, 2, 2), (3, 0, 4, 4)), what=["road", "house"])
    options = dict(like=like, class_field="what", classes=tmp_path / "classes.toml", quiet=True)
    rasterize(path, tmp_path / "o.tif", **options)
    file = RasterFile(tmp_path / "o.tif")
    legend, palette, nodata = read_legend(file), file.palette(1), file.info.nodata
    file.close()
    assert legend is not None and legend.names == ("house", "road") and nodata == (0,)
    assert palette is not None and palette[3][:3] == (255, 0, 0)
    assert (tmp_path / "o.qml").exists()
    like_it = dict(like=tmp_path / "o.tif", class_field="what", quiet=True)
    again = rasterize(path, tmp_path / "p.tif", **like_it)
    assert again.classes["road"] == {"value": 7, "pixels": 4}  # the legend of the raster it is to be like


def test_column_value_with_names_is_found(tmp_path: Path) -> None:
    columns = {"value": [5, 0, 5], "name": ["water", "land", "water"]}
    path = write_polygons(tmp_path / "p.gpkg", boxes((0, 0, 2, 2), (2, 0, 4, 2), (4, 0, 6, 2)), **columns)
    summary = rasterize(path, tmp_path / "o.tif", resolution=(0.5, 0.5), quiet=True)
    assert summary.classes == {"land": {"value": 0, "pixels": 4}, "water": {"value": 5, "pixels": 8}}
    assert read(tmp_path / "o.tif").tolist() == [[5, 5, 0, 0, 5, 5]] * 2 and summary.empty == 0


def test_grid_of_ones_own(tmp_path: Path) -> None:
    path = write_polygons(tmp_path / "p.gpkg", boxes((1, 1, 5, 3)))
    summary = rasterize(path, tmp_path / "o.tif", resolution=(1, 0.5), quiet=True)
    file = RasterFile(tmp_path / "o.tif")
    grid = file.info.grid
    file.close()
    assert grid.bounds == (500_000, 5_399_998.5, 500_003, 5_399_999.5) and grid.shape == (2, 3)
    assert summary.classes == {"p": {"value": 1, "pixels": 4}}
    bounds = (499_999, 5_399_998, 500_004, 5_400_001)
    options = dict(resolution=(0.5, 0.5), bounds=bounds, quiet=True, overwrite=True)
    assert rasterize(path, tmp_path / "o.tif", **options).classes["p"]["pixels"] == 8
    degrees = dict(resolution=(1e-5, 1e-5), crs="EPSG:4326", crs_units=True, quiet=True, overwrite=True)
    found = rasterize(path, tmp_path / "o.tif", **degrees)
    area = found.classes["p"]["pixels"] * 1e-10 * 111_200 * 111_320 * np.cos(np.radians(48.75))
    assert area == pytest.approx(2, rel=0.7) and found.width <= 4


METRES = {  # a CRS, and the pixel's edges in its units
    "EPSG:4326": None,
    "EPSG:3857": None,
    "EPSG:32633": (10.0, 10.0),
    "EPSG:32632": (10.0, 10.0),  # beside its zone: still exactly 10
    "EPSG:32633+foot": (10 / 0.3048, 10 / 0.3048),
}


def system(name: str) -> str:
    """A CRS by its code, or the same in feet."""
    return "+proj=utm +zone=33 +datum=WGS84 +units=ft +no_defs" if name.endswith("foot") else name


def assert_ten_metres(folder: Path, name: str) -> tuple[str, ...]:
    path = write_polygons(folder / "p.gpkg", boxes((0, 0, 2000, 4000)))  # a kilometre by two
    options = dict(resolution=(10, 10), crs=system(name), quiet=True, overwrite=True)
    summary = rasterize(path, folder / "o.tif", **options)
    file = RasterFile(folder / "o.tif")
    grid = file.info.grid
    file.close()
    assert 98 <= grid.width <= 120 and 198 <= grid.height <= 215
    assert grid.pixel_size_m == pytest.approx((10, 10), rel=5e-3)
    if (edges := METRES[name]) is not None:
        assert (grid.transform.a, -grid.transform.e) == pytest.approx(edges, rel=1e-9)
    return summary.notes


@pytest.mark.parametrize("name", METRES)
def test_resolution_is_in_metres_whatever_the_unit(name: str, tmp_path: Path) -> None:
    notes = assert_ten_metres(tmp_path, name)
    if "3263" in name and "foot" not in name:
        assert notes == ()
    else:
        assert notes[0].startswith("10 m are ") and ("--crs EPSG:32633" in notes[0]) == (name == "EPSG:4326")


def test_twin_units_of_the_crs_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landseg.labels.burning.in_units", lambda metres, crs, middle: (metres, None))
    for name in ("EPSG:4326", "EPSG:3857", "EPSG:32633+foot"):
        with pytest.raises((AssertionError, GridError)):  # one pixel, whose centre lies outside
            assert_ten_metres(tmp_path, name)


REFUSED: dict[str, tuple[dict[str, Any], type[LandsegError], str]] = {
    "no grid": (dict(), GridError, "--resolution"),
    "two grids": (dict(like="like.tif", crs="EPSG:4326"), GridError, "leave out"),
    "resolution": (dict(resolution=(0, 1)), GridError, "above 0"),
    "bounds": (dict(resolution=(1, 1), bounds=(2, 0, 1, 1)), GridError, "growing order"),
    "elsewhere": (dict(resolution=(1, 1), bounds=(0, 0, 9, 9)), GridError, "no polygon"),
    "CRS": (dict(resolution=(1, 1), crs="EPSG:1"), GridError, "EPSG:32632"),
    "degrees": (dict(resolution=(1e-4, 1e-4), crs="EPSG:4326"), GridError, "or write --resolution 9."),
    "too fine": (dict(resolution=(1e-10, 1e-10)), GridError, "more than a file can hold"),
    "column": (dict(resolution=(1, 1), class_field="kind"), VectorError, "kind"),
    "halves": (dict(resolution=(1, 1), class_field="half"), ClassError, "whole numbers"),
    "holes": (dict(resolution=(1, 1), class_field="gap"), ClassError, "1 polygon has nothing"),
    "strange": (dict(resolution=(1, 1), class_field="what", classes="t.toml"), ClassError, "tree (1)"),
    "no column": (dict(resolution=(1, 1), classes="t.toml"), ClassError, "--class-field"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_raster(np.zeros((4, 6), np.uint8), "like.tif")
    Path("t.toml").write_text(TABLE)
    columns = {"what": ["house", "tree"], "half": [1.5, 2], "gap": ["a", None]}
    write_polygons(Path("p.gpkg"), boxes((0, 0, 2, 2), (3, 0, 4, 4)), **columns)
    options, error, words = REFUSED[case]
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(error) as caught:
        rasterize("p.gpkg", "o.tif", **options)
    assert words in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_other_files_are_refused(write_raster: Write, tmp_path: Path) -> None:
    like = dict(like=write_raster(np.zeros((4, 6), np.uint8)), quiet=True)
    points = write_polygons(tmp_path / "points.gpkg", [shapely.Point(500_000, 5_400_000)])
    with pytest.raises(VectorError, match="found Point"):
        rasterize(points, tmp_path / "o.tif", **like)
    path = write_polygons(tmp_path / "p.gpkg", boxes((0, 0, 2, 2)))
    rasterize(path, tmp_path / "o.tif", **like)
    with pytest.raises(OutputError, match="--overwrite"):
        rasterize(path, tmp_path / "o.tif", **like)
    with pytest.raises(OutputError, match="input"):
        rasterize(path, tmp_path / "raster.tif", like=tmp_path / "raster.tif", overwrite=True)
    nowhere = write_polygons(tmp_path / "n.gpkg", boxes((0, 0, 2, 2)), crs=None)
    with pytest.raises(GridError, match="has no CRS"):
        rasterize(nowhere, tmp_path / "q.tif", resolution=(1, 1), crs="EPSG:4326")


def test_command(tmp_path: Path) -> None:
    path = write_polygons(tmp_path / "p.gpkg", boxes((0, 0, 2, 2), (2, 0, 4, 2)), kind=["a", "b"])
    words = ["rasterize", path, tmp_path / "o.tif", "--class-field", "kind", "--resolution", "0.5"]
    code, said, err = run(*words, "--json")
    assert code == 0, err
    found = json.loads(said)
    assert found["classes"] == {"a": {"value": 1, "pixels": 4}, "b": {"value": 2, "pixels": 4}}
    assert found["output"] == str(tmp_path / "o.tif") and "centre" in found["rule"]
    code, said, err = run(*words)
    assert code == 1 and "--overwrite" in err and not said and "Traceback" not in err
    code, said, err = run(*words, "--overwrite", "--bounds", "499999,5399999,500002,5400000", "--all-touched")
    assert code == 0 and "touches it" in said, err
    assert run("rasterize", path, tmp_path / "q.tif", "--resolution", "1,2,3")[0] == 1
    assert run("rasterize", path, tmp_path / "q.tif", "--resolution", "1", "--bounds", "1,2,3")[0] == 1
