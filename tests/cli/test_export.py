"""`landseg export` as a program: its two streams, its exit codes, its arguments."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.parts.commands import run
from tests.parts.vector import GRIDS, blocky, read, write_classes

pytestmark = pytest.mark.usefixtures("quick_disk")

Write = Callable[..., Path]


@pytest.fixture
def town(tmp_path: Path, rng: Any) -> Path:
    grid = GRIDS["north-up"]
    return write_classes(tmp_path / "town.tif", grid, blocky(rng, grid))


def test_json_is_one_object_and_nothing_else(town: Path, tmp_path: Path) -> None:
    code, out, err = run("export", town, tmp_path / "p.gpkg", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert {"features", "output", "classes", "files", "crs", "format"} <= set(found)
    frame = read(tmp_path / "p.gpkg")
    assert (found["features"], found["output"]) == (len(frame), str(tmp_path / "p.gpkg"))
    assert [set(total) for total in found["classes"]] == [{"value", "name", "count", "area_m2", "hectares"}] * 2
    assert sum(total["area_m2"] for total in found["classes"]) == pytest.approx(frame.area_m2.sum())
    assert "100.0 %" in err and "Mpx/s" in err


def test_every_option_reaches_the_export(town: Path, tmp_path: Path) -> None:
    words: list[Any] = ["--classes", "road", "--aoi", "500000,5399990,500010,5400000", "--crs", "EPSG:3857"]
    code, out, err = run("export", town, tmp_path / "p.gpkg", *words, "--dissolve", "--by-class-files", "--geodesic")
    assert code == 0, err
    assert str(tmp_path / "p_road.gpkg") in out and "1 feature, GeoPackage, EPSG:3857" in out
    frame = read(tmp_path / "p_road.gpkg")
    assert frame.name.tolist() == ["road"] and frame.crs.to_epsg() == 3857
    assert frame.area_m2[0] % 0.25 > 1e-9  # the plane's would be whole pixels
    code, _, err = run("export", town, tmp_path / "p.gpkg", *words, "--by-class-files")
    assert code == 1 and "p_road.gpkg exists: choose another output, or replace it with --overwrite" in err
    assert run("export", town, tmp_path / "p.gpkg", *words, "--by-class-files", "--overwrite")[0] == 0
    assert len(read(tmp_path / "p_road.gpkg")) > 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["p.xyz"], "polygons are not written with this suffix"),
        (["p.gpkg", "--classes", "tree"], "no class 'tree': expected 1 building, 2 road"),
        (["p.gpkg", "--crs", "nowhere"], "--crs nowhere: expected a coordinate system"),
        (["p.gpkg", "--aoi", "1,2,3"], "four numbers"),
    ],
)
def test_a_refusal_is_one_sentence_and_exit_1(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    code, out, err = run("export", town, *words)
    assert code == 1 and out == "" and sentence in err and "Traceback" not in err
    assert len(err.strip().splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_bad_rasters_are_refused(write_raster: Write, tmp_path: Path) -> None:
    out = tmp_path / "p.gpkg"
    heights = write_raster(np.linspace(0, 99, 600).reshape(20, 30).astype("float32"), "heights.tif")
    many = write_raster(np.arange(10_000).reshape(100, 100).astype("uint16"), "many.tif")
    for raster, text in (
        (heights, "expected a class raster of whole numbers"),
        (many, "more than 254 values: expected a class raster"),
        (tmp_path / "none.tif", "no such file"),
    ):
        code, _, err = run("export", raster, out)
        assert code == 1 and text in err and len(err.strip().splitlines()) == 1 and not out.exists()


def test_help_shows_every_option() -> None:
    code, out, _ = run("export", "--help")
    assert code == 0
    words = "classes aoi crs dissolve by-class-files connectivity majority sieve min-area simplify smooth"
    words += " regularize centerlines spur centroids confidence attributes geodesic overwrite json"
    for option in words.split():
        assert f"--{option}" in out
