"""Pictures that appear when they are complete."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

from landseg.geo.store import disk_errors


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a picture in the format of its suffix, under another name until it is whole.

    Raises:
        OutputError: it cannot be written.
    """
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        with disk_errors(path):
            picture.save(part)
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
