"""`landseg info`: facts about rasters and models, and whether the two fit."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from PIL import Image
from typer.testing import CliRunner, Result

from landseg.cli.main import app
from landseg.errors import BandError, GridError
from landseg.models import shipped
from landseg.models.card import Band, DataSource, Field, Metrics, Training
from landseg.models.compatibility import incompatibility
from landseg.report.receptive_field import EDGE, OUTSIDE, PANEL
from tests.parts.sample_models import make_card, save_small_model

RGB = tuple(Band(name, name, 100.0, 50.0) for name in ("red", "green", "blue"))


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def facts(*arguments: str | Path) -> dict[str, Any]:
    """What `info --json` prints: one object and nothing else."""
    result = run("info", *arguments, "--json")
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    return json.loads(line)


@pytest.fixture(scope="module")
def rgb_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "rgb.safetensors"
    save_small_model(path, name="three", bands=RGB, dtypes=("uint8",))
    return path


def test_a_raster_in_words(rgb_raster: Path, rgb_model: Path) -> None:
    result = run("info", rgb_raster, "--model", rgb_model)
    assert result.exit_code == 0, result.output
    for part in ("112 x 80 px, GTiff", "EPSG:32633", "0.5 m a pixel", "band 3", "uint8, blue", "three can read it"):
        assert part in result.stdout


def test_a_raster_in_json(write_raster: Callable[..., Path], rgb_model: Path) -> None:
    path = write_raster(
        np.ones((2, 512, 300), "uint16"),
        nodata=7,
        tiled=True,
        blockxsize=128,
        blockysize=256,
        descriptions=("depth", "height"),
    )
    found = facts(path)
    assert (found["kind"], found["width"], found["height"]) == ("raster", 300, 512)
    assert [band["name"] for band in found["bands"]] == ["depth", "height"]
    assert {(band["dtype"], band["nodata"]) for band in found["bands"]} == {("uint16", 7.0)}
    assert found["crs"] == "EPSG:32633" and found["georeference"] == "north-up"
    assert found["resolution_m"] == pytest.approx(0.5, rel=1e-2)
    assert found["bounds"] == [500_000, 5_399_744, 500_150, 5_400_000]
    assert found["block"] == [256, 128] and found["overviews"] == []
    assert found["validity"] == "nodata value" and found["provenance"] == {}
    verdict = facts(path, "-m", rgb_model)["model"]
    assert not verdict["fits"] and "reads 3 bands (red, green, blue), the raster has 2" in verdict["reason"]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # from writing the raster
@pytest.mark.parametrize(
    ("options", "georeference", "crs"),
    [
        ({"transform": Affine(1, 0, 5, 0, 1, 5)}, "south-up", "EPSG:32633"),
        ({"transform": Affine.rotation(30) @ Affine.scale(1, -1)}, "rotated", "EPSG:32633"),
        ({"crs": None}, "none", None),
    ],
)
def test_where_a_raster_lies(
    write_raster: Callable[..., Path], options: dict[str, Any], georeference: str, crs: str | None
) -> None:
    found = facts(write_raster(np.ones((8, 9), "uint8"), **options))
    assert (found["georeference"], found["crs"]) == (georeference, crs)
    assert (found["resolution_m"] is None) == (crs is None)


def test_what_says_where_there_is_data(write_raster: Callable[..., Path]) -> None:
    pixels = np.ones((4, 8, 9), "uint8")
    assert facts(write_raster(pixels[:3], "plain.tif"))["validity"].startswith("none declared")
    assert facts(write_raster(pixels[:3], "mask.tif", valid=pixels[0] > 0))["validity"] == "mask"
    rgba = write_raster(pixels, "alpha.tif", photometric="RGB", alpha="YES")
    assert facts(rgba)["validity"] == "alpha band"


def test_alpha_is_no_band_to_read_and_colours_are_found(write_raster: Callable[..., Path], rgb_model: Path) -> None:
    rgba = write_raster(np.ones((4, 8, 9), "uint8"), photometric="RGB", alpha="YES")
    assert facts(rgba, "-m", rgb_model)["model"] == {"name": "three", "fits": True, "reason": None}
    grey = write_raster(np.ones((2, 8, 9), "uint8"), "grey.tif", photometric="MINISBLACK", alpha="YES")
    assert "the raster has 1:" in facts(grey, "-m", rgb_model)["model"]["reason"]


def test_an_output_tells_how_it_was_made(write_raster: Callable[..., Path]) -> None:
    import rasterio

    path = write_raster(np.ones((8, 9), "uint8"))
    with rasterio.open(path, "r+") as raster:
        raster.update_tags(LANDSEG_VERSION="0.1.0", OTHER="x")
    assert facts(path)["provenance"] == {"LANDSEG_VERSION": "0.1.0"}
    assert "LANDSEG_VERSION" in run("info", path).stdout


def test_no_model_is_held_against_a_map_of_classes(write_raster: Callable[..., Path]) -> None:
    import rasterio

    path = write_raster(np.ones((8, 9), "uint8"))
    assert "fits" in run("info", path).stdout  # the twin: a raster of brightness, as far as anybody knows
    with rasterio.open(path, "r+") as raster:
        raster.write_colormap(1, {1: (0, 0, 255, 255)})
        raster.update_tags(LANDSEG_CLASSES='{"classes": [{"value": 1, "name": "water"}], "ignore": []}')
    assert facts(path)["model"] is None and "fits" not in run("info", path).stdout


def test_what_is_not_stated_of_a_source_leaves_no_brackets(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    for licence, credit, words in (
        ("unstated", "", "tiles (licence not stated)"),
        ("CC0-1.0", "", "tiles (CC0-1.0)"),
        ("CC0-1.0", "somebody", "tiles (CC0-1.0; somebody)"),
    ):
        path.unlink(missing_ok=True)
        save_small_model(path, training=Training((DataSource("tiles", licence, credit),)))
        assert words in run("info", path).stdout


def test_a_model_in_words_and_json(rgb_model: Path) -> None:
    found = facts(rgb_model)
    assert (found["kind"], found["name"], found["exact"]) == ("model", "three", True)
    assert found["bytes"] == rgb_model.stat().st_size and len(found["sha256"]) == 64
    words = run("info", rgb_model).stdout
    for part in ("Water or not.", "red: (value - 100) / 50", "class 2", "bare land (#c8965a)", "CC0-1.0"):
        assert part in words
    for part in ("tile 8, kept out", "iou 0.750", "Fails on ice.", f"halo of {found['receptive_field']['halo']} px"):
        assert part in words


def test_a_model_without_exact_tiling_or_figures_says_so(tmp_path: Path) -> None:
    path = tmp_path / "pooled.safetensors"
    save_small_model(
        path,
        arch="deeplab-v3plus",
        options={"image_pooling": True, "decoder_channels": 16},
        training=None,
        metrics=Metrics("nothing", {"miou": float("nan")}),
    )
    assert facts(path)["exact"] is False and facts(path)["metrics"]["overall"] == {"miou": None}
    words = run("info", path).stdout
    assert "approximate" in words and "without bound (layer" in words and "miou -" in words


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("missing.tif", "missing.tif: no such file"),
        ("missing.safetensors", "no model "),
        ("text.tif", "expected a raster"),
        ("text.safetensors", "truncated"),
        ("text.pth", "never loads because a pickle runs code"),
    ],
)
def test_what_is_neither_ends_with_one_sentence(tmp_path: Path, name: str, sentence: str) -> None:
    if name.startswith("text"):
        (tmp_path / name).write_text("hello")
    result = run("info", tmp_path / name, "--json")
    assert result.exit_code == 1 and result.stdout == ""
    assert sentence in result.stderr and result.stderr.count("\n") == 1


def test_a_raster_with_a_pickles_suffix_is_a_raster(write_raster: Callable[..., Path], tmp_path: Path) -> None:
    found = facts(write_raster(np.ones((2, 8, 9), "uint8"), "scene.bin", driver="ENVI"))
    assert (found["kind"], found["driver"], found["width"], len(found["bands"])) == ("raster", "ENVI", 9, 2)
    (tmp_path / "weights.bin").write_bytes(b"PK\x03\x04 and so on")
    assert "is a PyTorch pickle" in run("info", tmp_path / "weights.bin").stderr


def test_the_model_named_by_hand_must_exist(rgb_raster: Path) -> None:
    result = run("info", rgb_raster, "--model", "unheard-of")
    assert result.exit_code == 1 and "no model 'unheard-of'" in result.stderr


def test_the_default_model_is_held_against_rasters_where_it_ships(rgb_raster: Path) -> None:
    verdict = facts(rgb_raster)["model"]
    assert verdict is None if shipped.DEFAULT not in shipped.names() else verdict["fits"]


def test_misfits_name_what_was_expected_and_found() -> None:
    card = make_card(resolution_m=1.0, receptive_field=Field(9, 4, 0.0, 8))
    assert incompatibility(card, bands=2, dtype="uint16", resolution_m=0.25) is None
    assert incompatibility(card, bands=2, dtype="uint8", resolution_m=None) is None
    for bands, dtype, metres, kind, sentence in (
        (1, "uint8", 1.0, BandError, "reads 2 bands (red, b8), the raster has 1"),
        (3, "uint8", 1.0, BandError, "name the ones to use, in this order, with --bands"),
        (2, "int16", 1.0, BandError, "reads uint8 or uint16 pixels, the raster has int16"),
        (2, "uint8", 0.2, GridError, "the raster has 0.2 m: 5 times apart"),
        (2, "uint8", 4.1, GridError, "4.1 times apart, more than 4; say with --resolution"),
    ):
        problem = incompatibility(card, bands=bands, dtype=dtype, resolution_m=metres)
        assert isinstance(problem, kind) and sentence in str(problem)
    assert incompatibility(make_card(bands=RGB), bands=5, dtype="uint8") is None


def test_what_each_layer_sees_in_words_and_json(rgb_model: Path) -> None:
    found = facts(rgb_model, "--receptive-field")
    assert "effective" not in found
    first, last = found["layers"][0], found["layers"][-1]
    assert first == {
        "name": "encoder.body.model.conv_stem", "kind": "Conv2d", "size": 3, "stride": 2.0, "offset": 0.0,
        "apart": 0.0,
    }  # fmt: skip
    field = found["receptive_field"]
    assert (last["size"], last["stride"], last["offset"]) == (field["size"], 1.0, 0.0)
    lines = run("info", rgb_model, "--receptive-field").stdout.splitlines()
    table = lines[next(i for i, line in enumerate(lines) if line.split()[:2] == ["layer", "kind"]) + 1 :]
    assert table[0].split() == ["encoder.body.model.conv_stem", "Conv2d", "3", "px", "2", "0"]
    assert len(table) == len(found["layers"]) and table[-1].split()[-4:] == [str(field["size"]), "px", "1", "0"]
    assert "layers" not in facts(rgb_model)  # twin: not unless asked for


def test_the_field_is_drawn_over_a_raster(tmp_path: Path, rgb_raster: Path, rgb_model: Path) -> None:
    picture = tmp_path / "field.png"
    found = facts(rgb_model, "--draw", picture, "--over", rgb_raster, "--at", "100,5")
    with Image.open(picture) as image:
        assert image.format == "PNG" and image.size == (EDGE + PANEL, EDGE)
        middle = np.asarray(image.crop((0, 0, EDGE, EDGE)).convert("RGB"))
    assert found["layers"] and found["effective"]["column"] == 100 and found["effective"]["row"] == 5
    seen = found["effective"]
    assert seen["class_name"] in ("water", "bare land") and 1 <= seen["half"] <= seen["nine_tenths"]
    assert seen["window"] == [80, 112]
    # The raster lies to the left of and below the pixel: 100 of its 112 columns, 74 of its 80 rows.
    inside = (middle != OUTSIDE).any(-1)
    assert inside[460:500, 380:440].all()
    assert inside[460:500, 540:620].mean() < 0.2 and inside[20:60, 20:60].mean() < 0.2  # but for lines
    before = picture.read_bytes()
    again = run("info", rgb_model, "--draw", picture, "--over", rgb_raster)
    assert again.exit_code == 1 and again.stdout == "" and "replace it with --overwrite" in again.stderr
    assert picture.read_bytes() == before
    result = run("info", rgb_model, "--draw", picture, "--over", rgb_raster, "--overwrite")
    assert result.exit_code == 0 and "column 56, row 40 lies in" in " ".join(result.stdout.split())
    assert picture.read_bytes() != before
    before = picture.read_bytes()
    result = run("info", rgb_model, "--draw", picture, "--over", picture, "--overwrite")
    assert result.exit_code == 1 and "is an input of this run" in result.stderr and picture.read_bytes() == before


def test_an_unbounded_field_is_called_so_and_drawn_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "pooled.safetensors"
    options = {"image_pooling": True, "decoder_channels": 16}
    save_small_model(path, arch="deeplab-v3plus", options=options)
    found = facts(path, "--draw", tmp_path / "f.png")
    assert found["layers"][-1]["size"] is None and found["layers"][-1]["offset"] is None
    assert (tmp_path / "f.png").stat().st_size > 1000
    assert run("info", path, "--receptive-field").stdout.splitlines()[-1].split()[-3:] == ["unbounded", "1", "-"]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("--draw", "{}/f.jpg"), 1, "ends in .png, got 'f.jpg': use f.png"),
        (("--draw", "{}/no/f.png"), 1, "has no folder: make"),
        (("--draw", "{}/f.png", "--over", "{}/none.tif"), 1, "none.tif: no such file"),
        (("--draw", "{}/f.png", "--over", "{raster}", "--at", "112,5"), 1, "has no pixel at column 112, row 5"),
        (("--draw", "{}/f.png", "--over", "{two}"), 1, "reads 3 bands (red, green, blue), the raster has 2"),
        (("--draw", "{}/f.png", "--over", "{empty}"), 1, "has no data at column 4, row 4: choose another pixel"),
        (("--over", "{raster}"), 2, "--over goes with --draw"),
        (("--at", "3,4"), 2, "--at is a pixel of the raster"),
        (("--draw", "{}/f.png", "--over", "{raster}", "--at", "3;4"), 2, "--at takes COLUMN,ROW"),
    ],
)
def test_pictures_that_cannot_be_drawn_get_a_sentence(
    tmp_path: Path,
    write_raster: Callable[..., Path],
    rgb_raster: Path,
    rgb_model: Path,
    arguments: tuple[str, ...],
    code: int,
    sentence: str,
) -> None:
    rasters = {
        "raster": rgb_raster,
        "two": write_raster(np.ones((2, 8, 9), "uint8"), "two.tif"),
        "empty": write_raster(np.zeros((3, 8, 9), "uint8"), "empty.tif", nodata=0, photometric="RGB"),
    }
    before = sorted(tmp_path.iterdir())
    result = run("info", rgb_model, *(argument.format(tmp_path, **rasters) for argument in arguments))
    said = " ".join(result.stderr.replace("\u2502", " ").split())
    assert result.exit_code == code and result.stdout == "" and sentence in said
    assert sorted(tmp_path.iterdir()) == before


def test_a_raster_has_no_receptive_field(rgb_raster: Path) -> None:
    result = run("info", rgb_raster, "--receptive-field")
    assert result.exit_code == 2 and "a receptive field is a model's" in " ".join(result.stderr.split())


def test_a_folder_that_may_not_be_written_to(tmp_path: Path, rgb_model: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0o555)
    shut = Path("/proc/self") if os.geteuid() == 0 else tmp_path / "shut"  # root may write nearly everywhere
    result = run("info", rgb_model, "--draw", shut / "f.png")
    assert result.exit_code == 1 and result.stdout == ""
    assert "cannot write" in result.stderr and "choose a folder that you may write to" in result.stderr
