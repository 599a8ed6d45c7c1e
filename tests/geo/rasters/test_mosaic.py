"""Mosaics: members in their places, the first valid pixel wins, other grids warped."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import Transformer
from rasterio.enums import ColorInterp

from landseg.errors import BandError, GridError, RasterError
from landseg.geo.grid import Rect
from landseg.geo.rasters.mosaic import open_source
from landseg.geo.rasters.warp import WarpedSource

WHERE = Affine(1, 0, 500_000, 0, -1, 5_400_000)


@pytest.fixture
def member(tmp_path: Path) -> Callable[..., Path]:
    """Writes (C, H, W) with its top left corner `left` and `down` pixels from the common corner."""

    def write(name: str, pixels: np.ndarray, *, left: float = 0, down: float = 0, **profile: Any) -> Path:
        count, height, width = pixels.shape
        place = {"crs": "EPSG:32633", "transform": WHERE @ Affine.translation(left, down)}
        size = {"count": count, "height": height, "width": width, "dtype": pixels.dtype, "driver": "GTiff"}
        with rasterio.open(tmp_path / name, "w", **{**size, **place, **profile}) as raster:
            raster.write(pixels)
        return tmp_path / name

    return write


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(3).integers(1, 250, (2, height, width)).astype("uint8")


def test_tiles_of_one_grid_are_put_together(member: Callable[..., Path]) -> None:
    pixels = picture(30, 40)
    corners = [(top, left) for top in (0, 10, 20) for left in (0, 20)]
    paths = [
        member(f"{top}_{left}.tif", pixels[:, top : top + 10, left : left + 20], left=left, down=top)
        for top, left in corners
    ]
    for order in (paths, paths[::-1]):  # the first one's grid is extended to every side
        with open_source(order) as source:
            assert source.grid.shape == (30, 40)
            assert source.grid.transform.almost_equals(WHERE)
            found, valid = source.read(source.grid.rect)
            assert (found == pixels).all()
            assert valid.all()
            assert (source.read(Rect(8, 15, 9, 11))[0] == pixels[:, 8:17, 15:26]).all()
            assert source.name.endswith(".tif and 5 more")
            assert len(source.fingerprint()["files"]) == 6


def test_gaps_are_invalid_and_the_first_valid_pixel_wins(member: Callable[..., Path]) -> None:
    one, two = np.full((1, 4, 4), 10, "uint8"), np.full((1, 4, 4), 20, "uint8")
    one[:, 2:] = 0
    paths = [member("one.tif", one, nodata=0), member("two.tif", two, left=2, down=2)]
    with open_source(paths) as source:
        found, valid = source.read(source.grid.rect)
    wanted = np.zeros((6, 6), int)
    wanted[:2, :4] = 10
    wanted[2:, 2:] = 20
    assert (np.where(valid, found[0], 0) == wanted).all()


@pytest.mark.parametrize("shift", [0.0, 0.01])
def test_rounding_in_transforms_does_not_warp(member: Callable[..., Path], shift: float) -> None:
    pixels = picture(8, 8)
    with open_source([member("a.tif", pixels), member("b.tif", pixels, left=8 + shift)]) as source:
        assert (source.read(Rect(0, 8, 8, 8))[0] == pixels).all()
        assert source.grid.shape == (8, 16)


def ramp(transform: Affine, crs: str, *, height: int, width: int) -> np.ndarray:
    """Two bands: east and north of the common corner in metres of UTM 33, at each pixel's centre."""
    cols, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    x = transform.a * cols + transform.b * rows + transform.c
    y = transform.d * cols + transform.e * rows + transform.f
    x, y = Transformer.from_crs(crs, "EPSG:32633", always_xy=True).transform(x, y)
    return np.stack([x - 500_000, y - 5_400_000])


OTHER_GRIDS = {
    "half a pixel off": ("EPSG:32633", WHERE @ Affine.translation(30.5, 2.5)),
    "coarser": ("EPSG:32633", WHERE @ Affine.translation(30, 0) @ Affine.scale(2.5)),
    "finer": ("EPSG:32633", WHERE @ Affine.translation(30, 0) @ Affine.scale(0.3)),
    "rotated": ("EPSG:32633", WHERE @ Affine.translation(60, 0) @ Affine.rotation(30)),
    "south-up": ("EPSG:32633", WHERE @ Affine.translation(30.2, 40) @ Affine.scale(1, -1)),
    "degrees": ("EPSG:4326", Affine(1.5e-5, 0, 15.0005, 0, -1e-5, 48.7522)),
    "next zone": ("EPSG:32632", Affine(1, 0, 941_460, 0, -1, 5_412_900)),
}


@pytest.mark.parametrize("name", OTHER_GRIDS)
def test_members_on_another_grid_land_in_their_place(member: Callable[..., Path], name: str) -> None:
    crs, transform = OTHER_GRIDS[name]
    area = 0.09 if name == "finer" else 1.0  # of one of its pixels, in pixels of the mosaic, at least
    first = ramp(WHERE, "EPSG:32633", height=20, width=20)
    other = ramp(transform, crs, height=40, width=50)
    paths = [member("first.tif", first), member("other.tif", other, crs=crs, transform=transform)]
    with open_source(paths) as source:
        found, valid = source.read(source.grid.rect)
        wanted = ramp(source.grid.transform, "EPSG:32633", height=source.grid.height, width=source.grid.width)
        assert valid.sum() > 400 + min(1500, 1800 * area)
        inner = valid & ~edge(valid)
        assert np.abs(found - wanted)[:, inner].max() < 0.02
        with pytest.raises(AssertionError):  # a quarter of a pixel would be seen
            assert np.abs(found + 0.25 - wanted)[:, inner].max() < 0.02
        for rect in (Rect(0, 0, 7, 11), Rect(3, 9, source.grid.height - 5, source.grid.width - 9)):
            piece, piece_valid = source.read(rect)
            assert (piece == found[(slice(None), *rect.slices)]).all()
            assert (piece_valid == valid[rect.slices]).all()


def edge(valid: np.ndarray) -> np.ndarray:
    """Pixels within two of an invalid one: there the outermost value is held and a ramp bends."""
    padded = np.pad(valid, 3)
    height, width = valid.shape
    near = [padded[dy : dy + height, dx : dx + width] for dy in range(7) for dx in range(7)]
    return ~np.logical_and.reduce(near)


def test_large_warps_are_done_in_parts(member: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    crs, transform = OTHER_GRIDS["degrees"]
    paths = [
        member("a.tif", picture(20, 20)),
        member("b.tif", picture(40, 50), crs=crs, transform=transform),
    ]
    with open_source(paths) as source:
        before = source.read(source.grid.rect)
        monkeypatch.setattr("landseg.geo.rasters.warp.WARP_PIXELS", 50)
        monkeypatch.setattr("landseg.geo.rasters.warp.WARP_READ", 40)
        after = source.read(source.grid.rect)
        assert all((one == other).all() for one, other in zip(before, after, strict=True))
        with pickle.loads(pickle.dumps(source)) as again:
            assert (again.read(again.grid.rect)[0] == before[0]).all()


def test_nodata_does_not_bleed_through_a_warp(member: Callable[..., Path]) -> None:
    pixels = np.full((1, 30, 30), 100, "int16")
    pixels[:, ::3, ::2] = -9999
    paths = [
        member("a.tif", np.full((1, 2, 2), 100, "int16")),
        member("b.tif", pixels, left=10.4, down=3.3, nodata=-9999),
    ]
    with open_source(paths) as source:
        found, valid = source.read(source.grid.rect)
        assert isinstance(source._members[1].source, WarpedSource)  # type: ignore[attr-defined]
        assert (found[0][valid] == 100).all()
        assert 400 < valid.sum() < 904


def test_members_that_do_not_fit(member: Callable[..., Path], tmp_path: Path) -> None:
    good = member("good.tif", picture(4, 4))
    with pytest.raises(BandError, match=r"one\.tif has 1 band, but good\.tif has 2"):
        open_source([good, member("one.tif", picture(4, 4)[:1])])
    with pytest.raises(BandError, match=r"wide\.tif holds uint16 pixels, but good\.tif uint8"):
        open_source([good, member("wide.tif", picture(4, 4).astype("uint16"))])
    with pytest.raises(GridError, match=r"lost\.tif has no CRS, good\.tif has EPSG:32633"):
        open_source([good, member("lost.tif", picture(4, 4), crs=None)])
    with pytest.raises(RasterError, match=r"none\.tif: no such file"):
        open_source([good, tmp_path / "none.tif"])


RGB = ("red", "green", "blue")


def colored(path: Path, colors: tuple[str, ...], names: tuple[str, ...] | None = None) -> Path:
    with rasterio.open(path, "r+") as raster:
        raster.colorinterp = [ColorInterp[color] for color in colors]
        if names is not None:
            raster.descriptions = names
    return path


@pytest.mark.parametrize(
    ("one", "other", "sentence"),
    [
        ((RGB, None), (RGB[::-1], None), r"b\.tif has the bands blue, green, red, but a\.tif has red, green, blue"),
        ((RGB, None), (RGB[::-1], None), r"reorder it \(gdal_translate -b 3 -b 2 -b 1\), or do them apart"),
        ((RGB, None), (("nir", "red", "green"), None), "one order in all; do them apart"),
        ((RGB, RGB), (RGB, RGB[::-1]), "-b 3 -b 2 -b 1"),  # GDAL calls any three bytes red, green and blue
        ((RGB, None), (("gray", "undefined", "undefined"), RGB[::-1]), "-b 3 -b 2 -b 1"),
        (
            (("undefined",) * 3, ("B04", "B08", "B11")),
            (("undefined",) * 3, ("B08", "B11", "B04")),
            "has the bands b08, b11, b04, but",
        ),
        ((RGB, ("B04", "B03", "B02")), (RGB, ("B02", "B03", "B04")), "bands b02, b03, b04, but"),
    ],
)
def test_members_whose_bands_contradict_the_first_are_refused(
    member: Callable[..., Path], one: Any, other: Any, sentence: str
) -> None:
    pixels = np.full((3, 4, 4), 9, "uint8")
    paths = [colored(member("a.tif", pixels), *one), colored(member("b.tif", pixels, left=4), *other)]
    with pytest.raises(BandError, match=sentence):
        open_source(paths)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((RGB, None), (("gray", "undefined", "undefined"), None)),
        ((RGB, None), (RGB, ("Red", "GREEN", "blue"))),
        ((RGB, None), (RGB, ("tile7_b1", "tile7_b2", "tile7_b3"))),
        ((RGB, ("a1", "a2", "a3")), (("undefined",) * 3, ("b1", "b2", "b3"))),
        ((("red", "green", "alpha"), None), (("red", "green", "alpha"), None)),
    ],
)
def test_bands_that_are_called_nothing_or_by_names_of_their_own_go_together(
    member: Callable[..., Path], one: Any, other: Any
) -> None:
    pixels = np.full((3, 4, 4), 9, "uint8")
    paths = [colored(member("a.tif", pixels), *one), colored(member("b.tif", pixels, left=4), *other)]
    with open_source(paths) as source:
        assert source.grid.shape == (4, 8)


def test_the_way_to_reorder_keeps_alpha_and_gives_the_same_pixels(member: Callable[..., Path]) -> None:
    pixels = np.arange(1, 65, dtype="uint8").reshape(4, 4, 4)
    first = colored(member("a.tif", pixels), (*RGB, "alpha"))
    turned = colored(member("b.tif", pixels[[1, 2, 0, 3]], left=4), ("green", "blue", "red", "alpha"))
    with pytest.raises(BandError, match="-b 3 -b 1 -b 2 -b 4"):
        open_source([first, turned])
    with rasterio.open(turned) as raster:
        again = colored(member("c.tif", raster.read([3, 1, 2, 4]), left=4), (*RGB, "alpha"))
    with open_source([first, again]) as source:
        assert (source.read(Rect(0, 4, 4, 4))[0] == pixels[:3]).all()


def test_members_without_a_crs_share_one_plane(member: Callable[..., Path]) -> None:
    paths = [member("a.tif", picture(4, 4), crs=None), member("b.tif", picture(4, 4), left=4, crs=None)]
    with open_source(paths) as source:
        assert source.grid.shape == (4, 8)


def test_a_mosaic_can_be_scaled(member: Callable[..., Path]) -> None:
    pixels = np.full((1, 10, 10), 50, "uint8")
    paths = [member("a.tif", pixels), member("b.tif", pixels, left=10)]
    with open_source(paths, resolution_factor=2.5) as source:
        found, valid = source.read(source.grid.rect)
        assert found.shape == (1, 4, 8)
        assert (found == 50).all()
        assert valid.all()
