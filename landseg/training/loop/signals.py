"""Ctrl-C during a run: the first asks for an end after the step that is being made, the second ends at once."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self


class Interrupt:
    """A context in which the first SIGINT sets ``asked``; afterwards it means what it meant before.

    Half a step cannot be stored: weights that are half updated belong to no step. Signals reach the main thread
    only, so elsewhere nothing is changed.
    """

    def __init__(self) -> None:
        self.asked = False
        self._in_main_thread = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Self:
        if self._in_main_thread:
            self._before = signal.getsignal(signal.SIGINT)
            if self._before is signal.default_int_handler:
                signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._in_main_thread and self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("\nending after this step; interrupt again to end at once", file=sys.stderr, flush=True)


_LOGS = ("lightning", "lightning.pytorch", "lightning.fabric")


@contextmanager
def silence() -> Iterator[None]:
    """Hide Lightning's banners, tips and guesses while the context is open; the warnings of others are shown.

    What its warnings are about (few workers, no validation loop, modules in eval mode) is meant here.
    """
    levels = {name: logging.getLogger(name).level for name in _LOGS}
    try:
        with warnings.catch_warnings():
            for module in ("lightning", "tensorboard", r"torch\.utils\.tensorboard"):
                warnings.filterwarnings("ignore", module=rf"{module}(\.|$)")
            # Batches are made by forked processes, which touch none of the threads that they leave behind.
            warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
            from lightning.fabric.utilities.warnings import PossibleUserWarning

            warnings.simplefilter("ignore", PossibleUserWarning)
            for name in _LOGS:
                logging.getLogger(name).setLevel(logging.ERROR)
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
