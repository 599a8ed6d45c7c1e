"""Imagery of palette indices: refused by whatever reads imagery, in the same words; labels and greys are not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from typer.testing import CliRunner

import landseg.geo.rasters.bands
from landseg.cli.main import app
from landseg.data import inspect_data
from landseg.errors import BandError, LandsegError, TrainingError
from landseg.geo.rasters.mosaic import open_source
from landseg.geo.rasters.source import FileSource
from landseg.labels.image_lists import Item
from landseg.labels.legend import read_class_table
from landseg.predict import predict
from landseg.report.raster_facts import raster_facts
from landseg.scenes.opening import ImageLabelOptions
from landseg.training.overrides import Overrides
from landseg.training.recipe_from_files import DataFiles
from landseg.verify import verify
from tests.parts.opened import open_items
from tests.parts.places import HALF_METRE
from tests.parts.predicting import QUICK, small_model

CURE = r"holds palette indices, .*gdal_translate -expand rgb"
GREY = {value: (value, value, value, 255) for value in range(256)}
COLORS = {value: (value, 255 - value, 7, 255) for value in range(256)}
Paint = Callable[..., Path]


@pytest.fixture
def paint(tmp_path: Path) -> Paint:
    """Writes indices with a colour table, as maps and GIFs come."""

    def write(name: str, table: dict[int, tuple[int, ...]] = COLORS, *, most: int = 255) -> Path:
        pixels = np.random.default_rng(0).integers(0, most + 1, (1, 40, 40)).astype(np.uint8)
        place = {"crs": "EPSG:32633", "transform": HALF_METRE, "count": 1, "height": 40, "width": 40}
        with rasterio.open(tmp_path / name, "w", driver="GTiff", dtype="uint8", **place) as file:
            file.write(pixels)
            file.write_colormap(1, table)
        return tmp_path / name

    return write


@pytest.fixture
def labels(write_raster: Callable[..., Path], tmp_path: Path) -> Path:
    half = np.ones((40, 40), np.uint8)
    half[:, 20:] = 2
    (tmp_path / "classes.toml").write_text('[[classes]]\nvalue = 1\nname = "a"\n[[classes]]\nvalue = 2\nname = "b"\n')
    return write_raster(half, "labels.tif", nodata=0)


def listed(folder: Path, image: Path, labels: Path) -> DataFiles:
    (folder / "list.csv").write_text(f"image,labels\n{image},{labels}\n")
    return DataFiles((str(folder / "list.csv"),), classes=folder / "classes.toml")


@pytest.mark.parametrize("bands", [1, 3])
def test_predict_and_verify(paint: Paint, tmp_path: Path, bands: int) -> None:
    image = paint("map.tif")
    for call in (
        lambda: predict(image, tmp_path / "o.tif", model=small_model(bands), **QUICK),
        lambda: verify(image, model=small_model(bands)),
    ):
        with pytest.raises(BandError, match=rf"map\.tif {CURE}"):
            call()
    assert not (tmp_path / "o.tif").exists()


def test_a_member_of_a_mosaic(paint: Paint, write_raster: Callable[..., Path], tmp_path: Path) -> None:
    grey = write_raster(np.full((40, 40), 9, np.uint8), "grey.tif")
    with pytest.raises(BandError, match=rf"map\.tif {CURE}"):
        predict([grey, paint("map.tif")], tmp_path / "o.tif", model=small_model(1), **QUICK)


def assert_train_refuses(paint: Paint, labels: Path, folder: Path) -> None:
    with pytest.raises(BandError, match=rf"map\.tif {CURE}"):
        Overrides().recipe(listed(folder, paint("map.tif"), labels), None, name="m")


def test_train_on_images_and_labels(paint: Paint, labels: Path, tmp_path: Path) -> None:
    assert_train_refuses(paint, labels, tmp_path)


def test_the_check_notices_indices_that_are_learned(
    paint: Paint, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twin: where nothing tells indices from brightness, training goes on."""
    monkeypatch.setattr(landseg.geo.rasters.bands, "_is_grey", lambda file, number: True)
    with pytest.raises(pytest.fail.Exception):
        assert_train_refuses(paint, labels, tmp_path)


def test_train_on_a_recipes_scenes(paint: Paint, labels: Path, tmp_path: Path) -> None:
    options = ImageLabelOptions(read_class_table(tmp_path / "classes.toml"))
    with pytest.raises(BandError, match=CURE):
        open_items([Item(paint("map.tif"), labels)], options)


def test_data(paint: Paint, labels: Path, tmp_path: Path) -> None:
    data = listed(tmp_path, paint("map.tif"), labels)
    with pytest.raises(TrainingError, match=CURE):
        inspect_data(data.images, None, classes=data.classes)
    good = paint("grey.tif", GREY)
    (tmp_path / "list.csv").write_text(f"image,labels\n{good},{labels}\n{tmp_path / 'map.tif'},{labels}\n")
    found = inspect_data(data.images, None, classes=data.classes)
    assert [one.name for one in found.files] == ["grey"]
    (said,) = [one.text for one in found.findings if one.kind == "unreadable"]
    assert said.startswith("map.tif holds palette indices")


def test_info_says_that_no_model_reads_it(paint: Paint) -> None:
    told = raster_facts(paint("map.tif"), model="landcover-rgb")["model"]
    assert not told["fits"] and "-expand rgb" in told["reason"]


def test_commands_end_with_the_sentence(paint: Paint, labels: Path, tmp_path: Path) -> None:
    listed(tmp_path, paint("map.tif"), labels)
    common = [str(tmp_path / "list.csv"), "--classes", str(tmp_path / "classes.toml")]
    for arguments in (["data", *common], ["train", *common, "-o", str(tmp_path / "m.safetensors")]):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 1 and "gdal_translate -expand rgb" in result.output.replace("\n", " ")
    assert not list(tmp_path.glob("m.*"))


def test_a_grey_table_is_brightness(paint: Paint, labels: Path, tmp_path: Path) -> None:
    grey = paint("grey.tif", GREY)
    with FileSource(grey) as source:
        assert source.colorinterp == ("palette",) and source.indexed is None
    predict(grey, tmp_path / "o.tif", model=small_model(1), **QUICK)
    Overrides().recipe(listed(tmp_path, grey, labels), None, name="m")


def test_labels_with_a_palette_are_labels(
    paint: Paint, write_raster: Callable[..., Path], labels: Path, tmp_path: Path
) -> None:
    colored = paint("colored.tif", {0: (0, 0, 0, 0), 1: (255, 0, 0, 255), 2: (0, 0, 255, 255)}, most=2)
    image = write_raster(np.random.default_rng(1).integers(0, 255, (3, 40, 40)).astype(np.uint8), "image.tif")
    data = listed(tmp_path, image, colored)
    recipe = Overrides().recipe(data, None, name="m")
    assert recipe.classes.names == ("a", "b")
    found = inspect_data(data.images, None, classes=data.classes, ignore=(0,))
    assert sum(one.pixels for one in found.classes) > 900
    with open_source([colored, colored]) as source:
        assert source.indexed == "colored.tif"
    assert issubclass(BandError, LandsegError)
