"""PROJ and GDAL data of other programs in the environment: the wheels' own win, with one line of warning."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from landseg.runtime import surroundings
from landseg.runtime.surroundings import settle

OWN = Path(rasterio.__file__).parent

# Reads a raster, an EPSG code and a vector file, after what a program might do first.
PROBE = """
{before}
import landseg
from landseg.geo.rasters.raster import RasterFile
print(RasterFile({raster!r}).info.grid.crs.to_epsg())
import geopandas, shapely
frame = geopandas.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs=4326)
frame.to_file({vector!r})
print(geopandas.read_file({vector!r}).crs.to_epsg())
"""


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, str]:
    """Folders that other programs may have named: without proj.db, with an old one, with one that fits."""
    for name, minor in (("empty", None), ("old", 0), ("newer", 99)):
        (tmp_path / name).mkdir()
        if minor is not None:
            with sqlite3.connect(tmp_path / name / "proj.db") as tables:
                tables.execute("CREATE TABLE metadata (key TEXT, value TEXT)")
                layout = [("DATABASE.LAYOUT.VERSION.MAJOR", "1"), ("DATABASE.LAYOUT.VERSION.MINOR", str(minor))]
                tables.executemany("INSERT INTO metadata VALUES (?, ?)", layout)
            tables.close()
    return {name: str(tmp_path / name) for name in ("empty", "old", "newer", "none")}


@pytest.mark.parametrize("name", ["PROJ_LIB", "PROJ_DATA"])
def test_what_does_not_fit_is_left_out(folders: dict[str, str], name: str) -> None:
    for kind, what in (("empty", "no proj.db"), ("old", "a proj.db of layout 1.0"), ("none", "no proj.db")):
        environ = {name: folders[kind], "HOME": "/"}
        (sentence,) = settle(environ)
        assert environ == {"HOME": "/"}
        assert sentence.startswith(f"{name}={folders[kind]} ({what}) was left out: ")
    two = {"PROJ_LIB": folders["old"], "PROJ_DATA": folders["empty"]}
    assert len(settle(two)) == 1 and not two


def test_what_fits_stays(folders: dict[str, str]) -> None:
    """A newer proj.db of the same layout, with grids beside it, is somebody's on purpose."""
    environ = {"PROJ_DATA": folders["newer"], "PROJ_LIB": str(OWN / "proj_data"), "GDAL_DATA": str(OWN / "gdal_data")}
    before = dict(environ)
    assert settle(environ) == [] and environ == before
    assert settle({"PROJ_LIB": ""}) == []


def test_data_and_plugins_of_another_gdal(folders: dict[str, str], tmp_path: Path) -> None:
    environ = {"GDAL_DATA": folders["empty"], "GDAL_DRIVER_PATH": folders["empty"]}
    (sentence,) = settle(environ)
    assert sentence.startswith(f"GDAL_DATA={folders['empty']} was left out: it is of another GDAL")
    assert environ == {"GDAL_DRIVER_PATH": folders["empty"]}  # it holds nothing that could be loaded
    (tmp_path / "empty" / "gdal_ECW.so").touch()
    (sentence,) = settle(environ)
    assert sentence.startswith("GDAL_DRIVER_PATH=") and not environ


def test_libraries_without_data_of_their_own_keep_everything(
    folders: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surroundings, "_data_of", lambda wheel, folder: None)
    environ = {"PROJ_DATA": folders["empty"], "GDAL_DATA": folders["empty"]}
    assert settle(environ) == [] and len(environ) == 2


def probe(tmp_path: Path, before: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    raster, vector = tmp_path / "a.tif", tmp_path / "a.gpkg"
    place = {"crs": "EPSG:32645", "transform": rasterio.Affine(1, 0, 333_000, 0, -1, 3_065_000)}
    with rasterio.open(raster, "w", driver="GTiff", count=1, height=4, width=4, dtype="uint8", **place) as file:
        file.write(np.ones((1, 4, 4), np.uint8))
    code = PROBE.format(before=before, raster=str(raster), vector=str(vector))
    whole = {**os.environ, **environ}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=whole, timeout=120)


@pytest.mark.parametrize("kind", ["empty", "old"])
@pytest.mark.parametrize("before", ["", "import rasterio"])
def test_coordinate_systems_are_known_all_the_same(
    folders: dict[str, str], tmp_path: Path, kind: str, before: str
) -> None:
    done = probe(tmp_path, before, PROJ_LIB=folders[kind], PROJ_DATA=folders[kind])
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["32645", "4326"]
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and "was left out" in lines[0]


def test_without_that_they_would_not_be(folders: dict[str, str], tmp_path: Path) -> None:
    undo = "import landseg.runtime.surroundings, os; os.environ['PROJ_DATA'] = os.environ['KEPT']"
    done = probe(tmp_path, undo, KEPT=folders["old"])
    assert done.stdout.split() != ["32645", "4326"]
