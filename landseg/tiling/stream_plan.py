"""The plan of a streamed run: strips, chunks and blocks of columns, and their memory. Arithmetic alone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from landseg.geo.grid import Rect


@dataclass(frozen=True)
class Memory:
    """Bytes that a streamed run allocates.

    Attributes:
        kept: rows kept between strips, proportional to the width.
        strip: a strip's input (twice, while it is joined), its logits and the columns kept inside it.
        piece: the activations that are alive at once in one chunk of a strip.
    """

    kept: int
    strip: int
    piece: int

    @property
    def total(self) -> int:
        return self.kept + self.strip + self.piece


@dataclass(frozen=True)
class StreamPlan:
    """The way in which a raster is streamed.

    Attributes:
        blocks: regions side by side, each the height of the region; one where the width fits.
        strip: rows of logits computed at a time.
        chunk: columns computed at a time, None for all.
        halo: columns read beside the widest block, on its wider side; 0 where the width fits.
        memory: of the block that needs most.
        cost: pixels read by all blocks over pixels kept, 1.0 where the width fits.
    """

    blocks: tuple[Rect, ...]
    strip: int
    chunk: int | None
    halo: int
    memory: Memory
    cost: float

    @property
    def cuts(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Rows and columns of the network's grid at which strips, blocks and chunks begin, but for the first."""
        top, bottom = self.blocks[0].top, self.blocks[0].bottom
        columns = {block.left for block in self.blocks[1:]}
        for block in self.blocks if self.chunk else ():
            columns.update(multiples(self.chunk or 1, block.left, block.right))
        return tuple(multiples(self.strip, top, bottom)), tuple(sorted(columns))


def multiples(step: int, start: int, stop: int) -> range:
    """Return the multiples of ``step`` between start and stop, neither included: strips and chunks begin there."""
    return range((start // step + 1) * step, stop, step)


def blocks_of(region: Rect, count: int, period: int) -> tuple[Rect, ...]:
    """Return the region cut into so many blocks of nearly equal width, at multiples of the network's stride."""
    cuts = [region.left + region.width * i // count // period * period for i in range(1, count)]
    edges = sorted({region.left, *cuts, region.right})
    return tuple(Rect(region.top, left, region.height, right - left) for left, right in pairwise(edges))
