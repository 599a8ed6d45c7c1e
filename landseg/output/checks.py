"""The places that a run will write to, checked before it starts: names, folders, inputs, space."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from landseg.errors import LandsegError, OutputError
from landseg.geo.grid import Grid, Rect
from landseg.geo.rasters.address import composed
from landseg.geo.rasters.raster import RasterFile
from landseg.output.layer import Layer
from landseg.output.sidecars import companion_files
from landseg.runtime.disk import check_local, disk_errors, empty_folder, work_folder
from landseg.runtime.replacement import settle

_SUFFIXES = (".tif", ".tiff")
_PAGE = 4096  # bytes that a disk holds at least


def disk_bytes(layers: Sequence[Layer], grid: Grid, parts: Sequence[Rect] | None = None) -> int:
    """Bytes of disk that a run takes at its peak, at most: raw pixels, and beside them the finished COGs.

    A COG with its overviews takes up to 1.4 times the raw pixels when nothing compresses; class rasters do. Where
    only ``parts`` are filled, a row of one takes whole pages of the disk, and each block an entry of the COG's index.
    """
    area = grid.width * grid.height
    if parts is not None:
        area = sum(part.height * min(grid.width, part.width + 2 * _PAGE) for part in parts) + area // 4096
    factors = ((layer, 1.0 if layer.scratch else 1.5 if layer.classes else 2.4) for layer in layers)
    return sum(math.ceil(area * layer.pixel_bytes * factor) for layer, factor in factors)


def check_targets(
    layers: Sequence[Layer], extras: Sequence[Path], inputs: Sequence[Path], *, folders: Sequence[Path] = ()
) -> None:
    """Refuses targets that cannot be written or must not be; ``folders`` will be made before they are needed.

    Raises:
        OutputError: an address, no folder, a folder, an input, the same target twice, a suffix other than .tif.
    """
    seen: set[str] = set()
    taken = {identity for path in inputs if (identity := _file_identity(path)) is not None}
    for target in (*(layer.path for layer in layers), *extras):
        check_local(target)
        if not target.parent.is_dir() and target.parent not in folders:
            raise OutputError(f"{target} has no folder: make {target.parent} first, or choose another output")
        if target.is_dir():
            raise OutputError(f"{target} is a folder: name a file in it")
        place = composed(str(target.resolve()))  # some file systems hold one file for both forms of an accent
        if place in seen:
            raise OutputError(f"{target} is named for two outputs: give each its own file")
        seen.add(place)
    for file in _all_files(layers, extras):
        if _file_identity(file) in taken:
            raise OutputError(f"{file} is an input of this run: choose another output")
    for layer in layers:
        if layer.path.suffix.lower() not in _SUFFIXES:
            raise OutputError(f"{layer.path} will be a GeoTIFF: write {layer.path.with_suffix('.tif')}")


def check_absent(layers: Sequence[Layer], extras: Sequence[Path]) -> None:
    """Refuses targets that exist, and what lies beside a target that does not and would go with it.

    Raises:
        OutputError: one does, or is of an unfinished replacement.
    """
    settle((*(layer.path for layer in layers), *extras), overwrite=False)
    for target in _all_files(layers, extras):
        if os.path.lexists(target):
            raise OutputError(f"{target} exists: choose another output, or replace it with --overwrite")


def check_finished(targets: Sequence[Path]) -> None:
    """Refuses to take a run for finished whose further files are not all there.

    Raises:
        OutputError: the first file is there, another is not.
    """
    for target in targets:
        if not target.exists():
            raise OutputError(
                f"{targets[0]} is finished, but {target} is not there: make all files again with --overwrite"
            )


def check_space(
    layers: Sequence[Layer], grid: Grid, raw_paths: Sequence[Path], *, parts: Sequence[Rect] | None = None
) -> None:
    """Refuses a run that cannot fit on its disks; what its raw files already hold is not needed twice.

    Raises:
        OutputError: expected and free space.
    """
    needs: dict[int, int] = {}
    folders: dict[int, Path] = {}
    for layer, raw in zip(layers, raw_paths, strict=True):
        with disk_errors(layer.path):
            device = os.stat(layer.path.parent).st_dev
        held = raw.stat().st_blocks * 512 if raw.exists() else 0
        needs[device] = needs.get(device, 0) + max(0, disk_bytes([layer], grid, parts) - held)
        folders.setdefault(device, layer.path.parent)
    for device, need in needs.items():
        free = shutil.disk_usage(folders[device]).free
        if need > free:
            raise OutputError(
                f"the outputs need up to {need / 2**20:.0f} MiB in {folders[device].resolve()}, where "
                f"{free / 2**20:.0f} MiB are free: make space, or choose a folder on another disk"
            )


def refuse_promise(error: BaseException) -> None:
    """Says of a full disk what is true where nothing is kept: there is nothing to resume.

    Raises:
        OutputError: in place of the ``error`` that promises to keep what is finished.
    """
    promise, advice = "finished work is kept: make space there and", " with --resume"
    if isinstance(error, OutputError) and promise in str(error):
        text = str(error).replace(promise, "nothing was kept: make space there and").removesuffix(advice)
        raise OutputError(text) from error


def files_behind(sources: Sequence[str]) -> list[Path]:
    """The files that are read for ``sources``: these, and the members of mosaics, and of mosaics in mosaics."""
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
                continue  # whoever reads from it says what is wrong
            raster.close()
            waiting += raster.info.files
    return [Path(name) for name in found]


def _all_files(layers: Sequence[Layer], extras: Sequence[Path]) -> list[Path]:
    """What a finished run replaces or removes: its targets first."""
    targets: list[Layer | Path] = [*layers, *extras]
    return [
        *(layer.path for layer in layers),
        *extras,
        *(path for target in targets for path in companion_files(target)),
    ]


def _file_identity(path: Path) -> tuple[int, int] | None:
    """What all names of one file share (links too); None where there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # a source may be an address, or a whole document
        return None
    return status.st_dev, status.st_ino


def remove_work(main: Path, header: Mapping[str, Any] | None, *, keep_journal: Path | None = None) -> None:
    """Removes the work folders of the run whose journal in ``main``'s folder began with ``header``.

    The main folder goes last and its journal first in it: a run that is killed in here leaves either its
    journal, or something that the next run takes for nothing.
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
    """Whether an output means a folder: one that exists, or a name that ends in a slash."""
    return str(path).endswith(("/", "\\")) or Path(path).is_dir()
