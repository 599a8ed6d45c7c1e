"""Crops drawn from anywhere in labelled scenes: the crop is a function of the seed, the step and its number."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landseg.dense.losses import LabelSets
from landseg.errors import RasterError, TrainingError
from landseg.geo.grid import Rect, scaled_size
from landseg.geo.pieces import CELL
from landseg.scenes.label_counts import LabelCounts, count_labels
from landseg.scenes.scene import Scene
from landseg.text.amounts import counted, shorten_list
from landseg.training.crops import Crop, read_crop

MARGIN = 1.5
"""The factor by which the usable pixel sizes of a model reach beyond those of its crops: a convention."""
NEARLY = 0.05  # resolutions that agree to a twentieth are one, as they are to predict
_TRIES = 100

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SamplingOptions:
    """The options of drawing crops.

    Attributes:
        crop: their side, in pixels.
        batch: how many make a step.
        balanced: share of crops around a pixel of a class drawn evenly; the others lie anywhere that has labels.
        scale: range of magnification on top of each scene's own.
        resolution_m: what scenes with a known resolution are brought to; None: their own.
        memory_mib: for scenes that are read once and kept.
        skip_corrupt: leave out what cannot be read, and say so once, in place of stopping.
        stored_values: learn from the numbers that images store, whatever scale and offset they declare; None: no.
    """

    crop: int = 384
    batch: int = 8
    balanced: float = 0.5
    scale: tuple[float, float] = (1.0, 1.0)
    resolution_m: float | None = None
    memory_mib: float = 2048
    skip_corrupt: bool = False
    stored_values: bool | None = None

    def __post_init__(self) -> None:
        for name in ("crop", "batch", "memory_mib"):
            if not getattr(self, name) > 0:
                raise TrainingError(f"{name} must be above 0, got {getattr(self, name)}")
        if not 0 <= self.balanced <= 1:
            raise TrainingError(f"balanced is a share from 0 to 1, got {self.balanced}")
        if not (len(self.scale) == 2 and 0 < self.scale[0] <= self.scale[1] < math.inf):
            raise TrainingError(f"scale is a range of magnification such as 0.5 to 2, got {self.scale}")
        if self.resolution_m is not None and not 0 < self.resolution_m < math.inf:
            raise TrainingError(f"--resolution {self.resolution_m}: expected metres above 0, such as 0.5")


class CropSampler:
    """Draws crops: some anywhere that has labels, fine or coarse, some around a pixel of a class drawn evenly.

    The even ones keep rare classes in sight; labels that admit several classes ("not building") are common and are
    left to the others, and so are coarse ones. Positions are not tied to a grid. Whole scenes are counted once, in
    the beginning.

    Args:
        scenes: to draw from.
        options: how.
        seed: of everything that is drawn.
        sets: what targets mean; None: each is a class of its own.
        counts: of the labels of each scene; None: they are counted here.

    Attributes:
        label_maps: the names of the label maps that any scene has, "class" first.

    Raises:
        ClassError: labels without a class.
        TrainingError: no scene has a labelled pixel.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        options: SamplingOptions,
        *,
        seed: int = 0,
        sets: LabelSets | None = None,
        counts: Sequence[LabelCounts] | None = None,
    ) -> None:
        self.scenes, self.options, self.seed = list(scenes), options, seed
        self.label_maps = tuple(dict.fromkeys(name for scene in self.scenes for name in scene.label_maps))
        self.counts = list(count_labels(scenes, seed=seed) if counts is None else counts)
        self._factors = [1 / base_zoom(scene, options.resolution_m) for scene in self.scenes]
        _tell_unplaced(self.scenes, options.resolution_m)
        weights = np.array([scene.weight for scene in self.scenes])
        areas = [_areas(one.cells, scene.shape) for scene, one in zip(self.scenes, self.counts, strict=True)]
        self._cells = [np.cumsum(area) for area in areas]
        self._anywhere = np.cumsum(weights * [area.sum() for area in areas])
        self._classes = [_ClassPlaces.of(kinds, self.counts, weights) for kinds in _single(self.counts, sets)]
        self._told: set[str] = set()

    def draw(self, step: int, index: int) -> Crop:
        """Return crop ``index`` of a step: a pure function of these two and the seed.

        Raises:
            RasterError: a file that cannot be read; with ``skip_corrupt`` another crop is drawn in its place.
        """
        for attempt in range(_TRIES):
            rng = np.random.default_rng((self.seed, step, index, attempt))
            number, y, x = self._place(rng)
            scene = self.scenes[number]
            rect, factor = self._rect(rng, number, y, x)
            try:
                return read_crop(scene, rect, factor=factor)
            except RasterError as error:
                if not self.options.skip_corrupt:
                    raise
                if scene.name not in self._told:
                    self._told.add(scene.name)
                    _log.warning("left out: %s", error)
        raise TrainingError(f"{_TRIES} crops in a row could not be read; check {shorten_list(sorted(self._told))}")

    def _place(self, rng: np.random.Generator) -> tuple[int, int, int]:
        """Return scene, row and column of the pixel that a crop is drawn around."""
        if self._classes and rng.random() < self.options.balanced:
            return self._classes[int(rng.integers(len(self._classes)))].draw(rng)
        number = _pick(self._anywhere, rng)
        top, left = (self.counts[number].cells[_pick(self._cells[number], rng)] * CELL).tolist()
        height, width = self.scenes[number].shape
        y, x = rng.integers(min(CELL, height - top)), rng.integers(min(CELL, width - left))
        return number, top + int(y), left + int(x)

    def _rect(self, rng: np.random.Generator, number: int, y: int, x: int) -> tuple[Rect, float]:
        """Return the rectangle of a crop, in pixels ``factor`` times as large as the scene's, and this factor."""
        scene, size = self.scenes[number], self.options.crop
        zoom = _between(rng, scene.zoom) * _between(rng, self.options.scale)
        factor = self._factors[number] / zoom
        height, width = (scaled_size(length, factor) for length in scene.shape)
        jitter = rng.uniform(0.2, 0.8, size=2)
        top = _start((y + 0.5) / factor, size, height, jitter[0])
        return Rect(top, _start((x + 0.5) / factor, size, width, jitter[1]), size, size), factor


@dataclass(frozen=True)
class _ClassPlaces:
    """The places of a class: labels in scenes, with their shares summed up, and pixels of each."""

    shares: NDArray[np.float64]
    places: list[tuple[int, NDArray[np.int64]]]

    @classmethod
    def of(cls, kinds: Sequence[int], counts: Sequence[LabelCounts], weights: NDArray[np.float64]) -> _ClassPlaces:
        found = [(n, kind) for n, one in enumerate(counts) for kind in kinds if kind in one.spots]
        shares = np.array([weights[n] * counts[n].counts[kind] for n, kind in found], np.float64)
        return cls(np.cumsum(shares), [(n, counts[n].spots[kind]) for n, kind in found])

    def draw(self, rng: np.random.Generator) -> tuple[int, int, int]:
        number, spots = self.places[_pick(self.shares, rng)]
        y, x = spots[rng.integers(len(spots))].tolist()
        return number, y, x


def usable_range(scenes: Sequence[Scene], options: SamplingOptions) -> tuple[float, float] | None:
    """Return the smallest and the largest pixel, in metres, that a model of these scenes is for.

    Those of the crops that it learns from, by the scenes' pixels, what they are brought to and the range of
    magnification, and `MARGIN` beyond on either side; pixels that were brought to smaller ones count as they were.
    None where a scene does not say how large its pixels are.
    """
    found: list[float] = []
    for scene in scenes:
        own = scene.resolution_m
        if own is None:
            return None
        base = own / base_zoom(scene, options.resolution_m)
        found += [base / (scene.zoom[1] * options.scale[1]) / MARGIN]
        found += [max(base, own) / (scene.zoom[0] * options.scale[0]) * MARGIN]
    return (float(f"{min(found):.2g}"), float(f"{max(found):.2g}")) if found else None


def base_zoom(scene: Scene, resolution_m: float | None) -> float:
    """Return the magnification that brings a scene to a resolution; 1 where it has it or does not state its own."""
    own = scene.resolution_m
    if resolution_m is None or own is None or abs(resolution_m / own - 1) <= NEARLY:
        return 1.0
    return own / resolution_m


def _tell_unplaced(scenes: Sequence[Scene], resolution_m: float | None) -> None:
    unplaced = [scene.name for scene in scenes if scene.resolution_m is None]
    if resolution_m is not None and unplaced:
        _log.warning(
            "%s no coordinate system and %s own pixels, not at %g m: %s",
            counted(len(unplaced), "scene has", "scenes have"),
            "is taken at its" if len(unplaced) == 1 else "are taken at their",
            resolution_m,
            shorten_list(unplaced),
        )


def _single(counts: Sequence[LabelCounts], sets: LabelSets | None) -> list[list[int]]:
    """Return the labels that admit one class alone, for every class that occurs."""
    seen = sorted({kind for one in counts for kind in one.spots})
    if sets is None:
        return [[kind] for kind in seen]
    admitted = {kind: sets.allowed[kind].nonzero().flatten().tolist() for kind in seen}
    by_class = [[kind for kind in seen if admitted[kind] == [index]] for index in range(sets.classes)]
    return [kinds for kinds in by_class if kinds]


def _areas(cells: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the pixels of each cell (m,): cells at the edge are smaller."""
    sides = np.minimum(CELL, np.array(shape) - cells * CELL)
    areas: NDArray[np.float64] = sides.prod(axis=1).astype(np.float64)
    return areas


def _pick(shares: NDArray[np.float64], rng: np.random.Generator) -> int:
    """Return the number of an entry, drawn by its share; ``shares`` are summed up, and 0 is never drawn."""
    return min(int(np.searchsorted(shares, rng.random() * shares[-1], side="right")), len(shares) - 1)


def _between(rng: np.random.Generator, span: tuple[float, float]) -> float:
    low, high = span
    return low if low == high else float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _start(centre: float, side: int, length: int, at: float) -> int:
    """Return the first pixel of a crop with ``centre`` at the fraction ``at``, inside the scene where it fits."""
    if side >= length:
        return -((side - length) // 2)
    return int(np.clip(math.floor(centre) - round(at * side), 0, length - side))
