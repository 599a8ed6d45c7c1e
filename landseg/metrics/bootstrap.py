"""Confidence intervals of figures: a bootstrap over confusion matrices of spatial blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.metrics.confusion import pairs
from landseg.metrics.tiles import SPATIAL_LEVELS, Tiles

Replicates = NDArray[np.float64]

BLOCKS = 4096
"""Maximum number of blocks, if their matrices are small."""
MEMORY = 64 << 20
"""Maximum size in bytes of the blocks, and of the matrices drawn at a time."""

Statistic = Callable[[NDArray[np.float64]], NDArray[Any]]
"""A function from matrices (..., K, K + 1) to figures (...) or (..., K), as in `landseg.metrics.figures`."""


class Blocks:
    """Confusion matrices (K, K + 1) of square blocks of a raster, or of several; a matrix as in `Confusion`.

    Errors of a map come in patches, so its pixels are no independent sample, and an interval from their number is far
    too narrow. Blocks wider than the patches are nearly independent. Only blocks with labelled pixels are kept; above
    the limit (4096 blocks, and 64 MiB) the edge of all blocks doubles. The order of updates changes nothing.

    Args:
        classes: K.
        edge: edge of a block in pixels, at least 1; from 64 on, counting is as fast as without blocks.
        limit: maximum number of blocks.
    """

    def __init__(self, classes: int, edge: int, limit: int | None = None) -> None:
        self.classes = classes
        room = max(1, MEMORY // (8 * classes * (classes + 1)))
        self.tiles = Tiles((classes, classes + 1), edge, min(BLOCKS, room) if limit is None else limit)

    @property
    def edge(self) -> int:
        """The current edge of a block in pixels."""
        return self.tiles.edge

    def __len__(self) -> int:
        return len(self.tiles)

    def update(
        self, truth: NDArray[Any], prediction: NDArray[Any], *, top: int = 0, left: int = 0, raster: int = 0
    ) -> None:
        """Add class indices (H, W) whose first pixel is at ``top``, ``left`` of a raster (numbered from 0).

        Raises:
            ValueError: as `Confusion.update`, or ``top``, ``left`` or ``raster`` is below 0.
        """
        level = self.tiles.level
        for key, part in self.tiles.cut(*truth.shape, top=top, left=left, raster=raster):
            self.tiles.add(key, pairs(truth[part], prediction[part], self.classes), level)

    def merge(self, other: Blocks) -> None:
        """Add the counts of another.

        Raises:
            ValueError: the other has different classes, edge or limit.
        """
        self.tiles.merge(other.tiles)

    def table(self) -> NDArray[np.int64]:
        """Return the confusion matrix of all blocks together, (K, K + 1)."""
        total: NDArray[np.int64] = self.tiles.stacked().sum(0)
        return total


def number_blocks(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number (N,) of the block of each cell (N, 3) of raster, row and column: at most `BLOCKS` blocks.

    With more of them four cells become one, as squares do in `landseg.metrics.tiles`.
    """
    level = 0
    while True:
        unique, index = np.unique(cells, axis=0, return_inverse=True)
        if len(unique) <= BLOCKS:
            return np.asarray(index, np.int64).reshape(-1)
        cells = cells >> ([0, 1, 1] if level < SPATIAL_LEVELS else [1, 0, 0])
        level += 1


def draws(blocks: int, *, count: int = 1000, seed: int = 0, columns: int = 1) -> Iterator[NDArray[np.int64]]:
    """Yield how often each block is in a sample of as many blocks, (samples, blocks), until ``count`` samples.

    The samples depend on the seed and the number of blocks alone. As many come at a time as go into 64 MiB, if
    ``columns`` numbers are made of each sample.
    """
    generator, even = np.random.default_rng(seed), np.full(blocks, 1 / blocks)
    step = max(1, MEMORY // (8 * max(columns, blocks)))
    for start in range(0, count, step):
        yield generator.multinomial(blocks, even, size=min(step, count - start))


def replicates(
    stack: NDArray[np.integer[Any]], statistics: Mapping[str, Statistic], *, count: int = 1000, seed: int = 0
) -> dict[str, Replicates]:
    """Return each statistic, (count, ...) by name, of ``count`` bootstrap samples of the blocks' counts (B, ...).

    A sample is B blocks, drawn with replacement; the statistic is that of their summed counts. The same seed and
    number of blocks give the same draws for all counts, so differences between statistics are paired.

    Raises:
        ValueError: there is no block.
    """
    blocks = len(stack)
    if not blocks:
        raise ValueError("a bootstrap needs at least one block with labelled pixels")
    flat = stack.reshape(blocks, -1).astype(np.float64)
    found: dict[str, list[Replicates]] = {name: [] for name in statistics}
    for drawn in draws(blocks, count=count, seed=seed, columns=flat.shape[1]):
        sums = (drawn @ flat).reshape(-1, *stack.shape[1:])
        for name, statistic in statistics.items():
            found[name].append(np.asarray(statistic(sums), np.float64))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def interval(values: NDArray[np.floating[Any]], level: float = 0.95) -> Replicates:
    """Return the percentile interval of replicates (R, ...), as (2, ...): low and high; nan without any value.

    Replicates without a value (a class that was not drawn) are left out.
    """
    tail = (1 - level) / 2
    flat = np.asarray(values, np.float64).reshape(len(values), -1)
    ends = np.full((2, flat.shape[1]), np.nan)
    some = np.isfinite(flat).any(0)
    ends[:, some] = np.nanquantile(flat[:, some], [tail, 1 - tail], axis=0)
    return ends.reshape(2, *values.shape[1:])


def intervals(
    blocks: Blocks, statistics: Mapping[str, Statistic], *, count: int = 1000, seed: int = 0
) -> dict[str, Replicates]:
    """Return the 95 % interval of each statistic, (2, ...) by name: low and high; nan where there is one block.

    Percentile intervals of a block bootstrap are somewhat too narrow with few blocks: below some thirty, take them
    for a hint.
    """
    stack = blocks.tiles.stacked()
    if len(stack) > 1:
        drawn = replicates(stack, statistics, count=count, seed=seed)
        return {name: interval(values) for name, values in drawn.items()}
    empty = np.zeros((1, *blocks.tiles.shape))
    return {name: np.full((2, *np.shape(statistic(empty))[1:]), np.nan) for name, statistic in statistics.items()}


def differences(
    blocks: Sequence[Blocks], statistic: Statistic, *, count: int = 1000, seed: int = 0
) -> tuple[Replicates, Replicates]:
    """Return the differences (P - 1, ...) of all further predictions to the first, and their intervals.

    All predictions must have the same truth. The blocks are drawn once for all predictions, so that pixels that are
    difficult for all of them do not widen the interval. Intervals are (P - 1, 2, ...), of 95 %: low and high.

    Raises:
        ValueError: blocks that hold different pixels of the truth, fewer than two predictions or two blocks.
    """
    if len(blocks) < 2:
        raise ValueError("a difference needs two predictions or more")
    stacks = [one.tiles.stacked() for one in blocks]
    for one, stack in zip(blocks, stacks, strict=True):
        same = one.edge == blocks[0].edge and sorted(one.tiles.sums) == sorted(blocks[0].tiles.sums)
        if not same or not np.array_equal(stack.sum(-1), stacks[0].sum(-1)):
            raise ValueError("paired differences need the same pixels of the truth in the same blocks")
    if len(stacks[0]) < 2:
        raise ValueError("paired differences need at least two blocks with labelled pixels")
    drawn = [replicates(stack, {"": statistic}, count=count, seed=seed)[""] for stack in stacks]
    points = [np.asarray(statistic(stack.sum(0, keepdims=True).astype(np.float64)))[0] for stack in stacks]
    ends = [interval(one - drawn[0]) for one in drawn[1:]]
    return np.stack([point - points[0] for point in points[1:]]), np.stack(ends)
