"""What an export holds in memory: measured in processes of its own, whose highest resident memory is known."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from tests.parts.id_rasters import NO_DATA

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc"),
]

# What writing takes is imported where nothing is exported as well.
EXPORT = """
import sys
import geopandas, pyarrow, pyogrio
from landseg.export import export
from landseg.vector import classraster, export_run
from landseg.vector.topology import blocks

raster, out, whole = sys.argv[1:]
if whole == "whole":
    classraster.STRIP_PIXELS = blocks.BLOCK = 1 << 40
features = export(raster, out, quiet=True, simplify=1.0).features if out != "-" else 0
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(features, int(status["VmHWM"].split()[0]) / 1024)
"""
WIDTH = 2000
MOST_MIB = 150.0  # above Python and its libraries, of a raster of this width
"""Measured: 87 MiB for 4,000 rows and 113 MiB for 16,000, of whose 21,000 pieces each takes about 1.5 kB."""
MOST_OF_IDS_MIB = 250.0  # the same of a raster of ids
"""Measured: 186 MiB for 4,000 rows and 218 MiB for 16,000, of whose 20,000 objects each takes about 2 kB."""


def striped(path: Path, height: int) -> Path:
    """Blotches of 40 pixels, a piece at a time."""
    rng = np.random.default_rng(height)
    place = {"crs": "EPSG:32633", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000), "nodata": 0}
    size = {"width": WIDTH, "height": height, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", tiled=True, compress="deflate", **size, **place) as file:
        for top in range(0, height, 400):
            coarse = rng.integers(0, 4, (10, WIDTH // 40), np.uint8)
            window = rasterio.windows.Window(0, top, WIDTH, 400)
            file.write(coarse.repeat(40, 0).repeat(40, 1), 1, window=window)
    return path


def numbered(path: Path, height: int) -> Path:
    """Objects of 40 by 40 pixels that touch, of ids that count on."""
    columns = WIDTH // 40
    place = {"crs": "EPSG:32633", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)}
    size = {"width": WIDTH, "height": height, "count": 1, "dtype": "uint32", "nodata": NO_DATA}
    with rasterio.open(path, "w", driver="GTiff", tiled=True, compress="deflate", **size, **place) as file:
        for top in range(0, height, 400):
            ids = top // 40 * columns + 1 + np.arange(10 * columns, dtype=np.uint32).reshape(10, columns)
            window = rasterio.windows.Window(0, top, WIDTH, 400)
            file.write(ids.repeat(40, 0).repeat(40, 1), 1, window=window)
        file.set_band_description(1, "instance")
        file.update_tags(LANDSEG_TASK="instances")
    return path


def peak_mib(raster: Path, out: Path | str, *, whole: bool = False) -> float:
    """The highest resident memory of a process that exports, or imports what that takes if `out` is "-"."""
    words = [sys.executable, "-c", EXPORT, str(raster), str(out), "whole" if whole else "strips"]
    done = subprocess.run(words, check=True, capture_output=True, text=True, env=os.environ)
    features, peak = done.stdout.split()
    assert out == "-" or int(features) > 1000
    return float(peak)


def check_bounded(low: float, high: float, idle: float, most: float = MOST_MIB) -> None:
    """Four times the height take no more than half as much again, and neither more than is promised."""
    assert low - idle < most and high - idle < most
    assert high - idle < 1.5 * (low - idle)


@pytest.mark.parametrize(("make", "most"), [(striped, MOST_MIB), (numbered, MOST_OF_IDS_MIB)])
def test_four_times_the_height_take_the_memory_of_one(
    make: Callable[[Path, int], Path], most: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GDAL_CACHEMAX", "16")  # or a raster of ids fills the cache of blocks with its rows
    low, high = make(tmp_path / "low.tif", 4_000), make(tmp_path / "high.tif", 16_000)
    idle = peak_mib(low, "-")
    found = [peak_mib(raster, tmp_path / f"{raster.stem}.fgb") for raster in (low, high)]
    check_bounded(*found, idle, most)
    twin = [peak_mib(raster, tmp_path / f"whole_{raster.stem}.fgb", whole=True) for raster in (low, high)]
    assert twin[1] - idle > 2 * most
    with pytest.raises(AssertionError):
        check_bounded(*twin, idle, most)
