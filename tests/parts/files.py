"""Empty files with names."""

from __future__ import annotations

from pathlib import Path


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).touch()


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]
