"""The facts about models and networks, in JSON values: cards of model files, and networks that can be built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from landseg.models import shipped
from landseg.models.read_card import card_in, file_hash


def model_facts(path_or_name: str | Path | None = None) -> dict[str, Any]:
    """Return the card of a model with name, size in bytes and hash of its file, in JSON values.

    "exact" is True where tiled inference can equal whole-image inference.

    Args:
        path_or_name: a model file, or the name of a shipped model; None takes the default model.

    Raises:
        ModelError: there is no model of that name, or the file is no model.
    """
    path = shipped.resolve(path_or_name)
    card = card_in(path)
    return {
        "kind": "model",
        "path": str(path),
        "bytes": path.stat().st_size,
        "sha256": file_hash(path),
        "exact": card.receptive_field.exact,
        "temperature": card.temperature,
        **card.to_json(),
    }


def network_facts() -> dict[str, Any]:
    """Return the networks that can be built by name: "architectures", texts on their "options", and "encoders".

    The "options" of an architecture hold the defaults, None where the network chooses a value itself; "on" holds the
    options with encoders that make another network of it; "encoders" is None where any encoder goes with it.
    """
    from landseg.models.networks.catalogue import ENCODERS, NETWORKS, OPTIONS

    architectures = [
        {
            "name": name,
            "paper": entry.summary,
            "encoders": None if entry.encoders is None else list(entry.encoders),
            "options": dict(entry.options),
            "on": {} if entry.on_vgg16 is None else {"vgg16": dict(entry.on_vgg16.options)},
        }
        for name, entry in NETWORKS.items()
    ]
    return {"architectures": architectures, "options": dict(OPTIONS), "encoders": [*ENCODERS, "timm:NAME"]}
