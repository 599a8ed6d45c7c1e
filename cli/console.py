"""The two streams: results on standard output, everything said meanwhile on standard error."""

import json
import logging
import math
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, is_dataclass
from os import PathLike, fspath
from typing import Any, TextIO

import typer

from landseg.untrusted import escaped, printable


class _Stderr(logging.Handler):
    """Writes each record as one plain line to whatever standard error is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        typer.echo(printable(level + self.format(record)), err=True)


def show_everything() -> None:
    """Let the two streams replace what the console's encoding does not have, in place of failing on it.

    Python does so on standard error alone; a console of cp1252 has no name in Chinese, and neither has "C".
    """
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) == "strict" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def start() -> None:
    """Send landseg's log and Python's warnings to standard error, one plain line each."""
    log = logging.getLogger("landseg")
    if not any(isinstance(handler, _Stderr) for handler in log.handlers):
        log.addHandler(_Stderr())
    log.setLevel(logging.INFO)
    log.propagate = False
    warnings.showwarning = _show_warning
    # What rasterio says of its own scratch rasters, from threads; rasters of the user get a sentence of ours.
    warnings.filterwarnings("ignore", message="Dataset has no geotransform")


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    typer.echo(printable(f"warning: {' '.join(str(message).split())}"), err=True)


@contextmanager
def working() -> Iterator[None]:
    """While inside, whatever is printed goes to standard error: standard output is kept for the result."""
    with redirect_stdout(sys.stderr):
        yield


def show(record: Mapping[str, Any], *, as_json: bool, text: str | Iterable[str]) -> None:
    """Print a command's result: `record` as one JSON object, or else `text`, a string or lines.

    JSON stays what it is on any console: what the console's encoding does not have is written as JSON's own escapes.
    """
    if as_json:
        whole = escaped(json.dumps(plain(record), ensure_ascii=False, allow_nan=False))
        typer.echo(whole if _has(sys.stdout, whole) else json.dumps(plain(record), allow_nan=False))
    else:
        typer.echo(printable(text if isinstance(text, str) else "\n".join(text)))


def _has(stream: Any, text: str) -> bool:
    """Whether a stream's encoding has every character of a text."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def plain(value: Any) -> Any:
    """`value` in the types of JSON: paths as strings, NumPy's scalars and arrays as numbers and lists.

    Numbers that mean nothing (nan, infinities) become null, since JSON has no other word for them.

    >>> plain({"iou": float("nan"), "shape": (2, 3)})
    {'iou': None, 'shape': [2, 3]}
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, float):  # NumPy's float64 too, which is a float
        return float(value) if math.isfinite(value) else None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, PathLike):
        return fspath(value)
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # an array or a scalar of NumPy or torch, without importing either
        return plain(value.tolist())
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    raise TypeError(f"no JSON for a {type(value).__name__}")
