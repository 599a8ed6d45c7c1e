"""Lightning without what it says about itself."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOGS = ("lightning", "lightning.pytorch", "lightning.fabric")


@contextmanager
def silence() -> Iterator[None]:
    """While inside, Lightning's banners, tips and guesses are not shown; other people's warnings are.

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
