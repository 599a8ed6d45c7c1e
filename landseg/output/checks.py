"""Checks of the files of a run before it starts: names, folders, inputs, space; and removal of its work folders."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from landseg.errors import LandsegError, OutputError
from landseg.geo.grid import Grid, Rect
from landseg.geo.rasters.address import composed
from landseg.geo.rasters.raster import RasterFile
from landseg.output.extra_folder import ExtraFolder
from landseg.output.layer import Layer
from landseg.output.styles import companion_files
from landseg.runtime.disk import disk_errors, empty_folder, work_folder
from landseg.runtime.replacement import settle
from landseg.runtime.target_checks import check_place, refuse_existing, refuse_inputs

_SUFFIXES = (".tif", ".tiff")
_PAGE = 4096  # bytes that a disk holds at least


def disk_bytes(
    layers: Sequence[Layer],
    grid: Grid,
    parts: Sequence[Rect] | None = None,
    *,
    extra_folders: Iterable[ExtraFolder] = (),
) -> int:
    """Return the most bytes of disk that a run takes at its peak: raw pixels, and beside them what is finished.

    A COG with its overviews takes up to 1.4 times the raw pixels when nothing compresses; class rasters do. Where
    only ``parts`` are filled, a row of a part takes whole pages of the disk, and each block an entry of the COG's
    index.
    """
    area = grid.width * grid.height
    if parts is not None:
        area = sum(part.height * min(grid.width, part.width + 2 * _PAGE) for part in parts) + area // 4096
    factors = ((layer, 1.0 if layer.scratch else 1.5 if layer.classes else 2.4) for layer in layers)
    rasters = sum(math.ceil(area * layer.pixel_bytes * factor) for layer, factor in factors)
    return rasters + sum(math.ceil(area * folder.pixel_bytes) for folder in extra_folders)


def check_targets(
    layers: Sequence[Layer],
    extras: Sequence[Path],
    inputs: Sequence[Path],
    *,
    folders: Sequence[Path] = (),
    extra_folders: Mapping[Path, ExtraFolder] | None = None,
) -> None:
    """Raise OutputError if files of a run cannot be written, must not be, or if two have one place.

    Args:
        layers: rasters to write, as GeoTIFFs.
        extras: other files to write.
        inputs: files that the run reads.
        folders: those that the run makes before it writes.
        extra_folders: those of the other files that are folders.
    """
    made, targets = extra_folders or {}, (*(layer.path for layer in layers), *extras)
    seen: set[str] = set()
    for layer in layers:
        check_place(layer.path, _SUFFIXES, kind="a GeoTIFF", folders=folders)
    for extra in extras:
        if extra not in made:
            check_place(extra, folders=folders)
    for target in targets:
        place = composed(str(target.resolve()))  # some file systems hold one file for both forms of an accent
        if place in seen:
            raise OutputError(f"{target} is named for two outputs: give each its own file")
        seen.add(place)
    for folder, content in made.items():
        content.check(folder, beside=[path for path in targets if path != folder], inputs=inputs, folders=folders)
    refuse_inputs(_all_files(layers, extras), inputs)


def check_absent(layers: Sequence[Layer], extras: Sequence[Path]) -> None:
    """Raise OutputError if a file of a run, or a companion file, exists or is of an unfinished replacement."""
    settle((*(layer.path for layer in layers), *extras), overwrite=False)
    refuse_existing(_all_files(layers, extras))


def check_finished(targets: Sequence[Path]) -> None:
    """Raise OutputError if a file of a finished run is gone, given all its files, the main one first."""
    for target in targets:
        if not target.exists():
            raise OutputError(
                f"{targets[0]} is finished, but {target} is not there: make all files again with --overwrite"
            )


def check_space(
    layers: Sequence[Layer],
    grid: Grid,
    raw_paths: Sequence[Path],
    *,
    parts: Sequence[Rect] | None = None,
    extra_folders: Mapping[Path, ExtraFolder] | None = None,
) -> None:
    """Raise OutputError if the files of a run do not fit on their disks.

    Args:
        layers: rasters to write.
        grid: of the rasters.
        raw_paths: the file of raw pixels of each layer; what it already holds is not needed again.
        parts: rectangles of the grid that are filled; None: all of it.
        extra_folders: folders to write, by their places.
    """
    wanted: list[tuple[Path, int]] = []
    for layer, raw in zip(layers, raw_paths, strict=True):
        held = raw.stat().st_blocks * 512 if raw.exists() else 0
        wanted.append((layer.path, max(0, disk_bytes([layer], grid, parts) - held)))
    for path, content in (extra_folders or {}).items():
        wanted.append((path, disk_bytes([], grid, parts, extra_folders=[content])))
    needs: dict[int, int] = {}
    folders: dict[int, Path] = {}
    for path, size in wanted:
        with disk_errors(path):
            device = os.stat(path.parent).st_dev
        needs[device] = needs.get(device, 0) + size
        folders.setdefault(device, path.parent)
    for device, need in needs.items():
        free = shutil.disk_usage(folders[device]).free
        if need > free:
            raise OutputError(
                f"the outputs need up to {need / 2**20:.0f} MiB in {folders[device].resolve()}, where "
                f"{free / 2**20:.0f} MiB are free: make space, or choose a folder on another disk"
            )


def files_behind(sources: Sequence[str]) -> list[Path]:
    """Return the files that sources are read from: themselves, and the members of mosaics at any depth."""
    found: dict[str, None] = {}
    waiting = list(sources)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = None
        if name.lower().endswith(".vrt"):
            try:
                raster = RasterFile(name)
            except LandsegError:
                continue  # the reader of the source reports the fault
            raster.close()
            waiting += raster.info.files
    return [Path(name) for name in found]


def _all_files(layers: Sequence[Layer], extras: Sequence[Path]) -> list[Path]:
    """Return the files that a finished run replaces or removes, its targets first."""
    targets: list[Layer | Path] = [*layers, *extras]
    return [
        *(layer.path for layer in layers),
        *extras,
        *(path for target in targets for path in companion_files(target)),
    ]


def remove_work(main: Path, header: Mapping[str, Any] | None, *, keep_journal: Path | None = None) -> None:
    """Remove the work folders of the run of a main file, whose journal began with a header.

    The main folder goes last and its journal first in it: a run that is killed in here leaves either its journal, or
    a folder that the next run ignores.

    Args:
        main: the main file of the run.
        header: of the journal; None without one.
        keep_journal: the journal, where it and the main folder stay.
    """
    started = ((header or {}).get("signature") or {}).get("outputs") or {}
    for target in map(Path, started.get("targets", ())):
        if target.resolve() != main.resolve():
            shutil.rmtree(work_folder(target), ignore_errors=True)
    folder = work_folder(main)
    if keep_journal is None:
        (folder / "journal").unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        return
    empty_folder(folder, keep=keep_journal)


def is_folder(path: str | PathLike[str]) -> bool:
    """Return True if an output is a folder: one that exists, or a name that ends in a slash."""
    return str(path).endswith(("/", "\\")) or Path(path).is_dir()
