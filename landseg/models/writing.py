"""Model files on their way to disk: complete, or not there. A copy with another card needs no torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from landseg.errors import OutputError
from landseg.models import header, shipped
from landseg.models.card import Card
from landseg.models.mlm import mlm_fields
from landseg.runtime.disk import check_local
from landseg.runtime.replacement import written

_PART = 1 << 20  # bytes copied at a time


def card_entries(card: Card) -> dict[str, str]:
    """Returns a card as the metadata of a model file."""
    return {
        "format": "pt",  # what safetensors' own readers look for
        "landseg": json.dumps(card.to_json(), ensure_ascii=False, allow_nan=False),
        "mlm": json.dumps(mlm_fields(card), ensure_ascii=False, allow_nan=False),
    }


def check_target(target: Path, *, overwrite: bool = False, source: Path | None = None) -> None:
    """Refuses a place where no model file is to be written, the one that it is a copy of among them.

    Raises:
        OutputError: The file exists (without `overwrite`), has another suffix or no folder, or is the source.
    """
    if target.suffix != shipped.SUFFIX:
        raise OutputError(
            f"a model file ends in {shipped.SUFFIX}, got {target.name!r}: use {target.stem}{shipped.SUFFIX}"
        )
    check_local(target)
    if not target.parent.is_dir():
        raise OutputError(f"cannot write {target}: make the folder {target.parent} first, or choose another")
    if target.exists() and source is not None and target.samefile(source):
        raise OutputError(f"{target} is the model itself: give the copy another name")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists; pass --overwrite to replace it or choose another name")


def copy_with_card(source: Path, target: Path, card: Card, *, overwrite: bool = False) -> Path:
    """Writes a copy of a model file that has another card and the very same weights, and returns its path.

    Raises:
        OutputError: As `check_target`, or it cannot be written.
        ModelError: The source is no model file.
    """
    check_target(target, overwrite=overwrite, source=source)
    metadata = {**header.read_header(source).metadata, **card_entries(card)}
    head, at = header.with_metadata(source, metadata)
    write_file(target, _parts(head, source, at))
    return target


def write_file(target: Path, parts: Iterable[bytes]) -> None:
    """Writes a file that appears by rename when all its parts are on disk.

    Raises:
        OutputError: It cannot be written.
    """
    with written(target) as place, place.open("wb") as stream:
        for part in parts:
            stream.write(part)


def _parts(head: bytes, source: Path, at: int) -> Iterator[bytes]:
    yield head
    with source.open("rb") as stream:
        stream.seek(at)
        while part := stream.read(_PART):
            yield part
