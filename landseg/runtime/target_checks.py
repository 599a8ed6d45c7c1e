"""Places where files are to be written, checked before any work: addresses, folders, suffixes, files that exist."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from landseg.errors import OutputError
from landseg.runtime.replacement import settle

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")  # a scheme has two letters at least, a drive has one
_GDAL = re.compile(r"(/vsi[a-z0-9_]+)/")  # GDAL's own file systems: buckets, archives, memory


def check_target(
    target: Path,
    suffixes: Sequence[str] = (),
    *,
    kind: str = "an output",
    overwrite: bool = False,
    inputs: Iterable[Path] = (),
) -> None:
    """Raise OutputError if a file cannot be written at a place, or must not be.

    With ``overwrite`` an unfinished replacement of the file is finished first.

    Args:
        target: the place of the file.
        suffixes: endings that its name may have, in small letters, the usual one first; none: any name.
        kind: the noun for the file with its article, for sentences.
        overwrite: whether a file that exists may be replaced.
        inputs: files that the run reads.
    """
    check_place(target, suffixes, kind=kind)
    refuse_inputs([target], inputs)
    settle([target], overwrite=overwrite)
    if not overwrite:
        refuse_existing([target])


def check_place(
    target: Path, suffixes: Sequence[str] = (), *, kind: str = "an output", folders: Collection[Path] = ()
) -> None:
    """Raise OutputError if no file can lie at a place: an address, a folder, no folder there, another suffix.

    Args:
        target: the place of the file.
        suffixes: see `check_target`, as for ``kind``.
        kind: see there.
        folders: those that the run makes before it writes.
    """
    check_local(target)
    if target.is_dir():
        ending = f" that ends in {' or '.join(suffixes)}" if suffixes else ""
        raise OutputError(f"{target} is a folder: name a file in it{ending}")
    if suffixes:
        check_suffix(target, suffixes, kind=kind)
    if not target.parent.is_dir() and target.parent not in folders:
        raise OutputError(f"{target} has no folder: make {target.parent} first, or choose another output")


def check_suffix(target: Path, suffixes: Sequence[str], *, kind: str) -> None:
    """Raise OutputError if a name has none of the suffixes of its kind; see `check_target`."""
    if target.suffix.lower() not in suffixes:
        endings = " or ".join(suffixes)
        raise OutputError(f"{kind} ends in {endings}, got {target.name!r}: use {target.stem}{suffixes[0]}")


def refuse_inputs(files: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise OutputError if a file that will be written is one that the run reads, under whatever name."""
    taken = {identity for path in inputs if (identity := _identity(path)) is not None}
    for file in files:
        if _identity(file) in taken:
            raise OutputError(f"{file} is an input of this run: choose another output")


def refuse_existing(files: Iterable[Path]) -> None:
    """Raise OutputError if a file exists, a link to no file included."""
    for file in files:
        if os.path.lexists(file):
            raise OutputError(f"{file} exists: choose another output, or replace it with --overwrite")


def check_local(path: str | os.PathLike[str]) -> None:
    """Raise OutputError if an output is an address or lies in a file system of GDAL's.

    Outputs are written beside their place and renamed into it when they are complete, which no server offers. Taken
    for a name, "s3://bucket/map.tif" would make a folder called "s3:".
    """
    text = os.fspath(path)
    address, inside = _ADDRESS.match(text), _GDAL.match(text)
    if address is None and (inside is None or Path(inside[1]).is_dir()):
        return
    shown = _ADDRESS.sub(r"\1://", text, count=1).split("?")[0]  # pathlib leaves one slash; a query may be secret
    raise OutputError(f"{shown}: outputs go to local or shared folders: write to a file and copy it there")


def _identity(path: Path) -> tuple[int, int] | None:
    """Return the numbers that all names of one file share, links included; None without a file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # a source may be an address, or a whole document
        return None
    return status.st_dev, status.st_ino
