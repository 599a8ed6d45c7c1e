"""Compiled networks as their executor needs them: whole windows, streams of rows, and the memory that both take."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.models.graph.field import not_streamed
from landseg.models.graph.recipe import READS_ALL, Recipe
from landseg.tiling.compiled.compile import compile_network, compile_whole
from landseg.tiling.compiled.memory import memory_of, whole_bytes
from landseg.tiling.compiled.row_stream import CompiledRows
from landseg.tiling.costs import MIB
from landseg.tiling.stream_plan import StreamPlan, blocks_of

Array = NDArray[np.float32]
_STRIPS = (64, 32, 16)  # rows of a strip: few stay in the cache, many need fewer copies of what is kept
_MOST_BLOCKS = 4096
_EDGE = 1024  # of the window whose memory is counted


def ready_network(
    recipe: Recipe, weights: Mapping[str, Array], *, threads: int, key: str | None = None
) -> ReadyNetwork | ReadyWhole:
    """Return a network, compiled for a number of threads; for the arguments and errors see `ReadyNetwork`."""
    made = ReadyNetwork if recipe.unbounded_by is None else ReadyWhole
    return made(recipe, weights, threads=threads, key=key)


class ReadyNetwork:
    """A network that was compiled for a number of threads.

    Args:
        recipe: its layers.
        weights: their arrays.
        threads: that compute.
        key: of the model in the cache; None keeps nothing between processes.

    Attributes:
        period: the number of output rows after which the pattern of streaming repeats.
        why_not_streamed: None, since rows can be streamed.

    Raises:
        PlanError: a layer cannot be compiled; it is named.
    """

    why_not_streamed: str | None = None

    def __init__(self, recipe: Recipe, weights: Mapping[str, Array], *, threads: int, key: str | None = None) -> None:
        self._network = compile_network(recipe, weights, threads=threads, key=key)
        self.period = period = self._network.rows.period
        self._strips = tuple(-(-height // period) * period for height in _STRIPS)

    @property
    def bytes_per_pixel(self) -> float:
        """The bytes that a window of 2,048 pixels an edge needs for each of them; it goes through in strips too."""
        edge = 32 * self._strips[0]
        return memory_of(self._network, (edge, edge), self._strips[0]).total / edge**2

    def run(self, images: Array) -> Array:
        """Return logits (N, C, h, w) of images (N, bands, h, w)."""
        height, width = images.shape[2:]
        made = []
        for image in images:
            with CompiledRows(self._network, (height, width), strip=self._strips[0]) as rows:
                parts = [logits for _, logits in rows.push(np.ascontiguousarray(image[None]))]
            made.append(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2))
        return made[0] if len(made) == 1 else np.concatenate(made)

    def rows(self, shape: tuple[int, int], *, region: Rect | None, strip: int) -> CompiledRows:
        """Return one pass over a region of a raster of (height, width) pixels; None is all of it."""
        return CompiledRows(self._network, shape, region=region, strip=strip)

    def plan(self, shape: tuple[int, int], *, limit: float, region: Rect | None, strip: int | None) -> StreamPlan:
        """Return the plan with the fewest blocks, and of those the tallest strips, inside ``limit`` bytes.

        Raises:
            PlanError: the raster is too small for the network, or not even narrow blocks fit.
        """
        area, period = region or Rect(0, 0, *shape), self.period
        self._network.rows.shapes(shape)
        heights = (strip,) if strip else self._strips
        halo, count = self._network.halo, 1
        while True:
            blocks = blocks_of(area, count, period)
            widest = max(self._reads(block, shape[1]) for block in blocks)
            for height in heights:
                memory = memory_of(self._network, (shape[0], widest), height)
                if memory.total <= limit:
                    cost = sum(self._reads(block, shape[1]) for block in blocks) / self._reads(area, shape[1])
                    return StreamPlan(blocks, height, None, halo if len(blocks) > 1 else 0, memory, cost)
            if count >= min(_MOST_BLOCKS, max(1, area.width // period)):
                raise PlanError(
                    f"streaming needs {memory.total / MIB:.0f} MiB even for the narrowest blocks, "
                    f"{limit / MIB:.0f} MiB are left for it; use a larger --memory, or --engine windows"
                )
            count = min(2 * count, max(1, area.width // period)) if count > 4 else count + 1

    def _reads(self, block: Rect, width: int) -> int:
        """Return the columns that are read for a block."""
        halo = self._network.halo
        return min(width, block.right + halo) - max(0, block.left - halo) // self.period * self.period


class ReadyWhole:
    """A network that sees the whole input, compiled for windows; for the arguments and errors see `ReadyNetwork`.

    Attributes:
        period: 1.
        why_not_streamed: the sentence that names the layer that reads the whole input.
    """

    period = 1

    def __init__(self, recipe: Recipe, weights: Mapping[str, Array], *, threads: int, key: str | None = None) -> None:
        self._network = compile_whole(recipe, weights, threads=threads, key=key)
        self.why_not_streamed = not_streamed(str(recipe.unbounded_by), READS_ALL)

    @property
    def bytes_per_pixel(self) -> float:
        """The bytes that a window needs for each of its pixels."""
        return whole_bytes(self._network, (_EDGE, _EDGE)) / _EDGE**2

    def run(self, images: Array) -> Array:
        """Return logits (N, C, h, w) of images (N, bands, h, w)."""
        return self._network.run(images)

    def rows(self, shape: tuple[int, int], *, region: Rect | None, strip: int) -> CompiledRows:
        """Raise PlanError: its rows cannot be streamed."""
        raise PlanError(self.why_not_streamed)

    def plan(self, shape: tuple[int, int], *, limit: float, region: Rect | None, strip: int | None) -> StreamPlan:
        """Raise PlanError: its rows cannot be streamed."""
        raise PlanError(self.why_not_streamed)
