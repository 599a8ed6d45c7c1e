"""Pixels that are not equally large, or not square: areas, and distances between outlines, on the ground."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from landseg.data import inspect_data
from landseg.evaluation.counts import EvaluationCounts, MeasureOptions
from landseg.geo import pixel_areas as pixelareas
from landseg.geo.distance import Distance, row_spacings
from landseg.geo.grid import Grid, Rect
from landseg.geo.pixel_areas import PixelAreas
from landseg.metrics.area import stratified
from landseg.metrics.boundary import outline
from landseg.metrics.surface import SurfaceDice, SurfaceDiceByRows
from landseg.report.html.tables import confusion_table
from tests.parts.pixel_sizes import DEGREES, HALVES, evaluated, write

A, ES = 6378137.0, 0.00669437999014


def band_ha(south: float, north: float, degrees: float) -> float:
    """Hectares between two latitudes, along some degrees of longitude, on WGS 84."""
    e = math.sqrt(ES)
    half = [
        (1 - ES) * (math.sin(lat) / (1 - ES * math.sin(lat) ** 2) + math.atanh(e * math.sin(lat)) / e) / 2
        for lat in (math.radians(south), math.radians(north))
    ]
    return A * A * math.radians(degrees) * (half[1] - half[0]) / 10_000


def halves() -> Any:
    return np.where(np.arange(120)[:, None] < 60, 1, 2) + np.zeros((1, 20), int)


def test_areas_are_those_of_each_pixel(tmp_path: Path) -> None:
    found = evaluated(tmp_path, halves(), halves(), HALVES)
    areas = [(one.area_ha, one.mapped_ha, one.estimated_ha) for one in found.classes]
    wanted = [band_ha(30, 60, 10), band_ha(0, 30, 10)]
    assert wanted == pytest.approx([259_801_910, 353_022_989], rel=1e-7)
    assert areas == [pytest.approx((area,) * 3, rel=1e-8) for area in wanted]
    assert found.confusion_ha == pytest.approx(np.array([[wanted[0], 0, 0], [0, wanted[1], 0]]), rel=1e-8)
    assert any("pixels differ in size" in note for note in found.notes)
    assert 'data-hectares="259\u202f801\u202f918"' in confusion_table(found)
    assert json.loads(json.dumps(found.to_json()))["confusion_ha"][0][0] == pytest.approx(wanted[0])


def test_twin_the_centre_pixel_everywhere_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixelareas, "VARY", 10.0)
    found = evaluated(tmp_path, halves(), halves(), HALVES)
    assert [round(one.area_ha or 0) for one in found.classes] == [pytest.approx(320_872_185, rel=1e-5)] * 2
    with pytest.raises(AssertionError):
        assert found.classes[0].area_ha == pytest.approx(band_ha(30, 60, 10), rel=1e-3)


def test_equal_pixels_are_counted_as_before(tmp_path: Path) -> None:
    grid = Grid(CRS.from_epsg(32633), Affine(2, 0, 500_000, 0, -2, 5_400_000), 20, 120)
    found = evaluated(tmp_path, halves(), halves(), grid)
    assert found.confusion_ha is None and found.pixel_ha == pytest.approx(
        (grid.resolution_m or 0) ** 2 / 10_000, rel=1e-9
    )
    assert [one.area_ha for one in found.classes] == [1200 * found.pixel_ha] * 2


def test_a_sample_speaks_for_areas_not_for_pixels(tmp_path: Path) -> None:
    """Class 1 is mapped everywhere; half of the labels, by pixels, say so: in the north they weigh less."""
    truth = np.zeros((120, 20), int)
    truth[:60, :4], truth[60:, :4] = 1, 2
    found = evaluated(tmp_path, truth, np.ones((120, 20), int), HALVES)
    north, south = band_ha(30, 60, 10), band_ha(0, 30, 10)
    assert [one.estimated_ha for one in found.classes] == pytest.approx([north, south], rel=1e-8)
    assert found.classes[0].estimated_ha_ci is None  # without draws
    assert found.classes[0].estimated_ha_ci_random is not None and found.classes[0].estimated_ha_ci_random[0] < north
    assert found.classes[0].mapped_ha == pytest.approx(north + south, rel=1e-8)


def test_the_estimator_with_equal_sizes_is_the_one_without() -> None:
    counts, mapped = np.array([[30, 4], [6, 20]]), np.array([300, 90])
    plain, sized = stratified(counts, mapped), stratified(counts, mapped, sizes=(counts * 2.5, mapped * 2.5))
    assert sized.share == pytest.approx(plain.share) and sized.share_error == pytest.approx(plain.share_error)
    assert sized.areas(1.0) == pytest.approx(plain.areas(2.5))
    assert sized.area_intervals(1.0) == pytest.approx(plain.area_intervals(2.5))
    assert sized.pixels == plain.pixels and not sized.census


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 119), unique=True, max_size=6), st.sampled_from([4326, 3413]))
def test_areas_do_not_depend_on_how_the_raster_is_cut(cuts: list[int], epsg: int) -> None:
    grid = HALVES if epsg == 4326 else Grid(CRS.from_epsg(epsg), Affine(30_000, 0, 0, 0, -30_000, 0), 20, 120)
    areas = PixelAreas(grid)
    assert areas.vary
    rng = np.random.default_rng(1)
    truth, said = (rng.choice(np.array([0, 1, 255], np.uint8), (120, 20)) for _ in range(2))
    measures = MeasureOptions(2, block=32, areas=(areas,), area_unit=areas.unit)
    whole, merged = EvaluationCounts(measures), EvaluationCounts(measures)
    whole.update(truth, said, grid.rect, grid.rect)
    ends = sorted(cuts)
    for top, bottom in zip([0, *ends], [*ends, 120], strict=True):
        part, rect = EvaluationCounts(measures), Rect(top, 0, bottom - top, 20)
        part.update(truth[top:bottom], said[top:bottom], rect, rect)
        merged.merge(part)
    assert (merged.area_table == whole.area_table).all()
    assert (merged.area_unlabelled == whole.area_unlabelled).all()
    sizes = np.zeros(grid.shape)
    for part, size in areas.parts(grid.rect):
        sizes[part] = size
    known = (truth == 0) & (said == 1)
    assert float(whole.area_table[0, 1]) * areas.unit == pytest.approx(sizes[known].sum(), rel=1e-7)
    assert whole.area().areas(1.0).sum() == pytest.approx(sizes[said != 255].sum(), rel=1e-7)


def test_hectares_of_data_are_those_of_each_pixel(tmp_path: Path) -> None:
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.mkdir(), labels.mkdir()
    (tmp_path / "classes.json").write_text('[{"value": 1, "name": "a"}, {"value": 2, "name": "b"}]')
    rng = np.random.default_rng(0)
    write(images / "x.tif", rng.integers(1, 255, (120, 20)), HALVES)
    write(labels / "x.tif", halves(), HALVES)
    found = inspect_data([str(images)], str(labels), classes=tmp_path / "classes.json")
    wanted = [band_ha(30, 60, 10), band_ha(0, 30, 10)]
    assert [one.hectares for one in found.classes] == pytest.approx(wanted, rel=1e-8)


def squares(grid: Grid, *, shift: tuple[int, int] = (0, 0)) -> Any:
    values = np.ones(grid.shape, int)
    values[12 + shift[0] : 28 + shift[0], 12 + shift[1] : 28 + shift[1]] = 2
    return values


def oblong(across: float, down: float) -> Grid:
    return Grid(CRS.from_epsg(32633), Affine(across, 0, 500_000, 0, -down, 5_400_000), 40, 40)


@pytest.mark.parametrize(
    ("grid", "shift", "within"),
    [
        (oblong(5, 20), (0, 1), "6m"),  # one column of 5 m
        (oblong(20, 5), (1, 0), "6m"),
        (Grid(DEGREES, Affine(1e-4, 0, 15, 0, -1e-4, 60), 40, 40), (0, 1), "6m"),  # 5.6 m at 60 degrees north
    ],
)
def test_surface_dice_in_metres_knows_both_sides_of_a_pixel(
    grid: Grid, shift: tuple[int, int], within: str, tmp_path: Path
) -> None:
    truth, moved = squares(grid), squares(grid, shift=shift)
    found = evaluated(tmp_path, truth, moved, grid, tolerance=Distance.of(within))
    assert [one.surface_dice for one in found.classes] == [1, 1]
    across = (shift[1], shift[0])  # the same, along the longer side
    found = evaluated(tmp_path, truth, squares(grid, shift=across), grid, tolerance=Distance.of(within))
    assert found.mean_surface_dice is not None and found.mean_surface_dice < 1
    assert found.surface_tolerance_m == 6


def test_pixels_as_a_tolerance_stay_pixels(tmp_path: Path) -> None:
    grid = oblong(5, 20)
    for shift in ((1, 0), (0, 1)):
        found = evaluated(tmp_path, squares(grid), squares(grid, shift=shift), grid, tolerance=Distance(1))
        assert found.mean_surface_dice == 1 and found.surface_tolerance_px == pytest.approx(1)


def test_the_distance_between_columns_follows_the_latitude(tmp_path: Path) -> None:
    """At 70 degrees a column of 0.01 degrees is 382 m, at 10 degrees 1,096 m: within 500 m only up there."""
    grid = Grid(DEGREES, Affine(0.01, 0, 15, 0, -0.01, 75), 40, 7000)
    bands = row_spacings(grid)
    assert len(bands) > 50 and bands[-1][0] == 7000
    assert [round(bands[at][1][1]) for at in (0, -1)] == pytest.approx([291, 1109], rel=0.02)
    values, moved = np.ones((7000, 40), int), np.ones((7000, 40), int)
    for top in (500, 6500):
        values[top : top + 40, 10:20], moved[top : top + 40, 11:21] = 2, 2
    found = evaluated(tmp_path, values, moved, grid, tolerance=Distance.of("500m"))
    assert found.mean_surface_dice is not None and 0.5 < found.mean_surface_dice < 0.95
    for top, right in ((500, True), (6500, False)):
        rows, there = slice(top - 20, top + 60), grid.crop(Rect(top - 20, 0, 80, 40))
        alone = evaluated(tmp_path, values[rows], moved[rows], there, tolerance=Distance.of("500m")).mean_surface_dice
        assert alone is not None and (alone == 1) == right
    assert any("the latitude of each band of rows" in note for note in found.notes)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 39), unique=True, max_size=4))
def test_bands_of_rows_do_not_depend_on_how_the_raster_is_cut(cuts: list[int]) -> None:
    rng = np.random.default_rng(7)
    truth, said = (rng.integers(0, 2, (40, 12)).astype(np.uint8) for _ in range(2))
    bands = [(10, (1.0, 0.5)), (25, (1.0, 0.8)), (40, (1.0, 1.0))]
    whole, merged = SurfaceDiceByRows(2, 1.0, bands), SurfaceDiceByRows(2, 1.0, bands)
    whole.update(truth, said)
    halo = whole.halo[0]
    ends = sorted(cuts)
    for top, bottom in zip([0, *ends], [*ends, 40], strict=True):
        first, last = max(0, top - halo), min(40, bottom + halo)
        one = SurfaceDiceByRows(2, 1.0, bands)
        core = (slice(top - first, bottom - first), slice(None))
        one.update(truth[first:last], said[first:last], core=core, top=first)
        merged.merge(one)
    assert merged.compute().tolist() == whole.compute().tolist()
    plain = SurfaceDice(2, 1.0, (1.0, 1.0))
    plain.update(truth, said)
    alike = SurfaceDiceByRows(2, 1.0, [(10, (1.0, 1.0)), (40, (1.0, 1.0))])
    alike.update(truth, said)
    assert alike.compute().tolist() == plain.compute().tolist() and alike.mean() == plain.mean()


def test_boundary_bands_in_metres_are_as_wide_both_ways(tmp_path: Path) -> None:
    assert Distance.of("20m").pixels_each_way(oblong(5, 20)) == (1, 4)
    assert Distance.of("20m").pixels_each_way(oblong(5, 5)) == 4
    assert Distance(3).pixels_each_way(oblong(5, 20)) == 3
    labels = squares(oblong(5, 20)) - 1
    band = outline(labels, (1, 4))
    assert band[20].nonzero()[0].tolist() == [*range(8, 16), *range(24, 32)]
    assert band[:, 20].nonzero()[0].tolist() == [11, 12, 27, 28]
    found = evaluated(tmp_path, labels + 1, labels + 1, oblong(5, 20), boundary=Distance.of("20m"))
    assert found.mean_boundary_iou == 1 and found.boundary_distance_px == 2


def check_weights(areas: PixelAreas, middle: Rect) -> None:
    rows, columns = np.mgrid[middle.slices]
    sizes = areas.of(rows.ravel(), columns.ravel()).reshape(middle.shape)
    found = np.broadcast_to(areas.weights(middle, areas.unit) * areas.unit, middle.shape)
    assert found == pytest.approx(sizes, rel=1e-3)


def test_a_raster_wider_than_the_globe_has_the_areas_of_its_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The corners of a sinusoidal world lie on no place, and must not blur the sizes of the other pixels."""
    grid = Grid(
        CRS.from_user_input("+proj=sinu +R=6371007.181 +units=m"),
        Affine(5000, 0, -20_015_000, 0, -5000, 10_010_000),
        8006,
        4004,
    )
    middle, areas = Rect(1990, 3990, 20, 30), PixelAreas(grid)
    check_weights(areas, middle)
    assert areas.pixel == pytest.approx(25e6, rel=1e-6) and areas._sample.max() > 1e14
    monkeypatch.setattr(PixelAreas, "unit", float(areas._sample.max()) / (1 << 28))  # twin: the largest decides
    with pytest.raises(AssertionError):
        check_weights(PixelAreas(grid), middle)
