"""The truth on a prediction's grid: which label a pixel takes, and what is said where that is not clear."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from shapely.geometry import Polygon, box

from landseg.classes import IGNORE_INDEX, ClassMap, LandClass
from landseg.errors import BandError, ClassError, GridError, VectorError
from landseg.geo.grid import Grid, Rect
from landseg.geo.rasters.bands import BandTable
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.rasters.source import Pixels, Source
from landseg.geo.resample import box_taps
from landseg.labels.burnt_polygons import open_polygons
from landseg.labels.legend import class_tag, read_class_table, read_legend
from landseg.labels.raster_labels import ClassLabels, RasterLabels, open_labels
from landseg.labels.regrid import largest_share, resample_labels, shares_of_cells

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
    read, valid = labels.read_known(Rect(0, 0, 5, 5))
    assert labels.note == "t.tif is read pixel by pixel"
    assert read[1:4, 2:5].tolist() == values[:, :3].tolist()
    assert valid.sum() == 8 and not valid[0].any() and not valid[:, :2].any() and not valid[2, 4]


def test_a_pixel_takes_the_label_that_covers_the_largest_part_of_it(tmp_path: Path) -> None:
    fine = np.array([[1, 1, 2, 2], [1, 2, 2, 9], [3, 3, 0, 0], [3, 0, 0, 0]], np.uint8)
    path = write(tmp_path / "fine.tif", fine, shifted(0, 4), nodata=0)
    read, valid = open_labels(path, grid((2, 2), shifted(0, 4, 2))).read_known(Rect(0, 0, 2, 2))
    assert read.tolist() == [[1, 2], [3, 0]] and valid.tolist() == [[True, True], [True, False]]
    coarse = write(tmp_path / "coarse.tif", np.array([[1, 2]], np.uint8), shifted(0, 2, 2))
    labels = open_labels(coarse, grid((2, 4), shifted(0, 2)))
    assert labels.read_known(Rect(0, 0, 2, 4))[0].tolist() == [[1, 1, 2, 2]] * 2
    assert labels.note.startswith(
        "coarse.tif lies on another grid: each pixel takes the label that covers the largest"
    )


def test_half_a_pixel_off_is_not_rounded_away(tmp_path: Path) -> None:
    """Labels half a pixel to the right of the grid, twice as fine: which of them lie under a pixel is exact."""
    fine = np.array([[5, 1, 1, 2, 2, 6]] * 2, np.uint8)
    path = write(tmp_path / "fine.tif", fine, shifted(-0.5, 1, 0.5))
    read, _ = open_labels(path, grid((1, 2), shifted(0, 1))).read_known(Rect(0, 0, 1, 2))
    assert read.tolist() == [[1, 2]]
    moved, _ = open_labels(path, grid((1, 2), shifted(-0.5, 1))).read_known(Rect(0, 0, 1, 2))
    assert moved.tolist() != [[1, 2]]  # the twin: a grid half a pixel further sees other labels


def test_another_crs_is_the_same_place(tmp_path: Path) -> None:
    """A map in degrees against labels in metres: each centre, moved by pyproj, decides."""
    import pyproj

    values = np.random.default_rng(1).integers(1, 5, (60, 60)).astype(np.uint8)
    path = write(tmp_path / "utm.tif", values, shifted(300_000, 3_000_060))
    west, south = pyproj.Transformer.from_crs(32645, 4326, always_xy=True).transform(300_020, 3_000_020)
    wanted = Grid(rasterio.crs.CRS.from_epsg(4326), Affine(1e-5, 0, west, 0, -1e-5, south + 2e-4), 20, 20)
    read, valid = open_labels(path, wanted).read_known(Rect(3, 2, 10, 10))
    to_utm = pyproj.Transformer.from_crs(4326, 32645, always_xy=True)
    for row, column in ((0, 0), (4, 7), (9, 9)):
        x, y = to_utm.transform(*(wanted.transform @ (column + 2.5, row + 3.5)))
        expected = values[int(3_000_060 - y), int(x - 300_000)]
        assert valid[row, column] and read[row, column] == expected


class Array(Source):
    """A class raster in memory, 3 being no data."""

    def __init__(self, values: NDArray[np.uint8], grid: Grid) -> None:
        super().__init__("a", (), grid, BandTable((1,), (None,), ("gray",), ("uint8",), (None,), None))
        self.values = values

    def close(self) -> None: ...

    def _read(self, rect: Rect) -> Pixels:
        return self.values[None][(slice(None), *rect.slices)], self.values[rect.slices] != 3

    def _files(self) -> list[dict[str, Any]]:
        return []


TURNED = shifted(20, 90) @ Affine.rotation(30) @ Affine.scale(1.3)


def labels_on(transform: Affine) -> RasterLabels:
    values = np.random.default_rng(0).integers(1, 4, (25, 25)).repeat(4, 0).repeat(4, 1).astype(np.uint8)
    return RasterLabels(Array(values, grid((100, 100), shifted(0, 100))), grid((40, 40), transform))


@pytest.mark.parametrize("transform", [shifted(3, 97, 2.3), TURNED, shifted(-20, 120, 2.3)])
@given(st.data())
def test_reading_in_parts_is_reading_whole(transform: Affine, data: st.DataObject) -> None:
    labels = labels_on(transform)
    top, left = data.draw(st.integers(0, 30)), data.draw(st.integers(0, 30))
    rect = Rect(top, left, data.draw(st.integers(1, 40 - top)), data.draw(st.integers(1, 40 - left)))
    whole, known, inside = labels.read_placed(Rect(0, 0, 40, 40))
    part, valid, there = labels.read_placed(rect)
    assert np.array_equal(part, whole[rect.slices]) and np.array_equal(valid, known[rect.slices])
    everywhere = np.ones((40, 40), bool)
    assert np.array_equal(
        everywhere[rect.slices] if there is None else there, (everywhere if inside is None else inside)[rect.slices]
    )


def cover(labels: RasterLabels, transform: Affine) -> NDArray[np.float64]:
    """The part of each pixel (40, 40) of a grid that each of the values 1, 2 and 3 (or nothing) covers."""
    on_labels = ~labels.source.grid.transform @ transform
    whole = labels.source.read(labels.source.grid.rect)[0][0]
    found = np.zeros((40, 40, 4))
    for row, column in np.ndindex(40, 40):
        corners = [(column, row), (column + 1, row), (column + 1, row + 1), (column, row + 1)]
        outline = Polygon([on_labels @ corner for corner in corners])
        left, top, right, bottom = (math.floor(v) for v in outline.bounds)
        for y in range(max(top, 0), min(bottom + 1, 100)):
            for x in range(max(left, 0), min(right + 1, 100)):
                found[row, column, whole[y, x]] += outline.intersection(box(x, y, x + 1, y + 1)).area
        found[row, column, 3] += outline.area - found[row, column].sum()
    return found / found.sum(-1, keepdims=True)


@pytest.mark.parametrize(
    "transform", [shifted(3, 97, 2.3), shifted(0.4, 99.7), shifted(3, 97, 0.7), TURNED, shifted(-20, 120, 2.3)]
)
def test_the_label_that_wins_covers_the_largest_part(transform: Affine) -> None:
    labels = labels_on(transform)
    values, known = labels.read_known(Rect(0, 0, 40, 40))
    shares = cover(labels, transform)
    chosen = np.where(known, values, 3)
    rows, columns = np.indices(chosen.shape)
    assert (shares[rows, columns, chosen] >= shares.max(-1) - 1e-5).all()
    assert (chosen == shares.argmax(-1)).mean() > 0.9
    # The twin: the label under the centre is another one at borders, wherever pixels are not much smaller.
    x, y = (~labels.source.grid.transform @ transform) @ np.array([columns.ravel() + 0.5, rows.ravel() + 0.5])
    inside = (x >= 0) & (x < 100) & (y >= 0) & (y < 100)
    at = y[inside].astype(int), x[inside].astype(int)
    centre = np.full(chosen.size, 3)
    centre[inside] = labels.source.read(labels.source.grid.rect)[0][0][at]
    worse = shares[rows, columns, centre.reshape(chosen.shape)] < shares.max(-1) - 1e-5
    assert worse.any()


def test_labels_across_the_edge_of_the_world_are_all_there() -> None:
    """A world of 36 columns under pixels half a column further: those across its edge see both of its ends."""
    world = Grid(rasterio.crs.CRS.from_epsg(4326), Affine(10, 0, -180, 0, -10, 90), 36, 18)
    values = np.repeat(np.where(np.arange(36) % 35 < 1, 1, 2)[None], 18, 0).astype(np.uint8)
    here = Grid(world.crs, Affine(10, 0, 156, 0, -10, 20), 5, 2)
    found, known = RasterLabels(Array(values, world), here).read_known(here.rect)
    assert found.tolist() == [[2, 1, 1, 2, 2]] * 2 and known.all()


@given(
    corners=st.lists(st.tuples(st.floats(0, 4), st.floats(0, 4)), min_size=4, max_size=4),
    kind=st.sampled_from(["any", "parallel"]),
)
def test_areas_of_a_quadrilateral_on_cells(corners: list[tuple[float, float]], kind: str) -> None:
    if kind == "parallel":
        (a, b), (c, d) = corners[:2]
        corners = [(a, b), (c, b), (c, d), (a, d)]
    outline = Polygon(corners)
    assume(outline.area > 1e-3 and outline.is_valid and outline.convex_hull.area < outline.area * (1 + 1e-9))
    x, y = np.array(corners).T[:, :, None]
    found = shares_of_cells(x, y, (4, 4))[0]
    expected = [[outline.intersection(box(c, r, c + 1, r + 1)).area for c in range(4)] for r in range(4)]
    assert np.allclose(found, expected, atol=1e-9)
    assert not np.allclose(shares_of_cells(x + 1, y, (4, 4))[0], expected, atol=1e-9)  # the twin


@given(st.integers(0, 2**32), st.floats(0.3, 4))
def test_training_and_evaluation_see_the_same_labels(seed: int, factor: float) -> None:
    """A crop of labels with pixels ``factor`` times as large, and the same labels read on a grid of such pixels."""
    values = np.random.default_rng(seed).integers(1, 5, (19, 23)).astype(np.uint8)
    own = grid((19, 23), shifted(0, 19))
    height, width = math.floor(19 / factor), math.floor(23 / factor)  # whole pixels: beyond the raster nothing counts
    taps = [box_taps(0, n, factor=factor, size=size) for n, size in ((height, 19), (width, 23))]
    shown = values[taps[0].start : taps[0].stop, taps[1].start : taps[1].stop]
    crop = resample_labels(shown, rows=taps[0], columns=taps[1], void=3)
    evaluated, known = RasterLabels(Array(values, own), grid((height, width), shifted(0, 19, factor))).read_known(
        Rect(0, 0, height, width)
    )
    assert np.array_equal(crop, np.where(known, evaluated, 3))


def test_no_data_is_one_of_the_labels_that_are_counted_and_ties_go_to_the_smallest() -> None:
    codes = np.array([[0, 0, 0, 3], [1, 0, 1, 0], [2, 3, 3, 3], [3, 1, 1, 3]])  # 3: no data
    assert largest_share(codes, np.ones((4, 4)), 3).tolist() == [0, 0, 3, 1]


def test_rasters_that_lie_nowhere_match_by_size_alone(tmp_path: Path) -> None:
    values = np.array([[1, 2], [2, 1]], np.uint8)
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        path = write(tmp_path / "labels.png", values, Affine.identity(), None, driver="PNG")
    assert open_labels(path, grid((2, 2), shifted(5, 5))).read_known(Rect(0, 0, 2, 2))[0].tolist() == values.tolist()
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
        RasterLabels(source, grid((2, 2), shifted(0, 2)))


def test_values_without_a_class_are_counted_and_told(tmp_path: Path) -> None:
    values = np.array([[1, 2, 9, 0], [7, 7, 3, 1]], np.uint8)
    path = write(tmp_path / "t.tif", values, shifted(0, 2))
    truth = ClassLabels(open_labels(path, grid((2, 4), shifted(0, 2))), CLASSES)
    assert truth.unmapped == []
    found = truth.read(Rect(0, 0, 2, 4))
    assert found.tolist() == [[0, 1, 255, 255], [255, 255, 255, 0]]
    assert "values without a class: 0 (1 px), 3 (1 px), 7 (2 px); expected 1, 2" in truth.unmapped[0].sentence()
    truth.close()


def shapes(path: Path, names: list[object], crs: int = 32645) -> Path:
    boxes = [box(i * 2, 0, i * 2 + 2, 2) for i in range(len(names))]
    geopandas.GeoDataFrame({"kind": names}, geometry=boxes, crs=crs).to_file(path, driver="GPKG")
    return path


@pytest.mark.parametrize("names", [["water", "road"], [1, 2], [1.0, 2.0], ["1", "2"]])
def test_polygons_name_their_class_or_its_value(tmp_path: Path, names: list[object]) -> None:
    path = shapes(tmp_path / "p.gpkg", names)
    truth = open_polygons(path, "kind", CLASSES, grid((3, 5), shifted(0, 3)))
    assert truth.read(Rect(0, 0, 3, 5)).tolist() == [[255] * 5, [0, 0, 1, 1, 255], [0, 0, 1, 1, 255]]
    filled = open_polygons(path, "kind", CLASSES, grid((3, 5), shifted(0, 3)), background="road")
    assert filled.read(Rect(0, 3, 2, 2)).tolist() == [[1, 1], [1, 1]]
    assert IGNORE_INDEX == 255


def test_polygons_that_say_nothing_are_refused(tmp_path: Path) -> None:
    here = grid((3, 5), shifted(0, 3))
    path = shapes(tmp_path / "p.gpkg", ["water", "swamp", "swamp"])
    with pytest.raises(ClassError, match=r"polygons without a class: swamp \(2\); expected water, road"):
        open_polygons(path, "kind", CLASSES, here)
    with pytest.raises(GridError, match=r"no polygon of .* lies on the prediction"):
        open_polygons(path, "kind", CLASSES, grid((3, 5), shifted(900, 3)))
    with pytest.raises(VectorError, match="no column 'class'"):
        open_polygons(path, "class", CLASSES, here)
    good = shapes(tmp_path / "good.gpkg", ["water"])
    with pytest.raises(ClassError, match="--background 'sea' is no class"):
        open_polygons(good, "kind", CLASSES, here, background="sea")


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
