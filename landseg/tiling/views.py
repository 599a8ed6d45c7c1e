"""Test-time augmentation: the mean of a network's results for an image and for its mirrored and turned views.

A view is a symmetry of the *whole* image, so a window of it begins on multiples of the stride counted from the
view's own first pixel: of an image of W columns, [x0, x1) is [W - x1, W - x0) of the mirrored one. Where W is no
multiple of the stride, the network looks at the two through different grids, so each view reads a rectangle of its
own around the same window, grown to that grid and clipped at the image's edges. Then the mean over windows is the
mean over the whole image, wherever the network's results are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.geo.grid import Rect
from landseg.tiling.names import VIEWS, check_tta
from landseg.tiling.windows import round_up

Array = NDArray[np.float32]
Network = Callable[[Sequence[Any]], Array]
Mean = Callable[[Iterable[Array], float], Array]


@dataclass(frozen=True)
class View:
    """One symmetry of an image: its rows and its columns in reverse order or not, then its axes swapped or not."""

    rows: bool = False
    columns: bool = False
    swapped: bool = False

    def turn(self, image: Any) -> Any:
        """Return the view (..., h, w) of an image, or (..., w, h) where axes are swapped: of a tensor or an array."""
        image = self._mirrored(image)
        return image.swapaxes(-2, -1) if self.swapped else image

    def back(self, view: Any) -> Any:
        """Return the image whose view `turn` returned."""
        return self._mirrored(view.swapaxes(-2, -1) if self.swapped else view)

    def reads(self, window: Rect, shape: tuple[int, int], stride: int) -> Rect:
        """Return the window grown to the view's own multiples of the stride, in pixels of the image as it is.

        Args:
            window: of an image of `shape` (height, width).
            shape: of the whole image.
            stride: the network's total stride.

        >>> View(columns=True).reads(Rect(0, 8, 16, 16), (30, 30), 8)
        Rect(top=0, left=6, height=16, width=24)
        """
        top, bottom = _grown(window.top, window.bottom, shape[0], stride, mirrored=self.rows)
        left, right = _grown(window.left, window.right, shape[1], stride, mirrored=self.columns)
        return Rect(top, left, bottom - top, right - left)

    def _mirrored(self, image: Any) -> Any:
        axes = tuple(axis for axis, mirrored in ((-2, self.rows), (-1, self.columns)) if mirrored)
        if not axes:
            return image
        return np.flip(image, axes) if isinstance(image, np.ndarray) else image.flip(axes)


_FLIPS = tuple(View(rows, columns) for rows in (False, True) for columns in (False, True))
_OF = {
    "none": _FLIPS[:1],
    "flips": _FLIPS,
    "d4": (*_FLIPS, *(View(view.rows, view.columns, swapped=True) for view in _FLIPS)),
}


@dataclass(frozen=True)
class Viewed:
    """A window that is read and scaled, with the pixels that its views need.

    Attributes:
        image: (1, bands, h, w), as the executor prepared it.
        parts: the rectangle that each view reads of it, in its pixels.
        window: the window itself, in its pixels.
    """

    image: Any
    parts: tuple[Rect, ...]
    window: Rect

    @property
    def shape(self) -> tuple[object, ...]:
        """The shape that windows must share to be computed together."""
        return (*self.image.shape, self.parts, self.window)


class Views:
    """The views of a test-time augmentation, and their mean.

    Logits are T times the logarithm of the mean probability over the views, where probabilities are the softmax of
    logits over T: so probabilities are made of them in the same way, and the class is the most probable one.

    Args:
        name: "none", "flips" (as it is, mirrored left to right, top to bottom, both) or "d4" (these, and the same
            with the axes swapped: all eight symmetries of a square).
        stride: the network's total stride.
        temperature: T.

    Raises:
        PlanError: an unknown name.
    """

    def __init__(self, name: str, *, stride: int, temperature: float = 1.0) -> None:
        check_tta(name)
        self.name, self.stride, self.temperature = name, stride, temperature
        self._views = _OF[name]
        assert len(self._views) == VIEWS[name]

    def __len__(self) -> int:
        return len(self._views)

    @property
    def grows(self) -> int:
        """The pixels by which the rectangle that is read may be higher, and wider, than the window."""
        return self.stride if len(self) > 1 else 0

    def reads(self, window: Rect, shape: tuple[int, int]) -> Rect:
        """Return the smallest rectangle that holds the pixels that all views of a window read."""
        return _around([view.reads(window, shape, self.stride) for view in self._views])

    def prepared(self, image: Any, window: Rect, shape: tuple[int, int]) -> Viewed:
        """Return the window with its views; ``image`` (1, bands, h, w) holds the rectangle that `reads` returns."""
        parts = [view.reads(window, shape, self.stride) for view in self._views]
        around = _around(parts)
        inside = tuple(part.relative_to(around) for part in parts)
        return Viewed(image, inside, window.relative_to(around))

    def run(self, network: Network, mean: Mean, batch: Sequence[Viewed]) -> Array:
        """Return logits (N, K, h, w) of N windows of one shape: the network's own, or of the mean over the views.

        Args:
            network: returns the logits of prepared images of one size.
            mean: returns the logits of the mean probability over views, see `mean_of_views`.
            batch: the windows.
        """
        if len(self) == 1:
            return network([one.image for one in batch])
        return mean(self._results(network, batch), self.temperature)

    def _results(self, network: Network, batch: Sequence[Viewed]) -> Iterator[Array]:
        """Yield the logits (N, K, h, w) of each view, turned back, where the windows are."""
        first = batch[0]
        for view, part in zip(self._views, first.parts, strict=True):
            logits = network([view.turn(one.image[..., *part.slices]) for one in batch])
            yield view.back(logits)[..., *first.window.relative_to(part).slices]


def mean_of_views(views: Iterable[Array], temperature: float) -> Array:
    """Return the logits (N, K, h, w) of the mean over views of the softmax of logits over T: T times its logarithm.

    Args:
        views: logits (N, K, h, w) of one view after the other.
        temperature: T.
    """
    total: Array | None = None
    count = 0
    for logits in views:
        count += 1
        log_probs = logits / np.float32(temperature)
        log_probs -= log_probs.max(axis=1, keepdims=True)
        log_probs -= np.log(np.exp(log_probs).sum(axis=1, keepdims=True))
        total = log_probs if total is None else np.logaddexp(total, log_probs, out=total)
    assert total is not None, "there is a view"
    total -= np.float32(log(count))
    total *= np.float32(temperature)
    return total


def _around(rects: Sequence[Rect]) -> Rect:
    """Return the smallest rectangle that holds all of these."""
    top, left = min(rect.top for rect in rects), min(rect.left for rect in rects)
    bottom, right = max(rect.bottom for rect in rects), max(rect.right for rect in rects)
    return Rect(top, left, bottom - top, right - left)


def _grown(start: int, stop: int, length: int, stride: int, *, mirrored: bool) -> tuple[int, int]:
    """Return [start, stop) grown to multiples of the stride, counted from the axis's end where it is mirrored."""
    if mirrored:
        start, stop = length - stop, length - start
    start, stop = start // stride * stride, min(length, round_up(stop, stride))
    return (length - stop, length - start) if mirrored else (start, stop)
