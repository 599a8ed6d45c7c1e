"""OpenFiles: files that stay open between reads, a few of many, whatever the limit of the system."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

OPEN = 64
"""Number of scenes kept open; each holds a few files for every thread that reads it."""


class Closable(Protocol):
    """An object that can be closed."""

    def close(self) -> None:
        """Close it."""


Kept = TypeVar("Kept", bound=Closable)


@dataclass
class _Entry:
    opened: Closable
    users: int = 0


class OpenFiles:
    """Opened objects by key; beyond ``limit``, those that are idle are closed, the one used longest ago first."""

    def __init__(self, limit: int = OPEN) -> None:
        self._limit = limit
        self.forget()

    def forget(self) -> None:
        """Forget all opened objects without closing them: a forked process opens its own."""
        self._lock = threading.Lock()
        self._entries: OrderedDict[object, _Entry] = OrderedDict()

    @contextmanager
    def using(self, key: object, opener: Callable[[], Kept]) -> Iterator[Kept]:
        """Lend the object of this key, which ``opener`` opens where it is not open yet."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                entry.users += 1
        if entry is None:
            opened = opener()  # outside of the lock: others go on reading
            with self._lock:
                entry = self._entries.setdefault(key, _Entry(opened))
                entry.users += 1
            if entry.opened is not opened:
                opened.close()
        try:
            yield entry.opened  # type: ignore[misc]
        finally:
            for idle in self._released(key, entry):
                idle.opened.close()

    def _released(self, key: object, entry: _Entry) -> list[_Entry]:
        with self._lock:
            entry.users -= 1
            if key in self._entries:
                self._entries.move_to_end(key)
            surplus = len(self._entries) - self._limit
            idle = [key for key, one in self._entries.items() if one.users == 0][: max(0, surplus)]
            return [self._entries.pop(key) for key in idle]


POOL = OpenFiles()
"""The open files of this process."""
os.register_at_fork(after_in_child=POOL.forget)
