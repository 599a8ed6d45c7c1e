"""Whether a PNG is whole: GDAL 3.10 reads what a damaged one lacks as zeros, without an error."""

import os
import struct
import zlib
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
