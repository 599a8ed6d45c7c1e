"""A compiled network as its executor needs it: whole windows, streams of rows, and the memory that both take."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.models.graph.recipe import Recipe
from landseg.tiling.compiled.compile import compile_network
from landseg.tiling.compiled.row_stream import CompiledRows
from landseg.tiling.compiled.sections import Section
from landseg.tiling.costs import MIB
from landseg.tiling.stream_plan import Memory, StreamPlan, blocks_of

Array = NDArray[np.float32]
_STRIPS = (64, 32)  # rows of a strip, the higher the faster
_NUMBER = 4  # bytes of a float32
_MOST_BLOCKS = 4096


class ReadyNetwork:
    """A network that was compiled for a number of threads.

    Args:
        recipe: its layers.
        weights: their arrays.
        threads: that compute.
        key: of the model in the cache; None keeps nothing between processes.

    Attributes:
        period: the number of output rows after which the pattern of streaming repeats.

    Raises:
        PlanError: a layer cannot be compiled; it is named.
    """

    def __init__(
        self, recipe: Recipe, weights: Mapping[str, Array], *, threads: int, key: str | None = None
    ) -> None:
        self._network = compile_network(recipe, weights, threads=threads, key=key)
        self.period = self._network.rows.period

    @property
    def bytes_per_pixel(self) -> float:
        """The bytes that a window needs for each of its pixels: of the section that needs most, and what waits."""
        return max(map(self._alive_per_pixel, self._network.sections)) * 1.5

    def _alive_per_pixel(self, section: Section) -> float:
        recipe, scales = self._network.recipe, self._network.rows.scales
        per_pixel = [channels / float(scale) ** 2 for channels, scale in zip(recipe.channels, scales, strict=True)]
        outside = sum(per_pixel[value] for value in (*section.inputs, *section.outputs))
        most = max(sum(per_pixel[v] for v in (*recipe.layers[n].inputs, n + 1)) for n in section.layers)
        return _NUMBER * (outside + most)

    def run(self, images: Array) -> Array:
        """Return logits (N, C, h, w) of images (N, bands, h, w)."""
        height, width = images.shape[2:]
        whole = -(-height // self.period) * self.period
        made = []
        for image in images:
            with CompiledRows(self._network, (height, width), strip=whole) as rows:
                made += [logits for _, logits in rows.push(np.ascontiguousarray(image[None]))]
        return np.concatenate(made) if len(made) == len(images) else self._joined(made, len(images))

    @staticmethod
    def _joined(parts: list[Array], count: int) -> Array:
        each = len(parts) // count
        images = [np.concatenate(parts[start : start + each], axis=2) for start in range(0, len(parts), each)]
        return np.concatenate(images)

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
        heights = (strip,) if strip else tuple(-(-height // period) * period for height in _STRIPS)
        halo, count = self._network.halo, 1
        while True:
            blocks = blocks_of(area, count, period)
            widest = max(self._reads(block, shape[1]) for block in blocks)
            for height in heights:
                memory = self.memory(widest, height)
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

    def memory(self, width: int, strip: int) -> Memory:
        """Return the bytes of a stream over so many columns, in strips of so many rows."""
        network, kept, waiting, piece = self._network, 0.0, 0.0, 0.0
        rows, recipe = network.rows, network.recipe
        line = [_NUMBER * c * width / float(scale) for c, scale in zip(recipe.channels, rows.scales, strict=True)]
        for number, section in enumerate(network.sections):
            states, step = rows.states(section), network.step_of(number, strip)
            kept += 2 * sum(count * line[value] for value, count in states.items())
            high = {v: step / float(rows.scales[v]) + states.get(v, 0) for v in range(len(line))}
            waiting += 2 * sum(high[v] * line[v] for v in section.inputs)
            piece += max(sum(high[v] * line[v] for v in (*recipe.layers[n].inputs, n + 1)) for n in section.layers)
        logits = 2 * strip * line[recipe.output]
        return Memory(int(kept), int(waiting + logits), int(piece))
