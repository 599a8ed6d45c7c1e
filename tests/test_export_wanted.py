"""Some classes of a map: the same pieces as in the export of all, cleaned with all that lies beside them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from landseg.errors import VectorError
from landseg.export import export
from landseg.vector.classraster import ClassRaster
from tests.parts.vector import GRIDS, blocky, read, write_classes

pytestmark = pytest.mark.usefixtures("quick_disk")

SHAPINGS: tuple[dict[str, Any], ...] = (
    {"min_area": 3.0},
    {"sieve": 6},
    {"majority": 3},
    {"simplify": 1.2},
    {"smooth": True},
    {"min_area": 3.0, "simplify": 1.2, "connectivity": 8},
)


@pytest.fixture
def mottled(tmp_path: Path) -> Path:
    """Blocks of two classes and no data, with single pixels of the other class in them."""
    rng, grid = np.random.default_rng(7), GRIDS["north-up"]
    values = blocky(rng, grid)
    specks = (rng.random(grid.shape) < 0.1) & (values > 0)
    return write_classes(tmp_path / "map.tif", grid, np.where(specks, 3 - values, values).astype("uint8"))


def check_part_of_whole(raster: Path, folder: Path, shaping: dict[str, Any]) -> None:
    """What --classes leaves is what the export of all classes has of them, to the last coordinate."""
    export(raster, folder / "all.gpkg", quiet=True, **shaping)
    export(raster, folder / "some.gpkg", classes="building", quiet=True, **shaping)
    whole, part = (read(folder / f"{name}.gpkg").sort_values("id", ignore_index=True) for name in ("all", "some"))
    whole = whole[whole.name == "building"].reset_index(drop=True)
    assert len(part) and list(part.id) == list(whole.id) and list(part.area_m2) == list(whole.area_m2)
    assert shapely.equals_exact(part.geometry.values, whole.geometry.values).all()


@pytest.mark.parametrize("shaping", SHAPINGS, ids=lambda shaping: "-".join(shaping))
def test_some_classes_are_those_of_the_whole_map(mottled: Path, tmp_path: Path, shaping: dict[str, Any]) -> None:
    check_part_of_whole(mottled, tmp_path, shaping)


@pytest.mark.parametrize("shaping", SHAPINGS[:4], ids=lambda shaping: "-".join(shaping))
def test_they_are_not_where_the_others_were_no_data_before(
    mottled: Path, tmp_path: Path, shaping: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def masked(*arguments: Any, neighbours: bool, **more: Any) -> ClassRaster:
        return ClassRaster(*arguments, **more)

    monkeypatch.setattr("landseg.vector.export_run.ClassRaster", masked)
    with pytest.raises(AssertionError):
        check_part_of_whole(mottled, tmp_path, shaping)


def test_small_pieces_that_stay_are_counted(tmp_path: Path, heard: list[str]) -> None:
    grid = GRIDS["north-up"]
    values = np.zeros(grid.shape, "uint8")
    values[2:9, 2:9] = 1
    values[4, 4] = 2  # goes into what surrounds it
    values[20, 20] = 2  # has nothing to go into
    raster = write_classes(tmp_path / "map.tif", grid, values)
    done = export(raster, tmp_path / "p.gpkg", min_area=3 * abs(grid.transform.determinant), quiet=True)
    assert [total.count for total in done.classes] == [1, 1]
    assert heard == ["1 piece smaller than --min-area stays: no other class is beside it"]


def test_values_that_are_not_wanted_may_be_many(write_raster: Callable[..., Path], tmp_path: Path) -> None:
    grid = GRIDS["north-up"]
    values = np.arange(grid.height * grid.width, dtype="uint16").reshape(grid.shape)
    values[:9, :9] = 5
    raster = write_raster(values, "map.tif")
    done = export(raster, tmp_path / "p.gpkg", classes="5", min_area=1e-6, quiet=True)
    assert [(total.name, total.count) for total in done.classes] == [("5", 1)]


def test_tolerances_of_right_angles(tmp_path: Path) -> None:
    grid = GRIDS["north-up"]
    values = np.full(grid.shape, 2, "uint8")
    values[4:20, 4:28] = 1
    values[4:9, 11:20] = 2  # a notch, five pixels of half a metre deep
    raster = write_classes(tmp_path / "map.tif", grid, values)
    for wrong, part in ((0.0, "more than 0"), (float("nan"), "more than 0")):
        with pytest.raises(VectorError, match=part):
            export(raster, tmp_path / "p.gpkg", regularize="building", right_angle_tolerance=wrong)
    with pytest.raises(VectorError, match="name their classes with --regularize"):
        export(raster, tmp_path / "p.gpkg", right_angle_tolerance=1.0)
    corners = []
    for tolerance in (1.0, 4.0):
        export(
            raster, tmp_path / "p.gpkg", regularize="building", right_angle_tolerance=tolerance,
            overwrite=True, quiet=True,
        )  # fmt: skip
        house = read(tmp_path / "p.gpkg").query("name == 'building'").geometry.values[0]
        corners.append(shapely.get_num_coordinates(house) - 1)
    assert corners == [8, 4]


def check_lines(raster: Path, folder: Path, **options: Any) -> None:
    """A speck in a road gives no loop around it."""
    export(raster, folder / "r.gpkg", centerlines="road", quiet=True, overwrite=True, **options)
    lines = read(folder / "r_road_lines.gpkg").geometry
    assert len(lines) == 1 and not lines[0].is_ring


def test_lines_are_of_what_min_area_leaves(tmp_path: Path) -> None:
    grid = GRIDS["north-up"]
    values = np.zeros(grid.shape, "uint8")
    values[8:15, 1:30] = 2
    values[11, 15] = 1
    raster, pixel = write_classes(tmp_path / "map.tif", grid, values), abs(grid.transform.determinant)
    check_lines(raster, tmp_path, min_area=1.5 * pixel)
    for too_little in ({}, {"min_area": pixel}):
        with pytest.raises(AssertionError):
            check_lines(raster, tmp_path, **too_little)
