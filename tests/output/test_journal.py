"""The store: raw rasters at their full size, and a journal that survives being torn."""

import errno
import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landseg.errors import OutputError
from landseg.geo.grid import Rect
from landseg.output.journal import Journal, RawRaster, differences, disk_errors, empty_folder, plain, work_folder


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


def test_journal_reads_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    assert journal.header is None
    journal.restart({"a": 1})
    journal.append({"done": "x"})
    journal.close()
    again = Journal(tmp_path / "j")
    assert again.header == {"a": 1}
    assert again.records == [{"done": "x"}]
    again.close()


@given(cut=st.integers(0, 60))
def test_a_torn_line_is_dropped_and_never_glued_to_the_next(tmp_path_factory: Any, cut: int) -> None:
    path = tmp_path_factory.mktemp("torn") / "j"
    journal = Journal(path)
    journal.restart({"a": 1})
    journal.append({"done": "x"})
    journal.append({"done": "y"})
    journal.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: min(cut, len(whole))])
    lines = whole[: min(cut, len(whole))].count(b"\n")
    again = Journal(path)
    assert (again.header is not None) + len(again.records) == lines
    if again.header is not None:
        again.append({"done": "z"})
        again.close()
        third = Journal(path)
        assert [r["done"] for r in third.records] == [*["x", "y"][: lines - 1], "z"]
        third.close()
    else:
        again.close()


def test_what_follows_a_broken_line_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(b'{"a": 1}\n{"don\x00\x00\n{"done": "y"}\n')
    journal = Journal(tmp_path / "j")
    assert journal.records == []
    journal.close()


def hold(path: str, ready: Any, release: Any) -> None:
    journal = Journal(Path(path))
    ready.set()
    release.wait(20)
    journal.close()


def test_a_second_run_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    ready, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(str(tmp_path / "j"), ready, release))
    other.start()
    assert ready.wait(30)
    with pytest.raises(OutputError, match="another run is writing"):
        Journal(tmp_path / "j")
    release.set()
    other.join(30)
    Journal(tmp_path / "j").close()


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
    with pytest.raises(OutputError, match=r"is full \(\d+ MiB free\).*--resume"):
        raw.write(0, Rect(0, 0, 1, 2), np.zeros((1, 1, 2), "uint8"))
    file.close()


def test_other_refusals_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*x \(Permission denied\)"), disk_errors(tmp_path / "x"):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_differences_name_every_key_with_old_and_new() -> None:
    old = plain({"halo": 32, "model": {"hash": "a", "file": Path("m")}, "bands": (1, 2)})
    new = plain({"halo": 32, "model": {"hash": "b", "file": Path("m")}, "bands": [1, 2], "tta": "d4"})
    assert differences(old, new) == ["model.hash was a, is now b", "tta was absent, is now d4"]
    assert differences({"nodata": float("nan")}, {"nodata": float("nan")}) == []


def test_a_folder_is_emptied_but_for_one_file(tmp_path: Path) -> None:
    folder = work_folder(tmp_path / "a.tif")
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "x").touch()
    (folder / "journal").touch()
    (folder / "y").touch()
    empty_folder(folder, keep=folder / "journal")
    assert [entry.name for entry in folder.iterdir()] == ["journal"]
