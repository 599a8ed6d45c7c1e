"""`landseg predict` as a program: its two streams, its exit codes, its arguments."""

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from landseg.geo.rasters.mosaic import open_source
from landseg.models.named import NamedModel
from tests.parts.coco_panoptic import read_panoptic
from tests.parts.commands import FAST, run
from tests.parts.places import HALF_METRE, UTM
from tests.parts.predicting import expected, noise, read
from tests.parts.things import hills, things_model

pytestmark = pytest.mark.usefixtures("small_default_model")
Write = Callable[..., Path]


def test_json_is_one_object_and_nothing_else(write_raster: Write, tmp_path: Path) -> None:
    pixels = noise(90, 100)
    code, out, err = run(
        "predict", write_raster(pixels), "-o", tmp_path / "o.tif", "--window", "64x96", "--json", *FAST
    )
    assert code == 0, err
    found = json.loads(out)
    wanted = {"output", "mode", "window", "halo", "pixels", "seconds", "overlap_cost", "disagreement"}
    assert wanted <= set(found)
    assert found["window"] == [64, 96] and found["mode"] == "exact"
    assert "100.0 %" in err and "Mpx/s" in err
    np.testing.assert_array_equal(read(tmp_path / "o.tif"), expected(pixels))


def test_words_without_json(write_raster: Write, tmp_path: Path) -> None:
    code, out, _ = run("predict", write_raster(noise(50, 60)), "-o", tmp_path / "o.tif", *FAST)
    assert code == 0 and "o.tif" in out and "exact" in out


def test_a_refusal_is_one_sentence_and_exit_1(write_raster: Write, tmp_path: Path) -> None:
    code, out, err = run("predict", write_raster(noise(50, 60)), "-o", tmp_path / "o.tif", "--halo", "18", *FAST)
    assert code == 1 and out == ""
    assert "use 20" in err and "Traceback" not in err
    assert not (tmp_path / "o.tif").exists()


def test_a_folder_of_sources(write_raster: Write, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_raster(noise(30, 40), "in/a.tif")
    write_raster(noise(30, 40), "in/b.tif")
    code, out, _ = run("predict", tmp_path / "in", "-o", f"{tmp_path}/out/", "--json", *FAST)
    assert code == 0
    assert [Path(one["output"]).name for one in json.loads(out)["predictions"]] == ["a.tif", "b.tif"]
    (tmp_path / "in" / "c.tif").write_bytes(b"no raster")
    code, out, err = run("predict", f"{tmp_path}/in/*.tif", "-o", f"{tmp_path}/new/", "--json", *FAST)
    assert code == 1 and len(json.loads(out)["failures"]) == 1 and "c.tif" in err


def zarr_store(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(exist_ok=True)
    count, height, width = pixels.shape
    place = {"crs": UTM, "transform": HALF_METRE}
    size = {"count": count, "height": height, "width": width, "dtype": pixels.dtype}
    with rasterio.open(path, "w", driver="Zarr", **size, **place) as raster:
        raster.write(pixels)
    return path


def test_a_folder_that_is_one_raster_is_that_raster(tmp_path: Path) -> None:
    """`landseg info scene.zarr` says that the model reads it: so it does."""
    pixels = noise(30, 40)
    store = zarr_store(tmp_path / "in" / "scene.zarr", pixels)
    assert run("predict", store, "-o", tmp_path / "o.tif", *FAST)[0] == 0
    np.testing.assert_array_equal(read(tmp_path / "o.tif"), expected(pixels))
    code, out, _ = run("predict", tmp_path / "in", "-o", f"{tmp_path}/out/", "--json", *FAST)
    assert code == 0 and [Path(one["output"]).name for one in json.loads(out)["predictions"]] == ["scene.tif"]
    before = fingerprint(store)
    next(store.rglob("0.0.0")).write_bytes(b"")  # a part changes, of which GDAL names none
    assert fingerprint(store) != before


def fingerprint(path: Path) -> str:
    with open_source(path) as source:
        return json.dumps(source.fingerprint())


def test_a_store_of_several_rasters_is_told_to_name_one(tmp_path: Path) -> None:
    place = {"crs": UTM, "transform": HALF_METRE, "count": 2, "height": 9, "width": 9, "dtype": "uint8"}
    with rasterio.open(tmp_path / "s.zarr", "w", driver="Zarr", SINGLE_ARRAY="NO", **place) as raster:
        raster.write(noise(9, 9)[:2])
    code, _, err = run("predict", tmp_path / "s.zarr", "-o", tmp_path / "o.tif")
    assert code == 1 and err.endswith(f"no bands of its own: name a part, such as ZARR:{tmp_path}/s.zarr:/Band1\n")


def test_bands_in_a_file_each_are_stacked(write_raster: Write, tmp_path: Path) -> None:
    pixels = noise(30, 40)
    files = [write_raster(pixels[n], f"B0{n + 2}.tif") for n in range(3)]
    code, _, err = run("predict", *files, "-o", tmp_path / "o.tif", *FAST)
    assert code == 1 and "--stack" in err and "gdalbuildvrt -separate" in err
    code, _, err = run("predict", *files, "--stack", "-o", tmp_path / "o.tif", *FAST)
    assert code == 0 and "reads red from B02, green from B03, blue from B04" in err
    np.testing.assert_array_equal(read(tmp_path / "o.tif"), expected(pixels))
    with rasterio.open(tmp_path / "o.tif") as made:
        assert "B04.tif --stack --model small" in made.tags()["LANDSEG_COMMAND"]
    code, _, err = run("predict", *files, "--stack", "-o", f"{tmp_path}/out/", *FAST)
    assert code == 1 and "--stack makes one raster of all sources: name OUT.tif" in err
    assert run("verify", *files, "--stack", "--device", "cpu", "--size", "20")[0] == 0


def test_a_gap_in_a_virtual_raster_becomes_no_class(write_raster: Write, tmp_path: Path) -> None:
    pixels = noise(30, 40)
    write_raster(pixels, "a.tif")
    source = '<SourceFilename relativeToVRT="1">a.tif</SourceFilename><SourceBand>{}</SourceBand>'
    source = f"<SimpleSource>{source}</SimpleSource>"
    band = f'<VRTRasterBand dataType="Byte">{source}</VRTRasterBand>'
    bands = "".join(band.format(number) for number in (1, 2, 3))
    (tmp_path / "s.vrt").write_text(f'<VRTDataset rasterXSize="60" rasterYSize="50">{bands}</VRTDataset>')
    assert run("predict", tmp_path / "s.vrt", "-o", tmp_path / "o.tif", *FAST)[0] == 0
    there = np.zeros((50, 60), bool)
    there[:30, :40] = True
    found = read(tmp_path / "o.tif")
    np.testing.assert_array_equal(found != 0, there)
    np.testing.assert_array_equal(found, expected(np.pad(pixels, ((0, 0), (0, 20), (0, 20))), valid=there))


def test_two_sources_of_one_name_in_either_form_of_accents_are_refused(write_raster: Write, tmp_path: Path) -> None:
    names = [unicodedata.normalize(form, "Zürich.tif") for form in ("NFC", "NFD")]
    files = [write_raster(noise(9, 9), name) for name in names]
    code, _, err = run("predict", *files, "-o", f"{tmp_path}/out/", *FAST)
    assert code == 1 and "two sources are named" in err


def test_patterns_and_folders_without_rasters_are_refused(tmp_path: Path) -> None:
    assert run("predict", f"{tmp_path}/*.tif", "-o", tmp_path / "o.tif")[0] == 1
    code, _, err = run("predict", tmp_path, "-o", tmp_path / "o.tif")
    assert code == 1 and "holds no raster" in err


def test_wrong_usage_is_exit_2(write_raster: Write, tmp_path: Path) -> None:
    code, _, err = run("predict", write_raster(noise(9, 9)), "-o", tmp_path / "o.tif", "--workers", "many")
    assert code == 2 and "--workers" in err


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("--bands", "a,b", "--bands a,b: expected numbers such as 3,2,1"),
        ("--workers", "0", "workers 0: expected a whole number, 1 or more"),
        ("--memory", "0", "memory 0: expected a whole number, 1 or more"),
        ("--resolution", "nan", "--resolution nan: expected a positive number of metres"),
        ("--resolution", "-1", "--resolution -1.0: expected a positive number of metres"),
    ],
)
def test_values_that_mean_nothing_are_one_sentence(
    name: str, value: str, sentence: str, write_raster: Write, tmp_path: Path
) -> None:
    code, out, err = run("predict", write_raster(noise(9, 9)), "-o", tmp_path / "o.tif", name, value, *FAST)
    assert code == 1 and out == "" and sentence in err and err.count("\n") == 1


def test_a_dry_run_says_that_nothing_is_written(write_raster: Write, tmp_path: Path) -> None:
    code, out, _ = run("predict", write_raster(noise(50, 60)), "-o", tmp_path / "o.tif", "--dry-run", *FAST)
    assert code == 0 and "nothing written" in out
    assert all(word in out for word in ("strips", "columns", "memory", "disk", "time"))
    assert not (tmp_path / "o.tif").exists()


def test_objects_of_each_raster_of_a_folder(
    write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landseg.models.named.named_model", lambda _: NamedModel(things_model()))
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        write_raster(hills(60, 70, seed=ord(name)), f"in/{name}.tif")
    options = ["--instances", f"{tmp_path}/ids/", "--score", "0.4", "--min-area", "2.5"]
    code, out, err = run("predict", tmp_path / "in", "-o", f"{tmp_path}/maps/", *options, "--quiet", *FAST)
    assert code == 0, err
    assert sorted(path.name for path in (tmp_path / "ids").iterdir()) == ["a.tif", "b.tif"]
    said = [line for line in out.splitlines() if line.startswith("objects  ")]
    assert len(said) == 2 and all("below --score 0.4" in line and "smaller than 2.5 m2" in line for line in said)
    code, out, err = run("predict", tmp_path / "in/a.tif", "-o", tmp_path / "m.tif", *options[2:], *FAST)
    assert code == 1 and "--score is about objects and none are written" in err and "Traceback" not in err
    assert not (tmp_path / "m.tif").exists()


def test_a_panoptic_map_as_a_folder(write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, wanted = write_raster(hills(130, 70)), ("--panoptic", f"{tmp_path}/pan/", "--panoptic-tile", "64")
    code, out, err = run("predict", scene, "-o", tmp_path / "m.tif", *wanted, *FAST)  # a model of classes alone
    assert code == 1 and "leave out --panoptic" in err and "Traceback" not in err and out == ""
    monkeypatch.setattr("landseg.models.named.named_model", lambda _: NamedModel(things_model()))
    code, out, err = run("predict", scene, "-o", tmp_path / "m.tif", *wanted, "--quiet", "--json", *FAST)
    assert code == 0, err
    assert json.loads(out)["files"] == [f"{tmp_path}/m.tif", f"{tmp_path}/pan"]
    assert len(read_panoptic(tmp_path / "pan").table["images"]) == 6
    code, out, err = run("predict", scene, "-o", tmp_path / "n.tif", *wanted, *FAST)
    assert code == 1 and "pan exists: choose another output, or replace it with --overwrite" in err


def test_the_second_pass_has_a_line_of_progress(
    write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landseg.models.named.named_model", lambda _: NamedModel(things_model()))
    files = ("-o", tmp_path / "m.tif", "--instances", tmp_path / "ids.tif")
    with (tmp_path / "log.txt").open("w"):
        code, _, err = run("predict", write_raster(hills(60, 70)), *files, "--log", tmp_path / "log.txt", *FAST)
    assert code == 0, err
    assert "grouping  100.0 %" in (tmp_path / "log.txt").read_text()
