"""The cache of this machine: files that can be made again, in a folder that may be deleted at any time.

Several processes may use it at once. A file appears by rename when it is complete, and whoever reads one checks it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from pathlib import Path

VARIABLE = "LANDSEG_CACHE"
"""The environment variable with the folder of the cache."""

_COMPILED = "compiled"

_log = logging.getLogger(__name__)
_warned: set[str] = set()


def cache_root() -> Path:
    """Return the folder of the cache, which may not be there: that of the variable, or the system's for landseg."""
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("landseg", appauthor=False))


def cache_folder(key: str) -> Path | None:
    """Return the folder of the cache for one key, made if it is not there; None where it cannot be made.

    Args:
        key: the name of the folder, which says everything that its files depend on.
    """
    folder = cache_root() / _COMPILED / key
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _warn(error)
        return None
    return folder


def cached(key: str, name: str) -> Path:
    """Return the place of a file in the folder of a key; neither has to be there."""
    return cache_root() / _COMPILED / key / name


def store(path: Path, data: bytes) -> bool:
    """Write a file of the cache, which appears complete or not at all; return False where that is impossible."""
    try:
        handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    except OSError as error:
        _warn(error)
        return False
    try:
        with open(handle, "wb") as file:
            file.write(data)
        os.replace(name, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(name)
        _warn(error)
        return False
    return True


def _warn(error: OSError) -> None:
    """Say once for each folder that the cache cannot be written."""
    root = str(cache_root())
    if root not in _warned:
        _warned.add(root)
        _log.warning(
            "cannot write the cache folder %s (%s): models are compiled again in every run; set %s to a folder that "
            "you may write to",
            root, error.strerror or error, VARIABLE,
        )  # fmt: skip
