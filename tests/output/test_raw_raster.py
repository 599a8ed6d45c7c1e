"""Raw rasters: at their full size from the start, sparse, and written in any order."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landseg.errors import OutputError
from landseg.geo.grid import Rect
from landseg.output.raw_raster import RawRaster


def read_raw(path: Path, dtype: str, shape: tuple[int, int, int]) -> Any:
    return np.fromfile(path, np.dtype(dtype).newbyteorder("<")).reshape(shape)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_raw_pixels_land_where_they_belong_in_any_order(tmp_path: Path, rng: Any, dtype: str) -> None:
    wanted = rng.integers(0, 200, (3, 11, 17)).astype(dtype)
    raw = RawRaster(tmp_path / "r", dtype=dtype, bands=3, height=11, width=17)
    rects = [Rect(0, 0, 4, 17), Rect(4, 0, 7, 5), Rect(4, 5, 7, 12)]
    for index in rng.permutation(len(rects)):
        rect = rects[index]
        raw.write(0, rect, wanted[(slice(None), *rect.slices)])
    assert np.array_equal(read_raw(tmp_path / "r", dtype, (3, 11, 17)), wanted)  # unbuffered: seen before any sync
    raw.close()


def test_rectangles_are_read_back(tmp_path: Path, rng: Any) -> None:
    wanted = rng.integers(0, 60_000, (2, 11, 17)).astype(np.uint16)
    raw = RawRaster(tmp_path / "r", dtype="uint16", bands=2, height=11, width=17)
    raw.write(0, Rect(0, 0, 8, 17), wanted[:, :8])
    wanted[:, 8:] = 0  # never written
    for rect in (Rect(0, 0, 11, 17), Rect(3, 0, 7, 17), Rect(2, 4, 8, 5)):
        assert np.array_equal(raw.read(rect), wanted[(slice(None), *rect.slices)])
    os.truncate(tmp_path / "r", 20)
    with pytest.raises(OutputError, match="cut off by another program"):
        raw.read(Rect(0, 0, 11, 17))
    raw.close()


def test_raw_file_is_sparse_and_reads_as_zero(tmp_path: Path) -> None:
    raw = RawRaster(tmp_path / "r", dtype="float32", bands=2, height=3000, width=1000)
    raw.close()
    status = os.stat(tmp_path / "r")
    assert status.st_size == raw.nbytes == 24_000_000
    assert status.st_blocks * 512 < 1 << 20


def test_raw_file_keeps_its_pixels_when_it_is_opened_again(tmp_path: Path) -> None:
    size: dict[str, Any] = {"dtype": "uint8", "bands": 1, "height": 2, "width": 2}
    first = RawRaster(tmp_path / "r", **size)
    first.write(0, Rect(0, 0, 2, 2), np.full((1, 2, 2), 7, "uint8"))
    first.close()
    again = RawRaster(tmp_path / "r", **size)
    again.close()
    assert (tmp_path / "r").read_bytes() == b"\x07" * 4


def test_a_full_disk_is_a_sentence_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = RawRaster(tmp_path / "r", dtype="uint8", bands=1, height=2, width=2)

    class Full:
        def __init__(self, file: Any) -> None:
            self._file = file

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    file = raw._file
    monkeypatch.setattr(raw, "_file", Full(file))
    with pytest.raises(OutputError, match=r"is full \(\d+ MiB free\).*nothing was kept"):
        raw.write(0, Rect(0, 0, 1, 2), np.zeros((1, 1, 2), "uint8"))
    file.close()
