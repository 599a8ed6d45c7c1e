"""Files that reports leave: checked before any work, and complete or absent after it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from landseg.output.checks import check_targets
from landseg.runtime.disk import claimed, disk_errors, sync_file
from landseg.runtime.replacement import Part
from landseg.runtime.target_checks import check_target


def check_text_files(csv: Path | None, report: Path | None, *, overwrite: bool = False) -> None:
    """Refuse, before any work, a table or a report that cannot be written.

    Raises:
        OutputError: as `check_target`, or both are one file.
    """
    if report is not None:
        check_target(report, (".html", ".htm"), kind="a report", overwrite=overwrite)
    if csv is not None:
        check_target(csv, kind="a table", overwrite=overwrite)
    check_targets([], [path for path in (csv, report) if path is not None], [])


def text_part(stack: ExitStack, path: Path, text: str) -> Part:
    """Return a file of text, complete in a work folder that lasts as long as the stack."""
    place = stack.enter_context(claimed(path)) / path.name
    with disk_errors(path):
        place.write_bytes(text.encode())
    sync_file(place, called=path)
    return Part(path, ((place, path),))
