"""Whether a PNG is whole: GDAL 3.10 reads what a damaged one lacks as zeros, without an error."""

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
    """What is wrong with the PNG at `path`, or None where it is whole, is no PNG or is not on this disk.

    Walks the file's chunks to the closing one and compares the checksum of each (PNG specification, 5.3).
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


class _Ear(logging.Handler):
    """Keeps what is logged in a thread while that thread listens."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        lines: list[str] | None = getattr(self.said, "lines", None)
        if lines is not None:
            lines.append(record.getMessage())


_ear = _Ear()
for _name in _LOGGERS:
    logging.getLogger(_name).addHandler(_ear)


@contextmanager
def no_damaged_jpeg() -> Iterator[None]:
    """Turns libjpeg's warnings about pixels that it made up inside the block into an error.

    Bytes too many between two markers cost no pixel, and pass.

    Raises:
        OSError: JPEG data ended early or could not be decoded.
    """
    lines: list[str] = []
    _ear.said.lines = lines
    try:
        yield
    finally:
        _ear.said.lines = None
    for line in lines:
        text = line.rpartition("JPEGLib:")[2]
        if ("Corrupt JPEG data" in text and "extraneous" not in text) or "Premature end of JPEG" in text:
            raise OSError(text)
