"""Names that landseg gives: tags in its rasters, and the files that accompany a raster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def aux_path(raster: Path) -> Path:
    """Return the file in which GDAL looks for metadata that a raster cannot hold: ``map.tif.aux.xml``."""
    return raster.with_name(raster.name + ".aux.xml")


def qml_path(raster: Path) -> Path:
    """Return the file in which QGIS looks for the default style of a raster: ``map.qml``."""
    return raster.with_suffix(".qml")


SIGNATURE = "LANDSEG_SIGNATURE"
"""The tag that holds the digest of the inputs and options of a run."""

MADE_WITH = "LANDSEG_MADE_WITH"
"""The tag that holds a signature in words; the digest decides, this tag explains."""

CLASSES = "LANDSEG_CLASSES"
"""The tag that holds the class table as JSON: without it, a raster of probabilities has names but no values."""


def tag_name(key: str) -> str:
    """Return the name of a tag that landseg writes for a key.

    >>> tag_name("model hash")
    'LANDSEG_MODEL_HASH'
    """
    name = key.upper().replace(" ", "_").replace("-", "_")
    return name if name.startswith("LANDSEG_") else f"LANDSEG_{name}"


def read_facts(tags: Mapping[str, str], kinds: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    """Return the facts that tags hold, by name, each read by the function of its kind.

    A tag that is missing or was changed by hand is left out.

    >>> read_facts({"LANDSEG_HALO": "32", "LANDSEG_BATCH": "many"}, {"halo": int, "batch": int, "mode": str})
    {'halo': 32}
    """
    facts = {}
    for name, kind in kinds.items():
        with suppress(KeyError, ValueError, IndexError):
            facts[name] = kind(tags[tag_name(name)])
    return facts
