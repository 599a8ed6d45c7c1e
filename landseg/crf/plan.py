"""The plan of a CRF over a raster: windows that fit the memory, with a halo that is exact or called approximate."""

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

_BASE = 640 * MIB  # bytes of a process before its first window: libraries, GDAL's block cache, the copy to a COG
_LARGEST = 2048  # largest edge of a window chosen here: above it, halos cost little
_FADES = 16 / 3  # widths after which influence is small: measured at 64 px for a width of 12, where no class changed


@dataclass(frozen=True)
class CrfTiling:
    """The windows of a raster, and the exactness of their result.

    Attributes:
        windows: the plan of windows.
        halo: pixels of context on each side.
        exact_halo: the halo with which windows give the result of the whole image.
        mode: "exact", or "approximate": the halo is shorter and more than one window is needed.
        reason: a sentence about the halo.
        most: number of pixels of the largest window that fits the memory.
        memory: maximum size of the process in bytes.
    """

    windows: WindowPlan
    halo: int
    exact_halo: int
    mode: str
    reason: str
    most: int
    memory: float


def bytes_per_pixel(bands: int, classes: int) -> float:
    """Return the most bytes that a pixel of a window takes: in noise, where no two pixels share a lattice corner.

    Measured peaks are 54 to 96 percent of that, for 1 to 13 bands and 2 to 40 classes, noise or smooth.
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
    """Return the tiling of a raster for a CRF within a limit of memory.

    Args:
        shape: (height, width) of the raster.
        options: weights and widths.
        bands: number of bands of the imagery.
        classes: K.
        pixel_size: (height, width) of a pixel, in the unit of the widths.
        window: side of the square that is read, halo included; None takes the largest that fits, up to 2048.
        halo: "exact", a number of pixels, or "auto": at most 16/3 of the largest width in position.
        memory_mib: limit on the size of the process.

    Raises:
        PlanError: no plan meets window, halo and memory; the message says which values would.
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
    """Return the distance in pixels beyond which influence is small: 16/3 of the largest width in position.

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
    """Return the squares on which a short halo is compared with the exact halo, or with the longest that fits.

    The result is None for an exact plan, and where no longer halo fits the memory.
    """
    if tiling.mode == "exact":
        return None
    return plan_sample(tiling.windows, most=tiling.most, exact_halo=tiling.exact_halo)


Read = Callable[[Rect], tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_] | None]]
"""A function from a rectangle to probabilities (K, h, w), image (C, h, w) and validity (h, w); None: all valid."""


def plan_crf(
    shape: tuple[int, int],
    options: CrfOptions,
    *,
    bands: int,
    window: int,
    halo: int | None = None,
    pixel_size: tuple[float, float] = (1.0, 1.0),
) -> WindowPlan:
    """Return the windows of a raster for a CRF.

    Args:
        shape: (height, width) of the raster.
        options: weights and widths.
        bands: number of bands of the image.
        window: side of the square that is read, halo included.
        halo: pixels on each side; None takes the exact halo. A shorter halo leaves differences at the seams.
        pixel_size: (height, width) of a pixel, in the unit of the widths.

    Raises:
        PlanError: the halos leave no core; the message says which window would.
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
    """Return a refined map that is already written, for comparison with windows of a longer halo.

    Args:
        written: returns the class values (h, w) and the validity (h, w) of a rectangle of the map.
        read: returns the inputs of the CRF in a rectangle.
        options: weights and widths.
        classes: the classes of the map.
        pixel_size: (height, width) of a pixel, in the unit of the widths.
    """

    def compute(window: Window) -> NDArray[Any]:
        ((_, found),) = refine_windows(read, [window], options, pixel_size=pixel_size)
        return classes.to_values(found.argmax(0))

    return WrittenMap(written, compute)


def refine_windows(
    read: Read, plan: Iterable[Window], options: CrfOptions, *, pixel_size: tuple[float, float] = (1.0, 1.0)
) -> Iterator[tuple[Rect, Array]]:
    """Yield the core of every window, in order, with its probabilities (K, h, w); memory is that of one window."""
    for window in plan:
        probs, image, valid = read(window.rect)
        scene = Scene.of(image, valid, pixel_size, (window.rect.top, window.rect.left))
        rows, columns = window.core.relative_to(window.rect).slices
        yield window.core, refine(probs, scene, options)[:, rows, columns]
