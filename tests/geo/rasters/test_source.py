"""Sources: whatever a raster is like, pixels and validity come out right, or a sentence does."""

import json
import logging
import multiprocessing
import pickle
import threading
import warnings
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp

from landseg.errors import BandError, GridError, LandsegError, RasterError
from landseg.geo.grid import Grid, Rect
from landseg.geo.rasters.address import gdal_path, label
from landseg.geo.rasters.mosaic import open_source
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.rasters.source import BandTable, FileSource, Pixels, Source
from landseg.geo.rasters.vrt import missing_member
from landseg.geo.resample import axis_taps, resample

UTM = "EPSG:32633"
HALF_METRE = Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Writes (C, H, W) with any rasterio profile; `colors`, `valid` and `gcps` are set as well."""

    def write(pixels: np.ndarray, name: str = "a.tif", **profile: Any) -> Path:
        colors, valid = profile.pop("colors", None), profile.pop("valid", None)
        place = {} if profile.pop("bare", False) else {"crs": UTM, "transform": HALF_METRE}
        if "gcps" in profile:
            place = {"crs": UTM}
        count, height, width = pixels.shape
        size = {"count": count, "height": height, "width": width, "dtype": pixels.dtype}
        path = tmp_path / name
        with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            warnings.simplefilter("ignore")
            with rasterio.open(path, "w", **{"driver": "GTiff", **size, **place, **profile}) as raster:
                raster.write(pixels)
                if colors:
                    raster.colorinterp = [ColorInterp[color] for color in colors]
                if valid is not None:
                    raster.write_mask(valid)
        return path

    return write


def noise(shape: Sequence[int], dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).integers(1, 250, shape)
    return values.astype(dtype)


def whole(path: Any, **options: Any) -> Pixels:
    with open_source(path, **options) as source:
        return source.read(source.grid.rect)


class Memory(Source):
    """A source over arrays, to test resampling without files."""

    def __init__(self, pixels: np.ndarray, valid: np.ndarray | None = None) -> None:
        self.pixels = pixels
        self.valid = np.ones(pixels.shape[1:], bool) if valid is None else valid
        count, height, width = pixels.shape
        table = BandTable(
            tuple(range(1, count + 1)),
            (None,) * count,
            ("undefined",) * count,
            (pixels.dtype.name,) * count,
            (None,) * count,
            None,
        )
        super().__init__("memory", ("memory",), Grid(None, Affine.identity(), width, height), table)

    def close(self) -> None: ...

    def _read(self, rect: Rect) -> Pixels:
        return self.pixels[(slice(None), *rect.slices)], self.valid[rect.slices]

    def _files(self) -> list[dict[str, Any]]:
        return []


# --- what a raster may be like


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("layout", [{}, {"tiled": True, "blockxsize": 16, "blockysize": 16}])
def test_every_dtype_and_layout(save: Callable[..., Path], dtype: str, layout: dict[str, Any]) -> None:
    pixels = (noise((2, 37, 53)) // 2).astype(dtype)
    with open_source(save(pixels, **layout)) as source:
        found, valid = source.read(Rect(5, 7, 20, 30))
        assert (source.count, source.dtype, source.dtypes) == (2, dtype, (dtype, dtype))
        assert found.dtype == dtype
        assert (found == pixels[:, 5:25, 7:37]).all()
        assert valid.all()


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 7, 5000), (5, 300, 2)])
def test_odd_sizes(save: Callable[..., Path], shape: tuple[int, int, int]) -> None:
    pixels = noise(shape)
    found, valid = whole(save(pixels))
    assert (found == pixels).all()
    assert valid.all()


@pytest.mark.parametrize(
    "transform",
    [HALF_METRE @ Affine.rotation(33), Affine(0.5, 0, 500_000, 0, 0.5, 5_400_000)],
    ids=["rotated", "south-up"],
)
def test_orientation_is_kept(save: Callable[..., Path], transform: Affine) -> None:
    pixels = noise((1, 20, 30))
    with open_source(save(pixels, transform=transform)) as source:
        assert source.grid.transform.almost_equals(transform)
        assert source.grid.resolution_m == pytest.approx(0.5, rel=1e-3)
        assert (source.read(source.grid.rect)[0] == pixels).all()


def test_control_points_alone_give_a_fit_and_stay(save: Callable[..., Path]) -> None:
    points = [
        GroundControlPoint(row, col, *(HALF_METRE @ (col, row)), 0.0)
        for row, col in ((0, 0), (0, 30), (20, 0), (20, 30))
    ]
    with open_source(save(noise((1, 20, 30)), gcps=points)) as source:
        assert source.grid.transform.almost_equals(HALF_METRE, 1e-6)
        assert source.grid.crs is not None
        assert source.grid.gcps is not None
        assert source.grid.gcps[3][:2] == (20, 30)


def test_degrees(save: Callable[..., Path]) -> None:
    path = save(noise((1, 4, 4)), crs="EPSG:4326", transform=Affine(1e-5, 0, 85.5, 0, -1e-5, 27.6))
    with open_source(path) as source:
        assert source.grid.resolution_m == pytest.approx(1.05, rel=0.01)


def test_no_georeference_is_no_reason_to_warn_who_only_reads(
    save: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    path = save(noise((1, 9, 9)), bare=True)
    with caplog.at_level(logging.WARNING), open_source(path) as source, ThreadPoolExecutor(2) as threads:
        list(threads.map(source.read, [source.grid.rect] * 4))
        assert source.grid.crs is None
        assert source.grid.transform.is_identity
    assert not caplog.records


def test_a_crs_without_a_transform_places_nothing(save: Callable[..., Path]) -> None:
    with open_source(save(noise((1, 9, 9)), bare=True, crs=UTM)) as source:
        assert source.grid.resolution_m is None


def test_bands_are_read_in_the_order_asked_for(save: Callable[..., Path]) -> None:
    pixels = noise((4, 8, 8))
    path = save(pixels, colors=["blue", "green", "red", "undefined"])
    assert (whole(path, bands=[3, 2, 1])[0] == pixels[[2, 1, 0]]).all()
    assert (whole(path, bands=[2, 2])[0] == pixels[[1, 1]]).all()
    with open_source(path, bands=[3, 1]) as source:
        assert source.band_numbers == (3, 1)
        assert source.colorinterp == ("red", "blue")
        assert source.default_rgb() == (3, 2, 1)


def test_default_rgb_without_colours_is_the_first_three(save: Callable[..., Path]) -> None:
    colors = ["undefined"] * 4
    with open_source(save(noise((4, 3, 3)), colors=colors)) as source:
        assert source.default_rgb() == (1, 2, 3)
    with open_source(save(noise((2, 3, 3)), "b.tif")) as source:
        assert source.default_rgb() is None


@pytest.mark.parametrize("bands", [[5], [0], [-1], []])
def test_bands_that_are_not_there(save: Callable[..., Path], bands: list[int]) -> None:
    with pytest.raises(BandError, match=r"a\.tif has 2 bands, .*: use 1 to 2"):
        open_source(save(noise((2, 3, 3))), bands=bands)


def test_complex_pixels_are_refused(save: Callable[..., Path]) -> None:
    with pytest.raises(BandError, match="complex64"):
        open_source(save(noise((1, 3, 3)).astype("complex64")))


# --- what is data


def test_alpha_is_validity_and_no_band(save: Callable[..., Path]) -> None:
    pixels = noise((4, 6, 6))
    pixels[3], pixels[3, 2:4] = 255, 0
    path = save(pixels, colors=["red", "green", "blue", "alpha"])
    found, valid = whole(path)
    assert (found == pixels[:3]).all()
    assert (valid == (pixels[3] > 0)).all()
    assert (whole(path, bands=[2])[1] == (pixels[3] > 0)).all()
    assert whole(path, bands=[1, 2, 3, 4])[1].all()  # chosen, it is data


def test_dataset_mask_and_nodata_both_count(save: Callable[..., Path]) -> None:
    pixels, valid = noise((3, 6, 6)), np.ones((6, 6), bool)
    valid[0], pixels[:, :, 0] = False, 7
    pixels[pixels == 7] = 8
    pixels[:, :, 0] = 7
    found = whole(save(pixels, valid=valid, nodata=7))[1]
    valid[:, 0] = False
    assert (found == valid).all()


def test_unsigned_nodata_needs_every_chosen_band(save: Callable[..., Path]) -> None:
    pixels = noise((3, 4, 4))
    pixels[0, 0, 0] = 0
    pixels[:, 1, 1] = 0
    path = save(pixels, nodata=0)
    valid = whole(path)[1]
    assert valid[0, 0]
    assert not valid[1, 1]
    assert not whole(path, bands=[1])[1][0, 0]


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_signed_nodata_needs_one_band(save: Callable[..., Path], dtype: str) -> None:
    pixels = noise((3, 4, 4), dtype)
    pixels[0, 0, 0] = -9999
    valid = whole(save(pixels, nodata=-9999))[1]
    assert (~valid).sum() == 1
    assert not valid[0, 0]


def test_zero_is_data_unless_the_file_says_otherwise(save: Callable[..., Path]) -> None:
    pixels = np.zeros((3, 4, 4), np.uint8)
    assert whole(save(pixels))[1].all()
    assert not whole(save(pixels, "b.tif", nodata=0))[1].any()


@pytest.mark.parametrize("nodata", [None, float("nan"), -3.4028234663852886e38])
def test_nan_and_infinity_never_are_data(save: Callable[..., Path], nodata: float | None) -> None:
    pixels = noise((2, 4, 4), "float32")
    pixels[0, 0, 0], pixels[1, 1, 1], pixels[1, 2, 2] = np.nan, np.inf, -3.4028234663852886e38
    with open_source(save(pixels, nodata=nodata)) as source:
        valid = source.read(source.grid.rect)[1]
        json.dumps(source.fingerprint(), allow_nan=False)
    assert [valid[0, 0], valid[1, 1], valid[2, 2]] == [False, False, nodata is None or np.isnan(nodata)]
    assert (~valid).sum() == 2 + (not valid[2, 2])


def test_mask_per_band_of_a_vrt(save: Callable[..., Path], tmp_path: Path) -> None:
    inside = np.zeros((1, 4, 4), np.uint8)
    inside[:, :, :3] = 255
    save(noise((2, 4, 4)), "data.tif")
    save(inside, "mask.tif")
    name = '<SourceFilename relativeToVRT="1">{}</SourceFilename>'
    band = f"<SimpleSource>{name}<SourceBand>{{}}</SourceBand></SimpleSource>"
    mask = f'<MaskBand><VRTRasterBand dataType="Byte">{band.format("mask.tif", 1)}</VRTRasterBand></MaskBand>'
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{n}">{band.format("data.tif", n)}{mask}</VRTRasterBand>'
        for n in (1, 2)
    )
    path = tmp_path / "m.vrt"
    path.write_text(f'<VRTDataset rasterXSize="4" rasterYSize="4">{bands}</VRTDataset>')
    assert (whole(path)[1] == (inside[0] > 0)).all()


# --- how it is reached


def test_a_vrt_reads_its_members_and_fails_without_them(save: Callable[..., Path], tmp_path: Path) -> None:
    pixels = noise((1, 4, 4))
    member = save(pixels, "member.tif")
    path = tmp_path / "v.vrt"
    path.write_text(
        '<VRTDataset rasterXSize="4" rasterYSize="4"><VRTRasterBand dataType="Byte" band="1">'
        '<SimpleSource><SourceFilename relativeToVRT="1">member.tif</SourceFilename></SimpleSource>'
        "</VRTRasterBand></VRTDataset>"
    )
    with open_source(path) as source:
        assert (source.read(source.grid.rect)[0] == pixels).all()
        assert {Path(file["path"]).name for file in source.fingerprint()["files"]} == {"v.vrt", "member.tif"}
    member.unlink()
    for _ in range(3):  # the second time GDAL itself may go on with zeros
        with pytest.raises(RasterError, match=r"v\.vrt: cannot read its member .*member\.tif"):
            whole(path)


@pytest.mark.parametrize("name", ["/vsicurl/https://example.org/a.tif", "s3://bucket/a.tif", "NETCDF:a.nc:band", ""])
def test_members_elsewhere_are_not_looked_for(name: str, tmp_path: Path) -> None:
    path = tmp_path / "v.vrt"
    path.write_text(f"<VRTDataset><SourceFilename>{name}</SourceFilename></VRTDataset>")
    assert missing_member(path) is None
    path.write_text(path.read_text().replace(f">{name}<", ">a.tif<"))
    assert missing_member(path) == Path("a.tif")
    assert missing_member(tmp_path / "no.vrt") is None


def test_gdal_strings_pass_through(save: Callable[..., Path], tmp_path: Path) -> None:
    path = save(noise((1, 4, 4)))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "inner.tif")
    found, _ = whole(f"/vsizip/{tmp_path}/a.zip/inner.tif")
    with rasterio.MemoryFile(path.read_bytes()) as memory:
        assert (whole(memory.name)[0] == found).all()


def test_addresses_are_translated_and_shown_without_secrets() -> None:
    assert gdal_path("s3://bucket/a/b.tif") == "/vsis3/bucket/a/b.tif"
    assert gdal_path("https://host/b.tif") == "https://host/b.tif"
    assert label("https://me:word@host/b.tif?sig=secret") == "https://host/b.tif"
    assert label("folder/what?.tif") == "folder/what?.tif"


def test_several_threads_read_at_once(save: Callable[..., Path]) -> None:
    pixels = noise((3, 256, 256))
    path = save(pixels, tiled=True, blockxsize=64, blockysize=64, compress="deflate")
    rects = [Rect(top, left, 50, 60) for top in range(0, 200, 10) for left in range(0, 190, 30)]
    with open_source(path) as source, ThreadPoolExecutor(6) as threads:
        for rect, (found, _) in zip(rects, threads.map(source.read, rects), strict=True):
            assert (found == pixels[(slice(None), *rect.slices)]).all()


def test_a_finished_thread_leaves_no_dataset_open(save: Callable[..., Path]) -> None:
    file = RasterFile(save(noise((1, 8, 8))))
    for _ in range(5):
        thread = threading.Thread(target=file.read, args=([1], Rect(0, 0, 8, 8), "uint8"))
        thread.start()
        thread.join()
    assert len(file._datasets._handles) == 1
    file.close()


def _first_pixel(source: Source) -> int:
    return int(source.read(Rect(0, 0, 1, 1))[0][0, 0, 0])


def test_another_process_can_take_the_source_along(save: Callable[..., Path]) -> None:
    pixels = noise((1, 8, 8))
    with open_source(save(pixels)) as source:
        again = pickle.loads(pickle.dumps(source.at_scale(2)))
        assert again.grid == source.at_scale(2).grid
        again.close()
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(_first_pixel, (source,)) == pixels[0, 0, 0]


def test_a_closed_source_says_so(save: Callable[..., Path]) -> None:
    source = open_source(save(noise((1, 8, 8))))
    source.close()
    source.close()
    with pytest.raises(RasterError, match="is closed"):
        source.read(source.grid.rect)


def test_the_fingerprint_tells_changes(save: Callable[..., Path]) -> None:
    path = save(noise((2, 8, 8)))

    def of(**options: Any) -> str:
        with open_source(path, **options) as source:
            return json.dumps(source.fingerprint())

    before = of()
    assert of() == before
    assert len({before, of(bands=[2, 1]), of(resolution_factor=2)}) == 3
    path.with_name("a.tif.aux.xml").write_text("<PAMDataset></PAMDataset>")  # a viewer passing by
    assert of() == before
    save(noise((2, 8, 8), seed=1))
    assert of() != before


# --- what cannot be read


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("none.tif", None, "no such file; check the path"),
        ("empty.tif", b"", "is empty"),
        ("text.tif", b"not a raster at all", "not recognized"),
        ("head.tif", b"II*\0\x08\0\0\0", "raster that GDAL can open"),
        ("https://127.0.0.1:9/a.tif", None, "raster that GDAL can open"),
        ("/vsizip/none.zip/a.tif", None, "raster that GDAL can open"),
        ("", None, "no such file|is a folder"),
    ],
)
def test_what_is_no_raster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes | None, sentence: str
) -> None:
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(name).write_bytes(content)
    with pytest.raises(RasterError, match=sentence) as caught:
        open_source(name)
    assert name in str(caught.value)


def test_a_folder_is_no_raster(tmp_path: Path) -> None:
    with pytest.raises(RasterError, match="is a folder"):
        open_source(tmp_path)


def test_no_path_at_all() -> None:
    with pytest.raises(LandsegError, match="at least one"):
        open_source([])


@pytest.mark.parametrize(
    ("name", "profile"),
    [
        ("plain.tif", {}),
        ("tiled.tif", {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}),
        ("lzw.tif", {"compress": "lzw"}),
        ("jpeg.tif", {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "jpeg"}),
        ("photo.jpg", {"driver": "JPEG", "bare": True}),
        ("drawing.png", {"driver": "PNG", "bare": True}),
    ],
)
def test_a_truncated_file_is_never_read_as_zeros(
    save: Callable[..., Path], name: str, profile: dict[str, Any]
) -> None:
    path = save(noise((3, 200, 200)), name, **profile)
    content = path.read_bytes()
    for share in (0.5, 0.9, 0.99):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(RasterError, match=name):
            whole(path)


def test_a_damaged_jpeg_is_not_read_as_grey(save: Callable[..., Path]) -> None:
    profile = {"compress": "jpeg", "photometric": "ycbcr", "tiled": True, "blockxsize": 64, "blockysize": 64}
    path = save(noise((3, 200, 200)), "photo.tif", **profile)
    assert whole(path)[1].all()
    with rasterio.open(path) as raster:
        start = int(raster.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=1))
        size = int(raster.get_tag_item("BLOCK_SIZE_1_1", "TIFF", bidx=1))
    content = bytearray(path.read_bytes())
    content[start + size // 2 : start + size // 2 + 500] = b"\xff" * 500
    path.write_bytes(content)
    with pytest.raises(RasterError, match=r"Corrupt JPEG data.*damaged"):
        whole(path)
    with open_source(path) as source:  # what is whole can be read
        assert source.read(Rect(0, 0, 64, 64))[1].all()


def test_a_damaged_png_is_not_read_as_zeros(save: Callable[..., Path], tmp_path: Path) -> None:
    path = save(noise((3, 200, 200)), "drawing.png", driver="PNG", bare=True)
    content = bytearray(path.read_bytes())
    assert whole(path)[1].all()
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    for name in ("drawing.png", "hidden.dat"):
        path = path.rename(tmp_path / name)
        with pytest.raises(RasterError, match=rf"{name} is damaged \(the checksum"):
            open_source(path)


def test_a_rectangle_beyond_the_raster_is_refused(save: Callable[..., Path]) -> None:
    with open_source(save(noise((1, 8, 8)))) as source:
        for rect in (Rect(0, 0, 9, 8), Rect(-1, 0, 2, 2), Rect(9, 0, 0, 4)):
            with pytest.raises(GridError, match="8 x 8"):
                source.read(rect)


@pytest.mark.parametrize("factor", [1.0, 0.6, 2.0])
def test_a_rectangle_without_pixels_has_none(factor: float, save: Callable[..., Path]) -> None:
    with open_source(save(noise((2, 8, 8))), resolution_factor=factor) as source:
        edge = source.grid.height
        for rect in (Rect(0, 0, 0, 4), Rect(edge, 0, 0, edge), Rect(1, edge, 3, 0)):
            pixels, valid = source.read(rect)
            assert pixels.shape == (2, *rect.shape) and pixels.dtype == np.uint8
            assert valid.shape == rect.shape and not valid.any()


# --- other scales


def pieces_equal_whole(source: Source, cuts: Sequence[int]) -> None:
    """Reading between any cuts gives the very bytes of reading everything."""
    height, width = source.grid.shape
    pixels, valid = source.read(source.grid.rect)
    for top, bottom in zip([0, *cuts], [*cuts, height], strict=True):
        for left, right in zip([0, *cuts], [*cuts, width], strict=True):
            rect = Rect(top, left, min(bottom, height) - top, min(right, width) - left)
            if rect.area:
                found, found_valid = source.read(rect)
                assert (found == pixels[(slice(None), *rect.slices)]).all()
                assert (found_valid == valid[rect.slices]).all()


@given(st.floats(0.3, 9), st.sampled_from(["uint8", "uint16", "float32"]), st.integers(0, 99))
def test_pieces_of_a_scaled_source_equal_the_whole(factor: float, dtype: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    valid = random.random((41, 67)) > 0.2
    source = Memory((random.random((2, 41, 67)) * 200).astype(dtype), valid).at_scale(factor)
    height, width = source.grid.shape
    cuts = sorted({0, min(height, width) // 3, min(height, width) // 2})
    pieces_equal_whole(source, [cut for cut in cuts if cut])


class FromTheWindow(Memory):
    """The broken twin: it scales each window on its own, as if the raster began there."""

    factor = 1.7

    def _read(self, rect: Rect) -> Pixels:
        size = [int(extent * self.factor) for extent in rect.shape]
        top, left = int(rect.top * self.factor), int(rect.left * self.factor)
        part = Memory(self.pixels[:, top : top + size[0], left : left + size[1]])
        rows = axis_taps(0, rect.height, factor=self.factor, size=part.grid.height)
        columns = axis_taps(0, rect.width, factor=self.factor, size=part.grid.width)
        pixels, valid = part.read(part.grid.rect)
        return resample(
            pixels[:, rows.start : rows.stop, columns.start : columns.stop],
            valid[rows.start : rows.stop, columns.start : columns.stop],
            rows=rows,
            columns=columns,
        )


def test_scaling_window_by_window_is_caught() -> None:
    broken = FromTheWindow(noise((1, 70, 70), "float32"))
    broken.grid = Grid(None, Affine.identity(), 40, 40)
    with pytest.raises(AssertionError):
        pieces_equal_whole(broken, [13])


@pytest.mark.parametrize("budget", [1, 5000])
def test_strips_within_a_read_change_nothing(monkeypatch: pytest.MonkeyPatch, budget: int) -> None:
    source = Memory(noise((2, 64, 48))).at_scale(2.3)
    before, _ = source.read(source.grid.rect)
    monkeypatch.setattr("landseg.geo.rasters.source.STRIP_BYTES", budget)
    assert (source.read(source.grid.rect)[0] == before).all()


def ramp_stays(factor: float, shift: float = 0.0) -> None:
    """A ramp whose value is the position of the pixel's centre still tells the position after scaling."""
    rows, columns = np.mgrid[0:90, 0:120] + 0.5 + shift
    source = Memory(np.stack([rows, columns]).astype("float64")).at_scale(factor)
    pixels, valid = source.read(source.grid.rect)
    assert valid.all()
    wanted = (np.mgrid[0 : source.grid.height, 0 : source.grid.width] + 0.5) * factor
    inner = (slice(None), slice(2, int(80 / factor)), slice(2, int(110 / factor)))
    # The mean over a pixel that is partly covered takes it as flat: up to an eighth of a pixel, to and fro.
    exact = factor < 1 or factor == int(factor)
    assert np.abs(pixels - wanted)[inner].max() < (1e-9 if exact else 0.125)
    assert abs((pixels - wanted)[inner].mean()) < 0.06


@pytest.mark.parametrize("factor", [0.25, 0.4, 0.83, 1.2, 2, 2.5, 3, 4.6])
def test_scaling_moves_nothing(factor: float) -> None:
    ramp_stays(factor)
    with pytest.raises(AssertionError):
        ramp_stays(factor, shift=0.5 * factor)  # half a pixel is seen


def test_larger_pixels_are_area_means_and_smaller_ones_bilinear() -> None:
    source = Memory(np.arange(16, dtype="uint8").reshape(1, 4, 4))
    assert source.at_scale(2).read(Rect(0, 0, 2, 2))[0].tolist() == [[[2, 4], [10, 12]]]  # 2.5, 4.5: to even
    fine = Memory(np.array([[[0.0, 4.0]]])).at_scale(0.5)
    assert fine.read(fine.grid.rect)[0].tolist() == [[[0, 1, 3, 4], [0, 1, 3, 4]]]


@pytest.mark.parametrize("factor", [0.4, 1.7, 2, 3.5])
@pytest.mark.parametrize("hole", [0, 255, np.nan])
def test_nodata_does_not_bleed(factor: float, hole: float) -> None:
    pixels, valid = np.full((1, 40, 40), 100.0, "float32"), np.random.default_rng(1).random((40, 40)) > 0.3
    pixels[:, ~valid] = hole
    scaled = Memory(pixels, valid).at_scale(factor)
    found, found_valid = scaled.read(scaled.grid.rect)
    assert np.allclose(found[:, found_valid], 100, rtol=1e-6)
    assert 0 < found_valid.sum() < found_valid.size
    assert np.isfinite(found).all()


@pytest.mark.parametrize(("holes", "kept"), [(0, True), (1, True), (2, True), (3, False), (4, False)])
def test_half_the_weight_makes_a_pixel_valid(holes: int, kept: bool) -> None:
    valid = np.arange(4).reshape(2, 2) >= holes
    assert Memory(noise((1, 2, 2)), valid).at_scale(2).read(Rect(0, 0, 1, 1))[1].item() is kept


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float64"])
@pytest.mark.parametrize("factor", [0.5, 1.9, 8])
def test_dtype_and_extremes_survive_scaling(dtype: str, factor: float) -> None:
    extremes = [np.finfo(dtype).max / 4] if dtype == "float64" else [np.iinfo(dtype).min, np.iinfo(dtype).max]
    for value in extremes:
        scaled = Memory(np.full((1, 9, 9), value, dtype)).at_scale(factor)
        found, valid = scaled.read(scaled.grid.rect)
        assert found.dtype == dtype
        assert valid.all()
        assert np.allclose(found, value, rtol=1e-9)


@pytest.mark.parametrize("place", [{}, {"bare": True}, {"transform": HALF_METRE @ Affine.rotation(20)}])
def test_scaling_needs_no_crs(save: Callable[..., Path], place: dict[str, Any]) -> None:
    with open_source(save(noise((1, 21, 30)), **place), resolution_factor=2) as source:
        assert source.grid.shape == (11, 15)
        assert source.grid.transform @ (1, 1) == pytest.approx(source.base.grid.transform @ (2, 2))  # type: ignore[attr-defined]
        assert source.read(source.grid.rect)[0].shape == (1, 11, 15)
        assert source.at_scale(0.5).grid == source.base.grid  # type: ignore[attr-defined]


def test_one_pixel_at_any_scale() -> None:
    for factor in (0.1, 1.0, 7.0):
        source = Memory(np.full((1, 1, 1), 9, "uint8")).at_scale(factor)
        assert (source.read(source.grid.rect)[0] == 9).all()


@pytest.mark.parametrize("big", ["NO", "YES"])
@pytest.mark.parametrize("little", ["LITTLE", "BIG"])
def test_nodata_of_64_bit_integers_is_what_the_file_says(
    write_raster: Callable[..., Path], big: str, little: str
) -> None:
    """It is written as -9.2233720368547758e+18, which GDAL takes for -9."""
    lowest = np.iinfo("int64").min
    values = np.array([[1, lowest, -9, 3]], "int64")
    path = write_raster(values, nodata=lowest, BIGTIFF=big, ENDIANNESS=little)
    with FileSource(path) as source:
        assert source.nodata == lowest
        assert source.read(source.grid.rect)[1].tolist() == [[True, False, True, True]]
    with FileSource(write_raster(values, "nine.tif", nodata=-9)) as source:  # twin: another one stays what it is
        assert source.read(source.grid.rect)[1].tolist() == [[True, True, False, True]]
