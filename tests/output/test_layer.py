"""Layers that are no file of their own, or are made of the others, and numbers of 32 bits."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from landseg.errors import OutputError
from landseg.geo.grid import Grid, Rect
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.output.targets import Targets
from landseg.runtime.disk import work_folder

GRID = Grid(CRS.from_epsg(32633), Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000), 9, 6)
LARGEST = 4_294_967_295


@pytest.mark.parametrize(("dtype", "nodata"), [("uint32", LARGEST), ("int32", -(2**31))])
def test_numbers_of_32_bits_come_back_as_they_were_written(tmp_path: Path, dtype: str, nodata: int) -> None:
    layer = Layer("ids", tmp_path / "ids.tif", dtype, nodata=nodata, resampling="nearest")
    ids = np.arange(54, dtype=dtype).reshape(6, 9) + np.array(70_000 if nodata > 0 else -70_000, dtype)
    ids[0, 0] = np.iinfo(dtype).max - 1
    with Outputs.begin(Targets([layer]), GRID, signature={}) as outputs:
        outputs.write("ids", GRID.rect, ids, ids % 7 != 0)
        outputs.finish()
    with rasterio.open(layer.path) as raster:
        assert raster.dtypes == (dtype,) and raster.nodata == nodata
        np.testing.assert_array_equal(raster.read(1), np.where(ids % 7 != 0, ids, np.array(nodata, dtype)))


def test_a_nodata_that_the_dtype_does_not_hold_is_refused() -> None:
    for dtype, nodata in (("uint32", -1), ("int32", LARGEST), ("uint8", 0.5)):
        with pytest.raises(ValueError, match="holds no nodata"):
            Layer("ids", Path("ids.tif"), dtype, nodata=nodata)


def started(folder: Path, *, resume: bool = False) -> Outputs:
    """A run of a map, a scratch layer, and a late layer that is to be made of that."""
    layers = [
        Layer("map", folder / "map.tif", "uint8", nodata=255),
        Layer("energy", folder / "map.tif", "uint16", nodata=0, scratch=True),
        Layer("ids", folder / "ids.tif", "uint32", nodata=LARGEST, resampling="nearest", late=True),
    ]
    return Outputs.begin(Targets(layers, resume=resume), GRID, signature={})


def test_a_late_layer_is_made_of_a_scratch_layer_by_a_resumed_run_too(tmp_path: Path) -> None:
    top, below = Rect(0, 0, 3, 9), Rect(3, 0, 3, 9)
    energy = np.arange(54, dtype="uint16").reshape(6, 9)
    outputs = started(tmp_path)
    outputs.write("map", top, np.ones(top.shape, "uint8"))
    outputs.write("energy", top, energy[:3])
    outputs.commit("top")
    outputs.abandon()  # as a kill leaves it
    outputs = started(tmp_path, resume=True)
    outputs.write("map", below, np.ones(below.shape, "uint8"))
    outputs.write("energy", below, energy[3:])
    outputs.commit("below")
    outputs.write("ids", top, energy[:3].astype("uint32"))  # half of the last pass, then a kill
    outputs.abandon()
    outputs = started(tmp_path, resume=True)
    assert outputs.done == {"top", "below"} and outputs.parts == (GRID.rect,)
    with rasterio.open(outputs.layer_reader("energy")) as raster:
        outputs.write("ids", GRID.rect, raster.read(1).astype("uint32") * 100_000)
    placed = outputs.finish()
    assert sorted(path.name for path in placed) == ["ids.tif", "map.tif"]
    assert not work_folder(tmp_path / "map.tif").exists()
    with rasterio.open(tmp_path / "ids.tif") as raster:
        np.testing.assert_array_equal(raster.read(1), energy.astype("uint32") * 100_000)


def test_pixels_of_a_late_layer_alone_are_replaced(tmp_path: Path) -> None:
    with started(tmp_path) as outputs:
        for name in ("map", "energy"):
            outputs.write(name, GRID.rect, np.ones(GRID.shape, "uint8" if name == "map" else "uint16"))
        outputs.write("ids", GRID.rect, np.ones(GRID.shape, "uint32"))
        below = Rect(3, 0, 3, 9)
        outputs.rewrite("ids", below, 5 * outputs.read("ids", below))
        with pytest.raises(ValueError, match="'map' is written once"):
            outputs.rewrite("map", below, outputs.read("map", below))
        outputs.finish()
    with rasterio.open(tmp_path / "ids.tif") as raster:
        assert raster.read(1).tolist() == [[1] * 9] * 3 + [[5] * 9] * 3


def test_a_late_layer_that_was_not_made_is_missed(tmp_path: Path) -> None:
    with started(tmp_path) as outputs, pytest.raises(OutputError, match=r"ids\.tif has only 0 of 54 pixels"):
        for name in ("map", "energy"):
            outputs.write(name, GRID.rect, np.zeros(GRID.shape, "uint8" if name == "map" else "uint16"))
        outputs.finish()
