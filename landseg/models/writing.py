"""Model files on their way to disk: complete, or not there. A copy with another card needs no torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from landseg.models import header, shipped
from landseg.models.card import Card
from landseg.models.mlm import mlm_fields
from landseg.runtime.replacement import written
from landseg.runtime.target_checks import check_target

_PART = 1 << 20  # bytes copied at a time


def card_entries(card: Card) -> dict[str, str]:
    """Returns a card as the metadata of a model file."""
    return {
        "format": "pt",  # what safetensors' own readers look for
        "landseg": json.dumps(card.to_json(), ensure_ascii=False, allow_nan=False),
        "mlm": json.dumps(mlm_fields(card), ensure_ascii=False, allow_nan=False),
    }


def check_model_target(target: Path, *, overwrite: bool = False, source: Path | None = None) -> None:
    """Raise OutputError if a model file cannot be written at a place, or would replace the ``source`` it copies."""
    inputs = [] if source is None else [source]
    check_target(target, (shipped.SUFFIX,), kind="a model file", overwrite=overwrite, inputs=inputs)


def copy_with_card(source: Path, target: Path, card: Card, *, overwrite: bool = False) -> Path:
    """Writes a copy of a model file that has another card and the very same weights, and returns its path.

    Raises:
        OutputError: As `check_model_target`, or it cannot be written.
        ModelError: The source is no model file.
    """
    check_model_target(target, overwrite=overwrite, source=source)
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
