"""The card and the hash of a model file, read without its weights and without torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from landseg.errors import ModelError
from landseg.models import shipped
from landseg.models.card import Card
from landseg.models.header import read_header
from landseg.text.untrusted import read_json

_LONGEST = 4 << 20  # maximum number of characters of a card


def read_card(path_or_name: str | Path | None = None) -> Card:
    """Return the card of a model file or of a shipped model, without its weights; None stands for the default model.

    Raises:
        ModelError: as `load_model`, except for faults of the weights.
    """
    return card_in(shipped.resolve(path_or_name))


def card_in(path: Path) -> Card:
    """Return the card of the model file at a path; raise ModelError as `read_card`."""
    head = read_header(path)
    if "landseg" not in head.metadata:
        raise ModelError(
            f"{path} is a safetensors file without a landseg card, so its bands, scaling and classes are "
            "unknown; write it with landseg.models.file.save_model"
        )
    text = head.metadata["landseg"]
    if len(text) > _LONGEST:
        length = f"{len(text)} characters, expected {_LONGEST} at most"
        raise ModelError(f"{path}: its card has {length}; use another model")
    try:
        return Card.from_json(read_json(text))
    except ValueError as problem:
        raise ModelError(f"{path}: the card in its header is not JSON that landseg reads ({problem})") from problem
    except ModelError as problem:
        raise ModelError(f"{path}: {problem}") from problem


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file in hex: a model's identity."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
