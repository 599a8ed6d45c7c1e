"""How a raster is cut for a CRF: windows that fit the memory, a halo that is exact or says that it is not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import ClassMap
from landseg.crf.energy import Array, CrfOptions, Scene
from landseg.crf.fast import halo as exact_halo
from landseg.crf.fast import refine
from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.tiling.costs import MIB
from landseg.tiling.sampling import Sample, WrittenMap, plan_sample
from landseg.tiling.windows import Window, WindowPlan, plan_windows

_BASE = 640 * MIB  # a process before its first window: libraries, GDAL's block cache, the final copy to a COG
_LARGEST = 2048  # edge of a chosen window: halos cost little by then
_FADES = 16 / 3  # widths after which influence is small: 64 px of 12, where no pixel's class was seen to change


@dataclass(frozen=True)
class CrfTiling:
    """The windows of a raster, and what they promise.

    Attributes:
        windows: the plan.
        halo: pixels on each side.
        exact_halo: the one with which windows give what the whole image gives.
        mode: "exact", or "approximate": the halo is shorter and more than one window is needed.
        reason: a sentence about the halo.
        most: pixels of the largest window that fits the memory.
        memory: bytes that the process takes at most.
    """

    windows: WindowPlan
    halo: int
    exact_halo: int
    mode: str
    reason: str
    most: int
    memory: float


def bytes_per_pixel(bands: int, classes: int) -> float:
    """What a pixel of a window takes at most: where every pixel has corners of its own, as in noise.

    Measured peaks are 54 to 96 percent of it, for 1 to 13 bands and 2 to 40 classes, noise or smooth.
    """
    d = bands + 3  # corners of a simplex in 2 + C dimensions
    return 16 * d * d + 110 * d + 60 * classes + 24 * bands


def tile_crf(
    shape: tuple[int, int],
    options: CrfOptions,
    *,
    bands: int,
    classes: int,
    pixel_size: tuple[float, float],
    window: int | None,
    halo: int | str,
    memory_mib: int,
) -> CrfTiling:
    """The windows of a raster of ``shape`` (height, width).

    Args:
        shape: of the raster.
        options: weights and widths.
        bands: of the imagery.
        classes: K.
        pixel_size: (height, width) of a pixel, in the unit of the widths.
        window: side of the square that is read, halo included; None takes the largest that fits, up to 2048.
        halo: "exact", a number, or "auto": where the raster needs several windows, at most 16/3 of the widest width.
        memory_mib: of the process.

    Raises:
        PlanError: what was asked for does not go together; the message says what would.
    """
    each = bytes_per_pixel(bands, classes)
    most = max(0, int((memory_mib * MIB - _BASE) / each))
    exact = exact_halo(options, bands=bands, pixel_size=pixel_size)
    margin = {"auto": min(exact, fading(options, pixel_size)), "exact": exact}.get(str(halo), halo)
    assert isinstance(margin, int)
    side = window
    if side is None:
        whole = shape[0] * shape[1] <= most and max(shape) <= _LARGEST
        side = max(shape) if whole else min(_LARGEST, isqrt(most))
    if max(shape) > side <= 2 * margin:
        length = 2 * margin + max(64, margin // 2)
        need = math.ceil((_BASE + each * length**2) / MIB)
        raise PlanError(
            f"a window of {side} px keeps no core between halos of {margin} px: a window of {length} px would, with "
            f"about --memory {need}; or give a shorter --halo"
        )
    windows = plan_crf(shape, options, bands=bands, window=side, halo=margin, pixel_size=pixel_size)
    pixels = windows.largest[0] * windows.largest[1]
    if pixels > most:
        raise PlanError(
            f"a window of {windows.largest[0]} x {windows.largest[1]} px does not fit {memory_mib} MiB: use --memory "
            f"{math.ceil((_BASE + each * pixels) / MIB)} or a smaller --window"
        )
    mode, reason = _promise(windows, options, margin, exact)
    return CrfTiling(windows, margin, exact, mode, reason, most, _BASE + each * pixels)


def fading(options: CrfOptions, pixel_size: tuple[float, float]) -> int:
    """The distance in pixels after which a pixel hardly hears another: 16/3 of the widest width of place.

    >>> fading(CrfOptions(bilateral_xy=12.0), (1.0, 1.0))
    64
    """
    widths = (
        bool(options.bilateral_weight) * options.bilateral_xy,
        bool(options.spatial_weight) * options.spatial_xy,
    )
    return math.ceil(_FADES * max(widths) / min(pixel_size))


def _promise(windows: WindowPlan, options: CrfOptions, halo: int, exact: int) -> tuple[str, str]:
    if len(windows) == 1:
        return "exact", "exact: one window holds the raster"
    if halo >= exact:
        return "exact", f"exact: {options.iterations} updates hear no further than the halo of {halo} px"
    return "approximate", f"approximate: a halo of {halo} px in place of the exact {exact} px (--halo exact)"


def crf_sample(tiling: CrfTiling) -> Sample | None:
    """Return the squares on which a short halo is compared with the exact one, or with the longest that fits.

    None for an exact plan, or where no longer halo fits the memory.
    """
    if tiling.mode == "exact":
        return None
    return plan_sample(tiling.windows, most=tiling.most, exact_halo=tiling.exact_halo)


Read = Callable[[Rect], tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_] | None]]
"""A rectangle of the raster to probabilities (K, h, w), image (C, h, w) and validity (h, w) or None: all valid."""


def plan_crf(
    shape: tuple[int, int],
    options: CrfOptions,
    *,
    bands: int,
    window: int,
    halo: int | None = None,
    pixel_size: tuple[float, float] = (1.0, 1.0),
) -> WindowPlan:
    """The windows of a raster of ``shape`` (height, width).

    Args:
        shape: of the raster.
        options: weights and widths.
        bands: of the image.
        window: side of the square that is read, halo included.
        halo: None is the exact one. A shorter one is cheaper, and leaves differences at the seams.
        pixel_size: (height, width) of a pixel, in the unit of the widths.

    Raises:
        PlanError: the halos leave no core; the message says which window would do.
    """
    needed = exact_halo(options, bands=bands, pixel_size=pixel_size) if halo is None else halo
    return plan_windows(shape, window=window, halo=needed, stride=1)


def written_map(
    written: Callable[[Rect], tuple[NDArray[Any], NDArray[np.bool_]]],
    read: Read,
    options: CrfOptions,
    *,
    classes: ClassMap,
    pixel_size: tuple[float, float],
) -> WrittenMap:
    """Return a refined map as it was written, for comparison with windows of a longer halo.

    Args:
        written: returns the class values (h, w) and the validity (h, w) of a rectangle of the map.
        read: the evidence.
        options: weights and widths.
        classes: the map's.
        pixel_size: (height, width) of a pixel, in the unit of the widths.
    """

    def compute(window: Window) -> NDArray[Any]:
        ((_, found),) = refine_windows(read, [window], options, pixel_size=pixel_size)
        return classes.to_values(found.argmax(0))

    return WrittenMap(written, compute)


def refine_windows(
    read: Read, plan: Iterable[Window], options: CrfOptions, *, pixel_size: tuple[float, float] = (1.0, 1.0)
) -> Iterator[tuple[Rect, Array]]:
    """Yield every window's core with its probabilities (K, h, w), in their order; memory is that of one window."""
    for window in plan:
        probs, image, valid = read(window.rect)
        scene = Scene.of(image, valid, pixel_size, (window.rect.top, window.rect.left))
        rows, columns = window.core.relative_to(window.rect).slices
        yield window.core, refine(probs, scene, options)[:, rows, columns]
