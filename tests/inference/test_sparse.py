"""Rasters of which little is valid: both engines label the same pixels, on any grid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from landseg.inference.row_strategy import RowStrategy
from landseg.predict import predict
from tests.parts.predicting import small_model

Write = Callable[..., Path]


def mapped(source: Path, output: Path, engine: str) -> NDArray[np.uint8]:
    made = predict(
        source, output, model=small_model(), engine=engine, resolution=2.0, quiet=True, device="cpu", precision="fp32"
    )
    assert made.engine == engine
    with rasterio.open(output) as raster:
        values: NDArray[np.uint8] = raster.read(1)
    return values


def sparse(write_raster: Write) -> tuple[Path, NDArray[np.bool_]]:
    """A pixel alone, a line of one pixel's width, and nothing else: four of its pixels are one of the network's."""
    valid = np.zeros((600, 120), np.bool_)
    valid[50, 50] = True
    valid[300:560, 77] = True
    pixels = np.where(valid, np.random.default_rng(0).integers(1, 256, (3, 600, 120)), 0).astype(np.uint8)
    return write_raster(pixels, "sparse.tif", nodata=0), valid


def assert_all_labelled(write_raster: Write, folder: Path) -> None:
    source, valid = sparse(write_raster)
    streamed = mapped(source, folder / "s.tif", "stream")
    windows = mapped(source, folder / "w.tif", "windows")
    assert np.array_equal(streamed > 0, valid) and np.array_equal(windows > 0, valid)
    assert np.array_equal(streamed, windows)


def test_what_is_thinner_than_the_networks_pixel_is_labelled(write_raster: Write, tmp_path: Path) -> None:
    assert_all_labelled(write_raster, tmp_path)


def test_twin_asking_the_networks_grid_is_caught(
    write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def coarse(self: RowStrategy, rect: object, aoi: object) -> object:
        pixels, valid = self.scope.raster.network.read(rect)  # type: ignore[arg-type]
        return self.scope.engine.executor.prepare(pixels, valid), valid

    monkeypatch.setattr(RowStrategy, "_read", coarse)
    with pytest.raises(AssertionError):
        assert_all_labelled(write_raster, tmp_path)
