"""Members of virtual rasters."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

_ELSEWHERE = re.compile(r"/vsi|[A-Za-z][A-Za-z0-9+_-]+:")  # archives, addresses, parts of files; but no drive letter


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
        member = path.parent / name if entry.get("relativeToVRT") == "1" else Path(name)
        if not member.exists():
            return member
    return None
