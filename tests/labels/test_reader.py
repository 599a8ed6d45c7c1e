"""The truth on a prediction's grid: which label a pixel takes, and what is said where that is not clear."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from shapely.geometry import box

from landseg.classes import IGNORE_INDEX, ClassMap, LandClass
from landseg.errors import BandError, ClassError, GridError, VectorError
from landseg.geo.grid import Grid, Rect
from landseg.geo.rasters.raster import RasterFile
from landseg.labels.legend import class_tag, read_class_table, read_legend
from landseg.labels.reader import ClassLabels, Polygons
from landseg.labels.regrid import AlignedLabels, _commonest, open_labels

UTM = rasterio.crs.CRS.from_epsg(32645)
CLASSES = ClassMap((LandClass(1, "water", (0, 0, 255)), LandClass(2, "road", (9, 9, 9))), ignore=(9,))


def write(path: Path, values: NDArray[np.generic], transform: Affine, crs: object = UTM, **profile: object) -> Path:
    profile = {
        "driver": "GTiff",
        "count": 1,
        "dtype": values.dtype.name,
        "crs": crs,
        "transform": transform,
    } | profile
    height, width = values.shape
    with rasterio.open(path, "w", height=height, width=width, **profile) as file:
        file.write(values, 1)
    return path


def grid(size: tuple[int, int], transform: Affine, crs: object = UTM) -> Grid:
    return Grid(crs, transform, size[1], size[0])


def shifted(left: float, top: float, pixel: float = 1.0) -> Affine:
    return Affine(pixel, 0, left, 0, -pixel, top)


def test_the_same_pixels_are_read_as_they_are_and_void_outside(tmp_path: Path) -> None:
    values = np.arange(1, 13, dtype=np.uint8).reshape(3, 4)
    path = write(tmp_path / "t.tif", values, shifted(2, 10), nodata=7)
    labels = open_labels(path, grid((5, 5), shifted(0, 11)))
    read, valid = labels.read(Rect(0, 0, 5, 5))
    assert labels.note == "t.tif is read pixel by pixel"
    assert read[1:4, 2:5].tolist() == values[:, :3].tolist()
    assert valid.sum() == 8 and not valid[0].any() and not valid[:, :2].any() and not valid[2, 4]


def test_finer_labels_give_the_commonest_and_coarser_ones_the_label_under_the_centre(tmp_path: Path) -> None:
    fine = np.array([[1, 1, 2, 2], [1, 2, 2, 9], [3, 3, 0, 0], [3, 0, 0, 0]], np.uint8)
    path = write(tmp_path / "fine.tif", fine, shifted(0, 4), nodata=0)
    read, valid = open_labels(path, grid((2, 2), shifted(0, 4, 2))).read(Rect(0, 0, 2, 2))
    assert read.tolist() == [[1, 2], [3, 0]] and valid.tolist() == [[True, True], [True, False]]
    coarse = write(tmp_path / "coarse.tif", np.array([[1, 2]], np.uint8), shifted(0, 2, 2))
    labels = open_labels(coarse, grid((2, 4), shifted(0, 2)))
    assert labels.read(Rect(0, 0, 2, 4))[0].tolist() == [[1, 1, 2, 2]] * 2
    assert "under its centre" in labels.note


def test_half_a_pixel_off_is_not_rounded_away(tmp_path: Path) -> None:
    """Labels half a pixel to the right of the grid, twice as fine: which of them lie under a pixel is exact."""
    fine = np.array([[5, 1, 1, 2, 2, 6]] * 2, np.uint8)
    path = write(tmp_path / "fine.tif", fine, shifted(-0.5, 1, 0.5))
    read, _ = open_labels(path, grid((1, 2), shifted(0, 1))).read(Rect(0, 0, 1, 2))
    assert read.tolist() == [[1, 2]]
    moved, _ = open_labels(path, grid((1, 2), shifted(-0.5, 1))).read(Rect(0, 0, 1, 2))
    assert moved.tolist() != [[1, 2]]  # the twin: a grid half a pixel further sees other labels


def test_another_crs_is_the_same_place(tmp_path: Path) -> None:
    """A map in degrees against labels in metres: each centre, moved by pyproj, decides."""
    import pyproj

    values = np.random.default_rng(1).integers(1, 5, (60, 60)).astype(np.uint8)
    path = write(tmp_path / "utm.tif", values, shifted(300_000, 3_000_060))
    west, south = pyproj.Transformer.from_crs(32645, 4326, always_xy=True).transform(300_020, 3_000_020)
    wanted = Grid(rasterio.crs.CRS.from_epsg(4326), Affine(1e-5, 0, west, 0, -1e-5, south + 2e-4), 20, 20)
    read, valid = open_labels(path, wanted).read(Rect(3, 2, 10, 10))
    to_utm = pyproj.Transformer.from_crs(4326, 32645, always_xy=True)
    for row, column in ((0, 0), (4, 7), (9, 9)):
        x, y = to_utm.transform(*(wanted.transform @ (column + 2.5, row + 3.5)))
        expected = values[int(3_000_060 - y), int(x - 300_000)]
        assert valid[row, column] and read[row, column] == expected


@given(st.data())
def test_reading_in_parts_is_reading_whole(data: st.DataObject) -> None:
    labels = _labels_for_parts()
    top, left = data.draw(st.integers(0, 30)), data.draw(st.integers(0, 30))
    rect = Rect(top, left, data.draw(st.integers(1, 40 - top)), data.draw(st.integers(1, 40 - left)))
    whole, known = labels.read(Rect(0, 0, 40, 40))
    part, valid = labels.read(rect)
    assert np.array_equal(part, whole[rect.slices]) and np.array_equal(valid, known[rect.slices])


def _labels_for_parts() -> AlignedLabels:
    from landseg.geo.rasters.source import Source

    class Array(Source):
        def close(self) -> None: ...

        def _read(self, rect: Rect):  # type: ignore[no-untyped-def]
            values = np.random.default_rng(0).integers(1, 4, (100, 100)).astype(np.uint8)
            return values[None][(slice(None), *rect.slices)], values[rect.slices] != 3

        def _files(self):  # type: ignore[no-untyped-def]
            return []

    from landseg.geo.rasters.bands import BandTable

    table = BandTable((1,), (None,), ("gray",), ("uint8",), (None,), None)
    return AlignedLabels(
        Array("a", (), grid((100, 100), shifted(0, 100)), table), grid((40, 40), shifted(3, 97, 2.3))
    )


def test_no_data_is_one_of_the_labels_that_are_counted_and_ties_go_to_the_smallest() -> None:
    values = np.array([[[1, 1, 1, 0], [2, 1, 2, 1], [4, 0, 0, 0]]], np.uint8)
    read, valid = _commonest(values, values > 0)
    assert read.tolist() == [[1, 1, 0]] and valid.tolist() == [[True, True, False]]


def test_rasters_that_lie_nowhere_match_by_size_alone(tmp_path: Path) -> None:
    values = np.array([[1, 2], [2, 1]], np.uint8)
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        path = write(tmp_path / "labels.png", values, Affine.identity(), None, driver="PNG")
    assert open_labels(path, grid((2, 2), shifted(5, 5))).read(Rect(0, 0, 2, 2))[0].tolist() == values.tolist()
    with pytest.raises(GridError, match="expected both to have a CRS or neither"):
        open_labels(path, grid((2, 3), shifted(5, 5)))


def test_what_lies_elsewhere_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tif", np.ones((2, 2), np.uint8), shifted(0, 2))
    for elsewhere in (shifted(50, 2), shifted(50.5, 2.5, 3)):
        with pytest.raises(GridError, match="expected them to overlap"):
            open_labels(path, grid((2, 2), elsewhere))
    with pytest.raises(GridError, match="expected them to overlap"):
        open_labels(path, Grid(rasterio.crs.CRS.from_epsg(4326), Affine(1, 0, 80, 0, -1, 20), 2, 2))


def test_only_one_band_is_a_class_raster(tmp_path: Path) -> None:
    from landseg.geo.rasters.mosaic import open_source

    path = tmp_path / "two.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=2, dtype="uint8", height=2, width=2, crs=UTM, transform=shifted(0, 2)
    ) as file:
        file.write(np.ones((2, 2, 2), np.uint8))
    with open_source(path) as source, pytest.raises(BandError, match="has 2 bands; expected a class raster"):
        AlignedLabels(source, grid((2, 2), shifted(0, 2)))


def test_values_without_a_class_are_counted_and_told(tmp_path: Path) -> None:
    values = np.array([[1, 2, 9, 0], [7, 7, 3, 1]], np.uint8)
    path = write(tmp_path / "t.tif", values, shifted(0, 2))
    truth = ClassLabels(open_labels(path, grid((2, 4), shifted(0, 2))), CLASSES)
    assert truth.strange() is None
    found = truth.read(Rect(0, 0, 2, 4))
    assert found.tolist() == [[0, 1, 255, 255], [255, 255, 255, 0]]
    assert "values without a class: 0 (1 px), 3 (1 px), 7 (2 px); expected 1, 2" in (truth.strange() or "")
    truth.close()


def shapes(path: Path, names: list[object], crs: int = 32645) -> Path:
    boxes = [box(i * 2, 0, i * 2 + 2, 2) for i in range(len(names))]
    geopandas.GeoDataFrame({"kind": names}, geometry=boxes, crs=crs).to_file(path, driver="GPKG")
    return path


@pytest.mark.parametrize("names", [["water", "road"], [1, 2], [1.0, 2.0], ["1", "2"]])
def test_polygons_name_their_class_or_its_value(tmp_path: Path, names: list[object]) -> None:
    path = shapes(tmp_path / "p.gpkg", names)
    truth = Polygons(path, "kind", CLASSES, grid((3, 5), shifted(0, 3)))
    assert truth.read(Rect(0, 0, 3, 5)).tolist() == [[255] * 5, [0, 0, 1, 1, 255], [0, 0, 1, 1, 255]]
    filled = Polygons(path, "kind", CLASSES, grid((3, 5), shifted(0, 3)), background="road")
    assert filled.read(Rect(0, 3, 2, 2)).tolist() == [[1, 1], [1, 1]]
    assert IGNORE_INDEX == 255


def test_polygons_that_say_nothing_are_refused(tmp_path: Path) -> None:
    here = grid((3, 5), shifted(0, 3))
    path = shapes(tmp_path / "p.gpkg", ["water", "swamp", "swamp"])
    with pytest.raises(ClassError, match=r"polygons without a class: swamp \(2\); expected water, road"):
        Polygons(path, "kind", CLASSES, here)
    with pytest.raises(GridError, match=r"no polygon of .* lies on the prediction"):
        Polygons(path, "kind", CLASSES, grid((3, 5), shifted(900, 3)))
    with pytest.raises(VectorError, match="no column 'class'"):
        Polygons(path, "class", CLASSES, here)
    good = shapes(tmp_path / "good.gpkg", ["water"])
    with pytest.raises(ClassError, match="--background 'sea' is no class"):
        Polygons(good, "kind", CLASSES, here, background="sea")


def test_a_raster_carries_its_classes_in_a_tag_or_in_names_and_colours(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tif", np.ones((2, 2), np.uint8), shifted(0, 2))
    assert read_legend(RasterFile(path)) is None
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {1: (0, 0, 255), 2: (1, 2, 3)})
    names = "".join(f"<Category>{name}</Category>" for name in ("nodata", "sea", "", "land"))
    text = f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{names}</CategoryNames></PAMRasterBand></PAMDataset>'
    (tmp_path / "t.tif.aux.xml").write_text(text)
    found = read_legend(RasterFile(path))
    assert found is not None and found.names == ("sea", "land") and found.values == (1, 3)
    assert found.colors[0] == (0, 0, 255)
    with rasterio.open(path, "r+") as file:
        file.update_tags(LANDSEG_CLASSES=class_tag(CLASSES))
    assert read_legend(RasterFile(path)) == CLASSES


def test_a_class_table_is_toml_or_json(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(class_tag(CLASSES))
    assert read_class_table(tmp_path / "c.json") == CLASSES
    (tmp_path / "c.toml").write_text('[[classes]]\nvalue = 1\nname = "a"\n')
    assert read_class_table(tmp_path / "c.toml").names == ("a",)
    for name, text, message in (
        ("bad.toml", "classes = ", "not valid TOML or JSON"),
        ("empty.toml", "", "expected a list of"),
        ("missing.toml", None, "cannot be read"),
    ):
        if text is not None:
            (tmp_path / name).write_text(text)
        with pytest.raises(ClassError, match=message):
            read_class_table(tmp_path / name)
