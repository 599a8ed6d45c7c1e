"""Rasters at the limits of what is a map, disks that are full and hands on Ctrl-C: a valid file, or a sentence."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from rasterio.features import rasterize

from landseg.export import export
from landseg.geo.grid import Grid
from landseg.output.vector_writer import Writer
from landseg.vector import centerlines, outlines
from landseg.vector.topology.joining import PointStore
from tests.parts.commands import run
from tests.parts.vector import GRIDS, SUFFIXES, blocky, read, write_classes

pytestmark = pytest.mark.usefixtures("quick_disk")

QUIET: dict[str, Any] = {"quiet": True}
Write = Callable[..., Path]
EVERYTHING: dict[str, Any] = {
    "simplify": 1,
    "smooth": True,
    "min_area": 0.3,
    "majority": 3,
    "sieve": 2,
    "centerlines": "2",
    "centroids": "1",
}
PLACES = {
    "sheared": Affine(0.5, 0.3, 500_000, 0, -0.5, 5_400_000),
    "mirrored": Affine(-0.5, 0, 500_000, 0, -0.5, 5_400_000),
    "a quarter turned": Affine(0, 0.5, 500_000, 0.25, 0, 5_400_000),
}


@pytest.mark.parametrize("name", PLACES)
def test_pixels_of_any_shape_come_back(tmp_path: Path, write_raster: Write, rng: Any, name: str) -> None:
    values = blocky(rng, GRIDS["north-up"])
    raster = write_raster(values, nodata=0, transform=PLACES[name])
    export(raster, tmp_path / "p.fgb", **QUIET)
    frame = read(tmp_path / "p.fgb")
    shapes = list(zip(frame.geometry, frame.value, strict=True))
    assert np.array_equal(rasterize(shapes, values.shape, transform=PLACES[name], dtype="uint8"), values)
    assert frame.area_m2.sum() == pytest.approx((values > 0).sum() * abs(PLACES[name].determinant))
    export(raster, tmp_path / "q.fgb", **EVERYTHING, **QUIET)
    assert shapely.is_valid(read(tmp_path / "q.fgb").geometry.to_numpy()).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1)])
def test_rasters_of_one_pixel_row_or_column(tmp_path: Path, write_raster: Write, shape: tuple[int, int]) -> None:
    values = (np.arange(1, shape[0] * shape[1] + 1) // 2 % 3 + 1).astype("uint8").reshape(shape)
    raster = write_raster(values)
    done = export(raster, tmp_path / "p.fgb", **QUIET)
    frame = read(tmp_path / "p.fgb")
    assert done.features == len(frame) == 1 + np.count_nonzero(np.diff(values.ravel()))
    assert frame.area_m2.sum() == pytest.approx(values.size / 4)
    export(raster, tmp_path / "q.fgb", **EVERYTHING, regularize="1", **QUIET)
    assert shapely.is_valid(read(tmp_path / "q.fgb").geometry.to_numpy()).all()


def test_alpha_and_mask_are_no_data(tmp_path: Path, write_raster: Write, rng: Any) -> None:
    values = blocky(rng, GRIDS["north-up"])
    alpha = np.stack([values + 1, (values > 0) * np.uint8(255)])
    rasters = [
        write_raster(alpha, "alpha.tif", photometric="MINISBLACK", alpha="YES"),
        write_raster(values + 1, "mask.tif", valid=values > 0),
        write_raster(np.where(values, values + 1, 9).astype("uint8"), "nodata.tif", nodata=9),
    ]
    files = [tmp_path / f"{raster.stem}.fgb" for raster in rasters]
    for raster, file in zip(rasters, files, strict=True):
        export(raster, file, **QUIET)
    frames = [read(file) for file in files]
    assert set(frames[0].value) == {2, 3}
    for frame in frames[1:]:
        assert frames[0].drop(columns="geometry").equals(frame.drop(columns="geometry"))
        assert frame.geom_equals(frames[0]).all()


FIELDS = ["id", "value", "name", "area_m2", "perimeter_m", "confidence_mean", "confidence_min"]
SHORT = ["id", "value", "name", "area_m2", "perimete_m", "confi_mean", "confid_min"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_but_no_data_gives_a_file_with_its_columns(tmp_path: Path, write_raster: Write, suffix: str) -> None:
    raster = write_raster(np.zeros((9, 7), "uint8"), nodata=0)
    sure = write_raster(np.zeros((9, 7), "uint8"), "sure.tif")
    out = tmp_path / f"p{suffix}"
    export(raster, out, confidence=sure, **{**EVERYTHING, "centerlines": None, "centroids": None}, **QUIET)
    frame = read(out)
    assert len(frame) == 0
    if suffix == ".geojson":  # which has no columns without features
        return
    assert frame.crs.to_epsg() == 32633
    assert list(frame.columns)[:-1] == (SHORT if "shp" in suffix else FIELDS)
    if suffix != ".parquet":
        layer = {"layer": "p"} if suffix == ".gpkg" else {}
        info = pyogrio.read_info(out, force_feature_count=True, **layer)
        assert info["features"] == 0 and info["geometry_type"] in ("Polygon", "MultiPolygon")


def test_classes_that_are_not_there_are_named(tmp_path: Path, write_raster: Write, heard: list[str]) -> None:
    raster = write_raster(np.ones((9, 7), "uint8"))
    export(raster, tmp_path / "p.fgb", regularize="9", centerlines="1,8", **QUIET)
    assert heard == [
        f"{raster} has no pieces of 9, which --regularize names",
        f"{raster} has no pieces of 8, which --centerlines names",
    ]
    heard.clear()
    export(raster, tmp_path / "q.fgb", regularize="1", **QUIET)
    assert heard == []
    empty = write_raster(np.zeros((9, 7), "uint8"), "empty.tif", nodata=0)
    done = export(empty, tmp_path / "r.fgb", by_class_files=True, **QUIET)
    assert done.files == () and heard == [
        f"{empty} has neither a class table nor pixels of a class: there is no file to write"
    ]


@pytest.fixture
def town(tmp_path: Path, rng: Any) -> Path:
    grid = GRIDS["north-up"]
    return write_classes(tmp_path / "town.tif", grid, blocky(rng, grid))


def test_a_folder_is_no_file(town: Path, tmp_path: Path) -> None:
    folder = tmp_path / "maps"
    folder.mkdir()
    (tmp_path / "maps.gpkg").mkdir()
    for out in (folder, tmp_path / "maps.gpkg", f"{folder}/"):
        code, printed, err = run("export", town, out, "--overwrite")
        assert (code, printed) == (1, "") and len(err.strip().splitlines()) == 1
        assert f"{str(out).rstrip('/')} is a folder: name a file in it" in err
    assert not list(folder.iterdir()) and not list((tmp_path / "maps.gpkg").iterdir())


WORDS = ["--simplify", "1", "--smooth", "--centerlines", "road", "--centroids", "building", "--overwrite"]
MOMENTS: list[tuple[Any, str]] = [
    (PointStore, "add"),
    (outlines, "simplify"),
    (centerlines, "thin"),
    (Writer, "write"),
    (Writer, "finish"),
]


def stopped(
    town: Path, monkeypatch: pytest.MonkeyPatch, place: Any, name: str, error: BaseException
) -> tuple[int, str]:
    """How an export over an existing file ends whose ``name`` fails the second time; nothing is left of it."""
    out, real, calls = town.with_name("p.gpkg"), getattr(place, name), 0
    out.write_bytes(b"mine")
    before = {path.name: path.read_bytes() for path in town.parent.iterdir()}

    def fail(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == (1 if place in (outlines, centerlines) else 2):
            raise error
        return real(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(place, name, fail)
        code, printed, err = run("export", town, out, *WORDS)
    assert printed == "" and "Traceback" not in err
    assert before == {path.name: path.read_bytes() for path in town.parent.iterdir()}
    return code, err.strip().splitlines()[-1]


@pytest.mark.parametrize(("place", "name"), MOMENTS)
def test_ctrl_c_leaves_nothing_and_keeps_what_was(
    town: Path, monkeypatch: pytest.MonkeyPatch, place: Any, name: str
) -> None:
    code, sentence = stopped(town, monkeypatch, place, name, KeyboardInterrupt())
    assert code == 130 and "interrupted; no half-written output is left" in sentence


@pytest.mark.parametrize(("place", "name"), MOMENTS)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EIO])
def test_a_disk_that_refuses_is_a_sentence(
    town: Path, monkeypatch: pytest.MonkeyPatch, place: Any, name: str, number: int
) -> None:
    code, sentence = stopped(town, monkeypatch, place, name, OSError(number, "No more"))
    assert code == 1
    if number == errno.EIO:
        assert "cannot write " in sentence and "p.gpkg (No more): choose a folder" in sentence
    else:
        assert "the disk of " in sentence and "nothing was kept: make space there" in sentence
        assert "--resume" not in sentence


def test_room_for_lines_is_asked_for_before(town: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hole in a file that no disk has room for would end the process when it is written to."""
    asked: list[int] = []

    def refuse(descriptor: int, start: int, size: int) -> None:
        asked.append(size)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", refuse)
    code, _, err = run("export", town, town.with_name("p.gpkg"), "--centerlines", "road")
    assert code == 1 and "nothing was kept: make space there" in err and asked == [25 * 33]
    assert [path.name for path in town.parent.iterdir() if path.suffix == ".gpkg" or "landseg" in path.name] == []


@pytest.mark.parametrize("name", ["north-up", "no CRS"])
def test_without_a_crs_it_is_said_once(tmp_path: Path, rng: Any, heard: list[str], name: str) -> None:
    grid: Grid = GRIDS[name]
    raster = write_classes(tmp_path / "map.tif", grid, blocky(rng, grid))
    export(raster, tmp_path / "p.fgb", **EVERYTHING, **QUIET)
    said = [f"{raster} has no coordinate system: sizes are in pixels"] if name == "no CRS" else []
    assert [text for text in heard if "coordinate" in text] == said
