"""Inspection before training: what is counted, and what is found to be wrong."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from landseg.classes import ClassMap
from landseg.data import inspect_data
from landseg.errors import LandsegError, OutputError, TrainingError
from landseg.geo.rasters.statistics import BandStatistics
from landseg.geo.reduce import SMALL_EDGE
from landseg.report.sheet import cell_edge, drawn_over
from landseg.scenes.data_report import DataReport
from tests.parts.places import HALF_METRE

Write = Callable[..., Path]
TABLE = """ignore = [9]
[[classes]]
value = 1
name = "land"
color = "#ff0000"
[[classes]]
value = 2
name = "water"
color = "#0000ff"
"""


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Folders of images and labels, and a class table."""
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    (tmp_path / "classes.toml").write_text(TABLE)
    return tmp_path / "images", tmp_path / "labels", tmp_path / "classes.toml"


def moved(columns: int) -> Affine:
    return HALF_METRE @ Affine.translation(columns, 0)


def pixels(seed: int, bands: int = 3, shape: tuple[int, int] = (30, 40)) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 255, (bands, *shape), np.uint8)


def halves(shape: tuple[int, int] = (30, 40), first: int = 1, second: int = 2) -> np.ndarray:
    found = np.full(shape, first, np.uint8)
    found[:, shape[1] // 2 :] = second
    return found


def kinds(found: DataReport) -> set[str]:
    return {one.kind for one in found.findings}


def told(found: DataReport) -> str:
    return "\n".join(f"{one.kind}: {one.text}" for one in found.findings)


def look(folders: tuple[Path, Path, Path], **options: Any) -> DataReport:
    images, labels, table = folders
    return inspect_data([str(images)], str(labels), **({"classes": table} | options))


def write_pair(write: Write, number: int, labels: np.ndarray | None = None, **more: Any) -> None:
    """An image 100 columns right of the one before it, and its labels."""
    place = {"transform": moved(100 * number)} | more
    write(pixels(number), f"images/scene{number}x.tif", **place)
    write(halves() if labels is None else labels, f"labels/scene{number}x_labels.tif", **place)


def test_sound_data(folders: tuple[Path, Path, Path], write_raster: Write) -> None:
    labels = halves()
    labels[0] = 9
    for number in range(2):
        write_pair(write_raster, number, labels)
    found = look(folders)
    assert found.findings == []
    land, water = found.classes
    assert (land.pixels, land.files, land.name) == (2 * 29 * 20, 2, "land")
    assert water.share == 0.5 and water.hectares == pytest.approx(2 * 29 * 20 * 0.25 / 1e4, rel=1e-3)
    facts = found.to_json()
    assert facts["images"] == facts["labelled"] == 2 and facts["nodata_share"] == 0
    assert facts["files"][0]["pixels_by_class"] == {"land": 580, "water": 580}
    everything = np.concatenate([pixels(0)[1].ravel(), pixels(1)[1].ravel()])
    assert found.bands[1]["mean"] == pytest.approx(everything.mean())
    assert found.bands[1]["percentiles"]["p50"] == np.percentile(everything, 50, method="inverted_cdf")


def test_pixels_without_data_are_not_counted(folders: tuple[Path, Path, Path], write_raster: Write) -> None:
    image = pixels(0)
    image[:, :, :10] = 0
    write_raster(image, "images/a.tif", nodata=0)
    write_raster(halves(), "labels/a.tif")
    found = look(folders)
    assert found.classes[0].pixels == 30 * 10
    assert found.to_json()["nodata_share"] == pytest.approx(0.25)
    assert found.bands[0]["min"] >= 1


BROKEN = {
    "values": lambda write: write_pair(write, 2, halves(first=7)),
    "unpaired": lambda write: write(pixels(5), "images/alone.tif", transform=moved(900)),
    "unlabelled": lambda write: write_pair(write, 2, np.full((30, 40), 9, np.uint8)),
    "labels": lambda write: write_pair(write, 2, np.zeros((3, 30, 40), np.uint8)),
    "bands": lambda write: (
        write(pixels(5, 4), "images/four.tif", transform=moved(900)),
        write(halves(), "labels/four.tif", transform=moved(900)),
    ),
    "crs": lambda write: write_pair(write, 2, crs="EPSG:32634"),
    "resolution": lambda write: write_pair(
        write, 2, transform=HALF_METRE @ Affine.translation(900, 0) @ Affine.scale(2)
    ),
    "overlap": lambda write: write_pair(write, 2, transform=moved(10)),
    "grid": lambda write: (
        write(pixels(5), "images/coarse.tif", transform=moved(900)),
        write(halves((15, 20)), "labels/coarse.tif", transform=moved(900) @ Affine.scale(2)),
    ),
    "duplicate": lambda write: (
        write(pixels(0), "images/again.tif", transform=moved(900)),
        write(halves(), "labels/again.tif", transform=moved(900)),
    ),
    "nodata": lambda write: (
        write(np.zeros((3, 30, 40), np.uint8), "images/empty.tif", transform=moved(900), nodata=0),
        write(halves(), "labels/empty.tif", transform=moved(900)),
    ),
    "unreadable": lambda write: write(pixels(5), "images/cut.tif", transform=moved(900)).write_bytes(b"II*\0"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_wrong_is_found(folders: tuple[Path, Path, Path], write_raster: Write, kind: str) -> None:
    """Sound data have no findings (`test_sound_data`): each of these has the one of its kind."""
    for number in range(2):
        write_pair(write_raster, number)
    BROKEN[kind](write_raster)
    found = look(folders)
    assert kind in kinds(found), told(found)
    assert all(len(one.text) < 400 for one in found.findings if one.kind != "refused")  # that is train's sentence


def test_sentences(folders: tuple[Path, Path, Path], write_raster: Write) -> None:
    write_pair(write_raster, 0, halves(first=7))
    write_pair(write_raster, 1)
    write_raster(pixels(5), "images/alone.tif", transform=moved(900))
    write_raster(halves(), "labels/orphan.tif", transform=moved(900))
    text = told(look(folders))
    assert "values: values without a class in 1 file: 7 (600 px); the table has 1, 2" in text
    assert "1 of 3 images has no labels" in text and "alone.tif" in text
    assert "1 label raster belongs to no image: orphan.tif" in text
    assert "land occurs in one file only" in text


def test_sizes_that_differ_without_georeference(folders: tuple[Path, Path, Path]) -> None:
    images, labels, _ = folders
    for name, shape in (("a", (30, 40)), ("b", (20, 40))):
        Image.fromarray(pixels(1).transpose(1, 2, 0)).save(images / f"{name}.png")
        Image.fromarray(halves(shape)).save(labels / f"{name}.png")
    found = look(folders)
    assert "labels: b: b.png has 40 x 20 pixels, its image 40 x 30, and neither says where it lies" in told(found)
    assert [bool(one.values) for one in found.files] == [True, False]
    assert "2 files hold the same pixels: a, b" in told(found)


def test_values_without_a_table(folders: tuple[Path, Path, Path], write_raster: Write) -> None:
    write_pair(write_raster, 0)
    found = look(folders, classes=None, ignore=(2,))
    assert [one.name for one in found.classes] == ["value 1"]
    assert "name them with --classes" in told(found)
    assert "without a class" not in told(found)


def outlines(path: Path) -> Path:
    x, y = HALF_METRE.c, HALF_METRE.f
    shapes = [shapely.box(x, y - 5, x + 10, y), shapely.box(x + 10, y - 5, x + 15, y)]
    geopandas.GeoDataFrame({"kind": ["house", "pond"]}, geometry=shapes, crs=32633).to_file(path)
    return path


def test_polygons(folders: tuple[Path, Path, Path], write_raster: Write, tmp_path: Path) -> None:
    write_pair(write_raster, 0)
    write_pair(write_raster, 1)
    drawn = str(outlines(tmp_path / "drawn.gpkg"))
    images = [str(folders[0])]
    found = inspect_data(images, drawn, class_field="kind")
    assert [(one.name, one.pixels) for one in found.classes] == [("house", 200), ("pond", 100)]
    assert "labels: scene1x: no polygon lies on it" in told(found)
    found = inspect_data(images, drawn, background="land")
    assert [(one.name, one.pixels) for one in found.classes] == [
        ("drawn", 300),
        ("land", 2100),
    ]  # all of scene1x, as train takes it
    found = inspect_data(images, drawn, class_field="kind", classes=folders[2])
    assert "house (200 px), pond (100 px); the table has land, water" in told(found)
    with pytest.raises(LandsegError, match="has no column 'sort'"):
        inspect_data(images, drawn, class_field="sort")


def test_leaks_of_a_split(folders: tuple[Path, Path, Path], write_raster: Write) -> None:
    for number in range(4):
        write_pair(write_raster, number)
    write_pair(write_raster, 4, transform=moved(310))
    kept_together = look(folders, split="file")
    assert kept_together.split is not None and "leak" not in kinds(kept_together)
    blocks = look(folders, split="block", block=10)
    assert "leak: scene3x and scene4x overlap by 75%" in told(blocks)
    assert blocks.split is not None and sum(blocks.split.kept_px) + sum(blocks.split.learned_px) == 5 * 1200
    facts = blocks.to_json()["split"]
    assert set(facts) == {"by", "kept_share", "learned", "kept", "learned_pixels", "kept_pixels"}
    assert facts["by"] == "block"


def test_an_impossible_split_is_a_finding(folders: tuple[Path, Path, Path], write_raster: Write) -> None:
    write_pair(write_raster, 0)
    found = look(folders, split="file")
    assert found.split is None and "split: there is one file only" in told(found)


def write_png(path: Path) -> Path:
    Image.fromarray(np.full((8, 9, 3), 90, np.uint8)).save(path)
    return path


def test_the_sheet(folders: tuple[Path, Path, Path], write_raster: Write, tmp_path: Path) -> None:
    for number in range(2):
        write_pair(write_raster, number)
    look(folders, sheet=tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB")).astype(int)
    assert sheet.shape[0] > SMALL_EDGE and sheet.shape[1] >= 2 * SMALL_EDGE
    edge = cell_edge(2)
    times = edge / 40
    assert edge > SMALL_EDGE and sheet.shape[1] == 2 * (edge + 14) + 14, "two scenes fill the page"
    red, _, blue = sheet[44 : 44 + round(30 * times), 14 : 14 + edge].transpose(2, 0, 1)
    rows = slice(round(5 * times), round(25 * times))
    left, right = (
        slice(round(edge / 2 + first * times), round(edge / 2 + last * times)) for first, last in ((-18, -3), (3, 18))
    )
    assert red[rows, left].mean() > blue[rows, left].mean() + 50, "land is red, on the left"
    assert blue[rows, right].mean() > red[rows, right].mean() + 50
    with pytest.raises(OutputError, match="--overwrite"):
        look(folders, sheet=tmp_path / "sheet.png")
    with pytest.raises(OutputError, match=r"sheet\.png"):
        look(folders, sheet=tmp_path / "sheet.jpg")
    image = write_png(tmp_path / "image.png")
    before = image.read_bytes()
    with pytest.raises(OutputError, match=r"image\.png is an input of this run"):
        inspect_data([str(image)], None, sheet=image, overwrite=True)
    assert image.read_bytes() == before


def test_a_single_scene_is_as_large_as_the_page(
    folders: tuple[Path, Path, Path], write_raster: Write, tmp_path: Path
) -> None:
    write_pair(write_raster, 0)
    look(folders, sheet=tmp_path / "one.png")
    with Image.open(tmp_path / "one.png") as sheet:
        width, height = sheet.size
    assert width > 1000 and 800 < height < 1100, "30 x 40 pixels, each 30 wide, and no empty square below"
    for number in range(1, 8):
        write_pair(write_raster, number)
    look(folders, sheet=tmp_path / "eight.png")
    with Image.open(tmp_path / "eight.png") as sheet:
        assert 1600 < sheet.size[0] < 1800 and sheet.size[1] < 1800


@pytest.mark.parametrize("count", range(1, 31))
def test_every_sheet_keeps_to_the_page(count: int) -> None:
    edge = cell_edge(count)
    columns = min(count, (1778 - 14) // (edge + 14))
    rows = -(-count // columns)
    assert columns * (edge + 14) + 14 <= 1778 and rows * (edge + 54) <= 2000
    assert edge >= cell_edge(count + 1)


def test_what_is_unknown_is_not_tinted() -> None:
    classes = ClassMap.from_json([{"value": 1, "name": "a", "color": "#00ff00"}])
    grey = np.full((4, 6, 3), 100, np.uint8)
    labels = np.full((4, 6), 255, np.uint8)
    assert np.array_equal(drawn_over(grey, labels, classes), grey)
    labels[:, 3:] = 0
    drawn = drawn_over(grey, labels, classes)
    assert np.array_equal(drawn[:, :3], grey[:, :3])
    assert (drawn[:, 3:, 1] > 150).all() and (drawn[:, 3:, 0] < 70).all()


def test_nothing_to_inspect(folders: tuple[Path, Path, Path], write_raster: Write, tmp_path: Path) -> None:
    images, _, _ = folders
    with pytest.raises(TrainingError):
        look(folders)
    (images / "broken.tif").write_bytes(b"no raster")
    with pytest.raises(TrainingError, match="no image can be read"):
        look(folders)
    write_raster(pixels(0), "images/a.tif")
    with pytest.raises(TrainingError, match="nowhere does not exist"):
        inspect_data([str(images)], "nowhere")
    with pytest.raises(TrainingError, match="--class-field goes with a vector file"):
        look(folders, class_field="kind")
    only = inspect_data([str(images)], None, sheet=tmp_path / "sheet.png")
    assert "no labels were named" in told(only) and only.classes == []


def figures(one: BandStatistics) -> list[float]:
    return [one.minimum, one.mean, one.std, one.maximum, *one.percentiles()]


def assert_statistics(parts: Sequence[np.ndarray], gathered: BandStatistics) -> None:
    """The figures are NumPy's of all values at once."""
    values = np.concatenate(parts).astype(np.float64)
    expected = [values.min(), values.mean(), values.std(), values.max()]
    expected += np.percentile(values, (2, 25, 50, 75, 98), method="inverted_cdf").tolist()
    assert np.allclose(figures(gathered), expected, rtol=1e-9, atol=1e-9 * max(1.0, np.abs(values).max()))


dtypes = st.sampled_from(["uint8", "int16", "uint16", "float32", "int32"])


@settings(max_examples=40)
@given(dtypes, st.lists(st.integers(1, 200), min_size=1, max_size=5), st.integers(0, 99), st.booleans())
def test_statistics_in_parts(dtype: str, sizes: list[int], seed: int, merged: bool) -> None:
    rng = np.random.default_rng(seed)
    parts = [(rng.normal(90, 20, size)).astype(dtype) for size in sizes]
    whole = BandStatistics(dtype)
    for part in parts:
        own = BandStatistics(dtype) if merged else whole
        own.update(part)
        if merged:
            whole.merge(own)
    assert_statistics(parts, whole)


def test_a_part_left_out_is_caught(rng: np.random.Generator) -> None:
    parts = [rng.integers(0, 255, 50).astype("uint8") for _ in range(3)]
    gathered = BandStatistics("uint8")
    for part in parts[:2]:
        gathered.update(part)
    with pytest.raises(AssertionError):
        assert_statistics(parts, gathered)


def test_many_floats_are_sampled_evenly() -> None:
    gathered = BandStatistics("float32")
    for start in range(10):
        gathered.update(np.arange(start * 50_000, (start + 1) * 50_000, dtype="float32"))
    assert gathered.maximum == 499_999 and gathered.mean == pytest.approx(249_999.5)
    for share, value in zip((2, 25, 50, 75, 98), gathered.percentiles(), strict=True):
        assert abs(value / 5000 - share) < 1
    assert sum(len(part) for part in gathered._sample) <= 1 << 17


def test_statistics_of_nothing() -> None:
    for dtype in ("uint8", "float32"):
        assert all(math.isnan(value) for value in figures(BandStatistics(dtype)))


def test_labels_that_lie_elsewhere(folders: tuple[Path, Path, Path], write_raster: Write) -> None:
    write_pair(write_raster, 0)
    write_raster(pixels(3), "images/b.tif", transform=moved(500))
    write_raster(halves(), "labels/b.tif", transform=moved(5000))
    found = look(folders)
    assert "labels: b: b.tif covers" in told(found)
    assert sum(one.pixels for one in found.classes) == 1200, "only those of the other file"


def test_a_band_that_is_called_alpha(folders: tuple[Path, Path, Path], write_raster: Write) -> None:
    """GDAL calls any fourth byte alpha; one that is opacity holds two values, not many."""
    write_pair(write_raster, 0)
    opaque = np.concatenate([pixels(5), np.full((1, 30, 40), 255, np.uint8)])
    write_raster(opaque, "images/rgba.tif", transform=moved(500))
    assert "alpha" not in told(look(folders))
    write_raster(pixels(5, 4), "images/infrared.tif", transform=moved(900))
    assert "band 4 is called alpha and holds many values in 1 image: infrared" in told(look(folders))


def test_images_that_are_nearly_the_same_picture_are_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    first, other = (rng.integers(0, 250, (3, 60, 60)).astype(np.uint8) for _ in range(2))
    for name, pixels in (("a", first), ("b", first[:, ::-1] + np.uint8(1)), ("c", other)):
        with rasterio.open(
            tmp_path / f"{name}.tif", "w", driver="GTiff", count=3, height=60, width=60, dtype="uint8"
        ) as raster:
            raster.write(pixels)
    kinds = {one.kind: one.text for one in inspect_data([str(tmp_path)], None).findings}
    assert kinds["duplicate"].startswith("1 pair of images is nearly the same picture: a and b (mirrored);")
