"""Batches made ahead of the step that needs them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader, Dataset

from landseg.errors import LandsegError, TrainingError
from landseg.training.batches import BatchesLike, BatchLike, part_of

_NICE = 10  # of 19


class _Range(Dataset[Any]):
    """The batches from ``first`` to ``last``, of each one process's part; an error in place of what raised it."""

    def __init__(self, batches: BatchesLike, first: int, last: int, place: tuple[int, int]) -> None:
        self._batches, self._first, self._last, self._place = batches, first, last, place

    def __len__(self) -> int:
        return self._last - self._first

    def __getitem__(self, index: int) -> BatchLike | LandsegError:
        try:
            return part_of(self._batches[self._first + index], *self._place)
        except LandsegError as error:  # to be raised as it is, not wrapped in a worker's traceback
            return error


class Loader:
    """The batches ``first`` to ``last`` in order, made ahead by ``workers`` processes.

    Args:
        batches: by number.
        first: the first number.
        last: the number after the last one.
        place: (rank, world) of this process.
        workers: 0 makes each batch when it is asked for.

    Raises:
        LandsegError: while iterating, whatever making a batch raised.
    """

    def __init__(
        self, batches: BatchesLike, first: int, last: int, *, place: tuple[int, int] = (0, 1), workers: int = 0
    ) -> None:
        self._range = _Range(batches, first, last, place)
        workers = min(workers, len(self._range))
        self._loader = DataLoader(
            self._range, batch_size=None, shuffle=False, num_workers=workers, collate_fn=_as_it_is,
            multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
            worker_init_fn=_stand_back,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self._range)

    def __iter__(self) -> Iterator[BatchLike]:
        try:
            for item in self._loader:
                if isinstance(item, LandsegError):
                    raise item
                yield item
        except RuntimeError as error:
            if "DataLoader worker" not in str(error) or "exited" not in str(error):
                raise
            raise TrainingError(
                "a process that makes batches died, most often for want of memory; use fewer workers or smaller crops"
            ) from error


def _stand_back(worker: int) -> None:
    """Give way to the step, which waits for the slowest of its threads: batches are made in what it leaves over."""
    if hasattr(os, "nice"):
        os.nice(_NICE)


def _as_it_is(item: Any) -> Any:
    return item
