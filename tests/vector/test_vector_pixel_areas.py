"""What a class covers before and after its outlines change: the same measure for both."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from landseg.cli.export import lines as export_lines
from landseg.export import export
from landseg.geo.grid import Grid
from landseg.geo.ruler import Ruler
from landseg.vector.outlines import Shaping, make_outlines
from landseg.vector.pixel_areas import ClassAreaSums
from tests.parts.vector import GRIDS, UTM, blocky, write_classes

pytestmark = pytest.mark.usefixtures("quick_disk")
WIDE = Grid(UTM, Affine(4, 0, 500_000, 0, -4, 5_400_000), 150, 90)
WORLD = Grid(CRS.from_epsg(4326), Affine(2, 0, -20, 0, -2, 70), 24, 30)
CASES = {name: (grid, False) for name, grid in GRIDS.items()} | {
    "on the ellipsoid": (GRIDS["rotated"], True),
    "wide, on the ellipsoid": (WIDE, True),
    "a continent": (WORLD, False),
}


def areas_of_pixels(values: Any, grid: Grid, ruler: Ruler, height: int = 1000) -> Any:
    found = ClassAreaSums(grid, ruler, nodata=0)
    for top in range(0, len(values), height):
        found.add(values[top : top + height])
    return found.areas


def check_areas(values: Any, grid: Grid, ruler: Ruler, found: Any, work: Path) -> None:
    """They are those of the outlines, which nothing was done to."""
    wanted = np.zeros(3)
    for part in make_outlines([values], grid, nodata=0, shaping=Shaping(), ruler=ruler, work=work):
        wanted += np.bincount(part.value, ruler.measure(part.shapes)[0], minlength=3)
    assert wanted[1:].all() and not found[0] and not found[3:].any()
    assert found[:3] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_pixels_cover_what_their_outlines_do(tmp_path: Path, rng: Any, name: str) -> None:
    grid, geodesic = CASES[name]
    ruler = Ruler.of(grid, geodesic=geodesic)
    values = blocky(rng, grid)
    for height in (1000, 7):
        check_areas(values, grid, ruler, areas_of_pixels(values, grid, ruler, height), tmp_path)


def test_twin_pixels_of_one_size_are_caught(tmp_path: Path, rng: Any) -> None:
    ruler, values = Ruler.of(WORLD), blocky(rng, WORLD)
    check_areas(values, WORLD, ruler, areas_of_pixels(values, WORLD, ruler), tmp_path)
    alike = np.bincount(values.ravel(), minlength=65536) * (WORLD.resolution_m or 0) ** 2
    alike[0] = 0
    with pytest.raises(AssertionError):
        check_areas(values, WORLD, ruler, alike, tmp_path)


def test_values_without_a_class_are_left_out() -> None:
    grid = GRIDS["no CRS"]
    found = ClassAreaSums(grid, Ruler.of(grid), nodata=-1)
    values = np.full(grid.shape, 65535, np.int32)
    values[:3] = -1
    values[3] = 0
    found.add(values)
    assert found.areas[[0, 65535]].tolist() == [31, 19 * 31] and found.areas.sum() == 20 * 31


CHANGES: dict[str, dict[str, Any]] = {
    "simplified": {"simplify": 8.0},
    "smooth": {"smooth": True, "crs": "EPSG:4326"},
    "merged": {"min_area": 50.0},
    "sieved": {"sieve": 4, "dissolve": True},
    "right angles": {"regularize": "building", "geodesic": True},
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_summary_says_what_each_class_gained(tmp_path: Path, rng: Any, name: str) -> None:
    raster = write_classes(tmp_path / "map.tif", WIDE, blocky(rng, WIDE))
    geodesic = "geodesic" in CHANGES[name]
    plain = export(raster, tmp_path / "plain.fgb", geodesic=geodesic, quiet=True)
    done = export(raster, tmp_path / "p.fgb", **CHANGES[name], quiet=True)
    assert "against" not in "\n".join(export_lines(plain))
    keys = {"value", "name", "count", "area_m2", "hectares"}
    assert all(set(total) == keys for total in plain.to_json()["classes"])
    for before, after, shown in zip(plain.classes, done.classes, done.to_json()["classes"], strict=True):
        assert after.area_m2 is not None and before.area_m2 is not None
        change = after.area_m2 - before.area_m2
        assert shown["area_change_m2"] == after.area_change_m2 == pytest.approx(change, abs=1e-6 * before.area_m2)
    assert any(total.area_change_m2 for total in done.classes)
    line = next(line for line in export_lines(done) if line.startswith("area against the raster's pixels: building "))
    first = done.classes[0]
    assert first.area_change is not None
    assert f"building {first.area_change / (first.area - first.area_change):+.2%}, road " in line


def test_without_a_crs_the_change_is_in_pixels(tmp_path: Path) -> None:
    grid = GRIDS["no CRS"]
    values = np.ones(grid.shape, "uint8")
    values[4:6, 4:6] = 2
    raster = write_classes(tmp_path / "map.tif", grid, values)
    done = export(raster, tmp_path / "p.fgb", min_area=5, quiet=True)
    assert [(total.area_change_px, total.area_change_m2) for total in done.classes] == [(4, None), (-4, None)]
    assert done.to_json()["classes"][1]["area_change_px"] == -4
    assert export_lines(done)[-2] == "area against the raster's pixels: building +0.56%, road -100.00%"
