"""Threads that hand work to each other through bounded queues, and one place where their faults come out."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_POLL_S = 0.1  # how soon a waiting thread notices that another has failed
T = TypeVar("T")


class FirstError:
    """The first thing that went wrong in any thread, and the sign for all to stop."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._lock = threading.Lock()

    def set(self, error: BaseException) -> None:
        with self._lock:
            self._error = self._error or error
        self._stop.set()

    def stop(self) -> None:
        self._stop.set()

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    def check(self) -> None:
        if self._error is not None:
            raise self._error


class Stopped(Exception):
    """Another thread asked to stop."""


class Stage(Generic[T]):
    """One thread that works through a bounded queue."""

    def __init__(self, name: str, work: Callable[[T], None], fault: FirstError, *, size: int) -> None:
        self._work, self._fault = work, fault
        self._queue: queue.Queue[T | None] = queue.Queue(size)
        self._thread = threading.Thread(target=self._loop, name=f"landseg-{name}", daemon=True)
        self._thread.start()

    def put(self, item: T | None) -> None:
        """Queue an item, waiting while the queue is full."""
        while True:
            self._fault.check()
            if self._fault.stopped:
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
        self._fault.check()

    def join(self) -> None:
        """Wait for the thread, which ends when it is closed or when anything has failed."""
        self._thread.join()

    def _loop(self) -> None:
        while not self._fault.stopped:
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
                self._fault.set(error)
                return
