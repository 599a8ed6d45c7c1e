"""How much of a map is a pattern that repeats with the stride: the checkerboard that upconvolutions draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Checkerboard:
    """A map's energy at the frequencies of one stride.

    Attributes:
        stride: the period looked for, in pixels.
        energy: (stride, stride) variance at the frequencies (i / stride, j / stride) cycles a pixel; [0, 0] is 0.
            Their sum is the variance of the pattern that repeats every ``stride`` pixels.
        variance: of the map.
    """

    stride: int
    energy: NDArray[np.float64]
    variance: float

    @property
    def share(self) -> float:
        """The pattern's part of the map's variance: 1 for a pure checkerboard, near 0 without; nan for a flat map."""
        return float(self.energy.sum()) / self.variance if self.variance else float("nan")

    def without(self, stride: int) -> float:
        """The share that does not also repeat with a divisor of the stride, as where two upconvolutions stack.

        Raises:
            ValueError: ``stride`` does not divide.
        """
        if stride < 1 or self.stride % stride:
            raise ValueError(f"{stride} does not divide the stride {self.stride}")
        step = self.stride // stride
        rest = float(self.energy.sum() - self.energy[::step, ::step].sum())
        return rest / self.variance if self.variance else float("nan")


def checkerboard(maps: NDArray[Any], stride: int) -> Checkerboard:
    """The energy of maps (..., H, W) at the stride's frequencies, averaged over the leading axes.

    Maps are taken under a Hann window, cut to a multiple of the stride, so that a slope or an edge of the map does
    not leak into the pattern. White noise of N pixels has a share of about (stride^2 - 1) * 2.25 / N.

    >>> rows, columns = np.mgrid[0:32, 0:32]
    >>> round(checkerboard((rows + columns) % 2, 2).share, 6), round(checkerboard(columns / 32, 2).share, 3)
    (1.0, 0.0)

    Raises:
        ValueError: a stride below 2, or a map that is smaller than four periods.
    """
    if stride < 2:
        raise ValueError(f"a checkerboard repeats every 2 pixels or more, not every {stride}")
    height, width = (size // stride * stride for size in maps.shape[-2:])
    if min(height, width) < 4 * stride:
        raise ValueError(f"a map of {maps.shape[-2]} x {maps.shape[-1]} pixels holds no four periods of {stride}")
    values = np.asarray(maps, np.float64)[..., :height, :width].reshape(-1, height, width)
    window = np.outer(_hann(height), _hann(width))
    total = window.sum()
    values = values - (values * window).sum((1, 2), keepdims=True) / total
    variance = (values**2 * window).sum((1, 2)).mean() / total
    # The spectrum at the stride's frequencies alone is that of the map folded into one period.
    folded = (values * window).reshape(-1, height // stride, stride, width // stride, stride).sum((1, 3))
    energy = (np.abs(np.fft.fft2(folded)) ** 2).mean(0) / total**2
    energy[0, 0] = 0.0
    return Checkerboard(stride, energy, float(variance))


def _hann(size: int) -> NDArray[np.float64]:
    """The periodic Hann window (size,)."""
    window: NDArray[np.float64] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    return window
