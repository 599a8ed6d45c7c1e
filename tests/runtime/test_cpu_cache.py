"""The second-level cache, from the files in which Linux describes it."""

import sys
from pathlib import Path

import pytest

from landseg.runtime.cpu_cache import DEFAULT, second_level_cache

MIB = 1 << 20
linux = pytest.mark.skipif(sys.platform == "darwin", reason="macOS tells it by a call")


def describe(folder: Path, *caches: tuple[str, str, str, str]) -> Path:
    """Write level, type, size and processors of each cache as the system does."""
    for number, texts in enumerate(caches):
        index = folder / f"index{number}"
        index.mkdir()
        for name, text in zip(("level", "type", "size", "shared_cpu_list"), texts, strict=True):
            (index / name).write_text(f"{text}\n", "ascii")
    return folder


FIRST = ("1", "Data", "48K", "0")
THIRD = ("3", "Unified", "32M", "0-7")


@linux
@pytest.mark.parametrize(
    ("size", "users", "expected"),
    [
        ("1024K", "0", MIB),
        ("2048K", "0", 2 * MIB),
        ("2M", "0,64", 2 * MIB),  # two threads of one core
        ("4096K", "0-3", 2 * MIB),  # small cores that share one
        ("128K", "0", MIB // 4),
        ("64M", "0", 4 * MIB),
        ("524288", "0", MIB // 2),
    ],
)
def test_a_core_s_share_within_bounds(tmp_path: Path, size: str, users: str, expected: int) -> None:
    assert second_level_cache(describe(tmp_path, FIRST, ("2", "Unified", size, users), THIRD)) == expected


@linux
@pytest.mark.parametrize(
    "second", [None, ("2", "Instruction", "2M", "0"), ("2", "Unified", "much", "0"), ("2", "Unified", "2M", "")]
)
def test_twin_what_describes_no_such_cache_gives_the_default(tmp_path: Path, second: tuple[str, ...] | None) -> None:
    described = [FIRST, THIRD] if second is None else [FIRST, second, THIRD]
    assert second_level_cache(describe(tmp_path, *described)) == DEFAULT  # type: ignore[arg-type]


@linux
def test_no_description_gives_the_default(tmp_path: Path) -> None:
    assert second_level_cache(tmp_path / "none") == DEFAULT


def test_this_machine_has_one() -> None:
    assert MIB // 4 <= second_level_cache() <= 4 * MIB
