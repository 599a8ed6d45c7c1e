"""One run: what it may not overwrite, what it keeps to itself, what it knows of a run that was finished before."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import rasterio.shutil
import shapely
from pandas.testing import assert_frame_equal

from landseg.errors import OutputError, ResumeError, VectorError
from landseg.export import export
from landseg.inference.options import PredictOptions
from landseg.inference.prediction import Predictions
from landseg.inference.run import Run, _command
from landseg.output.checks import files_behind
from landseg.predict import predict
from landseg.vector.exporter import polygonize
from tests.parts.predicting import MODEL, QUICK, noise, one
from tests.parts.vector import read

Write = Callable[..., Path]


def mosaic(raster: Path, name: str) -> Path:
    path = raster.with_name(name)
    rasterio.shutil.copy(raster, path, driver="VRT")
    return path


def around(raster: Path, name: str) -> Path:
    """A VRT that names a VRT."""
    outer = raster.with_name(name)
    outer.write_text(mosaic(raster, "inner.vrt").read_text().replace(raster.name, "inner.vrt"))
    return outer


@pytest.mark.parametrize("wrap", [mosaic, around])
@pytest.mark.parametrize("dry_run", [False, True])
def test_members_of_a_mosaic_are_not_overwritten(
    wrap: Callable[[Path, str], Path], dry_run: bool, write_raster: Write, tmp_path: Path
) -> None:
    raster = write_raster(noise(30, 30), "member.tif")
    before, source = raster.read_bytes(), wrap(raster, "v.vrt")
    with pytest.raises(OutputError, match=r"member\.tif is an input of this run"):
        predict(source, raster, model=MODEL, overwrite=True, dry_run=dry_run, **QUICK)
    probs = {"probs": tmp_path / "link.tif"}
    probs["probs"].symlink_to(raster)
    with pytest.raises(OutputError, match=r"link\.tif is an input of this run"):
        predict(source, tmp_path / "o.tif", model=MODEL, overwrite=True, **probs, **QUICK)
    assert raster.read_bytes() == before and not (tmp_path / "o.tif").exists()


def test_a_folder_of_outputs_spares_what_a_later_source_reads(write_raster: Write, tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    member = write_raster(noise(30, 30), "maps/two.tif")
    before, vrt = member.read_bytes(), mosaic(member, "one.vrt")
    vrt = vrt.rename(tmp_path / "one.vrt")
    vrt.write_text(vrt.read_text().replace('relativeToVRT="1">two.tif', f'relativeToVRT="0">{member}'))
    assert member in files_behind([str(vrt)])
    other = write_raster(noise(30, 30), "two.tif")
    result = predict([other, vrt], tmp_path / "maps", model=MODEL, overwrite=True, **QUICK)
    assert isinstance(result, Predictions) and "is an input" in result.failures[str(other)]
    assert member.read_bytes() == before and [p.output.name for p in result.predictions] == ["one.tif"]


def test_an_area_of_interest_is_not_overwritten(write_raster: Write, tmp_path: Path) -> None:
    raster, aoi = write_raster(noise(30, 30)), tmp_path / "aoi.gpkg"
    with rasterio.open(raster) as opened:
        geopandas.GeoDataFrame(geometry=[shapely.box(*opened.bounds)], crs=opened.crs).to_file(aoi)
    before = aoi.read_bytes()
    with pytest.raises(OutputError, match=r"aoi\.gpkg is an input of this run"):
        predict(raster, tmp_path / "o.tif", model=MODEL, aoi=aoi, polygons=aoi, overwrite=True, **QUICK)
    assert aoi.read_bytes() == before


ADDRESS = "https://user:pass@127.0.0.1:9/town/rgb.tif?sig=SECRET"


def test_no_output_keeps_what_lets_one_in(tmp_path: Path) -> None:
    command = _command([ADDRESS], MODEL, PredictOptions.of(aoi="https://example.org/a.gpkg?sig=SECRET"))
    assert command == "landseg predict rgb.tif --model small --aoi https://example.org/a.gpkg"


def test_a_folder_run_names_addresses_without_what_lets_one_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    outputs = []

    def fail(self: Run) -> Any:
        outputs.append(self.output.name)
        raise OutputError(f"GDAL says '{self.sources[0]}' is not there")

    monkeypatch.setattr(Run, "result", fail)
    with caplog.at_level(logging.INFO):
        result = predict([ADDRESS], tmp_path, model=MODEL, **QUICK)
    assert isinstance(result, Predictions) and outputs == ["rgb.tif"]
    assert list(result.failures) == ["https://127.0.0.1:9/town/rgb.tif"]
    assert "SECRET" not in f"{result.to_json()}{caplog.text}" and "pass" not in caplog.text


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "--memory"),
        (RuntimeError("CUDA error"), "RuntimeError: CUDA error"),
        (KeyError(1), "KeyError"),
    ],
)
def test_whatever_is_wrong_with_one_source_the_rest_go_on(
    error: Exception,
    sentence: str,
    write_raster: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sources = [write_raster(noise(30, 30), f"{name}.tif") for name in "ab"]
    real = Run.result

    def fail(self: Run) -> Any:
        if self.output.name == "a.tif":
            raise error
        return real(self)

    monkeypatch.setattr(Run, "result", fail)
    with caplog.at_level(logging.INFO):
        result = predict(sources, f"{tmp_path}/maps/", model=MODEL, **QUICK)
    assert isinstance(result, Predictions) and [p.output.name for p in result.predictions] == ["b.tif"]
    assert sentence in result.failures[str(sources[0])] and "a.tif" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("name", ["o.fgb", "o.shp.zip", "p.geojson"])
def test_polygons_of_a_run_come_with_their_colours_and_the_raster_keeps_its_own(
    write_raster: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    predict(write_raster(noise(40, 40)), out / "o.tif", model=MODEL, polygons=out / name, **QUICK)
    style = out / f"{name.rpartition('.')[0]}.qml"
    assert "renderer-v2" in style.read_text()
    assert "paletted" in (out / "o.qml").read_text()
    assert ("renderer-v2" in (out / "o.qml").read_text()) == (style.name == "o.qml")
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def assert_exported(found: Path, raster: Path, confidence: Path) -> None:
    """The polygons of a run are those of `landseg export` of its two rasters, column by column."""
    again = found.with_name(f"again{found.suffix}")
    export(raster, again, confidence=confidence, overwrite=True, quiet=True)
    mine, exported = read(found), read(again)
    assert "confi" in " ".join(mine.columns) and len(mine) > 20
    assert_frame_equal(mine.drop(columns="geometry"), exported.drop(columns="geometry"))
    assert mine.geom_equals(exported).all() and mine.crs == exported.crs


@pytest.mark.parametrize("name", ["p.gpkg", "p.shp", "p.fgb"])
def test_polygons_of_a_run_carry_its_confidence(
    write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    valid = np.ones((70, 80), bool)
    valid[20:30, 10:40] = False
    raster, output, sure = write_raster(noise(70, 80), valid=valid), tmp_path / "o.tif", tmp_path / "c.tif"
    options = {"polygons": tmp_path / name, "model": MODEL, "window": 64, **QUICK}
    predict(raster, output, confidence=sure, aoi=(500_002, 5_399_970, 500_037, 5_399_999), **options)
    assert_exported(tmp_path / name, output, sure)
    least = "confid_min" if name.endswith(".shp") else "confidence_min"
    assert read(tmp_path / name)[least].between(0.01, 1).all()

    def elsewhere(raster: Path, out: Path, classes: Any, *, confidence: Path, **more: Any) -> int:
        """The twin: the columns come from another raster."""
        with rasterio.open(confidence) as file:
            other = write_raster(255 - file.read(1), "other.tif", crs=file.crs, transform=file.transform)
        return polygonize(raster, out, classes, confidence=other, **more)

    monkeypatch.setattr("landseg.dense.class_files.polygonize", elsewhere)
    predict(raster, output, confidence=sure, overwrite=True, **options)
    with pytest.raises(AssertionError):
        assert_exported(tmp_path / name, output, sure)


def test_without_a_confidence_polygons_of_a_run_have_no_such_columns(write_raster: Write, tmp_path: Path) -> None:
    options = {"probs": tmp_path / "p.tif", "polygons": tmp_path / "o.fgb", **QUICK}
    predict(write_raster(noise(40, 40)), tmp_path / "o.tif", model=MODEL, **options)
    columns = ["id", "value", "name", "area_m2", "perimeter_m", "geometry"]
    assert sorted(read(tmp_path / "o.fgb").columns) == sorted(columns)


def test_polygons_in_a_table_are_refused_before_any_work(
    write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landseg.inference.run.match_options", None)
    with pytest.raises(VectorError, match=r"x\.csv.*polygons go to one of"):
        predict(write_raster(noise(9, 9)), tmp_path / "o.tif", model=MODEL, polygons=tmp_path / "x.csv", **QUICK)


def test_a_run_that_was_finished_tells_what_it_was(write_raster: Write, tmp_path: Path) -> None:
    raster, output = write_raster(noise(90, 90)), tmp_path / "o.tif"
    options = {"probs": tmp_path / "p.tif", "polygons": tmp_path / "o.shp", "window": 64, **QUICK}
    first = one(predict(raster, output, model=MODEL, **options))
    again = one(predict(raster, output, model=MODEL, resume=True, **options))
    assert again.skipped and again.files == first.files == (output, tmp_path / "p.tif", tmp_path / "o.shp")
    for fact in ("mode", "engine", "window", "halo", "batch", "windows", "precision", "device", "disagreement"):
        assert getattr(again, fact) == getattr(first, fact), fact
    assert again.overlap_cost == pytest.approx(first.overlap_cost, abs=1e-6) and first.overlap_cost > 1
    with pytest.raises(ResumeError, match=r"o\.tif is finished but was made with window 64, now asked for is 128"):
        predict(raster, output, model=MODEL, resume=True, **{**options, "window": 128})
    with pytest.raises(ResumeError, match="with outputs probs uint8, now asked for is none"):
        predict(raster, output, model=MODEL, resume=True, **{**options, "probs": None})
    replaced = predict(raster, output, model=MODEL, resume=True, overwrite=True, **{**options, "window": 128})
    assert not one(replaced).skipped


def test_a_style_of_ones_own_is_not_replaced(write_raster: Write, tmp_path: Path) -> None:
    raster, style = write_raster(noise(30, 30)), tmp_path / "o.qml"
    style.write_text("mine")
    Path(f"{raster}.aux.xml").write_text("<PAMDataset/>")  # of the source: in nobody's way
    with pytest.raises(OutputError, match=r"o\.qml exists.*--overwrite"):
        predict(raster, tmp_path / "o.tif", model=MODEL, **QUICK)
    assert style.read_text() == "mine"
    predict(raster, tmp_path / "p.tif", model=MODEL, **QUICK)
