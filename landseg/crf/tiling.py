"""How a raster is cut for a CRF: windows that fit the memory, a halo that is exact or says that it is not."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from math import isqrt

import numpy as np

from landseg.crf.energy import CrfOptions
from landseg.crf.fast import halo as exact_halo
from landseg.crf.windows import Read, plan_crf, refine_windows
from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.tiling.windows import Window, WindowPlan

MIB = 1 << 20
_BASE = 640 * MIB  # a process before its first window: libraries, GDAL's block cache, the final copy to a COG
_LARGEST = 2048  # edge of a chosen window: halos cost little by then
_FADES = 16 / 3  # widths after which influence is small: 64 px of 12, where no pixel's class was seen to change
_SAMPLE = 128  # edge of a sampled square, in pixels
_SAMPLES = 3


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


def seam_disagreement(
    read: Read, tiling: CrfTiling, options: CrfOptions, *, pixel_size: tuple[float, float]
) -> tuple[float | None, str]:
    """The share of pixels whose class a short halo changes, on sampled squares, and a sentence about it.

    The squares lie where windows meet, and each is computed with the plan's halo on all its sides and with the exact
    one, or with the longest that fits the memory. None where that is no longer.
    """
    margin = min(tiling.exact_halo, (isqrt(tiling.most) - _SAMPLE) // 2)
    kind = "exact halo" if margin == tiling.exact_halo else "longer halo"
    if margin <= tiling.halo:
        return None, "how many pixels a longer halo would change cannot be measured: its window does not fit --memory"
    changed = pixels = 0
    for square in _squares(tiling.windows):
        both = []
        for halo in (tiling.halo, margin):
            ((_, found),) = refine_windows(
                read, [_window(square, halo, tiling.windows.shape)], options, pixel_size=pixel_size
            )
            both.append(found.argmax(0))
        valid = read(square)[2]
        counted = np.ones(square.shape, np.bool_) if valid is None else valid
        changed += int((both[0] != both[1])[counted].sum())
        pixels += int(counted.sum())
    if not pixels:
        return None, "how many pixels a longer halo would change is unknown: the sampled squares hold no data"
    share = changed / pixels
    return share, f"{share:.3%} of {pixels} sampled pixels get another class than with the {kind} of {margin}"


def _window(core: Rect, halo: int, shape: tuple[int, int]) -> Window:
    grown = Rect(core.top - halo, core.left - halo, core.height + 2 * halo, core.width + 2 * halo)
    read = grown.intersection(Rect(0, 0, *shape))
    assert read is not None, "a core lies inside the raster"
    return Window(0, core, read)


def _squares(windows: WindowPlan) -> Iterable[Rect]:
    """Up to three squares where four windows meet, from near the top left to near the bottom right."""
    found: dict[Rect, None] = {}
    for share in np.linspace(0.25, 0.75, _SAMPLES):
        corner = []
        for spans, length in zip((windows.y_spans, windows.x_spans), windows.shape, strict=True):
            borders = [span.core_start for span in spans[1:]] or [length // 2]
            middle = borders[min(len(borders) - 1, int(share * len(borders)))]
            start = max(0, min(middle - _SAMPLE // 2, length - _SAMPLE))
            corner.append((start, min(length, start + _SAMPLE) - start))
        (top, height), (left, width) = corner
        found[Rect(top, left, height, width)] = None
    return found
