"""Rasters of a band each, read as one: the same as a virtual raster of separate bands."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landseg.errors import BandError, GridError, RasterError
from landseg.geo.grid import Rect
from landseg.geo.rasters import stack
from landseg.geo.rasters.mosaic import open_source
from landseg.geo.rasters.stack import short_names
from landseg.inference.match import match_raster
from tests.parts.predicting import noise, small_model

Write = Callable[..., Path]


def three(write_raster: Write, **profile: Any) -> tuple[np.ndarray, list[Path]]:
    pixels = noise(20, 30)
    pixels[0, 2:5] = 0
    pixels[:, 8:11, 4:9] = 0
    return pixels, [write_raster(pixels[n], f"S2_B0{n + 2}_10m.tif", **profile) for n in range(3)]


def separate(folder: Path, files: list[Path], inside: str = "") -> Path:
    """What `gdalbuildvrt -separate` makes of them."""
    source = '<SimpleSource><SourceFilename relativeToVRT="1">{}</SourceFilename></SimpleSource>'
    start = '<VRTRasterBand dataType="Byte" band="{}">'
    bands = "".join(
        f"{start.format(n)}{inside}{source.format(file.name)}</VRTRasterBand>" for n, file in enumerate(files, 1)
    )
    (folder / "stack.vrt").write_text(f'<VRTDataset rasterXSize="30" rasterYSize="20">{bands}</VRTDataset>')
    return folder / "stack.vrt"


@pytest.mark.parametrize("nodata", [None, 0])
def test_a_stack_is_what_a_vrt_of_separate_bands_is(write_raster: Write, tmp_path: Path, nodata: int | None) -> None:
    pixels, files = three(write_raster, nodata=nodata)
    inside = "" if nodata is None else "<NoDataValue>0</NoDataValue>"
    rect = Rect(1, 2, 15, 20)
    with open_source(files, stack=True) as one, open_source(separate(tmp_path, files, inside)) as other:
        assert (one.count, one.dtype, one.band_names) == (3, "uint8", ("B02", "B03", "B04"))
        found, valid = one.read(rect)
        wanted, wanted_valid = other.read(rect)
        np.testing.assert_array_equal(found, pixels[(slice(None), *rect.slices)])
        np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(valid, wanted_valid)
        assert valid.all() == (nodata is None)
        assert len(one.fingerprint()["files"]) == 3
    with open_source(files, stack=True, bands=[3, 1]) as chosen:
        np.testing.assert_array_equal(chosen.read(rect)[0], found[[2, 0]])
    with pytest.raises(BandError, match="the stack has 3 bands, but band 4 was asked for"):
        open_source(files, stack=True, bands=[4])


def test_masks_of_every_file_count(write_raster: Write) -> None:
    pixels, valid = noise(20, 30), np.ones((20, 30), bool)
    valid[:, :7] = False
    files = [write_raster(pixels[0], "a.tif"), write_raster(pixels[1], "b.tif", valid=valid)]
    with open_source(files, stack=True) as source:
        np.testing.assert_array_equal(source.read(source.grid.rect)[1], valid)
    with open_source(files, stack=True, bands=[1]) as source:
        assert source.read(source.grid.rect)[1].all()


def test_a_stack_needs_one_grid(write_raster: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [write_raster(noise(20, 30)[0], "B02.tif"), write_raster(noise(10, 15)[0], "B05.tif")]
    with pytest.raises(GridError, match=r"B05\.tif is 15 x 10 px.*a stack needs one grid.*-resolution highest"):
        open_source(files, stack=True)
    monkeypatch.setattr(stack, "_check_grid", lambda first, other: None)
    with open_source(files, stack=True) as source, pytest.raises((ValueError, RasterError)):
        source.read(Rect(0, 0, 20, 30))  # what the check is for


def test_single_bands_for_a_model_of_several_are_told_of_stacks(write_raster: Write) -> None:
    _, files = three(write_raster)
    for given in (files, files[0]):
        with pytest.raises(BandError, match=r"the raster has 1: .*--stack \(B02.tif .*gdalbuildvrt -separate\)"):
            match_raster(given, small_model().card)
    with match_raster(files, small_model().card, stack=True) as matched:
        assert matched.source.count == 3


def test_what_the_model_reads_from_which_file_is_said(write_raster: Write, caplog: pytest.LogCaptureFixture) -> None:
    """The order of the files is the user's, and a mistake in it shows."""
    pixels, files = three(write_raster)
    with caplog.at_level("INFO", "landseg"), match_raster(files[::-1], small_model().card, stack=True) as matched:
        np.testing.assert_array_equal(matched.source.read(Rect(0, 0, 20, 30))[0], pixels[::-1])
    assert caplog.messages == ["model small reads red from B04, green from B03, blue from B02"]


def test_bands_that_are_called_as_the_card_has_them_are_put_in_its_order(write_raster: Write) -> None:
    pixels = noise(20, 30)
    files = [write_raster(pixels[n], f"{name}.tif") for n, name in enumerate(("blue", "red", "green"))]
    with match_raster(files, small_model().card, stack=True) as matched:
        np.testing.assert_array_equal(matched.source.read(Rect(0, 0, 20, 30))[0], pixels[[1, 2, 0]])


def test_names_without_what_all_share() -> None:
    assert short_names(["a"]) == ["a"]
    assert short_names(["a_b", "a_b"]) == ["b", "b"]
    assert short_names(["T32_B8A", "T32_B11_20m"]) == ["B8A", "B11_20m"]
