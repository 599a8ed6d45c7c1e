"""Where outputs may go: to folders that this machine sees, and nowhere else."""

from __future__ import annotations

import os
import re
from pathlib import Path

from landseg.errors import OutputError

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")  # a scheme has two letters at least, a drive has one
_GDAL = re.compile(r"(/vsi[a-z0-9_]+)/")  # GDAL's own file systems: buckets, archives, memory


def check_local(path: str | os.PathLike[str]) -> None:
    """Refuse an output that is an address or lies in a file system of GDAL's.

    Outputs are written beside their place and renamed into it when they are complete, which no server offers. Taken
    for a name, "s3://bucket/map.tif" would make a folder called "s3:".

    Raises:
        OutputError: `path` is one.
    """
    text = os.fspath(path)
    address, inside = _ADDRESS.match(text), _GDAL.match(text)
    if address is None and (inside is None or Path(inside[1]).is_dir()):
        return
    shown = _ADDRESS.sub(r"\1://", text, count=1).split("?")[0]  # pathlib leaves one slash; a query may be secret
    raise OutputError(f"{shown}: outputs go to local or shared folders: write to a file and copy it there")
