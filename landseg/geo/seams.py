"""Seams: rows and columns at which the windows of a prediction met, as a raster of classes keeps them in a tag."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from landseg.text.untrusted import read_json

BORDERS = "LANDSEG_BORDERS"
"""The name of the tag."""
_RUN = 3  # evenly spaced numbers from which on a run is shorter


@dataclass(frozen=True)
class Seams:
    """First rows and first columns of windows that were computed apart from their neighbours, in pixels of a raster.

    In a tag each of the two is a list of numbers, and ``[first, step, count]`` stands for evenly spaced ones: a
    raster of any size that is cut regularly has a short tag.

    >>> text = Seams((100, 80), rows=(32, 64, 96), columns=(50,)).text
    >>> text
    '{"columns": [50], "rows": [[32, 32, 3]], "size": [100, 80]}'
    >>> Seams.read({"LANDSEG_BORDERS": text}, (100, 80)).rows
    (32, 64, 96)

    Attributes:
        size: (height, width) of the raster.
        rows: ascending, between 0 and the height, neither included.
        columns: the same, up to the width.
    """

    size: tuple[int, int]
    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, end in zip(("rows", "columns"), self.size, strict=True):
            inside = sorted({int(at) for at in getattr(self, name) if 0 < at < end})
            object.__setattr__(self, name, tuple(inside))

    @classmethod
    def read(cls, tags: Mapping[str, str], size: tuple[int, int]) -> Seams | None:
        """Return the seams in the tags of a raster of this size; None where there are none, or those of another size.

        Tags travel with copies, cuts and warped versions, in which the seams lie elsewhere.
        """
        try:
            found = read_json(tags[BORDERS])
            if tuple(found.get("size", size)) != size:
                return None
            rows, columns = (
                tuple(_numbers(found[name], end)) for name, end in zip(("rows", "columns"), size, strict=True)
            )
        except (KeyError, ValueError, TypeError, AttributeError):
            return None
        return cls(size, rows, columns)

    @property
    def text(self) -> str:
        """The text of the tag."""
        lists = {"rows": list(_runs(self.rows)), "columns": list(_runs(self.columns))}
        return json.dumps({"size": list(self.size), **lists}, sort_keys=True)

    def joined(self, other: Seams | None) -> Seams:
        """Return the seams of both, of the same raster."""
        if other is None:
            return self
        return Seams(self.size, (*self.rows, *other.rows), (*self.columns, *other.columns))

    def __bool__(self) -> bool:
        return bool(self.rows or self.columns)


def _runs(numbers: tuple[int, ...]) -> Iterator[int | list[int]]:
    """Yield ascending numbers; evenly spaced ones as [first, step, count]."""
    at = 0
    while at < len(numbers):
        end = at + 1
        while end + 1 < len(numbers) and numbers[end + 1] - numbers[end] == numbers[at + 1] - numbers[at]:
            end += 1
        count = end - at + 1
        if end < len(numbers) and count >= _RUN:
            yield [numbers[at], numbers[at + 1] - numbers[at], count]
            at += count
        else:
            yield numbers[at]
            at += 1


def _numbers(entries: Iterable[Any], end: int) -> Iterator[int]:
    """Yield the numbers below ``end`` that a list of numbers and runs stands for.

    Raises:
        ValueError: a run that does not ascend, or more numbers than there are below ``end``.
        TypeError: an entry is neither a number nor a run.
    """
    left = end
    for entry in entries:
        if isinstance(entry, list):
            first, step, count = (int(part) for part in entry)
            if step < 1:
                raise ValueError(f"a run of step {step}")
            run = range(max(first, first % step), min(first + step * count, end), step)
        else:
            run = range(int(entry), int(entry) + 1)
        left -= len(run)
        if left < 0:
            raise ValueError(f"more than {end} borders")
        yield from run
