"""What is asked for and cannot be: classes, confidences and areas that are none, in words that help."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from landseg.classes import MAX_VALUE
from landseg.cli.export import lines as export_lines
from landseg.errors import BandError, ClassError, GridError
from landseg.export import export
from landseg.geo.grid import Grid
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.tags import CLASSES as CLASSES_TAG
from landseg.geo.vectors.aoi import read_aoi
from landseg.labels.legend import class_tag, is_class_raster, own_legend
from landseg.predict import predict
from landseg.runtime.progress import Progress, duration
from landseg.vector.classraster import ClassRaster
from landseg.vector.codes import to_class_values
from tests.parts.commands import run
from tests.parts.predicting import MODEL, QUICK, noise
from tests.parts.vector import CLASSES, GRIDS, blocky, read, write_classes

pytestmark = pytest.mark.usefixtures("quick_disk")

QUIET: dict[str, Any] = {"quiet": True}
GRID = GRIDS["north-up"]
Write = Callable[..., Path]


@pytest.fixture
def town(tmp_path: Path, rng: Any) -> Path:
    """A class raster as a run leaves it, with its table in a tag."""
    raster = write_classes(tmp_path / "town.tif", GRID, blocky(rng, GRID))
    with rasterio.open(raster, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
        file.update_tags(**{CLASSES_TAG: class_tag(CLASSES)})
    return raster


def name_categories(raster: Path, names: Sequence[str]) -> Path:
    """Writes GDAL's names of classes beside a raster, by value from 0."""
    items = "".join(f"<Category>{name}</Category>" for name in names)
    inner = f'<PAMRasterBand band="1"><CategoryNames>{items}</CategoryNames></PAMRasterBand>'
    Path(f"{raster}.aux.xml").write_text(f"<PAMDataset>{inner}</PAMDataset>")
    return raster


def exported(raster: Path, **options: Any) -> dict[int, tuple[str, float]]:
    """Name and area in pixels of each class that was exported."""
    out = raster.with_suffix(".fgb")
    export(raster, out, overwrite=True, **options, **QUIET)
    frame = read(out)
    sizes = frame.groupby(["value", "name"]).area_m2.sum() * 4
    return {int(value): (name, round(area)) for (value, name), area in sizes.items()}


@pytest.mark.parametrize("nodata", [None, 3, 255])
def test_values_without_a_name_are_exported_and_spoken_of(
    write_raster: Write, heard: list[str], nodata: int | None
) -> None:
    values = np.repeat(np.arange(3, dtype="uint8"), 20).reshape(6, 10)
    raster = name_categories(write_raster(values, nodata=nodata), ["", "Wald", "See"])
    assert exported(raster) == {0: ("0", 20), 1: ("Wald", 20), 2: ("See", 20)}
    (said,) = heard
    assert f"{raster}: values without a class (0) are called by their numbers" in said and "-a_nodata" in said
    assert exported(raster, classes="0,Wald") == {0: ("0", 20), 1: ("Wald", 20)}


@pytest.mark.parametrize(("names", "nodata"), [(["nodata", "Wald", "See"], None), (["", "Wald", "See"], 0)])
def test_no_data_is_what_is_called_so_or_declared(
    write_raster: Write, heard: list[str], names: list[str], nodata: int | None
) -> None:
    values = np.repeat(np.arange(3, dtype="uint8"), 20).reshape(6, 10)
    raster = name_categories(write_raster(values, nodata=nodata), names)
    assert exported(raster) == {1: ("Wald", 20), 2: ("See", 20)} and heard == []


def test_a_raster_of_landsegs_needs_no_declared_no_data(town: Path, heard: list[str]) -> None:
    """Its table says which values are classes, whatever GDAL knows."""
    assert own_legend(RasterFile(town)) == CLASSES
    before = exported(town)
    Path(f"{town}.aux.xml").unlink()
    with rasterio.open(town, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
        file.nodata = None
    assert RasterFile(town).info.nodata == (None,)
    assert exported(town) == before and set(before) == {1, 2} and heard == []


def test_names_that_come_twice_are_numbered(write_raster: Write, heard: list[str]) -> None:
    values = np.repeat(np.arange(1, 5, dtype="uint8"), 10).reshape(4, 10)
    raster = name_categories(write_raster(values), ["", "Wald", "See", "Wald", "Wald (2)"])
    expected = {1: ("Wald", 10), 2: ("See", 10), 3: ("Wald (3)", 10), 4: ("Wald (2)", 10)}
    assert exported(raster) == expected and heard == []
    assert exported(raster, classes="Wald (3)") == {3: ("Wald (3)", 10)}


def test_names_that_make_no_table_are_spoken_of(write_raster: Write, heard: list[str]) -> None:
    raster = name_categories(write_raster(np.ones((4, 10), "uint8")), [f"class {value}" for value in range(256)])
    assert exported(raster) == {1: ("1", 40)}
    why = "a class table holds 1 to 254 classes, not 256 classes and 0 ignored values"
    assert heard == [f"{raster}: its names of classes are left aside ({why})"]


@pytest.mark.parametrize("classes", ["9", "building,9", [0], str(MAX_VALUE + 1), "²"])
def test_a_number_that_is_no_class_is_refused(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classes: Any
) -> None:
    wrong = str(classes[0]) if isinstance(classes, list) else classes.rpartition(",")[2]
    monkeypatch.setattr(ClassRaster, "strips", None)  # before any work
    with pytest.raises(ClassError, match=rf"town\.tif has no class '{wrong}': expected 1 building, 2 road"):
        export(town, tmp_path / "p.fgb", classes=classes, **QUIET)
    with pytest.raises(ClassError, match=f"has no class '{wrong}'"):
        export(town, tmp_path / "p.fgb", centroids=classes, **QUIET)
    assert not list(tmp_path.glob("*p.fgb*"))


def test_a_number_that_a_raster_with_names_does_not_hold_is_refused(
    write_raster: Write, tmp_path: Path, heard: list[str]
) -> None:
    values = np.repeat(np.array([1, 2, 7], "uint8"), 20).reshape(6, 10)
    raster = name_categories(write_raster(values, "n.tif"), ["", "Wald", "See"])
    assert exported(raster, classes="1,7") == {1: ("Wald", 20), 7: ("7", 20)}
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ClassError, match=r"n\.tif has no class '9': expected 1 Wald, 2 See"):
        export(raster, tmp_path / "p.gpkg", classes="Wald,9", **QUIET)
    assert sorted(tmp_path.iterdir()) == before
    heard.clear()
    corner = (500_000, 5_399_999, 500_005, 5_400_000)
    done = export(raster, tmp_path / "p.gpkg", classes="1,7", aoi=corner, **QUIET)
    assert done.features == 1 and heard == [f"{raster} has no pixels of 7, which --classes names"]


def test_a_number_that_a_raster_without_names_does_not_hold_is_spoken_of(
    write_raster: Write, tmp_path: Path, heard: list[str]
) -> None:
    raster = write_raster(np.ones((4, 10), "uint8"))
    export(raster, tmp_path / "p.fgb", classes="1,8,9", **QUIET)
    assert heard == [f"{raster} has no pixels of 8, 9, which --classes names"]
    heard.clear()
    export(raster, tmp_path / "q.fgb", classes="1", **QUIET)
    assert heard == []


def test_classes_that_are_not_wanted_are_named(town: Path, tmp_path: Path) -> None:
    code, _, err = run("export", town, tmp_path / "p.fgb", "--classes", "road", "--regularize", "building,road")
    assert code == 1 and "--regularize building is not among --classes: add it there" in err


def test_empty_parts_are_nothing(town: Path, tmp_path: Path) -> None:
    assert set(exported(town, classes="building, ,", centroids=",building")) == {1}
    assert (tmp_path / "town_building_points.fgb").exists()
    for option in ("--classes", "--regularize", "--centerlines", "--centroids"):
        for text in ("", " ,"):
            code, _, err = run("export", town, tmp_path / "p.fgb", option, text)
            assert code == 1 and f"{option} names no class: expected names or values" in err


def test_a_class_raster_is_no_confidence(town: Path, tmp_path: Path, write_raster: Write) -> None:
    ones = write_raster(np.ones(GRID.shape, "uint8"), "ones.tif")
    (tmp_path / "link.tif").symlink_to(ones)
    names = name_categories(write_raster(np.ones(GRID.shape, "uint8"), "named.tif"), ["", "Wald"])
    bare = tmp_path / "bare.tif"
    bare.write_bytes(town.read_bytes())  # without the names beside it
    for raster, sure in ((town, town), (ones, tmp_path / "link.tif"), (ones, names), (ones, bare)):
        with pytest.raises(BandError, match=rf"{sure.name} holds classes: expected confidences, bytes or numbers"):
            export(raster, tmp_path / "p.fgb", confidence=sure, **QUIET)
    other = write_raster(np.ones(GRID.shape, "uint8"), "sure.tif")
    assert export(ones, tmp_path / "p.fgb", confidence=other, **QUIET).features == 1


def test_what_a_run_writes_is_told_apart(write_raster: Write, tmp_path: Path) -> None:
    """All rasters of a run carry its class table: the confidence is one none the less."""
    sure = tmp_path / "sure.tif"
    predict(write_raster(noise(40, 40)), tmp_path / "map.tif", model=MODEL, confidence=sure, **QUICK)
    assert is_class_raster(RasterFile(tmp_path / "map.tif")) and not is_class_raster(RasterFile(sure))
    assert export(tmp_path / "map.tif", tmp_path / "p.fgb", confidence=sure, **QUIET).features > 0


def test_a_box_in_degrees_is_called_one() -> None:
    grid = Grid(CRS.from_epsg(32633), Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000), 3100, 2300)
    with pytest.raises(GridError, match=r"these look like degrees: give left,bottom,right,top in .*; here") as caught:
        read_aoi("15.001,48.745,15.01,48.75", grid)
    box = str(caught.value).rpartition("these are ")[2]
    assert 0 < read_aoi(box, grid).rect.area < grid.rect.area
    for elsewhere in ("48.745,15.001,48.75,15.01", "100,-80,120,-60"):
        with pytest.raises(GridError, match=r"look like degrees: give left,bottom,right,top in the raster's CRS$"):
            read_aoi(elsewhere, grid)
    local = Grid(CRS.from_epsg(4326), Affine(1e-5, 0, 10, 0, -1e-5, 50), 31, 23)
    for other, where in (("400000,5300000,400009,5300009", grid), ("15,48,16,49", local), ("-200,0,-190,9", grid)):
        with pytest.raises(GridError, match=r"check the AOI's CRS and the order left,bottom,right,top$"):
            read_aoi(other, where)


@pytest.mark.parametrize(
    ("values", "dtype", "hint"),
    [
        ([1, -1, -1], "int16", "-1"),
        ([1, -9999, 2], "float32", "-9999"),
        ([1, 2**31 - 1], "int32", "2147483647"),
        ([1, -1, -2], "int16", None),
        ([1, 2.5, 2.5], "float32", None),
    ],
)
def test_one_value_that_may_be_no_data_can_be_declared(
    write_raster: Write, tmp_path: Path, values: list[float], dtype: str, hint: str | None
) -> None:
    raster = write_raster(np.array([values], dtype))
    code, _, err = run("export", raster, tmp_path / "p.fgb")
    assert code == 1 and "expected a class raster of whole numbers 0..65535" in err
    assert ("-a_nodata" in err) is (hint is not None)
    if hint is None:
        return
    assert f"if {hint} is no data, declare it (gdal_edit.py -a_nodata {hint} {raster})" in err
    with rasterio.open(raster, "r+") as file:
        file.nodata = float(hint)
    assert run("export", raster, tmp_path / "p.fgb")[0] == 0


def test_what_is_to_be_declared_is_exact() -> None:
    least = np.float32(-3.4028235e38)
    with pytest.raises(ClassError) as caught:
        to_class_values(np.array([[1, least]]), None, "r.tif")
    told = str(caught.value).partition("-a_nodata ")[2].split()[0]
    assert np.float32(told) == least and float(told) == float(least)


def test_short_times_are_told(town: Path, tmp_path: Path) -> None:
    lines = export_lines(export(town, tmp_path / "p.fgb", **QUIET))
    assert not lines[-1].endswith("in 0 s") and lines[-1].endswith(" s")
    shown = [duration(seconds) for seconds in (1e-9, 0.994, 0.995, 1.4, 59.4)]
    assert shown == ["0.01 s", "0.99 s", "1 s", "1 s", "59 s"]


def test_a_guess_of_time_has_no_decimals() -> None:
    progress = Progress(10**9, quiet=True)
    progress.add(10**9 - 1)
    assert progress.line().endswith("  0 s left")
