"""Graphs that are kept between processes: a line about the graph, and the serialized model behind it.

A graph holds no weights, but says which arrays of the recipe it reads, and in which order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.runtime.cache import store
from landseg.tiling.compiled.blocked import Blocks, Packing
from landseg.tiling.compiled.emit import Written

_LONGEST = 16 << 20  # bytes of a graph without weights, far more than any has


def kept_or_written(
    place: Path | None, weights: Mapping[str, NDArray[np.float32]], write: Callable[[], Written]
) -> Written:
    """Return the graph that a file keeps for these weights, or one that is written now and kept there.

    Args:
        place: the file; None keeps nothing.
        weights: the recipe's arrays.
        write: writes the graph.
    """
    kept = None if place is None else read_graph(place, weights)
    if kept is None:
        kept = write()
        if place is not None:
            store_graph(place, kept)
    return kept


def store_graph(place: Path, written: Written) -> None:
    """Keep a graph in a file, which appears complete or not at all."""
    layouts = {str(value): None if blocks is None else asdict(blocks) for value, blocks in written.layouts.items()}
    about = {
        "sha256": hashlib.sha256(written.content).hexdigest(),
        "used": [asdict(packing) for packing in written.used],
        "layouts": layouts,
    }
    store(place, json.dumps(about).encode() + b"\n" + written.content)


def read_graph(place: Path, weights: Mapping[str, NDArray[np.float32]]) -> Written | None:
    """Return a graph that was kept for these weights; None where there is none, or it is damaged."""
    try:
        with place.open("rb") as file:
            line, _, content = file.read(_LONGEST).partition(b"\n")
        about = json.loads(line)
        if hashlib.sha256(content).hexdigest() != about["sha256"]:
            return None
        used = tuple(_packing(entry) for entry in about["used"])
        layouts = {int(value): _blocks(entry) for value, entry in about["layouts"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return Written(content, used, layouts) if all(packing.array in weights for packing in used) else None


def _packing(entry: Mapping[str, Any]) -> Packing:
    lists = {name: tuple(entry[name]) for name in ("parts", "shape")}
    return Packing(**{**entry, **lists})


def _blocks(entry: Mapping[str, Any] | None) -> Blocks | None:
    return None if entry is None else Blocks(int(entry["block"]), tuple(entry["parts"]))
