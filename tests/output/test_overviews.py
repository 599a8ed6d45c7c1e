"""Overviews of class rasters: the majority of the pixels under each, as GDAL counts it."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from landseg.geo.grid import Grid
from landseg.output import overviews, publish
from landseg.output.cog import BLOCK
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.output.overviews import halved_by_majority, overview_shapes, write_overviews
from landseg.output.targets import Targets
from tests.output.test_cog import CLASSES, NORTH_UP, UTM

SHAPES = [(2, 2), (3, 2), (2, 5), (7, 9), (8, 6), (31, 40)]


def picture(shape: tuple[int, int], rng: Any, dtype: str = "uint8") -> NDArray[Any]:
    """Return values 0, 1, 4 and 5 in spots of two pixels and single ones; 0 is no data."""
    coarse = rng.choice(np.array([0, 1, 4, 5], dtype), [-(-length // 2) for length in shape])
    values = np.kron(coarse, np.ones((2, 2), dtype))[: shape[0], : shape[1]].astype(dtype)
    alone = rng.random(shape) < 0.3
    values[alone] = rng.choice(np.array([0, 1, 4, 5], dtype), int(alone.sum()))
    return values


def counted(values: NDArray[Any], *, nodata: int | None = 0) -> NDArray[Any]:
    """Return the majority of each pixel's own pixels, one after the other."""
    high, wide = (2 + length % 2 for length in values.shape)
    made = np.zeros([length // 2 for length in values.shape], values.dtype)
    for y, x in np.ndindex(*made.shape):
        counts: Counter[int] = Counter()
        most = 0
        for value in values[2 * y : 2 * y + high, 2 * x : 2 * x + wide].ravel().tolist():
            counts[value] += value != nodata
            if counts[value] > most:
                most, made[y, x] = counts[value], value
    return made


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_the_majority_is_counted(shape: tuple[int, int], dtype: str, rng: Any) -> None:
    values = picture(shape, rng, dtype)
    assert np.array_equal(halved_by_majority(values, 0), counted(values))


def test_twin_a_count_that_takes_no_data_for_a_class_differs(rng: Any) -> None:
    values = picture((31, 40), rng)
    assert not np.array_equal(halved_by_majority(values, 0), counted(values, nodata=None))


def made(folder: Path, values: NDArray[Any], name: str = "map") -> Path:
    """Write a class raster and return its path."""
    layer = Layer.of_classes("classes", folder / f"{name}.tif", CLASSES)
    grid = Grid(UTM, NORTH_UP, values.shape[1], values.shape[0])
    with Outputs.begin(Targets([layer]), grid, signature={}) as outputs:
        outputs.write("classes", grid.rect, values)
        outputs.finish()
    return layer.path


@pytest.mark.parametrize("shape", [(1200, 700), (600, 1026), (300, 200), (1031, 517), (513, 2000)])
def test_the_file_is_the_one_that_gdal_makes(
    shape: tuple[int, int], tmp_path: Path, rng: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = picture(shape, rng)
    own = made(tmp_path, values, "map").read_bytes()
    (tmp_path / "gdal").mkdir()
    monkeypatch.setattr(publish, "write_overviews", lambda *args, **options: [])
    assert own == made(tmp_path / "gdal", values, "map").read_bytes()


def test_twin_another_rule_makes_another_file(tmp_path: Path, rng: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    values = picture((1200, 700), rng)
    own = made(tmp_path, values).read_bytes()
    (tmp_path / "other").mkdir()
    monkeypatch.setattr(
        overviews, "halved_by_majority", lambda rows, nodata: rows[: len(rows) // 2 * 2 : 2, ::2].copy()
    )
    assert own != made(tmp_path / "other", values).read_bytes()


@pytest.mark.parametrize("shape", [(1201, 901), (1200, 900)])
def test_the_rows_read_at_a_time_change_nothing(
    shape: tuple[int, int], tmp_path: Path, rng: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = picture(shape, rng)
    raw = tmp_path / "pixels.raw"
    values.tofile(raw)
    layer, grid = Layer.of_classes("classes", tmp_path / "map.tif", CLASSES), Grid(UTM, NORTH_UP, shape[1], shape[0])
    for band in (1, 1 << 14, 1 << 30):
        monkeypatch.setattr(overviews, "_BAND", band)
        files = write_overviews(layer, grid, raw, block=BLOCK)
        assert [size for _, size in files] == overview_shapes(shape, BLOCK) == [(600, 450), (300, 225)]
        expected = values
        for file, size in files:
            expected = halved_by_majority(expected, 0)
            assert np.array_equal(np.fromfile(file, "uint8").reshape(size), expected)


def test_twin_rows_that_are_missed_where_two_strips_meet_are_noticed(rng: Any) -> None:
    values = picture((31, 40), rng)
    parts = [halved_by_majority(values[top : top + 10], 0) for top in range(0, 30, 10)]  # without the shared row
    assert not np.array_equal(np.concatenate(parts), halved_by_majority(values, 0))


def test_gdal_makes_those_of_means_and_of_rasters_a_pixel_wide(tmp_path: Path) -> None:
    classes = Layer.of_classes("classes", tmp_path / "map.tif", CLASSES)
    means = Layer("confidence", tmp_path / "c.tif", "uint8", mask=True)
    assert write_overviews(classes, Grid(UTM, NORTH_UP, 3, 2000), tmp_path / "none.raw", block=BLOCK) == []
    assert write_overviews(means, Grid(UTM, NORTH_UP, 2000, 2000), tmp_path / "none.raw", block=BLOCK) == []


def test_no_overview_lies_about_afterwards(tmp_path: Path, rng: Any) -> None:
    path = made(tmp_path, picture((1200, 700), rng))
    assert {file.name for file in tmp_path.iterdir()} == {"map.tif", "map.tif.aux.xml", "map.qml"}
    with rasterio.open(path) as raster:
        assert raster.overviews(1) == [2, 4]
