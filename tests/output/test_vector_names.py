"""Files whose names are unlike most: in capitals, or as long as their class's; and what is said when none can be."""

import errno
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest

from landseg.classes import ClassMap, LandClass
from landseg.errors import OutputError
from landseg.export import export
from landseg.output.spool import Spool
from landseg.output.vector_files import class_file
from landseg.predict import predict
from tests.parts.commands import run
from tests.parts.predicting import MODEL, QUICK, noise
from tests.parts.vector import GRIDS, SUFFIXES, blocky, read, write_classes

pytestmark = pytest.mark.usefixtures("quick_disk")

QUIET: dict[str, Any] = {"quiet": True}
GRID = GRIDS["north-up"]
PARTS = (".SHP", ".SHX", ".DBF", ".PRJ", ".CPG")
Write = Callable[..., Path]


@pytest.fixture
def town(tmp_path: Path, rng: Any) -> Path:
    return write_classes(tmp_path / "town.tif", GRID, blocky(rng, GRID))


def names(folder: Path, stem: str) -> set[str]:
    """What lies in a folder and begins so, hidden or not."""
    return {path.name for path in folder.iterdir() if path.name.lstrip(".").startswith(stem)}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_capitals_are_the_same_format(town: Path, tmp_path: Path, suffix: str) -> None:
    small, large = tmp_path / f"a{suffix}", tmp_path / "b" / f"A{suffix.upper()}"
    large.parent.mkdir()
    export(town, small, **QUIET)
    done = export(town, large, **QUIET)
    assert done.files == (large,) and large.is_file()
    if suffix == ".shp":
        assert names(large.parent, "A") == {f"A{part}" for part in PARTS} | {"A.qml"}
    if suffix == ".shp.zip":
        with zipfile.ZipFile(large) as archive:
            assert archive.namelist()[0] == "A.shp"
    plain = tmp_path / "c" / f"A{suffix}"  # some readers know a suffix in small letters only
    plain.parent.mkdir()
    for file in large.parent.iterdir():
        file.rename(plain.parent / file.name.replace(suffix.upper(), suffix))
    again = read(plain)
    assert len(again) == done.features and again.geom_equals(read(small).geometry).all()


def test_a_shapefile_in_capitals_is_read_and_replaced_as_one(town: Path, tmp_path: Path) -> None:
    out = tmp_path / "roofs.SHP"
    first = export(town, out, **QUIET)
    frame = pyogrio.read_dataframe(out)
    assert len(frame) == first.features and frame.crs.to_epsg() == 32633
    with pytest.raises(OutputError, match=r"roofs\.SHP exists"):
        export(town, out, **QUIET)
    pyogrio.read_info(out)
    for stale in ("roofs.qix", "roofs.QIX", "roofs.sbn"):
        (tmp_path / stale).write_bytes(b"of what was there")
    second = export(town, out, classes="road", overwrite=True, **QUIET)
    assert len(pyogrio.read_dataframe(out)) == second.features < first.features
    assert names(tmp_path, "roofs") == {f"roofs{part}" for part in PARTS} | {"roofs.qml"}


def test_a_shapefile_in_capitals_leaves_its_namesake_alone(town: Path, tmp_path: Path) -> None:
    export(town, tmp_path / "roofs.shp", **QUIET)
    if (tmp_path / "roofs.SHP").exists():
        pytest.skip("names in capitals are the same names here")
    (tmp_path / "roofs.qix").write_bytes(b"mine")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    export(town, tmp_path / "roofs.SHP", classes="road", **QUIET)
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert before.items() <= after.items() and set(after) - set(before) == {f"roofs{part}" for part in PARTS}


def test_a_part_in_capitals_is_not_overwritten(town: Path, tmp_path: Path) -> None:
    (tmp_path / "roofs.DBF").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"roofs\.DBF exists"):
        export(town, tmp_path / "roofs.SHP", **QUIET)
    assert (tmp_path / "roofs.DBF").read_bytes() == b"mine"


def test_polygons_of_a_run_may_be_in_capitals(write_raster: Write, tmp_path: Path) -> None:
    out = tmp_path / "o.SHP"
    predict(write_raster(noise(40, 40)), tmp_path / "map.tif", model=MODEL, polygons=out, **QUICK)
    assert len(pyogrio.read_dataframe(out)) > 0
    assert names(tmp_path, "o") == {f"o{part}" for part in PARTS} | {"o.qml"}


def test_a_run_without_a_coordinate_system_names_its_polygons(
    write_raster: Write, tmp_path: Path, heard: list[str]
) -> None:
    out = tmp_path / "o.fgb"
    predict(write_raster(noise(40, 40), crs=None), tmp_path / "map.tif", model=MODEL, polygons=out, **QUICK)
    assert f"{out} has no coordinate system: sizes are in pixels" in heard
    assert not any(".landseg" in said or "pixels.vrt" in said for said in heard)


LONG = ("vineyard " * 30).strip()
LONGER = ClassMap(
    (
        LandClass(1, LONG, (1, 2, 3)),
        LandClass(2, LONG + " two", (4, 5, 6)),
        LandClass(3, "水面" * 60, (7, 8, 9)),
        LandClass(4, "/" * 200, (7, 8, 9)),
    )
)


@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if "shp" not in suffix])
def test_long_names_make_names_of_files_that_fit(tmp_path: Path, suffix: str) -> None:
    values = np.resize(np.arange(1, 5, dtype="uint8"), GRID.shape)
    raster = write_classes(tmp_path / "t.tif", GRID, values, LONGER)
    done = export(raster, tmp_path / f"p{suffix}", by_class_files=True, centroids="1", **QUIET)
    files = [*done.files, *(entry.output for entry in done.further)]
    assert len(set(files)) == 5 and all(len(file.name.encode()) < 130 for file in files)
    assert [file.name.removesuffix(suffix).rpartition("_")[2] for file in done.files] == ["1", "2", "3", "4"]
    for entry, file in zip(LONGER.classes, done.files, strict=True):
        assert set(read(file).name) == {entry.name}


def test_names_of_files_that_fit_stay() -> None:
    for length, cut in ((100, False), (101, True)):
        word = class_file(Path("p.gpkg"), LandClass(7, "x" * length, (0, 0, 0))).stem.removeprefix("p_")
        assert len(word) == 100 and word.endswith("_7") is cut


def test_a_drivers_words_are_cut(town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sql = "sqlite3_exec(CREATE TRIGGER 'gpkg_tile_matrix' BEFORE INSERT " + "WHEN NOT (NEW.zoom_level >= 0) " * 40

    def fail(_: Any, out: Path, **__: Any) -> None:
        raise pyogrio.errors.DataSourceError(f"{out}: {sql}\nand more of it")

    monkeypatch.setattr(pyogrio, "write_arrow", fail)
    for out in (tmp_path / "p.gpkg", tmp_path / "P.SHP"):
        code, _, err = run("export", town, out)
        assert code == 1 and ".landseg" not in err and "and more of it" not in err
        assert f"{out} cannot hold the polygons: " in err and err.rstrip().endswith(" ...; try a .gpkg")
        assert len(err) < 300 + 2 * len(str(out))


@pytest.mark.parametrize("moment", ["add", "close", "sync"])
def test_no_sentence_names_a_file_of_the_works(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """A disk that refuses is told of by the name that was asked for."""

    class Refuses:
        def write_batch(self, _: Any) -> None:
            raise OSError(errno.EIO, "No more")

        def close(self) -> None:
            if moment == "close":
                raise OSError(errno.EIO, "No more")

    real = Spool.__init__

    def refuse(self: Spool, *args: Any, **options: Any) -> None:
        real(self, *args, **options)
        if moment == "add":
            self._stream = Refuses()
        else:
            self._sink = Refuses()

    def sync(_: int) -> None:
        raise OSError(errno.EIO, "No more")

    out = tmp_path / "p.fgb"
    if moment == "sync":
        monkeypatch.setattr(os, "fsync", sync)
    else:
        monkeypatch.setattr(Spool, "__init__", refuse)
    code, _, err = run("export", town, out)
    assert code == 1 and f"cannot write {out} (No more)" in err and ".landseg" not in err
