"""Joint statistics of two kinds of classes: the shares of the fine classes in regions of each coarse class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import ClassMap
from landseg.errors import ClassError, TrainingError
from landseg.text.amounts import counted
from landseg.text.tables import Table, read_csv
from landseg.text.untrusted import read_toml

FLOOR = 1e-4
"""The smallest spread, as published: a share that never varied is still not known to the last digit."""

_NEVER = 1e-6  # the paper's share of a class that was never seen in a coarse one
_UNKNOWN = 0.5  # by how much the one region more is off that an estimate is tempered with
_ROUNDED = 0.05  # by how much a printed row of shares may miss 1


@dataclass(frozen=True, eq=False)
class JointStatistics:
    """Mean and spread of the fine classes' shares in each coarse class.

    Attributes:
        coarse: the coarse classes in the order of the rows.
        classes: names of the fine classes in the order of the columns.
        mean: (C, K) float64, rows summing to 1 (as nearly as they were printed); a row of zeros says nothing.
        spread: (C, K) float64, the standard deviation of the share from region to region, at least FLOOR.
        weights: (C,) of the coarse classes in the loss; 0 teaches nothing, as for a row of zeros.
        note: where they come from, as a sentence.

    Raises:
        TrainingError: sizes that differ, shares that are none, a weight for a row that says nothing.
    """

    coarse: ClassMap
    classes: tuple[str, ...]
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    weights: NDArray[np.float64]
    note: str = ""

    def __post_init__(self) -> None:
        shape = (len(self.coarse), len(self.classes))
        for name, wanted in (("mean", shape), ("spread", shape), ("weights", shape[:1])):
            table = np.ascontiguousarray(getattr(self, name), np.float64)
            if table.shape != wanted or not np.isfinite(table).all() or (table < 0).any():
                raise TrainingError(f"the {name} of joint statistics should be {wanted} numbers of 0 or more")
            object.__setattr__(self, name, table)
        object.__setattr__(self, "spread", np.maximum(self.spread, FLOOR))
        for land, row, weight in zip(self.coarse.classes, self.mean.sum(1), self.weights, strict=True):
            if abs(row - 1) > _ROUNDED and (row > 0 or weight > 0):
                raise TrainingError(
                    f"the shares in coarse class {land.value} ({land.name}) add up to {row:.3g} instead of 1; "
                    "correct them, or make them all 0 with weight 0"
                )

    @property
    def silent(self) -> tuple[str, ...]:
        """Return the names of the coarse classes that teach nothing."""
        return tuple(name for name, weight in zip(self.coarse.names, self.weights, strict=True) if not weight)

    def tuned(self, values: Sequence[int], name: str, by: float = 0.25) -> JointStatistics:
        """Return the statistics as Robinson et al. tune theirs: one fine class raised in some coarse classes.

        Before that a share of 0 becomes 1e-6, but in a column of zeros, which is a class that is not used; afterwards
        rows add up to 1. They raise impervious by 0.25 in NLCD's classes 21 to 24, where trees hide it.
        """
        column = self._column(name)
        mean = self.mean.copy()
        spoken = mean.sum(1, keepdims=True) > 0
        mean[(mean == 0) & spoken & (mean.sum(0) > 0)] = _NEVER
        for value in values:
            if value not in self.coarse.values:
                raise TrainingError(
                    f"{value} is no coarse class; use some of {', '.join(map(str, self.coarse.values))}"
                )
            mean[self.coarse.values.index(value), column] += by
        mean = np.divide(mean, mean.sum(1, keepdims=True), out=np.zeros_like(mean), where=spoken)
        return replace(self, mean=mean)

    def _column(self, name: str) -> int:
        if name not in self.classes:
            raise TrainingError(f"{name!r} is no class of the joint statistics; use one of {', '.join(self.classes)}")
        return self.classes.index(name)

    def ordered(self, classes: Sequence[str]) -> JointStatistics:
        """Return the statistics with their columns in the order of a model's classes.

        Raises:
            TrainingError: the two do not have the same names.
        """
        if sorted(classes) != sorted(self.classes):
            raise TrainingError(
                f"the joint statistics are of {', '.join(self.classes)}, the model's classes are {', '.join(classes)}"
                "; give a table with one column for each of these"
            )
        order = [self.classes.index(name) for name in classes]
        return replace(self, classes=tuple(classes), mean=self.mean[:, order], spread=self.spread[:, order])

    def to_json(self) -> dict[str, Any]:
        """Return the table as plain values, in the form of the TOML file."""
        rows = [
            {"value": land.value, "name": land.name, "weight": weight, "mean": mean, "spread": spread}
            for land, weight, mean, spread in zip(
                self.coarse.classes, self.weights.tolist(), self.mean.tolist(), self.spread.tolist(), strict=True
            )
        ]
        return {"classes": list(self.classes), "ignore": list(self.coarse.ignore), "coarse": rows, "note": self.note}

    @classmethod
    def from_json(cls, table: Any) -> JointStatistics:
        """Return the statistics in plain values: see `read_statistics`.

        Raises:
            TrainingError: anything else.
        """
        try:
            rows = list(table["coarse"])
            return cls(
                ClassMap.from_json({"classes": rows, "ignore": table.get("ignore", [])}),
                tuple(str(name) for name in table["classes"]),
                np.array([row["mean"] for row in rows], np.float64),
                np.array([row["spread"] for row in rows], np.float64),
                np.array([row.get("weight", 1.0) for row in rows], np.float64),
                str(table.get("note", "")),
            )
        except (KeyError, TypeError, ValueError, AttributeError, ClassError) as error:
            raise TrainingError(
                f"no table of joint statistics ({error}): expected classes, and coarse with value, name, mean and "
                "spread for each coarse class"
            ) from error


def read_statistics(path: Path) -> JointStatistics:
    """Return the statistics of a table.

    In TOML: ``classes`` (names), ``ignore`` (values of the coarse raster that are no class) and for each coarse class
    a ``[[coarse]]`` with ``value``, ``name``, ``weight`` (1 if left out), ``mean`` and ``spread`` (a number a class).
    In CSV: the columns ``value``, ``name``, ``weight`` and, for each class, ``mean NAME`` and ``spread NAME``.

    Raises:
        TrainingError: a file that is missing or holds no such table.
    """
    try:
        if path.suffix.lower() == ".csv":
            table = _from_csv(read_csv(path, comments=True))
        else:
            table = read_toml(path.read_text(encoding="utf-8"))
        return JointStatistics.from_json({"note": f"from the table {path.name}", **table})
    except OSError as error:
        raise TrainingError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, TrainingError) as error:
        raise TrainingError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from error


def _from_csv(table: Table) -> dict[str, Any]:
    keys = {" ".join(column.lower().split()): column.lower() for column in table.columns}
    names = [column[len("mean ") :].strip() for column in table.columns if column.lower().startswith("mean ")]
    missing = [c for c in ("value", "name", *(f"spread {n}" for n in names)) if c.lower() not in keys]
    if missing := missing + ([] if names else ["mean NAME"]):
        raise TrainingError(
            f"a table of joint statistics needs the columns value, name and for each class mean NAME and spread "
            f"NAME; {', '.join(missing)} is missing"
        )
    return {
        "classes": names,
        "coarse": [
            {
                "value": int(row["value"]),
                "name": row["name"],
                "weight": table.number(row.get("weight") or "1"),
                "mean": [table.number(row[keys[f"mean {name}".lower()]]) for name in names],
                "spread": [table.number(row[keys[f"spread {name}".lower()]]) for name in names],
            }
            for row in table.rows
        ],
    }


class StatisticsCounter:
    """An estimate of `JointStatistics` from pixels with both kinds of labels, a block at a time.

    A block is cut into squares of ``side`` pixels; the pixels of one coarse class in one square are a region, and say
    which share of them each fine class has. The mean of a share is the mean over regions weighted by their pixels,
    which is the share of all pixels; its spread is the standard deviation of the regions' shares about it, under
    the same weights, with one full square more whose share is off by a half. Without that a class that a handful
    of regions lack would get a spread of 0, and a loss of hundreds wherever it is predicted: what was seen in n
    squares is known to ``0.5 / sqrt(n)`` at best.

    Blocks should begin on multiples of ``side`` in their raster, so that however it is cut the squares are the same:
    then counting in any order, and merging counts, gives the same statistics.

    Args:
        coarse: the coarse classes; indices into them are what `update` takes.
        classes: names of the fine classes.
        side: of the squares: how many pixels a coarse pixel is wide.
    """

    def __init__(self, coarse: ClassMap, classes: Sequence[str], *, side: int) -> None:
        if side < 1:
            raise TrainingError(f"a coarse pixel is 1 or more pixels wide, got {side}")
        self.coarse, self.classes, self.side = coarse, tuple(classes), side
        shape = (len(coarse), len(self.classes))
        self._seen, self._sides = 0, {side}
        self._pixels = np.zeros(shape[0])
        self._sums, self._squares = np.zeros(shape), np.zeros(shape)

    def update(self, target: NDArray[np.integer], coarse: NDArray[np.integer]) -> None:
        """Count a block: class indices (H, W) of both kinds; a value that is no index of a class is left out."""
        if target.shape != coarse.shape:
            raise TrainingError(f"fine labels {target.shape} and coarse labels {coarse.shape} differ in size")
        c, k = len(self.coarse), len(self.classes)
        rows, columns = np.indices(target.shape) // self.side
        square = rows * (-(-target.shape[1] // self.side)) + columns
        both = (target < k) & (coarse < c)
        self._seen += int(both.sum())
        region = square[both].astype(np.int64) * c + coarse[both]
        found, region = np.unique(region, return_inverse=True)
        counts = np.bincount(region * k + target[both], minlength=len(found) * k).reshape(-1, k).astype(np.float64)
        pixels = counts.sum(1)
        for row in np.unique(found % c):
            here = found % c == row
            self._pixels[row] += pixels[here].sum()
            self._sums[row] += counts[here].sum(0)
            self._squares[row] += (counts[here] ** 2 / pixels[here, None]).sum(0)

    def merge(self, other: StatisticsCounter) -> None:
        """Add another counter's counts of the same classes.

        Where its squares are of another size, as in imagery of another resolution, a square counts as a square.
        """
        if (self.coarse, self.classes) != (other.coarse, other.classes):
            raise TrainingError("these count other classes; merge counters that were made alike")
        share = (self.side / other.side) ** 2
        self._pixels += share * other._pixels
        self._sums += share * other._sums
        self._squares += share * other._squares
        self._seen += other._seen
        self._sides |= other._sides

    def compute(self) -> JointStatistics:
        """Return the statistics; a coarse class that was never seen beside a fine label has weight 0.

        Raises:
            TrainingError: no pixel has both labels.
        """
        if not self._pixels.any():
            raise TrainingError(
                "no pixel has both a fine and a coarse label, so there is nothing to estimate joint statistics from; "
                "check that the coarse raster covers labelled scenes, or give the statistics as a table"
            )
        per = np.maximum(self._pixels, 1)[:, None]
        mean = self._sums / per
        apart = np.maximum(self._squares - per * mean**2, 0)
        square = self.side**2
        spread = np.sqrt((apart + square * _UNKNOWN**2) / (self._pixels[:, None] + square))
        seen = self._pixels > 0
        sides = " or ".join(map(str, sorted(self._sides)))
        note = f"estimated from {counted(self._seen, 'pixel')} with both labels, in squares of {sides} pixels"
        return JointStatistics(self.coarse, self.classes, mean, spread, seen.astype(np.float64), note)
