"""Files that reports leave: checked before any work, and complete or absent after it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from landseg.errors import OutputError
from landseg.output.checks import check_targets
from landseg.runtime.disk import claimed, disk_errors, sync_file
from landseg.runtime.replacement import Part, settle


def check_new_file(path: Path, *, overwrite: bool, suffixes: Sequence[str] = (), kind: str = "") -> None:
    """Refuse, before any work, a file that cannot be written.

    Args:
        path: of the file.
        overwrite: a file that exists may be replaced.
        suffixes: endings of its name, the usual one first; none: any ending.
        kind: start of the sentence about another ending, such as "a report is a page".

    Raises:
        OutputError: another ending, an address, no folder, a folder, or a file that exists.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        raise OutputError(f"{kind}, got {path.name!r}: use {path.stem}{suffixes[0]}")
    check_targets([], [path], [])
    settle([path], overwrite=overwrite)
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"{path} exists; pass --overwrite to replace it or choose another name")


def check_text_files(csv: Path | None, report: Path | None, *, overwrite: bool = False) -> None:
    """Refuse, before any work, a table or a report that cannot be written.

    Raises:
        OutputError: as `check_new_file`, or both are one file.
    """
    if report is not None:
        check_new_file(report, overwrite=overwrite, suffixes=(".html", ".htm"), kind="a report is a page of HTML")
    if csv is not None:
        check_new_file(csv, overwrite=overwrite)
    check_targets([], [path for path in (csv, report) if path is not None], [])


def text_part(stack: ExitStack, path: Path, text: str) -> Part:
    """Return a file of text, complete in a work folder that lasts as long as the stack."""
    place = stack.enter_context(claimed(path)) / path.name
    with disk_errors(path):
        place.write_bytes(text.encode())
    sync_file(place, called=path)
    return Part(path, ((place, path),))
