"""The two streams: results on standard output, messages on standard error."""

import json
import logging
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

import typer

from landseg import __version__
from landseg.text.results import json_values
from landseg.text.untrusted import escaped, printable

from .logfile import PROGRESS, LogFile, refuse_named


class _Stderr(logging.Handler):
    """A handler that writes each record as one plain line to the standard error of that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        typer.echo(printable(level + self.format(record)), err=True)


def show_everything() -> None:
    """Let the two streams replace characters that the encoding of the console lacks, instead of failing.

    Python does so on standard error alone; a console of cp1252 has no name in Chinese, and neither has "C".
    """
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) == "strict" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def start() -> None:
    """Send landseg's log and Python's warnings to standard error, one plain line each."""
    log = logging.getLogger("landseg")
    end_log()
    if not any(isinstance(handler, _Stderr) for handler in log.handlers):
        log.addHandler(_Stderr())
    _show_from(logging.INFO)
    log.setLevel(logging.INFO)
    log.propagate = False
    warnings.showwarning = _show_warning
    # A warning of rasterio about its scratch rasters, from threads; rasters of users get a sentence of the library.
    warnings.filterwarnings("ignore", message="Dataset has no geotransform")


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    sentence = f"warning: {' '.join(str(message).split())}"
    typer.echo(printable(sentence), err=True)
    _write_log(sentence)


def say_less() -> None:
    """Show warnings and errors alone on standard error from now on."""
    _show_from(logging.WARNING)


def _show_from(level: int) -> None:
    for handler in logging.getLogger("landseg").handlers:
        if isinstance(handler, _Stderr):
            handler.setLevel(level)


def keep_log(path: Path, *, named: Iterable[str | Path], words: Sequence[str]) -> None:
    """Append all messages from now on to a file, after the command as it was typed.

    Args:
        path: of the log.
        named: every file that the command reads or writes.
        words: of the command line.

    Raises:
        OutputError: the file cannot be a log, or is one of those that are named.
    """
    from landseg.geo.rasters.address import label

    refuse_named(path, named)
    log = LogFile(path)
    logging.getLogger("landseg").addHandler(log)
    logging.getLogger(PROGRESS).setLevel(logging.DEBUG)
    log.say(f"landseg {__version__}: landseg {' '.join(label(word) for word in words)}")


def end_log() -> None:
    """Close the log, where there is one."""
    logger = logging.getLogger("landseg")
    for handler in _logs():
        logger.removeHandler(handler)
        handler.close()
    logging.getLogger(PROGRESS).setLevel(logging.NOTSET)


def _logs() -> list[LogFile]:
    return [handler for handler in logging.getLogger("landseg").handlers if isinstance(handler, LogFile)]


def _write_log(text: str) -> None:
    for log in _logs():
        log.say(text)


def note(line: str) -> None:
    """Write a message to standard error; a line that begins with "warning: " is a warning."""
    level = logging.WARNING if line.startswith("warning: ") else logging.INFO
    logging.getLogger("landseg").log(level, "%s", line.removeprefix("warning: "))


def fail(sentence: str) -> None:
    """Write the sentence with which a command that failed ends."""
    typer.echo(printable(sentence), err=True)
    _write_log(sentence)


@contextmanager
def working() -> Iterator[None]:
    """Send everything that is printed inside to standard error: standard output is kept for the result."""
    with redirect_stdout(sys.stderr):
        yield


def show(record: Mapping[str, Any], *, as_json: bool, text: str | Iterable[str]) -> None:
    """Print a command's result: `record` as one JSON object, or else `text`, a string or lines.

    JSON stays what it is on any console: what the console's encoding does not have is written as JSON's own escapes.
    """
    words = text if isinstance(text, str) else "\n".join(text)
    _write_log(words)
    if as_json:
        print_json(record, sys.stdout)
    else:
        typer.echo(printable(words))


def keep(text: Iterable[str]) -> None:
    """Append the lines of a result to the log, where there is one, and show nothing."""
    if _logs():
        _write_log("\n".join(text))


def print_json(record: Mapping[str, Any], stream: TextIO) -> None:
    """Print `record` as one line of JSON, at once."""
    whole = escaped(json.dumps(json_values(record), ensure_ascii=False, allow_nan=False))
    typer.echo(whole if _has(stream, whole) else json.dumps(json_values(record), allow_nan=False), file=stream)


def _has(stream: Any, text: str) -> bool:
    """Return True if the encoding of a stream has every character of a text."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
