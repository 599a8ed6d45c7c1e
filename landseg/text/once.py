"""Warnings that a process logs once."""

from __future__ import annotations

from collections.abc import Hashable
from logging import Logger

_logged: set[Hashable] = set()


def warn_once(logger: Logger, key: Hashable, message: str, *values: object) -> None:
    """Log a warning, unless the process has logged one under this key."""
    if not was_logged(key):
        mark_logged(key)
        logger.warning(message, *values)


def mark_logged(key: Hashable) -> None:
    """Record that a warning was given under a key, so that it is not logged any more."""
    _logged.add(key)


def was_logged(key: Hashable) -> bool:
    """Return True if a warning was logged, or marked as logged, under a key."""
    return key in _logged
