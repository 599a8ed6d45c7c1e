"""Members of virtual rasters."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

_ELSEWHERE = re.compile(r"/vsi|[A-Za-z][A-Za-z0-9+_-]+:")  # archives, addresses, parts of files; but no drive letter

_CHANGED = ("ScaleRatio", "ScaleOffset", "LUT", "Exponent", "ColorTableComponent")  # numbers are no longer the stored


def missing_member(path: Path) -> Path | None:
    """The first file that a .vrt names and that does not exist; None where all do, or lie elsewhere.

    GDAL notices when it reads, but not always: asked for the same name again, or for its list of files, it goes on
    with zeros in place of the member.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return None  # whoever reads from it says what is wrong
    for entry in root.iter("SourceFilename"):
        name = (entry.text or "").strip()
        if not name or _ELSEWHERE.match(name):
            continue
        member = _place(path, entry, name)
        if not member.exists():
            return member
    return None


def members_as_stored(path: Path) -> dict[int, list[tuple[str, int]]]:
    """Return the members whose numbers a .vrt hands on as they are stored, as (name, band), by its own bands.

    Members that it scales itself, or looks up in a table, and those that it warps are left out.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return {}
    found: dict[int, list[tuple[str, int]]] = {}
    for number, band in enumerate(root.findall("VRTRasterBand"), start=1):
        for part in band:
            entry = part.find("SourceFilename")
            name = "" if entry is None else (entry.text or "").strip()
            changed = any(part.find(word) is not None for word in _CHANGED)
            if entry is None or not name or changed:
                continue
            member = name if _ELSEWHERE.match(name) else str(_place(path, entry, name))
            source = (part.findtext("SourceBand") or "1").strip()
            if source.isdecimal():  # a mask is none of its bands
                found.setdefault(int(band.get("band") or number), []).append((member, int(source)))
    return found


def _place(vrt: Path, entry: ElementTree.Element, name: str) -> Path:
    """The file that a .vrt means by a name."""
    return vrt.parent / name if entry.get("relativeToVRT") == "1" else Path(name)
