"""Threads that pass work on through bounded queues, and the first error of any of them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_POLL_S = 0.1  # how soon a waiting thread notices that another has failed
T = TypeVar("T")


class FirstError:
    """The first error of any thread, and the signal for all threads to stop."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._lock = threading.Lock()

    def set(self, error: BaseException) -> None:
        """Record an error, unless one is recorded, and tell all threads to stop."""
        with self._lock:
            self._error = self._error or error
        self._stop.set()

    def stop(self) -> None:
        """Tell all threads to stop."""
        self._stop.set()

    @property
    def stopped(self) -> bool:
        """True if threads are to stop."""
        return self._stop.is_set()

    def check(self) -> None:
        """Raise the recorded error if there is one."""
        if self._error is not None:
            raise self._error


class Stopped(Exception):
    """The sign that another thread has asked this one to stop."""


class Stage(Generic[T]):
    """A thread that works through a bounded queue.

    Args:
        name: of the thread, for debuggers.
        work: takes an item of the queue.
        error: the first error of this thread and those that work with it.
        size: of the queue, in items.
    """

    def __init__(self, name: str, work: Callable[[T], None], error: FirstError, *, size: int) -> None:
        self._work, self._error = work, error
        self._queue: queue.Queue[T | None] = queue.Queue(size)
        self._thread = threading.Thread(target=self._loop, name=f"landseg-{name}", daemon=True)
        self._thread.start()

    def put(self, item: T | None) -> None:
        """Queue an item, and wait while the queue is full; None ends the thread after the items before it."""
        while True:
            self._error.check()
            if self._error.stopped:
                raise Stopped
            try:
                self._queue.put(item, timeout=_POLL_S)
                return
            except queue.Full:
                continue

    def close(self) -> None:
        """Wait until everything queued is done."""
        self.put(None)
        self._thread.join()
        self._error.check()

    def join(self) -> None:
        """Wait for the thread, which ends when it is closed or when anything has failed."""
        self._thread.join()

    def _loop(self) -> None:
        while not self._error.stopped:
            try:
                item = self._queue.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if item is None:
                return
            try:
                self._work(item)
            except Stopped:
                return
            except BaseException as error:
                self._error.set(error)
                return
