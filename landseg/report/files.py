"""Files of text that a command leaves: checked before any work, complete or not there after it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from landseg.errors import OutputError
from landseg.output.checks import check_targets
from landseg.report.text import check_csv_path
from landseg.runtime.disk import check_local, claimed, disk_errors, sync_file
from landseg.runtime.replacement import Part, settle


def check_text_files(csv: Path | None, report: Path | None, *, overwrite: bool = False) -> None:
    """Refuse a table or a report that could not be written, before any work.

    Raises:
        OutputError: a file that exists, has no folder or another's name, or is no .html.
    """

    if report is not None:
        check_report_path(report, overwrite=overwrite)
    if csv is not None:
        check_csv_path(csv, overwrite=overwrite)
    check_targets([], [path for path in (csv, report) if path is not None], [])


def text_part(stack: ExitStack, path: Path, text: str) -> Part:
    """Return a file of text, complete in a work folder that lasts as long as the stack."""
    place = stack.enter_context(claimed(path)) / path.name
    with disk_errors(path):
        place.write_bytes(text.encode())
    sync_file(place, called=path)
    return Part(path, ((place, path),))


_SUFFIXES = (".html", ".htm")


def check_report_path(path: Path, *, overwrite: bool = False) -> None:
    """Refuses, before any work, a place where no report can be written.

    Raises:
        OutputError: another suffix than .html, no such folder, a folder, a file that exists.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise OutputError(f"{path.name}: a report is a page; let its name end in .html")
    check_local(path)
    if not path.parent.is_dir():
        raise OutputError(f"{path} has no folder: make {path.parent} first, or choose another place")
    if path.is_dir():
        raise OutputError(f"{path} is a folder: name a file in it")
    settle([path], overwrite=overwrite)
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"{path} exists: choose another report, or replace it with --overwrite")
