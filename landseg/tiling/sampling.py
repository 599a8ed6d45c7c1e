"""The distance of a map from one with a longer halo: squares drawn at random over its data, and an interval.

The region is cut into equal squares, and squares that hold data are drawn without replacement, each as likely as any
other. So the share over the sample is an estimate of the share over the map, wherever windows meet. Pixels of one
square are alike, so the interval counts squares, not pixels: a ratio estimate and its variance (Cochran 1977,
Sampling Techniques, 6.11 and 11.3), put into Wilson's interval as an effective number of pixels.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import isqrt
from statistics import NormalDist
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from landseg.geo.grid import Rect
from landseg.text.amounts import counted
from landseg.tiling.windows import Window, WindowPlan, round_up

EDGE = 128
"""Edge of a sampled square in pixels, before it is rounded up to the stride."""
FEWEST = 16
"""Squares drawn at least: below this an interval misses the truth too often where few squares hold most changes."""
MOST = 64
"""Squares drawn at most."""
SHARE = 0.1
"""Part of a run's pixels that all squares may compute, beyond the fewest."""
_TRIES = 32  # squares looked at for each that is wanted, before the whole map is read once for where data are
_ACROSS = 32  # squares whose validity is read at once, then


@dataclass(frozen=True)
class Sample:
    """The squares on which a map is compared, and the halo of the comparison; a resumed run measures the same.

    Attributes:
        edge: of a square, in pixels of the network's grid; a multiple of the stride.
        halo: of the windows that are compared with, in pixels.
        exact: whether that halo is exact.
        count: squares to draw.
        whole: whether one window holds the whole raster, so that every pixel is compared.
        seed: of the draw.
    """

    edge: int
    halo: int
    exact: bool
    count: int
    whole: bool
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Return the sample in JSON values."""
        return asdict(self)

    @property
    def reference(self) -> str:
        """The map that is compared with, in words."""
        if self.whole:
            return "the whole raster at once"
        return f"the {'exact' if self.exact else 'longer'} halo of {self.halo}"


@dataclass(frozen=True)
class Disagreement:
    """The share of a map's pixels that would get another class.

    Attributes:
        share: of the pixels that were compared; None where none was.
        interval: (low, high) between which the share over all pixels with data lies, in 95 of 100 runs; (share,
            share) where all were compared.
        sentence: the same in words, or why nothing was compared.
    """

    share: float | None
    interval: tuple[float, float] | None
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """Return the figure in JSON values."""
        return asdict(self)

    @property
    def facts(self) -> dict[str, Any]:
        """The figure by the names that it has among a run's facts."""
        names = ("disagreement", "disagreement_interval", "disagreement_note")
        return dict(zip(names, (self.share, self.interval, self.sentence), strict=True))

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Disagreement:
        """Return the figure that `to_json` gave."""
        interval = values.get("interval")
        return cls(values["share"], None if interval is None else (interval[0], interval[1]), values["sentence"])


def disagreement_tags(share: float | None, interval: tuple[float, float] | None, note: str | None) -> dict[str, str]:
    """Return the tags that keep a disagreement and its interval; none where nothing was to be compared.

    >>> disagreement_tags(None, None, None), disagreement_tags(None, None, "no data")
    ({}, {'disagreement': 'unknown', 'disagreement_note': 'no data'})
    >>> disagreement_tags(0.25, (0.0005, 0.5), "so")["disagreement_interval"], read_interval("0.000500 0.500000")
    ('0.000500 0.500000', (0.0005, 0.5))
    """
    if not note:
        return {}
    tags = {"disagreement": "unknown" if share is None else f"{share:.6f}", "disagreement_note": note}
    return tags if interval is None else {**tags, "disagreement_interval": f"{interval[0]:.6f} {interval[1]:.6f}"}


def read_interval(text: str) -> tuple[float, float]:
    """Return the interval in a tag; raise ValueError if there is none."""
    low, high = map(float, text.split())
    return low, high


class Map(Protocol):
    """A finished map that is compared; rectangles are of the network's grid."""

    def valid(self, rect: Rect) -> NDArray[np.bool_]:
        """Return the pixels (h, w) of the map under a rectangle that hold data."""
        ...

    def changed(self, window: Window) -> NDArray[np.bool_]:
        """Return the pixels (h, w) of the map under a window's core whose result the window alone does not give."""
        ...


@dataclass(frozen=True)
class WrittenMap:
    """A map as it was written.

    Attributes:
        read: returns the values (h, w) and the validity (h, w) of the map under a rectangle of the network's
            grid.
        compute: returns the values (h, w) that a window alone gives under its core; None where it has no data.
        differ: returns the pixels (h, w) at which two such arrays have another result.
    """

    read: Callable[[Rect], tuple[NDArray[Any], NDArray[np.bool_]]]
    compute: Callable[[Window], NDArray[Any] | None]
    differ: Callable[[NDArray[Any], NDArray[Any]], NDArray[np.bool_]] = np.not_equal

    def valid(self, rect: Rect) -> NDArray[np.bool_]:
        """Return the pixels (h, w) of the map under a rectangle that hold data."""
        return self.read(rect)[1]

    def changed(self, window: Window) -> NDArray[np.bool_]:
        """Return the pixels (h, w) of the map under a window's core whose result the window alone does not give."""
        found, values = self.compute(window), self.read(window.core)[0]
        return np.zeros(values.shape, np.bool_) if found is None else self.differ(values, found)


def plan_sample(windows: WindowPlan, *, most: float, exact_halo: int | None) -> Sample | None:
    """Return the sample for a plan of windows, or None where no longer halo fits.

    Args:
        windows: the plan.
        most: pixels of the largest window that fits the memory.
        exact_halo: with which windows give what the whole raster gives; None where there is none.
    """
    stride, shape, halo = windows.stride, windows.shape, max(windows.halo)
    edge = round_up(EDGE, stride)
    longest = max(0, (isqrt(int(most)) - edge) // 2 // stride * stride)
    margin = longest if exact_halo is None else min(exact_halo, longest)
    window = min(shape[0], edge + 2 * margin) * min(shape[1], edge + 2 * margin)
    count = min(MOST, max(FEWEST, int(SHARE * windows.pixels / window)))
    whole = shape[0] * shape[1] <= min(most, count * window)
    if margin <= halo and not whole:
        return None
    key = (shape, windows.region, windows.window, windows.halo, stride, edge, margin)
    seed = int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "little")
    return Sample(edge, margin, margin == exact_halo, count, whole, seed)


def disagreement(made: Map, windows: WindowPlan, sample: Sample | None, *, noun: str = "class") -> Disagreement:
    """Return the share of a map's pixels that get another result with a longer halo, from the squares of a sample.

    Args:
        made: the map, and how a window of it is computed anew.
        windows: its plan.
        sample: of that plan; None where no longer halo fits.
        noun: for the result of a pixel, in the sentence.
    """
    if sample is None:
        return Disagreement(None, None, "how many pixels a longer halo would change is unknown: none fits --memory")
    if sample.whole:
        core = windows.region
        changed, valid = made.changed(Window(0, core, Rect(0, 0, *windows.shape))), made.valid(core)
        counts, of = [(int((changed & valid).sum()), int(valid.sum()))], 1.0
    else:
        drawn = _Draw(made, windows.region, sample)
        counts = []
        for square in drawn:
            window = grown(square, sample.halo, windows.shape, stride=windows.stride)
            changed, valid = made.changed(window), made.valid(square)
            counts.append((int((changed & valid).sum()), int(valid.sum())))
        of = drawn.of
    pixels = sum(count for _, count in counts)
    if not pixels:
        return Disagreement(None, None, f"its disagreement with {sample.reference} is unknown: it holds no data")
    share, low, high = interval(counts, of=of)
    what = f"of all {counted(pixels, 'pixel')}" if low == high else f"({_percent(low)} to {_percent(high)}, 95 %)"
    what += "" if low == high else f" of {counted(pixels, 'sampled pixel')}"
    sentence = f"{_percent(share)} {what} get another {noun} than with {sample.reference}"
    return Disagreement(share, (low, high), sentence)


def interval(counts: Sequence[tuple[int, int]], *, of: float) -> tuple[float, float, float]:
    """Return the share that changed, and the two ends of its 95 % interval.

    The interval is Wilson's, with Student's quantile, for the number of independent pixels that would vary as much as
    the squares do; where no pixel or every pixel changed, each square counts as one. For its upper end a square twice
    as bad as the worst stands for the ones that were not drawn: a few squares often hold most changes.

    Args:
        counts: (changed, pixels) of each square.
        of: squares that hold data in all; where that is no more than were drawn, the share is exact.

    >>> interval([(5, 100), (15, 100)], of=2)
    (0.1, 0.1, 0.1)
    >>> [round(number, 3) for number in interval([(0, 100)] * 16, of=1000)]
    [0.0, 0.0, 0.218]
    """
    changed, pixels = (np.array(column, np.float64) for column in zip(*counts, strict=True))
    share, left = float(changed.sum() / pixels.sum()), 1 - len(counts) / max(of, len(counts))
    if left == 0:
        return share, share, share
    if len(counts) == 1:
        return share, 0.0, 1.0
    ends = _wilson(changed, pixels, left)
    worst = min(1.0, 2 * float((changed / pixels).max()))
    unseen = left * pixels.mean()
    high = _wilson(np.append(changed, worst * unseen), np.append(pixels, unseen), left)[1]
    return share, min(share, ends[0]), max(share, ends[1], high)


def grown(core: Rect, halo: int, shape: tuple[int, int], *, stride: int) -> Window:
    """Return the window of a core with a halo: its edges lie on the stride, and it is clipped at the raster's edges.

    >>> grown(Rect(0, 70, 64, 50), 32, (100, 400), stride=8).rect
    Rect(top=0, left=32, height=96, width=120)
    """
    top, left = ((first - halo) // stride * stride for first in (core.top, core.left))
    bottom, right = (round_up(last + halo, stride) for last in (core.bottom, core.right))
    read = Rect(top, left, bottom - top, right - left).intersection(Rect(0, 0, *shape))
    assert read is not None, "a core lies inside the raster"
    return Window(0, core, read)


class _Draw:
    """Squares that hold data, drawn without replacement; after the last, ``of`` is their number in all.

    Squares lie on multiples of their edge, clipped to the region, so that windows around them begin on the stride.
    They are tried in a random order; where data are rare, the map is read once to know which are worth a try.
    """

    def __init__(self, made: Map, region: Rect, sample: Sample) -> None:
        self._made, self._region, self._sample = made, region, sample
        edge = sample.edge
        self._first = region.top // edge, region.left // edge
        self._shape = -(-region.bottom // edge) - self._first[0], -(-region.right // edge) - self._first[1]
        self.of = 0.0

    def __iter__(self) -> Iterator[Rect]:
        total, found = self._shape[0] * self._shape[1], 0
        order = np.random.default_rng(self._sample.seed).permutation(total)
        tries = _TRIES * self._sample.count
        held: NDArray[np.bool_] | None = None
        for number, cell in enumerate(order):
            if number == tries:
                held = self._held()
            square = self._square(*divmod(int(cell), self._shape[1]))
            if not (self._made.valid(square).any() if held is None else held.flat[cell]):
                continue
            found += 1
            self.of = found * total / (number + 1)
            yield square
            if found == self._sample.count:
                break
        else:
            self.of = float(found)
        if held is not None:
            self.of = float(held.sum())

    def _square(self, row: int, column: int, columns: int = 1) -> Rect:
        """Return one square, or several side by side."""
        edge, (first_row, first_column) = self._sample.edge, self._first
        place = Rect((first_row + row) * edge, (first_column + column) * edge, edge, columns * edge)
        square = place.intersection(self._region)
        assert square is not None, "the squares cover the region"
        return square

    def _held(self) -> NDArray[np.bool_]:
        """Return for every square whether it holds data, from one reading of the map."""
        held = np.zeros(self._shape, np.bool_)
        for row in range(self._shape[0]):
            for column in range(0, self._shape[1], _ACROSS):
                stop = min(self._shape[1], column + _ACROSS)
                if self._made.valid(self._square(row, column, stop - column)).any():
                    for one in range(column, stop):
                        held[row, one] = self._made.valid(self._square(row, one)).any()
        return held


def _wilson(changed: NDArray[np.float64], pixels: NDArray[np.float64], left: float) -> tuple[float, float]:
    """Return Wilson's interval for the ratio of two sums over squares; ``left`` is the share that was not drawn."""
    count, total = len(changed), float(pixels.sum())
    share = float(changed.sum()) / total
    apart = float(((changed - share * pixels) ** 2).sum()) * count / (count - 1) / total**2 * left
    spread = share * (1 - share)
    effective = count / left if spread == 0 else total if apart == 0 else min(total, spread / apart)
    t = _student(count - 1)
    middle = (share + t * t / (2 * effective)) / (1 + t * t / effective)
    half = t / (1 + t * t / effective) * math.sqrt(spread / effective + (t / (2 * effective)) ** 2)
    return max(0.0, middle - half), min(1.0, middle + half)


def _student(freedom: int) -> float:
    """Return Student's quantile for the middle 95 %, to a thousandth from four degrees of freedom (Hill's expansion).

    >>> round(_student(15), 3), round(_student(63), 3)
    (2.131, 1.998)
    """
    z = NormalDist().inv_cdf(0.975)
    first = (z**3 + z) / (4 * freedom)
    second = (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    return z + first + second + third


def _percent(share: float) -> str:
    return f"{100 * share:.3f} %"
