"""The cache: its place, files that appear complete, and folders that cannot be written."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import platformdirs
import pytest

from landseg.runtime import cache
from landseg.runtime.cache import cache_folder, cache_root, store


def test_its_place_is_the_systems_or_that_of_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LANDSEG_CACHE", str(tmp_path / "there"))
    assert cache_root() == tmp_path / "there"
    assert cache_folder("key") == tmp_path / "there" / "compiled" / "key" and cache_folder("key").is_dir()  # type: ignore[union-attr]
    for unset in ("", None):
        monkeypatch.setenv("LANDSEG_CACHE", unset) if unset is not None else monkeypatch.delenv("LANDSEG_CACHE")
        assert cache_root() == Path(platformdirs.user_cache_dir("landseg", appauthor=False))


def test_writers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    path, contents = tmp_path / "file", [bytes([number]) * 200_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda data: store(path, data), contents * 4))
    assert path.read_bytes() in contents
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def sizes_seen(path: Path, write: Callable[[], object]) -> set[int]:
    """Return the sizes that a reader sees of a file while it is written."""
    seen: set[int] = set()
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not writing.done():
            if path.exists():
                seen.add(path.stat().st_size)
    return seen | {path.stat().st_size}


def test_no_reader_sees_half_a_file(tmp_path: Path) -> None:
    path, size = tmp_path / "file", 40_000_000
    assert sizes_seen(path, lambda: store(path, bytes(size))) == {size}


def test_twin_a_writer_that_does_not_rename_is_seen_half_way(tmp_path: Path) -> None:
    def write() -> None:
        with (tmp_path / "file").open("wb") as file:
            for _ in range(2):
                file.write(bytes(100_000))
                file.flush()
                time.sleep(0.3)

    assert 100_000 in sizes_seen(tmp_path / "file", write)


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: list[str]) -> None:
    monkeypatch.setattr(cache, "_warned", set())

    def refuse(source: str, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    assert not store(tmp_path / "file", b"data")
    assert list(tmp_path.iterdir()) == []
    assert len(heard) == 1 and "No space left" in heard[0]


def test_a_cache_that_cannot_be_made_is_no_error_and_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: list[str]
) -> None:
    monkeypatch.setattr(cache, "_warned", set())
    (tmp_path / "file").touch()
    monkeypatch.setenv("LANDSEG_CACHE", str(tmp_path / "file"))
    assert cache_folder("one") is None and cache_folder("two") is None
    assert len(heard) == 1 and "set LANDSEG_CACHE to a folder that you may write to" in heard[0]
