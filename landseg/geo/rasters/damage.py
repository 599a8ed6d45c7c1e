"""Damaged PNG and JPEG files, which GDAL reads without an error: it fills the missing part with zeros."""

import logging
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png_damage(path: str | os.PathLike[str]) -> str | None:
    """Return the damage of the PNG at `path` in words; None where it is whole, is no PNG or is not on this disk.

    Reads the file's chunks up to the last and compares the checksum of each (PNG specification, 5.3).
    """
    try:
        with Path(path).open("rb") as file:
            if file.read(len(_SIGNATURE)) != _SIGNATURE:
                return None
            while True:
                head = file.read(8)
                if len(head) < 8:
                    return "the file ends too early"
                length, kind = struct.unpack(">I4s", head)
                content, checksum = file.read(length), file.read(4)
                if len(content) < length or len(checksum) < 4:
                    return "the file ends too early"
                if zlib.crc32(content, zlib.crc32(kind)) != int.from_bytes(checksum, "big"):
                    return f"the checksum of a part of it is wrong, at byte {file.tell() - length - 12}"
                if kind == b"IEND":
                    return None
    except (OSError, ValueError):
        return None


_LOGGERS = ("rasterio._err", "rasterio._env")  # where rasterio sends GDAL's warnings, in the thread that reads


class _Messages(logging.Handler):
    """A handler that keeps the messages logged in a thread while that thread asks for them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.kept = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        lines: list[str] | None = getattr(self.kept, "lines", None)
        if lines is not None:
            lines.append(record.getMessage())


_messages = _Messages()
for _name in _LOGGERS:
    logging.getLogger(_name).addHandler(_messages)


@contextmanager
def no_damaged_jpeg() -> Iterator[None]:
    """Raise OSError at the end of the block if libjpeg warned in it that pixels are made up.

    Extra bytes between two markers cost no pixel and raise nothing.

    Raises:
        OSError: JPEG data ended early or could not be decoded.
    """
    lines: list[str] = []
    _messages.kept.lines = lines
    try:
        yield
    finally:
        _messages.kept.lines = None
    for line in lines:
        text = line.rpartition("JPEGLib:")[2]
        if ("Corrupt JPEG data" in text and "extraneous" not in text) or "Premature end of JPEG" in text:
            raise OSError(text)
