"""What several test modules share: Hypothesis profiles and small rasters."""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, settings

from tests.parts.browser import Page, browser, find_chromium
from tests.parts.places import HALF_METRE, UTM

# Deadlines measure the machine, not the code; in CI every run tries the same examples.
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("dev"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page of a headless browser, for all tests that look at one."""
    program = find_chromium()
    if program is None and not os.environ.get("CI"):
        pytest.skip("no Chromium: install one (apt-get install chromium), or name it in LANDSEG_CHROMIUM")
    assert program is not None, "CI has no Chromium: .ci/run installs one"
    with browser(program, tmp_path_factory.mktemp("browser") / "profile") as page:
        yield page


@pytest.fixture(scope="session")
def sample_tiles() -> Path:
    """The folder with the imagery that the project ships."""
    return ROOT / "sample_tiles"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache for the tests alone, also for the programs that they start."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("LANDSEG_CACHE", str(folder))
        yield folder


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are not forced onto the disk: that is for when the power fails, and takes longer than a small run."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """What landseg's log says, from warnings up, whether or not a command that ran before keeps it to itself."""
    said: list[str] = []
    handler, log = logging.Handler(logging.WARNING), logging.getLogger("landseg")
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    log.addHandler(handler)
    yield said
    log.removeHandler(handler)


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every run."""
    return np.random.default_rng(20260101)


@pytest.fixture
def write_raster(tmp_path: Path) -> Callable[..., Path]:
    """Writes an array `(C, H, W)` or `(H, W)` as a GeoTIFF: `write_raster(array, "a.tif", nodata=0)`.

    The default grid is half a metre in UTM zone 33; `crs=None` leaves the georeference out. `valid`, a
    boolean `(H, W)`, becomes an internal mask. Further keywords go to the GeoTIFF driver.
    """

    def write(array: np.ndarray, name: str = "raster.tif", **options: Any) -> Path:
        bands = array if array.ndim == 3 else array[None]
        valid, descriptions = options.pop("valid", None), options.pop("descriptions", None)
        profile = {"driver": "GTiff", "crs": UTM, "transform": HALF_METRE} | options
        if profile["crs"] is None:
            profile = {key: item for key, item in profile.items() if key not in ("crs", "transform")}
        path = tmp_path / name
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(
                path,
                "w",
                count=bands.shape[0],
                height=bands.shape[1],
                width=bands.shape[2],
                dtype=bands.dtype,
                **profile,
            ) as raster,
        ):
            raster.write(bands)
            if valid is not None:
                raster.write_mask(valid)
            if descriptions is not None:
                raster.descriptions = descriptions
        return path

    return write


@pytest.fixture
def rgb_raster(write_raster: Callable[..., Path], rng: np.random.Generator) -> Path:
    """A georeferenced RGB raster of 80 × 112 px whose pixels vary smoothly, as imagery does."""
    rows, columns = np.mgrid[0:80, 0:112]
    waves = [128 + 60 * np.sin(rows / (9 + band)) + 50 * np.cos(columns / (7 + band)) for band in range(3)]
    noisy = np.stack(waves) + rng.normal(0, 5, (3, 80, 112))
    return write_raster(noisy.clip(1, 255).astype("uint8"), "rgb.tif", photometric="RGB")
