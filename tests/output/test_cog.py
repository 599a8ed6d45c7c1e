"""COGs of every odd grid: valid, on the same grid, with colours, names, tags and overviews."""

import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rio_cogeo.cogeo import cog_validate

from landseg.classes import ClassMap, LandClass
from landseg.errors import OutputError
from landseg.geo.grid import ControlPoint, Grid
from landseg.geo.rasters.raster import RasterFile
from landseg.output.cog import check_cog, vrt_text
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.output.styles import aux_text, raster_qml
from landseg.output.targets import Targets

CLASSES = ClassMap((LandClass(1, "building", (200, 30, 30)), LandClass(4, "a < b & c", (90, 91, 92))))
UTM = CRS.from_epsg(32633)
NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)
POINTS = tuple(
    ControlPoint(row, col, 500_000 + 2 * col + 0.3 * row, 5_400_000 - 2 * row + 0.1 * col)
    for row in (0, 300)
    for col in (0, 620)
)
GRIDS = {
    "small": Grid(UTM, NORTH_UP, 90, 70),
    "one pixel": Grid(UTM, NORTH_UP, 1, 1),
    "one block": Grid(UTM, NORTH_UP, 512, 512),
    "a pixel more": Grid(UTM, NORTH_UP, 513, 513),
    "wide": Grid(UTM, NORTH_UP, 5000, 7),
    "tall": Grid(UTM, NORTH_UP, 7, 5000),
    "south-up": Grid(UTM, Affine(0.5, 0, 500_000, 0, 0.5, 5_400_000), 620, 300),
    "rotated": Grid(UTM, Affine(0.5, 0.2, 500_000, 0.2, -0.5, 5_400_000), 620, 300),
    "geographic": Grid(CRS.from_epsg(4326), Affine(1e-5, 0, 10, 0, -1e-5, 50), 620, 300),
    "control points": Grid.from_control_points(UTM, POINTS, width=620, height=300),
    "no CRS": Grid(None, Affine(2, 0, 10, 0, -2, 10), 620, 300),
    "no georeference": Grid(None, Affine.identity(), 620, 300),
}


def write(folder: Path, grid: Grid, rng: Any) -> list[Layer]:
    layers = [
        Layer.of_classes("classes", folder / "map.tif", CLASSES),
        Layer.of_probs("probs", folder / "probs.tif", CLASSES),
        Layer.of_probs("logits", folder / "logits.tif", CLASSES, dtype="float32"),
    ]
    valid = rng.random(grid.shape) > 0.2
    with Outputs.begin(Targets(layers), grid, signature={}, tags={"model-name": 'x "y" <z>'}) as outputs:
        outputs.write("classes", grid.rect, rng.choice(np.array([1, 4], "uint8"), grid.shape), valid)
        outputs.write("probs", grid.rect, rng.integers(0, 256, (2, *grid.shape), dtype="uint8"), valid)
        outputs.write("logits", grid.rect, rng.random((2, *grid.shape), dtype="float32"), valid)
        outputs.finish()
    return layers


@pytest.mark.parametrize("name", GRIDS)
def test_every_grid_gives_a_valid_cog_on_that_grid(tmp_path: Path, rng: Any, name: str) -> None:
    grid = GRIDS[name]
    for layer in write(tmp_path, grid, rng):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            assert cog_validate(layer.path, strict=True) == (True, [], [])
        raster = RasterFile(layer.path)
        raster.close()
        assert raster.info.grid.same_as(grid)
        assert (raster.info.grid.gcps is None) == (grid.gcps is None)
        assert raster.info.tags["LANDSEG_MODEL_NAME"] == 'x "y" <z>'


def test_overviews_of_classes_are_by_majority_and_of_probabilities_by_mean(tmp_path: Path) -> None:
    grid = Grid(UTM, NORTH_UP, 600, 600)
    layers = [
        Layer.of_classes("classes", tmp_path / "map.tif", CLASSES),
        Layer("confidence", tmp_path / "c.tif", "float32", nodata=float("nan")),
    ]
    values = np.tile(np.array([[1, 4], [4, 4]], "uint8"), (300, 300))
    with Outputs.begin(Targets(layers), grid, signature={}) as outputs:
        outputs.write("classes", grid.rect, values)
        outputs.write("confidence", grid.rect, values.astype("float32"))
        outputs.finish()
    for layer, wanted in zip(layers, (4, 3.25), strict=True):
        with rasterio.open(layer.path, overview_level=0) as raster:
            assert raster.shape == (300, 300)
            assert (raster.read(1) == wanted).all()


def test_colours_and_names_reach_gdal(tmp_path: Path, rng: Any) -> None:
    write(tmp_path, GRIDS["small"], rng)
    with rasterio.open(tmp_path / "map.tif") as raster:
        colors = raster.colormap(1)
        assert colors[1][:3] == (200, 30, 30)
        assert colors[4][:3] == (90, 91, 92)
        assert raster.descriptions == ("class",)
    rasterio.shutil.copy(tmp_path / "map.tif", tmp_path / "seen.vrt", driver="VRT")
    names = [entry.text or "" for entry in Xml.parse(tmp_path / "seen.vrt").iter("Category")]
    assert names == ["nodata", "building", "", "", "a < b & c"]  # as GDAL itself reads them


def test_twin_without_the_sidecar_gdal_knows_no_names(tmp_path: Path, rng: Any) -> None:
    write(tmp_path, GRIDS["small"], rng)
    (tmp_path / "map.tif.aux.xml").unlink()
    rasterio.shutil.copy(tmp_path / "map.tif", tmp_path / "seen.vrt", driver="VRT")
    assert not list(Xml.parse(tmp_path / "seen.vrt").iter("Category"))


def test_the_legend_holds_every_class() -> None:
    style = Xml.fromstring(raster_qml(CLASSES).split("\n", 1)[1])
    entries = [entry.attrib for entry in style.iter("paletteEntry")]
    assert [(e["value"], e["label"], e["color"]) for e in entries] == [
        ("1", "building", "#c81e1e"),
        ("4", "a < b & c", "#5a5b5c"),
    ]
    assert style.find("pipe/rasterrenderer").get("type") == "paletted"  # type: ignore[union-attr]


def test_wide_class_values_work(tmp_path: Path) -> None:
    classes = ClassMap((LandClass(0, "zero", (1, 1, 1)), LandClass(1000, "thousand", (2, 3, 4))))
    layer = Layer.of_classes("classes", tmp_path / "map.tif", classes)
    grid = GRIDS["small"]
    with Outputs.begin(Targets([layer]), grid, signature={}) as outputs:
        outputs.write("classes", grid.rect, np.full(grid.shape, 1000, "uint16"))
        outputs.finish()
    with rasterio.open(layer.path) as raster:
        assert raster.dtypes == ("uint16",)
        assert (raster.read(1) == 1000).all()
        assert raster.colormap(1)[1000][:3] == (2, 3, 4)
    assert aux_text(classes).count("<Category") == classes.nodata + 1 + 1  # one a value, and the list


def test_a_copy_that_was_cut_short_is_refused(tmp_path: Path, rng: Any) -> None:
    layer = write(tmp_path, GRIDS["rotated"], rng)[0]
    check_cog(layer.path, layer, GRIDS["rotated"])
    whole = layer.path.read_bytes()
    for share in (0.0, 0.02, 0.5, 0.98):
        layer.path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(OutputError, match="does not read back"):
            check_cog(layer.path, layer, GRIDS["rotated"])


def test_text_that_xml_cannot_hold_does_not_break_the_output() -> None:
    layer = Layer.of_classes("classes", Path("map.tif"), CLASSES)
    text = vrt_text(layer, GRIDS["small"], "pixels.raw", {"LANDSEG_COMMAND": "a\x00b\udcffc"})
    assert Xml.fromstring(text).find("Metadata/MDI[@key='LANDSEG_COMMAND']").text == "a?b?c"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": "complex64"},
        {"dtype": "uint8", "count": 2, "band_names": ("one",)},
        {"dtype": "float32", "mask": True},
        {"dtype": "uint16", "classes": CLASSES, "nodata": 0},
        {"dtype": "uint8", "classes": CLASSES, "nodata": 9},
    ],
)
def test_layers_that_contradict_themselves(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="layer 'x'"):
        Layer("x", Path("x.tif"), **options)
