"""`--log FILE`: all messages of a command, each line with the time, appended to a file."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

from landseg.errors import OutputError
from landseg.runtime.target_checks import check_local
from landseg.text.untrusted import printable

PROGRESS = "landseg.progress"
"""The logger of the lines on progress, which the log file gets with --quiet too."""

_SUFFIXES = (".log", ".txt")  # no file of data that landseg reads or writes ends so
_OURS = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")


class LogFile(logging.Handler):
    """A handler that appends each line to a file, whole and at once, so that several runs may share the file.

    Args:
        path: of the file; what it holds stays.

    Raises:
        OutputError: it cannot be written, or holds something else than a log of landseg's.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        check_log(path)
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as error:
            raise OutputError(f"--log {path}: cannot be written ({error.strerror}); choose another file") from error

    def emit(self, record: logging.LogRecord) -> None:
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        self.say(level + self.format(record))

    def say(self, text: str) -> None:
        """Append a text, with the time before each of its lines."""
        now = time.strftime("%Y-%m-%d %H:%M:%S ")
        lines = [f"{now}{line}\n" for line in printable(text).splitlines()]
        try:
            os.write(self._file, "".join(lines).encode("utf-8", "backslashreplace"))
        except OSError:  # a full disk stops the run itself, with a sentence of its own
            self.handleError(logging.makeLogRecord({"msg": text}))

    def close(self) -> None:
        os.close(self._file)
        super().close()


def check_log(path: Path) -> None:
    """Refuse a log where it would do harm: in a file of data, or in no file at all.

    Raises:
        OutputError: the place is an address, a folder, or a file of data, or has no folder.
    """
    check_local(path)
    if path.is_dir():
        raise OutputError(f"--log {path} is a folder: name a file in it, such as {path / 'landseg.log'}")
    if path.suffix.lower() not in ("", *_SUFFIXES):
        raise OutputError(f"--log {path}: a log's name ends in .log or .txt; use {path.name}.log")
    if not path.parent.is_dir():
        raise OutputError(f"--log {path} has no folder: make {path.parent} first, or choose another place")
    if path.is_file():
        with open(path, "rb") as file:
            start = file.read(20)
        if start and not _OURS.match(start):
            raise OutputError(f"--log {path} exists and is no log of landseg's: choose another name")


def refuse_named(path: Path, named: Iterable[str | Path]) -> None:
    """Refuse a log that is also an input or an output of the command.

    Raises:
        OutputError: it is named twice.
    """
    place = os.path.realpath(path)
    if any(os.path.realpath(other) == place for other in named):
        raise OutputError(f"--log {path} is an input or output of this run as well: choose another name")
