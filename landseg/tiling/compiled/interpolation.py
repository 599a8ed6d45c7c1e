"""The last layer of most networks, bilinear upsampling of the scores, row by row outside of the graphs.

Here a pixel has the same bits however the rows were cut, and scores of few channels go through memory once.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from landseg.models.graph.recipe import Recipe

Array = NDArray[np.float32]


def split_off(recipe: Recipe) -> tuple[Recipe, int]:
    """Return a recipe without its last upsampling, and the factor of that; 1 where it ends with another layer.

    Only upsampling to the size of the input, of units that lie on pixels, is split off.
    """
    last = recipe.layers[-1]
    factor = int(last.settings.get("factor", 1)) if last.kind == "upsample" else 1
    if factor == 1 or float(last.settings["shift"]) or last.like != 0 or recipe.output != len(recipe.layers):
        return recipe, 1
    layers, channels = recipe.layers[:-1], recipe.channels[:-1]
    return replace(recipe, layers=layers, output=last.inputs[0], channels=channels), factor


class Interpolation:
    """Rows of units on their way to rows of pixels; the last unit of each axis is held.

    Args:
        factor: pixels from one unit to the next.
        shape: (height, width) in pixels.
    """

    def __init__(self, factor: int, shape: tuple[int, int]) -> None:
        self._factor, (self._height, self._width) = factor, shape
        self._left = -(-shape[0] // factor)  # units that have not come
        self._made = 0
        self._above: Array | None = None  # the row of the last unit that has come, (C, 1, width)

    def push(self, units: Array) -> Array:
        """Take rows of units (1, C, h, w) and return the rows of pixels (1, C, rows, width) that they complete."""
        self._left -= units.shape[2]
        rows = self._across(units[0])
        parts = [rows] if self._above is None else [self._above, rows]
        parts += [rows[:, -1:]] if not self._left else []
        joined = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        self._above = rows[:, -1:]
        pixels = self._down(joined)[:, : self._height - self._made]
        self._made += pixels.shape[1]
        return pixels[None]

    def _across(self, units: Array) -> Array:
        """Return rows of units (C, h, w) at every column of pixels."""
        channels, height, count = units.shape
        across = np.empty((channels, height, count, self._factor), np.float32)
        steps = np.empty_like(units)
        np.subtract(units[..., 1:], units[..., :-1], out=steps[..., :-1])
        steps[..., -1] = 0
        for phase in range(self._factor):
            np.multiply(steps, np.float32(phase / self._factor), out=across[..., phase])
            across[..., phase] += units
        return across.reshape(channels, height, -1)[..., : self._width]

    def _down(self, rows: Array) -> Array:
        """Return the rows of pixels from the first of some rows up to the last, without that."""
        channels, count, width = rows.shape
        down = np.empty((channels, count - 1, self._factor, width), np.float32)
        steps = rows[:, 1:] - rows[:, :-1]
        for phase in range(self._factor):
            np.multiply(steps, np.float32(phase / self._factor), out=down[:, :, phase])
            down[:, :, phase] += rows[:, :-1]
        return down.reshape(channels, -1, width)
