"""Pictures that appear when they are complete."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from landseg.runtime.replacement import written


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a picture in the format of its suffix, under another name until it is whole.

    Raises:
        OutputError: it cannot be written.
    """
    with written(path) as place:
        picture.save(place)
