"""What libjpeg says of damaged data: GDAL fills in what is missing, and only warns."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

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
