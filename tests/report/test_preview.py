"""The preview: a picture of any raster, with the right colours in the right places."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from PIL import Image

from landseg.classes import ClassMap, LandClass
from landseg.errors import GridError
from landseg.geo.grid import Rect
from landseg.geo.rasters.mosaic import open_source
from landseg.geo.rasters.raster import RasterFile
from landseg.labels.id_rasters import NODATA
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.output.targets import Targets
from landseg.report import thumbnail
from landseg.report.objects import object_colors
from landseg.report.preview import preview
from landseg.report.thumbnail import EMPTY, class_samples, id_samples, image_colors

CLASSES = ClassMap((LandClass(1, "building", (255, 0, 0)), LandClass(2, "road", (0, 0, 255))))


def draw(tmp_path: Path, raster: Path, values: Any, rect: Rect | None = None, **options: Any) -> Any:
    """The preview's pixels (h, w, 3)."""
    with open_source(raster) as source:
        grid = source.grid.crop(rect or source.grid.rect)
        layer = Layer.of_classes("classes", tmp_path / "map.tif", CLASSES)
        with Outputs.begin(Targets([layer], overwrite=True), grid, signature={}) as outputs:
            outputs.write("classes", grid.rect, values)
            outputs.finish()
        preview(source, layer.path, CLASSES, tmp_path / "p.png", **options)
    assert not list(tmp_path.glob(".p.*"))
    return np.asarray(Image.open(tmp_path / "p.png")).astype(int)


def reddish(picture: Any) -> Any:
    return (picture[..., 0] > 150) & (picture[..., 1] < 120) & (picture[..., 2] < 120)


def bluish(picture: Any) -> Any:
    return (picture[..., 2] > 150) & (picture[..., 0] < 120) & (picture[..., 1] < 120)


SHAPES = [(1, 1), (3, 2), (7, 5000), (5000, 7), (300, 400), (900, 200)]
KINDS = [("uint8", 1), ("uint8", 3), ("uint8", 4), ("uint16", 4), ("float32", 1), ("float32", 2)]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_a_picture(
    tmp_path: Path, write_raster: Callable[..., Path], rng: Any, shape: tuple[int, int]
) -> None:
    raster = write_raster(rng.integers(0, 255, (3, *shape), dtype="uint8"))
    picture = draw(tmp_path, raster, np.ones(shape, "uint8"), max_size=600)
    assert max(picture.shape) <= 700
    assert reddish(picture).sum() > 500


@pytest.mark.parametrize(("dtype", "bands"), KINDS)
def test_every_kind_of_pixel_gives_a_picture(
    tmp_path: Path, write_raster: Callable[..., Path], rng: Any, dtype: str, bands: int
) -> None:
    pixels = (rng.random((bands, 60, 80)) * 200).astype(dtype)
    if dtype == "float32":
        pixels[:, :30, :40] = np.nan
    picture = draw(tmp_path, write_raster(pixels), np.full((60, 80), 2, "uint8"), max_size=600)
    classes = picture[:330, 310:]  # beside the imagery and above the legend
    assert bluish(classes).sum() > 5000
    assert not reddish(classes).any()


def test_classes_lie_where_they_are(tmp_path: Path, write_raster: Callable[..., Path]) -> None:
    values = np.full((400, 400), 2, "uint8")
    values[:100] = 1
    raster = write_raster(np.full((3, 400, 400), 120, "uint8"))
    picture = draw(tmp_path, raster, values)
    rows = np.flatnonzero(reddish(picture[:, 600:900]).mean(axis=1) > 0.5)
    blue = np.flatnonzero(bluish(picture[:, 600:900]).mean(axis=1) > 0.3)
    assert rows.max() < blue.max()
    assert len(rows) / (len(rows) + len(blue)) == pytest.approx(0.25, abs=0.02)


def test_south_up_rasters_are_shown_north_up(tmp_path: Path, write_raster: Callable[..., Path]) -> None:
    values = np.full((400, 400), 2, "uint8")
    values[:100] = 1
    turned = Affine(0.5, 0, 500_000, 0, 0.5, 5_400_000)
    raster = write_raster(np.full((3, 400, 400), 120, "uint8"), transform=turned)
    picture = draw(tmp_path, raster, values)
    red = np.flatnonzero(reddish(picture[:, 600:900]).mean(axis=1) > 0.5)
    blue = np.flatnonzero(bluish(picture[:, 600:900]).mean(axis=1) > 0.3)
    assert red.min() > blue.min()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_raster_without_data_gives_a_picture(tmp_path: Path, write_raster: Callable[..., Path]) -> None:
    raster = write_raster(np.zeros((3, 50, 60), "uint8"), nodata=0, crs=None)
    picture = draw(tmp_path, raster, np.zeros((50, 60), "uint8"))
    assert not reddish(picture).any() and not bluish(picture).any()
    assert (picture == EMPTY).all(axis=-1).mean() > 0.3


def test_a_part_of_the_source_is_shown_with_its_own_imagery(
    tmp_path: Path, write_raster: Callable[..., Path]
) -> None:
    pixels = np.zeros((3, 300, 300), "uint8")
    pixels[1, 100:200, 100:200] = 255  # green only where the part is
    picture = draw(tmp_path, write_raster(pixels), np.ones((100, 100), "uint8"), Rect(100, 100, 100, 100))
    green = (picture[..., 1] > 200) & (picture[..., 0] < 50)
    assert green.mean() > 0.2


def test_a_foreign_class_raster_is_refused(tmp_path: Path, write_raster: Callable[..., Path]) -> None:
    imagery = write_raster(np.zeros((3, 30, 30), "uint8"))
    other = write_raster(np.ones((1, 20, 20), "uint8"), "o.tif", transform=Affine(0.5, 0, 0, 0, -0.5, 0))
    with open_source(imagery) as source, pytest.raises(GridError, match="is no part of"):
        preview(source, other, CLASSES, tmp_path / "p.png")
    assert not (tmp_path / "p.png").exists()


@pytest.mark.parametrize("piece", [16, 100, 8192])
@pytest.mark.parametrize("shape", [(37, 53), (300, 217), (450, 500)])
def test_pieces_make_the_same_picture_and_count_every_pixel_once(
    write_raster: Callable[..., Path], rng: Any, monkeypatch: pytest.MonkeyPatch, piece: int, shape: tuple[int, int]
) -> None:
    values = rng.integers(0, 3, (300, 217), dtype="uint8")
    raster = RasterFile(write_raster(values[None]))
    with open_source(raster.path) as source:
        expected = image_colors(source, source.grid.rect, shape)[0], class_samples(raster, shape)[0]
        monkeypatch.setattr(thumbnail, "PIECE", piece)
        colors, samples = image_colors(source, source.grid.rect, shape)[0], class_samples(raster, shape)
    raster.close()
    assert np.array_equal(colors, expected[0])
    assert np.array_equal(samples[0], expected[1])
    assert samples[1] == {value: int((values == value).sum()) for value in range(3)}


def test_dull_imagery_is_stretched_and_lively_imagery_is_not(write_raster: Callable[..., Path], rng: Any) -> None:
    lively = rng.integers(0, 256, (3, 50, 50), dtype="uint8")
    with open_source(write_raster(lively)) as source:
        assert np.array_equal(image_colors(source, source.grid.rect, (50, 50))[0], lively.transpose(1, 2, 0))
    dull = (100 + lively // 16).astype("uint8")
    with open_source(write_raster(dull, "dull.tif")) as source:
        assert np.ptp(image_colors(source, source.grid.rect, (50, 50))[0]) == 255


HOUSES = ClassMap((LandClass(1, "building", (255, 0, 0), thing=True), LandClass(2, "ground", (0, 0, 255))))


@pytest.fixture
def town(tmp_path: Path, write_raster: Callable[..., Path]) -> tuple[Path, Path, Path]:
    """Grey imagery, a class raster with three houses in the upper half, and the ids of the left two."""
    imagery = write_raster(np.full((3, 400, 400), 120, "uint8"), "town.tif")
    values = np.full((1, 400, 400), 2, "uint8")
    ids = np.zeros((1, 400, 400), "uint32")
    for number, left in enumerate((20, 150, 280), start=1):
        values[0, 50:150, left : left + 100] = 1
        ids[0, 50:150, left : left + 100] = number if number < 3 else 0
    ids[0, 390:] = NODATA
    return imagery, write_raster(values, "map.tif", nodata=0), write_raster(ids, "ids.tif", nodata=NODATA)


def classes_of(imagery: Path, values: Path, out: Path, **options: Any) -> Any:
    """The right picture (h, w, 3) of a preview, without headings and legend."""
    with open_source(imagery) as source:
        preview(source, values, HOUSES, out, **options)
    picture = np.asarray(Image.open(out)).astype(int)
    return picture[110 : picture.shape[0] - 70, picture.shape[1] // 2 + 15 : -30]


def shown(picture: Any, color: Any, over: float = 0.55) -> Any:
    """True (h, w) where a picture has a colour over grey 120; pictures have colours of a palette."""
    light = 56 + 0.72 * 120
    return (np.abs(picture - (over * np.asarray(color) + (1 - over) * light)) < 6).all(axis=-1)


def test_objects_have_colours_of_their_own_and_the_rest_those_of_classes(tmp_path: Path, town: Any) -> None:
    imagery, values, ids = town
    picture = classes_of(imagery, values, tmp_path / "p.png", ids=ids)
    houses = [shown(picture, color) for color in object_colors(np.arange(1, 3))]
    bare = shown(picture, (0, 0, 0), over=0)  # a house in no object
    assert all(0.04 < part.mean() < 0.08 for part in [*houses, bare])
    left, right, none = (np.flatnonzero(part.mean(axis=0) > 0.2) for part in [*houses, bare])
    assert left.max() < right.min() and right.max() < none.min()
    assert shown(picture, (0, 0, 255)).mean() > 0.6  # ground
    assert not reddish(picture).any()


def test_twin_without_ids_all_houses_have_the_colour_of_their_class(tmp_path: Path, town: Any) -> None:
    picture = classes_of(*town[:2], tmp_path / "p.png")
    assert shown(picture, (255, 0, 0)).mean() > 0.12
    assert not any(shown(picture, color).any() for color in object_colors(np.arange(1, 3)))


def test_ids_are_sampled_as_classes_are_and_the_largest_is_known(town: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnail, "PIECE", 32)
    ids, classes = RasterFile(town[2]), RasterFile(town[1])
    objects, count = id_samples(ids, (100, 130))
    values, _ = class_samples(classes, (100, 130))
    ids.close()
    classes.close()
    assert count == 2
    assert (values[objects > 0] == 1).all() and (objects > 0).sum() > 800
    assert (objects[-3:] == 0).all()  # no data is no object
