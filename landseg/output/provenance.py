"""Signatures: the inputs, model and options of a run, kept in its outputs to tell another run from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from landseg.errors import LandsegError, ResumeError
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.tags import MADE_WITH, SIGNATURE, tag_name
from landseg.runtime.disk import work_folder
from landseg.text.amounts import shorten_list, shorten_text
from landseg.text.untrusted import read_json

_REPEAT = {
    "precision": "--precision auto chooses for the processor, --precision {} goes on",
    "device": "--device {} goes on",
}
"""The option that repeats a choice of the computer, by the key of the signature."""
_FILES = 20  # of a mosaic that have their own entries


def json_copy(value: Any) -> Any:
    """Return a value as it reads after a trip through JSON, so that old and new signatures compare alike."""
    return json.loads(json.dumps(value, sort_keys=True, default=str))


def digest(signature: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a signature: equal for equal signatures only."""
    return hashlib.sha256(json.dumps(json_copy(signature), sort_keys=True).encode()).hexdigest()


def made_with(signature: Mapping[str, Any]) -> str:
    """Return a signature as JSON for readers: files by name, size and time, without the folders that they lie in.

    >>> made_with({"source": {"files": [{"path": "scenes/a.tif", "size": 9, "changed": 0}]}, "halo": 32})
    '{"halo": 32, "source": {"files": {"a.tif": "9 bytes of 1970-01-01T00:00:00+00:00"}}}'
    """
    return json.dumps(_without_folders(json_copy(signature)), sort_keys=True)


def _without_folders(value: Any) -> Any:
    """Return JSON values with each list ``files``, at any depth, by names; a long list by its number and digest."""
    if not isinstance(value, dict):
        return value
    return {key: _by_name(item) if _are_files(key, item) else _without_folders(item) for key, item in value.items()}


def _are_files(key: str, value: Any) -> bool:
    return key == "files" and isinstance(value, list) and all(isinstance(v, dict) and "path" in v for v in value)


def _by_name(files: Sequence[Mapping[str, Any]]) -> str | dict[str, str]:
    if len(files) > _FILES:
        return f"{len(files)} files, {digest({'files': files})[:12]}"
    return {_name(file): _state(file) for file in files}


def provenance(tags: Mapping[str, str], signature: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of every raster of a run, by their full names."""
    named = {tag_name(key): str(value) for key, value in tags.items()}
    return {**named, SIGNATURE: digest(signature), MADE_WITH: made_with(signature)}


def read_tags(path: Path) -> dict[str, str]:
    """Return the tags of a finished raster; an empty dict where there is no raster."""
    if not path.is_file():
        return {}
    try:
        raster = RasterFile(path)
    except LandsegError:
        return {}
    raster.close()
    return raster.info.tags


def differences(old: Any, new: Any, key: str = "") -> list[str]:
    """Return a sentence for each leaf in which two JSON values differ, in the order of their keys.

    >>> differences({"halo": 32, "model": {"hash": "a"}}, {"halo": 64, "model": {"hash": "a"}})
    ['halo was 32, is now 64']
    """
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(set(old) | set(new))
        inner = (differences(old.get(k), new.get(k), f"{key}.{k}" if key else str(k)) for k in keys)
        return [sentence for sentences in inner for sentence in sentences]
    if json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True):  # nan is equal to nan there
        return []
    before, after = _short(old, none="absent"), _short(new, none="absent")
    return [f"{key or 'the run'} was {before}, is now {after}{_repeat_hint(key, old)}"]


def changes(tags: Mapping[str, str], signature: Mapping[str, Any]) -> list[str]:
    """Return a phrase for each difference between the run that left tags in a raster and one of a signature.

    Tags of other programs, or of none, give no phrase.

    >>> changes({MADE_WITH: made_with({"precision": "bf16"})}, {"precision": "fp32"})
    ['precision bf16, now asked for is fp32 (--precision auto chooses for the processor, --precision bf16 goes on)']
    """
    try:
        made = read_json(tags[MADE_WITH], finite=False)
    except (KeyError, ValueError):
        return []
    before, now = _leaves(_without_folders(made)), _leaves(json.loads(made_with(signature)))  # refine's had folders
    differing = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    return [
        f"{key} {_short(old)}, now asked for is {_short(now.get(key))}{_repeat_hint(key, old)}"
        for key, old in ((key, before.get(key)) for key in differing)
    ]


def _repeat_hint(key: str, before: Any) -> str:
    """Return, in brackets, the option that repeats a choice of an earlier run; "" where the user made the choice.

    >>> _repeat_hint("device", "cpu"), _repeat_hint("halo", 32)
    (' (--device cpu goes on)', '')
    """
    return f" ({_REPEAT[key].format(before)})" if key in _REPEAT and before else ""


def refuse_changed(path: Path, signature: Mapping[str, Any]) -> None:
    """Raise ResumeError if a finished output was made with another signature, and no run waits to be continued."""
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


def _short(value: Any, *, none: str = "none") -> str:
    text = none if value is None else value if isinstance(value, str) else json.dumps(value)
    return shorten_text(text, 80)
