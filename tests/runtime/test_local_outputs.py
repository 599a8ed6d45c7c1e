"""Outputs go to folders: an address is refused in one sentence, by every option that names an output."""

from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from typer.testing import CliRunner

from landseg.cli.main import app
from landseg.errors import OutputError
from landseg.runtime import target_checks
from landseg.runtime.target_checks import check_local

Write = Callable[..., Path]
SENTENCE = "outputs go to local or shared folders: write to a file and copy it there"
ELSEWHERE = ["s3://bucket/x", "gs://bucket/x", "az://c/x", "https://host/x", "/vsis3/bucket/x", "/vsimem/x"]


@pytest.mark.parametrize("place", ELSEWHERE)
def test_addresses_are_refused_also_as_paths(place: str) -> None:
    for name in (f"{place}.tif", Path(f"{place}.tif"), f"{place}/"):
        with pytest.raises(OutputError, match=SENTENCE) as caught:
            check_local(name)
        assert str(caught.value).startswith(place)
    with pytest.raises(OutputError) as caught:
        check_local("https://host/x.tif?sig=secret")
    assert "secret" not in str(caught.value)


def test_folders_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("map.tif", "a/b.tif", "C:/maps/a.tif", r"C:\maps\a.tif", "//server/share/a.tif", "a:b.tif", "/vsi"):
        check_local(name)
    monkeypatch.setattr(Path, "is_dir", lambda path: True)
    check_local("/vsidata/map.tif")  # a folder of this machine


OPTIONS = [
    "predict {image} -o {there}.tif",
    "predict {image} -o {there}/",
    "predict {image} -o {tmp}/o.tif --probs {there}.tif",
    "predict {image} -o {tmp}/o.tif --confidence {there}.tif",
    "predict {image} -o {tmp}/o.tif --logits {there}.tif",
    "predict {image} -o {tmp}/o.tif --polygons {there}.gpkg",
    "predict {image} -o {tmp}/o.tif --preview {there}.png",
    "predict {image} -o {tmp}/o/ --probs {there}/",
    "export {map} {there}.gpkg",
    "rasterize {vector} {there}.tif --resolution 1",
    "evaluate {map} {map} --csv {there}.csv",
    "evaluate {map} {map} --report {there}.html",
    "evaluate {map} {map} --errors {there}.tif",
    "evaluate {map} {map} --errors {there}/",
    "calibrate {map} {map} -o {there}.safetensors",
    "data {image} --sheet {there}.png",
    "info landcover-rgb --receptive-field --draw {there}.png",
    "train {image} {labels} --classes {table} --split none -o {there}.safetensors",
]


@pytest.fixture
def refused(write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """What a command says whose output is an address; nothing may be made of that."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    names = {
        "image": write_raster(rng.integers(1, 250, (3, 24, 32), np.uint8), "a.tif", photometric="RGB"),
        "map": write_raster(rng.integers(1, 4, (24, 32), np.uint8), "map.tif", nodata=0),
        "labels": write_raster(rng.integers(1, 4, (24, 32), np.uint8), "a_labels.tif", nodata=0),
        "table": tmp_path / "classes.toml",
        "vector": tmp_path / "p.gpkg",
        "tmp": tmp_path,
    }
    text = "".join(f'[[classes]]\nvalue = {value}\nname = "c{value}"\n' for value in (1, 2, 3))
    (tmp_path / "classes.toml").write_text(text)
    square = shapely.box(500_000, 5_399_990, 500_008, 5_399_998)
    geopandas.GeoDataFrame({"class": ["a"]}, geometry=[square], crs="EPSG:32633").to_file(tmp_path / "p.gpkg")
    before = sorted(path.name for path in tmp_path.iterdir())

    def run(line: str) -> str:
        words = [word.format(there="s3://bucket/x", **names) for word in line.split()]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 1 and result.stdout == ""
        assert sorted(path.name for path in tmp_path.iterdir()) == before
        return result.stderr.splitlines()[-1]

    return run


@pytest.mark.parametrize("line", OPTIONS)
def test_every_output_option_refuses_an_address(refused: Callable[[str], str], line: str) -> None:
    said = refused(line)
    assert said.startswith("landseg: s3://bucket/x") and said.endswith(SENTENCE)


def test_without_the_check_a_folder_would_be_missed(
    refused: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landseg.runtime.target_checks.check_local", lambda path: None)
    assert "make s3:/bucket first" in refused("export {map} {there}.gpkg")


def test_the_pattern_needs_two_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    assert target_checks._ADDRESS.match("c:/x") is None and target_checks._ADDRESS.match("s3:/x") is not None
