"""What is nodata is what GDAL's own masks say: whole numbers exactly, floats nearly."""

import math
import struct
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.io import MemoryFile

import landseg.geo.rasters.bands
from landseg.data import inspect_data
from landseg.geo.rasters.nodata import can_hold, holds_nodata
from landseg.geo.rasters.source import FileSource

PLACE = rasterio.Affine(10, 0, 333000, 0, -10, 3065000)
LOWEST = float(np.finfo(np.float32).min)
ESRI = -3.40282306074e38
TYPES = {"float32": "Float32", "float64": "Float64", "uint8": "Byte", "int16": "Int16", "int32": "Int32"}


def gdal_mask(values: NDArray[np.generic], nodata: str) -> tuple[float | None, NDArray[np.bool_]]:
    """The nodata that GDAL reads from a text, and where its own mask says that there is none of it."""
    with MemoryFile() as memory:
        shape = {"height": 1, "width": values.size, "count": 1, "dtype": values.dtype}
        with memory.open(driver="GTiff", **shape) as out:
            out.write(values.reshape(1, 1, -1))
        with memory.open() as out:
            path = out.name
        band = f'<VRTRasterBand dataType="{TYPES[values.dtype.name]}" band="1"><NoDataValue>{nodata}</NoDataValue>'
        part = f"<SimpleSource><SourceFilename>{path}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
        size = f'rasterXSize="{values.size}" rasterYSize="1"'
        vrt = f"<VRTDataset {size}>{band}{part}</VRTRasterBand></VRTDataset>"
        with np.errstate(over="ignore"), rasterio.open(vrt) as file:
            return file.nodata, file.read_masks(1)[0] == 0


def around(value: float, dtype: str) -> NDArray[np.generic]:
    """A value, its neighbours by steps of the dtype and by relative distances, and numbers far from it."""
    with np.errstate(all="ignore"):
        here = np.dtype(dtype).type(value)
        found = [here]
        step = np.spacing(here)
        found += [here + k * step for k in range(-9, 10)]
        found += [here * np.dtype(dtype).type(1 + part * 2.0**-24) for part in range(-12, 13)]
        found += [-here, here / 2, np.dtype(dtype).type(0), np.finfo(dtype).min, np.finfo(dtype).max]
        found += [np.dtype(dtype).type(x) for x in (-3.4e38, -1.8e38, 1.8e38, math.inf, -math.inf, math.nan, 1e-45)]
    return np.array(found, dtype)


FLOATS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.sampled_from([LOWEST, ESRI, -3.4e38, -1.79769313486231e308, 1e20, -9999.0, -9999.9, 0.0, 1e-40, math.nan]),
)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(nodata=FLOATS)
@example(nodata=ESRI)
@example(nodata=-1.79769313486231e308)
@example(nodata=2.0**103)  # whose sum with the largest float32 overflows by rounding
@example(nodata=1e-45)
@example(nodata=0.0)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_floats_are_nodata_where_gdals_mask_says_so(dtype: str, nodata: float) -> None:
    values = around(nodata, dtype)
    read, mask = gdal_mask(values, repr(nodata))
    np.testing.assert_array_equal(holds_nodata(values, read), mask)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32"])
@pytest.mark.parametrize("nodata", ["0", "255", "-9999", "300", "-32768", "2147483647", "1e20"])
def test_whole_numbers_are_nodata_where_they_are_equal(dtype: str, nodata: str) -> None:
    limits = np.iinfo(dtype)
    values = np.array([limits.min, 0, 1, 100, 127, limits.max, limits.max - 1], dtype)
    read, mask = gdal_mask(values, nodata)
    np.testing.assert_array_equal(holds_nodata(values, read), mask)


def test_whole_numbers_in_floats_stay_exact() -> None:
    """A band of int32 that is read together with floats: its neighbours are other numbers."""
    values = np.array([2147483647, 2147483646, 2147483000], np.float64)
    assert holds_nodata(values, 2147483647, "int32").tolist() == [True, False, False]
    assert holds_nodata(values, 2147483647).all(), "twin: as floats all three are nearly equal"


def test_what_cannot_occur_is_not_held() -> None:
    assert not can_hold("uint8", -9999) and not can_hold("uint8", 0.5) and not can_hold("int16", math.nan)
    assert can_hold("float32", math.nan) and can_hold("uint8", 255)
    assert not holds_nodata(np.array([0, 1], np.uint8), 0.5).any()
    assert not holds_nodata(np.array([0, 1], np.uint8), None).any()


def declared(path: Path, values: NDArray[np.generic], nodata: str) -> Path:
    """A GeoTIFF whose nodata tag is this very text, as ArcGIS and others write theirs."""
    place = {"crs": "EPSG:32633", "transform": PLACE, "nodata": -9999.0}
    shape = {"height": values.shape[1], "width": values.shape[2], "count": len(values), "dtype": values.dtype}
    with rasterio.open(path, "w", driver="GTiff", **place, **shape) as out:
        out.write(values)
    raw, text = bytearray(path.read_bytes()), nodata.encode() + b"\0"
    (start,) = struct.unpack_from("<I", raw, 4)
    entries = [start + 2 + 12 * number for number in range(struct.unpack_from("<H", raw, start)[0])]
    (entry,) = (at for at in entries if struct.unpack_from("<H", raw, at)[0] == 42113)
    struct.pack_into("<HHII", raw, entry, 42113, 2, len(text), len(raw))
    path.write_bytes(bytes(raw) + text)
    return path


CASES = [
    ("float32", ESRI, LOWEST, f"{ESRI!r}"),
    ("float32", LOWEST, LOWEST, "-3.4028234663852886e+38"),
    ("float32", LOWEST, LOWEST, "-3.40282346639e+38"),
    ("float64", -1.79769313486231e308, float(np.finfo(np.float64).min), "-1.79769313486231e+308"),
    ("float64", ESRI, LOWEST, f"{ESRI!r}"),
    ("float32", 1e20, float(np.float32(1e20)), "1e+20"),
    ("float32", -9999.9, float(np.float32(-9999.9)), "-9999.90000"),
]


@pytest.mark.parametrize(("dtype", "nodata", "held", "text"), CASES)
def test_files_that_declare_nearly_what_they_hold(
    tmp_path: Path, dtype: str, nodata: float, held: float, text: str
) -> None:
    values = np.full((2, 4, 6), 0.25, dtype)
    values[:, :, :2] = held
    path = declared(tmp_path / "scene.tif", values, text)
    with FileSource(path) as source, rasterio.open(path) as file:
        assert math.isclose(file.nodata, nodata, rel_tol=1e-6)
        found = source.read(source.grid.rect)[1]
        np.testing.assert_array_equal(found, file.read_masks(1) > 0)
    assert not found[:, :2].any() and found[:, 2:].all()


def test_the_check_notices_bitwise_equality(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twin: with the old rule ArcGIS's nodata is data."""

    def bitwise(values: NDArray[np.generic], nodata: float, dtype: str) -> NDArray[np.bool_]:
        return np.asarray(values == np.dtype(dtype).type(nodata))

    monkeypatch.setattr(landseg.geo.rasters.bands, "holds_nodata", bitwise)
    with pytest.raises(AssertionError):
        test_files_that_declare_nearly_what_they_hold(tmp_path, *CASES[0])


def test_a_nodata_beyond_the_dtype_is_none_and_not_warned_of(tmp_path: Path) -> None:
    values = np.full((1, 4, 4), LOWEST, np.float32)
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", count=1, height=4, width=4, dtype="float32",
        crs="EPSG:32633", transform=PLACE,
    ) as out:  # fmt: skip
        out.write(values)
    band = '<VRTRasterBand dataType="Float32" band="1"><NoDataValue>-1.7976931348623157e+308</NoDataValue>'
    name = f"<SourceFilename>{tmp_path / 'a.tif'}</SourceFilename>"
    part = f"<SimpleSource>{name}<SourceBand>1</SourceBand></SimpleSource>"
    (tmp_path / "a.vrt").write_text(
        f'<VRTDataset rasterXSize="4" rasterYSize="4">{band}{part}</VRTRasterBand></VRTDataset>'
    )
    with FileSource(tmp_path / "a.vrt") as source:
        assert source.nodata is None and source.read(source.grid.rect)[1].all()


def test_data_tells_of_lowest_floats_that_nobody_declared(tmp_path: Path) -> None:
    values = np.full((1, 40, 40), 0.25, np.float32)
    values[:, :9] = LOWEST
    for name, nodata in (("bare.tif", None), ("told.tif", LOWEST)):
        with rasterio.open(
            tmp_path / name, "w", driver="GTiff", count=1, height=40, width=40, dtype="float32",
            crs="EPSG:32633", transform=PLACE, nodata=nodata,
        ) as out:  # fmt: skip
            out.write(values)
        found = inspect_data([str(tmp_path / name)], None)
        said = [one.text for one in found.findings if one.kind == "nodata"]
        if nodata is None:
            assert len(said) == 1 and "holds -3.40282e+38" in said[0] and "gdal_edit.py -a_nodata -3.4028" in said[0]
        else:
            assert not said and found.bands[0]["mean"] == 0.25
