"""Band statistics of images: of all their pixels, or of a sample that is even over all of every image."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import landseg.scenes.sampled_statistics
from landseg.errors import TrainingError
from landseg.geo.grid import Rect
from landseg.geo.pieces import spread, unit_of
from landseg.geo.rasters.source import FileSource
from landseg.geo.rasters.statistics import BandStatistics
from landseg.scenes.sampled_statistics import sampled_statistics
from landseg.training.recipe_from_files import DataFiles, fill_recipe

PLACE = rasterio.Affine(10, 0, 333000, 0, -10, 3065000)


def save(path: Path, pixels: NDArray[np.generic], **profile: object) -> Path:
    shape = {"count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2], "dtype": pixels.dtype}
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:32645", transform=PLACE, **shape, **profile) as out:
        out.write(pixels)
    return path


def whole(paths: list[Path]) -> list[tuple[float, float]]:
    """Mean and standard deviation of each band over every pixel with data."""
    values = []
    for path in paths:
        with FileSource(path) as source:
            pixels, valid = source.read(source.grid.rect)
            values.append(pixels[:, valid].astype(np.float64))
    joined = np.concatenate(values, axis=1)
    return [(float(band.mean()), float(band.std())) for band in joined]


def by_top_left(paths: list[Path], edge: int) -> list[BandStatistics]:
    """What was measured before: one window in the top left corner of each image."""
    with FileSource(paths[0]) as source:
        found = [BandStatistics(source.dtype) for _ in range(source.count)]
    for path in paths:
        with FileSource(path) as source:
            pixels, valid = source.read(Rect(0, 0, edge, edge))
            for band, one in zip(pixels, found, strict=True):
                one.update(band[valid])
    return found


def assert_near(found: list[BandStatistics], paths: list[Path], *, within: float = 0.08) -> None:
    for one, (mean, std) in zip(found, whole(paths), strict=True):
        assert abs(one.mean - mean) < within * std and abs(one.std / std - 1) < within, (one.mean, mean, one.std, std)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget that small test images exceed as many large ones exceed the real one."""
    monkeypatch.setattr(landseg.scenes.sampled_statistics, "BUDGET", 1 << 16)
    monkeypatch.setattr(landseg.scenes.sampled_statistics, "_ENOUGH", 1 << 12)
    monkeypatch.setattr(landseg.scenes.sampled_statistics, "_EDGE", 16)
    monkeypatch.setattr(landseg.scenes.sampled_statistics, "_SMALL", 8)


def scene(number: int, *, edge: int = 256, corner: int = 10, dtype: str = "uint16") -> NDArray[np.generic]:
    """Reflectance that rises to the lower right, over a dark corner at the top left, (2, h, w)."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:edge, :edge] / edge
    pixels = np.stack([200 + 900 * x * y, 400 + 500 * x]) + rng.normal(0, 30, (2, edge, edge)) + 10 * number
    pixels[:, : edge // 2, : edge // 2] = corner
    return pixels.clip(1).astype(dtype)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("count", [1, 3, 22, 40])
@pytest.mark.parametrize("layout", [{}, {"tiled": True, "blockxsize": 64, "blockysize": 64}])
def test_dark_corners_do_not_stand_for_the_images(tmp_path: Path, count: int, layout: dict[str, object]) -> None:
    paths = [save(tmp_path / f"{number}.tif", scene(number), **layout) for number in range(count)]
    assert_near(sampled_statistics(paths, FileSource), paths)
    with pytest.raises(AssertionError):
        assert_near(by_top_left(paths, 64), paths)  # twin: mean 10, as it was


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("count", [1, 22, 40])
def test_corners_without_data_are_replaced(tmp_path: Path, count: int) -> None:
    paths = [save(tmp_path / f"{number}.tif", scene(number, corner=0), nodata=0) for number in range(count)]
    for path in paths:
        with rasterio.open(path, "r+") as file:
            pixels = file.read()
            pixels[:, :128, :128] = 0
            file.write(pixels)
    found = sampled_statistics(paths, FileSource)
    assert_near(found, paths)
    assert found[0].minimum > 0
    assert not by_top_left(paths, 64)[0].count, "twin: no pixel holds data, as it was said"


@pytest.mark.usefixtures("small")
def test_a_little_data_is_looked_for_until_it_is_found(tmp_path: Path) -> None:
    """One image in thirty holds data, in a hundredth of its pixels."""
    blank = np.zeros((1, 256, 256), np.uint16)
    paths = [save(tmp_path / f"{number}.tif", blank, nodata=0) for number in range(29)]
    island = blank.copy()
    island[0, 180:206, 31:57] = 500 + np.arange(26 * 26).reshape(26, 26) % 7
    paths.append(save(tmp_path / "island.tif", island, nodata=0))
    (found,) = sampled_statistics(paths, FileSource)
    ((mean, std),) = whole(paths)
    assert found.count == 26 * 26 and found.mean == pytest.approx(mean) and found.std == pytest.approx(std)


@pytest.mark.usefixtures("small")
def test_a_sample_reads_no_more_than_its_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [save(tmp_path / f"{number}.tif", scene(number)) for number in range(22)]
    read: list[Rect] = []
    original = FileSource._read

    def counted(self: FileSource, rect: Rect) -> object:
        read.append(rect)
        return original(self, rect)

    monkeypatch.setattr(FileSource, "_read", counted)
    first = [(one.mean, one.std) for one in sampled_statistics(paths, FileSource)]
    assert sum(rect.area for rect in read) <= 1.1 * landseg.scenes.sampled_statistics.BUDGET
    again = [(one.mean, one.std) for one in sampled_statistics(paths, FileSource)]
    assert again == first, "the same for the same images"


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_what_fits_the_budget_is_read_whole(tmp_path: Path, dtype: str) -> None:
    paths = [save(tmp_path / f"{number}.tif", scene(number, dtype=dtype)) for number in range(25)]
    for one, (mean, std) in zip(sampled_statistics(paths, FileSource), whole(paths), strict=True):
        assert one.count == 25 * 256 * 256
        assert one.mean == pytest.approx(mean, rel=1e-9) and one.std == pytest.approx(std, rel=1e-9)


SIZES, EDGES = st.integers(1, 70), st.integers(1, 20)


@given(shape=st.tuples(SIZES, SIZES), unit=st.tuples(EDGES, EDGES), start=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_units_partition_a_raster(shape: tuple[int, int], unit: tuple[int, int], start: int) -> None:
    seen = np.zeros(shape, int)
    for rect in spread(shape, unit, start=start):
        seen[rect.slices] += 1
    assert (seen == 1).all()


@given(count=st.integers(16, 400), start=st.integers(0, 200))
@settings(max_examples=60, deadline=None)
def test_the_first_units_are_spread_over_all_of_it(count: int, start: int) -> None:
    rects = [rect for rect, _ in zip(spread((4000, 4000), (40, 40), start=start), range(count), strict=False)]
    for half in (
        lambda rect: rect.top < 2000,
        lambda rect: rect.left < 2000,
        lambda rect: (rect.top < 2000) == (rect.left < 2000),
    ):
        # Squares drawn at random would miss this in a sixth of all cases; over all of these counts and starts the
        # largest is 0.65.
        assert abs(sum(map(half, rects)) / count - 0.5) < 0.7 / count**0.5


def test_units_follow_the_blocks() -> None:
    assert unit_of((5000, 8000), (512, 512), 128) == (128, 128)
    assert unit_of((5000, 8000), (64, 8000), 128) == (64, 256)
    assert unit_of((5000, 90), (90, 1), 128) == (128, 90)
    assert unit_of((30, 40), (1, 40), 128) == (30, 40)


def table_of(paths: list[Path], folder: Path) -> dict[str, object]:
    (folder / "classes.toml").write_text('[[classes]]\nvalue = 1\nname = "a"\n[[classes]]\nvalue = 2\nname = "b"\n')
    labels = folder / "labels"
    labels.mkdir()
    for path in paths:
        with rasterio.open(path) as file:
            save(labels / path.name, np.ones((1, *file.shape), np.uint8), nodata=0)
    data = DataFiles(tuple(map(str, paths)), (str(labels),), classes=folder / "classes.toml")
    return fill_recipe({}, data, name="m")


def test_training_on_small_numbers_keeps_their_digits(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(3e-6, 4e-7, (1, 64, 64)).astype(np.float32)
    (band,) = table_of([save(tmp_path / "a.tif", values)], tmp_path)["bands"]  # type: ignore[misc]
    assert band["mean"] == pytest.approx(values.mean(), rel=1e-5)
    assert band["std"] == pytest.approx(values.std(), rel=1e-5)  # 1.0, as it was, would show a network nothing


@pytest.mark.parametrize("lowest", [float(np.finfo(np.float32).min), float(np.finfo(np.float32).max)])
def test_numbers_that_nothing_measures_are_refused(tmp_path: Path, lowest: float) -> None:
    values = np.random.default_rng(0).normal(0.3, 0.1, (1, 64, 64)).astype(np.float32)
    values[:, :9] = lowest
    with pytest.raises(TrainingError, match=r"holds -?3.40282e\+38, which nothing measures.*-a_nodata"):
        table_of([save(tmp_path / "a.tif", values)], tmp_path)
