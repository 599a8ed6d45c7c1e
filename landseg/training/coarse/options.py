"""The options of learning from coarse labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from landseg.classes import ClassMap
from landseg.errors import TrainingError
from landseg.training.coarse.loss import SHARE
from landseg.training.coarse.statistics import JointStatistics, read_statistics


@dataclass(frozen=True)
class CoarseOptions:
    """The options of learning from coarse labels, which the sources name.

    Attributes:
        table: of joint statistics, CSV or TOML, below the data folder or beside the recipe; None: they are counted
            where the learned scenes have both kinds of labels.
        share: of the coarse labels' loss in the total; the rest is the fine labels'.
        ignore: further values of the coarse rasters that are no class.
        side: how many of the images' pixels a coarse label is wide, where its raster has finer pixels than labels.
    """

    table: str | None = None
    share: float = SHARE
    ignore: tuple[int, ...] = (0,)
    side: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise TrainingError(
                f"the share of the coarse labels' loss is between 0 and 1, such as 1/40, got {self.share:g}"
            )
        if self.side is not None and self.side < 1:
            raise TrainingError(f"a coarse label is 1 or more pixels wide, got {self.side}")

    def statistics(self, folders: Sequence[Path], classes: Sequence[str]) -> JointStatistics | None:
        """Return the statistics of the table, their columns in the order of a model's classes; None without a table.

        Raises:
            TrainingError: a table that is missing, holds none, or is of other classes.
        """
        if self.table is None:
            return None
        found = next((folder / self.table for folder in folders if (folder / self.table).exists()), None)
        read = read_statistics(folders[0] / self.table if found is None else found)
        ignore = [value for value in self.ignore if value not in (*read.coarse.values, *read.coarse.ignore)]
        coarse = ClassMap(read.coarse.classes, (*read.coarse.ignore, *ignore))
        return replace(read, coarse=coarse).ordered(classes)


def share_of(text: str) -> float:
    """Return the share that a text names.

    >>> share_of("1/40"), share_of("0.1")
    (0.025, 0.1)

    Raises:
        TrainingError: there is none.
    """
    try:
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError):
        raise TrainingError(f"--coarse-share {text}: expected a share such as 1/40 or 0.025") from None
