"""Files of text that a command leaves: checked before any work, complete or not there after it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from landseg.output.checks import check_targets
from landseg.report.text import check_csv_path
from landseg.runtime.disk import claimed, disk_errors, sync_file
from landseg.runtime.replacement import Part


def check_text_files(csv: Path | None, report: Path | None, *, overwrite: bool = False) -> None:
    """Refuse a table or a report that could not be written, before any work.

    Raises:
        OutputError: a file that exists, has no folder or another's name, or is no .html.
    """
    from landseg.report.html.report import check_report_path

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
