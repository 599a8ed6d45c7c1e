"""Pictures written row by row: another program reads the same pixels, however the rows came."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from numpy.typing import NDArray
from PIL import Image

from landseg.errors import OutputError
from landseg.output.png import PngWriter


def written(path: Path, pixels: NDArray[np.uint8], cuts: list[int]) -> NDArray[Any]:
    """Write a picture in strips that end at some rows, and read it back."""
    with PngWriter(path, *pixels.shape[:2]) as picture:
        for strip in np.split(pixels, sorted(cuts)):
            picture.write(strip) if len(strip) else None
    with Image.open(path) as image:
        image.verify()
    with Image.open(path) as image:
        assert image.mode == "RGB" and image.format == "PNG"
        return np.asarray(image)


@given(some.integers(0, 1000), some.integers(1, 30), some.integers(1, 30), some.data())
def test_a_picture_reads_back(seed: int, height: int, width: int, data: Any) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    cuts = data.draw(some.lists(some.integers(0, height), max_size=4))
    with TemporaryDirectory() as folder:
        assert np.array_equal(written(Path(folder) / "a.png", pixels, cuts), pixels)


def test_twin_a_strip_that_forgets_the_row_above_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3)).astype(np.uint8)
    write = PngWriter.write

    def forgetful(self: PngWriter, colors: NDArray[np.uint8]) -> None:
        self._above = np.zeros_like(self._above)
        write(self, colors)

    monkeypatch.setattr(PngWriter, "write", forgetful)
    assert np.array_equal(written(tmp_path / "a.png", pixels, []), pixels)
    assert not np.array_equal(written(tmp_path / "a.png", pixels, [3]), pixels)


def test_areas_of_one_colour_take_little_room(tmp_path: Path) -> None:
    pixels = np.kron(np.arange(12).reshape(3, 4), np.ones((100, 100)))[..., None].repeat(3, axis=2).astype(np.uint8)
    assert np.array_equal(written(tmp_path / "a.png", pixels, [50]), pixels)
    assert (tmp_path / "a.png").stat().st_size < pixels.size / 200


def test_a_picture_without_all_its_rows_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 rows fewer"), PngWriter(tmp_path / "a.png", 3, 4) as picture:
        picture.write(np.zeros((1, 4, 3), np.uint8))
    with pytest.raises(OutputError, match=r"cannot write named\.png"):
        PngWriter(tmp_path / "no" / "a.png", 3, 4, called=Path("named.png"))
