"""The writing of model files, which are complete or do not exist. A copy with another card needs no torch."""

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
    """Return a card as the metadata of a model file."""
    return {
        "format": "pt",  # the entry that readers of safetensors expect
        "landseg": json.dumps(card.to_json(), ensure_ascii=False, allow_nan=False),
        "mlm": json.dumps(mlm_fields(card), ensure_ascii=False, allow_nan=False),
    }


def check_target(target: Path, *, overwrite: bool = False, source: Path | None = None) -> None:
    """Raise OutputError if no model file can be written to a path.

    Raises:
        OutputError: the file exists (without `overwrite`), has another suffix or no folder, or is the source.
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
    """Write a copy of a model file with another card and the same weights, and return the path of the copy.

    Raises:
        OutputError: as `check_target`, or the file cannot be written.
        ModelError: the source is no model file.
    """
    check_target(target, overwrite=overwrite, source=source)
    metadata = {**header.read_header(source).metadata, **card_entries(card)}
    head, start = header.with_metadata(source, metadata)
    write_file(target, _parts(head, source, start))
    return target


def write_file(target: Path, parts: Iterable[bytes]) -> None:
    """Write a file that appears by rename when all its parts are on disk.

    Raises:
        OutputError: the file cannot be written.
    """
    with written(target) as place, place.open("wb") as stream:
        for part in parts:
            stream.write(part)


def _parts(head: bytes, source: Path, start: int) -> Iterator[bytes]:
    yield head
    with source.open("rb") as stream:
        stream.seek(start)
        while part := stream.read(_PART):
            yield part
