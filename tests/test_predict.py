"""predict, end to end: results, inputs of every kind, refusals, resumption."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from rasterio.control import GroundControlPoint

from landseg.cli.predict import lines as predict_lines
from landseg.errors import BandError, GridError, LandsegError, OutputError, PlanError, RasterError, ResumeError
from landseg.inference.prediction import Predictions
from landseg.predict import predict
from landseg.tiling.runner import Runner
from tests.parts.engine import CLASSES
from tests.parts.predicting import MODEL, QUICK, TABLE, expected, noise, one, read, small_model

Write = Callable[..., Path]


def test_the_map_is_the_whole_images(write_raster: Write, tmp_path: Path) -> None:
    pixels = noise(150, 210)
    result = one(predict(write_raster(pixels), tmp_path / "o.tif", model=MODEL, window=64, **QUICK))
    assert (result.mode, result.window, result.halo) == ("exact", (64, 64), 16)
    assert result.windows > 20 and result.overlap_cost > 1 and result.pixels == 150 * 210
    np.testing.assert_array_equal(read(tmp_path / "o.tif"), expected(pixels))
    assert result.to_json()["mode"] == "exact" and result.to_json()["output"].endswith("o.tif")
    with rasterio.open(tmp_path / "o.tif") as raster:
        tags = raster.tags()
        assert tags["LANDSEG_MODE"] == "exact" and tags["LANDSEG_HALO"] == "16"
        assert "--window 64" in tags["LANDSEG_COMMAND"]
    assert not list(tmp_path.glob(".*"))


def test_further_layers_agree_with_the_classes(write_raster: Write, tmp_path: Path) -> None:
    pixels = noise(90, 100)
    valid = np.ones((90, 100), bool)
    valid[:20, :30] = False
    files = {name: tmp_path / f"{name}.tif" for name in ("probs", "confidence", "logits")}
    source = write_raster(pixels, valid=valid)
    predict(source, tmp_path / "o.tif", model=MODEL, window=64, **files, **QUICK)
    classes = read(tmp_path / "o.tif")
    assert (classes[:20, :30] == 0).all() and (classes[20:] > 0).all()
    with rasterio.open(files["logits"]) as raster:
        logits = raster.read()
        assert np.isnan(logits[:, :20, :30]).all()
        np.testing.assert_array_equal(TABLE.to_values(logits.argmax(0), valid), classes)
    with rasterio.open(files["probs"]) as raster:
        probs, mask = raster.read(), raster.read_masks(1)
        assert raster.count == CLASSES and raster.scales[0] == pytest.approx(1 / 255)
        assert ((mask > 0) == valid).all()
        assert abs(probs[:, valid].astype(int).sum(0) - 255).max() <= 2
    with rasterio.open(files["confidence"]) as raster:
        np.testing.assert_array_equal(raster.read(1)[valid], probs.max(0)[valid])


@pytest.mark.parametrize("shape", [(1, 1), (7, 500), (300, 5)])
def test_odd_sizes(shape: tuple[int, int], write_raster: Write, tmp_path: Path) -> None:
    pixels = noise(*shape)
    predict(write_raster(pixels), tmp_path / "o.tif", model=MODEL, window=64, **QUICK)
    np.testing.assert_array_equal(read(tmp_path / "o.tif"), expected(pixels))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    "options",
    [
        {"transform": Affine(0.5, 0, 5e5, 0, 0.5, 5e6)},
        {"transform": Affine.translation(5e5, 5e6) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5)},
        {"crs": "EPSG:4326", "transform": Affine(1e-5, 0, 9, 0, -1e-5, 48)},
        {"crs": None},
    ],
    ids=["south-up", "rotated", "geographic", "no CRS"],
)
def test_however_the_raster_lies(options: dict[str, Any], write_raster: Write, tmp_path: Path) -> None:
    pixels = noise(80, 120)
    source = write_raster(pixels, **options)
    predict(source, tmp_path / "o.tif", model=MODEL, window=64, **QUICK)
    np.testing.assert_array_equal(read(tmp_path / "o.tif"), expected(pixels))
    if options.get("crs", "") is not None:
        with rasterio.open(source) as before, rasterio.open(tmp_path / "o.tif") as after:
            assert after.crs == before.crs and after.transform.almost_equals(before.transform)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_control_points_travel_to_the_output(write_raster: Write, tmp_path: Path) -> None:
    pixels = noise(80, 120)
    corners = [(0, 0, 9.0, 48.0), (0, 120, 9.1, 48.01), (80, 0, 8.99, 47.9), (80, 120, 9.09, 47.91)]
    points = [GroundControlPoint(row, col, x, y) for row, col, x, y in corners]
    source = write_raster(pixels, transform=Affine.identity(), gcps=points, crs="EPSG:4326")
    predict(source, tmp_path / "o.tif", model=MODEL, window=64, **QUICK)
    np.testing.assert_array_equal(read(tmp_path / "o.tif"), expected(pixels))
    with rasterio.open(tmp_path / "o.tif") as raster:
        assert len(raster.gcps[0]) == 4 and raster.gcps[1] == "EPSG:4326"


def test_all_nodata_works_and_is_all_nodata(write_raster: Write, tmp_path: Path) -> None:
    source = write_raster(np.zeros((3, 60, 80), np.uint8), nodata=0)
    predict(source, tmp_path / "o.tif", model=MODEL, **QUICK)
    assert not read(tmp_path / "o.tif").any()


def test_alpha_is_validity(write_raster: Write, tmp_path: Path) -> None:
    pixels = noise(60, 80, bands=4)
    pixels[3] = 255
    pixels[3, :, :40] = 0
    source = write_raster(pixels, photometric="RGB", alpha="YES")
    predict(source, tmp_path / "o.tif", model=MODEL, **QUICK)
    np.testing.assert_array_equal(read(tmp_path / "o.tif"), expected(pixels[:3], valid=pixels[3] > 0))


def test_uint16_of_four_bands_and_float_with_nan(write_raster: Write, tmp_path: Path) -> None:
    four = small_model(4, dtype="uint16")
    pixels = noise(70, 90, bands=4, dtype="uint16")
    predict(write_raster(pixels, "four.tif"), tmp_path / "a.tif", model=four, window=64, **QUICK)
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), expected(pixels, four))
    single = small_model(1, dtype="float32")
    values = noise(70, 90, bands=1, dtype="float32")
    values[:, 30:40, 20:60] = np.nan
    predict(write_raster(values, "one.tif"), tmp_path / "b.tif", model=single, window=64, **QUICK)
    valid = np.isfinite(values[0])
    np.testing.assert_array_equal(read(tmp_path / "b.tif"), expected(values, single, valid))


def test_several_sources_make_one_mosaic(write_raster: Write, tmp_path: Path) -> None:
    pixels = noise(100, 160)
    left = write_raster(pixels[:, :, :90], "l.tif", transform=Affine(0.5, 0, 0, 0, -0.5, 50))
    right = write_raster(pixels[:, :, 90:], "r.tif", transform=Affine(0.5, 0, 45, 0, -0.5, 50))
    predict([left, right], tmp_path / "o.tif", model=MODEL, window=64, **QUICK)
    np.testing.assert_array_equal(read(tmp_path / "o.tif"), expected(pixels))


def test_a_folder_gets_one_output_a_source_and_the_rest_goes_on(write_raster: Write, tmp_path: Path) -> None:
    good = write_raster(noise(40, 50), "good.tif")
    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"not a raster")
    also = write_raster(noise(30, 30), "also.tif")
    result = predict([good, bad, also], f"{tmp_path}/maps/", model=MODEL, **QUICK)
    assert isinstance(result, Predictions)
    assert [p.output.name for p in result.predictions] == ["good.tif", "also.tif"]
    assert list(result.failures) == [str(bad)] and "bad.tif" in result.failures[str(bad)]
    assert sorted(p.name for p in (tmp_path / "maps").glob("*.tif")) == ["also.tif", "good.tif"]
    again = predict([good, also], tmp_path / "maps", model=MODEL, resume=True, **QUICK)
    assert isinstance(again, Predictions) and all(p.skipped for p in again.predictions)


@pytest.mark.parametrize("outline", [False, True])
def test_an_aoi_is_the_whole_map_cropped(outline: bool, write_raster: Write, tmp_path: Path) -> None:
    import geopandas
    import shapely

    pixels = noise(150, 200)
    source = write_raster(pixels, transform=Affine(1, 0, 0, 0, -1, 150))
    aoi = "40,20,121,90"
    if outline:
        aoi = str(tmp_path / "aoi.gpkg")
        triangle = shapely.Polygon([(40, 20), (121, 20), (121, 90)])
        geopandas.GeoDataFrame(geometry=[triangle], crs="EPSG:32633").to_file(aoi)
    predict(source, tmp_path / "o.tif", model=MODEL, window=64, aoi=aoi, **QUICK)
    found, truth = read(tmp_path / "o.tif"), expected(pixels)[60:130, 40:121]
    assert found.shape == truth.shape
    if outline:
        assert 0.45 < (found == 0).mean() < 0.55
    np.testing.assert_array_equal(found[found > 0], truth[found > 0])
    with rasterio.open(tmp_path / "o.tif") as raster:
        assert tuple(raster.bounds) == (40, 20, 121, 90)


def test_the_network_may_run_at_another_resolution(write_raster: Write, tmp_path: Path) -> None:
    pixels = noise(120, 160)
    source = write_raster(pixels)
    for name, window in (("a", 64), ("b", 512)):
        predict(source, tmp_path / f"{name}.tif", model=MODEL, resolution=1.0, window=window, **QUICK)
    assert read(tmp_path / "a.tif").shape == (120, 160)
    assert (read(tmp_path / "a.tif") != read(tmp_path / "b.tif")).mean() < 1e-3
    near = small_model(resolution_m=0.51)
    predict(source, tmp_path / "c.tif", model=near, window=64, **QUICK)
    np.testing.assert_array_equal(read(tmp_path / "c.tif"), expected(pixels))  # nearly agrees: untouched
    with pytest.raises(GridError, match="times apart"):
        predict(source, tmp_path / "d.tif", model=small_model(resolution_m=30.0), **QUICK)


def test_an_unbounded_network_blends_and_reports_what_it_measured(write_raster: Write, tmp_path: Path) -> None:
    source = write_raster(noise(300, 400))
    pooled = small_model(pooled=True)
    result = one(predict(source, tmp_path / "o.tif", model=pooled, window=128, **QUICK))
    assert result.mode == "blend" and "pool" in result.reason
    assert result.disagreement is not None and result.disagreement_note is not None
    short = one(predict(source, tmp_path / "s.tif", model=MODEL, window=64, halo=4, **QUICK))
    assert short.mode == "blend" and short.disagreement is not None and 0 < short.disagreement < 0.5
    truth = (read(tmp_path / "s.tif") != expected(noise(300, 400))).mean()
    assert 0.3 < short.disagreement / truth < 3
    with rasterio.open(tmp_path / "s.tif") as raster:
        assert float(raster.tags()["LANDSEG_DISAGREEMENT"]) == pytest.approx(short.disagreement, abs=1e-6)


def test_a_dry_run_writes_nothing(write_raster: Write, tmp_path: Path) -> None:
    source = write_raster(noise(100, 100))
    before = sorted(tmp_path.iterdir())
    result = one(predict(source, tmp_path / "o.tif", model=MODEL, dry_run=True, **QUICK))
    assert result.dry_run and result.seconds > 0 and result.memory_mib > 0 and result.disk_mib > 0
    assert sorted(tmp_path.iterdir()) == before
    assert any("nothing written" in line for line in predict_lines(result))
    every = predict(source, f"{tmp_path}/new/", model=MODEL, dry_run=True, probs=f"{tmp_path}/p/", **QUICK)
    assert isinstance(every, Predictions) and every.predictions and not every.failures
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("source", "options", "error", "sentence"),
    [
        ({"bands": 2}, {}, BandError, "has 2"),
        ({"dtype": "uint16"}, {}, BandError, "uint8"),
        ({}, {"bands": [1, 2]}, BandError, "--bands names 2"),
        ({}, {"bands": [1, 2, 9]}, BandError, "band 9"),
        ({}, {"window": 64, "halo": 18}, PlanError, "use 20"),
        ({}, {"window": 66}, PlanError, "use 68"),
        ({}, {"aoi": "0,0,1,1"}, GridError, "outside"),
        ({}, {"window": "huge"}, PlanError, "HEIGHTxWIDTH"),
        ({}, {"windows": 64}, LandsegError, "did you mean window"),
        ({}, {"window": 1.5}, PlanError, "window 1.5: expected"),
        ({}, {"batch": "2"}, PlanError, "batch '2': expected a whole number"),
        ({}, {"bands": "3,2,1"}, BandError, r"such as \[3, 2, 1\]"),
        ({}, {"aoi": (0, 0, 1, 1)}, GridError, "outside"),
        ({}, {"polygons": "x.abc"}, LandsegError, "suffix"),
        ({}, {"preview": "x.bmp"}, OutputError, "png"),
    ],
)
def test_bad_input_is_a_sentence_and_leaves_nothing(
    source: dict[str, Any],
    options: dict[str, Any],
    error: type[LandsegError],
    sentence: str,
    write_raster: Write,
    tmp_path: Path,
) -> None:
    raster = write_raster(noise(80, 90, **source))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match=sentence):
        predict(raster, tmp_path / "o.tif", model=MODEL, **{**QUICK, **options})
    assert sorted(tmp_path.iterdir()) == before


def test_outputs_that_exist_or_are_inputs_are_refused(write_raster: Write, tmp_path: Path) -> None:
    raster = write_raster(noise(30, 30))
    (tmp_path / "o.tif").write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists"):
        predict(raster, tmp_path / "o.tif", model=MODEL, **QUICK)
    with pytest.raises(OutputError, match="input"):
        predict(raster, raster, model=MODEL, overwrite=True, **QUICK)
    predict(raster, tmp_path / "o.tif", model=MODEL, overwrite=True, **QUICK)
    assert read(tmp_path / "o.tif").shape == (30, 30)


def test_a_read_error_in_the_middle_is_no_map(write_raster: Write, tmp_path: Path) -> None:
    raster = write_raster(noise(300, 300), tiled=True, blockxsize=64, blockysize=64)
    with raster.open("r+b") as file:
        file.truncate(raster.stat().st_size // 2)
    with pytest.raises(RasterError):
        predict(raster, tmp_path / "o.tif", model=MODEL, window=64, **QUICK)
    assert not (tmp_path / "o.tif").exists()


def test_a_failure_before_the_first_finished_strip_leaves_nothing(write_raster: Write, tmp_path: Path) -> None:
    raster = write_raster(noise(100, 100))
    raster.write_bytes(raster.read_bytes()[:20_000])
    with pytest.raises(RasterError):
        predict(raster, tmp_path / "o.tif", model=MODEL, probs=tmp_path / "p.tif", **QUICK)
    assert list(tmp_path.iterdir()) == [raster]


def test_a_finished_run_without_all_its_files_is_not_skipped(write_raster: Write, tmp_path: Path) -> None:
    raster, output = write_raster(noise(40, 40)), tmp_path / "o.tif"
    predict(raster, output, model=MODEL, **QUICK)
    assert one(predict(raster, output, model=MODEL, resume=True, **QUICK)).skipped
    with pytest.raises(OutputError, match=r"o\.gpkg is not there.*--overwrite"):
        predict(raster, output, model=MODEL, resume=True, polygons=tmp_path / "o.gpkg", **QUICK)


def test_a_palette_is_not_taken_for_a_band(tmp_path: Path) -> None:
    path = tmp_path / "palette.tif"
    place = {"crs": "EPSG:32633", "transform": Affine(0.5, 0, 0, 0, -0.5, 50), "photometric": "palette"}
    with rasterio.open(path, "w", width=9, height=9, count=1, dtype="uint8", **place) as raster:
        raster.write(noise(9, 9, bands=1))
        raster.write_colormap(1, {0: (1, 2, 3, 255)})
    with pytest.raises(BandError, match=r"palette.*-expand rgb"):
        predict(path, tmp_path / "o.tif", model=MODEL, **QUICK)


KILLED = """
    import os, signal, sys
    sys.path.insert(0, {root!r})
    from landseg.predict import predict
    from tests.parts.predicting import MODEL
    from landseg.output.outputs import Outputs
    commit = Outputs.commit
    def counted(self, step):
        commit(self, step)
        if len(self.done) == {steps}:
            os.kill(os.getpid(), signal.SIGKILL)
    Outputs.commit = counted
    predict({source!r}, {output!r}, model=MODEL, **{options!r})
"""


@pytest.fixture
def same_threads() -> Iterator[None]:
    """A resumed run computes with the threads of the run that it continues."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("same_threads")
@pytest.mark.parametrize("options", [{"window": 64}, {"window": 64, "halo": 8}, {}], ids=["exact", "blend", "stream"])
def test_a_killed_run_resumes_to_the_same_bytes(options: dict[str, Any], write_raster: Write, tmp_path: Path) -> None:
    source = write_raster(noise(1500, 60) if "window" not in options else noise(260, 200))
    options = {**QUICK, **options, "probs": str(tmp_path / "p.tif")}
    output = tmp_path / "o.tif"
    code = KILLED.format(
        root=str(Path(__file__).resolve().parents[1]),
        steps=3,
        source=str(source),
        output=str(output),
        options=options,
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not output.exists()
    with pytest.raises(ResumeError, match="window"):
        predict(source, output, model=MODEL, resume=True, **{**options, "window": 128})
    with pytest.raises(ResumeError, match="model"):
        other = replace(MODEL, hash="another")
        predict(source, output, model=other, resume=True, **options)
    predict(source, output, model=MODEL, resume=True, **options)
    resumed = output.read_bytes(), (tmp_path / "p.tif").read_bytes()
    predict(source, output, model=MODEL, overwrite=True, **options)
    assert output.read_bytes() == resumed[0]
    assert (tmp_path / "p.tif").read_bytes() == resumed[1]
    assert one(predict(source, output, model=MODEL, resume=True, **options)).skipped
    os.utime(source, (time.time() + 10, time.time() + 10))
    with pytest.raises(LandsegError):
        predict(source, output, model=MODEL, resume=True, **options)


def test_an_interrupted_run_keeps_what_it_needs_to_go_on(
    write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_raster(noise(200, 200))
    real, calls = Runner.run, [0]

    def interrupted(self: Runner, batch: Any) -> Any:
        calls[0] += 1
        if calls[0] > 20:
            raise KeyboardInterrupt
        return real(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Runner, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            predict(source, tmp_path / "o.tif", model=MODEL, window=64, runtime="torch", **QUICK)
    assert not (tmp_path / "o.tif").exists()
    predict(source, tmp_path / "o.tif", model=MODEL, window=64, runtime="torch", resume=True, **QUICK)
    np.testing.assert_array_equal(read(tmp_path / "o.tif"), expected(noise(200, 200)))


def test_memory_kept_by_an_earlier_run_does_not_shrink_the_next_ones_plan(
    write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_raster(noise(300, 300), "m.tif")
    first = predict(source, tmp_path / "a.tif", model=MODEL, dry_run=True, device="cpu")
    monkeypatch.setattr("landseg.runtime.memory.resident_bytes", lambda: 5 << 30)  # as after a large window
    again = predict(source, tmp_path / "a.tif", model=MODEL, dry_run=True, device="cpu")
    assert (again.window, again.memory_mib) == (first.window, first.memory_mib)


def test_what_no_run_can_begin_with_is_refused(write_raster: Write, tmp_path: Path) -> None:
    source = write_raster(noise(20, 20))
    for output, more, said in (
        ("", {}, "the output has no name"),
        (tmp_path / "o.tif", {"finished": 3}, "finished 3: expected a function"),
        (tmp_path / "o.tif", {"threads": 30_000}, "threads 30,000: expected 1,024 at most"),
    ):
        with pytest.raises(LandsegError, match=said):
            predict(source, output, model=MODEL, **more)
    assert sorted(path.name for path in tmp_path.iterdir()) == [source.name]
