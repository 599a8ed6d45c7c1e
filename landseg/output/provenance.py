"""Signature: what a run was made from and with, kept in its outputs so that another run can be told apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from landseg.errors import LandsegError, ResumeError
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.tags import MADE_WITH, SIGNATURE, tag_name
from landseg.output.journal import plain
from landseg.runtime.disk import work_folder
from landseg.text.amounts import shorten_list
from landseg.text.untrusted import read_json

_GOES_ON = {
    "precision": "--precision auto chooses for the processor, --precision {} goes on",
    "device": "--device {} goes on",
}
"""How to go on where a signature differs in what the computer may have chosen."""
_FILES = 20  # of a mosaic that are told one by one


def digest(signature: Mapping[str, Any]) -> str:
    """Equal for equal signatures only."""
    return hashlib.sha256(json.dumps(plain(signature), sort_keys=True).encode()).hexdigest()


def made_with(signature: Mapping[str, Any]) -> str:
    """The signature as JSON for people: files by name, size and time, without the folders that they lie in.

    >>> made_with({"source": {"files": [{"path": "scenes/a.tif", "size": 9, "changed": 0}]}, "halo": 32})
    '{"halo": 32, "source": {"files": {"a.tif": "9 bytes of 1970-01-01T00:00:00+00:00"}}}'
    """
    told = plain(signature)
    files = told["source"].get("files") if isinstance(told.get("source"), dict) else None
    if isinstance(files, list):
        many = f"{len(files)} files, {digest({'files': files})[:12]}"
        told["source"]["files"] = many if len(files) > _FILES else {_name(file): _state(file) for file in files}
    return json.dumps(told, sort_keys=True)


def provenance(tags: Mapping[str, str], signature: Mapping[str, Any]) -> dict[str, str]:
    """The tags of every raster of a run."""
    named = {tag_name(key): str(value) for key, value in tags.items()}
    return {**named, SIGNATURE: digest(signature), MADE_WITH: made_with(signature)}


def read_tags(path: Path) -> dict[str, str]:
    """The tags of a finished raster; none where there is no raster."""
    if not path.is_file():
        return {}
    try:
        raster = RasterFile(path)
    except LandsegError:
        return {}
    raster.close()
    return raster.info.tags


def changes(tags: Mapping[str, str], signature: Mapping[str, Any]) -> list[str]:
    """What differs between the run that left ``tags`` and one of ``signature``; nothing where the tags don't say.

    >>> changes({MADE_WITH: made_with({"precision": "bf16"})}, {"precision": "fp32"})
    ['precision bf16, now asked for is fp32 (--precision auto chooses for the processor, --precision bf16 goes on)']
    """
    try:
        old = read_json(tags[MADE_WITH], finite=False)
    except (KeyError, ValueError):
        return []
    before, now = _leaves(old), _leaves(json.loads(made_with(signature)))
    differing = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    return [
        f"{key} {_short(before.get(key))}, now asked for is {_short(now.get(key))}{goes_on(key, before.get(key))}"
        for key in differing
    ]


def goes_on(key: str, before: Any) -> str:
    """Return, in brackets, the option that repeats what an earlier run had; nothing where options say so themselves.

    >>> goes_on("device", "cpu"), goes_on("halo", 32)
    (' (--device cpu goes on)', '')
    """
    return f" ({_GOES_ON[key].format(before)})" if key in _GOES_ON and before else ""


def refuse_changed(path: Path, signature: Mapping[str, Any]) -> None:
    """Refuses to continue what is finished at ``path``, where it says how it was made and no run goes on.

    Raises:
        ResumeError: it was made with another ``signature``.
    """
    changed = [] if work_folder(path).exists() else changes(read_tags(path), signature)
    if changed:
        raise ResumeError(
            f"{path} is finished but was made with {shorten_list(changed, 5, between='; ')}: repeat the options of "
            "its run, choose another output, or replace it with --overwrite"
        )


def _leaves(value: Any, key: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {key: value}
    inner = (_leaves(part, f"{key} {name}" if key else str(name)) for name, part in value.items())
    return {name: leaf for part in inner for name, leaf in part.items()}


def _name(file: Mapping[str, Any]) -> str:
    return Path(str(file["path"])).name


def _state(file: Mapping[str, Any]) -> str:
    if "size" not in file or "changed" not in file:
        return "remote"
    seconds = file["changed"] / 1e9
    try:
        time = datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):  # a file system may hold any number
        time = str(seconds)
    return f"{file['size']} bytes of {time}"


def _short(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."
