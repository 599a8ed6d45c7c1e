"""Class rasters of every dtype and legend as strips, and what is no class raster."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from landseg.errors import BandError, ClassError, GridError, LandsegError
from landseg.vector import classraster
from landseg.vector.classraster import ClassRaster, open_confidence, read_confidence
from tests.parts.vector import CLASSES, GRIDS, write_classes

pytestmark = pytest.mark.usefixtures("quick_disk")

Write = Callable[..., Path]


def whole(path: Path, **options: Any) -> tuple[Any, tuple[str, ...]]:
    """Values with -1 for what is not wanted, and the names of the classes."""
    with ClassRaster(path, **options) as raster:
        strips = list(raster.strips())
        values = np.concatenate(strips).astype(int)
        assert values.shape == raster.grid.shape
        return np.where(values == raster.nodata, -1, values), tuple(entry.name for entry in raster.classes)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "uint32", "float32", "float64"])
@pytest.mark.parametrize("nodata", [None, 0, 7, 255])
def test_whole_numbers_of_any_dtype_are_classes(
    write_raster: Write, rng: Any, monkeypatch: pytest.MonkeyPatch, dtype: str, nodata: int | None
) -> None:
    monkeypatch.setattr(classraster, "STRIP_PIXELS", 40)
    values = rng.choice([0, 3, 7, 200, 255], (13, 17))
    path = write_raster(values.astype(dtype), nodata=nodata)
    found, names = whole(path)
    assert np.array_equal(found, np.where(values == nodata, -1, values))
    assert names == tuple(str(value) for value in (0, 3, 7, 200, 255) if value != nodata)


def test_all_256_values_and_a_mask_fit(write_raster: Write) -> None:
    values = np.arange(256).astype("uint8").reshape(16, 16) // 2
    valid = values % 3 > 0
    found, _ = whole(write_raster(values, valid=valid))
    assert np.array_equal(found, np.where(valid, values.astype(int), -1))


def test_nan_and_declared_nodata_are_no_data(write_raster: Write) -> None:
    values = np.array([[1, np.nan, 2], [-9999, 5, 1]], "float32")
    found, _ = whole(write_raster(values, nodata=-9999))
    assert found.tolist() == [[1, -1, 2], [-1, 5, 1]]
    assert whole(write_raster(values[:1], "b.tif"))[0].tolist() == [[1, -1, 2]]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([[1.0, 2.5]], r"holds 2\.5: expected a class raster of whole numbers 0\.\.65535; classify it first"),
        ([[1.0, -3]], "holds -3: expected a class raster"),
        ([[1.0, 1e6]], "holds 1e\\+06: expected a class raster"),
    ],
)
def test_floats_that_are_no_classes_are_refused(write_raster: Write, values: Any, text: str) -> None:
    with pytest.raises(ClassError, match=text):
        whole(write_raster(np.array(values, "float32")))


def test_ten_thousand_classes_are_refused_unless_some_are_named(write_raster: Write) -> None:
    values = np.arange(10_000).reshape(100, 100).astype("uint16")
    path = write_raster(values)
    with pytest.raises(ClassError, match=r"more than 254 values: expected a class raster; .*--classes 1,2,5"):
        whole(path)
    found, names = whole(path, classes="5,70")
    assert np.array_equal(found, np.where(np.isin(values, (5, 70)), values.astype(int), -1)) and names == ("5", "70")


def test_several_bands_are_no_classes(write_raster: Write) -> None:
    with pytest.raises(BandError, match="has 3 bands: expected a class raster with one"):
        whole(write_raster(np.ones((3, 4, 4), "uint8")))


def test_a_legend_names_and_ignores(tmp_path: Path, write_raster: Write, caplog: Any) -> None:
    grid = GRIDS["north-up"]
    path = write_classes(tmp_path / "map.tif", grid, np.ones(grid.shape, "uint8"))
    assert whole(path)[1] == ("building", "road")
    table = tmp_path / "table.toml"
    table.write_text('ignore = [9]\nclasses = [{value = 1, name = "a"}, {value = 4, name = "b"}]')
    plain = write_raster(np.array([[1, 4, 9, 0]], "uint8"), "plain.tif", nodata=0)
    assert whole(plain, classes=str(table)) == (pytest.approx(np.array([[1, 4, -1, -1]])), ("a", "b"))
    bare = write_raster(np.array([[1, 4, 9, 0]], "uint8"), "bare.tif")
    with pytest.raises(ClassError, match=r"bare\.tif: values without a class: 0 \(1 px\); .* \(ignore = \[0\]\)$"):
        whole(bare, classes=str(table))  # it declares no nodata, so 0 is a value like any other
    stranger = write_raster(np.array([[1, 4, 8]], "uint8"), "stranger.tif")
    with pytest.raises(ClassError, match=r"stranger\.tif: values without a class: 8 \(1 px\); expected 1, 4"):
        whole(stranger, classes=str(table))
    assert whole(stranger)[1] == ("1", "4", "8") and not caplog.records


def test_values_that_a_rasters_legend_does_not_know_keep_their_numbers(write_raster: Write, caplog: Any) -> None:
    path = write_raster(np.array([[1, 2, 9, 9]], "uint8"), "map.tif")
    names = "<Category></Category><Category>a</Category><Category>b</Category>"
    text = f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{names}</CategoryNames></PAMRasterBand></PAMDataset>'
    Path(f"{path}.aux.xml").write_text(text)
    found, classes = whole(path)
    assert found.tolist() == [[1, 2, 9, 9]] and classes == ("a", "b", "9")
    assert "values without a class (9) are called by their numbers" in caplog.text


def test_colours_come_from_the_palette(write_raster: Write) -> None:
    import rasterio

    path = write_raster(np.array([[1, 2]], "uint8"))
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {1: (10, 20, 30, 255), 2: (40, 50, 60, 255)})
    with ClassRaster(path) as raster:
        list(raster.strips())
        assert [entry.color for entry in raster.classes] == [(10, 20, 30), (40, 50, 60)]


def test_positions_are_those_of_the_whole_raster(tmp_path: Path) -> None:
    grid = GRIDS["north-up"]
    path = write_classes(tmp_path / "map.tif", grid, np.ones(grid.shape, "uint8"))
    with ClassRaster(path, aoi="500002,5399990,500010,5399998") as raster:
        assert (raster.rect.top, raster.rect.left) == (4, 4)
        first = np.array([0, 1, raster.rect.width])
        assert raster.first_in_whole(first).tolist() == [4 * 31 + 4, 4 * 31 + 5, 5 * 31 + 4]


def test_confidences_are_bytes_or_numbers(write_raster: Write) -> None:
    classes = write_raster(np.ones((4, 5), "uint8"), "c.tif")
    part = np.linspace(0, 1, 20).reshape(4, 5)
    for name, array in (("b.tif", np.rint(part * 255).astype("uint8")), ("f.tif", part.astype("float32"))):
        path = write_raster(array, name, valid=part < 0.9)
        with ClassRaster(classes) as raster:
            file = open_confidence(path, raster)
            found = read_confidence(file, raster.rect)
            file.close()
        np.testing.assert_allclose(found, np.where(part < 0.9, part, np.nan), atol=0.5 / 255)


@pytest.mark.parametrize(
    ("array", "options", "error", "text"),
    [
        (np.ones((2, 4, 5), "uint8"), {}, BandError, "has 2 bands: expected one, the confidence"),
        (np.ones((4, 6), "uint8"), {}, GridError, r"expected the grid of .*c\.tif.*gdalwarp"),
        (
            np.ones((4, 5), "uint8"),
            {"transform": Affine(0.5, 0, 500_001, 0, -0.5, 5_400_000)},
            GridError,
            "expected the grid of",
        ),
        (np.full((4, 5), 71, "float32"), {}, BandError, "holds 71: expected confidences, bytes or numbers 0..1"),
    ],
)
def test_what_is_no_confidence_is_refused(
    write_raster: Write, array: Any, options: Any, error: type[LandsegError], text: str
) -> None:
    classes = write_raster(np.ones((4, 5), "uint8"), "c.tif")
    path = write_raster(array, "x.tif", **options)
    with pytest.raises(error, match=text), ClassRaster(classes) as raster:
        read_confidence(open_confidence(path, raster), raster.rect)


def test_a_table_that_is_given_goes_before_the_rasters(tmp_path: Path) -> None:
    grid = GRIDS["north-up"]
    path = write_classes(tmp_path / "map.tif", grid, np.ones(grid.shape, "uint8"))
    assert whole(path, table=CLASSES)[1] == CLASSES.names
