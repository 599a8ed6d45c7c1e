"""The journal of a run: opened in the work folder of its main file, and checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from landseg.geo.class_areas import is_record
from landseg.runtime.disk import Journal, disk_errors, work_folder


def open_journal(main: Path) -> Journal:
    """Return the journal of the run with a main file, empty where it is not sound."""
    folder = work_folder(main)
    with disk_errors(folder):
        folder.mkdir(exist_ok=True)
    journal = Journal(folder / "journal")
    if not is_sound(journal.header, journal.records):
        journal.header, journal.records = None, []
    return journal


def is_sound(header: Any, records: Sequence[Any]) -> bool:
    """Return True if a journal has the form that `Outputs` writes: any program may have made the file.

    Each record has one of three forms.
    """
    if header is None:
        return True
    targets = ((header.get("signature") or {}) if isinstance(header.get("signature"), dict) else {}).get("outputs")
    named = targets.get("targets") if isinstance(targets, dict) else None
    if not (isinstance(named, list) and all(isinstance(path, str) and "\0" not in path for path in named)):
        return False
    tags = header.get("tags")
    if not (isinstance(tags, dict) and all(isinstance(value, str) for value in tags.values())):
        return False
    for record in records:
        pixels, step = record.get("pixels", {}), record.get("done", "")
        counted = isinstance(pixels, dict) and all(type(count) is int for count in pixels.values())
        counted = counted and is_record(record.get("areas", {}))
        if not (counted and isinstance(step, str) and isinstance(record.get("note", ""), str)):
            return False
        if "note" in record and "value" not in record:
            return False
    return True
